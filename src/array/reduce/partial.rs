//! The first layer of a reduction: each block by itself.

use super::super::body::{Body, Core, layer_of_body};
use super::super::kernel::{ReduceOp, reduce};
use super::super::parameters::{decode, encode};
use super::super::portable::REDUCE;
use crate::Result;
use crate::graph::{Dependency, Key, KeyBuilder, Layer, LayerRef, Operator, Size, Sizes, TaskContext, Value};
use chunkstore_store::{Block, DType, Shape};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::any::Any;
use std::sync::Arc;

/// Reduces each block over axes; the output of an elementwise input is never there as a whole.
pub(super) struct Partial {
    body: Body,
    reduction: Arc<Reduction>,
    key: Key,
    sharing: Option<Key>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(into = "Stored", try_from = "Stored")]
struct Reduction {
    core: Arc<Core>,
    op: ReduceOp,
    mask: SmallVec<[bool; 4]>,
    dtype: DType,
}

#[derive(Serialize, Deserialize)]
struct Stored(Core, ReduceOp, SmallVec<[bool; 4]>);

impl From<Reduction> for Stored {
    fn from(reduction: Reduction) -> Self {
        Stored(Arc::unwrap_or_clone(reduction.core), reduction.op, reduction.mask)
    }
}

impl TryFrom<Stored> for Reduction {
    type Error = &'static str;
    fn try_from(Stored(core, op, mask): Stored) -> super::super::checks::Checked<Self> {
        if mask.len() != core.grid.ndim() {
            return Err("a mask has not one entry for each axis");
        }
        // Three values of eight bytes for each element at most.
        if core.grid.size().checked_mul(24).is_none() {
            return Err("the partial results have more bytes than can be addressed");
        }
        let dtype = op.partial_dtype(core.program.output()).ok_or("the reduction is not defined for the type")?;
        Ok(Reduction { core: Arc::new(core), op, mask, dtype })
    }
}

impl Partial {
    /// The layer; none where the reduction is not defined for the type of the body's elements.
    pub(super) fn new(op: ReduceOp, mask: SmallVec<[bool; 4]>, body: Body) -> Option<Self> {
        let dtype = op.partial_dtype(body.core.program.output())?;
        let reduction = Arc::new(Reduction { core: body.core.clone(), op, mask, dtype });
        let key = body.key(KeyBuilder::of(&Reduce(reduction.clone())));
        let sharing = match op {
            // The same work whether the spread is wanted or not.
            ReduceOp::Moments { .. } => {
                let either = Reduction { op: ReduceOp::Moments { spread: false }, ..(*reduction).clone() };
                Some(body.key(KeyBuilder::of(&Reduce(Arc::new(either))).text("sharing")))
            }
            _ => None,
        };
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
    layer_of_body!();

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

    fn sizes(&self, block: u32) -> Sizes {
        let elements: usize = self.reduction.shape(block).iter().product();
        let out = Size::Exact(elements as u64 * self.reduction.dtype.size() as u64);
        Sizes { out, scratch: self.body.core.scratch(block), load: 0 }
    }

    fn consumed(&self, block: u32) -> Option<u64> {
        let Core { grid, program, .. } = &*self.body.core;
        Some(grid.block_len(block) as u64 * program.output().size() as u64)
    }

    fn operator(&self) -> Arc<dyn Operator> {
        Arc::new(Reduce(self.reduction.clone()))
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
            ReduceOp::Moments { spread } => self.sharing.map(|key| (key, u8::from(spread))),
            _ => None,
        }
    }
}

/// Reduces one block.
pub(in crate::array) struct Reduce(Arc<Reduction>);

impl Reduce {
    pub(in crate::array) fn decode(bytes: &[u8]) -> Result<Arc<dyn Operator>> {
        Ok(Arc::new(Reduce(Arc::new(decode(REDUCE.0, bytes)?))))
    }
}

impl Operator for Reduce {
    fn name(&self) -> &str {
        REDUCE.0
    }

    fn version(&self) -> u32 {
        REDUCE.1
    }

    fn parameters(&self) -> Option<Vec<u8>> {
        encode(&*self.0)
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
