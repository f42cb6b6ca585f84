//! Elements together with one value: of another computation, or of what came before.

use super::pipeline::{Item, Pipeline, Upstream};
use super::regroup::missing;
use super::stored::records;
use super::stream::BoxStream;
use crate::Result;
use crate::graph::{Dependency, Key, KeyBuilder, LayerRef, TaskContext, Value};
use chunkstore_store::serial::heap_bytes;
use parking_lot::Mutex;
use std::panic::Location;
use std::sync::Arc;

/// Makes a stream of a stream and a value; none where there is no value.
pub(super) type Adapt<S, V, T> = dyn Fn(BoxStream<S>, Option<V>, u32) -> Result<BoxStream<T>> + Send + Sync;

/// A step whose partitions each take a block of another layer, which is one value.
pub(super) struct With<S, V, T> {
    name: &'static str,
    own: Key,
    key: Key,
    upstream: Upstream<S>,
    /// The layer of values, and the block of it that a partition takes.
    side: LayerRef,
    block: fn(u32) -> Option<u32>,
    adapt: Arc<Adapt<S, V, T>>,
    line: &'static Location<'static>,
    /// How many times as much values take in memory as encoded, where one was there.
    times: Mutex<f64>,
}

/// Values that take less, encoded, may be made by several tasks at once before it is known what they hold.
const LARGE: u64 = 64 << 10;

impl<S: Item, V: Item, T: Item> With<S, V, T> {
    pub(super) fn new(
        (name, own): (&'static str, Key),
        upstream: Upstream<S>,
        (side, block): (LayerRef, fn(u32) -> Option<u32>),
        adapt: Arc<Adapt<S, V, T>>,
        line: &'static Location<'static>,
    ) -> Self {
        let key = KeyBuilder::new("bag.with", 1).text(name).input(own).input(upstream.key()).input(side.key()).finish();
        With { name, own, key, upstream, side, block, adapt, line, times: Mutex::new(0.0) }
    }

    fn on(&self, upstream: Upstream<S>, side: LayerRef) -> Arc<dyn Pipeline<T>> {
        Arc::new(With::new((self.name, self.own), upstream, (side, self.block), self.adapt.clone(), self.line))
    }
}

impl<S: Item, V: Item, T: Item> Pipeline<T> for With<S, V, T> {
    fn name(&self) -> &str {
        self.name
    }

    fn key(&self) -> Key {
        self.key
    }

    fn inputs(&self) -> Vec<LayerRef> {
        let mut inputs = self.upstream.inputs();
        inputs.push(self.side.clone());
        inputs
    }

    fn partitions(&self) -> u32 {
        self.upstream.partitions()
    }

    fn dependencies(&self, partition: u32, first: u32, out: &mut Vec<Dependency>) {
        self.upstream.dependencies(partition, first, out);
        let input = first + self.upstream.inputs().len() as u32;
        out.extend((self.block)(partition).map(|block| Dependency { input, block }));
    }

    fn estimate(&self, partition: u32) -> u64 {
        self.upstream.estimate(partition)
    }

    fn whole(&self, partition: u32) -> u64 {
        self.upstream.whole(partition)
    }

    fn scratch(&self, partition: u32) -> u64 {
        let value = (self.block)(partition).map_or(0, |block| size_of::<V>() as u64 + self.side.sizes(block).out.bytes());
        self.upstream.scratch(partition) + value
    }

    fn open(&self, task: &TaskContext<'_>, partition: u32, inputs: &[Value]) -> Result<BoxStream<T>> {
        let (own, rest) = inputs.split_at_checked(self.upstream.width(partition)).ok_or_else(missing)?;
        let value = match rest.first() {
            Some(value) => {
                let records = records(value)?;
                let mut holding = task.holding();
                let decode = || records.clone().into_reader().next();
                // What a value holds is known once it is there: of one that is large the first is made by one task alone, and tells the others.
                let encoded = records.data.len() as u64;
                let mut times = (encoded > LARGE).then(|| self.times.lock());
                if let Some(known) = times.as_deref().filter(|known| **known > 0.0) {
                    holding.add((encoded as f64 * known) as u64)?;
                    times = None;
                } else {
                    holding.add(encoded)?;
                }
                let value = decode()?;
                let held = value.as_ref().map_or(0, heap_bytes::<V>);
                holding.set(held.max(encoded))?;
                if let Some(mut times) = times {
                    *times = held as f64 / encoded as f64;
                }
                // The stream has it.
                holding.keep();
                value
            }
            None => None,
        };
        (self.adapt)(self.upstream.open(task, partition, own)?, value, partition)
    }

    fn with_inputs(&self, inputs: &[LayerRef]) -> Option<Arc<dyn Pipeline<T>>> {
        let (side, own) = inputs.split_last()?;
        Some(self.on(self.upstream.with_inputs(own)?, side.clone()))
    }

    fn absorb(&self, input: usize) -> Option<Arc<dyn Pipeline<T>>> {
        // The value is made once, and not again for each partition.
        (input < self.upstream.inputs().len()).then(|| self.upstream.absorb(input)).flatten().map(|up| self.on(up, self.side.clone()))
    }

    fn location(&self) -> Option<&'static Location<'static>> {
        Some(self.line)
    }
}
