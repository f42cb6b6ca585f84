//! Elements with those of a list that have an equal key.

use super::lazy::{Bag, from_sequence, function_key};
use super::pipeline::{Item, Pipeline, Upstream};
use super::regroup::missing;
use super::stored::{Stored, records};
use super::stream::{BoxStream, ENOUGH, Flow, MORE, Stream};
use crate::graph::{Dependency, Key, KeyBuilder, LayerRef, Op, TaskContext, Value};
use crate::{Error, ErrorKind, Result};
use chunkstore_store::serial::{allocated, heap_bytes};
use rustc_hash::FxHashMap;
use std::hash::{Hash, Hasher};
use std::panic::Location;
use std::sync::Arc;

/// What a bag can be joined with: a list, a bag of one partition, or a [`Delayed`](crate::delayed::Delayed) list.
pub trait Joined {
    /// The type of its elements.
    type Item: Item;

    /// The list as a bag of one partition.
    #[doc(hidden)]
    fn one_partition(self) -> Bag<Self::Item>;
}

impl<O: Item> Joined for &Bag<O> {
    type Item = O;

    fn one_partition(self) -> Bag<O> {
        self.clone()
    }
}

impl<O: Item> Joined for Vec<O> {
    type Item = O;

    fn one_partition(self) -> Bag<O> {
        from_sequence(self, 1)
    }
}

impl<O: Item, const N: usize> Joined for [O; N] {
    type Item = O;

    fn one_partition(self) -> Bag<O> {
        from_sequence(self, 1)
    }
}

impl<T: Item + Clone> Bag<T> {
    /// Each element with each of a list's that has an equal key: pairs of an element of the list and one of the bag, in the order of the bag, and for each of its elements
    /// in that of the list. The list is a `Vec` or an array, a bag of one partition or a delayed list; each task holds all of it in a hash table.
    ///
    /// ```
    /// use chunkstore::bag;
    /// let people = bag::from_sequence(["Alice", "Bob", "Charlie"].map(String::from), 2);
    /// let fruit = ["Apple", "Apricot", "Banana"].map(String::from);
    /// let first = |word: &String| word.chars().next();
    /// let pairs = people.join(fruit, first, first).starmap(|fruit, person| format!("{person}: {fruit}"));
    /// assert_eq!(pairs.compute()?, ["Alice: Apple", "Alice: Apricot", "Bob: Banana"]);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn join<O: Joined, K, F, G>(&self, other: O, on_self: F, on_other: G) -> Bag<(O::Item, T)>
    where
        O::Item: Clone,
        K: Hash + Eq + 'static,
        F: Fn(&T) -> K + Send + Sync + 'static,
        G: Fn(&O::Item) -> K + Send + Sync + 'static,
    {
        let line = Location::caller();
        let own = function_key("join", &[Op::of(&on_self), Op::of(&on_other)]);
        let pipeline = || {
            let (upstream, other) = (self.upstream()?, other.one_partition().stored_layer()?.clone());
            if other.blocks() != 1 {
                let message = format!("a bag is joined with one of {} partitions", other.blocks());
                return Err(Error::new(ErrorKind::Unsupported, message).hint("`repartition(1)` makes it one, which each task then holds"));
            }
            let on = Arc::new(On { own, on_self, on_other, line });
            Ok(Arc::new(Join::new(upstream, other, on)) as Arc<dyn Pipeline<(O::Item, T)>>)
        };
        Bag::of(pipeline(), line)
    }
}

/// What is compared.
struct On<F, G> {
    own: Key,
    on_self: F,
    on_other: G,
    line: &'static Location<'static>,
}

struct Join<T, O, K, F, G> {
    upstream: Upstream<T>,
    other: LayerRef,
    on: Arc<On<F, G>>,
    key: Key,
    types: std::marker::PhantomData<fn() -> (O, K)>,
}

impl<T: Item, O: Item, K, F, G> Join<T, O, K, F, G> {
    fn new(upstream: Upstream<T>, other: LayerRef, on: Arc<On<F, G>>) -> Self {
        let key = KeyBuilder::new("bag.join", 1).input(on.own).input(upstream.key()).input(other.key()).finish();
        Join { upstream, other, on, key, types: std::marker::PhantomData }
    }
}

impl<T, O, K, F, G> Pipeline<(O, T)> for Join<T, O, K, F, G>
where
    T: Item + Clone,
    O: Item + Clone,
    K: Hash + Eq + 'static,
    F: Fn(&T) -> K + Send + Sync + 'static,
    G: Fn(&O) -> K + Send + Sync + 'static,
{
    fn name(&self) -> &str {
        "join"
    }

    fn key(&self) -> Key {
        self.key
    }

    fn inputs(&self) -> Vec<LayerRef> {
        let mut inputs = self.upstream.inputs();
        inputs.push(self.other.clone());
        inputs
    }

    fn partitions(&self) -> u32 {
        self.upstream.partitions()
    }

    fn dependencies(&self, partition: u32, first: u32, out: &mut Vec<Dependency>) {
        self.upstream.dependencies(partition, first, out);
        out.push(Dependency { input: first + self.upstream.inputs().len() as u32, block: 0 });
    }

    fn estimate(&self, partition: u32) -> u64 {
        2 * self.upstream.estimate(partition)
    }

    fn scratch(&self, partition: u32) -> u64 {
        self.upstream.scratch(partition) + 4 * self.other.sizes(0).out.bytes()
    }

    fn open(&self, task: &TaskContext<'_>, partition: u32, inputs: &[Value]) -> Result<BoxStream<(O, T)>> {
        let (other, own) = inputs.split_last().ok_or_else(missing)?;
        let other = records(other)?.clone();
        // An entry of the table, the element in its list, and what both hold on the heap.
        let each = 2 * (size_of::<(K, Vec<O>)>() + 4 * size_of::<O>()) as u64;
        let mut holding = task.holding();
        let mut table = FxHashMap::<K, Vec<O>>::default();
        Stored::<O>::new(other, task.cancellation()).each(&mut |item| {
            let key = (self.on.on_other)(&item);
            holding.add(each + heap_bytes(&item) + hashed_bytes(&key))?;
            table.entry(key).or_default().push(item);
            Ok(MORE)
        })?;
        holding.keep();
        Ok(Box::new(Matches { inner: self.upstream.open(task, partition, own)?, table, on: self.on.clone(), open: None }))
    }

    fn with_inputs(&self, inputs: &[LayerRef]) -> Option<Arc<dyn Pipeline<(O, T)>>> {
        let (other, own) = inputs.split_last()?;
        Some(Arc::new(Join::<T, O, K, F, G>::new(self.upstream.with_inputs(own)?, other.clone(), self.on.clone())))
    }

    fn absorb(&self, input: usize) -> Option<Arc<dyn Pipeline<(O, T)>>> {
        let upstream = (input < self.upstream.inputs().len()).then(|| self.upstream.absorb(input)).flatten()?;
        Some(Arc::new(Join::<T, O, K, F, G>::new(upstream, self.other.clone(), self.on.clone())))
    }

    fn location(&self) -> Option<&'static Location<'static>> {
        Some(self.on.line)
    }
}

/// What a key holds on the heap: as much as it gives to a hasher.
fn hashed_bytes<K: Hash>(key: &K) -> u64 {
    struct Count(u64);
    impl Hasher for Count {
        fn finish(&self) -> u64 {
            self.0
        }

        fn write(&mut self, bytes: &[u8]) {
            self.0 += bytes.len() as u64;
        }
    }
    if !std::mem::needs_drop::<K>() {
        return 0;
    }
    let mut count = Count(0);
    key.hash(&mut count);
    allocated(count.0)
}

/// Elements with those of a table that have their key.
struct Matches<T, O, K, F, G> {
    inner: BoxStream<T>,
    table: FxHashMap<K, Vec<O>>,
    on: Arc<On<F, G>>,
    /// An element, its key, and how many of its pairs have been given.
    open: Option<(T, K, usize)>,
}

impl<T, O, K, F, G> Stream<(O, T)> for Matches<T, O, K, F, G>
where
    T: Clone + 'static,
    O: Clone + 'static,
    K: Hash + Eq,
    F: Fn(&T) -> K,
{
    fn next(&mut self) -> Option<Result<(O, T)>> {
        loop {
            if let Some((item, key, given)) = &mut self.open {
                let next = self.table.get(key).and_then(|list| list.get(*given));
                *given += 1;
                match next {
                    Some(other) => return Some(Ok((other.clone(), item.clone()))),
                    None => self.open = None,
                }
            }
            match self.inner.next()? {
                Ok(item) => {
                    let key = (self.on.on_self)(&item);
                    self.open = Some((item, key, 0));
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }

    fn each(&mut self, take: &mut dyn FnMut((O, T)) -> Result<Flow>) -> Result<Flow> {
        if self.open.is_some() {
            while let Some(item) = self.next() {
                if take(item?)?.is_break() {
                    return Ok(ENOUGH);
                }
            }
            return Ok(MORE);
        }
        let Matches { inner, table, on, .. } = self;
        inner.each(&mut |item| {
            for other in table.get(&(on.on_self)(&item)).into_iter().flatten() {
                if take((other.clone(), item.clone()))?.is_break() {
                    return Ok(ENOUGH);
                }
            }
            Ok(MORE)
        })
    }
}
