//! A planned run, and what became of it.

use super::callback::Callbacks;
use super::taken::Taken;
use crate::graph::{Keeper, LayerRef, Operator, TaskTable};
use crate::plan::{Numbered, SizeRange};
use crate::policy::{Batch, Ended, RunId};
use crate::{Error, Result};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};

/// Makes of layers others of the same values, one for one.
pub(crate) type Rewrite = Arc<dyn Fn(Vec<LayerRef>) -> Vec<LayerRef> + Send + Sync>;

/// What a task has given that has not run.
const NOTHING: u64 = u64::MAX;

/// A run ready to go: tasks, their order, and their sizes.
pub(crate) struct Plan {
    /// The tasks.
    pub(crate) table: TaskTable,
    /// For each place in the order, the task there.
    pub(crate) order: Vec<u32>,
    /// For each task, the policy's number: of its place in the order, counted from `base`; of a kept chunk, its own.
    pub(crate) ids: Vec<u32>,
    /// The number of the first task in order.
    pub(super) base: u32,
    /// The same, as the policy takes it.
    pub(crate) batch: Batch,
    /// The tasks whose output decides what comes next.
    pub(crate) barriers: Vec<BarrierTask>,
    /// The number of the first of its layers in event logs; none where nobody recorded when it began.
    pub(super) first_layer: Option<u32>,
    /// Who is told of its tasks.
    pub(crate) callbacks: Callbacks,
    /// What is done to the layers that its barriers bring, after the optimiser's passes.
    pub(crate) rewrite: Option<Rewrite>,
    /// Who keeps the logs of its shuffles, if they are kept.
    pub(crate) keeper: Option<Arc<dyn Keeper>>,
    /// What its layers have taken so far.
    pub(crate) taken: Arc<Taken>,
    /// For each task whose size is not exact, the bytes that it has given, twice, and one more where the ledger does not count them; empty where all sizes are exact.
    pub(super) gave: Vec<AtomicU64>,
    /// The most that the ledger is to count while it is alone, where sizes are exact.
    pub(crate) most_booked: Option<u64>,
}

/// A task whose output decides what comes next.
pub(crate) struct BarrierTask {
    /// Its number in the table.
    pub(crate) task: u32,
    /// Its layer, which is a [`crate::graph::Barrier`].
    pub(crate) layer: LayerRef,
    /// The layers that stay for what comes next, and the tasks of all their blocks.
    pub(crate) held: Vec<(LayerRef, Vec<u32>)>,
}

/// What a run took, measured.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Facts {
    pub(crate) tasks: u64,
    pub(crate) spilled_bytes: u64,
    pub(crate) reread_bytes: u64,
    pub(crate) source_bytes: u64,
    pub(crate) source_reread_bytes: u64,
    pub(crate) stored_bytes: u64,
    pub(crate) shuffled_bytes: u64,
    pub(crate) peak_bytes: u64,
    pub(crate) seconds: f64,
}

/// A run under way.
pub(super) struct Run {
    pub(super) id: RunId,
    /// The plan that it began with, and those that barriers added to it.
    pub(super) parts: Vec<Arc<Plan>>,
    pub(super) cancelled: Arc<AtomicBool>,
    pub(super) ended: Option<Ended>,
    pub(super) error: Option<Error>,
    pub(super) done: u64,
    /// The same, and all that it has, for who watches.
    pub(super) progress: Arc<Progressed>,
    /// The most bytes that one of its tasks needs; nobody else may take so much that this does not fit any more.
    pub(super) largest: u64,
}

/// How far a run is.
#[derive(Default)]
pub(crate) struct Progressed {
    /// Tasks done.
    pub(crate) done: AtomicU64,
    /// Tasks in all, as far as barriers have told.
    pub(crate) tasks: AtomicU64,
}

/// What a worker takes out of the lock to run a task.
pub(super) struct Job {
    pub(super) id: u32,
    pub(super) plan: Arc<Plan>,
    pub(super) task: u32,
    /// The bytes that its output and scratch are booked for.
    pub(super) booked: u64,
    /// The bytes of its inputs and its output.
    pub(super) moved: u64,
    pub(super) cancelled: Arc<AtomicBool>,
}

impl Run {
    /// The plan that a task belongs to, and its number in the plan's table.
    pub(super) fn find(&self, id: u32) -> Option<(&Arc<Plan>, u32)> {
        let plan = self.parts.iter().find(|plan| (plan.base..plan.base + plan.order.len() as u32).contains(&id))?;
        Some((plan, *plan.order.get((id - plan.base) as usize)?))
    }

    pub(super) fn contains(&self, id: u32) -> bool {
        self.find(id).is_some()
    }
}

impl Plan {
    /// The bytes of files that tasks read which are no sources: what was fused with the reading of its inputs.
    pub(crate) fn read_by_tasks(&self) -> u64 {
        let TaskTable { load, source, .. } = &self.table;
        load.iter().zip(source).filter(|(_, source)| !**source).map(|(load, _)| load).sum()
    }

    /// The plan of a table whose tasks have been numbered.
    pub(crate) fn new(table: TaskTable, numbered: Numbered, barriers: Vec<BarrierTask>) -> Self {
        let taken = Arc::new(Taken::new(table.layers.len()));
        let learns = table.exact.iter().any(|exact| !exact);
        let gave = (0..if learns { table.len() } else { 0 }).map(|_| NOTHING.into()).collect();
        Plan {
            table,
            order: numbered.order,
            ids: numbered.ids,
            base: numbered.base,
            batch: numbered.batch,
            barriers,
            first_layer: None,
            callbacks: Callbacks::default(),
            rewrite: None,
            keeper: None,
            taken,
            gave,
            most_booked: None,
        }
    }

    /// A task whose size is not exact has given `bytes`.
    pub(super) fn give(&self, task: u32, bytes: u64, counted: bool) {
        if let Some(gave) = self.gave.get(task as usize) {
            gave.store(bytes << 1 | u64::from(!counted), Relaxed);
        }
    }

    /// The tasks whose sizes were not exact, and what they gave.
    pub(crate) fn gave(&self) -> impl Iterator<Item = (u32, SizeRange)> {
        let gave = self.gave.iter().map(|gave| gave.load(Relaxed)).enumerate().filter(|(_, gave)| *gave != NOTHING);
        gave.map(|(task, gave)| (task as u32, SizeRange { least: if gave & 1 == 0 { gave >> 1 } else { 0 }, most: gave >> 1 }))
    }

    /// The operator and the block of a task.
    pub(super) fn operator_of(&self, task: u32) -> Option<(&dyn Operator, u32)> {
        let operator = self.table.operator_of(task)?;
        Some((&**operator, self.table.block_of(task)))
    }
}

/// The result of a task's function, with panics made errors.
pub(super) type Outcome = Result<crate::graph::Value>;
