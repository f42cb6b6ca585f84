//! Folds by key, and distinct elements.

use super::frequencies::{element, encode_key};
use super::lazy::{Bag, function_key};
use super::pipeline::Item;
use super::shuffled::{Known, Read, Shuffle, Write};
use super::stream::{BoxStream, MORE, Stream};
use crate::graph::{KeyBuilder, Op, TaskContext, Value};
use crate::shuffle::{Found, Merging, ShuffleLog, Span, Tally, Writing, Written};
use crate::{Error, ErrorKind, Result};
use chunkstore_store::serial;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;

impl<T: Item> Bag<T> {
    /// For each key, its elements folded from `initial` on, in each partition and then, by `combine`, over these in order. Keys are the same as elements are for [`Bag::frequencies`].
    ///
    /// Each partition is folded in a table of limited size, and what the tables hold goes through the append log to where it is combined: so any number of keys
    /// takes bounded memory. Where results grow, as lists do, the table makes way when they take a few MiB, encoded; that of one key is held as a whole. `initial` is folded into each partition's part of a key, as often as the table was full, so that it should change nothing where it is
    /// combined twice. The order of the keys is fixed, but says nothing.
    ///
    /// ```
    /// use chunkstore::bag;
    /// let sums = bag::range(10, 3).foldby(|x| x % 2, 0, |sum, x| sum + x, |a, b| a + b);
    /// let mut sums = sums.compute()?;
    /// sums.sort();
    /// assert_eq!(sums, [(0, 20), (1, 25)]);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn foldby<K, A, G, F, C>(&self, key: G, initial: A, binop: F, combine: C) -> Bag<(K, A)>
    where
        K: Item,
        A: Item + Clone + Sync,
        G: Fn(&T) -> K + Send + Sync + 'static,
        F: Fn(A, T) -> A + Send + Sync + 'static,
        C: Fn(A, A) -> A + Send + Sync + 'static,
    {
        let op = Op::of(&key);
        self.folded("foldby", op, KeyMade(key), initial, binop, combine, Location::caller())
    }

    /// As [`Bag::foldby`], by keys that the elements have in them, which are not copied for each.
    ///
    /// ```
    /// use chunkstore::bag;
    /// let sold = bag::from_sequence([("pear", 2u32), ("fig", 3), ("pear", 4)].map(|(name, n)| (name.to_string(), n)), 2);
    /// let mut sold = sold.foldby_ref(|(name, _)| name, 0, |sum, (_, n)| sum + n, |a, b| a + b).compute()?;
    /// sold.sort();
    /// assert_eq!(sold, [("fig".to_string(), 3), ("pear".to_string(), 6)]);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn foldby_ref<K, A, G, F, C>(&self, key: G, initial: A, binop: F, combine: C) -> Bag<(K, A)>
    where
        K: Item,
        A: Item + Clone + Sync,
        G: Fn(&T) -> &K + Send + Sync + 'static,
        F: Fn(A, T) -> A + Send + Sync + 'static,
        C: Fn(A, A) -> A + Send + Sync + 'static,
    {
        let op = Op::of(&key);
        self.folded("foldby_ref", op, KeyWithin(key), initial, binop, combine, Location::caller())
    }

    #[allow(clippy::too_many_arguments)]
    fn folded<K, A, G, F, C>(
        &self,
        name: &'static str,
        key_op: Op,
        key: G,
        initial: A,
        binop: F,
        combine: C,
        line: &'static Location<'static>,
    ) -> Bag<(K, A)>
    where
        K: Item,
        A: Item + Clone + Sync,
        G: KeyOf<T, K>,
        F: Fn(A, T) -> A + Send + Sync + 'static,
        C: Fn(A, A) -> A + Send + Sync + 'static,
    {
        let ops = [key_op, Op::of(&binop), Op::of(&combine)];
        let own = function_key(name, &ops);
        let mut encoded = Vec::new();
        let initial_encoded = serial::encode(&initial, &mut encoded);
        let known = Known::both(initial_encoded.is_ok() && ops.iter().all(Op::is_shared));
        let own = match initial_encoded {
            Ok(()) => KeyBuilder::new("bag.foldby", 1).input(own).bytes(&encoded).finish(),
            Err(_) => KeyBuilder::new("bag.foldby", 1).nonce().finish(),
        };
        let with = move |folded: Option<A>, item: T| binop(folded.unwrap_or_else(|| initial.clone()), item);
        let folding = Arc::new(Folding { key, with, combine, types: PhantomData });
        let read = Arc::new(Folded { folding: folding.clone(), item: |key, folded| (key, folded) });
        Shuffle { write: folding, read, key: own, read_key: own, known, npartitions: None, extra: Vec::new(), line }.of(self)
    }

    /// Each element once. Which are the same is said at [`Bag::frequencies`].
    ///
    /// ```
    /// use chunkstore::bag;
    /// let mut letters = bag::from_sequence(["b", "a", "b"].map(String::from), 2).distinct().compute()?;
    /// letters.sort();
    /// assert_eq!(letters, ["a", "b"]);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn distinct(&self) -> Bag<T> {
        self.frequencies().plain_step("distinct", &[], Location::caller(), |inner, _| {
            Box::new(super::map::Map { inner, f: |(item, _): (T, u64)| Ok(item) })
        })
    }

    /// The first element of each key. Keys are the same as elements are for [`Bag::frequencies`].
    ///
    /// ```
    /// use chunkstore::bag;
    /// let words = bag::from_sequence(["bee", "ant", "bat", "ape"].map(String::from), 2);
    /// let mut first = words.distinct_by(|word| word.chars().next()).compute()?;
    /// first.sort();
    /// assert_eq!(first, ["ant", "bee"]);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn distinct_by<K: Item, G: Fn(&T) -> K + Send + Sync + 'static>(&self, key: G) -> Bag<T> {
        let (op, line) = (Op::of(&key), Location::caller());
        let known = Known::both(op.is_shared());
        let own = function_key("distinct_by", &[op]);
        let with = |first: Option<T>, item: T| first.unwrap_or(item);
        let folding = Arc::new(Folding { key: KeyMade(key), with, combine: |first: T, _: T| first, types: PhantomData });
        let read = Arc::new(Folded { folding: folding.clone(), item: |_: K, first: T| first });
        Shuffle { write: folding, read, key: own, read_key: own, known, npartitions: None, extra: Vec::new(), line }.of(self)
    }
}

/// The key of an element.
trait KeyOf<T, K>: Send + Sync + 'static {
    /// Appends it to `out`.
    fn encode(&self, item: &T, out: &mut Vec<u8>) -> Result<()>;
}

/// A function that makes the key.
struct KeyMade<G>(G);

impl<T, K: Item, G: Fn(&T) -> K + Send + Sync + 'static> KeyOf<T, K> for KeyMade<G> {
    #[inline]
    fn encode(&self, item: &T, out: &mut Vec<u8>) -> Result<()> {
        encode_key(&(self.0)(item), out)
    }
}

/// A function that says where the key is.
struct KeyWithin<G>(G);

impl<T, K: Item, G: Fn(&T) -> &K + Send + Sync + 'static> KeyOf<T, K> for KeyWithin<G> {
    #[inline]
    fn encode(&self, item: &T, out: &mut Vec<u8>) -> Result<()> {
        encode_key((self.0)(item), out)
    }
}

/// The types of a fold: elements, keys, and what is folded.
type Types<T, K, A> = PhantomData<fn(T) -> (K, A)>;

/// Folds the elements of each key.
struct Folding<T, K, A, G, F, C> {
    key: G,
    with: F,
    combine: C,
    types: Types<T, K, A>,
}

impl<T, K, A, G, F, C> Tally for Folding<T, K, A, G, F, C>
where
    T: Item,
    K: Item,
    A: Item,
    G: Send + Sync + 'static,
    F: Send + Sync + 'static,
    C: Fn(A, A) -> A + Send + Sync + 'static,
{
    type Accs = Vec<Option<A>>;

    fn merge(&self, accs: &mut Self::Accs, found: Found<'_>, value: &[u8]) -> Result<u64> {
        let (other, _) = serial::decode::<A>(value, usize::MAX)?;
        let bytes = serial::heap_bytes(&other);
        if found.is_new {
            *found.cell = accs.len() as u64;
            accs.push(Some(other));
            return Ok(bytes);
        }
        let folded = accs.get_mut(*found.cell as usize).ok_or_else(lost)?;
        *folded = Some(match folded.take() {
            Some(folded) => (self.combine)(folded, other),
            None => other,
        });
        Ok(bytes)
    }

    fn encode(&self, accs: &Self::Accs, cell: u64, out: &mut Vec<u8>) -> Result<()> {
        let folded = accs.get(cell as usize).and_then(Option::as_ref).ok_or_else(lost)?;
        Ok(serial::encode(folded, out)?)
    }

    #[inline]
    fn touch(&self, accs: &Self::Accs, cell: u64) {
        std::hint::black_box(accs.get(cell as usize).is_some_and(Option::is_some));
    }

    fn clear(&self, accs: &mut Self::Accs) {
        accs.clear();
    }

    fn acc_bytes(&self) -> u64 {
        // A vector that grows holds up to three times what is in it.
        3 * size_of::<Option<A>>() as u64
    }

    fn on_heap(&self) -> bool {
        std::mem::needs_drop::<A>()
    }

    fn heap_bytes(&self, accs: &Self::Accs, cell: u64) -> u64 {
        accs.get(cell as usize).and_then(Option::as_ref).map_or(0, serial::heap_bytes)
    }
}

fn lost() -> Error {
    Error::new(ErrorKind::Invalid, "a fold lost what it had folded; this is a defect of the engine")
}

impl<T, K, A, G, F, C> Write<T> for Folding<T, K, A, G, F, C>
where
    T: Item,
    K: Item,
    A: Item,
    G: KeyOf<T, K>,
    F: Fn(Option<A>, T) -> A + Send + Sync + 'static,
    C: Fn(A, A) -> A + Send + Sync + 'static,
{
    fn name(&self) -> &'static str {
        "foldby_write"
    }

    fn scratch(&self, partitions: u32) -> u64 {
        Writing::bytes(self, partitions)
    }

    fn write(&self, task: &TaskContext<'_>, log: &Arc<ShuffleLog>, mut rows: BoxStream<T>, _extra: &[Value]) -> Result<Written> {
        let mut writing = Writing::new(self, log, task)?;
        let mut batch = Batch::new();
        rows.each(&mut |item| {
            if batch.push(item, |item, keys| self.key.encode(item, keys))? {
                self.fold(&mut writing, &mut batch)?;
            }
            Ok(MORE)
        })?;
        self.fold(&mut writing, &mut batch)?;
        writing.commit()
    }
}

impl<T, K, A, G, F, C> Folding<T, K, A, G, F, C>
where
    T: Item,
    A: Item,
    F: Fn(Option<A>, T) -> A,
    Self: Tally<Accs = Vec<Option<A>>>,
{
    /// Folds the elements of a batch, in order, and empties it.
    #[inline]
    fn fold(&self, writing: &mut Writing<'_, Self>, batch: &mut Batch<T>) -> Result<()> {
        let Batch { items, keys, spans, held } = batch;
        let bytes = std::mem::take(held) + items.len() as u64 * GROWTH;
        let mut items = items.drain(..);
        writing.add_all(keys, spans, |accs, found| {
            let Some(item) = items.next() else { return Err(lost()) };
            if found.is_new {
                *found.cell = accs.len() as u64;
                accs.push(Some((self.with)(None, item)));
                return Ok(());
            }
            let folded = accs.get_mut(*found.cell as usize).ok_or_else(lost)?;
            *folded = Some((self.with)(folded.take(), item));
            Ok(())
        })?;
        keys.clear();
        spans.clear();
        writing.took(bytes)
    }
}

/// So many elements have their keys looked for together, or fewer that hold so many bytes: as many as glibc keeps freed blocks of a size at hand for a thread.
const TOGETHER: usize = 7;
const LARGE: u64 = 64 << 10;

/// What is folded is taken to grow by so many bytes an element, beside what the element holds, until that is looked at.
const GROWTH: u64 = 64;

/// Elements whose keys are looked for together, as the processor then waits for memory once.
struct Batch<T> {
    items: Vec<T>,
    keys: Vec<u8>,
    spans: Vec<Span>,
    /// What the elements hold on the heap.
    held: u64,
}

impl<T: Item> Batch<T> {
    fn new() -> Self {
        Batch { items: Vec::with_capacity(TOGETHER), keys: Vec::new(), spans: Vec::with_capacity(TOGETHER), held: 0 }
    }

    /// Takes an element, and its key by `encode`; whether there are enough now.
    #[inline]
    fn push(&mut self, item: T, encode: impl FnOnce(&T, &mut Vec<u8>) -> Result<()>) -> Result<bool> {
        let begin = self.keys.len();
        encode(&item, &mut self.keys)?;
        let (Ok(start), Ok(len)) = (u32::try_from(begin), u32::try_from(self.keys.len() - begin)) else {
            return Err(Error::new(ErrorKind::Unsupported, "keys of 4 GiB or more"));
        };
        self.spans.push((start, len));
        self.held += serial::heap_bytes(&item);
        self.items.push(item);
        Ok(self.items.len() >= TOGETHER || self.held + self.keys.len() as u64 > LARGE)
    }
}

/// Keys and what is folded of each, combined, as elements.
struct Folded<Y, I> {
    folding: Arc<Y>,
    item: I,
}

/// A fold that a log is read by.
trait Reading: Tally<Accs = Vec<Option<Self::Acc>>> {
    type Key: Item;
    type Acc: Item;
}

impl<T, K, A, G, F, C> Reading for Folding<T, K, A, G, F, C>
where
    T: Item,
    K: Item,
    A: Item,
    G: Send + Sync + 'static,
    F: Send + Sync + 'static,
    C: Fn(A, A) -> A + Send + Sync + 'static,
{
    type Key = K;
    type Acc = A;
}

impl<Y, I, U> Read<U> for Folded<Y, I>
where
    Y: Reading,
    U: Item,
    I: Fn(Y::Key, Y::Acc) -> U + Copy + Send + Sync + 'static,
{
    fn name(&self) -> &'static str {
        "foldby"
    }

    fn scratch(&self) -> u64 {
        Merging::bytes(&*self.folding)
    }

    fn open(&self, task: &TaskContext<'_>, log: &Arc<ShuffleLog>, partition: u32) -> Result<BoxStream<U>> {
        Ok(Box::new(Folds { merging: Merging::new(self.folding.clone(), log, partition, task)?, item: self.item }))
    }
}

struct Folds<Y: Tally, I> {
    merging: Merging<Y>,
    item: I,
}

impl<Y, I, U> Stream<U> for Folds<Y, I>
where
    Y: Reading,
    U: Item,
    I: Fn(Y::Key, Y::Acc) -> U + 'static,
{
    fn next(&mut self) -> Option<Result<U>> {
        let item = &self.item;
        let next = self.merging.next(|accs, key, cell| {
            let folded = accs.get_mut(cell as usize).and_then(Option::take).ok_or_else(lost)?;
            Ok(item(element(key)?, folded))
        });
        next.transpose()
    }
}
