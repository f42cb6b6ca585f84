//! Tiles: finish one small result after the other, next the one that is cheapest to open from where we stand.
//!
//! ```text
//!     A0  A1          A tile is a tree of tasks with one user each, down to a small or shared output.
//!     |\  /|          Matrix product, outputs o = A x B: after o00 the tiles o01 (opens B1) and o10 (opens A1) cost
//!     | \/ |          the same; after o01 the row of A0 is nearer to its end than the column of B0, so o02 is
//!     | /\ |          next: B stays, A streams. Squares would hold all of both.
//!     B0  B1
//! ```
//!
//! Minimises, tile by tile, the bytes held after it, where an output that k tiles still want counts to each of
//! them for 1/k: opening costs out x (1 - 1/k), using what is there gains out / k, and the tile's own output is
//! reduced by what the next tile gains from it. Within a tile the descent is that of the best postorder; between any
//! two tasks, those that free more than they make run at once. A heuristic of this project; the fractions are those of
//! the charging in Berger, Beckmann et al., *Practical bounds on optimal caching with variable object sizes*, 2018.

use super::{Descent, postorder};
use crate::plan::links::{Links, Progress};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What distinguishes one tiling from another.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taste {
    /// A task ends a tile where its output is at most its largest input's bytes divided by this.
    pub(crate) cut: u64,
    /// An input that is opened costs its bytes for each of its users, not its bytes: what many tiles want is opened first.
    pub(crate) amortised: bool,
    /// How much of the next tile's gain counts.
    pub(crate) credit: f64,
    /// Which comes first among equals.
    pub(crate) tie: Tie,
}

impl Taste {
    /// What it costs to open an input of so many users.
    fn opening(self, links: &Links, input: u32, uses: u32) -> f64 {
        let out = links.out[input as usize] as f64;
        if self.amortised { 2.0 * out / f64::from(uses.max(1)) } else { out }
    }
}

/// Which tile comes first among those that cost the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tie {
    /// The one that was queued last.
    Latest,
    /// The one that was queued first.
    Earliest,
    /// The first in another order.
    Place,
}

/// Takes time near-linear in tasks and edges. For [`Tie::Place`] the places are those of the best postorder where none are given.
pub(crate) fn tiles(links: &Links, descent: &Descent, taste: Taste, place: &[u32]) -> Vec<u32> {
    let quotient = Quotient::new(links, taste.cut);
    let mut tiling = Tiling::new(links, descent, &quotient, taste, place);
    while let Some(tile) = tiling.next() {
        tiling.run(tile);
    }
    tiling.progress.order
}

/// The graph of tiles; a tile has the number of its last task.
struct Quotient {
    input_start: Vec<u32>,
    inputs: Vec<u32>,
    user_start: Vec<u32>,
    users: Vec<u32>,
    root: Vec<u32>,
}

impl Quotient {
    fn new(links: &Links, cut: u64) -> Self {
        let n = links.len();
        let mut root: Vec<u32> = (0..n as u32).collect();
        for task in (0..n).rev() {
            let inputs = links.inputs(task as u32);
            if let [user] = links.users(task as u32) {
                let largest = inputs.iter().map(|input| links.out[*input as usize]).max().unwrap_or(0);
                let ends = links.kept[task] || (!inputs.is_empty() && links.out[task].saturating_mul(cut) <= largest);
                if !ends {
                    root[task] = root[*user as usize];
                }
            }
        }
        // Members by tile, then each tile's inputs once.
        let mut edges: Vec<(u32, u32)> = Vec::new();
        for task in 0..n as u32 {
            for input in links.inputs(task) {
                if root[*input as usize] != root[task as usize] {
                    edges.push((root[task as usize], *input));
                }
            }
        }
        let by = |edges: &mut Vec<(u32, u32)>| -> (Vec<u32>, Vec<u32>) {
            let mut start = vec![0u32; n + 1];
            for (tile, _) in edges.iter() {
                start[*tile as usize + 1] += 1;
            }
            for tile in 0..n {
                start[tile + 1] += start[tile];
            }
            let mut at = start.clone();
            let mut to = vec![0u32; edges.len()];
            for (tile, other) in edges.iter() {
                to[at[*tile as usize] as usize] = *other;
                at[*tile as usize] += 1;
            }
            (start, to)
        };
        let (start, to) = by(&mut edges);
        edges.clear();
        let mut seen = vec![u32::MAX; n];
        for tile in 0..n as u32 {
            for input in &to[start[tile as usize] as usize..start[tile as usize + 1] as usize] {
                if seen[*input as usize] != tile {
                    seen[*input as usize] = tile;
                    edges.push((tile, *input));
                }
            }
        }
        let (input_start, inputs) = by(&mut edges);
        for edge in &mut edges {
            *edge = (edge.1, edge.0);
        }
        let (user_start, users) = by(&mut edges);
        Quotient { input_start, inputs, user_start, users, root }
    }

    fn inputs(&self, tile: u32) -> &[u32] {
        &self.inputs[self.input_start[tile as usize] as usize..self.input_start[tile as usize + 1] as usize]
    }

    fn users(&self, tile: u32) -> &[u32] {
        &self.users[self.user_start[tile as usize] as usize..self.user_start[tile as usize + 1] as usize]
    }
}

/// State of the walk over tiles.
///
/// - `missing[t]`: input tiles that have not run.
/// - `closed[t]`: those of them that are not ready themselves. At 0, t can be run with what it opens.
/// - `covered[t]`: some tile that would open t can be run, so t is not run for its own sake.
/// - `share[t]`: the sum of `out / k` over inputs; `opening[t]`: the sum of `out`, or of twice `out / k`, over inputs that have not run.
/// - `uses[t]`: users that have not run; `told[t]`: the k that is in its users' shares.
/// - `score[t]`: what t costs now, in sixteenths of a byte; `queued[t]`: the cost it has in the queue, never more than that.
/// - `gain[t]`: what t's users gain from it; `given[t]`: what t has added to each of its inputs' gains.
struct Tiling<'a> {
    progress: Progress<'a>,
    descent: &'a Descent,
    quotient: &'a Quotient,
    taste: Taste,
    missing: Vec<u32>,
    closed: Vec<u32>,
    covered: Vec<bool>,
    share: Vec<f64>,
    opening: Vec<f64>,
    uses: Vec<u32>,
    told: Vec<u32>,
    gain: Vec<f64>,
    given: Vec<f64>,
    place: Vec<u32>,
    score: Vec<i64>,
    queued: Vec<i64>,
    clock: u32,
    /// Neighbours that may still be told what others cost them; when it is used up, costs are no longer brought up to date.
    budget: usize,
    heap: BinaryHeap<Reverse<(i64, u32, u32)>>,
    touched: Vec<u32>,
    is_touched: Vec<bool>,
    stack: Vec<(u32, u32)>,
    free: Vec<u32>,
}

impl<'a> Tiling<'a> {
    fn new(links: &'a Links, descent: &'a Descent, quotient: &'a Quotient, taste: Taste, place: &[u32]) -> Self {
        let n = links.len();
        let ids = 0..n as u32;
        let uses: Vec<u32> = ids.clone().map(|t| quotient.users(t).len() as u32 + u32::from(links.kept[t as usize])).collect();
        let missing: Vec<u32> = ids.clone().map(|t| quotient.inputs(t).len() as u32).collect();
        let closed = ids.clone().map(|t| quotient.inputs(t).iter().filter(|i| missing[**i as usize] > 0).count() as u32).collect();
        let share = |t: u32| quotient.inputs(t).iter().map(|i| links.out[*i as usize] as f64 / f64::from(uses[*i as usize].max(1))).sum();
        let opening = |t: u32| quotient.inputs(t).iter().map(|i| taste.opening(links, *i, uses[*i as usize])).sum();
        let mut tiling = Tiling {
            progress: Progress::new(links),
            share: ids.clone().map(share).collect(),
            opening: ids.clone().map(opening).collect(),
            told: uses.clone(),
            descent,
            quotient,
            taste,
            missing,
            closed,
            covered: vec![false; n],
            uses,
            gain: vec![0.0; n],
            given: vec![0.0; n],
            place: Vec::new(),
            score: vec![i64::MAX; n],
            queued: vec![i64::MAX; n],
            clock: 0,
            budget: (n + quotient.inputs.len()) * 3 / 2 + 1_000_000,
            heap: BinaryHeap::new(),
            touched: Vec::new(),
            is_touched: vec![false; n],
            stack: Vec::new(),
            free: Vec::new(),
        };
        if taste.tie == Tie::Place && place.len() == n {
            tiling.place = place.to_vec();
        } else if taste.tie == Tie::Place {
            tiling.place = vec![0; n];
            for (place, task) in postorder(links, descent, &[]).into_iter().enumerate() {
                tiling.place[task as usize] = place as u32;
            }
        }
        for tile in ids.filter(|t| quotient.root[*t as usize] == *t) {
            if tiling.closed[tile as usize] == 0 {
                tiling.opened(tile);
            }
        }
        tiling.tell();
        tiling
    }

    /// Tile t can be run now, with what it opens.
    fn opened(&mut self, tile: u32) {
        for input in self.quotient.inputs(tile) {
            if !self.progress.done[*input as usize] {
                self.covered[*input as usize] = true;
            }
        }
        self.touch(tile);
    }

    fn touch(&mut self, tile: u32) {
        if !self.is_touched[tile as usize] {
            self.is_touched[tile as usize] = true;
            self.touched.push(tile);
        }
    }

    /// Gives the touched tiles their new places in the queue.
    fn tell(&mut self) {
        let mut touched = std::mem::take(&mut self.touched);
        for tile in touched.drain(..) {
            let t = tile as usize;
            self.is_touched[t] = false;
            if self.progress.done[t] || self.closed[t] > 0 || self.covered[t] {
                continue;
            }
            let stays = if self.uses[t] == 0 { 0.0 } else { self.progress.links.out[t] as f64 };
            let score = self.opening[t] - self.share[t] + stays - self.taste.credit * self.gain[t];
            // Sixteenths of a byte: equal costs are equal in spite of rounding.
            let score = (score * 16.0) as i64;
            self.score[t] = score;
            if score < self.queued[t] {
                self.queue(tile);
            }
        }
        self.touched = touched;
    }

    fn queue(&mut self, tile: u32) {
        let t = tile as usize;
        self.clock = self.clock.wrapping_add(1);
        let stamp = match self.taste.tie {
            Tie::Latest => u32::MAX - self.clock,
            Tie::Earliest => self.clock,
            Tie::Place => self.place[t],
        };
        self.queued[t] = self.score[t];
        self.heap.push(Reverse((self.score[t], stamp, tile)));
    }

    /// The cheapest tile. Costs that rose are found out here, those that fell are in the queue already.
    fn next(&mut self) -> Option<u32> {
        while let Some(Reverse((score, _, tile))) = self.heap.pop() {
            let t = tile as usize;
            if self.progress.done[t] || self.covered[t] || self.queued[t] != score {
                continue;
            }
            if self.score[t] == score {
                return Some(tile);
            }
            self.queue(tile);
        }
        None
    }

    fn run(&mut self, tile: u32) {
        let mut stack = std::mem::take(&mut self.stack);
        stack.push((tile, 0));
        while let Some((task, next)) = stack.last_mut() {
            let task = *task;
            if self.progress.done[task as usize] {
                stack.pop();
                continue;
            }
            match self.descent.inputs(task).get(*next as usize) {
                Some(input) => {
                    *next += 1;
                    if !self.progress.done[*input as usize] {
                        stack.push((*input, 0));
                    }
                }
                None => {
                    stack.pop();
                    self.run_task(task);
                    while let Some(free) = self.free.pop() {
                        if self.progress.ready(free) && self.progress.growth(free) < 0 {
                            self.run_task(free);
                        }
                    }
                }
            }
        }
        self.stack = stack;
        self.tell();
    }

    fn run_task(&mut self, task: u32) {
        self.progress.run(task);
        let links = self.progress.links;
        for input in links.inputs(task) {
            self.free.extend(self.progress.last_user(*input));
        }
        for user in links.users(task) {
            if self.progress.missing(*user) == 0 {
                self.free.push(*user);
            }
        }
        if self.quotient.root[task as usize] == task {
            self.ran(task);
        }
    }

    /// Brings the neighbours of a tile that has run up to date.
    fn ran(&mut self, tile: u32) {
        let quotient = self.quotient;
        // None of its users has run.
        let opening = self.taste.opening(self.progress.links, tile, self.uses[tile as usize]);
        for user in quotient.users(tile) {
            let u = *user as usize;
            self.missing[u] -= 1;
            self.opening[u] -= opening;
            self.touch(*user);
            self.budget = self.budget.saturating_sub(1);
            if self.missing[u] == 0 {
                for next in quotient.users(*user) {
                    self.closed[*next as usize] -= 1;
                    if self.closed[*next as usize] == 0 {
                        self.opened(*next);
                    }
                }
            }
            self.give(*user);
        }
        for input in quotient.inputs(tile) {
            let i = *input as usize;
            self.uses[i] -= 1;
            let (left, told) = (self.uses[i], self.told[i]);
            // Few users are told each time, many only when an eighth has gone: each edge is told a bounded number of times.
            if left > 0 && (left <= 8 || left + left / 8 <= told) && self.budget > 0 {
                self.budget = self.budget.saturating_sub(quotient.users(*input).len());
                let out = self.progress.links.out[i] as f64;
                let delta = out / f64::from(left) - out / f64::from(told);
                self.told[i] = left;
                for user in quotient.users(*input) {
                    if !self.progress.done[*user as usize] {
                        self.share[*user as usize] += delta;
                        self.touch(*user);
                    }
                }
            }
        }
    }

    /// Tells the inputs that a tile misses what it gains from them.
    fn give(&mut self, tile: u32) {
        let t = tile as usize;
        let left = self.missing[t];
        if self.budget == 0 || self.taste.credit == 0.0 || left == 0 || !(left <= 4 || left.is_power_of_two()) {
            return;
        }
        let stays = if self.uses[t] == 0 { 0.0 } else { self.progress.links.out[t] as f64 };
        let gain = (self.share[t] - stays).max(0.0) / f64::from(left);
        let delta = gain - self.given[t];
        if delta != 0.0 {
            self.given[t] = gain;
            self.budget = self.budget.saturating_sub(self.quotient.inputs(tile).len());
            for input in self.quotient.inputs(tile) {
                if !self.progress.done[*input as usize] {
                    self.gain[*input as usize] += delta;
                    self.touch(*input);
                }
            }
        }
    }
}
