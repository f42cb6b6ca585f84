//! Greedy by bytes: start what frees most now.
//!
//! ```text
//!    ready:  a: +10 -30   b: +10 -0   c: +10 -0        a runs first: it frees 20.
//!                           |            |             Then b, if its user misses
//!                           u (1 more)   v (3 more)    one input and c's misses three.
//! ```
//!
//! Minimises the bytes held after the next step. Among tasks that free nothing, those come first whose user misses
//! fewest other inputs, so that a reducer that has been begun is finished. Sources are tasks like any other.

use crate::plan::links::{Links, Progress};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What to run first: by growth where memory shrinks, else by missing siblings, growth, and age.
type Rank = (i64, u32, i64, u32);

/// Takes time near-linear in tasks and edges.
pub(crate) fn greedy(links: &Links) -> Vec<u32> {
    let mut progress = Progress::new(links);
    let mut heap: BinaryHeap<Reverse<(Rank, u32)>> = BinaryHeap::new();
    let mut latest: Vec<Rank> = vec![(i64::MAX, 0, 0, 0); links.len()];
    let rank = |progress: &Progress, task: u32| -> Rank {
        let growth = progress.growth(task);
        if growth <= 0 {
            return (growth.min(-1), 0, growth, 0);
        }
        let siblings = links.users(task).iter().take(64).map(|user| progress.missing[*user as usize]).min().unwrap_or(0);
        (0, siblings, growth, task)
    };
    for task in 0..links.len() as u32 {
        if progress.ready(task) {
            let rank = rank(&progress, task);
            latest[task as usize] = rank;
            heap.push(Reverse((rank, task)));
        }
    }
    let mut touched = Vec::new();
    while let Some(Reverse((seen, task))) = heap.pop() {
        if progress.done[task as usize] || latest[task as usize] != seen {
            continue;
        }
        progress.run(task);
        for input in links.inputs(task) {
            touched.extend(progress.last_user(*input));
        }
        for user in links.users(task) {
            match progress.missing[*user as usize] {
                0 => touched.push(*user),
                // The siblings of a user are told when its count is small or a power of two: each edge is then told a
                // bounded number of times.
                left if left <= 4 || left.is_power_of_two() => touched.extend(links.inputs(*user)),
                _ => {}
            }
        }
        for task in touched.drain(..) {
            if progress.ready(task) {
                let rank = rank(&progress, task);
                if rank != latest[task as usize] {
                    latest[task as usize] = rank;
                    heap.push(Reverse((rank, task)));
                }
            }
        }
    }
    progress.order
}
