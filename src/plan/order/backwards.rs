//! Greedy from the end: which task may run last so that least is held before it?
//!
//! ```text
//!    time      ... b  a |  end          Undoing a task gives back its output and asks for its inputs: a task whose
//!    undone        ^  ^                 inputs are asked for already costs nothing to undo. Among those that ask for
//!                  |  +- first          more, those whose input is nearest to being undone itself come first.
//!                  +---- then
//! ```
//!
//! Minimises the bytes held before the next step, backwards. Memory is the same set of outputs in either direction, but what is
//! cheap to decide differs: forwards it is what to finish, backwards what not to begin yet.

use crate::plan::links::Links;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// By growth where memory shrinks, else by what the nearest input still waits for, growth, and place.
type Rank = (i64, u32, i64, u32);

struct Undone<'a> {
    links: &'a Links,
    place: &'a [u32],
    /// Users that have not been undone.
    left: Vec<u32>,
    /// Whether an output is asked for.
    asked: Vec<bool>,
    done: Vec<bool>,
    latest: Vec<Option<Rank>>,
    heap: BinaryHeap<Reverse<(Rank, u32)>>,
}

/// Takes time near-linear in tasks and edges. Of equals the one with the larger place is undone first; by number where there are no places.
pub(crate) fn backwards(links: &Links, place: &[u32]) -> Vec<u32> {
    let n = links.len();
    let mut undone = Undone {
        links,
        place,
        left: (0..n as u32).map(|task| links.users(task).len() as u32).collect(),
        asked: links.kept.clone(),
        done: vec![false; n],
        latest: vec![None; n],
        heap: BinaryHeap::new(),
    };
    links.sinks().for_each(|sink| undone.queue(sink));
    let mut order = Vec::with_capacity(n);
    let mut touched = Vec::new();
    while let Some(Reverse((rank, task))) = undone.heap.pop() {
        if undone.done[task as usize] || undone.latest[task as usize] != Some(rank) {
            continue;
        }
        undone.done[task as usize] = true;
        order.push(task);
        for input in links.inputs(task) {
            let i = *input as usize;
            undone.left[i] -= 1;
            let left = undone.left[i];
            if left == 0 {
                touched.push(*input);
            }
            // Told when it is asked for, and when few users or a power of two are left: a bounded number of times.
            if !std::mem::replace(&mut undone.asked[i], true) || left <= 4 || left.is_power_of_two() {
                touched.extend(links.users(*input).iter().filter(|user| !undone.done[**user as usize]));
            }
        }
        for task in touched.drain(..) {
            undone.queue(task);
        }
    }
    order.reverse();
    order
}

impl Undone<'_> {
    fn queue(&mut self, task: u32) {
        if self.left[task as usize] > 0 || self.done[task as usize] {
            return;
        }
        let rank = self.rank(task);
        if self.latest[task as usize] != Some(rank) {
            self.latest[task as usize] = Some(rank);
            self.heap.push(Reverse((rank, task)));
        }
    }

    fn rank(&self, task: u32) -> Rank {
        let out = |task: u32| self.links.out[task as usize] as i64;
        let mut growth = if self.asked[task as usize] { -out(task) } else { 0 };
        let mut nearest = u32::MAX;
        for input in self.links.inputs(task) {
            if !self.asked[*input as usize] {
                growth += out(*input);
            }
            nearest = nearest.min(self.left[*input as usize]);
        }
        let place = u32::MAX - self.place.get(task as usize).copied().unwrap_or(task);
        if growth <= 0 { (growth.min(-1), 0, growth, place) } else { (0, nearest, growth, place) }
    }
}
