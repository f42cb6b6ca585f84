//! What gives the elements of a bag's partitions, one by one and without storing them; and what a step takes them from.
//!
//! Each step of a bag is a layer that stores its partitions (see `work.rs`) around a pipeline that streams them. Where nobody else needs
//! what a step takes, the optimiser has it absorb its input: then it streams from the input's pipeline, and nothing is stored between.

use super::stored::read;
use super::stream::{BoxStream, Cancellable};
use super::work::pipeline_of;
use crate::Result;
use crate::graph::{Dependency, Key, KeyBuilder, LayerRef, TaskContext, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::panic::Location;
use std::sync::Arc;

/// What can be an element of a bag: anything that serde can encode and decode, and that can be sent to another thread.
///
/// It holds for every such type; there is nothing to implement. Where elements are kept or shuffled, neither names nor types are encoded: a type of
/// which serde flattens a part (`flatten`), leaves fields out (`skip_serializing_if`), or finds out what comes by looking (`untagged`, `tag`) is an error then.
pub trait Item: Serialize + DeserializeOwned + Send + 'static {}
impl<T: Serialize + DeserializeOwned + Send + 'static> Item for T {}

/// What gives the elements of partitions.
pub(crate) trait Pipeline<T: 'static>: Send + Sync + 'static {
    /// A short readable name, as in Dask: `map`, `filter`, `read_text`.
    fn name(&self) -> &str;

    /// Equal work has equal keys.
    fn key(&self) -> Key;

    /// The layers that it takes blocks from.
    fn inputs(&self) -> Vec<LayerRef>;

    /// The number of partitions.
    fn partitions(&self) -> u32;

    /// Appends the blocks that a partition is made from; `input` counts from `first`.
    fn dependencies(&self, partition: u32, first: u32, out: &mut Vec<Dependency>);

    /// About how many bytes the encoded elements of a partition take.
    fn estimate(&self, partition: u32) -> u64;

    /// About how many bytes a partition is streamed from, of text or of elements that are made, where that can be done again for each consumer; 0 where it comes from elsewhere.
    fn whole(&self, _partition: u32) -> u64 {
        0
    }

    /// What the stream of a partition holds while it is read, beside its inputs.
    fn scratch(&self, _partition: u32) -> u64 {
        0
    }

    /// The elements of a partition. `inputs` are what [`Pipeline::dependencies`] named.
    fn open(&self, task: &TaskContext<'_>, partition: u32, inputs: &[Value]) -> Result<BoxStream<T>>;

    /// The same on other inputs.
    fn with_inputs(&self, inputs: &[LayerRef]) -> Option<Arc<dyn Pipeline<T>>>;

    /// The same, streaming from the pipeline of its `input`-th input; `None` if that cannot be streamed.
    fn absorb(&self, input: usize) -> Option<Arc<dyn Pipeline<T>>>;

    /// Whether it is cheap enough to be done again by each consumer.
    fn is_cheap(&self) -> bool {
        false
    }

    /// Whether its key means the same in another process of the same build: what it reads, and the functions that it runs, are known by it alone.
    fn is_portable(&self) -> bool {
        false
    }

    /// The line of the user's program that made it, where it runs the user's code.
    fn location(&self) -> Option<&'static Location<'static>> {
        None
    }
}

/// Where a step takes its elements from.
pub(crate) enum Upstream<S> {
    /// Stored partitions, one a block.
    Stored(LayerRef),
    /// A pipeline that is read as it goes.
    Streamed(Arc<dyn Pipeline<S>>),
}

impl<S> Clone for Upstream<S> {
    fn clone(&self) -> Self {
        match self {
            Upstream::Stored(layer) => Upstream::Stored(layer.clone()),
            Upstream::Streamed(pipeline) => Upstream::Streamed(pipeline.clone()),
        }
    }
}

impl<S: Item> Upstream<S> {
    pub(crate) fn key(&self) -> Key {
        match self {
            Upstream::Stored(layer) => layer.key(),
            Upstream::Streamed(pipeline) => pipeline.key(),
        }
    }

    pub(crate) fn inputs(&self) -> Vec<LayerRef> {
        match self {
            Upstream::Stored(layer) => vec![layer.clone()],
            Upstream::Streamed(pipeline) => pipeline.inputs(),
        }
    }

    pub(crate) fn partitions(&self) -> u32 {
        match self {
            Upstream::Stored(layer) => layer.blocks(),
            Upstream::Streamed(pipeline) => pipeline.partitions(),
        }
    }

    pub(crate) fn dependencies(&self, partition: u32, first: u32, out: &mut Vec<Dependency>) {
        match self {
            Upstream::Stored(_) => out.push(Dependency { input: first, block: partition }),
            Upstream::Streamed(pipeline) => pipeline.dependencies(partition, first, out),
        }
    }

    /// The number of blocks that a partition is made from.
    pub(crate) fn width(&self, partition: u32) -> usize {
        match self {
            Upstream::Stored(_) => 1,
            Upstream::Streamed(pipeline) => {
                let mut dependencies = Vec::new();
                pipeline.dependencies(partition, 0, &mut dependencies);
                dependencies.len()
            }
        }
    }

    pub(crate) fn estimate(&self, partition: u32) -> u64 {
        match self {
            Upstream::Stored(layer) => layer.sizes(partition).out.bytes(),
            Upstream::Streamed(pipeline) => pipeline.estimate(partition),
        }
    }

    pub(crate) fn whole(&self, partition: u32) -> u64 {
        match self {
            Upstream::Stored(_) => 0,
            Upstream::Streamed(pipeline) => pipeline.whole(partition),
        }
    }

    pub(crate) fn scratch(&self, partition: u32) -> u64 {
        match self {
            Upstream::Stored(_) => 0,
            Upstream::Streamed(pipeline) => pipeline.scratch(partition),
        }
    }

    pub(crate) fn open(&self, task: &TaskContext<'_>, partition: u32, inputs: &[Value]) -> Result<BoxStream<S>> {
        match self {
            Upstream::Stored(_) => read(task, inputs),
            Upstream::Streamed(pipeline) => pipeline.open(task, partition, inputs),
        }
    }

    pub(crate) fn with_inputs(&self, inputs: &[LayerRef]) -> Option<Upstream<S>> {
        match (self, inputs) {
            (Upstream::Stored(_), [input]) => Some(Upstream::Stored(input.clone())),
            (Upstream::Stored(_), _) => None,
            (Upstream::Streamed(pipeline), inputs) => pipeline.with_inputs(inputs).map(Upstream::Streamed),
        }
    }

    pub(crate) fn absorb(&self, input: usize) -> Option<Upstream<S>> {
        match self {
            Upstream::Stored(layer) => (input == 0).then(|| pipeline_of(layer)).flatten().map(Upstream::Streamed),
            Upstream::Streamed(pipeline) => pipeline.absorb(input).map(Upstream::Streamed),
        }
    }

    /// Whether its key means the same in another process of the same build.
    pub(crate) fn is_portable(&self) -> bool {
        match self {
            Upstream::Stored(layer) => layer.is_portable(),
            Upstream::Streamed(pipeline) => pipeline.is_portable(),
        }
    }

    pub(crate) fn is_cheap(&self) -> bool {
        match self {
            Upstream::Stored(_) => true,
            Upstream::Streamed(pipeline) => pipeline.is_cheap(),
        }
    }
}

/// Makes of the stream of a partition of elements `S` one of elements `T`.
pub(crate) type Adapt<S, T> = dyn Fn(BoxStream<S>, u32) -> BoxStream<T> + Send + Sync;

/// A step over one bag, partition by partition: `map`, `filter` and the like.
pub(crate) struct Step<S, T> {
    name: &'static str,
    /// What tells the step from others, apart from what it is over.
    own: Key,
    key: Key,
    upstream: Upstream<S>,
    adapt: Arc<Adapt<S, T>>,
    cheap: bool,
    /// Whether `own` means the same in another process of the same build, and all that of `upstream`.
    known: bool,
    portable: bool,
    /// Whether it looks for itself whether the run was cancelled: one element may become any number.
    looks: bool,
    line: Option<&'static Location<'static>>,
}

impl<S: Item, T: Item> Step<S, T> {
    pub(crate) fn new(
        name: &'static str,
        own: Key,
        upstream: Upstream<S>,
        adapt: Arc<Adapt<S, T>>,
        line: Option<&'static Location<'static>>,
    ) -> Self {
        let key = KeyBuilder::new("bag.step", 1).text(name).input(own).input(upstream.key()).finish();
        Step { name, own, key, upstream, adapt, cheap: false, known: false, portable: false, looks: false, line }
    }

    /// Says that it is cheap enough to be done by each consumer, where what it is over is.
    pub(crate) fn cheap(self) -> Self {
        Step { cheap: true, ..self }
    }

    /// Says that its own key means the same in another process of the same build: all functions and values that it runs with are in it.
    pub(crate) fn known(self, known: bool) -> Self {
        Step { known, portable: known && self.upstream.is_portable(), ..self }
    }

    /// Says that an element may become any number of elements: then cancelling is looked for among these.
    pub(crate) fn expanding(self) -> Self {
        Step { looks: true, ..self }
    }

    fn on(&self, upstream: Upstream<S>) -> Arc<dyn Pipeline<T>> {
        // The same elements by other means: the key stays what it was.
        let Step { name, own, key, adapt, cheap, known, looks, line, .. } = self;
        let key = match &upstream {
            Upstream::Stored(_) => KeyBuilder::new("bag.step", 1).text(name).input(*own).input(upstream.key()).finish(),
            Upstream::Streamed(_) => *key,
        };
        let portable = *known && upstream.is_portable();
        let adapt = adapt.clone();
        Arc::new(Step { name, own: *own, key, upstream, adapt, cheap: *cheap, known: *known, portable, looks: *looks, line: *line })
    }
}

impl<S: Item, T: Item> Pipeline<T> for Step<S, T> {
    fn name(&self) -> &str {
        self.name
    }

    fn key(&self) -> Key {
        self.key
    }

    fn inputs(&self) -> Vec<LayerRef> {
        self.upstream.inputs()
    }

    fn partitions(&self) -> u32 {
        self.upstream.partitions()
    }

    fn dependencies(&self, partition: u32, first: u32, out: &mut Vec<Dependency>) {
        self.upstream.dependencies(partition, first, out);
    }

    fn estimate(&self, partition: u32) -> u64 {
        self.upstream.estimate(partition)
    }

    fn whole(&self, partition: u32) -> u64 {
        self.upstream.whole(partition)
    }

    fn scratch(&self, partition: u32) -> u64 {
        self.upstream.scratch(partition)
    }

    fn open(&self, task: &TaskContext<'_>, partition: u32, inputs: &[Value]) -> Result<BoxStream<T>> {
        let stream = (self.adapt)(self.upstream.open(task, partition, inputs)?, partition);
        Ok(if self.looks { Box::new(Cancellable::new(stream, task.cancellation())) } else { stream })
    }

    fn with_inputs(&self, inputs: &[LayerRef]) -> Option<Arc<dyn Pipeline<T>>> {
        Some(self.on(self.upstream.with_inputs(inputs)?))
    }

    fn absorb(&self, input: usize) -> Option<Arc<dyn Pipeline<T>>> {
        Some(self.on(self.upstream.absorb(input)?))
    }

    fn is_cheap(&self) -> bool {
        self.cheap && self.upstream.is_cheap()
    }

    fn is_portable(&self) -> bool {
        self.portable
    }

    fn location(&self) -> Option<&'static Location<'static>> {
        self.line
    }
}
