//! Where the ranges of a sort begin: quantiles of a sample of its keys.
//!
//! ```text
//! partitions --> a sample of each --> all samples --> splitters
//! ```
//! Samples are smaller where there are more partitions, or keys are large: what is put together keeps to a few MiB.

use super::lazy::Bag;
use super::pipeline::{Item, Upstream};
use super::stored::store;
use super::stream::{BoxStream, FromIter, MORE};
use super::tree::{Shrink, Tree};
use super::work::{Act, Work};
use crate::Result;
use crate::graph::{Holding, Key, KeyBuilder, LayerRef, Size, Sizes, TaskContext, Value};
use chunkstore_store::serial::heap_bytes;
use std::cmp::Ordering;
use std::panic::Location;
use std::sync::Arc;

/// The keys of all samples together, about, and those of a partition's, at the most and at the least.
const SAMPLES: usize = 1 << 15;
const SAMPLE: usize = 512;
const LEAST_SAMPLE: usize = 8;

/// The bytes in memory, about, of a sample of several partitions, of the samples of all partitions together, and of one at the least; it has one key in any case.
const SAMPLE_BYTES: u64 = 2 << 20;
const SAMPLES_BYTES: u64 = 16 << 20;
const LEAST_BYTES: u64 = 32 << 10;

/// A sample of keys, each with how many elements it stands for.
type Sample<K> = Vec<(K, u64)>;

/// A key between ranges, and whether the next one begins behind it, in place of at it.
type Splitter<K> = (K, bool);

/// The layer of one block that has the splitters between so many ranges.
pub(super) fn splitters<T: Item, K: Item + Ord + Clone>(
    bag: &Bag<T>,
    own: Key,
    ranges: u32,
    key: Arc<impl Fn(&T) -> K + Send + Sync + 'static>,
    line: &'static Location<'static>,
) -> Result<LayerRef> {
    let partitions = bag.npartitions()?.max(1);
    let keys = (SAMPLES / partitions).clamp(LEAST_SAMPLE, SAMPLE);
    let bytes = (SAMPLES_BYTES / partitions as u64).clamp(LEAST_BYTES, SAMPLE_BYTES);
    let chunk: Arc<Shrink<T, Sample<K>>> = Arc::new(move |task, _, rows| {
        let sample = sampled(task, rows, (keys, bytes), &*key)?;
        Ok(Box::new(FromIter(std::iter::once(Ok(sample)))))
    });
    let combine: Arc<Shrink<Sample<K>, Sample<K>>> = Arc::new(|task, _, samples| {
        let sample = joined(task, samples)?;
        Ok(Box::new(FromIter(std::iter::once(Ok(sample)))))
    });
    let own_sample = KeyBuilder::new("bag.sample", 1).input(own).finish();
    let sample = Tree { name: "sample", key: own_sample, chunk, combine, elements: keys, line };
    let own = KeyBuilder::new("bag.splitters", 1).input(own).number(ranges.into()).finish();
    let samples = Upstream::Stored(sample.of(bag).stored_layer()?.clone());
    Ok(Arc::new(Work::<Sample<K>>::new(samples, Arc::new(Quantiles { own, ranges, line }))))
}

/// Every so many-th key of a partition, so that there are at most so many, of so many bytes.
fn sampled<T: Item, K: Item>(
    task: &TaskContext<'_>,
    mut rows: BoxStream<T>,
    most: (usize, u64),
    key: &dyn Fn(&T) -> K,
) -> Result<Sample<K>> {
    let (mut keys, mut step, mut count) = (Vec::new(), 1u64, 0u64);
    let mut holding = task.holding();
    rows.each(&mut |item| {
        if count.is_multiple_of(step) {
            let key = key(&item);
            holding.add(held_by(&key))?;
            keys.push(key);
            while keys.len() > most.0 || holding.held() > most.1 && keys.len() > 1 {
                let mut at = 0;
                keys.retain(|key| {
                    at += 1;
                    if at % 2 == 0 {
                        holding.sub(held_by(key));
                    }
                    at % 2 == 1
                });
                step *= 2;
            }
        }
        count += 1;
        Ok(MORE)
    })?;
    Ok(keys.into_iter().map(|key| (key, step)).collect())
}

/// One sample of several: where it is too large, each second key in order stands for the one before as well.
fn joined<K: Item + Ord>(task: &TaskContext<'_>, mut samples: BoxStream<Sample<K>>) -> Result<Sample<K>> {
    let (mut all, mut holding) = (Sample::<K>::new(), task.holding());
    samples.each(&mut |sample| {
        for key in sample {
            holding.add(held_by(&key))?;
            all.push(key);
        }
        while holding.held() > SAMPLE_BYTES && all.len() > 1 {
            all.sort_by(|a, b| a.0.cmp(&b.0));
            let mut rest = std::mem::take(&mut all).into_iter();
            while let Some((key, weight)) = rest.next() {
                match rest.next() {
                    Some((next, more)) => {
                        holding.sub(size_of::<(K, u64)>() as u64 + heap_bytes(&key));
                        all.push((next, weight + more));
                    }
                    None => all.push((key, weight)),
                }
            }
        }
        Ok(MORE)
    })?;
    Ok(all)
}

/// The bytes of a key in memory.
fn held_by<K: Item>(key: &K) -> u64 {
    size_of::<K>() as u64 + heap_bytes(key)
}

/// Makes splitters of samples.
struct Quantiles {
    own: Key,
    ranges: u32,
    line: &'static Location<'static>,
}

impl<K: Item + Ord + Clone> Act<Sample<K>> for Quantiles {
    fn name(&self) -> &str {
        "splitters"
    }

    fn key(&self) -> Key {
        self.own
    }

    fn sizes(&self, _partition: u32, estimate: u64) -> Sizes {
        let few = u64::from(self.ranges) * (size_of::<K>() as u64 + 16);
        Sizes { out: Size::Learned(few), scratch: 4 * estimate.min(SAMPLE_BYTES) + (64 << 10), load: 0 }
    }

    fn run(&self, task: &TaskContext<'_>, mut samples: BoxStream<Sample<K>>, _extra: &[Value]) -> Result<Value> {
        let (mut all, mut holding) = (Vec::new(), task.holding());
        samples.each(&mut |sample| {
            for key in sample {
                // Once more, as the list is sorted.
                holding.add(size_of::<(K, u64)>() as u64 + held_by(&key))?;
                all.push(key);
            }
            Ok(MORE)
        })?;
        let splitters = quantiles(all, self.ranges, &mut holding)?;
        store(task, &mut FromIter(splitters.into_iter().map(Ok)))
    }

    fn location(&self) -> Option<&'static Location<'static>> {
        Some(self.line)
    }
}

/// The splitters between so many ranges of about equal weight. A key that would be several of them has a range of its own.
fn quantiles<K: Item + Ord + Clone>(mut all: Vec<(K, u64)>, ranges: u32, holding: &mut Holding) -> Result<Vec<Splitter<K>>> {
    all.sort_by(|a, b| a.0.cmp(&b.0));
    let total: u128 = all.iter().map(|(_, step)| u128::from(*step)).sum();
    let mut quantiles: Vec<(&K, u32)> = Vec::new();
    let (mut seen, mut range) = (0u128, 1u128);
    for (key, step) in &all {
        seen += u128::from(*step);
        while range < u128::from(ranges) && seen * u128::from(ranges) > total * range {
            match quantiles.last_mut() {
                Some((last, times)) if *last == key => *times += 1,
                _ => quantiles.push((key, 1)),
            }
            range += 1;
        }
    }
    let mut splitters = Vec::new();
    for (key, times) in quantiles {
        holding.add(2 * held_by(key))?;
        splitters.push((key.clone(), false));
        if times > 1 {
            splitters.push((key.clone(), true));
        }
    }
    Ok(splitters)
}

/// The keys between ranges.
pub(super) struct Splitters<K>(Vec<Splitter<K>>);

impl<K: Item + Ord> Splitters<K> {
    /// Those that a block of the layer has.
    pub(super) fn read(task: &TaskContext<'_>, block: &Value) -> Result<Self> {
        let (mut splitters, mut holding) = (Vec::new(), task.holding());
        for splitter in super::stored::records(block)?.iter::<Splitter<K>>() {
            let splitter = splitter?;
            holding.add(held_by(&splitter))?;
            splitters.push(splitter);
        }
        holding.keep();
        Ok(Splitters(splitters))
    }

    /// The range of a key.
    pub(super) fn range(&self, key: &K) -> u32 {
        self.0.partition_point(|(splitter, behind)| match key.cmp(splitter) {
            Ordering::Less => false,
            Ordering::Equal => !behind,
            Ordering::Greater => true,
        }) as u32
    }
}
