//! The first layer of a reduction: each block by itself.

use super::super::body::{Body, Core};
use super::super::kernel::{ReduceOp, reduce};
use crate::Result;
use crate::graph::{Dependency, Key, KeyBuilder, Layer, LayerRef, Operator, Size, Sizes, TaskContext, Value};
use chunkstore_store::{Block, DType, Shape};
use smallvec::SmallVec;
use std::any::Any;
use std::sync::Arc;

/// Reduces each block over axes; the output of an elementwise input is never there as a whole.
pub(super) struct Partial {
    body: Body,
    reduction: Arc<Reduction>,
    key: Key,
    sharing: Key,
}

struct Reduction {
    core: Arc<Core>,
    op: ReduceOp,
    mask: SmallVec<[bool; 4]>,
    dtype: DType,
}

impl Partial {
    /// The layer; none where the reduction is not defined for the type of the body's elements.
    pub(super) fn new(op: ReduceOp, mask: SmallVec<[bool; 4]>, body: Body) -> Option<Self> {
        let dtype = op.partial_dtype(body.core.program.output())?;
        let key = |name: &str, op: &str| {
            let key = KeyBuilder::new(name, 1).text(op).numbers(mask.iter().map(|axis| u64::from(*axis)));
            body.add_to(key).finish()
        };
        let (key, sharing) = (key("reduce", &format!("{op:?}")), key("moments", ""));
        let reduction = Arc::new(Reduction { core: body.core.clone(), op, mask, dtype });
        Some(Partial { body, reduction, key, sharing })
    }

    pub(super) fn op(&self) -> ReduceOp {
        self.reduction.op
    }

    fn with_body(&self, body: Body) -> Option<LayerRef> {
        Some(Arc::new(Partial::new(self.reduction.op, self.reduction.mask.clone(), body)?))
    }
}

impl Reduction {
    /// The shape of the partial of a block: reduced axes have extent 1, and moments three values for each element.
    fn shape(&self, block: u32) -> Shape {
        let mut shape = self.core.grid.block_shape(block);
        for (extent, reduced) in shape.iter_mut().zip(&self.mask) {
            if *reduced {
                *extent = 1;
            }
        }
        if let Some(leading) = self.op.leading() {
            shape.insert(0, leading);
        }
        shape
    }
}

impl Layer for Partial {
    fn key(&self) -> Key {
        self.key
    }

    fn name(&self) -> &str {
        match self.reduction.op {
            ReduceOp::Sum => "sum_chunk",
            ReduceOp::Prod => "prod_chunk",
            ReduceOp::Min => "min_chunk",
            ReduceOp::Max => "max_chunk",
            ReduceOp::Any => "any_chunk",
            ReduceOp::All => "all_chunk",
            ReduceOp::Moments { .. } => "moment_chunk",
        }
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

    fn sizes(&self, block: u32) -> Sizes {
        let elements: usize = self.reduction.shape(block).iter().product();
        let out = Size::Exact(elements as u64 * self.reduction.dtype.size() as u64);
        Sizes { out, scratch: self.body.core.scratch(block), load: 0 }
    }

    fn operator(&self) -> Arc<dyn Operator> {
        Arc::new(Reduce(self.reduction.clone()))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn with_inputs(&self, inputs: Vec<LayerRef>) -> Option<LayerRef> {
        if inputs.is_empty() || inputs.len() != self.body.layers.len() {
            return None;
        }
        self.with_body(self.body.with_inputs(inputs))
    }

    fn absorb(&self, input: usize) -> Option<LayerRef> {
        self.with_body(self.body.absorb(input)?.0)
    }

    fn push_down(&self) -> Option<LayerRef> {
        self.with_body(self.body.push_down()?)
    }

    fn sharing(&self) -> Option<(Key, u8)> {
        match self.reduction.op {
            ReduceOp::Moments { spread } => Some((self.sharing, u8::from(spread))),
            _ => None,
        }
    }
}

struct Reduce(Arc<Reduction>);

impl Operator for Reduce {
    fn name(&self) -> &str {
        "array.reduce"
    }

    fn parameters(&self) -> Option<Vec<u8>> {
        super::super::parameters::encode(&(&*self.0.core, self.0.op, &self.0.mask))
    }

    fn run(&self, task: &TaskContext<'_>, inputs: &[Value]) -> Result<Value> {
        let Reduction { core, op, mask, dtype } = &*self.0;
        let out_shape = self.0.shape(task.block());
        core.with_arguments(task, inputs, |shape, arguments| {
            let mut out = task.alloc(out_shape.iter().product::<usize>() * dtype.size())?;
            reduce(*op, &core.program, shape, arguments, mask, &mut out)?;
            Ok(Block::new(out.freeze(), 0, *dtype, out_shape)?.into())
        })
    }
}
