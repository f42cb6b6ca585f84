//! What a computation would take with other bounds.

use super::cache::OwnedReservation;
use super::compute::booked_for_graph;
use crate::Result;
use crate::exec::Lowered;
use crate::graph::TaskTable;
use crate::plan::{self, OwnedSituation};
use crate::policy::Forecast;
use chunkstore_store::Booking;

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

/// The tasks that a computation has where tasks may use so many bytes, and of these the numbers of those that stand for kept chunks and those whose outputs stay: the optimiser
/// makes larger tasks where there is more room.
pub(super) type Again = Box<dyn Fn(u64) -> Option<(TaskTable, Vec<u32>, Vec<u32>)> + Send + Sync>;

/// The tasks of a computation, and the engine as it stood, so that other bounds can be planned.
pub(super) struct Curve {
    table: TaskTable,
    situation: OwnedSituation,
    /// What of a bound is not for tasks.
    outside: u64,
    /// Makes the tasks again for another bound, where they are few.
    again: Option<Again>,
    /// What its tables take, booked for as long as they are kept.
    _booked: Option<(Booking, OwnedReservation)>,
}

impl Curve {
    /// Keeps a plan's tables; nothing where `book` finds no room for them.
    pub(super) fn new(
        lowered: Lowered,
        situation: OwnedSituation,
        outside: u64,
        again: Option<Again>,
        book: impl FnOnce(&TaskTable) -> Result<Option<(Booking, OwnedReservation)>>,
    ) -> Option<Self> {
        let booked = book(&lowered.table).ok()?;
        let again = again.filter(|_| lowered.table.len() <= LARGE);
        Some(Curve { table: lowered.table, situation, outside, again, _booked: booked })
    }

    /// The forecast where tasks may use so many bytes, and what is not for tasks then.
    fn at(&self, bound: u64) -> Option<(Forecast, u64)> {
        let OwnedSituation { numbers, keep, .. } = &self.situation;
        let tables = booked_for_graph(&self.table);
        match &self.again {
            Some(again) => {
                let (table, numbers, keep) = again(bound + tables)?;
                let forecast = plan::plan(&table, &numbers, &keep, &self.situation.at(bound)).forecast?;
                Some((forecast, self.outside.saturating_sub(tables) + booked_for_graph(&table)))
            }
            None => Some((plan::plan(&self.table, numbers, keep, &self.situation.at(bound)).forecast?, self.outside)),
        }
    }

    /// Points from the least bound that tasks can do with, to the least found with which nothing is spilled or read again.
    pub(super) fn points(&self, least: u64) -> Vec<CurvePoint> {
        let everything: u64 = self.table.out.iter().chain(&self.table.scratch).sum::<u64>() + least;
        let point = |bound: u64| {
            let (forecast, outside) = self.at(bound)?;
            let point = CurvePoint {
                memory: bound + outside,
                spilled_bytes: forecast.spilled_bytes,
                reread_bytes: forecast.reread_bytes,
                read_again_bytes: forecast.source_reread_bytes,
            };
            Some((point, forecast.peak_bytes))
        };
        // With everything in memory the peak says how much of it is ever used at once.
        let Some((mut free, peak)) = point(everything.max(least)) else { return Vec::new() };
        free.memory = free.memory - everything.max(least) + peak.max(least);
        let count = if self.table.len() > LARGE { FEW_POINTS } else { POINTS };
        let ratio = (peak.max(least) as f64 / least.max(1) as f64).powf(1.0 / count as f64);
        let mut points: Vec<CurvePoint> = Vec::new();
        let mut bound = least.max(1) as f64;
        for _ in 0..count {
            points.extend(point(bound as u64).map(|(point, _)| point));
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
        f.debug_struct("Curve").field("tasks", &self.table.len()).finish_non_exhaustive()
    }
}
