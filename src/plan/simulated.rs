//! What the policy makes of an order within a bound: sizes alone, no graph and no engine.

use super::{Cost, Shape};
use crate::policy::{Batch, Class, Eviction, Setup, simulate};

/// What an order costs within `bound` bytes when the engine's own policy runs it with one worker and one thread for input and output; none
/// where a task needs more than that. Every output that leaves memory is written once; none is made again.
///
/// ```
/// use chunkstore::plan::{Cost, Eviction, Shape, simulated_cost};
/// let shape = Shape { input_start: &[0, 0, 0, 0, 2, 4], inputs: &[1, 2, 0, 3], out: &[10; 5], scratch: &[], keep: &[] };
/// let cost = |order: &[u32]| simulated_cost(&shape, order, 30, Eviction::Cheapest);
/// assert_eq!(cost(&[0, 1, 2, 3, 4]), Some(Cost { spilled: 10, reread: 10, peak: 30 }));
/// assert_eq!(cost(&[1, 2, 3, 0, 4]), Some(Cost { spilled: 0, reread: 0, peak: 30 }));
/// assert_eq!(simulated_cost(&shape, &[0, 1, 2, 3, 4], 29, Eviction::Cheapest), None);
/// ```
pub fn simulated_cost(shape: &Shape, order: &[u32], bound: u64, eviction: Eviction) -> Option<Cost> {
    let mut place = vec![0u32; shape.len()];
    order.iter().enumerate().for_each(|(at, task)| place[*task as usize] = at as u32);
    let mut batch = Batch {
        input_start: Vec::with_capacity(order.len() + 1),
        inputs: Vec::with_capacity(shape.inputs.len()),
        out: order.iter().map(|task| shape.out[*task as usize]).collect(),
        scratch: order.iter().map(|task| shape.scratch_of(*task)).collect(),
        class: vec![Class::Task; order.len()],
        keep: shape.keep.iter().map(|task| place[*task as usize]).collect(),
        will_spill: Vec::new(),
        within: None,
    };
    batch.input_start.push(0);
    for task in order {
        batch.inputs.extend(shape.inputs_of(*task).iter().map(|input| place[*input as usize]));
        batch.input_start.push(batch.inputs.len() as u32);
    }
    let forecast = simulate(&batch, &Setup { eviction, ..Setup::new(bound, 1, 1) })?;
    Some(Cost { spilled: forecast.spilled_bytes, reread: forecast.reread_bytes, peak: forecast.peak_bytes })
}
