//! The order that Dask's users know: critical paths, reducers finished first, depth first.
//!
//! ```text
//!         target          1. The target is the sink that needs fewest roots not yet loaded.
//!         /    \          2. From it down, always to the input with the largest sort key: the critical path.
//!        r      c         3. The path is walked as a stack from its root; what a task misses is pushed above it.
//!       / \    / \        4. After walking back, tasks that have become free run, but only
//!      a   b  d   e          along paths that together complete a reducer (d, e, then c).
//! ```
//!
//! Minimises nothing exactly; it keeps few outputs waiting on graphs of array programs. After `dask/order.py` of Dask
//! 2024 and later, whose sets of connected roots are replaced by bounded searches, so that time is near-linear.

use crate::plan::links::{Links, Progress};
use rustc_hash::FxHashMap;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Larger ones are more critical: all inputs above (counted along every path), inputs, roots above, fewest users of
/// the widest output below, number.
type Weight = (u64, u32, u64, Reverse<u32>, u32);

/// Takes time near-linear in tasks and edges.
pub(crate) fn dask(links: &Links) -> Vec<u32> {
    let weights = weights(links);
    let mut walk =
        Walk { progress: Progress::new(links), runnable: Vec::new(), paths: FxHashMap::default(), targets: Targets::new(links, &weights) };
    let mut stack = Vec::new();
    let mut pushed = Vec::new();
    while let Some(target) = walk.targets.next(&walk.progress) {
        // The critical path, target first, root last.
        let mut item = Some(target);
        while let Some(task) = item {
            stack.push(task);
            let missing = links.inputs(task).iter().filter(|input| !walk.progress.done[**input as usize]);
            item = missing.max_by_key(|input| weights[**input as usize]).copied();
        }
        let mut walked_back = false;
        while let Some(task) = stack.pop() {
            if walk.progress.done[task as usize] {
                continue;
            }
            if walk.progress.missing[task as usize] == 0 {
                if walked_back && walk.runnable.len() < stack.len() {
                    walk.run_free_paths();
                    if walk.progress.done[task as usize] {
                        continue;
                    }
                }
                walk.run(task);
                continue;
            }
            stack.push(task);
            if let Some(paths) = walk.paths.remove(&task) {
                for path in paths {
                    stack.extend(path.into_iter().rev());
                }
                continue;
            }
            walked_back = true;
            pushed.clear();
            pushed.extend(links.inputs(task).iter().filter(|input| !walk.progress.done[**input as usize]));
            pushed.sort_unstable_by_key(|input| weights[*input as usize]);
            // What is free to go runs before others are opened; it sits on top of the stack.
            pushed.sort_by_key(|input| walk.progress.missing[*input as usize] == 0 && !links.inputs(*input).is_empty());
            stack.extend_from_slice(&pushed);
        }
        walk.run_free_paths();
    }
    walk.progress.order
}

struct Walk<'a> {
    progress: Progress<'a>,
    /// Tasks whose last input has run since the free paths were last followed.
    runnable: Vec<u32>,
    /// For each reducer, the free paths that lead into it.
    paths: FxHashMap<u32, Vec<Vec<u32>>>,
    targets: Targets,
}

impl Walk<'_> {
    fn run(&mut self, task: u32) {
        self.progress.run(task);
        self.targets.ran(task);
        for user in self.progress.links.users(task) {
            if self.progress.missing[*user as usize] == 0 {
                self.runnable.push(*user);
            }
        }
    }

    /// Follows each free task down to a sink or a reducer; runs the paths into a reducer once they complete it.
    fn run_free_paths(&mut self) {
        let links = self.progress.links;
        while let Some(free) = self.runnable.pop() {
            if self.progress.done[free as usize] {
                continue;
            }
            let mut path = vec![free];
            let mut current = free;
            loop {
                match links.users(current) {
                    [] => {
                        for task in path {
                            if self.progress.ready(task) {
                                self.run(task);
                            }
                        }
                        break;
                    }
                    [user] if links.inputs(*user).len() == 1 => {
                        current = *user;
                        path.push(current);
                    }
                    [user] => {
                        let paths = self.paths.entry(*user).or_default();
                        if paths.iter().any(|known| known[0] == free) {
                            break;
                        }
                        paths.push(path);
                        if paths.len() >= self.progress.missing[*user as usize] as usize {
                            let paths = self.paths.remove(user).unwrap_or_default();
                            for task in paths.into_iter().flatten().chain([*user]) {
                                if self.progress.ready(task) {
                                    self.run(task);
                                }
                            }
                        }
                        break;
                    }
                    _ => break,
                }
            }
        }
    }
}

fn weights(links: &Links) -> Vec<Weight> {
    let n = links.len();
    let mut above = vec![0u64; n];
    let mut roots = vec![0u64; n];
    let mut widest = vec![0u32; n];
    for task in 0..n {
        let inputs = links.inputs(task as u32);
        above[task] = inputs.iter().fold(1, |sum, input| sum.saturating_add(above[*input as usize]));
        roots[task] = inputs.iter().fold(u64::from(inputs.is_empty()), |sum, input| sum.saturating_add(roots[*input as usize]));
    }
    for task in (0..n).rev() {
        let users = links.users(task as u32);
        widest[task] = users.iter().map(|user| widest[*user as usize]).max().unwrap_or(0).max(users.len() as u32);
    }
    (0..n).map(|t| (above[t], links.inputs(t as u32).len() as u32, roots[t], Reverse(widest[t]), t as u32)).collect()
}

/// The sinks, by roots not yet loaded.
struct Targets {
    /// For each root, the sinks above which it lies, where the search found them.
    sinks_of: FxHashMap<u32, Vec<u32>>,
    unloaded: FxHashMap<u32, u32>,
    heap: BinaryHeap<Reverse<(u32, Weight, u32)>>,
    weight_of: FxHashMap<u32, Weight>,
}

impl Targets {
    fn new(links: &Links, weights: &[Weight]) -> Self {
        let n = links.len();
        let sinks: Vec<u32> = links.sinks().collect();
        let mut targets = Targets {
            sinks_of: FxHashMap::default(),
            unloaded: FxHashMap::default(),
            heap: BinaryHeap::new(),
            weight_of: FxHashMap::default(),
        };
        // Sinks that are not searched within this budget come last, by weight.
        let mut budget = 8 * n + 1024;
        let mut seen = vec![u32::MAX; n];
        let mut stack = Vec::new();
        for sink in &sinks {
            let mut roots = Vec::new();
            stack.push(*sink);
            while let Some(task) = stack.pop() {
                if seen[task as usize] == *sink || budget == 0 {
                    continue;
                }
                seen[task as usize] = *sink;
                budget -= 1;
                if links.inputs(task).is_empty() {
                    roots.push(task);
                }
                stack.extend_from_slice(links.inputs(task));
            }
            let count = if budget == 0 { u32::MAX } else { roots.len() as u32 };
            if budget > 0 && sinks.len() > 1 {
                for root in roots {
                    targets.sinks_of.entry(root).or_default().push(*sink);
                }
            }
            targets.unloaded.insert(*sink, count);
            targets.weight_of.insert(*sink, weights[*sink as usize]);
            targets.heap.push(Reverse((count, weights[*sink as usize], *sink)));
        }
        targets
    }

    fn next(&mut self, progress: &Progress) -> Option<u32> {
        while let Some(Reverse((count, _, sink))) = self.heap.pop() {
            if !progress.done[sink as usize] && self.unloaded.get(&sink) == Some(&count) {
                return Some(sink);
            }
        }
        None
    }

    fn ran(&mut self, task: u32) {
        for sink in self.sinks_of.remove(&task).unwrap_or_default() {
            if let (Some(count), Some(weight)) = (self.unloaded.get_mut(&sink), self.weight_of.get(&sink)) {
                *count -= 1;
                self.heap.push(Reverse((*count, *weight, sink)));
            }
        }
    }
}
