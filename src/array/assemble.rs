//! The layer of blocks put together from pieces of others: other chunks, or several arrays side by side.

use super::Chunks;
use super::body::c_strides;
use super::chunks::Position;
use super::inputs::Inputs;
use super::kernel::copy_strided;
use super::parameters::{decode, encode};
use super::portable::ASSEMBLE;
use crate::graph::{Dependency, Key, KeyBuilder, Layer, LayerRef, Operator, Size, Sizes, TaskContext, Value};
use crate::{Error, ErrorKind, Result};
use chunkstore_store::{Block, DType, Shape};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::any::Any;
use std::sync::Arc;

/// Arrays side by side along one axis, cut anew.
#[derive(Serialize, Deserialize)]
#[serde(try_from = "Stored")]
pub(super) struct Layout {
    pub(super) grid: Chunks,
    pub(super) dtype: DType,
    pub(super) axis: usize,
    /// How each input is cut, and where it begins on the axis.
    pub(super) parts: Vec<(Chunks, usize)>,
    /// The blocks' shapes, where they are not those of the grid: as many blocks of as many elements.
    pub(super) shapes: Option<Chunks>,
}

/// A layout before it is checked.
#[derive(Deserialize)]
struct Stored {
    grid: Chunks,
    dtype: DType,
    axis: usize,
    parts: Vec<(Chunks, usize)>,
    shapes: Option<Chunks>,
}

impl TryFrom<Stored> for Layout {
    type Error = &'static str;
    fn try_from(Stored { grid, dtype, axis, parts, shapes }: Stored) -> super::checks::Checked<Self> {
        let layout = Layout { grid, dtype, axis, parts, shapes };
        super::checks::layout(&layout).map(|()| layout)
    }
}

pub(super) struct Assemble {
    name: &'static str,
    layout: Arc<Layout>,
    inputs: Inputs,
    key: Key,
}

impl Assemble {
    pub(super) fn new(name: &'static str, layout: Arc<Layout>, layers: Vec<LayerRef>) -> Self {
        let key = KeyBuilder::of(&Copy(layout.clone())).inputs(layers.iter().map(|layer| layer.key())).finish();
        Assemble { name, layout, inputs: layers.into(), key }
    }
}

/// What an output block has of an input block.
struct Piece {
    dependency: Dependency,
    /// Where it begins in the input block, and in the output block.
    from: Shape,
    into: Shape,
    shape: Shape,
}

impl Layout {
    /// Calls `each` for every piece of a block.
    fn pieces(&self, block: u32, mut each: impl FnMut(Piece) -> Result<()>) -> Result<()> {
        let (begin, shape) = (self.grid.block_start(block), self.grid.block_shape(block));
        if shape.contains(&0) {
            return Ok(());
        }
        let (at, count) = (begin.get(self.axis).copied().unwrap_or(0), shape.get(self.axis).copied().unwrap_or(1));
        let first = self.parts.partition_point(|(_, start)| *start <= at).max(1) - 1;
        for (input, (chunks, start)) in self.parts.iter().enumerate().skip(first).take_while(|(_, (_, start))| *start < at + count) {
            // In coordinates of the part; the output block's range there, cut to the part.
            let range = |k: usize| {
                let shift = if k == self.axis { *start } else { 0 };
                let end = (begin[k] + shape[k]).saturating_sub(shift).min(chunks.shape()[k]);
                (begin[k].saturating_sub(shift), end)
            };
            let ranges: SmallVec<[(usize, usize); 4]> = (0..shape.len()).map(range).collect();
            if ranges.iter().any(|(low, high)| low >= high) {
                continue;
            }
            let low: Position = ranges.iter().enumerate().map(|(k, range)| chunks.find(k, range.0)).collect();
            let high: Position = ranges.iter().enumerate().map(|(k, range)| chunks.find(k, range.1 - 1)).collect();
            let mut position = low.clone();
            loop {
                let number = chunks.block_at(&position);
                let mut piece = Piece {
                    dependency: Dependency { input: input as u32, block: number },
                    from: Shape::new(),
                    into: Shape::new(),
                    shape: Shape::new(),
                };
                for (k, (low, high)) in ranges.iter().enumerate() {
                    let starts = chunks.starts(k);
                    let (from, to) = (starts[position[k] as usize], starts[position[k] as usize + 1]);
                    let (first, end) = (from.max(*low), to.min(*high));
                    let shift = if k == self.axis { *start } else { 0 };
                    piece.from.push(first - from);
                    piece.into.push(first + shift - begin[k]);
                    piece.shape.push(end - first);
                }
                each(piece)?;
                let advanced = (0..position.len()).rev().any(|k| {
                    let more = position[k] < high[k];
                    position[k] = if more { position[k] + 1 } else { low[k] };
                    more
                });
                if !advanced {
                    break;
                }
            }
        }
        Ok(())
    }
}

impl Layer for Assemble {
    fn key(&self) -> Key {
        self.key
    }

    fn name(&self) -> &str {
        self.name
    }

    fn inputs(&self) -> &[LayerRef] {
        &self.inputs
    }

    fn blocks(&self) -> u32 {
        self.layout.grid.blocks()
    }

    fn position(&self, block: u32) -> SmallVec<[u32; 4]> {
        self.layout.shapes.as_ref().unwrap_or(&self.layout.grid).position(block)
    }

    fn dependencies(&self, block: u32, out: &mut Vec<Dependency>) {
        let _ = self.layout.pieces(block, |piece| {
            out.push(piece.dependency);
            Ok(())
        });
    }

    fn sizes(&self, block: u32) -> Sizes {
        let out = self.layout.grid.block_len(block) * self.layout.dtype.size();
        Sizes { out: Size::Exact(out as u64), scratch: 0, load: 0 }
    }

    fn operator(&self) -> Arc<dyn Operator> {
        Arc::new(Copy(self.layout.clone()))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn with_inputs(&self, inputs: Vec<LayerRef>) -> Option<LayerRef> {
        (inputs.len() == self.inputs.len()).then(|| Arc::new(Assemble::new(self.name, self.layout.clone(), inputs)) as LayerRef)
    }
}

/// Copies the pieces of one block into place.
pub(super) struct Copy(Arc<Layout>);

impl Copy {
    pub(super) fn decode(bytes: &[u8]) -> Result<Arc<dyn Operator>> {
        Ok(Arc::new(Copy(Arc::new(decode(ASSEMBLE.0, bytes)?))))
    }
}

impl Operator for Copy {
    fn name(&self) -> &str {
        ASSEMBLE.0
    }

    fn version(&self) -> u32 {
        ASSEMBLE.1
    }

    fn parameters(&self) -> Option<Vec<u8>> {
        encode(&*self.0)
    }

    fn run(&self, task: &TaskContext<'_>, inputs: &[Value]) -> Result<Value> {
        let Layout { grid, dtype, parts, shapes, .. } = &*self.0;
        let shape = grid.block_shape(task.block());
        let result = shapes.as_ref().unwrap_or(grid).block_shape(task.block());
        let missing = || Error::new(ErrorKind::Graph, "a task was run without one of its inputs");
        // A block that is one input block as it is need not be copied.
        if let [Value::Chunk(chunkstore_store::Chunk::Block(block))] = inputs
            && block.len() == shape.iter().product::<usize>()
        {
            return Ok(block.reshaped(result)?.into());
        }
        let mut out = task.alloc(shape.iter().product::<usize>() * dtype.size())?;
        let strides = c_strides(&shape);
        let mut next = inputs.iter();
        self.0.pieces(task.block(), |piece| {
            let block = next.next().and_then(Value::block).ok_or_else(missing)?;
            if block.dtype() != *dtype {
                return Err(Error::new(ErrorKind::Type, format!("a task was given a block of {} in place of {dtype}", block.dtype())));
            }
            let chunks = parts.get(piece.dependency.input as usize).map(|(chunks, _)| chunks).ok_or_else(missing)?;
            let inner = c_strides(&chunks.block_shape(piece.dependency.block));
            let offset = |at: &Shape, strides: &[isize]| at.iter().zip(strides).map(|(at, stride)| at * *stride as usize).sum::<usize>();
            let (from, into) = (offset(&piece.from, &inner), offset(&piece.into, &strides));
            copy_strided(dtype.size(), &piece.shape, block.bytes(), from, &inner, &mut out, into, &strides)
        })?;
        Ok(Block::new(out.freeze(), 0, *dtype, result)?.into())
    }
}
