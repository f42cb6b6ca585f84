//! The sinks that Dask's order goes for next: those that need fewest roots that have not run.
//!
//! ```text
//!   sinks by roots not yet loaded    2: s4 s7   5: s1   9: s0 s2        s7 has an input that has run: s7 before s4.
//!   nothing has run, or all alike    by sort key alone
//! ```

use super::dask::{Roots, Weight};
use crate::plan::links::{Links, Progress};
use rustc_hash::FxHashMap;
use std::collections::BTreeSet;

/// A sink in the sets: roots that have not run, sort key, number.
type Place = (u32, Weight, u32);

pub(super) struct Targets {
    /// For each root, the sinks that depend on it, where they were found.
    sinks_of: FxHashMap<u32, Vec<u32>>,
    /// For each sink, its place in the sets; none once all its roots have run.
    place: FxHashMap<u32, Place>,
    all: BTreeSet<Place>,
    /// Those that have an input that has run.
    reached: BTreeSet<Place>,
    any_reached: bool,
    /// The most roots that a sink needs at first.
    most: u32,
    /// All sinks by sort key: the last is next.
    sorted: Vec<u32>,
}

impl Targets {
    pub(super) fn new(links: &Links, roots: &Roots, weights: &[Weight]) -> Self {
        let sinks: Vec<u32> = links.sinks().collect();
        let mut sinks_of: FxHashMap<u32, Vec<u32>> = FxHashMap::default();
        let mut place: FxHashMap<u32, Place> = FxHashMap::default();
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
            place.insert(*sink, (count, weights[*sink as usize], *sink));
        }
        let all: BTreeSet<Place> = place.values().copied().collect();
        let most = all.last().map_or(0, |last| last.0);
        let mut sorted = sinks.clone();
        sorted.sort_unstable_by_key(|sink| weights[*sink as usize]);
        if !longest_first(roots.roots.len(), sinks.len(), roots, &sinks_of) {
            sorted.reverse();
        }
        Targets { sinks_of, place, all, reached: BTreeSet::new(), any_reached: false, most, sorted }
    }

    /// A sink that has not run; none when all have.
    pub(super) fn next(&mut self, progress: &Progress) -> Option<u32> {
        drop_done(&mut self.all, progress);
        drop_done(&mut self.reached, progress);
        if let Some(least) = self.all.first().filter(|least| self.any_reached && least.0 != self.most) {
            let reached = self.reached.first().filter(|place| place.0 == least.0);
            return Some(reached.unwrap_or(least).2);
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
            if let Some(place) = self.place.remove(&sink) {
                self.all.remove(&place);
                let reached = self.reached.remove(&place);
                let less = (place.0 - 1, place.1, place.2);
                if less.0 > 0 {
                    self.place.insert(sink, less);
                    self.all.insert(less);
                    if reached {
                        self.reached.insert(less);
                    }
                }
            }
        }
        self.any_reached |= !users.is_empty();
        for user in users {
            if let Some(place) = self.place.get(user) {
                self.reached.insert(*place);
            }
        }
    }
}

/// Takes sinks that have run from the front of a set.
fn drop_done(set: &mut BTreeSet<Place>, progress: &Progress) {
    while set.first().is_some_and(|place| progress.done[place.2 as usize]) {
        set.pop_first();
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
