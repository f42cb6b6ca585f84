//! The elementwise layer, which creation, slices, transpositions and broadcasting are too.

use super::Chunks;
use super::body::{Body, Core, Operand, layer_of_body};
use super::kernel::{Program, evaluate};
use super::parameters::{decode, encode};
use super::portable::ELEMENTWISE;
use crate::Result;
use crate::graph::{Dependency, Key, KeyBuilder, Layer, LayerRef, Operator, Size, Sizes, TaskContext, Value};
use chunkstore_store::Block;
use smallvec::SmallVec;
use std::any::Any;
use std::sync::Arc;

/// The most steps of a layer without inputs that its consumers repeat rather than keep its blocks.
const CHEAP_STEPS: u32 = 8;

/// A layer that runs a program for every element.
pub(super) struct Blockwise {
    body: Body,
    name: &'static str,
    key: Key,
    /// About how much one element costs, in simple operations.
    steps: u32,
}

impl Blockwise {
    pub(super) fn new(name: &'static str, steps: u32, body: Body) -> Self {
        let key = body.key(KeyBuilder::of(&Elementwise { core: body.core.clone() }));
        Blockwise { body, name, key, steps }
    }

    /// A layer that gives its input through a view.
    pub(super) fn view(
        name: &'static str,
        grid: Chunks,
        dtype: chunkstore_store::DType,
        input: (LayerRef, Chunks),
        view: super::view::View,
    ) -> Self {
        let mut program = Program::builder();
        let value = program.input(dtype);
        let operands = vec![Operand::Blocks { input: 0, view }];
        Blockwise::new(name, 0, Body::new(grid, program.finish(value), operands, vec![input]))
    }

    /// The same elements cut in another way; `None` where they are made of other blocks.
    pub(super) fn recut(&self, grid: &Chunks) -> Option<Self> {
        let core = &self.body.core;
        let body = || Body::new(grid.clone(), core.program.clone(), core.operands.clone(), Vec::new());
        self.body.layers.is_empty().then(|| Blockwise::new(self.name, self.steps, body()))
    }

    pub(super) fn body(&self) -> &Body {
        &self.body
    }

    pub(super) fn steps(&self) -> u32 {
        self.steps
    }

    /// Whether computing an element again costs less than keeping it.
    pub(super) fn is_cheap_to_repeat(&self) -> bool {
        self.body.layers.is_empty() && self.steps <= CHEAP_STEPS
    }

    /// Whether computing an element costs nothing worth saving, however often.
    pub(super) fn is_light(&self) -> bool {
        self.body.layers.is_empty() && self.steps == 0
    }
}

impl Layer for Blockwise {
    layer_of_body!();

    fn name(&self) -> &str {
        self.name
    }

    fn sizes(&self, block: u32) -> Sizes {
        let core = &self.body.core;
        let out = core.grid.block_len(block) as u64 * core.program.output().size() as u64;
        let scratch = if core.is_copy() { 0 } else { core.scratch(block) };
        Sizes { out: Size::Exact(out), scratch, load: 0 }
    }

    fn operator(&self) -> Arc<dyn Operator> {
        Arc::new(Elementwise { core: self.body.core.clone() })
    }

    fn is_cheap(&self) -> bool {
        self.is_cheap_to_repeat()
    }

    fn with_inputs(&self, inputs: Vec<LayerRef>) -> Option<LayerRef> {
        if self.body.layers.is_empty() || inputs.len() != self.body.layers.len() {
            return None;
        }
        Some(Arc::new(Blockwise::new(self.name, self.steps, self.body.with_inputs(inputs))))
    }

    fn absorb(&self, input: usize) -> Option<LayerRef> {
        let (body, steps) = self.body.absorb(input)?;
        Some(Arc::new(Blockwise::new(self.name, self.steps.saturating_add(steps), body)))
    }

    /// A mere view of an elementwise layer becomes that layer, seen through the view; other views go down to the source.
    fn push_down(&self) -> Option<LayerRef> {
        if self.body.core.is_copy()
            && let Some(below) = self.absorb(0)
        {
            return Some(below);
        }
        Some(Arc::new(Blockwise::new(self.name, self.steps, self.body.push_down()?)))
    }
}

/// Runs the program of a body over one block.
pub(super) struct Elementwise {
    core: Arc<Core>,
}

impl Elementwise {
    pub(super) fn decode(bytes: &[u8]) -> Result<Arc<dyn Operator>> {
        Ok(Arc::new(Elementwise { core: Arc::new(decode(ELEMENTWISE.0, bytes)?) }))
    }
}

impl Operator for Elementwise {
    fn name(&self) -> &str {
        ELEMENTWISE.0
    }

    fn version(&self) -> u32 {
        ELEMENTWISE.1
    }

    fn parameters(&self) -> Option<Vec<u8>> {
        encode(&*self.core)
    }

    fn run(&self, task: &TaskContext<'_>, inputs: &[Value]) -> Result<Value> {
        let core = &self.core;
        if core.is_copy() {
            return core.copy(task, inputs);
        }
        core.with_arguments(task, inputs, |shape, arguments| {
            let dtype = core.program.output();
            let mut out = task.alloc(shape.iter().product::<usize>() * dtype.size())?;
            evaluate(&core.program, shape, arguments, &mut out)?;
            Ok(Block::new(out.freeze(), 0, dtype, shape.into())?.into())
        })
    }
}
