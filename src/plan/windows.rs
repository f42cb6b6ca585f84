//! Improves an order piece by piece: within a window, parts that do not depend on each other are merged anew.
//!
//! ```text
//!    window     a1 b1 a2 b2 c1 b3 a3 c2       The parts a, b and c share no edge within the window. Each is cut into segments
//!    parts      a1 a2 a3 | b1 b2 b3 | c1 c2   by hill and net, and the segments of all are sorted: `order/segments.rs`.
//!    merged     b1 b2 b3 c1 c2 a1 a2 a3       Kept where the window then takes less.
//! ```
//!
//! Minimises, window by window, the peak, then the sum of what is held. Windows of one size overlap by half; sizes grow by four. A pass
//! over one size takes time near-linear in tasks and edges.

use super::links::Links;
use super::order::Segment;

/// The order after a pass with windows of `size` tasks.
pub(crate) fn windows(links: &Links, order: &[u32], size: usize) -> Vec<u32> {
    let mut pass = Pass::new(links, order);
    let half = (size / 2).max(1);
    let mut from = 0;
    while from < order.len() {
        let to = (from + size).min(order.len());
        pass.improve(from, to);
        let end = if to == order.len() { to } else { from + half };
        pass.advance(from, end);
        from = end;
    }
    pass.order
}

/// The order so far, and what holds before the window.
///
/// - `place[t]`: the place of t in `order`.
/// - `uses[t]`: users of t at or after the window's begin, one more where it is kept.
struct Pass<'a> {
    links: &'a Links,
    order: Vec<u32>,
    place: Vec<u32>,
    uses: Vec<u32>,
    /// For each task of the window, the first task of its part.
    part: Vec<u32>,
    segments: Vec<(Segment, u32, u32, u32)>,
    merged: Vec<u32>,
}

impl<'a> Pass<'a> {
    fn new(links: &'a Links, order: &[u32]) -> Self {
        let n = links.len();
        let mut place = vec![0; n];
        order.iter().enumerate().for_each(|(at, task)| place[*task as usize] = at as u32);
        let uses = (0..n as u32).map(|t| links.users(t).len() as u32 + u32::from(links.kept[t as usize])).collect();
        Pass { links, order: order.to_vec(), place, uses, part: vec![0; n], segments: Vec::new(), merged: Vec::new() }
    }

    /// Tasks before `to` have run.
    fn advance(&mut self, from: usize, to: usize) {
        for at in from..to {
            for input in self.links.inputs(self.order[at]) {
                self.uses[*input as usize] -= 1;
            }
        }
    }

    fn improve(&mut self, from: usize, to: usize) {
        let window: Vec<u32> = self.order[from..to].to_vec();
        // What each task adds, where it is, before others move; and what a window holds.
        let mut steps = Vec::with_capacity(window.len());
        let before = self.run(&window, Some(&mut steps));
        let parts = self.parts(&window, from as u32);
        if parts < 2 {
            return;
        }
        self.merge(&window, &steps);
        let merged = std::mem::take(&mut self.merged);
        let after = self.run(&merged, None);
        if after < before {
            self.order[from..to].copy_from_slice(&merged);
            merged.iter().enumerate().for_each(|(at, task)| self.place[*task as usize] = (from + at) as u32);
        }
        self.merged = merged;
    }

    /// The peak of some tasks above what is held before them, and the sum of what is held after each. Leaves `uses` as it was.
    fn run(&mut self, tasks: &[u32], mut steps: Option<&mut Vec<Segment>>) -> (i64, i64) {
        let links = self.links;
        let (mut held, mut most, mut sum) = (0i64, 0i64, 0i64);
        for task in tasks {
            let out = links.out[*task as usize] as i64;
            let hill = out + links.scratch[*task as usize] as i64;
            let mut net = if self.uses[*task as usize] > 0 { out } else { 0 };
            for input in links.inputs(*task) {
                let uses = &mut self.uses[*input as usize];
                *uses -= 1;
                if *uses == 0 {
                    net -= links.out[*input as usize] as i64;
                }
            }
            most = most.max(held + hill);
            held += net;
            sum = sum.saturating_add(held);
            if let Some(steps) = &mut steps {
                steps.push(Segment { hill, net });
            }
        }
        for task in tasks {
            for input in links.inputs(*task) {
                self.uses[*input as usize] += 1;
            }
        }
        (most, sum)
    }

    /// Joins the tasks of a window along their edges; gives the number of parts.
    fn parts(&mut self, window: &[u32], from: u32) -> usize {
        window.iter().for_each(|task| self.part[*task as usize] = *task);
        let mut parts = window.len();
        for task in window {
            for input in self.links.inputs(*task) {
                if self.place[*input as usize] >= from {
                    let (a, b) = (self.root(*task), self.root(*input));
                    if a != b {
                        parts -= 1;
                        let (first, other) = if self.place[a as usize] < self.place[b as usize] { (a, b) } else { (b, a) };
                        self.part[other as usize] = first;
                    }
                }
            }
        }
        parts
    }

    fn root(&mut self, mut task: u32) -> u32 {
        while self.part[task as usize] != task {
            let above = self.part[self.part[task as usize] as usize];
            self.part[task as usize] = above;
            task = above;
        }
        task
    }

    /// Cuts each part into segments and sorts those of all parts, into `merged`.
    fn merge(&mut self, window: &[u32], steps: &[Segment]) {
        // Tasks by part, in order: (part's first place, place in the window).
        let mut tasks: Vec<(u32, u32)> = Vec::with_capacity(window.len());
        for (at, task) in window.iter().enumerate() {
            let root = self.root(*task);
            tasks.push((self.place[root as usize], at as u32));
        }
        tasks.sort_unstable();
        let segments = &mut self.segments;
        segments.clear();
        for (at, (part, place)) in tasks.iter().enumerate() {
            let mut own = (steps[*place as usize], *part, at as u32, at as u32 + 1);
            while let Some(last) = segments.last().copied() {
                if last.1 != *part || last.0.key() < own.0.key() {
                    break;
                }
                own = (last.0.then(own.0), *part, last.2, own.3);
                segments.pop();
            }
            segments.push(own);
        }
        segments.sort_by_key(|(segment, ..)| segment.key());
        self.merged.clear();
        for (_, _, from, to) in segments.iter() {
            self.merged.extend(tasks[*from as usize..*to as usize].iter().map(|(_, at)| window[*at as usize]));
        }
    }
}
