//! The later layers of a reduction: groups of partials become one, and the last becomes the result.

use super::super::Chunks;
use super::super::chunks::Position;
use super::super::inputs::Inputs;
use super::super::kernel::{Finish, ReduceOp, combine, finish};
use super::super::parameters::{decode, encode};
use super::super::portable::COMBINE;
use super::partial::Partial;
use crate::graph::{Dependency, Key, KeyBuilder, Layer, LayerRef, Operator, Size, Sizes, TaskContext, Value};
use crate::{Error, ErrorKind, Result};
use chunkstore_store::{Arena, Block, DType};
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::any::Any;
use std::num::NonZeroU32;
use std::sync::Arc;

/// How the partials that a layer takes stand in its input.
#[derive(Clone)]
pub(super) enum Order {
    /// As the blocks of the array: which axes are reduced.
    Grid(Chunks, SmallVec<[bool; 4]>),
    /// Those of one block of the result after each other.
    Runs,
}

/// Merges groups of partials.
#[derive(Clone)]
pub(super) struct Plan {
    pub(super) name: &'static str,
    pub(super) op: ReduceOp,
    /// The type of the partials.
    pub(super) dtype: DType,
    /// How the result is cut.
    pub(super) grid: Chunks,
    pub(super) order: Order,
    /// The partials for each block of the result.
    pub(super) count: u32,
    /// The partials that become one.
    pub(super) group: u32,
    /// What is made of the last partial, and its type; none in layers between.
    pub(super) last: Option<(Finish, DType)>,
}

pub(super) struct Combine {
    plan: Arc<Plan>,
    inputs: Inputs,
    key: Key,
    sharing: Option<(Key, u8)>,
}

impl Plan {
    /// The groups for each block of the result.
    fn groups(&self) -> NonZeroU32 {
        NonZeroU32::new(self.count.div_ceil(self.group.max(1))).unwrap_or(NonZeroU32::MIN)
    }

    /// The number of the input block that is partial `index` of a block of the result.
    fn input(&self, block: u32, index: u32) -> u32 {
        let Order::Grid(chunks, mask) = &self.order else { return block * self.count + index };
        let mut position: Position = SmallVec::from_elem(0, mask.len());
        let (mut kept, mut reduced) = (block, index);
        for ((at, n), mask) in position.iter_mut().zip(chunks.numblocks()).zip(mask).rev() {
            let rest = if *mask { &mut reduced } else { &mut kept };
            *at = *rest % n as u32;
            *rest /= n as u32;
        }
        chunks.block_at(&position)
    }

    fn partial_bytes(&self, block: u32) -> usize {
        self.grid.block_len(block) * self.op.leading().unwrap_or(1) * self.dtype.size()
    }

    /// The operator of the tasks, if the reduction is `op`.
    fn merge(&self, op: ReduceOp) -> Merge {
        Merge(Arc::new(Merging { op, dtype: self.dtype, last: self.last, grid: self.grid.clone(), groups: self.groups() }))
    }

    /// The key of merging what has the key `input`: also which partials become one.
    fn key(&self, op: ReduceOp, input: Key) -> KeyBuilder {
        let key = KeyBuilder::of(&self.merge(op)).number(self.count.into()).number(self.group.into());
        let key = match &self.order {
            Order::Runs => key.number(0),
            Order::Grid(chunks, mask) => {
                let counts = chunks.numblocks();
                let key = key.number(1).numbers(counts.iter().map(|count| *count as u64));
                key.numbers(mask.iter().map(|axis| u64::from(*axis)))
            }
        };
        key.input(input)
    }
}

impl Combine {
    pub(super) fn new(plan: Plan, input: LayerRef) -> Self {
        let key = plan.key(plan.op, input.key()).finish();
        let sharing = match (plan.op, plan.last, input.sharing()) {
            (ReduceOp::Moments { spread }, None, Some((shared, _))) => {
                Some((plan.key(ReduceOp::Moments { spread: false }, shared).text("sharing").finish(), u8::from(spread)))
            }
            _ => None,
        };
        Combine { plan: Arc::new(plan), inputs: vec![input].into(), key, sharing }
    }
}

impl Layer for Combine {
    fn key(&self) -> Key {
        self.key
    }

    fn name(&self) -> &str {
        self.plan.name
    }

    fn inputs(&self) -> &[LayerRef] {
        &self.inputs
    }

    fn blocks(&self) -> u32 {
        self.plan.grid.blocks() * self.plan.groups().get()
    }

    fn position(&self, block: u32) -> SmallVec<[u32; 4]> {
        let groups = self.plan.groups();
        let mut position = self.plan.grid.position(block / groups);
        if self.plan.last.is_none() {
            position.push(block % groups);
        }
        position
    }

    fn dependencies(&self, block: u32, out: &mut Vec<Dependency>) {
        let plan = &self.plan;
        let (result, group) = (block / plan.groups(), block % plan.groups());
        let range = group * plan.group..plan.count.min((group + 1).saturating_mul(plan.group));
        out.extend(range.map(|index| Dependency { input: 0, block: plan.input(result, index) }));
    }

    fn sizes(&self, block: u32) -> Sizes {
        let plan = &self.plan;
        let result = block / plan.groups();
        let partial = plan.partial_bytes(result);
        match plan.last {
            None => Sizes { out: Size::Exact(partial as u64), scratch: 0, load: 0 },
            Some((_, dtype)) => {
                let out = Size::Exact((plan.grid.block_len(result) * dtype.size()) as u64);
                Sizes { out, scratch: if plan.count > 1 { Arena::footprint(partial) } else { 0 }, load: 0 }
            }
        }
    }

    fn operator(&self) -> Arc<dyn Operator> {
        Arc::new(self.plan.merge(self.plan.op))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    /// Partials of moments with the spread serve those who need none: which there are is the input's matter.
    fn with_inputs(&self, inputs: Vec<LayerRef>) -> Option<LayerRef> {
        let [input] = <[LayerRef; 1]>::try_from(inputs).ok()?;
        let layer = input.as_any();
        let op =
            layer.downcast_ref::<Partial>().map(Partial::op).or_else(|| layer.downcast_ref::<Combine>().map(|combine| combine.plan.op));
        let plan = Plan { op: op.unwrap_or(self.plan.op), ..(*self.plan).clone() };
        Some(Arc::new(Combine::new(plan, input)))
    }

    fn sharing(&self) -> Option<(Key, u8)> {
        self.sharing
    }
}

/// Merges one group of partials.
pub(in crate::array) struct Merge(Arc<Merging>);

/// What merging needs of a plan.
#[derive(Serialize, Deserialize)]
struct Merging {
    op: ReduceOp,
    /// The type of the partials.
    dtype: DType,
    /// What is made of the last partial, and its type.
    last: Option<(Finish, DType)>,
    /// How the result is cut.
    grid: Chunks,
    /// The groups for each block of the result.
    groups: NonZeroU32,
}

impl Merge {
    pub(in crate::array) fn decode(bytes: &[u8]) -> Result<Arc<dyn Operator>> {
        Ok(Arc::new(Merge(Arc::new(decode(COMBINE.0, bytes)?))))
    }
}

impl Operator for Merge {
    fn name(&self) -> &str {
        COMBINE.0
    }

    fn version(&self) -> u32 {
        COMBINE.1
    }

    fn parameters(&self) -> Option<Vec<u8>> {
        encode(&*self.0)
    }

    fn run(&self, task: &TaskContext<'_>, inputs: &[Value]) -> Result<Value> {
        let merging = &*self.0;
        let partials: SmallVec<[&Block; 16]> = inputs.iter().filter_map(Value::block).collect();
        let first = *partials.first().ok_or_else(|| Error::new(ErrorKind::Graph, "partials were merged of which there are none"))?;
        let merged = if let [only] = partials.as_slice() {
            (*only).clone()
        } else {
            let mut out = task.alloc(first.nbytes())?;
            combine(merging.op, merging.dtype, &partials, &mut out)?;
            Block::new(out.freeze(), 0, merging.dtype, first.shape().into())?
        };
        let Some((last, dtype)) = merging.last else { return Ok(merged.into()) };
        let shape = merging.grid.block_shape(task.block() / merging.groups);
        let mut out = task.alloc(shape.iter().product::<usize>() * dtype.size())?;
        finish(last, merging.op, &merged, dtype, &mut out)?;
        Ok(Block::new(out.freeze(), 0, dtype, shape)?.into())
    }
}
