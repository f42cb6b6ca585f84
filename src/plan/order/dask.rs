//! The order that Dask's users know: critical paths, reducers finished first, depth first.
//!
//! ```text
//!         target          1. The target is a sink that needs fewest roots not yet loaded.
//!         /    \          2. From it down, always to the input with the largest sort key: the critical path.
//!        r      c         3. The path is walked as a stack from its root; what a task misses is pushed above it.
//!       / \    / \        4. After walking back, tasks that have become free run, but only
//!      a   b  d   e          along paths that together complete a reducer (d, e, then c).
//! ```
//!
//! Minimises nothing exactly; it keeps few outputs waiting on graphs of array programs. After `dask/order.py` of Dask 2024 and
//! later, decision by decision, but for ties: Dask compares the text of keys, which is not known here, so that places in
//! another order may be given instead. Sets of connected roots are exact while they take little room; beyond that they are counted
//! along paths, and free paths are followed within a budget, so that time is near-linear.

use super::targets::Targets;
use crate::plan::links::{Links, Progress};
use rustc_hash::FxHashMap;
use std::cmp::Reverse;
use std::collections::VecDeque;

/// Larger ones are more critical: all inputs above (counted along every path), inputs, roots above, fewest users of the widest root
/// above, place.
pub(super) type Weight = (u64, u32, u64, Reverse<u32>, u32);

/// Takes time near-linear in tasks and edges. Ties go to the larger `place`; by number where there are none.
pub(crate) fn dask(links: &Links, place: &[u32]) -> Vec<u32> {
    let roots = Roots::new(links);
    let weights = weights(links, &roots, place);
    let mut walk = Walk {
        progress: Progress::new(links),
        targets: Targets::new(links, &roots, &weights),
        weights: &weights,
        place,
        runnable: Vec::new(),
        paths: FxHashMap::default(),
        in_hull: vec![false; links.len()],
        budget: 8 * links.len() + 1024,
        next: Vec::new(),
    };
    let mut stack: Vec<u32> = Vec::new();
    let mut pushed: Vec<u32> = Vec::new();
    while let Some(target) = walk.targets.next(&walk.progress) {
        walk.critical_path(target, &mut stack);
        let mut walked_back = false;
        while let Some(task) = stack.pop() {
            if walk.progress.done[task as usize] {
                continue;
            }
            if walk.progress.missing(task) == 0 {
                if walked_back && walk.runnable.len() < stack.len() {
                    walk.run_free_paths();
                }
                walk.run(task);
                continue;
            }
            stack.push(task);
            pushed.clear();
            pushed.extend(links.inputs(task).iter().filter(|input| !walk.progress.done[**input as usize]));
            pushed.sort_unstable_by_key(|input| weights[*input as usize]);
            let known = |input: &u32| walk.paths.contains_key(input);
            let unknown = pushed.iter().filter(|input| !known(input)).count();
            walked_back |= unknown > 1;
            let start = stack.len();
            stack.extend(pushed.iter().filter(|input| !known(input)));
            debug_assert_eq!(stack.len() - start, unknown);
            for input in &pushed {
                for path in walk.paths.remove(input).unwrap_or_default() {
                    stack.extend(path.into_iter().rev());
                }
            }
        }
        walk.run_free_paths();
    }
    walk.progress.order
}

struct Walk<'a> {
    progress: Progress<'a>,
    targets: Targets<'a>,
    weights: &'a [Weight],
    /// Which of the users that a task makes free is followed first, where Dask takes them as a set has them: the one with the larger place.
    place: &'a [u32],
    /// Tasks whose last input has run since the free paths were last followed, where that input has other users.
    runnable: Vec<u32>,
    /// For each reducer, the free paths that lead into it; each ends with the reducer.
    paths: FxHashMap<u32, Vec<Vec<u32>>>,
    /// Tasks on free paths that have been followed.
    in_hull: Vec<bool>,
    /// Steps left for following free paths.
    budget: usize,
    next: Vec<u32>,
}

impl Walk<'_> {
    /// From the target down to a root, with all that is missing beside the path.
    fn critical_path(&self, target: u32, stack: &mut Vec<u32>) {
        let links = self.progress.links;
        stack.push(target);
        let most = |inputs: &[u32]| inputs.iter().copied().max_by_key(|input| self.weights[*input as usize]);
        let mut item = most(links.inputs(target));
        while let Some(task) = item {
            stack.push(task);
            let top = stack.len();
            stack.extend(links.inputs(task).iter().filter(|input| !self.progress.done[**input as usize]));
            stack[top..].sort_unstable_by_key(|input| self.weights[*input as usize]);
            item = stack[top..].last().copied();
        }
    }

    /// Runs a task that is ready, and what only it was missing for and nobody else takes.
    fn run(&mut self, task: u32) {
        let links = self.progress.links;
        self.next.push(task);
        while let Some(task) = self.next.pop() {
            if !self.progress.ready(task) {
                continue;
            }
            self.progress.run(task);
            self.targets.ran(task, links.users(task));
            let users = links.users(task);
            let free = |user: &&u32| self.progress.missing(**user) == 0;
            if users.len() == 1 {
                self.next.extend(users.iter().filter(free));
            } else {
                let from = self.runnable.len();
                self.runnable.extend(users.iter().filter(free));
                if !self.place.is_empty() {
                    self.runnable[from..].sort_unstable_by_key(|user| self.place[*user as usize]);
                }
            }
        }
    }

    /// Follows each free task down to a sink or a reducer; runs the paths into a reducer once they complete it.
    fn run_free_paths(&mut self) {
        while !self.runnable.is_empty() {
            let mut candidates = std::mem::take(&mut self.runnable);
            while let Some(task) = candidates.pop() {
                if self.in_hull[task as usize] || self.progress.done[task as usize] {
                    continue;
                }
                if self.progress.links.users(task).is_empty() {
                    self.run(task);
                    continue;
                }
                let mut branches = VecDeque::from([(0, vec![task])]);
                while let Some((splits, path)) = branches.pop_front() {
                    if self.budget < path.len() {
                        return;
                    }
                    self.follow(splits, path, &mut branches);
                }
            }
        }
    }

    fn follow(&mut self, mut splits: u32, mut path: Vec<u32>, branches: &mut VecDeque<(u32, Vec<u32>)>) {
        let links = self.progress.links;
        while let Some(current) = path.last().copied() {
            self.budget = self.budget.saturating_sub(1);
            let (c, users) = (current as usize, links.users(current));
            self.in_hull[c] = true;
            if users.is_empty() {
                if self.progress.missing(current) <= 1 {
                    path.into_iter().for_each(|task| self.run(task));
                } else {
                    self.in_hull[c] = false;
                }
                return;
            }
            if path.len() == 1 || links.inputs(current).len() == 1 {
                if let [user] = users {
                    path.push(*user);
                    continue;
                }
                splits += 1;
                let mut single: Vec<u32> = users.iter().copied().filter(|user| links.inputs(*user).len() == 1).collect();
                single.sort_unstable_by_key(|user| self.weights[*user as usize]);
                for user in single {
                    self.budget = self.budget.saturating_sub(path.len());
                    if self.budget == 0 {
                        return;
                    }
                    let mut branch = path.clone();
                    branch.push(user);
                    branches.push_back((splits, branch));
                }
                return;
            }
            let missing = self.progress.missing(current) as usize;
            match self.paths.get_mut(&current) {
                Some(known) => {
                    known.push(path);
                    self.in_hull[c] = false;
                    if known.len() >= missing {
                        self.complete(current, splits, branches);
                    }
                }
                None if missing <= 1 => path.into_iter().for_each(|task| self.run(task)),
                None => {
                    self.in_hull[c] = false;
                    self.paths.insert(current, vec![path]);
                }
            }
            return;
        }
    }

    /// As many paths lead into a reducer as it misses inputs: runs them, unless some of them have run in another way.
    fn complete(&mut self, reducer: u32, splits: u32, branches: &mut VecDeque<(u32, Vec<u32>)>) {
        let mut paths = self.paths.remove(&reducer).unwrap_or_default();
        paths.retain(|path| path.len() < 2 || !self.progress.done[path[path.len() - 2] as usize]);
        if paths.len() < self.progress.missing(reducer) as usize {
            self.paths.insert(reducer, paths);
        } else if splits > 1 {
            let path: Vec<u32> = paths.into_iter().flatten().collect();
            self.budget = self.budget.saturating_sub(path.len());
            branches.push_back((splits - 1, path));
        } else {
            for path in &paths {
                path.iter().for_each(|task| self.run(*task));
            }
        }
    }
}

/// How many roots each task depends on, and which, where that takes little room.
pub(super) struct Roots {
    /// For each task, how many; along every path where sets would take too much room.
    pub(super) count: Vec<u64>,
    /// The roots by their place in `sets`.
    pub(super) roots: Vec<u32>,
    /// `words` words of bits for each task.
    sets: Vec<u64>,
    words: usize,
}

impl Roots {
    /// The most words that sets may take: 16 MiB.
    const MOST: usize = 1 << 21;

    fn new(links: &Links) -> Self {
        let n = links.len();
        let roots: Vec<u32> = (0..n as u32).filter(|task| links.inputs(*task).is_empty()).collect();
        let words = roots.len().div_ceil(64);
        let mut count = vec![0u64; n];
        if words.saturating_mul(n) > Self::MOST {
            for task in 0..n as u32 {
                let inputs = links.inputs(task);
                let own = u64::from(inputs.is_empty());
                count[task as usize] = inputs.iter().fold(own, |sum, input| sum.saturating_add(count[*input as usize]));
            }
            return Roots { count, roots, sets: Vec::new(), words: 0 };
        }
        let mut sets = vec![0u64; words * n];
        for (place, root) in roots.iter().enumerate() {
            sets[*root as usize * words + place / 64] |= 1 << (place % 64);
        }
        for task in 0..n as u32 {
            let (above, own) = sets.split_at_mut(task as usize * words);
            let own = &mut own[..words];
            for input in links.inputs(task) {
                let from = *input as usize * words;
                own.iter_mut().zip(&above[from..from + words]).for_each(|(own, above)| *own |= above);
            }
            count[task as usize] = own.iter().map(|word| u64::from(word.count_ones())).sum();
        }
        Roots { count, roots, sets, words }
    }

    /// The places of the roots that a task depends on; none where sets are not kept.
    pub(super) fn of(&self, task: u32) -> Option<impl Iterator<Item = usize> + '_> {
        let words = (self.words > 0).then(|| &self.sets[task as usize * self.words..(task as usize + 1) * self.words])?;
        Some(words.iter().enumerate().flat_map(|(at, word)| (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| at * 64 + bit)))
    }
}

fn weights(links: &Links, roots: &Roots, place: &[u32]) -> Vec<Weight> {
    let n = links.len();
    let mut above = vec![0u64; n];
    let mut widest = vec![0u32; n];
    for task in 0..n {
        let inputs = links.inputs(task as u32);
        above[task] = inputs.iter().fold(1, |sum, input| sum.saturating_add(above[*input as usize]));
        let root = if inputs.is_empty() { links.users(task as u32).len() as u32 } else { 0 };
        widest[task] = inputs.iter().map(|input| widest[*input as usize]).max().unwrap_or(root);
    }
    let tie = |task: usize| place.get(task).copied().unwrap_or(task as u32);
    // Dask has no roots for a root.
    let count = |task: usize| if links.inputs(task as u32).is_empty() { 0 } else { roots.count[task] };
    (0..n).map(|t| (above[t], links.inputs(t as u32).len() as u32, count(t), Reverse(widest[t]), tie(t))).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::dask;
    use crate::plan::links::Links;
    use crate::plan::{Shape, inputs_first};
    use serde::Deserialize;

    #[derive(Deserialize)]
    struct Small {
        name: String,
        most_held: usize,
        deps: Vec<Vec<u32>>,
    }

    /// The most outputs that are held when a task starts, sinks excluded.
    fn most_held(deps: &[Vec<u32>], shuffled: u64) -> usize {
        let mut label: Vec<u32> = (0..deps.len() as u32).collect();
        let mut state = shuffled;
        for at in (1..label.len()).rev().filter(|_| shuffled != 0) {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            label.swap(at, (state >> 33) as usize % (at + 1));
        }
        let mut renamed = vec![Vec::new(); deps.len()];
        for (deps, new) in deps.iter().zip(&label) {
            renamed[*new as usize] = deps.iter().map(|dep| label[*dep as usize]).collect();
            renamed[*new as usize].sort_unstable();
        }
        let numbering = inputs_first(&renamed).unwrap();
        let mut number = vec![0u32; deps.len()];
        numbering.iter().enumerate().for_each(|(new, old)| number[*old as usize] = new as u32);
        let (mut input_start, mut inputs) = (vec![0], Vec::new());
        for old in &numbering {
            inputs.extend(renamed[*old as usize].iter().map(|dep| number[*dep as usize]));
            input_start.push(inputs.len() as u32);
        }
        let out = vec![1; deps.len()];
        let links = Links::new(&Shape { input_start: &input_start, inputs: &inputs, out: &out, scratch: &[], keep: &[] });
        let mut left: Vec<usize> = (0..deps.len() as u32).map(|task| links.users(task).len()).collect();
        let (mut held, mut most) = (0, 0);
        for task in dask(&links, &[]) {
            most = most.max(held);
            held += usize::from(left[task as usize] > 0);
            for input in links.inputs(task) {
                left[*input as usize] -= 1;
                held -= usize::from(left[*input as usize] == 0);
            }
        }
        most
    }

    /// The graphs of Dask's own tests of its order, and the bounds that they set.
    #[test]
    fn pressure_is_as_low_as_dasks() {
        let graphs: Vec<Small> = serde_json::from_str(include_str!("../../../tests/data/pressure.json")).unwrap();
        assert!(graphs.len() >= 19);
        for Small { name, most_held: bound, deps } in graphs {
            for shuffled in 0..8 {
                let most = most_held(&deps, shuffled);
                assert!(most <= bound, "{name} with labels {shuffled}: {most} > {bound}");
            }
        }
    }
}
