//! The sinks that Dask's order goes for next: those that need fewest roots that have not run.
//!
//! ```text
//!   sinks by roots not yet loaded    2: s4 s7   5: s1   9: s0 s2        s7 has an input that has run: s7 before s4.
//!   nothing has run, or all alike    by sort key alone
//! ```

use super::dask::{Roots, Weight};
use crate::plan::links::{Links, Progress};
use rustc_hash::FxHashMap;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A sink in the heaps: roots that have not run, sort key, number. Where it has fewer by now, it is in them once more.
type Place = (u32, Weight, u32);

pub(super) struct Targets<'a> {
    weights: &'a [Weight],
    /// For each root, the sinks that depend on it, where they were found.
    sinks_of: FxHashMap<u32, Vec<u32>>,
    /// For each sink its roots that have not run; 0 where it is none, or they all have.
    left: Vec<u32>,
    /// Whether an input of a sink has run, and whether it is in `changed`.
    is_reached: Vec<bool>,
    is_changed: Vec<bool>,
    all: BinaryHeap<Reverse<Place>>,
    /// Those that have an input that has run.
    reached: BinaryHeap<Reverse<Place>>,
    any_reached: bool,
    /// Sinks of which something has changed since a target was asked for.
    changed: Vec<u32>,
    /// The most roots that a sink needs at first.
    most: u32,
    /// All sinks by sort key: the last is next.
    sorted: Vec<u32>,
}

impl<'a> Targets<'a> {
    pub(super) fn new(links: &Links, roots: &Roots, weights: &'a [Weight]) -> Self {
        let sinks: Vec<u32> = links.sinks().collect();
        let mut sinks_of: FxHashMap<u32, Vec<u32>> = FxHashMap::default();
        let mut left = vec![0; links.len()];
        let mut search = Search::new(links);
        for sink in &sinks {
            if links.inputs(*sink).is_empty() {
                continue;
            }
            let found: Vec<u32> = match roots.of(*sink) {
                Some(places) => places.filter_map(|place| roots.roots.get(place).copied()).collect(),
                None => search.roots_of(links, *sink),
            };
            // A sink that was not searched comes last, by weight.
            let count = if found.is_empty() { u32::MAX } else { found.len() as u32 };
            if sinks.len() > 1 {
                found.iter().for_each(|root| sinks_of.entry(*root).or_default().push(*sink));
            }
            left[*sink as usize] = count;
        }
        let most = left.iter().copied().max().unwrap_or(0);
        let mut sorted = sinks.clone();
        sorted.sort_unstable_by_key(|sink| weights[*sink as usize]);
        if !longest_first(roots.roots.len(), sinks.len(), roots, &sinks_of) {
            sorted.reverse();
        }
        let changed = sinks.into_iter().filter(|sink| left[*sink as usize] > 0).collect();
        let is_reached = vec![false; links.len()];
        let is_changed = left.iter().map(|left| *left > 0).collect();
        let (all, reached) = (BinaryHeap::new(), BinaryHeap::new());
        Targets { weights, sinks_of, left, is_reached, is_changed, all, reached, any_reached: false, changed, most, sorted }
    }

    /// A sink that has not run; none when all have.
    pub(super) fn next(&mut self, progress: &Progress) -> Option<u32> {
        // Many roots may have run since: a sink is told of them at once.
        for sink in self.changed.drain(..) {
            self.is_changed[sink as usize] = false;
            let place = (self.left[sink as usize], self.weights[sink as usize], sink);
            if place.0 > 0 {
                self.all.push(Reverse(place));
                if self.is_reached[sink as usize] {
                    self.reached.push(Reverse(place));
                }
            }
        }
        let least = first(&mut self.all, &self.left, progress);
        let reached = first(&mut self.reached, &self.left, progress);
        if let Some(least) = least.filter(|least| self.any_reached && least.0 != self.most) {
            return Some(reached.filter(|place| place.0 == least.0).unwrap_or(least).2);
        }
        while let Some(sink) = self.sorted.pop() {
            if !progress.done[sink as usize] {
                return Some(sink);
            }
        }
        None
    }

    /// A task has run.
    pub(super) fn ran(&mut self, task: u32, users: &[u32]) {
        for sink in self.sinks_of.remove(&task).unwrap_or_default() {
            let left = &mut self.left[sink as usize];
            *left = left.saturating_sub(1);
            self.change(sink);
        }
        self.any_reached |= !users.is_empty();
        for user in users {
            if self.left[*user as usize] > 0 && !std::mem::replace(&mut self.is_reached[*user as usize], true) {
                self.change(*user);
            }
        }
    }

    fn change(&mut self, sink: u32) {
        if !std::mem::replace(&mut self.is_changed[sink as usize], true) {
            self.changed.push(sink);
        }
    }
}

/// The first of a heap, once those that have run or have fewer roots left by now are taken from it.
fn first(heap: &mut BinaryHeap<Reverse<Place>>, left: &[u32], progress: &Progress) -> Option<Place> {
    loop {
        let Reverse(place) = *heap.peek()?;
        if !progress.done[place.2 as usize] && left[place.2 as usize] == place.0 {
            return Some(place);
        }
        heap.pop();
    }
}

/// Whether sinks with the largest sort keys come first: not where there are about as many sinks as roots and some roots lead to more sinks than
/// others do.
fn longest_first(roots: usize, sinks: usize, known: &Roots, sinks_of: &FxHashMap<u32, Vec<u32>>) -> bool {
    if roots.abs_diff(sinks) * 5 >= roots * 4 {
        return true;
    }
    let mut counts = known.roots.iter().map(|root| sinks_of.get(root).map_or(1, Vec::len));
    let first = counts.next();
    counts.all(|count| Some(count) == first)
}

/// Finds the roots above a sink, within a budget for all sinks together.
struct Search {
    budget: usize,
    seen: Vec<u32>,
    stack: Vec<u32>,
}

impl Search {
    fn new(links: &Links) -> Self {
        Search { budget: 8 * links.len() + 1024, seen: Vec::new(), stack: Vec::new() }
    }

    /// The roots; none where the budget is used up.
    fn roots_of(&mut self, links: &Links, sink: u32) -> Vec<u32> {
        self.seen.resize(links.len(), u32::MAX);
        let mut roots = Vec::new();
        self.stack.push(sink);
        while let Some(task) = self.stack.pop() {
            if self.seen[task as usize] == sink || self.budget == 0 {
                continue;
            }
            self.seen[task as usize] = sink;
            self.budget -= 1;
            if links.inputs(task).is_empty() {
                roots.push(task);
            }
            self.stack.extend_from_slice(links.inputs(task));
        }
        if self.budget == 0 {
            roots.clear();
        }
        roots
    }
}
