//! Greedy by bytes: start what frees most now.
//!
//! ```text
//!    ready:  a: +10 -30   b: +10 -0   c: +10 -0        a runs first: it frees 20.
//!                           |            |             Then b, if its user misses
//!                           u (1 more)   v (3 more)    one input and c's misses three.
//! ```
//!
//! Minimises the bytes held after the next step. Among tasks that free nothing, those come first whose user misses
//! fewest other inputs, so that a reducer that has been begun is finished. Sources are tasks like any other, or come
//! after everything that has inputs.

use crate::plan::links::{Links, Progress};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What distinguishes one greedy order from another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Greed<'a> {
    /// Sources start only where nothing else can.
    pub(crate) sources_last: bool,
    /// Which of equals comes first: the one with the smaller place, or number where there are no places.
    pub(crate) place: &'a [u32],
}

/// What to run first: by growth where memory shrinks, else by missing siblings, growth, and place.
type Rank = (i64, u32, i64, u32);

/// Takes time near-linear in tasks and edges.
pub(crate) fn greedy(links: &Links, greed: Greed<'_>) -> Vec<u32> {
    let mut progress = Progress::new(links);
    let mut heap: BinaryHeap<Reverse<(Rank, u32)>> = BinaryHeap::new();
    let mut latest: Vec<Rank> = vec![(i64::MAX, 0, 0, 0); links.len()];
    let rank = |progress: &Progress, task: u32| -> Rank {
        let growth = progress.growth(task);
        let place = greed.place.get(task as usize).copied().unwrap_or(task);
        let source = greed.sources_last && links.inputs(task).is_empty();
        if !source && (growth <= 0 || greed.sources_last) {
            let first = if greed.sources_last { -1 } else { growth.min(-1) };
            return (first, 0, growth, place);
        }
        let siblings = links.users(task).iter().take(64).map(|user| progress.missing(*user)).min().unwrap_or(0);
        (0, siblings, growth, place)
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
            match progress.missing(*user) {
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
