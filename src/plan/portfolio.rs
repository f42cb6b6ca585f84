//! The candidates, and how many of them a graph gets.
//!
//! Candidates of the first stage know nothing of each other. Those of the second are orders whose ties are decided by the best
//! order so far, so that equal parts of a graph are walked in the same way; they are repeated while that helps. How much is tried depends
//! on the size of the graph alone, never on a clock, so that the same graph always gets the same order.

use super::improve::{at_once, just_in_time, while_hot};
use super::links::Links;
use super::order::{Descent, Greed, Taste, Tie, backwards, dask, depth_first, greedy, liu, postorder, tiles};
use super::peak::{largest_need, peak_with, users};
use super::search::{Noise, search};
use super::windows::windows;
use super::{Choice, Cost, Shape};

/// One way to improve an order.
type Pass = fn(&Links, &[u32]) -> Vec<u32>;

/// One way to make an order: its name, what it weighs, and how it is made. A weight is a multiple of the time that a simple walk over tasks
/// and edges takes, as measured on layers of random edges, where it is longest.
pub(super) type Candidate = (&'static str, usize, fn(&Links, &Descent) -> Vec<u32>);

/// One way to make an order from the places that tasks have in another.
pub(super) type FromPlaces = (&'static str, usize, fn(&Links, &[u32]) -> Vec<u32>);

/// Tiles that end at small or shared outputs, in the order of the best postorder where they cost the same.
const TILES: Taste = Taste { cut: 4, amortised: false, credit: 1.0, tie: Tie::Place };

/// The same with each task a tile.
const STEPS: Taste = Taste { cut: 0, ..TILES };

/// The candidates: the cheapest to make first, then the one that wins most often.
pub(super) const CANDIDATES: [Candidate; 14] = [
    ("postorder", 1, |links, descent| postorder(links, descent, &[])),
    ("tiles", 16, |links, descent| tiles(links, descent, TILES, &[])),
    ("dask", 20, |links, _| dask(links, &[])),
    ("steps", 16, |links, descent| tiles(links, descent, STEPS, &[])),
    ("greedy", 50, |links, _| greedy(links, Greed { sources_last: false, place: &[] })),
    ("tiles, latest first", 16, |links, descent| tiles(links, descent, Taste { tie: Tie::Latest, ..TILES }, &[])),
    ("tiles, amortised", 16, |links, descent| tiles(links, descent, Taste { amortised: true, ..TILES }, &[])),
    ("backwards", 50, |links, _| backwards(links, &[])),
    ("greedy, sources last", 12, |links, _| greedy(links, Greed { sources_last: true, place: &[] })),
    ("tree", 12, |links, _| liu(links, &[])),
    ("tiles, no lookahead", 16, |links, descent| tiles(links, descent, Taste { credit: 0.0, ..TILES }, &[])),
    ("steps, amortised", 16, |links, descent| tiles(links, descent, Taste { amortised: true, ..STEPS }, &[])),
    ("tiles, uncut", 16, |links, descent| tiles(links, descent, Taste { cut: u64::MAX, ..TILES }, &[])),
    ("steps, earliest first", 16, |links, descent| tiles(links, descent, Taste { tie: Tie::Earliest, ..STEPS }, &[])),
];

/// Those that a graph gets which is too large to simulate two of them.
const CHEAP: [&str; 3] = ["postorder", "greedy, sources last", "tiles"];

/// The candidates of the second stage.
pub(super) const SECOND: [FromPlaces; 12] = [
    ("tree, by place", 12, liu),
    ("backwards, by place", 50, backwards),
    ("dask, by place", 20, |links, place| dask(links, &reversed(place))),
    ("greedy, by place", 50, |links, place| greedy(links, Greed { sources_last: false, place })),
    ("greedy, sources last, by place", 12, |links, place| greedy(links, Greed { sources_last: true, place })),
    ("postorder, under the last", 3, |links, place| postorder(links, &Descent::by(links, place, false), place)),
    ("postorder, under the first", 3, |links, place| postorder(links, &Descent::by(links, place, true), place)),
    ("dask, by place backwards", 20, dask),
    ("tiles, by place", 18, |links, place| tiles(links, &Descent::by(links, place, false), TILES, place)),
    ("steps, by place", 18, |links, place| tiles(links, &Descent::by(links, place, false), STEPS, place)),
    ("tiles, amortised, by place", 18, |links, place| {
        tiles(links, &Descent::by(links, place, false), Taste { amortised: true, ..TILES }, place)
    }),
    ("steps, amortised, by place", 18, |links, place| {
        tiles(links, &Descent::by(links, place, false), Taste { amortised: true, ..STEPS }, place)
    }),
];

/// For each task its place in an order.
fn places(order: &[u32]) -> Vec<u32> {
    let mut places = vec![0; order.len()];
    order.iter().enumerate().for_each(|(place, task)| places[*task as usize] = place as u32);
    places
}

fn reversed(place: &[u32]) -> Vec<u32> {
    place.iter().map(|place| u32::MAX - place).collect()
}

/// What all candidates together may weigh, times tasks and edges: about two seconds where these are millions. A search by peaks has as much again.
const WORK: usize = 150_000_000;

/// Bytes that a disk moves in fifty times the time of one unit of weight.
const BYTES_A_UNIT: u64 = 1000;

/// What candidates may weigh in any case: enough for one of each kind.
const LEAST: usize = 400;

/// Tasks and edges from which on only the best order is improved, not each.
const LARGE: usize = 1_500_000;

/// What the improvement of an order weighs, and what its evaluation: by its peak, or by a simulation within a bound.
const PASS: usize = 3;
const PEAK: usize = 6;
const SIMULATION: usize = 30;

/// The most candidates with noise, for graphs of at most so many tasks and edges; larger ones get as many fewer.
const NOISE: (usize, usize) = (144, 5000);

/// Rounds with noise that find nothing before the next is not made.
const IDLE: usize = 6;

/// How many orders are kept beside the best.
const OTHERS: usize = 3;

/// Tasks and edges that a search at the peak may pass over.
const SEARCH: usize = 250_000;

/// Tasks and edges up to which every candidate's ties are tried on others.
const SMALL: usize = 25_000;

/// Candidates of the second stage that are tried with the ties of every candidate of the first.
const CROSSED: [&str; 4] = ["greedy, by place", "greedy, sources last, by place", "backwards, by place", "dask, by place"];

/// The most rounds of the second stage.
const ROUNDS: usize = 4;

/// The best order so far, and what may still be tried.
pub(super) struct Portfolio<'a, E> {
    shape: &'a Shape<'a>,
    links: &'a Links,
    bound: u64,
    evaluate: E,
    /// Tasks and edges.
    size: usize,
    /// How many users each output has.
    users: Vec<u32>,
    /// What an evaluation weighs.
    evaluation: usize,
    /// What more may weigh.
    left: usize,
    /// Whether no more is tried than what could be saved is worth.
    thrifty: bool,
    pub(super) best: Option<Choice>,
    /// The next best orders of a small graph, no two of the same cost.
    others: Vec<((u64, u64), Vec<u32>)>,
}

impl<'a, E: FnMut(&[u32]) -> Cost> Portfolio<'a, E> {
    pub(super) fn new(shape: &'a Shape<'a>, links: &'a Links, bound: u64, evaluate: E) -> Self {
        let size = (shape.len() + shape.inputs.len()).max(1);
        Portfolio {
            shape,
            links,
            bound,
            evaluate,
            size,
            users: users(shape),
            evaluation: if bound == 0 { PEAK } else { SIMULATION },
            left: WORK / size,
            thrifty: false,
            best: None,
            others: Vec::new(),
        }
    }

    /// The same where nothing but the peak is compared, and the first order that has at most `bound` is looked for.
    pub(super) fn by_peak(shape: &'a Shape<'a>, links: &'a Links, bound: u64, evaluate: E) -> Self {
        Portfolio { evaluation: PEAK, ..Portfolio::new(shape, links, bound, evaluate) }
    }

    /// The same, for a run whose costs are bytes that are really moved: it tries no longer than a few percent of what moving them takes.
    pub(super) fn thrifty(self) -> Self {
        Portfolio { thrifty: true, ..self }
    }

    /// Tries the candidates of the first stage until one costs nothing or enough have been tried. Gives the places that tasks have in those of a small
    /// graph, whose ties are to be tried on others; nothing where the choice is made.
    pub(super) fn first(&mut self) -> Option<Vec<Vec<u32>>> {
        let descent = Descent::new(self.links);
        if self.cheap_by_peak(&descent) {
            return None;
        }
        let mut made = Vec::new();
        for (name, weight, make) in CANDIDATES {
            if self.may(weight) || self.best.is_none() {
                let mut order = make(self.links, &descent);
                // Where there is time for one simulation, it is that of the order that would be taken at equal cost.
                if self.bound > 0 && self.left < 2 * self.evaluation && self.peak(&order) > self.bound {
                    order = while_hot(self.links, &order);
                }
                if self.is_small() {
                    made.push(places(&order));
                }
                self.consider(name, order);
            }
        }
        Some(made)
    }

    /// Whether orders are to be looked for by their peaks: not where every order costs something, or what could be saved is not worth it. The rest gets less work then.
    pub(super) fn may_fit(&mut self) -> bool {
        let may = self.evaluation > PEAK && !self.is_free() && self.left >= 2 * LEAST && largest_need(self.shape) <= self.bound;
        self.left /= if may { 3 } else { 1 };
        may
    }

    /// Whether what is left to try can lead within the bound: not where the best order has many times as much.
    pub(super) fn is_near(&self) -> bool {
        self.best.as_ref().and_then(|best| best.cost).is_some_and(|cost| cost.peak / 4 <= self.bound)
    }

    /// Tries more until something costs nothing or enough has been tried. `made`: what the first stage gave.
    pub(super) fn rest(&mut self, made: &[Vec<u32>]) {
        // Ties as Dask's users know them, then as the best order has them.
        if self.may(100) {
            let known = places(&dask(self.links, &[]));
            self.second(|_| known.clone());
        }
        self.rounds();
        let before = self.rank();
        self.crossed(made);
        if self.rank() != before {
            self.rounds();
        }
        self.with_noise();
        self.settle_best();
        self.reductions_first();
    }

    /// Where there is no time to simulate two orders, the one with the least peak is taken, of candidates that are cheap to make; whether that was so.
    fn cheap_by_peak(&mut self, descent: &Descent) -> bool {
        let cheap = || CHEAP.iter().filter_map(|cheap| CANDIDATES.iter().find(|(name, ..)| name == cheap));
        let making: usize = cheap().take(2).map(|(_, weight, _)| weight + PEAK).sum();
        let two: usize = CANDIDATES.iter().take(2).map(|(_, weight, _)| weight + self.evaluation).sum();
        if self.bound == 0 || !(making..two).contains(&self.left) {
            return false;
        }
        self.evaluation = PEAK;
        let mut least: Option<(u64, &'static str, Vec<u32>)> = None;
        for (name, weight, make) in cheap() {
            if self.left < weight + PEAK {
                break;
            }
            self.left -= weight + PEAK;
            let order = make(self.links, descent);
            let peak = self.peak(&order);
            if least.as_ref().is_none_or(|(known, ..)| peak < *known) {
                least = Some((peak, name, order));
            }
            if peak <= self.bound {
                break;
            }
        }
        let Some((_, name, order)) = least else { return false };
        let order = self.settle(order);
        let peak = self.peak(&order);
        self.best = Some(match peak <= self.bound {
            true => Choice { name, order, cost: Some(Cost { spilled: 0, reread: 0, peak }) },
            false => Choice { name, order: while_hot(self.links, &order), cost: None },
        });
        true
    }

    /// The peak of an order.
    fn peak(&self, order: &[u32]) -> u64 {
        peak_with(self.shape, order, self.users.clone())
    }

    /// The second stage and windows, as long as they find something.
    fn rounds(&mut self) {
        for _ in 0..ROUNDS {
            let before = self.rank();
            self.second(|portfolio| portfolio.places());
            self.by_windows();
            if self.rank() == before {
                break;
            }
        }
    }

    /// Small graphs: orders whose ties each of the first stage's candidates decides.
    fn crossed(&mut self, places: &[Vec<u32>]) {
        for place in places.iter().flat_map(|place| [place.clone(), reversed(place)]) {
            for (name, weight, make) in SECOND.iter().filter(|(name, ..)| CROSSED.contains(name)) {
                if self.may(weight + PASS) {
                    let order = make(self.links, &place);
                    self.consider_near(name, order);
                }
            }
        }
    }

    /// The candidates of the second stage.
    fn second(&mut self, mut places: impl FnMut(&Self) -> Vec<u32>) {
        for (name, weight, make) in SECOND {
            if self.may(weight + PASS) {
                let order = make(self.links, &places(self));
                self.consider(name, order);
            }
        }
    }

    /// Small graphs: the second stage with places that are a little off, and a search at the peak, in turns, as long as that helps.
    fn with_noise(&mut self) {
        let tries = (NOISE.0 * NOISE.1 / self.size).min(NOISE.0);
        let mut noise = Noise(1);
        let (mut idle, most_idle) = (0, if self.is_small() { IDLE } else { IDLE - 2 });
        for _ in 0..tries / SECOND.len() {
            let before = self.rank();
            // Where the best leads nowhere, the next best ones may.
            let others = self.others.len() + 1;
            let other = self.others.get((idle % others).wrapping_sub(1)).map(|(_, order)| places(order));
            self.second(|portfolio| {
                let mut places = other.clone().unwrap_or_else(|| portfolio.places());
                let most = places.len() as u64 >> noise.below(8);
                places.iter_mut().for_each(|place| *place += noise.below(most + 1) as u32);
                places
            });
            let Some(best) = self.best.as_ref().filter(|_| !self.is_free()) else { return };
            let order = search(self.links, &best.order, SEARCH, &mut noise);
            // What costs as much may have fewer peaks: the next search goes on from there.
            let order = self.settle(order);
            self.take("search", order, |cost, least| cost <= least);
            idle = if self.rank() == before { idle + 1 } else { 0 };
            if idle == most_idle {
                return;
            }
        }
    }

    /// Whether there is time to try much: where each order is not simulated.
    fn is_small(&self) -> bool {
        self.size <= SMALL && self.evaluation == PEAK
    }

    /// What the best order costs.
    fn rank(&self) -> Option<(u64, u64)> {
        self.best.as_ref().and_then(|best| best.cost).map(|cost| cost.rank())
    }

    pub(super) fn is_free(&self) -> bool {
        self.rank().is_some_and(|rank| rank.0 == 0)
    }

    /// Whether more is to be tried, and there is time for something of this weight; it is then counted.
    fn may(&mut self, weight: usize) -> bool {
        let settling = if self.size < LARGE { 0 } else { PASS + self.evaluation };
        let may = !self.is_free() && self.left >= weight + self.evaluation + settling;
        self.left -= if may { weight } else { 0 };
        may
    }

    /// For each task its place in the best order.
    fn places(&self) -> Vec<u32> {
        places(self.best.as_ref().map(|best| best.order.as_slice()).unwrap_or_default())
    }

    /// Takes an order, improved, where it costs less than the best so far.
    pub(super) fn consider(&mut self, name: &'static str, order: Vec<u32>) {
        let order = if self.size < LARGE { self.settle(order) } else { order };
        self.take(name, order, |cost, least| cost < least);
    }

    /// The same for one of many, which is improved where it is not far from the best.
    fn consider_near(&mut self, name: &'static str, order: Vec<u32>) {
        self.left = self.left.saturating_sub(PEAK);
        let near = self.best.as_ref().and_then(|best| best.cost).is_none_or(|cost| self.peak(&order) <= cost.peak.saturating_mul(2));
        if near {
            self.consider(name, order);
        }
    }

    /// Improves the best order of a large graph.
    fn settle_best(&mut self) {
        if self.size >= LARGE
            && !self.is_free()
            && let Some(Choice { name, order, .. }) = self.best.clone()
        {
            let order = self.settle(order);
            self.take(name, order, |cost, least| cost < least);
        }
    }

    /// Takes an order where its input and output, and its peak, compare with those of the best so far as they should.
    fn take(&mut self, name: &'static str, order: Vec<u32>, better: fn((u64, u64), (u64, u64)) -> bool) {
        if self.best.as_ref().is_some_and(|best| best.order == order) {
            return;
        }
        self.left = self.left.saturating_sub(self.evaluation);
        let cost = (self.evaluate)(&order);
        let better = self.rank().is_none_or(|least| better(cost.rank(), least));
        if self.is_small() && self.rank() != Some(cost.rank()) {
            match self.best.as_ref().filter(|_| better).and_then(|best| Some((best.cost?.rank(), best.order.clone()))) {
                Some(before) => self.remember(before.0, before.1),
                None if !better => self.remember(cost.rank(), order.clone()),
                None => {}
            }
        }
        if better {
            self.best = Some(Choice { name, order, cost: Some(cost) });
            if self.thrifty {
                let worth = usize::try_from(cost.rank().0 / BYTES_A_UNIT).unwrap_or(usize::MAX) / self.size;
                self.left = self.left.min(worth.max(LEAST));
            }
        }
    }

    /// Keeps an order that is not the best where it is among the next best.
    fn remember(&mut self, rank: (u64, u64), order: Vec<u32>) {
        if let Err(at) = self.others.binary_search_by_key(&rank, |(rank, _)| *rank) {
            self.others.insert(at, (rank, order));
            self.others.truncate(OTHERS);
        }
    }

    /// Improves the best order window by window.
    fn by_windows(&mut self) {
        let mut size = 16;
        while size < 4 * self.links.len() {
            let Some(best) = self.best.as_ref().filter(|_| self.left >= 20 && !self.is_free()) else { return };
            self.left -= 10;
            let order = windows(self.links, &best.order, size);
            self.consider("windows", order);
            size *= 4;
        }
    }

    /// Where memory cannot hold everything, what counts is how far uses are apart, not the peak.
    fn reductions_first(&mut self) {
        if self.is_free() {
            return;
        }
        let Some(best) = self.best.as_ref().filter(|_| self.left >= self.evaluation) else { return };
        // At equal cost the hot one: it depends less on how fast each task happens to be.
        let hot = while_hot(self.links, &best.order);
        self.take("while hot", hot, |cost, least| cost.0 <= least.0);
        if !self.may(2 * PASS + self.evaluation) {
            return;
        }
        let numbered = depth_first(self.links.len());
        let hot = while_hot(self.links, &numbered);
        self.take("depth first", numbered, |cost, least| cost < least);
        self.take("depth first, while hot", hot, |cost, least| cost < least);
    }

    /// The order where it fits the bound, else it or its improvement, whichever has the least peak.
    fn settle(&mut self, order: Vec<u32>) -> Vec<u32> {
        let mut least = self.peak(&order);
        let mut settled = order;
        let passes: [Pass; 3] = [|links, order| just_in_time(links, order, 0), |links, order| just_in_time(links, order, 1), at_once];
        // Each pass is linear; large graphs get each once, and the largest none after one that is of no use.
        let most = if self.size < 300_000 { 4 * passes.len() } else { passes.len() };
        let most_idle = if self.size < LARGE { passes.len() } else { 1 };
        let mut idle = 0;
        for pass in passes.iter().cycle().take(most) {
            if least <= self.bound || idle == most_idle || self.left < PASS + self.evaluation {
                break;
            }
            self.left -= PASS;
            let improved = pass(self.links, &settled);
            let peak = self.peak(&improved);
            idle += 1;
            if peak < least {
                least = peak;
                settled = improved;
                idle = 0;
            }
        }
        settled
    }
}
