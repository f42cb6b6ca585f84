//! Partitions made of runs of other partitions.

use super::lazy::Bag;
use super::pipeline::{Item, Pipeline, Upstream};
use super::stream::{BoxStream, ENOUGH, Flow, MORE, Stream};
use crate::Result;
use crate::graph::{Dependency, Key, KeyBuilder, LayerRef, TaskContext, Value};
use crate::{Error, ErrorKind};
use std::collections::VecDeque;
use std::panic::Location;
use std::sync::Arc;

/// Partitions of which each is several of another bag's after each other.
pub(super) struct Regroup<T> {
    upstream: Upstream<T>,
    /// Where the partitions of each begin; one more entry than partitions.
    starts: Arc<[u32]>,
    key: Key,
}

impl<T: Item> Regroup<T> {
    pub(super) fn new(upstream: Upstream<T>, starts: Arc<[u32]>) -> Self {
        let key = KeyBuilder::new("bag.regroup", 1).input(upstream.key()).numbers(starts.iter().map(|start| u64::from(*start))).finish();
        Regroup { upstream, starts, key }
    }

    /// Partitions of `every` each.
    pub(super) fn every(upstream: Upstream<T>, every: u32) -> Self {
        let partitions = upstream.partitions();
        let groups = partitions.div_ceil(every.max(1));
        let starts = (0..=groups).map(|group| group.saturating_mul(every).min(partitions)).collect();
        Regroup::new(upstream, starts)
    }

    fn range(&self, partition: u32) -> std::ops::Range<u32> {
        let at = |i: u32| self.starts.get(i as usize).copied().unwrap_or(0);
        at(partition)..at(partition + 1)
    }

    fn on(&self, upstream: Upstream<T>) -> Arc<dyn Pipeline<T>> {
        Arc::new(Regroup::new(upstream, self.starts.clone()))
    }
}

impl<T: Item> Pipeline<T> for Regroup<T> {
    fn name(&self) -> &str {
        "repartition"
    }

    fn key(&self) -> Key {
        self.key
    }

    fn inputs(&self) -> Vec<LayerRef> {
        self.upstream.inputs()
    }

    fn partitions(&self) -> u32 {
        self.starts.len().saturating_sub(1) as u32
    }

    fn dependencies(&self, partition: u32, first: u32, out: &mut Vec<Dependency>) {
        self.range(partition).for_each(|partition| self.upstream.dependencies(partition, first, out));
    }

    fn estimate(&self, partition: u32) -> u64 {
        self.range(partition).map(|partition| self.upstream.estimate(partition)).sum()
    }

    fn scratch(&self, partition: u32) -> u64 {
        self.range(partition).map(|partition| self.upstream.scratch(partition)).sum()
    }

    fn open(&self, task: &TaskContext<'_>, partition: u32, inputs: &[Value]) -> Result<BoxStream<T>> {
        let mut rest = inputs;
        let mut streams = VecDeque::new();
        for partition in self.range(partition) {
            let (own, others) = rest.split_at_checked(self.upstream.width(partition)).ok_or_else(missing)?;
            streams.push_back(self.upstream.open(task, partition, own)?);
            rest = others;
        }
        Ok(Box::new(Chain(streams)))
    }

    fn with_inputs(&self, inputs: &[LayerRef]) -> Option<Arc<dyn Pipeline<T>>> {
        Some(self.on(self.upstream.with_inputs(inputs)?))
    }

    fn absorb(&self, input: usize) -> Option<Arc<dyn Pipeline<T>>> {
        Some(self.on(self.upstream.absorb(input)?))
    }

    fn is_cheap(&self) -> bool {
        false
    }
}

pub(super) fn missing() -> Error {
    Error::new(ErrorKind::Graph, "a partition was read of which a part is not there; this is a defect of the engine")
}

/// Streams one after the other.
pub(super) struct Chain<T>(pub(super) VecDeque<BoxStream<T>>);

impl<T: 'static> Stream<T> for Chain<T> {
    fn next(&mut self) -> Option<Result<T>> {
        loop {
            match self.0.front_mut()?.next() {
                Some(item) => return Some(item),
                None => drop(self.0.pop_front()),
            }
        }
    }

    fn each(&mut self, take: &mut dyn FnMut(T) -> Result<Flow>) -> Result<Flow> {
        while let Some(stream) = self.0.front_mut() {
            if stream.each(take)?.is_break() {
                return Ok(ENOUGH);
            }
            self.0.pop_front();
        }
        Ok(MORE)
    }

    fn each_str(&mut self, take: &mut dyn FnMut(&str) -> Result<Flow>) -> Result<Flow> {
        while let Some(stream) = self.0.front_mut() {
            if stream.each_str(take)?.is_break() {
                return Ok(ENOUGH);
            }
            self.0.pop_front();
        }
        Ok(MORE)
    }
}

/// All partitions of several bags after each other, as partitions of one.
///
/// ```
/// use chunkstore::bag;
/// let both = bag::concat(&[&bag::range(2, 1), &bag::range(3, 2)]);
/// assert_eq!((both.npartitions()?, both.compute()?), (3, vec![0, 1, 0, 1, 2]));
/// # Ok::<(), chunkstore::Error>(())
/// ```
#[track_caller]
pub fn concat<T: Item>(bags: &[&Bag<T>]) -> Bag<T> {
    let upstreams = bags.iter().map(|bag| bag.upstream()).collect::<Result<Vec<_>>>();
    Bag::of(upstreams.map(|upstreams| Arc::new(Concat::new(upstreams)) as Arc<dyn Pipeline<T>>), Location::caller())
}

/// Partitions of several bags.
pub(super) struct Concat<T> {
    upstreams: Vec<Upstream<T>>,
    key: Key,
    portable: bool,
}

impl<T: Item> Concat<T> {
    pub(super) fn new(upstreams: Vec<Upstream<T>>) -> Self {
        let keys: Vec<Key> = upstreams.iter().map(Upstream::key).collect();
        let portable = upstreams.iter().all(Upstream::is_portable);
        Concat { key: KeyBuilder::new("bag.concat", 1).inputs(keys.into_iter()).finish(), upstreams, portable }
    }

    /// The bag that a partition is of, where that bag's inputs begin, and the partition there.
    fn find(&self, partition: u32) -> Option<(&Upstream<T>, u32, u32)> {
        let (mut partition, mut first) = (partition, 0);
        for upstream in &self.upstreams {
            match partition.checked_sub(upstream.partitions()) {
                None => return Some((upstream, first, partition)),
                Some(rest) => partition = rest,
            }
            first += upstream.inputs().len() as u32;
        }
        None
    }
}

impl<T: Item> Pipeline<T> for Concat<T> {
    fn name(&self) -> &str {
        "concat"
    }

    fn key(&self) -> Key {
        self.key
    }

    fn inputs(&self) -> Vec<LayerRef> {
        self.upstreams.iter().flat_map(Upstream::inputs).collect()
    }

    fn partitions(&self) -> u32 {
        self.upstreams.iter().map(Upstream::partitions).sum()
    }

    fn dependencies(&self, partition: u32, first: u32, out: &mut Vec<Dependency>) {
        if let Some((upstream, input, partition)) = self.find(partition) {
            upstream.dependencies(partition, first + input, out);
        }
    }

    fn estimate(&self, partition: u32) -> u64 {
        self.find(partition).map_or(0, |(upstream, _, partition)| upstream.estimate(partition))
    }

    fn scratch(&self, partition: u32) -> u64 {
        self.find(partition).map_or(0, |(upstream, _, partition)| upstream.scratch(partition))
    }

    fn open(&self, task: &TaskContext<'_>, partition: u32, inputs: &[Value]) -> Result<BoxStream<T>> {
        let (upstream, _, partition) = self.find(partition).ok_or_else(missing)?;
        upstream.open(task, partition, inputs)
    }

    fn with_inputs(&self, inputs: &[LayerRef]) -> Option<Arc<dyn Pipeline<T>>> {
        let mut rest = inputs;
        let mut upstreams = Vec::with_capacity(self.upstreams.len());
        for upstream in &self.upstreams {
            let (own, others) = rest.split_at_checked(upstream.inputs().len())?;
            upstreams.push(upstream.with_inputs(own)?);
            rest = others;
        }
        Some(Arc::new(Concat::new(upstreams)))
    }

    fn absorb(&self, input: usize) -> Option<Arc<dyn Pipeline<T>>> {
        let mut upstreams = self.upstreams.clone();
        let mut input = input;
        for upstream in &mut upstreams {
            match input.checked_sub(upstream.inputs().len()) {
                None => {
                    *upstream = upstream.absorb(input)?;
                    return Some(Arc::new(Concat::new(upstreams)));
                }
                Some(rest) => input = rest,
            }
        }
        None
    }

    fn is_cheap(&self) -> bool {
        self.upstreams.iter().all(Upstream::is_cheap)
    }

    fn is_portable(&self) -> bool {
        self.portable
    }
}
