//! What an order spills within a bound when the output needed furthest in the future is the one evicted.
//!
//! One worker; an output is written at most once and read whenever it is needed and not there (Belady, *A study of
//! replacement algorithms for a virtual-storage computer*, IBM Systems Journal 5, 1966, with sizes ignored).

use chunkstore::plan::{Cost, Shape, peak};
use std::collections::BTreeSet;

/// The cost of an order within `bound` bytes; none where a task needs more than that.
pub(crate) fn cost(shape: &Shape, order: &[u32], bound: u64) -> Option<Cost> {
    let peak = peak(shape, order);
    let mut cost = Cost { spilled: 0, reread: 0, peak: peak.min(bound) };
    if peak <= bound {
        return Some(cost);
    }
    let uses = uses(shape, order);
    let mut cursor = vec![0usize; shape.len()];
    let mut state = vec![State::default(); shape.len()];
    // What may be evicted, by next use.
    let mut idle: BTreeSet<(u32, u32)> = BTreeSet::new();
    let mut held = 0u64;
    for (at, task) in order.iter().enumerate() {
        let mut inputs = shape.inputs_of(*task).to_vec();
        inputs.sort_unstable();
        inputs.dedup();
        let mut missing = shape.out[*task as usize] + shape.scratch.get(*task as usize).copied().unwrap_or(0);
        for input in &inputs {
            let i = *input as usize;
            if state[i].resident {
                idle.remove(&(at as u32, *input));
            } else {
                missing += shape.out[i];
                cost.reread += shape.out[i];
                state[i].resident = true;
            }
        }
        while held + missing > bound {
            let (_, victim) = idle.pop_last()?;
            let v = victim as usize;
            held -= shape.out[v];
            state[v].resident = false;
            if !std::mem::replace(&mut state[v].written, true) {
                cost.spilled += shape.out[v];
            }
        }
        held += missing - shape.scratch.get(*task as usize).copied().unwrap_or(0);
        state[*task as usize].resident = true;
        for done in inputs.iter().chain([task]) {
            let d = *done as usize;
            cursor[d] += usize::from(done != task);
            match uses[d].get(cursor[d]) {
                Some(next) => _ = idle.insert((*next, *done)),
                None => {
                    held -= shape.out[d];
                    state[d].resident = false;
                }
            }
        }
    }
    Some(cost)
}

#[derive(Clone, Copy, Default)]
struct State {
    resident: bool,
    written: bool,
}

/// For each task, the places in the order at which its output is used.
fn uses(shape: &Shape, order: &[u32]) -> Vec<Vec<u32>> {
    let mut uses = vec![Vec::new(); shape.len()];
    for (at, task) in order.iter().enumerate() {
        for input in shape.inputs_of(*task) {
            if uses[*input as usize].last() != Some(&(at as u32)) {
                uses[*input as usize].push(at as u32);
            }
        }
    }
    uses
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape =
        Shape { input_start: &[0, 0, 0, 0, 2, 4], inputs: &[1, 2, 0, 3], out: &[10, 10, 10, 10, 10], scratch: &[], keep: &[] };

    #[test]
    fn what_is_needed_last_is_spilled_once() {
        let order = [0, 1, 2, 3, 4];
        assert_eq!(cost(&SHAPE, &order, 40), Some(Cost { spilled: 0, reread: 0, peak: 40 }));
        assert_eq!(cost(&SHAPE, &order, 30), Some(Cost { spilled: 10, reread: 10, peak: 30 }));
        assert_eq!(cost(&SHAPE, &order, 29), None);
    }

    #[test]
    fn a_better_order_spills_nothing() {
        assert_eq!(cost(&SHAPE, &[1, 2, 3, 0, 4], 30), Some(Cost { spilled: 0, reread: 0, peak: 30 }));
    }
}
