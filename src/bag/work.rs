//! The layer of a bag: a pipeline's elements, and what a task does with all of a partition.

use super::pipeline::{Item, Pipeline, Upstream};
use super::stored::store;
use super::stream::BoxStream;
use crate::Result;
use crate::graph::{Dependency, Key, KeyBuilder, Layer, LayerRef, Operator, Size, Sizes, TaskContext, Value};
use std::any::Any;
use std::panic::Location;
use std::sync::Arc;

/// The most bytes that a partition is taken to have before it is made.
const GUESS: u64 = 16 << 20;

/// What a task does with the elements of a partition.
pub(crate) trait Act<S: 'static>: Send + Sync + 'static {
    /// The name of the layer.
    fn name(&self) -> &str;

    /// What tells it from others.
    fn key(&self) -> Key;

    /// What the task gives, and what it holds beside the stream. `estimate` is about the bytes of the encoded elements.
    fn sizes(&self, partition: u32, estimate: u64) -> Sizes;

    /// Takes the elements. `extra` are the blocks of the layers that the work has beside its elements.
    ///
    /// # Errors
    /// Those of the stream, and its own.
    fn run(&self, task: &TaskContext<'_>, rows: BoxStream<S>, extra: &[Value]) -> Result<Value>;

    /// The most bytes, about, that it writes to an append log of elements of so many.
    fn shuffled(&self, _bytes: u64) -> u64 {
        0
    }

    /// What the task gives where it need not run, as what it does was done before.
    ///
    /// # Errors
    /// Its own.
    fn done(&self, _task: &TaskContext<'_>, _extra: &[Value]) -> Result<Option<Value>> {
        Ok(None)
    }

    /// Whether it stores the elements as they are: then the layer is a bag, whose consumers may read the stream in its place.
    fn stores(&self) -> bool {
        false
    }

    /// The line of the user's program that made it, where it runs the user's code.
    fn location(&self) -> Option<&'static Location<'static>> {
        None
    }
}

/// A layer whose tasks each take the elements of a partition.
pub(crate) struct Work<S> {
    inner: Arc<Inner<S>>,
    inputs: Vec<LayerRef>,
    key: Key,
    portable: bool,
}

struct Inner<S> {
    upstream: Upstream<S>,
    act: Arc<dyn Act<S>>,
    /// Layers of which each task takes a block, beside its elements.
    extra: Vec<Extra>,
}

/// A layer of which tasks take a block, beside their elements.
#[derive(Clone)]
pub(crate) enum Extra {
    /// The only block, for every task.
    Whole(LayerRef),
}

impl Extra {
    fn layer(&self) -> &LayerRef {
        let Extra::Whole(layer) = self;
        layer
    }
}

impl<S: Item> Work<S> {
    pub(crate) fn new(upstream: Upstream<S>, act: Arc<dyn Act<S>>) -> Self {
        Work::with_extra(upstream, act, Vec::new())
    }

    pub(crate) fn with_extra(upstream: Upstream<S>, act: Arc<dyn Act<S>>, extra: Vec<Extra>) -> Self {
        // What is stored as it is is known by its elements.
        let key = match (act.stores(), &upstream) {
            (true, Upstream::Streamed(pipeline)) => KeyBuilder::new("bag.stored", 1).input(pipeline.key()),
            _ => KeyBuilder::new("bag.work", 1).input(act.key()).input(upstream.key()),
        };
        let key = key.inputs(extra.iter().map(|extra| extra.layer().key()).collect::<Vec<_>>().into_iter()).finish();
        let mut inputs = upstream.inputs();
        inputs.extend(extra.iter().map(|extra| extra.layer().clone()));
        let portable = act.stores() && extra.is_empty() && upstream.is_portable();
        Work { inner: Arc::new(Inner { upstream, act, extra }), inputs, key, portable }
    }

    /// The layer that stores what a pipeline gives.
    pub(crate) fn stored(pipeline: Arc<dyn Pipeline<S>>) -> LayerRef {
        Arc::new(Work::new(Upstream::Streamed(pipeline), Arc::new(Store)))
    }
}

/// The pipeline whose elements a layer stores, if that is what it does.
pub(crate) fn pipeline_of<S: Item>(layer: &LayerRef) -> Option<Arc<dyn Pipeline<S>>> {
    let work = layer.as_any().downcast_ref::<Work<S>>()?;
    match &work.inner.upstream {
        Upstream::Streamed(pipeline) if work.inner.act.stores() => Some(pipeline.clone()),
        _ => None,
    }
}

/// Stores the elements as they are.
struct Store;

impl<S: Item> Act<S> for Store {
    fn name(&self) -> &str {
        "store"
    }

    fn key(&self) -> Key {
        KeyBuilder::new("bag.store", 1).finish()
    }

    fn sizes(&self, _partition: u32, estimate: u64) -> Sizes {
        // What is not known is not refused for it: the task asks for more if it needs it.
        let guess = estimate.min(GUESS);
        Sizes { out: Size::Learned(guess), scratch: guess + (64 << 10), load: 0 }
    }

    fn run(&self, task: &TaskContext<'_>, mut rows: BoxStream<S>, _extra: &[Value]) -> Result<Value> {
        store(task, &mut *rows)
    }

    fn stores(&self) -> bool {
        true
    }
}

impl<S: Item> Layer for Work<S> {
    fn key(&self) -> Key {
        self.key
    }

    fn name(&self) -> &str {
        self.inner.name()
    }

    fn inputs(&self) -> &[LayerRef] {
        &self.inputs
    }

    fn blocks(&self) -> u32 {
        self.inner.upstream.partitions()
    }

    fn dependencies(&self, block: u32, out: &mut Vec<Dependency>) {
        let Inner { upstream, extra, .. } = &*self.inner;
        upstream.dependencies(block, 0, out);
        let first = self.inputs.len() - extra.len();
        out.extend((first..self.inputs.len()).map(|input| Dependency { input: input as u32, block: 0 }));
    }

    fn sizes(&self, block: u32) -> Sizes {
        let Inner { upstream, act, .. } = &*self.inner;
        let sizes = act.sizes(block, upstream.estimate(block));
        Sizes { scratch: sizes.scratch + upstream.scratch(block), ..sizes }
    }

    fn operator(&self) -> Arc<dyn Operator> {
        self.inner.clone()
    }

    fn shuffled(&self) -> u64 {
        let Inner { upstream, act, .. } = &*self.inner;
        act.shuffled((0..self.blocks()).fold(0, |bytes, block| bytes.saturating_add(upstream.estimate(block))))
    }

    fn is_cheap(&self) -> bool {
        self.inner.act.stores() && self.inner.upstream.is_cheap()
    }

    fn is_larger_than(&self, bytes: u64) -> bool {
        let Inner { upstream, act, .. } = &*self.inner;
        act.stores() && (0..self.blocks()).any(|block| upstream.whole(block) > bytes)
    }

    fn is_portable(&self) -> bool {
        self.portable
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn with_inputs(&self, mut inputs: Vec<LayerRef>) -> Option<LayerRef> {
        let Inner { upstream, act, extra } = &*self.inner;
        let others = inputs.split_off(inputs.len().checked_sub(extra.len())?);
        let extra = others.into_iter().map(Extra::Whole).collect();
        Some(Arc::new(Work::with_extra(upstream.with_inputs(&inputs)?, act.clone(), extra)))
    }

    fn absorb(&self, input: usize) -> Option<LayerRef> {
        let Inner { upstream, act, extra } = &*self.inner;
        if input >= self.inputs.len() - extra.len() {
            return None;
        }
        Some(Arc::new(Work::with_extra(upstream.absorb(input)?, act.clone(), extra.clone())))
    }

    fn location(&self) -> Option<&'static Location<'static>> {
        self.inner.act.location().or_else(|| match &self.inner.upstream {
            Upstream::Streamed(pipeline) => pipeline.location(),
            Upstream::Stored(_) => None,
        })
    }
}

impl<S: Item> Inner<S> {
    fn name(&self) -> &str {
        match &self.upstream {
            Upstream::Streamed(pipeline) if self.act.stores() => pipeline.name(),
            _ => self.act.name(),
        }
    }
}

impl<S: Item> Operator for Inner<S> {
    fn name(&self) -> &str {
        Inner::name(self)
    }

    fn parameters(&self) -> Option<Vec<u8>> {
        None
    }

    fn run(&self, task: &TaskContext<'_>, inputs: &[Value]) -> Result<Value> {
        let (own, extra) = inputs.split_at(inputs.len().saturating_sub(self.extra.len()));
        if let Some(done) = self.act.done(task, extra)? {
            return Ok(done);
        }
        let rows = self.upstream.open(task, task.block(), own)?;
        self.act.run(task, rows, extra)
    }
}
