//! What a computation would take with other bounds.

use super::cache::OwnedReservation;
use super::compute::booked_for_graph;
use crate::exec::Shared;
use crate::graph::TaskTable;
use crate::plan::{self, OwnedSituation, Situation};
use crate::policy::Forecast;
use chunkstore_store::Booking;
use std::sync::Arc;

/// Bounds that are planned for a small graph, and for a large one.
const POINTS: usize = 12;
const FEW_POINTS: usize = 5;
const LARGE: usize = 50_000;

/// What a computation takes with one bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CurvePoint {
    /// The bound on the whole process, in bytes.
    pub memory: u64,
    /// Bytes written to the scratch folder, before compression.
    pub spilled_bytes: u64,
    /// Bytes read back from there.
    pub reread_bytes: u64,
    /// Bytes of files that are read a second time.
    pub read_again_bytes: u64,
}

/// What tables are booked by; nothing where they are small.
pub(super) type Booked = Option<(Booking, OwnedReservation)>;

/// The tasks of a computation with some bound, the numbers of those that stand for kept chunks, and those whose outputs stay.
pub(super) struct Made {
    pub(super) table: TaskTable,
    pub(super) numbers: Vec<u32>,
    pub(super) keep: Vec<u32>,
    pub(super) _booked: Booked,
}

/// The tasks that a computation has where tasks and tables may use so many bytes: the optimiser makes larger tasks where there is more room.
pub(super) type Again = Box<dyn Fn(u64) -> Option<Made> + Send + Sync>;

/// Where the tasks of other bounds come from.
pub(super) enum Source {
    /// They are made again.
    Again(Again),
    /// They are those of the engine's bound.
    Kept { table: Box<TaskTable>, _booked: Booked },
}

/// What is known of the tasks of the engine's bound.
pub(super) struct Tasks {
    /// What the tables take.
    pub(super) tables: u64,
    /// All outputs and all scratch.
    pub(super) everything: u64,
    pub(super) count: usize,
}

/// What the process may come to take beside what is counted, from one plan to the next.
const SPARE: u64 = 1 << 20;

/// What of a bound is not for tasks.
pub(super) struct Outside {
    /// Knows what the process takes beside what is counted, and what is left unused.
    pub(super) shared: Arc<Shared>,
    /// What is set aside for results, tables and buffers.
    pub(super) reserved: u64,
}

impl Outside {
    /// The bound with which tasks may use so many bytes, where `tables` of a graph are set aside in place of `before`.
    fn memory(&self, tasks: u64, before: u64, tables: u64) -> u64 {
        self.shared.core.lease.memory_for(SPARE + plan::limit_for(tasks, self.reserved.saturating_sub(before) + tables))
    }
}

/// A computation, and the engine as it stood but for the chunks that are kept, so that other bounds can be planned.
pub(super) struct Curve {
    tasks: Tasks,
    source: Source,
    situation: OwnedSituation,
    outside: Outside,
}

impl Curve {
    pub(super) fn new(tasks: Tasks, source: Source, situation: OwnedSituation, outside: Outside) -> Self {
        Curve { tasks, source, situation, outside }
    }

    /// The forecast where tasks may use so many bytes, and what the tables of the graph take then.
    fn at(&self, bound: u64) -> Option<(Forecast, u64)> {
        let situation = self.situation.at(bound);
        match &self.source {
            Source::Again(again) => {
                // Kept chunks may have other numbers than they had.
                let shared = &self.outside.shared;
                let (made, base, kept) = {
                    let _planning = shared.plan_alone();
                    let (_, base, kept) = shared.core.situation();
                    (again(bound + self.tasks.tables)?, base, kept)
                };
                let situation = Situation { base, kept: &kept, ..situation };
                let forecast = plan::plan(&made.table, &made.numbers, &made.keep, &situation).forecast?;
                Some((forecast, booked_for_graph(&made.table)))
            }
            Source::Kept { table, .. } => {
                let OwnedSituation { numbers, keep, .. } = &self.situation;
                Some((plan::plan(table, numbers, keep, &situation).forecast?, self.tasks.tables))
            }
        }
    }

    /// Points from the least bound that tasks can do with, to the least found with which nothing is spilled or read again.
    pub(super) fn points(&self, least: u64) -> Vec<CurvePoint> {
        let everything = self.tasks.everything.saturating_add(least);
        let before = self.tasks.tables;
        let point = |bound: u64| {
            let (forecast, tables) = self.at(bound)?;
            let point = CurvePoint {
                memory: self.outside.memory(bound, before, tables),
                spilled_bytes: forecast.spilled_bytes,
                reread_bytes: forecast.reread_bytes,
                read_again_bytes: forecast.source_reread_bytes,
            };
            Some((point, forecast.peak_bytes, tables))
        };
        // With everything in memory the peak says how much of it is ever used at once.
        let Some((mut free, peak, tables)) = point(everything.max(least)) else { return Vec::new() };
        free.memory = self.outside.memory(peak.max(least), before, tables);
        let count = if self.tasks.count > LARGE { FEW_POINTS } else { POINTS };
        let ratio = (peak.max(least) as f64 / least.max(1) as f64).powf(1.0 / count as f64);
        let mut points: Vec<CurvePoint> = Vec::new();
        let mut bound = least.max(1) as f64;
        for _ in 0..count {
            points.extend(point(bound as u64).map(|(point, ..)| point));
            if points.last().is_some_and(|point| point.spilled_bytes + point.read_again_bytes == 0) {
                return points;
            }
            bound *= ratio;
        }
        points.push(free);
        points
    }
}

impl std::fmt::Debug for Curve {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Curve").field("tasks", &self.tasks.count).finish_non_exhaustive()
    }
}
