//! Sorting: elements go to ranges of keys through the append log, and each range is sorted by itself.
//!
//! ```text
//! sample --> splitters --> write: each element to its range --> gather: sort in memory, or in runs that are merged
//! ```
//! Splitters are quantiles of a sample, and a key that would be several of them has a range of its own, which needs no sorting: so no key is too frequent. How long runs are follows
//! from the bytes of a range, which follow from the data.

use super::lazy::{Bag, function_key};
use super::pipeline::Item;
use super::shuffled::{Known, Read, Shuffle, Write};
use super::stored::records;
use super::stream::{BoxStream, ENOUGH, Flow, FromIter, MORE, Stream};
use super::tree::{Shrink, Tree};
use crate::graph::{Cancellation, KeyBuilder, Op, TaskContext, Value};
use crate::shuffle::{ShuffleLog, Spread, Written, next_record};
use crate::{Error, ErrorKind, Result};
use chunkstore_store::{Buffer, ByteLog, Gather, serial};
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;

/// The keys of all samples together, about, and those of a partition's, at the most and at the least. Each task that writes looks at all.
const SAMPLES: usize = 1 << 15;
const SAMPLE: usize = 512;
const LEAST_SAMPLE: usize = 8;

/// Times the encoded bytes of all samples that are held while splitters are made of them.
const SAMPLES_HELD: u64 = 8;

/// The least bytes of a run.
const RUN: u64 = 8 << 20;

/// What the allocator adds to an element and its key.
const ADDED: u64 = 32;

/// What reading a run takes while it is merged: a block of the log.
const OPEN: u64 = 4 << 20;

impl<T: Item> Bag<T> {
    /// The elements by ascending keys; those of equal keys stay in their order. Wrap keys in [`std::cmp::Reverse`] for descending ones.
    ///
    /// The bag is read twice, unless it is cheap to do so it is stored meanwhile: for a sample of its keys, and to be sorted. Partitions are ranges of keys, in order, of about equal size.
    ///
    /// ```
    /// use chunkstore::bag;
    /// let words = bag::from_sequence(["pear", "fig", "apple", "kiwi"].map(String::from), 2);
    /// assert_eq!(words.sort_by(|word| word.len()).compute()?, ["fig", "pear", "kiwi", "apple"]);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn sort_by<K: Item + Ord + Clone + Sync, G: Fn(&T) -> K + Send + Sync + 'static>(&self, key: G) -> Bag<T> {
        let line = Location::caller();
        let op = Op::of(&key);
        // Splitters follow from the bag and the function.
        let known = Known::both(op.is_shared());
        let own = function_key("sort_by", &[op]);
        let key = Arc::new(key);
        let by = key.clone();
        let most = (SAMPLES / self.npartitions().unwrap_or(1).max(1)).clamp(LEAST_SAMPLE, SAMPLE);
        let chunk: Arc<Shrink<T, Sample<K>>> = Arc::new(move |task, _, rows| {
            let sample = sampled(task, rows, most, &*by)?;
            Ok(Box::new(FromIter(std::iter::once(Ok(sample)))))
        });
        // Samples are put together one by one.
        let combine: Arc<Shrink<Sample<K>, Sample<K>>> = Arc::new(|_, _, samples| Ok(samples));
        let own_sample = KeyBuilder::new("bag.sample", 1).input(own).finish();
        let sample = Tree { name: "sample", key: own_sample, chunk, combine, elements: most, line };
        let splitters = sample.of(self).stored_layer().cloned();
        let extra = match splitters {
            Ok(layer) => vec![layer],
            Err(error) => return Bag::at(Err(error), line),
        };
        let write = Arc::new(ByRange { key: key.clone(), types: PhantomData });
        let read = Arc::new(Sort { key, types: PhantomData });
        Shuffle { write, read, key: own, read_key: own, known, npartitions: None, extra, line }.of(self)
    }
}

/// A sample of keys, and how many elements each stands for.
type Sample<K> = (Vec<K>, u64);

/// Every so many-th key of a partition, so that there are `most`.
fn sampled<T: Item, K: Item>(task: &TaskContext<'_>, mut rows: BoxStream<T>, most: usize, key: &dyn Fn(&T) -> K) -> Result<Sample<K>> {
    let (mut keys, mut step, mut count) = (Vec::new(), 1u64, 0u64);
    let mut encoded = Vec::new();
    rows.each(&mut |item| {
        if count.is_multiple_of(step) {
            let key = key(&item);
            // What a key holds on the heap is taken to be what it takes encoded.
            encoded.clear();
            serial::encode(&key, &mut encoded)?;
            task.claim(encoded.len() as u64)?;
            keys.push(key);
            if keys.len() > most {
                let mut at = 0;
                keys.retain(|_| {
                    at += 1;
                    at % 2 == 1
                });
                step *= 2;
            }
        }
        count += 1;
        Ok(MORE)
    })?;
    Ok((keys, step))
}

/// The keys between ranges.
struct Splitters<K> {
    /// Each with whether the next range begins behind it, in place of at it.
    keys: Vec<(K, bool)>,
}

impl<K: Ord + Clone> Splitters<K> {
    /// For so many ranges of about equal weight.
    fn new(samples: Vec<Sample<K>>, ranges: u32) -> Self {
        let mut all: Vec<(K, u64)> = samples.into_iter().flat_map(|(keys, step)| keys.into_iter().map(move |key| (key, step))).collect();
        all.sort_by(|a, b| a.0.cmp(&b.0));
        let total: u128 = all.iter().map(|(_, step)| u128::from(*step)).sum();
        let mut quantiles: Vec<(K, u32)> = Vec::new();
        let (mut seen, mut range) = (0u128, 1u128);
        for (key, step) in &all {
            seen += u128::from(*step);
            while range < u128::from(ranges) && seen * u128::from(ranges) > total * range {
                match quantiles.last_mut() {
                    Some((last, times)) if last == key => *times += 1,
                    _ => quantiles.push((key.clone(), 1)),
                }
                range += 1;
            }
        }
        let mut keys = Vec::new();
        for (key, times) in quantiles {
            keys.push((key.clone(), false));
            if times > 1 {
                keys.push((key, true));
            }
        }
        Splitters { keys }
    }

    /// The range of a key.
    fn range(&self, key: &K) -> u32 {
        self.keys.partition_point(|(splitter, behind)| match key.cmp(splitter) {
            Ordering::Less => false,
            Ordering::Equal => !behind,
            Ordering::Greater => true,
        }) as u32
    }
}

/// Writes elements to their ranges.
struct ByRange<K, G> {
    key: Arc<G>,
    types: PhantomData<fn() -> K>,
}

impl<K: Item + Ord + Clone, T: Item, G: Fn(&T) -> K + Send + Sync + 'static> Write<T> for ByRange<K, G> {
    fn name(&self) -> &'static str {
        "sort_by_write"
    }

    fn scratch(&self, partitions: u32) -> u64 {
        Spread::bytes(partitions)
    }

    fn write(&self, task: &TaskContext<'_>, log: &Arc<ShuffleLog>, mut rows: BoxStream<T>, extra: &[Value]) -> Result<Written> {
        let missing = || Error::new(ErrorKind::Graph, "a sort has no splitters; this is a defect of the engine");
        let samples = extra.first().ok_or_else(missing)?;
        // Decoded, sorted and cut down to splitters: no part of that is stated before, as nobody knows how large keys are.
        task.claim(samples.nbytes().saturating_mul(SAMPLES_HELD))?;
        let samples = records(samples)?.iter::<Sample<K>>().collect::<std::result::Result<Vec<_>, _>>()?;
        let splitters = Splitters::new(samples, log.partitions());
        let mut spread = Spread::new(log, task.block().into(), task.arena())?;
        let mut value = Vec::new();
        rows.each(&mut |item| {
            value.clear();
            serial::encode(&item, &mut value)?;
            spread.push_record(splitters.range(&(self.key)(&item)), &[], &value)?;
            Ok(MORE)
        })?;
        spread.commit()
    }
}

/// Sorts a range.
struct Sort<K, G> {
    key: Arc<G>,
    types: PhantomData<fn() -> K>,
}

impl<K, T, G> Read<T> for Sort<K, G>
where
    K: Item + Ord + Clone,
    T: Item,
    G: Fn(&T) -> K + Send + Sync + 'static,
{
    fn name(&self) -> &'static str {
        "sort_by"
    }

    fn scratch(&self) -> u64 {
        1 << 20
    }

    fn open(&self, task: &TaskContext<'_>, log: &Arc<ShuffleLog>, partition: u32) -> Result<BoxStream<T>> {
        let bytes = log.sizes(partition)?.bytes;
        // Runs as long as there will be many, by what each takes while they are merged.
        let run = RUN.max((bytes as f64 * OPEN as f64).sqrt() as u64);
        // A range of one key is in order: where it is another, that is found at once.
        if bytes > RUN && self.is_one_key(log, partition, task)? {
            return Ok(Box::new(Elements::new(log.gather(partition)?, task.cancellation())));
        }
        let mut elements = Elements::<T>::new(log.gather(partition)?, task.cancellation());
        let mut rows = Vec::new();
        let last = self.fill(task, &mut elements, run, &mut rows)?;
        if last {
            rows.sort_by(|a, b| a.0.cmp(&b.0));
            return Ok(Box::new(Sorted(rows.into_iter())));
        }
        let count = (bytes / run) as u32 + 2;
        task.reserve(ByteLog::LEAST_MEMORY + Spread::bytes(count) + u64::from(count) * OPEN)?;
        let runs = Arc::new(ShuffleLog::within(task.arena(), &task.room(), count, ByteLog::LEAST_MEMORY)?);
        let (mut spread, mut number, mut last) = (Spread::new(&runs, 0, task.arena())?, 0, last);
        let mut value = Vec::new();
        loop {
            rows.sort_by(|a, b| a.0.cmp(&b.0));
            for (_, item) in rows.drain(..) {
                value.clear();
                serial::encode(&item, &mut value)?;
                spread.push_record(number, &[], &value)?;
            }
            number += 1;
            if last {
                break;
            }
            last = self.fill(task, &mut elements, run, &mut rows)?;
        }
        runs.seal(spread.commit()?)?;
        drop(rows);
        let mut merge = Merge { runs: Vec::new(), heads: BinaryHeap::new(), key: self.key.clone(), _log: runs.clone() };
        for number in 0..number {
            let mut elements = Elements::new(runs.gather(number)?, task.cancellation());
            if let Some(item) = elements.next().transpose()? {
                merge.heads.push(Next { key: (self.key)(&item), run: number, item });
            }
            merge.runs.push(elements);
        }
        Ok(Box::new(merge))
    }
}

impl<K: Item + Ord, G> Sort<K, G> {
    /// Takes elements into memory until there are `run` bytes of them; whether those are all.
    fn fill<T: Item>(&self, task: &TaskContext<'_>, elements: &mut Elements<T>, run: u64, rows: &mut Vec<(K, T)>) -> Result<bool>
    where
        G: Fn(&T) -> K,
    {
        let mut counted = rows.len();
        let (mut taken, mut claimed) = (0u64, rows.capacity() as u64 * size_of::<(K, T)>() as u64);
        loop {
            let before = elements.read;
            let Some(item) = elements.next().transpose()? else { return Ok(true) };
            taken += elements.read - before;
            let key = (self.key)(&item);
            if rows.len() == rows.capacity() {
                // Large allocations grow in place: a quarter at a time costs little, and doubling would leave up to half unused. Sorting takes half as much again.
                let more = rows.len() / 4 + 1024;
                let all = (rows.len() + more) as u64 * size_of::<(K, T)>() as u64 * 3 / 2;
                task.claim(all.saturating_sub(claimed))?;
                claimed = claimed.max(all);
                rows.reserve_exact(more);
                // What elements and keys hold beside is taken to be what they take encoded, and what the allocator adds.
                task.claim(taken * 2 + (rows.len() - counted) as u64 * ADDED)?;
                (taken, counted) = (0, rows.len());
            }
            rows.push((key, item));
            if elements.read >= run {
                elements.read = 0;
                return Ok(false);
            }
        }
    }

    /// Whether all elements of a partition have one key.
    fn is_one_key<T: Item>(&self, log: &ShuffleLog, partition: u32, task: &TaskContext<'_>) -> Result<bool>
    where
        G: Fn(&T) -> K,
    {
        let mut elements = Elements::<T>::new(log.gather(partition)?, task.cancellation());
        let Some(first) = elements.next().transpose()? else { return Ok(true) };
        let first = (self.key)(&first);
        let flow = elements.each(&mut |item| Ok(if (self.key)(&item) == first { MORE } else { ENOUGH }))?;
        Ok(flow == Flow::More)
    }
}

/// The elements of a partition of a log, decoded one by one.
struct Elements<T> {
    gather: Gather,
    entry: Option<(Buffer, usize)>,
    /// The bytes of elements that were read.
    read: u64,
    cancellation: Cancellation,
    item: PhantomData<fn() -> T>,
}

impl<T: Item> Elements<T> {
    fn new(gather: Gather, cancellation: Cancellation) -> Self {
        Elements { gather, entry: None, read: 0, cancellation, item: PhantomData }
    }

    fn element(&mut self) -> Result<Option<T>> {
        loop {
            if let Some((bytes, at)) = &mut self.entry {
                let rest = bytes.get(*at..).unwrap_or_default();
                if let Some((record, more)) = next_record(rest)? {
                    *at = bytes.len() - more.len();
                    self.read += record.whole.len() as u64;
                    return Ok(Some(serial::decode(record.value, usize::MAX)?.0));
                }
            }
            self.cancellation.check()?;
            match self.gather.next().transpose()? {
                Some(entry) => self.entry = Some((entry.into_bytes(), 0)),
                None => return Ok(None),
            }
        }
    }
}

impl<T: Item> Stream<T> for Elements<T> {
    fn next(&mut self) -> Option<Result<T>> {
        self.element().transpose()
    }
}

/// Rows that are sorted.
struct Sorted<K, T>(std::vec::IntoIter<(K, T)>);

impl<K: 'static, T: 'static> Stream<T> for Sorted<K, T> {
    fn next(&mut self) -> Option<Result<T>> {
        self.0.next().map(|(_, item)| Ok(item))
    }
}

/// Sorted runs, merged.
struct Merge<K, T, G> {
    runs: Vec<Elements<T>>,
    heads: BinaryHeap<Next<K, T>>,
    key: Arc<G>,
    _log: Arc<ShuffleLog>,
}

/// The next element of a run: the least key is the greatest here, and of equal ones that of the first run.
struct Next<K, T> {
    key: K,
    run: u32,
    item: T,
}

impl<K: Ord, T> PartialEq for Next<K, T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<K: Ord, T> Eq for Next<K, T> {}

impl<K: Ord, T> PartialOrd for Next<K, T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K: Ord, T> Ord for Next<K, T> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.key.cmp(&self.key).then(other.run.cmp(&self.run))
    }
}

impl<K: Ord + 'static, T: Item, G: Fn(&T) -> K + 'static> Stream<T> for Merge<K, T, G> {
    fn next(&mut self) -> Option<Result<T>> {
        let Next { run, item, .. } = self.heads.pop()?;
        match self.runs.get_mut(run as usize)?.element() {
            Ok(Some(item)) => self.heads.push(Next { key: (self.key)(&item), run, item }),
            Ok(None) => {}
            Err(error) => return Some(Err(error)),
        }
        Some(Ok(item))
    }
}
