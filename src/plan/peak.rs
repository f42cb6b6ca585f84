//! The memory that an order takes with one worker.
//!
//! ```text
//!   bytes |        ____            an output counts from the start of its task
//!         |   ____|    |__         until its last user has run; one without
//!         |  |            |___     users until it has run itself
//!         +------------------------> tasks in order
//! ```

use super::Shape;

/// The most bytes held at once when the tasks run in this order, nothing is spilled and one task runs at a time.
///
/// Takes time and memory linear in tasks and edges. `order` must name each task once, inputs before users.
pub fn peak(shape: &Shape, order: &[u32]) -> u64 {
    peak_with(shape, order, users(shape))
}

/// The same, where it is known how many [`users`] each output has.
pub(super) fn peak_with(shape: &Shape, order: &[u32], mut users_left: Vec<u32>) -> u64 {
    let mut held = 0u64;
    let mut most = 0u64;
    for task in order {
        let out = shape.out[*task as usize];
        held += out;
        most = most.max(held + shape.scratch_of(*task));
        if users_left[*task as usize] == 0 {
            held -= out;
        }
        for input in shape.inputs_of(*task) {
            let left = &mut users_left[*input as usize];
            *left -= 1;
            if *left == 0 {
                held -= shape.out[*input as usize];
            }
        }
    }
    most
}

/// The bytes that the largest task needs: its inputs, its output and its scratch. No order has a smaller peak.
pub fn largest_need(shape: &Shape) -> u64 {
    let mut counted = vec![u32::MAX; shape.len()];
    let mut most = 0;
    for task in 0..shape.len() as u32 {
        let mut need = shape.out[task as usize] + shape.scratch_of(task);
        for input in shape.inputs_of(task) {
            if counted[*input as usize] != task {
                counted[*input as usize] = task;
                need += shape.out[*input as usize];
            }
        }
        most = most.max(need);
    }
    most
}

/// How often each output is named as an input, and once more where it is kept.
pub(super) fn users(shape: &Shape) -> Vec<u32> {
    let mut users = vec![0u32; shape.len()];
    for input in shape.inputs {
        users[*input as usize] += 1;
    }
    for task in shape.keep {
        users[*task as usize] += 1;
    }
    users
}
