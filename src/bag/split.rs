//! Partitions that are parts of others.

use super::pipeline::{Item, Pipeline};
use super::regroup::missing;
use super::stored::{Stored, records};
use super::stream::{BoxStream, Flow, MORE, Stream};
use crate::Result;
use crate::graph::{Dependency, Key, KeyBuilder, LayerRef, TaskContext, Value};
use std::marker::PhantomData;
use std::sync::Arc;

/// The parts of stored partitions, by the number of elements. They are stored, since their number of elements has to be known.
pub(super) struct Split<T> {
    layer: LayerRef,
    /// Where the parts of each partition begin, counted over all parts; one more entry than partitions.
    starts: Arc<[u32]>,
    key: Key,
    item: PhantomData<fn() -> T>,
}

impl<T: Item> Split<T> {
    pub(super) fn new(layer: LayerRef, starts: Arc<[u32]>) -> Self {
        let key = KeyBuilder::new("bag.split", 1).input(layer.key()).numbers(starts.iter().map(|start| u64::from(*start)));
        Split { key: key.finish(), layer, starts, item: PhantomData }
    }

    /// The partition that a part is of, which part of it, and how many it has.
    fn find(&self, part: u32) -> (u32, u32, u32) {
        let whole = self.starts.partition_point(|start| *start <= part).saturating_sub(1);
        let at = |i: usize| self.starts.get(i).copied().unwrap_or(0);
        (whole as u32, part - at(whole).min(part), at(whole + 1).saturating_sub(at(whole)).max(1))
    }
}

impl<T: Item> Pipeline<T> for Split<T> {
    fn name(&self) -> &str {
        "repartition"
    }

    fn key(&self) -> Key {
        self.key
    }

    fn inputs(&self) -> Vec<LayerRef> {
        vec![self.layer.clone()]
    }

    fn partitions(&self) -> u32 {
        self.starts.last().copied().unwrap_or(0)
    }

    fn dependencies(&self, partition: u32, first: u32, out: &mut Vec<Dependency>) {
        out.push(Dependency { input: first, block: self.find(partition).0 });
    }

    fn estimate(&self, partition: u32) -> u64 {
        let (whole, _, parts) = self.find(partition);
        self.layer.sizes(whole).out.bytes().div_ceil(parts.into())
    }

    fn open(&self, task: &TaskContext<'_>, partition: u32, inputs: &[Value]) -> Result<BoxStream<T>> {
        let records = records(inputs.first().ok_or_else(missing)?)?.clone();
        let (_, part, parts) = self.find(partition);
        // The product does not fit into 64 bits.
        let at = |i: u32| (u128::from(records.count) * u128::from(i) / u128::from(parts)) as u64;
        let (skip, left) = (at(part), at(part + 1) - at(part));
        Ok(Box::new(Part { inner: Stored::new(records, task.cancellation()), skip, left }))
    }

    fn with_inputs(&self, inputs: &[LayerRef]) -> Option<Arc<dyn Pipeline<T>>> {
        let [layer] = inputs else { return None };
        Some(Arc::new(Split::<T>::new(layer.clone(), self.starts.clone())))
    }

    fn absorb(&self, _input: usize) -> Option<Arc<dyn Pipeline<T>>> {
        None
    }
}

/// Some elements of a stored partition, after others that are passed over.
struct Part<T> {
    inner: Stored<T>,
    skip: u64,
    left: u64,
}

impl<T: Item> Stream<T> for Part<T> {
    fn next(&mut self) -> Option<Result<T>> {
        self.left = self.left.checked_sub(1)?;
        while self.skip > 0 {
            self.skip -= 1;
            if let Err(error) = self.inner.next()? {
                return Some(Err(error));
            }
        }
        self.inner.next()
    }

    fn each_str(&mut self, take: &mut dyn FnMut(&str) -> Result<Flow>) -> Result<Flow> {
        let Part { inner, skip, left } = self;
        if *left == 0 {
            return Ok(MORE);
        }
        let mut enough = MORE;
        inner.each_str(&mut |text| {
            if *skip > 0 {
                *skip -= 1;
                return Ok(MORE);
            }
            *left -= 1;
            enough = take(text)?;
            Ok(if *left == 0 { super::stream::ENOUGH } else { enough })
        })?;
        Ok(enough)
    }
}
