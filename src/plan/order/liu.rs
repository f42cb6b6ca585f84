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

const NONE: u32 = u32::MAX;

/// The order of the forest in which each output hangs under its last user by `place`, or by number.
pub(crate) fn liu(links: &Links, place: &[u32]) -> Vec<u32> {
    let n = links.len();
    let at = |task: &u32| place.get(*task as usize).copied().unwrap_or(*task);
    let parent: Vec<u32> = (0..n as u32).map(|t| links.users(t).iter().copied().max_by_key(at).unwrap_or(NONE)).collect();
    let mut next = vec![NONE; n];
    let mut lists = Lists::new(n);
    let mut list_of = vec![NONE; n];
    let out = |task: u32| links.out[task as usize] as i64;
    let mut trees = NONE;
    for task in 0..n as u32 {
        let hanging = || links.inputs(task).iter().copied().filter(|input| parent[*input as usize] == task);
        let mut list = hanging().fold(NONE, |list, input| lists.join(list, list_of[input as usize]));
        let freed: i64 = hanging().filter(|input| !links.kept[*input as usize]).map(out).sum();
        let stays = if links.users(task).is_empty() && !links.kept[task as usize] { 0 } else { out(task) };
        let mut own =
            Part { segment: Segment { hill: out(task) + links.scratch[task as usize] as i64, net: stays - freed }, from: task, to: task };
        // It comes after all of the subtree: what would not stay before it is joined with it.
        while list != NONE {
            let last = lists.parts[list as usize];
            if last.segment.key() < own.segment.key() {
                break;
            }
            list = lists.without_last(list);
            next[last.to as usize] = own.from;
            own = Part { segment: last.segment.then(own.segment), from: last.from, to: own.to };
        }
        lists.parts[task as usize] = own;
        list = lists.join(list, task);
        if parent[task as usize] == NONE {
            trees = lists.join(trees, list);
        } else {
            list_of[task as usize] = list;
        }
    }
    let mut parts = Vec::new();
    while trees != NONE {
        parts.push(lists.parts[trees as usize]);
        trees = lists.without_last(trees);
    }
    let mut progress = Progress::new(links);
    let mut stack = Vec::new();
    for Part { from: mut task, to, .. } in parts.into_iter().rev() {
        loop {
            run_with_inputs(&mut progress, task, &mut stack);
            if task == to {
                break;
            }
            task = next[task as usize];
        }
    }
    progress.order
}

/// A segment, and its tasks from first to last in `next`.
#[derive(Clone, Copy)]
struct Part {
    segment: Segment,
    from: u32,
    to: u32,
}

/// Lists of parts of which the last is always known: pairing heaps (Fredman, Sedgewick, Sleator and Tarjan 1986), the greatest above. A list is the number of its last part, and a part
/// that of the task whose subtree it was made for, which also decides between equal segments.
struct Lists {
    parts: Vec<Part>,
    /// The first of the parts below one, and the next beside it.
    below: Vec<u32>,
    beside: Vec<u32>,
    /// Pairs of those below what was taken out.
    pairs: Vec<u32>,
}

impl Lists {
    fn new(n: usize) -> Self {
        let none = Part { segment: Segment { hill: 0, net: 0 }, from: NONE, to: NONE };
        Lists { parts: vec![none; n], below: vec![NONE; n], beside: vec![NONE; n], pairs: Vec::new() }
    }

    /// Two lists as one.
    fn join(&mut self, a: u32, b: u32) -> u32 {
        if a == NONE || b == NONE {
            return a.min(b);
        }
        let key = |part: u32| (self.parts[part as usize].segment.key(), part);
        let (above, under) = if key(a) > key(b) { (a, b) } else { (b, a) };
        self.beside[under as usize] = std::mem::replace(&mut self.below[above as usize], under);
        above
    }

    /// The list without its last part.
    fn without_last(&mut self, list: u32) -> u32 {
        let mut at = std::mem::replace(&mut self.below[list as usize], NONE);
        while at != NONE {
            let other = std::mem::replace(&mut self.beside[at as usize], NONE);
            let next = if other == NONE { NONE } else { std::mem::replace(&mut self.beside[other as usize], NONE) };
            let pair = self.join(at, other);
            self.pairs.push(pair);
            at = next;
        }
        let mut joined = NONE;
        while let Some(pair) = self.pairs.pop() {
            joined = self.join(joined, pair);
        }
        joined
    }
}

/// Runs a task after what it misses.
fn run_with_inputs(progress: &mut Progress<'_>, task: u32, stack: &mut Vec<u32>) {
    stack.push(task);
    while let Some(task) = stack.last().copied() {
        if progress.done[task as usize] {
            stack.pop();
        } else if progress.missing(task) == 0 {
            stack.pop();
            progress.run(task);
        } else {
            let done = &progress.done;
            stack.extend(progress.links.inputs(task).iter().filter(|input| !done[**input as usize]));
        }
    }
}
