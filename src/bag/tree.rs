//! What becomes of each partition, and then of these in groups: a few elements of many, as a fixed tree.
//!
//! As a [`Reduction`](super::reduce::Reduction), whose steps each give one value; these give elements, which are stored one by one and need not be held together.

use super::lazy::Bag;
use super::pipeline::{Item, Upstream};
use super::regroup::Regroup;
use super::stored::store;
use super::stream::BoxStream;
use super::work::{Act, Work};
use crate::Result;
use crate::graph::{Key, KeyBuilder, LayerRef, Size, Sizes, TaskContext, Value};
use std::panic::Location;
use std::sync::Arc;

/// The partials that become one in a step: fewer where they are large, as they are in memory together.
const SPLIT_EVERY: u64 = 16;
const TOGETHER: u64 = 32 << 20;

/// What an element is taken to hold beside its own size.
const BESIDE: u64 = 64;

/// Where in the tree a step stands: partitions are of level 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) level: u32,
    pub(super) block: u32,
}

/// Makes a few elements of many.
pub(super) type Shrink<S, A> = dyn Fn(&TaskContext<'_>, Place, BoxStream<S>) -> Result<BoxStream<A>> + Send + Sync;

/// A tree in the making.
pub(super) struct Tree<S, A> {
    /// The name shown for its tasks.
    pub(super) name: &'static str,
    /// What tells it from others.
    pub(super) key: Key,
    /// What becomes of a partition.
    pub(super) chunk: Arc<Shrink<S, A>>,
    /// What becomes of what became of partitions, in order; where there is one partition it is not called.
    pub(super) combine: Arc<Shrink<A, A>>,
    /// About how many elements a step gives at most.
    pub(super) elements: usize,
    pub(super) line: &'static Location<'static>,
}

impl<S: Item, A: Item> Tree<S, A> {
    /// The one partition that is made of a bag's.
    pub(super) fn of(&self, bag: &Bag<S>) -> Bag<A> {
        Bag::at(bag.upstream().map(|upstream| self.over(upstream)), self.line)
    }

    /// The layer of one block that is made of partitions.
    pub(super) fn over(&self, upstream: Upstream<S>) -> LayerRef {
        let mut layer: LayerRef = Arc::new(Work::new(upstream, self.step(0, self.chunk.clone())));
        let mut level = 1;
        let partial = (self.elements as u64).saturating_mul(size_of::<A>() as u64 + BESIDE);
        let every = (TOGETHER / partial.max(1)).clamp(2, SPLIT_EVERY) as u32;
        while layer.blocks() > 1 {
            let grouped = Regroup::every(Upstream::<A>::Stored(layer), every);
            layer = Arc::new(Work::new(Upstream::Streamed(Arc::new(grouped)), self.step(level, self.combine.clone())));
            level += 1;
        }
        layer
    }

    fn step<X: Item>(&self, level: u32, shrink: Arc<Shrink<X, A>>) -> Arc<dyn Act<X>> {
        let key = KeyBuilder::new("tree", 1).input(self.key).number(level.into()).finish();
        Arc::new(Step { name: self.name, key, level, shrink, elements: self.elements as u64, line: self.line })
    }
}

/// A step of a tree.
struct Step<S, A> {
    name: &'static str,
    key: Key,
    level: u32,
    shrink: Arc<Shrink<S, A>>,
    elements: u64,
    line: &'static Location<'static>,
}

impl<S: Item, A: Item> Act<S> for Step<S, A> {
    fn name(&self) -> &str {
        self.name
    }

    fn key(&self) -> Key {
        self.key
    }

    fn sizes(&self, _partition: u32, estimate: u64) -> Sizes {
        let few = self.elements.saturating_mul(size_of::<A>() as u64 + 16).min(estimate);
        Sizes { out: Size::Learned(few), scratch: (64 << 10) + few.saturating_mul(3), load: 0 }
    }

    fn run(&self, task: &TaskContext<'_>, rows: BoxStream<S>, _extra: &[Value]) -> Result<Value> {
        let place = Place { level: self.level, block: task.block() };
        store(task, &mut *(self.shrink)(task, place, rows)?)
    }

    fn location(&self) -> Option<&'static Location<'static>> {
        Some(self.line)
    }
}
