//! The best order of a tree, whether a postorder or not.
//!
//! ```text
//!        s         Under each task the segments of its subtrees are merged by hill and net, so that the walk may leave
//!       / \        a subtree where it holds little and come back: a to its valley, b to its end, the rest of a.
//!      a   b       See `segments`.
//! ```
//!
//! Minimises the peak over all orders of a tree exactly (Liu 1987). On other graphs each output hangs under its last user by
//! `place`, and what an order misses of other inputs is run before: a guess. Takes n log^2 n time.

use super::segments::Segment;
use crate::plan::links::{Links, Progress};
use std::collections::BTreeMap;

/// Segments by key and then by the task whose subtree they were made for; each is a list of tasks from first to last in `next`.
type List = BTreeMap<((bool, i64), u32), (Segment, u32, u32)>;

/// The order of the forest in which each output hangs under its last user by `place`, or by number.
pub(crate) fn liu(links: &Links, place: &[u32]) -> Vec<u32> {
    let n = links.len();
    let at = |task: &u32| place.get(*task as usize).copied().unwrap_or(*task);
    let parent: Vec<u32> = (0..n as u32).map(|t| links.users(t).iter().copied().max_by_key(at).unwrap_or(u32::MAX)).collect();
    let mut next = vec![u32::MAX; n];
    let mut lists: Vec<Option<List>> = (0..n).map(|_| None).collect();
    let out = |task: u32| links.out[task as usize] as i64;
    let mut trees: List = List::new();
    for task in 0..n as u32 {
        let hanging = || links.inputs(task).iter().copied().filter(|input| parent[*input as usize] == task);
        let mut list = List::new();
        for input in hanging() {
            join(&mut list, lists[input as usize].take().unwrap_or_default());
        }
        let freed: i64 = hanging().filter(|input| !links.kept[*input as usize]).map(out).sum();
        let stays = if links.users(task).is_empty() && !links.kept[task as usize] { 0 } else { out(task) };
        let mut own = (Segment { hill: out(task) + links.scratch[task as usize] as i64, net: stays - freed }, task, task);
        // It comes after all of the subtree: what would not stay before it is joined with it.
        while let Some(last) = list.last_entry() {
            if last.key().0 < own.0.key() {
                break;
            }
            let (segment, from, to) = last.remove();
            next[to as usize] = own.1;
            own = (segment.then(own.0), from, own.2);
        }
        list.insert((own.0.key(), task), own);
        if parent[task as usize] == u32::MAX {
            join(&mut trees, list);
        } else {
            lists[task as usize] = Some(list);
        }
    }
    let mut progress = Progress::new(links);
    let mut stack = Vec::new();
    for (_, mut task, last) in trees.into_values() {
        loop {
            run_with_inputs(&mut progress, task, &mut stack);
            if task == last {
                break;
            }
            task = next[task as usize];
        }
    }
    progress.order
}

/// The smaller into the larger.
fn join(into: &mut List, mut other: List) {
    if other.len() > into.len() {
        std::mem::swap(into, &mut other);
    }
    into.extend(other);
}

/// Runs a task after what it misses.
fn run_with_inputs(progress: &mut Progress<'_>, task: u32, stack: &mut Vec<u32>) {
    stack.push(task);
    while let Some(task) = stack.last().copied() {
        if progress.done[task as usize] {
            stack.pop();
        } else if progress.missing[task as usize] == 0 {
            stack.pop();
            progress.run(task);
        } else {
            let done = &progress.done;
            stack.extend(progress.links.inputs(task).iter().filter(|input| !done[**input as usize]));
        }
    }
}
