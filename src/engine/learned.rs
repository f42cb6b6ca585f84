//! How large the outputs of functions have been: what an engine has learned for the ranges of its forecasts.

use crate::exec::Plan;
use crate::graph::TaskTable;
use crate::plan::{SizeRange, booked};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// The least and the most that tasks of a name have given, of those whose sizes were not exact.
#[derive(Default)]
pub(super) struct LearnedSizes(Mutex<FxHashMap<String, SizeRange>>);

impl LearnedSizes {
    /// Learns from the tasks of a run.
    pub(super) fn learn(&self, plans: &[Arc<Plan>]) {
        let mut found = FxHashMap::<&str, SizeRange>::default();
        for plan in plans {
            for (task, size) in plan.gave() {
                found.entry(name_of(&plan.table, task)).and_modify(|range| range.join(size)).or_insert(size);
            }
        }
        let mut known = self.0.lock();
        for (name, range) in found {
            match known.get_mut(name) {
                Some(known) => known.join(range),
                None => _ = known.insert(name.to_string(), range),
            }
        }
    }

    /// What each task of a table is expected to give; nothing where all sizes are exact.
    pub(super) fn expect(&self, table: &TaskTable) -> Option<Vec<SizeRange>> {
        if table.exact.iter().all(|exact| *exact) {
            return None;
        }
        let known = self.0.lock();
        let of = |task: usize| match table.exact.get(task) {
            Some(true) => SizeRange::exactly(booked(table.out.get(task).copied().unwrap_or(0))),
            _ => known.get(name_of(table, task as u32)).copied().unwrap_or(SizeRange::ANY),
        };
        Some((0..table.len()).map(of).collect())
    }
}

/// The name by which what a task gives is remembered.
fn name_of(table: &TaskTable, task: u32) -> &str {
    match table.layer_of(task) {
        Some(layer) => layer.kind_of(table.block_of(task)).unwrap_or_else(|| layer.name()),
        None => table.operator_of(task).map(|operator| operator.name()).unwrap_or_default(),
    }
}
