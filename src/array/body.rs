//! What a fused layer computes of its inputs: a program whose operands are views of blocks, or indices.
//!
//! ```text
//!   grid (blocks of the output)     program            operands
//!   +----+----+                  add(exp(a), b)        a: blocks of layer 0, seen through a view
//!   |    |    |  <- for each                           b: an index, offset + strides . coordinate
//!   +----+----+
//! ```
//! The grid is chosen so that every block of it is, through each view, within one block of the input. A slice, a
//! transposition or a broadcast is therefore never a step of its own: taking another body in as an operand composes
//! the two programs and the views.

use super::Chunks;
use super::blockwise::Blockwise;
use super::inputs::Inputs;
use super::kernel::{Argument, Program, copy_strided};
use super::source::Source;
use super::view::View;
use crate::graph::{Dependency, Key, KeyBuilder, LayerRef, TaskContext, Value};
use crate::{Error, ErrorKind, Result};
use chunkstore_store::{Arena, Block, DType, Shape};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::sync::Arc;

/// The most operands that are blocks: each is held while the task runs, so that fusing more would need more memory
/// than the steps one by one.
const MAX_BLOCK_OPERANDS: usize = 8;

/// What one input of the program is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Operand {
    /// The blocks of a layer, seen through a view.
    Blocks { input: u32, view: View },
    /// An I64: `offset + sum(stride * coordinate)` for the coordinates in the output.
    Index { offset: i64, strides: SmallVec<[i64; 4]> },
}

/// The part of a body that is data.
#[derive(Clone, Serialize, Deserialize)]
#[serde(into = "Stored", try_from = "Stored")]
pub(super) struct Core {
    pub(super) grid: Chunks,
    pub(super) program: Program,
    /// One for each input of the program.
    pub(super) operands: Vec<Operand>,
    /// How each input layer is cut.
    pub(super) inputs: Vec<Chunks>,
    /// The bytes that running the program takes.
    registers: u64,
    /// Whether the output is the first operand as it is.
    copy: bool,
}

#[derive(Serialize, Deserialize)]
struct Stored(Chunks, Program, Vec<Operand>, Vec<Chunks>);

impl From<Core> for Stored {
    fn from(core: Core) -> Self {
        Stored(core.grid, core.program, core.operands, core.inputs)
    }
}

impl TryFrom<Stored> for Core {
    type Error = &'static str;
    fn try_from(Stored(grid, program, operands, inputs): Stored) -> super::checks::Checked<Self> {
        let core = Core::new(grid, program, operands, inputs);
        super::checks::body(&core).map(|()| core)
    }
}

impl Core {
    /// The core of a body whose parts fit together.
    fn new(grid: Chunks, program: Program, operands: Vec<Operand>, inputs: Vec<Chunks>) -> Self {
        let registers = program.scratch_bytes();
        let mut identity = Program::builder();
        let copy = match (program.inputs(), operands.as_slice()) {
            ([dtype], [Operand::Blocks { .. }]) => {
                let input = identity.input(*dtype);
                program == identity.finish(input)
            }
            _ => false,
        };
        Core { grid, program, operands, inputs, registers, copy }
    }
}

/// A body: see the head of this file.
pub(super) struct Body {
    pub(super) core: Arc<Core>,
    pub(super) layers: Inputs,
}

/// The methods of a [`Layer`](crate::graph::Layer) that follow from its `key` and its `body`.
macro_rules! layer_of_body {
    () => {
        fn key(&self) -> Key {
            self.key
        }

        fn inputs(&self) -> &[LayerRef] {
            &self.body.layers
        }

        fn blocks(&self) -> u32 {
            self.body.core.grid.blocks()
        }

        fn position(&self, block: u32) -> SmallVec<[u32; 4]> {
            self.body.core.grid.position(block)
        }

        fn dependencies(&self, block: u32, out: &mut Vec<Dependency>) {
            self.body.core.dependencies(block, out);
        }

        fn as_any(&self) -> &dyn Any {
            self
        }
    };
}
pub(super) use layer_of_body;

impl Body {
    /// A body; equal inputs and equal operands become one, and inputs that no operand uses are left out.
    pub(super) fn new(grid: Chunks, mut program: Program, mut operands: Vec<Operand>, inputs: Vec<(LayerRef, Chunks)>) -> Self {
        let mut layers: Vec<LayerRef> = Vec::new();
        let mut chunks: Vec<Chunks> = Vec::new();
        for operand in &mut operands {
            let Operand::Blocks { input, .. } = operand else { continue };
            let Some((layer, cut)) = inputs.get(*input as usize) else { continue };
            let known = layers.iter().position(|other| other.key() == layer.key());
            *input = known.unwrap_or_else(|| {
                layers.push(layer.clone());
                chunks.push(cut.clone());
                layers.len() - 1
            }) as u32;
        }
        let mut second = 1;
        while let Some(operand) = operands.get(second) {
            let first = operands.iter().take(second).position(|other| other == operand);
            match first.filter(|first| program.inputs().get(*first) == program.inputs().get(second)) {
                Some(first) => {
                    program = program.unify(first, second);
                    operands.remove(second);
                }
                None => second += 1,
            }
        }
        Body { core: Arc::new(Core::new(grid, program, operands, chunks)), layers: layers.into() }
    }

    /// The same work on other inputs, cut in the same way.
    pub(super) fn with_inputs(&self, layers: Vec<LayerRef>) -> Self {
        let core = &self.core;
        let inputs = layers.into_iter().zip(core.inputs.iter().cloned()).collect();
        Body::new(core.grid.clone(), core.program.clone(), core.operands.clone(), inputs)
    }

    fn inputs(&self) -> Vec<(LayerRef, Chunks)> {
        self.layers.iter().cloned().zip(self.core.inputs.iter().cloned()).collect()
    }

    /// The views through which the operands see an input, each once.
    fn views(&self, input: usize) -> SmallVec<[&View; 2]> {
        let mut views: SmallVec<[&View; 2]> = SmallVec::new();
        for operand in &self.core.operands {
            if let Operand::Blocks { input: i, view } = operand
                && *i as usize == input
                && !views.contains(&view)
            {
                views.push(view);
            }
        }
        views
    }

    /// One body that does the work of this one and of the elementwise layer that is its `input`-th input, and the steps
    /// that this adds; `None` where that would repeat work, or be too much for one task.
    pub(super) fn absorb(&self, input: usize) -> Option<(Self, u32)> {
        let inner = self.layers.get(input)?.as_any().downcast_ref::<Blockwise>()?;
        let core = &self.core;
        let views = self.views(input);
        if views.len() > 1 && !inner.is_cheap_to_repeat() {
            return None;
        }
        if views.iter().any(|view| view.repeats(core.grid.shape())) && !inner.is_light() {
            return None;
        }
        let (mut program, mut operands) = (core.program.clone(), core.operands.clone());
        let (mut inputs, added) = (self.inputs(), inner.body().inputs());
        let base = inputs.len() as u32;
        inputs.extend(added);
        while let Some(at) = operands.iter().position(|operand| matches!(operand, Operand::Blocks { input: i, .. } if *i as usize == input))
        {
            let Operand::Blocks { view, .. } = operands.remove(at) else { return None };
            program = program.compose(at, &inner.body().core.program)?;
            operands.extend(inner.body().core.operands.iter().map(|operand| match operand {
                Operand::Blocks { input, view: below } => Operand::Blocks { input: base + input, view: view.compose(below) },
                Operand::Index { offset, strides } => {
                    let (offset, strides) = view.compose_index(*offset, strides, core.grid.ndim());
                    Operand::Index { offset, strides }
                }
            }));
        }
        let body = Body::new(core.grid.clone(), program, operands, inputs);
        let blocks = body.core.operands.iter().filter(|operand| matches!(operand, Operand::Blocks { .. })).count();
        let before = core.operands.iter().filter(|operand| matches!(operand, Operand::Blocks { .. })).count();
        (blocks <= MAX_BLOCK_OPERANDS.max(before)).then_some((body, inner.steps()))
    }

    /// The same values from sources that read only what this takes of them, where that is at most half of the blocks
    /// that it is taken from.
    pub(super) fn push_down(&self) -> Option<Self> {
        let core = &self.core;
        let (mut operands, mut inputs) = (core.operands.clone(), self.inputs());
        let mut changed = false;
        for (i, (layer, chunks)) in inputs.iter_mut().enumerate() {
            let Some(source) = layer.as_any().downcast_ref::<Source>() else { continue };
            let views = self.views(i);
            let [view] = views.as_slice() else { continue };
            let Some((narrow, cut, rest)) = source.narrowed(view, &core.grid, chunks) else { continue };
            for operand in &mut operands {
                if let Operand::Blocks { input, view } = operand
                    && *input as usize == i
                {
                    *view = rest.clone();
                }
            }
            (*layer, *chunks) = (narrow, cut);
            changed = true;
        }
        changed.then(|| Body::new(core.grid.clone(), core.program.clone(), operands, inputs))
    }

    /// The key of what an operator makes of this body, whose core is among its parameters.
    pub(super) fn key(&self, operator: KeyBuilder) -> Key {
        operator.inputs(self.layers.iter().map(|layer| layer.key())).finish()
    }
}

/// An operand for one block.
struct Bound {
    /// Which of the task's inputs.
    input: usize,
    dtype: DType,
    /// The extents on the axes of the output: 1 where the operand repeats.
    shape: Shape,
    strides: SmallVec<[isize; 4]>,
    /// The first element, within the input block.
    first: usize,
    /// Whether it is contiguous in the input block.
    contiguous: bool,
}

impl Bound {
    fn bytes(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.size()
    }
}

impl Core {
    /// The blocks that `block` is made from, each once, and for each operand that is blocks its window in them.
    fn bind(&self, block: u32) -> (SmallVec<[Dependency; 4]>, SmallVec<[Bound; 4]>) {
        let (mut dependencies, mut bounds) = (SmallVec::<[Dependency; 4]>::new(), SmallVec::new());
        let shape = self.grid.block_shape(block);
        if shape.contains(&0) {
            return (dependencies, bounds);
        }
        for (operand, dtype) in self.operands.iter().zip(self.program.inputs()) {
            let Operand::Blocks { input, view } = operand else { continue };
            let Some(chunks) = self.inputs.get(*input as usize) else { continue };
            let window = view.window(&self.grid, block, chunks);
            let dependency = Dependency { input: *input, block: window.block };
            let known = dependencies.iter().position(|other| *other == dependency);
            let at = known.unwrap_or_else(|| {
                dependencies.push(dependency);
                dependencies.len() - 1
            });
            let inner = chunks.block_shape(window.block);
            let mut bound = Bound {
                input: at,
                dtype: *dtype,
                shape: SmallVec::from_elem(1, shape.len()),
                strides: SmallVec::from_elem(0, shape.len()),
                first: 0,
                contiguous: true,
            };
            let (mut stride, mut first) = (1i64, 0i64);
            for ((axis, from), extent) in view.axes.iter().zip(&window.first).zip(&inner).rev() {
                first += from * stride;
                if let Some(d) = axis.out.map(|d| d as usize) {
                    bound.shape[d] = shape[d];
                    bound.strides[d] += (axis.step * stride) as isize;
                }
                stride *= *extent as i64;
            }
            bound.first = first.max(0) as usize;
            let mut expected = 1;
            for (extent, stride) in bound.shape.iter().zip(&bound.strides).rev() {
                bound.contiguous &= *extent == 1 || *stride == expected;
                expected *= *extent as isize;
            }
            bounds.push(bound);
        }
        (dependencies, bounds)
    }

    /// The blocks that `block` is made from.
    pub(super) fn dependencies(&self, block: u32, out: &mut Vec<Dependency>) {
        out.extend(self.bind(block).0);
    }

    /// The bytes beside inputs and output: tile registers, and operands that must be gathered.
    pub(super) fn scratch(&self, block: u32) -> u64 {
        let bounds = self.bind(block).1;
        let gathered = bounds.iter().filter(|bound| !bound.contiguous).map(|bound| Arena::footprint(bound.bytes()));
        gathered.sum::<u64>() + self.registers
    }

    /// Runs `run` with the shape of the task's block and the arguments of the program.
    pub(super) fn with_arguments<R>(
        &self,
        task: &TaskContext<'_>,
        inputs: &[Value],
        run: impl FnOnce(&[usize], &[Argument<'_>]) -> Result<R>,
    ) -> Result<R> {
        let block = task.block();
        let (shape, begin) = (self.grid.block_shape(block), self.grid.block_start(block));
        let bounds = self.bind(block).1;
        let blocks = bounds.iter().map(|bound| gather(task, inputs, bound)).collect::<Result<SmallVec<[Block; 4]>>>()?;
        let empty = if blocks.is_empty() { Some(self.empty_blocks(&shape)?) } else { None };
        let mut next = empty.as_ref().unwrap_or(&blocks).iter();
        let mut arguments: SmallVec<[Argument<'_>; 4]> = SmallVec::new();
        for operand in &self.operands {
            arguments.push(match operand {
                Operand::Blocks { .. } => Argument::Block(next.next().ok_or_else(missing)?),
                Operand::Index { offset, strides } => {
                    let here =
                        strides.iter().zip(&begin).fold(*offset, |at, (stride, begin)| at.wrapping_add(stride.wrapping_mul(*begin as i64)));
                    Argument::Index { offset: here, strides: strides.clone() }
                }
            });
        }
        run(&shape, &arguments)
    }

    /// Blocks without elements, for a block without elements.
    fn empty_blocks(&self, shape: &[usize]) -> Result<SmallVec<[Block; 4]>> {
        let mut blocks = SmallVec::new();
        if !shape.contains(&0) {
            return Ok(blocks);
        }
        for (operand, dtype) in self.operands.iter().zip(self.program.inputs()) {
            if matches!(operand, Operand::Blocks { .. }) {
                let buffer = chunkstore_store::Buffer::from_vec::<f64>(Arc::new(Vec::new()));
                blocks.push(Block::new(buffer, 0, *dtype, Shape::from_slice(shape))?);
            }
        }
        Ok(blocks)
    }

    /// Whether the output is the first operand as it is.
    pub(super) fn is_copy(&self) -> bool {
        self.copy
    }

    /// Writes the window that the output is to `out`; for [`Core::is_copy`].
    pub(super) fn copy(&self, task: &TaskContext<'_>, inputs: &[Value]) -> Result<Value> {
        let bounds = self.bind(task.block()).1;
        let shape = self.grid.block_shape(task.block());
        let dtype = self.program.output();
        let Some(bound) = bounds.first() else {
            return Ok(Block::new(task.alloc(0)?.freeze(), 0, dtype, shape)?.into());
        };
        let input = input_block(inputs, bound)?;
        // The whole input block under another shape is no copy; a part would keep all of it in memory.
        if bound.contiguous && bound.bytes() == input.nbytes() && bound.shape == shape {
            return Ok(input.reshaped(shape)?.into());
        }
        let mut out = task.alloc(shape.iter().product::<usize>() * dtype.size())?;
        copy_window(input, bound, &shape, &mut out)?;
        Ok(Block::new(out.freeze(), 0, dtype, shape)?.into())
    }
}

fn missing() -> Error {
    Error::new(ErrorKind::Graph, "a task was run without one of its inputs")
}

fn input_block<'a>(inputs: &'a [Value], bound: &Bound) -> Result<&'a Block> {
    let block = inputs.get(bound.input).and_then(Value::block).ok_or_else(missing)?;
    if block.dtype() == bound.dtype {
        return Ok(block);
    }
    Err(Error::new(ErrorKind::Type, format!("a task was given a block of {} in place of {}", block.dtype(), bound.dtype)))
}

/// The operand as a block of its own: a part of the input block, or a copy where it is not contiguous.
fn gather(task: &TaskContext<'_>, inputs: &[Value], bound: &Bound) -> Result<Block> {
    let input = input_block(inputs, bound)?;
    if bound.contiguous && bound.bytes() == input.nbytes() {
        return Ok(input.reshaped(bound.shape.clone())?);
    }
    if bound.contiguous {
        let (buffer, offset) = input.buffer();
        return Ok(Block::new(buffer.clone(), offset + bound.first * bound.dtype.size(), bound.dtype, bound.shape.clone())?);
    }
    let mut out = task.alloc(bound.bytes())?;
    copy_window(input, bound, &bound.shape, &mut out)?;
    Ok(Block::new(out.freeze(), 0, bound.dtype, bound.shape.clone())?)
}

fn copy_window(input: &Block, bound: &Bound, shape: &[usize], out: &mut [u8]) -> Result<()> {
    copy_strided(bound.dtype.size(), shape, input.bytes(), bound.first, &bound.strides, out, 0, &c_strides(shape))
}

/// The strides, in elements, of an array of `shape` in C order.
pub(super) fn c_strides(shape: &[usize]) -> SmallVec<[isize; 4]> {
    let mut strides: SmallVec<[isize; 4]> = SmallVec::from_elem(1, shape.len());
    for k in (1..shape.len()).rev() {
        strides[k - 1] = strides[k] * shape[k] as isize;
    }
    strides
}
