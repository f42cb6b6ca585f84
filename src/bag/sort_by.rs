//! Sorting: elements go to ranges of keys through the append log, and each range is sorted by itself.
//!
//! ```text
//! sample --> splitters --> write: each element to its range --> gather: sort in memory, or in runs that are merged
//! ```
//! Splitters are quantiles of a sample, and a key that would be several of them has a range of its own, which needs no sorting: so no key is too frequent. How long runs are follows
//! from the bytes of a range, which follow from the data, and from the bound. Where there are more runs than can be read at once, those that follow each other are merged into
//! fewer, in as many passes as it takes: so a range of any size is sorted within the same memory.

use super::lazy::{Bag, function_key};
use super::pipeline::Item;
use super::shuffled::{Known, Read, Shuffle, Write, partitions_behind};
use super::splitters::{Splitters, splitters};
use super::stream::{BoxStream, ENOUGH, Flow, MORE, Stream};
use crate::graph::{Cancellation, Holding, Op, TaskContext, Value};
use crate::shuffle::{ShuffleLog, Spread, Written, next_record};
use crate::{Error, ErrorKind, Result};
use chunkstore_store::serial::{self, heap_bytes};
use chunkstore_store::{Buffer, ByteLog, Gather};
use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;

/// The least bytes of a run, encoded, where there is much memory and where there is little, and the times as many that its elements may hold in memory.
const RUN: u64 = 8 << 20;
const LEAST_RUN: u64 = 1 << 20;
const IN_MEMORY: u64 = 4;

/// What reading a run takes while it is merged, at the most: a block of the log.
const OPEN: u64 = 4 << 20;

/// The least number of runs that are merged at once.
const LEAST_AT_ONCE: u64 = 4;

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
        let ranges = self.upstream().map(|upstream| partitions_behind(&upstream));
        let (ranges, extra) = match ranges.and_then(|ranges| Ok((ranges, splitters(self, own, ranges, key.clone(), line)?))) {
            Ok((ranges, layer)) => (ranges as usize, vec![layer]),
            Err(error) => return Bag::at(Err(error), line),
        };
        let write = Arc::new(ByRange { key: key.clone(), types: PhantomData });
        let read = Arc::new(Sort { key, types: PhantomData });
        Shuffle { write, read, key: own, read_key: own, known, npartitions: Some(ranges), extra, line }.of(self)
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
        let splitters = Splitters::read(task, extra.first().ok_or_else(missing)?)?;
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
        // A range of one key is in order: where it is another, that is found at once.
        let least = least_run(task);
        if bytes > least && self.is_one_key(log, partition, task)? {
            return Ok(Box::new(Elements::new(log.gather(partition)?, task.cancellation())));
        }
        let mut elements = Elements::<T>::new(log.gather(partition)?, task.cancellation());
        let (mut rows, mut holding) = (Vec::new(), task.holding());
        let part = part(task);
        let mut last = self.fill(&mut elements, run_of(least, part, bytes, OPEN), &mut rows, &mut holding)?;
        if last {
            rows.sort_by(|a, b| a.0.cmp(&b.0));
            holding.keep();
            return Ok(Box::new(Sorted(rows.into_iter())));
        }
        // The first run tells how much more elements are in memory, and how large runs are in the log.
        let times = (holding.held() / IN_MEMORY) as f64 / elements.read.max(1) as f64;
        let bytes = (bytes as f64 * times.max(1.0)) as u64;
        let open = OPEN.min(elements.read + elements.read / 4 + (64 << 10));
        let run = run_of(least, part, bytes, open);
        let most = ((bytes / run) as u32).saturating_add(2).saturating_mul(2);
        task.reserve(ByteLog::LEAST_MEMORY + Spread::bytes(most))?;
        let runs = Arc::new(ShuffleLog::within(task.arena(), &task.room(), most, ByteLog::LEAST_MEMORY)?);
        let (mut spread, mut number) = (Spread::new(&runs, 0, task.arena())?, 0);
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
            // Where elements are larger than the first were, the last run takes what is left.
            let run = if number + 1 < most { run } else { u64::MAX };
            last = self.fill(&mut elements, run, &mut rows, &mut holding)?;
        }
        drop(rows);
        holding.release();
        let at_once = (part / open).max(LEAST_AT_ONCE).min(number.into()) as u32;
        task.reserve(u64::from(at_once) * open)?;
        let written = spread.commit()?;
        if number > at_once {
            // Beside the log that is read, and holds little, there is one that is written.
            task.reserve(ByteLog::LEAST_MEMORY / 2 + Spread::bytes(number.div_ceil(at_once)))?;
            runs.settle()?;
        }
        runs.seal(written)?;
        let (runs, number) = self.fewer(runs, number, at_once, task)?;
        Ok(Box::new(self.merge(&runs, 0..number, task)?))
    }
}

/// The least bytes of a run: fewer where there is little memory, of which it takes an eighth.
fn least_run(task: &TaskContext<'_>) -> u64 {
    (task.arena().ledger().limit() / (8 * IN_MEMORY)).clamp(LEAST_RUN, RUN)
}

/// What runs may take at the most, one in memory or those that are merged: a quarter of the bound.
fn part(task: &TaskContext<'_>) -> u64 {
    task.arena().ledger().limit() / 4
}

/// The bytes of runs where there are so many in all, `least` or more: as long as makes one in memory take as much as all of them do while they are merged, and no more than `part`.
fn run_of(least: u64, part: u64, bytes: u64, open: u64) -> u64 {
    let balanced = (bytes as f64 * open as f64 / IN_MEMORY as f64).sqrt() as u64;
    balanced.min(part / IN_MEMORY).max(least)
}

impl<K: Item + Ord, G> Sort<K, G> {
    /// The first `number` of runs, merged into at most so many as are read at once; how many these are.
    fn fewer<T: Item>(
        &self,
        mut runs: Arc<ShuffleLog>,
        mut number: u32,
        at_once: u32,
        task: &TaskContext<'_>,
    ) -> Result<(Arc<ShuffleLog>, u32)>
    where
        G: Fn(&T) -> K + 'static,
    {
        let mut value = Vec::new();
        while number > at_once {
            let merged = number.div_ceil(at_once);
            let begin = |run: u32| (u64::from(run) * u64::from(number) / u64::from(merged)) as u32;
            let log = Arc::new(ShuffleLog::within(task.arena(), &task.room(), merged, ByteLog::LEAST_MEMORY)?);
            let mut spread = Spread::new(&log, 0, task.arena())?;
            for run in 0..merged {
                let mut merge = self.merge(&runs, begin(run)..begin(run + 1), task)?;
                while let Some(item) = merge.next().transpose()? {
                    value.clear();
                    serial::encode(&item, &mut value)?;
                    spread.push_record(run, &[], &value)?;
                }
            }
            let written = spread.commit()?;
            log.settle()?;
            log.seal(written)?;
            (runs, number) = (log, merged);
        }
        Ok((runs, number))
    }

    /// Some runs that follow each other, as one.
    fn merge<T: Item>(&self, runs: &Arc<ShuffleLog>, which: std::ops::Range<u32>, task: &TaskContext<'_>) -> Result<Merge<K, T, G>>
    where
        G: Fn(&T) -> K,
    {
        let mut merge =
            Merge { runs: Vec::new(), heads: BinaryHeap::new(), key: self.key.clone(), holding: task.holding(), _log: runs.clone() };
        for (number, run) in which.enumerate() {
            merge.runs.push(Elements::new(runs.gather(run)?, task.cancellation()));
            merge.advance(number as u32)?;
        }
        Ok(merge)
    }

    /// Takes elements into memory, in place of those that were there, until they are `run` bytes, or hold too much; whether those are all.
    fn fill<T: Item>(&self, elements: &mut Elements<T>, run: u64, rows: &mut Vec<(K, T)>, holding: &mut Holding) -> Result<bool>
    where
        G: Fn(&T) -> K,
    {
        // Sorting takes half as much again.
        let slots = |count: usize| count as u64 * size_of::<(K, T)>() as u64 * 3 / 2;
        rows.clear();
        holding.set(slots(rows.capacity()))?;
        elements.read = 0;
        loop {
            let Some(item) = elements.next().transpose()? else { return Ok(true) };
            let key = (self.key)(&item);
            if rows.len() == rows.capacity() {
                // Large allocations grow in place: a quarter at a time costs little, and doubling would leave up to half unused.
                let more = rows.len() / 4 + 1024;
                holding.add(slots(more))?;
                rows.reserve_exact(more);
            }
            holding.add(heap_bytes(&item) + heap_bytes(&key))?;
            rows.push((key, item));
            if elements.read >= run || holding.held() / IN_MEMORY >= run {
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
    holding: Holding,
    _log: Arc<ShuffleLog>,
}

impl<K: Item + Ord, T: Item, G: Fn(&T) -> K> Merge<K, T, G> {
    /// Takes the next element of a run.
    fn advance(&mut self, run: u32) -> Result<()> {
        let Some(item) = self.runs.get_mut(run as usize).map_or(Ok(None), Elements::element)? else { return Ok(()) };
        let key = (self.key)(&item);
        self.holding.add(heap_bytes(&item) + heap_bytes(&key))?;
        self.heads.push(Next { key, run, item });
        Ok(())
    }
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

impl<K: Item + Ord, T: Item, G: Fn(&T) -> K + 'static> Stream<T> for Merge<K, T, G> {
    fn next(&mut self) -> Option<Result<T>> {
        let Next { run, item, key } = self.heads.pop()?;
        self.holding.sub(heap_bytes(&item) + heap_bytes(&key));
        match self.advance(run) {
            Ok(()) => Some(Ok(item)),
            Err(error) => Some(Err(error)),
        }
    }
}
