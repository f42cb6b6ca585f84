//! Local search where it counts: stretches around the peak are walked anew, with chance in the choice.
//!
//! ```text
//!   bytes |       __        The tasks of a window around the peak run again in another order: what frees memory at once,
//!         |    __|  |__     else the next by place, where places are a little off. What then takes less, or as much
//!         | __|        |    with less held in sum, stays. What is held at the ends of the window is the same.
//!         +-----[----]---->
//! ```
//!
//! Minimises the peak, then the sum of what is held, by trials within a budget that the size of the graph decides; chance is seeded, so that the same
//! graph gets the same order.

use super::links::Links;

/// A small generator of numbers: SplitMix64.
pub(super) struct Noise(pub(super) u64);

impl Noise {
    /// The next number below `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % end.max(1)
    }
}

/// Trials in one window before another is chosen.
const TRIALS: usize = 12;

/// The order after trials that pass over about `budget` tasks and edges.
pub(crate) fn search(links: &Links, order: &[u32], budget: usize, noise: &mut Noise) -> Vec<u32> {
    let mut search = Search::new(links, order);
    let mut left = budget;
    let size = links.len() + search.edges;
    while left > 0 {
        left = left.saturating_sub(size);
        let peaks = search.peaks();
        let Some(peak) = peaks.get(noise.below(peaks.len() as u64) as usize) else { break };
        let width = 8usize << noise.below(6);
        let from = peak.saturating_sub(noise.below(width as u64) as usize);
        let to = (from + width).min(order.len());
        search.enter(from);
        let window = search.order[from..to].to_vec();
        let mut before = search.run(&window);
        for _ in 0..TRIALS {
            let trial = search.walk(from, to, noise);
            let after = search.run(&trial);
            left = left.saturating_sub(4 * search.visited);
            search.visited = 0;
            if after <= before {
                before = after;
                search.accept(from, &trial);
            }
        }
    }
    search.order
}

/// The order so far and what holds where the window begins.
///
/// - `place[t]`: the place of t in `order`.
/// - `uses[t]`: users of t from the window's begin on, one more where it is kept.
/// - `missing[t]`: of a task in the window, its inputs in the window that have not run in this trial.
struct Search<'a> {
    links: &'a Links,
    order: Vec<u32>,
    place: Vec<u32>,
    uses: Vec<u32>,
    missing: Vec<u32>,
    edges: usize,
    /// Tasks and edges passed over in trials.
    visited: usize,
}

impl<'a> Search<'a> {
    fn new(links: &'a Links, order: &[u32]) -> Self {
        let n = links.len();
        let mut place = vec![0; n];
        order.iter().enumerate().for_each(|(at, task)| place[*task as usize] = at as u32);
        let edges = (0..n as u32).map(|task| links.inputs(task).len()).sum();
        Search { links, order: order.to_vec(), place, uses: vec![0; n], missing: vec![0; n], edges, visited: 0 }
    }

    fn all_uses(&mut self) {
        for task in 0..self.links.len() {
            self.uses[task] = self.links.users(task as u32).len() as u32 + u32::from(self.links.kept[task]);
        }
    }

    /// Runs a task; how far memory climbs and by how much it grows.
    fn step(&mut self, task: u32) -> (i64, i64) {
        let links = self.links;
        let out = links.out[task as usize] as i64;
        let mut net = if self.uses[task as usize] > 0 { out } else { 0 };
        for input in links.inputs(task) {
            let uses = &mut self.uses[*input as usize];
            *uses -= 1;
            if *uses == 0 {
                net -= links.out[*input as usize] as i64;
            }
        }
        (out + links.scratch[task as usize] as i64, net)
    }

    fn undo(&mut self, task: u32) {
        for input in self.links.inputs(task) {
            self.uses[*input as usize] += 1;
        }
    }

    /// The places where most is held.
    fn peaks(&mut self) -> Vec<usize> {
        self.all_uses();
        let (mut held, mut most, mut peaks) = (0, 0, Vec::new());
        for at in 0..self.order.len() {
            let (hill, net) = self.step(self.order[at]);
            if held + hill > most {
                most = held + hill;
                peaks.clear();
            }
            if held + hill == most {
                peaks.push(at);
            }
            held += net;
        }
        peaks
    }

    /// All before `from` has run.
    fn enter(&mut self, from: usize) {
        self.all_uses();
        for at in 0..from {
            self.step(self.order[at]);
        }
    }

    /// The peak of some tasks above what is held before them, and the sum of what is held after each.
    fn run(&mut self, tasks: &[u32]) -> (i64, i64) {
        let (mut held, mut most, mut sum) = (0, 0, 0i64);
        for task in tasks {
            let (hill, net) = self.step(*task);
            most = most.max(held + hill);
            held += net;
            sum = sum.saturating_add(held);
        }
        tasks.iter().for_each(|task| self.undo(*task));
        (most, sum)
    }

    fn growth(&self, task: u32) -> i64 {
        let links = self.links;
        let freed = links.inputs(task).iter().filter(|input| self.uses[**input as usize] == 1);
        let stays = if self.uses[task as usize] > 0 { links.out[task as usize] as i64 } else { 0 };
        stays - freed.map(|input| links.out[*input as usize] as i64).sum::<i64>()
    }

    /// The tasks of a window in another order.
    fn walk(&mut self, from: usize, to: usize, noise: &mut Noise) -> Vec<u32> {
        let links = self.links;
        let inside = |place: u32| (from..to).contains(&(place as usize));
        let mut ready: Vec<(u64, u32)> = Vec::new();
        let most = 1 << noise.below(10);
        let spread = 1 + noise.below(most);
        let by_growth = noise.below(3) == 0;
        let eager = noise.below(8) > 0;
        for at in from..to {
            let task = self.order[at];
            let missing = links.inputs(task).iter().filter(|input| inside(self.place[**input as usize])).count();
            self.missing[task as usize] = missing as u32;
            if missing == 0 {
                ready.push((at as u64 + noise.below(spread), task));
            }
        }
        let mut trial = Vec::with_capacity(to - from);
        while !ready.is_empty() {
            self.visited += ready.len().min(32);
            let cost = |(place, task): (u64, u32)| {
                let growth = self.growth(task);
                (if eager && growth < 0 || by_growth { growth } else { 0 }, place)
            };
            // Of many, those that are next by place.
            if ready.len() > 32 {
                ready.select_nth_unstable(31);
            }
            let best = (0..ready.len().min(32)).min_by_key(|at| cost(ready[*at])).unwrap_or(0);
            let (_, task) = ready.swap_remove(best);
            self.step(task);
            trial.push(task);
            self.visited += links.inputs(task).len() + 1;
            for user in links.users(task) {
                let place = self.place[*user as usize];
                if inside(place) {
                    self.missing[*user as usize] -= 1;
                    if self.missing[*user as usize] == 0 {
                        ready.push((u64::from(place) + noise.below(spread), *user));
                    }
                }
            }
        }
        trial.iter().for_each(|task| self.undo(*task));
        trial
    }

    fn accept(&mut self, from: usize, trial: &[u32]) {
        self.order[from..from + trial.len()].copy_from_slice(trial);
        trial.iter().enumerate().for_each(|(at, task)| self.place[*task as usize] = (from + at) as u32);
    }
}
