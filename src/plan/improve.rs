//! Improves an order: what only adds to memory waits until it is needed.
//!
//! ```text
//!   before   a b c d e f ...      b and c free nothing and are first used by f:
//!   after    a d e b c f ...      they run just before it.
//! ```
//!
//! Minimises the time that outputs are held, keeping the order of the tasks that free memory. Takes linear time.

use super::links::{Links, Progress};

/// The order with tasks that free nothing moved to just before their first user.
pub(crate) fn just_in_time(links: &Links, order: &[u32]) -> Vec<u32> {
    let mut place = vec![0u32; links.len()];
    for (at, task) in order.iter().enumerate() {
        place[*task as usize] = at as u32;
    }
    let mut progress = Progress::new(links);
    let mut stack: Vec<u32> = Vec::new();
    for anchor in order {
        let waits = progress.growth(*anchor) > 0 && !links.users(*anchor).is_empty();
        if waits || progress.done[*anchor as usize] {
            continue;
        }
        stack.push(*anchor);
        while let Some(task) = stack.last().copied() {
            if progress.done[task as usize] {
                stack.pop();
            } else if progress.missing[task as usize] == 0 {
                stack.pop();
                progress.run(task);
            } else {
                let top = stack.len();
                stack.extend(links.inputs(task).iter().filter(|input| !progress.done[**input as usize]));
                stack[top..].sort_unstable_by_key(|input| std::cmp::Reverse(place[*input as usize]));
            }
        }
    }
    progress.order
}
