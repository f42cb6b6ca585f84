//! A function of the user's on every block.

use super::inputs::Inputs;
use super::lazy::Raw;
use super::{Array, Chunks};
use crate::graph::{Dependency, Key, KeyBuilder, Layer, LayerRef, Operator, Size, Sizes, TaskContext, Value};
use crate::{Error, ErrorKind, Result};
use chunkstore_store::{Arena, Block, Element};
use ndarray::{ArrayD, ArrayViewD, IxDyn};
use smallvec::SmallVec;
use std::any::Any;
use std::panic::Location;
use std::sync::Arc;

/// What an operator does with a block; the types of elements are inside.
type Function = dyn Fn(&TaskContext<'_>, &Block, &[usize]) -> Result<Block> + Send + Sync;

/// Runs a closure on every block.
pub(super) struct MapBlocks {
    grid: Chunks,
    item: usize,
    function: Arc<Function>,
    inputs: Inputs,
    /// The blocks like its output that the closure may allocate beside the one that it returns.
    allowance: u32,
    nonce: Key,
    key: Key,
    line: &'static Location<'static>,
}

impl<T: Element> Array<T> {
    /// What `function` makes of every block, which must have the block's shape. The function gets a view of the block and
    /// returns an array of its own; both, a copy of the result, and one more block for what else it allocates are
    /// counted in the memory bound: see [`Array::scratch_blocks`].
    ///
    /// A closure cannot be compared: two calls with the same one are two pieces of work.
    ///
    /// ```
    /// use chunkstore::array::Array;
    /// let x = Array::<f64>::ones([100, 100], 50);
    /// let halves = x.map_blocks(|block| block.mapv(|v| v as f32 / 2.0));
    /// assert_eq!(halves.dtype().name(), "float32");
    /// ```
    #[track_caller]
    pub fn map_blocks<U: Element>(&self, function: impl Fn(ArrayViewD<'_, T>) -> ArrayD<U> + Send + Sync + 'static) -> Array<U> {
        let line = Location::caller();
        let mapped = self.raw().map(|raw| map(raw, raw.chunks.clone(), function, line));
        Array::at(mapped, line)
    }

    /// What `function` makes of every block, where the blocks of the result are those of `chunks`: as many on each axis as
    /// this array has.
    ///
    /// ```
    /// use chunkstore::{array::{Array, Chunks}, chunks};
    /// let x = Array::<f64>::ones([100, 100], 50);
    /// let rows = x.map_blocks_with(Chunks::new([vec![1, 1], vec![50, 50]])?, |block| block.sum_axis(ndarray::Axis(0)).insert_axis(ndarray::Axis(0)));
    /// assert_eq!(rows.shape()?, [2, 100]);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn map_blocks_with<U: Element>(
        &self,
        chunks: Chunks,
        function: impl Fn(ArrayViewD<'_, T>) -> ArrayD<U> + Send + Sync + 'static,
    ) -> Array<U> {
        let line = Location::caller();
        let mapped = || {
            let raw = self.raw()?;
            if raw.chunks.numblocks() == chunks.numblocks() {
                return Ok(map(raw, chunks, function, line));
            }
            let message = format!("a grid of {:?} blocks cannot become one of {:?}", raw.chunks.numblocks(), chunks.numblocks());
            Err(Error::new(ErrorKind::Shape, message).hint("the result of map_blocks has as many blocks on each axis"))
        };
        Array::at(mapped(), line)
    }

    /// After [`Array::map_blocks`]: that its function allocates up to `blocks` blocks like its output beside the one that it
    /// returns; 1 is the default.
    ///
    /// An array that does not come from `map_blocks` becomes an error.
    #[track_caller]
    pub fn scratch_blocks(&self, blocks: u32) -> Self {
        let stated = || {
            let raw = self.raw()?;
            let Some(layer) = raw.layer.as_any().downcast_ref::<MapBlocks>() else {
                return Err(Error::new(ErrorKind::Invalid, "scratch_blocks says what the function of map_blocks allocates")
                    .hint("call it on what map_blocks returns"));
            };
            let layer = layer.again(layer.inputs.to_vec(), blocks);
            Ok(Raw { layer: Arc::new(layer), ..raw.clone() })
        };
        Array::at(stated(), Location::caller())
    }
}

fn map<T: Element, U: Element>(
    raw: &Raw,
    grid: Chunks,
    function: impl Fn(ArrayViewD<'_, T>) -> ArrayD<U> + Send + Sync + 'static,
    line: &'static Location<'static>,
) -> Raw {
    let run = move |task: &TaskContext<'_>, block: &Block, shape: &[usize]| {
        let view = ArrayViewD::from_shape(IxDyn(block.shape()), block.as_slice::<T>()?);
        let view = view.map_err(|error| Error::new(ErrorKind::Shape, format!("a block is no array: {error}")))?;
        let result = function(view);
        if result.shape() != shape {
            let message =
                format!("the function of map_blocks returned shape {:?} for a block of shape {:?}", result.shape(), block.shape());
            let hint = format!("{shape:?} was expected; map_blocks_with states other shapes");
            return Err(Error::new(ErrorKind::Shape, message).hint(hint));
        }
        let mut out = task.alloc(result.len() * size_of::<U>())?;
        let slice = out.as_slice_mut::<U>();
        match result.as_slice() {
            Some(values) => slice.iter_mut().zip(values).for_each(|(to, from)| *to = *from),
            None => slice.iter_mut().zip(&result).for_each(|(to, from)| *to = *from),
        }
        Ok(Block::new(out.freeze(), 0, U::DTYPE, shape.into())?)
    };
    let nonce = KeyBuilder::new("map_blocks", 1).nonce().finish();
    let layer = MapBlocks::new(grid.clone(), size_of::<U>(), Arc::new(run), vec![raw.layer.clone()], 1, nonce, line);
    Raw { layer: Arc::new(layer), chunks: grid, dtype: U::DTYPE }
}

impl MapBlocks {
    fn new(
        grid: Chunks,
        item: usize,
        function: Arc<Function>,
        inputs: Vec<LayerRef>,
        allowance: u32,
        nonce: Key,
        line: &'static Location<'static>,
    ) -> Self {
        let key = KeyBuilder::new("map_blocks", 1).input(nonce);
        let key = inputs.iter().fold(key, |key, input| key.input(input.key())).finish();
        MapBlocks { grid, item, function, inputs: inputs.into(), allowance, nonce, key, line }
    }

    fn again(&self, inputs: Vec<LayerRef>, allowance: u32) -> Self {
        MapBlocks::new(self.grid.clone(), self.item, self.function.clone(), inputs, allowance, self.nonce, self.line)
    }
}

impl Layer for MapBlocks {
    fn location(&self) -> Option<&'static Location<'static>> {
        Some(self.line)
    }

    fn key(&self) -> Key {
        self.key
    }

    fn name(&self) -> &str {
        "map_blocks"
    }

    fn inputs(&self) -> &[LayerRef] {
        &self.inputs
    }

    fn blocks(&self) -> u32 {
        self.grid.blocks()
    }

    fn position(&self, block: u32) -> SmallVec<[u32; 4]> {
        self.grid.position(block)
    }

    fn dependencies(&self, block: u32, out: &mut Vec<Dependency>) {
        out.push(Dependency { input: 0, block });
    }

    fn sizes(&self, block: u32) -> Sizes {
        let bytes = self.grid.block_len(block) * self.item;
        Sizes { out: Size::Exact(bytes as u64), scratch: held(bytes, self.allowance), load: 0 }
    }

    fn operator(&self) -> Arc<dyn Operator> {
        let Self { grid, function, item, allowance, .. } = self;
        Arc::new(Call { grid: grid.clone(), function: function.clone(), item: *item, allowance: *allowance })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn with_inputs(&self, inputs: Vec<LayerRef>) -> Option<LayerRef> {
        (inputs.len() == 1).then(|| Arc::new(self.again(inputs, self.allowance)) as LayerRef)
    }
}

/// What a function holds that gives a block of so many bytes: the block, and `allowance` more.
fn held(bytes: usize, allowance: u32) -> u64 {
    Arena::footprint(bytes) * (1 + u64::from(allowance))
}

struct Call {
    grid: Chunks,
    function: Arc<Function>,
    item: usize,
    allowance: u32,
}

impl Operator for Call {
    fn name(&self) -> &str {
        "map_blocks"
    }

    fn parameters(&self) -> Option<Vec<u8>> {
        None
    }

    fn run(&self, task: &TaskContext<'_>, inputs: &[Value]) -> Result<Value> {
        let block = inputs.first().and_then(Value::block);
        let block = block.ok_or_else(|| Error::new(ErrorKind::Graph, "a task was run without its input"))?;
        // What the function allocates nobody sees: all that it was booked for counts.
        task.claim(held(self.grid.block_len(task.block()) * self.item, self.allowance))?;
        Ok((self.function)(task, block, &self.grid.block_shape(task.block()))?.into())
    }
}
