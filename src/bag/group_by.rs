//! Groups of elements by key, as streams.

use super::frequencies::{element, encode_key};
use super::lazy::{Bag, function_key};
use super::pipeline::Item;
use super::shuffled::{Known, Read, Shuffle, Write};
use super::stream::{BoxStream, ENOUGH, Flow, MORE, Rows, Stream};
use crate::graph::{Holding, Key, KeyBuilder, Op, TaskContext, Value};
use crate::shuffle::{Groups, ShuffleLog, Spread, Values, Written, bucket, hash};
use crate::{Error, ErrorKind, Result};
use chunkstore_store::serial::{self, heap_bytes};
use std::fmt::Display;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;

impl<T: Item> Bag<T> {
    /// The elements by key: what is to become of each group is said by a method of [`Grouped`]. Keys are the same as elements are for [`Bag::frequencies`].
    ///
    /// All elements go through the append log once, on disk where they do not fit into memory. A group comes as a stream of its elements in their order, so that a key of any
    /// size takes bounded memory. Where each group is only folded, [`Bag::foldby`] moves far less.
    ///
    /// ```
    /// use chunkstore::bag;
    /// let sums = bag::range(10, 3).group_by(|x| x % 2).map(|(parity, rows)| (parity, rows.sum::<u64>()));
    /// let mut sums = sums.compute()?;
    /// sums.sort();
    /// assert_eq!(sums, [(0, 20), (1, 25)]);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn group_by<K: Item, G: Fn(&T) -> K + Send + Sync + 'static>(&self, key: G) -> Grouped<K, T> {
        let op = Op::of(&key);
        let known = op.is_shared();
        let own = function_key("group_by", &[op]);
        Grouped {
            bag: self.clone(),
            write: Arc::new(ByKey { key, types: PhantomData }),
            own,
            known,
            npartitions: None,
            line: Location::caller(),
            key: PhantomData,
        }
    }
}

/// Elements by key, before it is said what becomes of each group: see [`Bag::group_by`].
pub struct Grouped<K: Item, T: Item> {
    bag: Bag<T>,
    write: Arc<dyn Write<T>>,
    own: Key,
    /// Whether the key means the same in another process of the same build.
    known: bool,
    npartitions: Option<usize>,
    line: &'static Location<'static>,
    key: PhantomData<fn() -> K>,
}

impl<K: Item, T: Item> Clone for Grouped<K, T> {
    fn clone(&self) -> Self {
        let Grouped { bag, write, own, known, npartitions, line, .. } = self;
        Grouped { bag: bag.clone(), write: write.clone(), own: *own, known: *known, npartitions: *npartitions, line, key: PhantomData }
    }
}

impl<K: Item, T: Item> std::fmt::Debug for Grouped<K, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Grouped<{}>({:?})", std::any::type_name::<K>(), self.bag)
    }
}

impl<K: Item, T: Item> Grouped<K, T> {
    /// The number of partitions of what is made of the groups; about that of the bag where it is not said.
    pub fn npartitions(mut self, npartitions: usize) -> Self {
        self.npartitions = Some(npartitions);
        self
    }

    /// What a function makes of each key and the stream of its elements.
    #[track_caller]
    pub fn map<U: Item, F: Fn((K, Rows<T>)) -> U + Send + Sync + 'static>(&self, f: F) -> Bag<U> {
        let op = Op::of(&f);
        let known = op.is_shared();
        self.through((function_key("map", &[op]), known), move |group, _| Ok(std::iter::once(f(group))))
    }

    /// As [`Grouped::map`], with a function that can fail: its first error ends the computation.
    #[track_caller]
    pub fn try_map<U: Item, E: Display, F>(&self, f: F) -> Bag<U>
    where
        F: Fn((K, Rows<T>)) -> std::result::Result<U, E> + Send + Sync + 'static,
    {
        let line = Location::caller();
        let op = Op::of(&f);
        let known = op.is_shared();
        self.through((function_key("try_map", &[op]), known), move |group, _| match f(group) {
            Ok(made) => Ok(std::iter::once(made)),
            Err(e) => Err(Error::new(ErrorKind::Failed, e.to_string()).from_line(line)),
        })
    }

    /// All elements that a function makes of each key and the stream of its elements.
    #[track_caller]
    pub fn flat_map<U: Item, I, F>(&self, f: F) -> Bag<U>
    where
        I: IntoIterator<Item = U>,
        I::IntoIter: 'static,
        F: Fn((K, Rows<T>)) -> I + Send + Sync + 'static,
    {
        let op = Op::of(&f);
        let known = op.is_shared();
        self.through((function_key("flat_map", &[op]), known), move |group, _| Ok(f(group).into_iter()))
    }

    /// Each key with all its elements, as Dask's `groupby` gives them. The elements of one key are in memory at once.
    ///
    /// ```
    /// use chunkstore::bag;
    /// let mut groups = bag::range(5, 2).group_by(|x| x % 2).lists().compute()?;
    /// groups.sort();
    /// assert_eq!(groups, [(0, vec![0, 2, 4]), (1, vec![1, 3])]);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn lists(&self) -> Bag<(K, Vec<T>)> {
        self.through((KeyBuilder::new("lists", 1).finish(), true), |(key, rows): (K, Rows<T>), holding| {
            // The list before has been taken.
            holding.set(0)?;
            let mut list = Vec::new();
            for item in rows {
                holding.add(size_of::<T>() as u64 + heap_bytes(&item))?;
                list.push(item);
            }
            Ok(std::iter::once((key, list)))
        })
    }

    /// Each key and the number of its elements.
    #[track_caller]
    pub fn count(&self) -> Bag<(K, u64)> {
        self.through((KeyBuilder::new("count", 1).finish(), true), |(key, rows): (K, Rows<T>), _| {
            Ok(std::iter::once((key, rows.fold(0, |n, _| n + 1))))
        })
    }

    /// The key is that of what is made of each group, and whether it means the same in another process.
    fn through<U: Item, I, F>(&self, (key, known): (Key, bool), f: F) -> Bag<U>
    where
        I: Iterator<Item = U> + 'static,
        F: Fn((K, Rows<T>), &mut Holding) -> Result<I> + Send + Sync + 'static,
    {
        let read = Arc::new(ByGroup { f: Arc::new(f), types: PhantomData });
        let Grouped { bag, write, own, npartitions, line, .. } = self;
        let key_of = |name: &str| KeyBuilder::new(name, 1).input(*own).text(std::any::type_name::<T>());
        // What is written does not depend on what is read of it.
        let (key, read_key) = (key_of("bag.group_by").finish(), key_of("bag.groups").input(key).finish());
        let known = Known { write: self.known, read: known };
        Shuffle { write: write.clone(), read, key, read_key, known, npartitions: *npartitions, extra: Vec::new(), line }.of(bag)
    }
}

/// Writes elements by key.
struct ByKey<K, G> {
    key: G,
    types: PhantomData<fn() -> K>,
}

impl<K: Item, T: Item, G: Fn(&T) -> K + Send + Sync + 'static> Write<T> for ByKey<K, G> {
    fn name(&self) -> &'static str {
        "group_by_write"
    }

    fn scratch(&self, partitions: u32) -> u64 {
        Spread::bytes(partitions)
    }

    fn write(&self, task: &TaskContext<'_>, log: &Arc<ShuffleLog>, mut rows: BoxStream<T>, _extra: &[Value]) -> Result<Written> {
        let mut spread = Spread::new(log, task.block().into(), task.arena())?;
        let partitions = log.partitions();
        let (mut key, mut value) = (Vec::new(), Vec::new());
        rows.each(&mut |item| {
            key.clear();
            value.clear();
            encode_key(&(self.key)(&item), &mut key)?;
            serial::encode(&item, &mut value)?;
            spread.push_record(bucket(hash(&key), partitions), &key, &value)?;
            Ok(MORE)
        })?;
        spread.commit()
    }
}

/// The types of groups: keys, elements, and the iterator of what is made of them.
type Types<K, T, I> = PhantomData<fn(K, T) -> I>;

/// Makes something of each group.
struct ByGroup<K, T, I, F> {
    f: Arc<F>,
    types: Types<K, T, I>,
}

impl<K, T, U, I, F> Read<U> for ByGroup<K, T, I, F>
where
    K: Item,
    T: Item,
    U: Item,
    I: Iterator<Item = U> + 'static,
    F: Fn((K, Rows<T>), &mut Holding) -> Result<I> + Send + Sync + 'static,
{
    fn name(&self) -> &'static str {
        "group_by"
    }

    fn scratch(&self) -> u64 {
        Groups::bytes()
    }

    fn open(&self, task: &TaskContext<'_>, log: &Arc<ShuffleLog>, partition: u32) -> Result<BoxStream<U>> {
        let groups = Groups::new(log, partition, task)?;
        Ok(Box::new(GroupStream { groups, f: self.f.clone(), open: None, holding: task.holding(), types: PhantomData }))
    }
}

struct GroupStream<K, T, I, F> {
    groups: Groups,
    f: Arc<F>,
    /// What is being given of a group, and what failed in it.
    open: Option<(I, super::stream::Failed)>,
    /// What is held of a group.
    holding: Holding,
    types: Types<K, T, I>,
}

impl<K, T, U, I, F> Stream<U> for GroupStream<K, T, I, F>
where
    K: Item,
    T: Item,
    U: Item,
    I: Iterator<Item = U> + 'static,
    F: Fn((K, Rows<T>), &mut Holding) -> Result<I> + 'static,
{
    fn next(&mut self) -> Option<Result<U>> {
        loop {
            if let Some((made, failed)) = &mut self.open {
                let next = made.next();
                if let Err(error) = failed.take() {
                    self.open = None;
                    return Some(Err(error));
                }
                match next {
                    Some(item) => return Some(Ok(item)),
                    None => self.open = None,
                }
            }
            let (key, values) = match self.groups.next(element::<K>) {
                Ok(group) => group?,
                Err(error) => return Some(Err(error)),
            };
            let (rows, failed) = Rows::new(Box::new(ValueStream { values, item: PhantomData }));
            match (self.f)((key, rows), &mut self.holding) {
                Ok(made) => self.open = Some((made, failed)),
                Err(error) => return Some(Err(failed.take().err().unwrap_or(error))),
            }
        }
    }
}

/// The elements of a group.
struct ValueStream<T> {
    values: Values,
    item: PhantomData<fn() -> T>,
}

impl<T: Item> Stream<T> for ValueStream<T> {
    fn next(&mut self) -> Option<Result<T>> {
        self.values.next(|bytes| Ok(serial::decode(bytes, usize::MAX)?.0)).transpose()
    }

    fn each(&mut self, take: &mut dyn FnMut(T) -> Result<Flow>) -> Result<Flow> {
        while let Some(item) = self.values.next(|bytes| Ok(serial::decode(bytes, usize::MAX)?.0))? {
            if take(item)?.is_break() {
                return Ok(ENOUGH);
            }
        }
        Ok(MORE)
    }
}
