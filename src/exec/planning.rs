//! From layers to a plan for an engine as it stands: at the start of a run, and again at each barrier.

use super::held::{Held, HeldLayer};
use super::run::{BarrierTask, Job, Plan};
use super::{Core, Shared};
use crate::graph::{
    Dependency, Key, Layer, LayerRef, LinkedLayers, Lowering, Operator, Picked, Size, Sizes, TaskContext, TaskTable, Value,
};
use crate::graph::{in_order, link};
use crate::plan::{self, NOT_KEPT, OwnedSituation, Planned, Situation, SizeRange};
use crate::policy::Kept;
use crate::{Error, ErrorKind, Result};
use parking_lot::MutexGuard;
use std::any::Any;
use std::sync::Arc;

/// Layers turned into tasks.
pub(crate) struct Lowered {
    /// The tasks.
    pub(crate) table: TaskTable,
    /// The tasks of every block of the layers, in order.
    pub(crate) roots: Vec<u32>,
    /// The tasks whose output decides what comes next.
    pub(crate) barriers: Vec<BarrierTask>,
}

/// Rewrites layers to others of the same values, one for one, whose tasks need no more than a number of bytes if those of the old ones do not.
pub(crate) type Passes = fn(Vec<LayerRef>, u64) -> Vec<LayerRef>;

/// Layers in which delayed calls are layers too, after the optimiser's passes.
pub(crate) fn optimised(layers: Vec<LayerRef>, passes: impl FnOnce(Vec<LayerRef>) -> Vec<LayerRef>) -> Result<LinkedLayers> {
    let LinkedLayers { mut tasks, layers } = link(layers)?;
    let count = tasks.len();
    tasks.extend(layers);
    let mut tasks = passes(tasks);
    let layers = tasks.split_off(count);
    Ok(LinkedLayers { tasks, layers })
}

/// The tasks for every block of some layers, after the optimiser's passes.
pub(crate) fn lower(layers: Vec<LayerRef>, passes: impl FnOnce(Vec<LayerRef>) -> Vec<LayerRef>) -> Result<Lowered> {
    lower_optimised(&optimised(layers, passes)?)
}

/// The tasks for every block of layers that have gone through the optimiser's passes.
pub(crate) fn lower_optimised(linked: &LinkedLayers) -> Result<Lowered> {
    let LinkedLayers { tasks, layers } = linked;
    let mut lowering = Lowering::new();
    let mut roots = Vec::new();
    // In the order of their numbers, in which each task's inputs are there before it.
    for layer in tasks {
        for block in 0..layer.blocks() {
            lowering.want(layer, block)?;
        }
    }
    for layer in layers {
        let picked = Picked::of(layer).filter(|picked| picked.is_plain());
        for block in 0..layer.blocks() {
            let (layer, block) = picked.and_then(|picked| picked.source(block)).unwrap_or((layer, block));
            roots.push(lowering.want(layer, block)?);
        }
    }
    let mut barriers = Vec::new();
    let all: Vec<LayerRef> = tasks.iter().chain(layers).cloned().collect();
    for layer in in_order(&all).into_iter().filter(|layer| layer.barrier().is_some()) {
        let task = lowering.want(&layer, 0)?;
        let mut held = Vec::new();
        for input in layer.barrier().map(|barrier| barrier.held()).unwrap_or_default() {
            if let Some(input) = layer.inputs().get(input) {
                let tasks = (0..input.blocks()).map(|block| lowering.want(input, block)).collect::<Result<_>>()?;
                held.push((input.clone(), tasks));
            }
        }
        barriers.push(BarrierTask { task, layer, held });
    }
    Ok(Lowered { table: lowering.finish(), roots, barriers })
}

/// The part of the memory that outputs which are memory for other tasks get, all together.
const HELD_PART: u64 = 4;

/// Says how large outputs are that are memory for other tasks to use: they share a part of `limit`.
pub(crate) fn settle_held(table: &mut TaskTable, limit: u64) {
    let held: Vec<Option<(u64, u64)>> = table.layers.iter().map(|layer| layer.holds()).collect();
    if held.iter().all(Option::is_none) {
        return;
    }
    let holds = |layer: &u32| held.get(*layer as usize).copied().flatten();
    let count = table.layer.iter().filter(|layer| holds(layer).is_some()).count() as u64;
    let TaskTable { layer, out, exact, .. } = table;
    for ((layer, out), exact) in layer.iter().zip(out).zip(exact) {
        if let Some((least, most)) = holds(layer) {
            (*out, *exact) = ((limit / HELD_PART / count.max(1)).clamp(least, most), true);
        }
    }
}

/// The tasks whose outputs stay: those that the caller wants to keep, and what barriers need for what comes next. Each is named
/// once for each that holds it.
pub(super) fn with_held(keep: &[u32], barriers: &[BarrierTask]) -> Vec<u32> {
    let mut all = keep.to_vec();
    all.extend(barriers.iter().flat_map(|barrier| barrier.held.iter().flat_map(|(_, tasks)| tasks.iter().copied())));
    all
}

/// A plan, what it was made from, and the guard that keeps others from planning until it has begun.
pub(crate) struct Prepared<'a> {
    pub(crate) planned: Planned,
    /// The bytes that tasks may use.
    pub(crate) bound: u64,
    /// The most bytes that one task needs.
    pub(crate) least: u64,
    /// The bytes of kept chunks that are in memory.
    pub(crate) resident: u64,
    /// The bytes of the largest kept chunk.
    pub(crate) largest_kept: u64,
    pub(crate) planning: MutexGuard<'a, ()>,
    /// The engine as it stood, where a forecast was asked for.
    pub(crate) situation: Option<OwnedSituation>,
}

impl Shared {
    /// Plans a table for this engine as it stands. `keep` are the tasks whose outputs the caller wants, `sizes` what is known of those that are not exact.
    pub(crate) fn prepare(
        self: &Arc<Self>,
        table: &TaskTable,
        keep: &[u32],
        barriers: &[BarrierTask],
        forecast: bool,
        sizes: Option<&[SizeRange]>,
    ) -> Result<Prepared<'_>> {
        let planning = self.plan_alone();
        let (bound, base, kept_chunks) = self.core.situation();
        let kept = kept_numbers(table, self)?;
        let settings = self.core.settings;
        let situation = Situation {
            bound,
            base,
            kept: &kept_chunks,
            workers: settings.threads as u32,
            io_threads: settings.io_threads.max(1) as u32,
            forecast,
            exact: barriers.is_empty() && table.exact.iter().all(|exact| *exact),
            spare: plan::spare(&self.core.arena),
            sizes,
        };
        let keep = with_held(keep, barriers);
        let planned = plan::plan(table, &kept, &keep, &situation);
        let (least, largest) = planned.numbered.batch.largest_need(base, |chunk| bytes_of(&kept_chunks, chunk));
        if least > bound {
            let task = planned.numbered.order.get(largest as usize).copied().unwrap_or(0);
            return Err(plan::does_not_fit(table, task, least, bound, &self.core.arena));
        }
        let resident = kept_chunks.iter().filter(|(_, kept)| kept.resident).map(|(_, kept)| kept.bytes).sum();
        let situation = forecast.then(|| OwnedSituation::new(&situation, kept, keep));
        let largest_kept = kept_chunks.iter().map(|(_, kept)| kept.bytes).max().unwrap_or(0);
        Ok(Prepared { planned, bound, least, resident, largest_kept, planning, situation })
    }

    /// For each task that stands for a kept chunk that chunk's number, and the tasks whose outputs stay.
    pub(crate) fn places(self: &Arc<Self>, table: &TaskTable, keep: &[u32], barriers: &[BarrierTask]) -> Result<(Vec<u32>, Vec<u32>)> {
        Ok((kept_numbers(table, self)?, with_held(keep, barriers)))
    }
}

fn bytes_of(kept: &[(u32, Kept)], chunk: u32) -> u64 {
    kept.binary_search_by_key(&chunk, |(id, _)| *id).ok().and_then(|at| kept.get(at)).map_or(0, |(_, kept)| kept.bytes)
}

/// For each task that stands for a chunk of a persisted collection, the chunk's number; empty where there are none.
fn kept_numbers(table: &TaskTable, shared: &Arc<Shared>) -> Result<Vec<u32>> {
    let held: Vec<Option<&HeldLayer>> = table.layers.iter().map(|layer| layer.as_any().downcast_ref()).collect();
    if held.iter().all(Option::is_none) {
        return Ok(Vec::new());
    }
    let number = |(layer, block): (&u32, &u32)| match held.get(*layer as usize) {
        Some(Some(layer)) => layer.id_of(*block, shared),
        _ => Ok(NOT_KEPT),
    };
    table.layer.iter().zip(&table.block).map(number).collect()
}

/// Lets go of the kept chunks that a table's layers hold, once the policy has numbered their users: a chunk that nobody else
/// holds then goes with its last user. What is given back is to be dropped after the run has begun, without locks.
pub(super) fn release_kept(table: &mut TaskTable) -> Vec<(LayerRef, Arc<dyn Operator>)> {
    let mut released = Vec::new();
    for (layer, operator) in table.layers.iter_mut().zip(&mut table.operators) {
        if layer.as_any().is::<HeldLayer>() {
            let named = Arc::new(Named { key: layer.key(), name: layer.name().to_string(), blocks: layer.blocks() });
            released.push((std::mem::replace(layer, named.clone()), std::mem::replace(operator, named)));
        }
    }
    released
}

/// Whether a job's task is a barrier: then its output decides what its run does next.
pub(super) fn expand(core: &Core, job: &Job, output: &Value) -> Result<()> {
    let Some(barrier) = job.plan.barriers.iter().find(|barrier| barrier.task == job.task) else { return Ok(()) };
    let defect = || Error::new(ErrorKind::Invalid, "a barrier cannot be expanded; this is a defect of the engine");
    let shared = core.shared.upgrade().ok_or_else(defect)?;
    let mut held: Vec<LayerRef> = Vec::new();
    for (layer, tasks) in &barrier.held {
        let ids: Vec<u32> = tasks.iter().filter_map(|task| job.plan.ids.get(*task as usize).copied()).collect();
        let chunks: Vec<Arc<Held>> = core.hold(&ids, job.plan.base, &shared);
        if chunks.len() != tasks.len() {
            return Err(defect());
        }
        held.push(Arc::new(HeldLayer::new(layer, chunks)));
    }
    let layers = barrier.layer.barrier().ok_or_else(defect)?.expand(output, &held)?;
    let rewrite = job.plan.rewrite.clone();
    let layers = shared.optimise(layers);
    let layers = match &rewrite {
        Some(rewrite) => rewrite(layers),
        None => layers,
    };
    let Lowered { mut table, barriers, .. } = lower(layers, |layers| layers)?;
    settle_held(&mut table, core.arena.ledger().limit());
    let prepared = shared.prepare(&table, &[], &barriers, false, None)?;
    let released = release_kept(&mut table);
    let keeper = job.plan.keeper.clone();
    core.expand(job.id, Plan { rewrite, keeper, ..Plan::new(table, prepared.planned.numbered, barriers) })?;
    drop((prepared.planning, released, held));
    Ok(())
}

/// What is left of a layer whose chunks the policy has taken over: its name.
struct Named {
    key: Key,
    name: String,
    blocks: u32,
}

impl Layer for Named {
    fn key(&self) -> Key {
        self.key
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn inputs(&self) -> &[LayerRef] {
        &[]
    }

    fn blocks(&self) -> u32 {
        self.blocks
    }

    fn dependencies(&self, _block: u32, _out: &mut Vec<Dependency>) {}

    fn sizes(&self, _block: u32) -> Sizes {
        Sizes { out: Size::Exact(0), scratch: 0, load: 0 }
    }

    fn operator(&self) -> Arc<dyn Operator> {
        Arc::new(Named { key: self.key, name: self.name.clone(), blocks: self.blocks })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn with_inputs(&self, _inputs: Vec<LayerRef>) -> Option<LayerRef> {
        None
    }
}

impl Operator for Named {
    fn name(&self) -> &str {
        &self.name
    }

    fn parameters(&self) -> Option<Vec<u8>> {
        None
    }

    fn run(&self, _task: &TaskContext<'_>, _inputs: &[Value]) -> Result<Value> {
        Err(Error::new(ErrorKind::Invalid, "a kept chunk was to be computed again; this is a defect of the engine"))
    }
}
