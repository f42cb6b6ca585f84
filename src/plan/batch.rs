//! From tasks and an order to what the policy takes.

use super::bound::{SOURCE_SLACK, booked};
use crate::graph::TaskTable;
use crate::policy::{Batch, Class};

/// Tasks numbered as the policy will number them.
pub(crate) struct Numbered {
    /// For each place in the order, the task there.
    pub(crate) order: Vec<u32>,
    /// For each task of the table, the policy's number.
    pub(crate) ids: Vec<u32>,
    /// The number of the first of them: smaller numbers are chunks that are kept from before.
    pub(crate) base: u32,
    /// The same, as the policy takes it.
    pub(crate) batch: Batch,
}

/// What a kept chunk's task has for its number where it is not kept.
pub(crate) const NOT_KEPT: u32 = u32::MAX;

/// Numbers the tasks of a table by `order`, from `base` on. `kept` gives for each task the number of the kept chunk that it
/// stands for, or [`NOT_KEPT`]; it is empty where there are none. `keep` are the tasks whose outputs are claimed, as
/// often as they are named; those that are kept from before are not claimed anew.
pub(crate) fn number(table: &TaskTable, order: Vec<u32>, base: u32, kept: &[u32], keep: &[u32]) -> Numbered {
    let is_kept = |task: u32| kept.get(task as usize).copied().unwrap_or(NOT_KEPT);
    let order: Vec<u32> = if kept.is_empty() { order } else { order.into_iter().filter(|task| is_kept(*task) == NOT_KEPT).collect() };
    let mut ids: Vec<u32> = if kept.is_empty() { vec![0; table.len()] } else { kept.to_vec() };
    for (place, task) in order.iter().enumerate() {
        ids[*task as usize] = base + place as u32;
    }
    let count = order.len();
    // A source that is kept is made once, as any task is: when it would be read again, what reads it is gone.
    let mut stays = vec![false; if keep.is_empty() { 0 } else { table.len() }];
    keep.iter().for_each(|task| stays[*task as usize] = true);
    let mut batch = Batch {
        input_start: Vec::with_capacity(count + 1),
        inputs: Vec::with_capacity(table.inputs.len()),
        out: Vec::with_capacity(count),
        scratch: Vec::with_capacity(if table.scratch.is_empty() { 0 } else { count }),
        class: Vec::with_capacity(count),
        keep: keep.iter().filter(|task| is_kept(**task) == NOT_KEPT).map(|task| ids[*task as usize] - base).collect(),
        will_spill: Vec::new(),
        within: None,
    };
    batch.input_start.push(0);
    for task in &order {
        let at = *task as usize;
        batch.inputs.extend(table.inputs_of(*task).iter().map(|input| ids[*input as usize]));
        batch.input_start.push(batch.inputs.len() as u32);
        let source = table.source[at];
        let slack = if source && table.out[at] > 0 { SOURCE_SLACK } else { 0 };
        batch.out.push(booked(table.out[at]) + slack);
        if !table.scratch.is_empty() {
            batch.scratch.push(table.scratch_of(*task));
        }
        let stays = stays.get(at).copied().unwrap_or(false);
        batch.class.push(if source && !stays { Class::Source } else { Class::Task });
    }
    Numbered { order, ids, base, batch }
}
