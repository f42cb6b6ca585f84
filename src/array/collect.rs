//! What an engine computes of an array: all of it in memory, or its only element.

use super::inputs::Inputs;
use super::result::Gather;
use super::{Array, Chunks};
use crate::graph::{Dependency, Key, KeyBuilder, Layer, LayerRef, Operator, Size, Sizes, TaskContext, Value};
use crate::{Collected, Collection, Error, ErrorKind, Result};
use chunkstore_store::{Block, Element};
use ndarray::{ArrayD, IxDyn};
use smallvec::SmallVec;
use std::any::Any;
use std::panic::Location;
use std::sync::Arc;

/// Where the blocks of an array go: into memory, or into a file.
pub(super) trait Sink: Send + Sync + 'static {
    /// The name shown for its tasks.
    fn name(&self) -> &'static str;
    /// How the array is cut.
    fn grid(&self) -> &Chunks;
    /// The bytes that putting a block takes beside it.
    fn scratch(&self, block: u32) -> u64;
    /// Puts a block.
    fn put(&self, task: &TaskContext<'_>, block: &Block) -> Result<()>;
}

/// A layer whose tasks put blocks somewhere and give nothing.
pub(super) struct SinkLayer<S> {
    sink: Arc<S>,
    inputs: Inputs,
    key: Key,
}

impl<S: Sink> SinkLayer<S> {
    pub(super) fn new(sink: Arc<S>, layer: LayerRef) -> Self {
        // What is put into one place is not there in another: no two of these are the same.
        let key = KeyBuilder::new(sink.name(), 1).nonce().finish();
        SinkLayer { sink, inputs: vec![layer].into(), key }
    }
}

impl<S: Sink> Layer for SinkLayer<S> {
    fn key(&self) -> Key {
        self.key
    }

    fn name(&self) -> &str {
        self.sink.name()
    }

    fn inputs(&self) -> &[LayerRef] {
        &self.inputs
    }

    fn blocks(&self) -> u32 {
        self.sink.grid().blocks()
    }

    fn position(&self, block: u32) -> SmallVec<[u32; 4]> {
        self.sink.grid().position(block)
    }

    fn dependencies(&self, block: u32, out: &mut Vec<Dependency>) {
        out.push(Dependency { input: 0, block });
    }

    fn sizes(&self, block: u32) -> Sizes {
        Sizes { out: Size::Exact(0), scratch: self.sink.scratch(block), load: 0 }
    }

    fn operator(&self) -> Arc<dyn Operator> {
        Arc::new(Put(self.sink.clone()))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn with_inputs(&self, inputs: Vec<LayerRef>) -> Option<LayerRef> {
        let [input] = <[LayerRef; 1]>::try_from(inputs).ok()?;
        Some(Arc::new(SinkLayer { sink: self.sink.clone(), inputs: vec![input].into(), key: self.key }))
    }
}

struct Put<S>(Arc<S>);

impl<S: Sink> Operator for Put<S> {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn parameters(&self) -> Option<Vec<u8>> {
        None
    }

    fn run(&self, task: &TaskContext<'_>, inputs: &[Value]) -> Result<Value> {
        let block = inputs.first().and_then(Value::block);
        self.0.put(task, block.ok_or_else(|| Error::new(ErrorKind::Graph, "a task was run without its input"))?)?;
        Ok(Value::None)
    }
}

impl<T: Element> Sink for Gather<T> {
    fn name(&self) -> &'static str {
        "collect"
    }

    fn grid(&self) -> &Chunks {
        Gather::grid(self)
    }

    fn scratch(&self, _block: u32) -> u64 {
        0
    }

    fn put(&self, task: &TaskContext<'_>, block: &Block) -> Result<()> {
        Gather::put(self, task.block(), block)
    }
}

/// Prepares the computation of all elements, and of something made of them.
fn gather<T: Element, O>(array: &Array<T>, finish: impl FnOnce(Vec<T>) -> Result<O> + Send + 'static) -> Result<Collected<O>> {
    let raw = array.raw()?;
    let result = Arc::new(Gather::<T>::new(raw.chunks.clone()));
    let (begin, end) = (result.clone(), result.clone());
    Ok(Collected {
        layer: Arc::new(SinkLayer::new(result, raw.layer.clone())),
        keep: false,
        bytes: raw.chunks.size() as u64 * size_of::<T>() as u64,
        begin: Box::new(move || begin.begin()),
        finish: Box::new(move |_| finish(end.finish()?)),
    })
}

impl<T: Element> Collection for Array<T> {
    type Output = ArrayD<T>;

    fn collect(&self) -> Result<Collected<ArrayD<T>>> {
        let shape = IxDyn(self.shape()?);
        gather(self, move |values| {
            ArrayD::from_shape_vec(shape, values)
                .map_err(|error| Error::new(ErrorKind::Shape, format!("a result has the wrong size: {error}")))
        })
    }
}

/// The only element of an array, as a value to compute: see [`Array::item_collection`].
#[derive(Clone, Debug)]
pub struct Item<T: Element>(pub(super) Array<T>);

impl<T: Element> Array<T> {
    /// The only element of an array of one element; computing it gives a plain value.
    ///
    /// ```
    /// use chunkstore::{Collection, array::Array};
    /// let x = Array::<f64>::ones([3, 3], 3);
    /// assert!(x.sum(..).item_collection().collect().is_ok());
    /// assert!(x.item_collection().collect().is_err());
    /// ```
    #[track_caller]
    pub fn item_collection(&self) -> Item<T> {
        let one = || {
            let raw = self.raw()?;
            if raw.chunks.size() == 1 {
                return Ok(raw.clone());
            }
            let message = format!("an array of shape {:?} has not just one element", raw.chunks.shape());
            Err(Error::new(ErrorKind::Shape, message).hint("reduce it over all axes, or slice one element out of it"))
        };
        Item(Array::at(one(), Location::caller()))
    }
}

impl<T: Element> Collection for Item<T> {
    type Output = T;

    fn collect(&self) -> Result<Collected<T>> {
        gather(&self.0, |values| values.first().copied().ok_or_else(|| Error::new(ErrorKind::Shape, "a result has no element")))
    }
}
