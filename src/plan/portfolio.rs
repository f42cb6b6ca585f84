//! The candidates, and how many of them a graph gets.
//!
//! Candidates of the first stage know nothing of each other. Those of the second are orders whose ties are decided by the best
//! order so far, so that equal parts of a graph are walked in the same way; they are repeated while that helps. How much is tried depends
//! on the size of the graph alone, never on a clock, so that the same graph always gets the same order.

use super::improve::{at_once, just_in_time, while_hot};
use super::links::Links;
use super::order::{Descent, Greed, Taste, Tie, backwards, dask, depth_first, greedy, liu, postorder, tiles};
use super::peak::peak;
use super::search::{Noise, search};
use super::windows::windows;
use super::{Choice, Cost, Shape};

/// One way to improve an order.
type Pass = fn(&Links, &[u32]) -> Vec<u32>;

/// One way to make an order.
pub(super) type Candidate = (&'static str, fn(&Links, &Descent) -> Vec<u32>);

/// One way to make an order from the places that tasks have in another.
pub(super) type FromPlaces = (&'static str, fn(&Links, &[u32]) -> Vec<u32>);

/// Tiles that end at small or shared outputs, in the order of the best postorder where they cost the same.
const TILES: Taste = Taste { cut: 4, amortised: false, credit: 1.0, tie: Tie::Place };

/// The same with each task a tile.
const STEPS: Taste = Taste { cut: 0, ..TILES };

/// The candidates: the cheapest to make first, then the one that wins most often.
pub(super) const CANDIDATES: [Candidate; 14] = [
    ("postorder", |links, descent| postorder(links, descent, &[])),
    ("tiles", |links, descent| tiles(links, descent, TILES, &[])),
    ("dask", |links, _| dask(links, &[])),
    ("steps", |links, descent| tiles(links, descent, STEPS, &[])),
    ("greedy", |links, _| greedy(links, Greed { sources_last: false, place: &[] })),
    ("tiles, latest first", |links, descent| tiles(links, descent, Taste { tie: Tie::Latest, ..TILES }, &[])),
    ("tiles, amortised", |links, descent| tiles(links, descent, Taste { amortised: true, ..TILES }, &[])),
    ("backwards", |links, _| backwards(links, &[])),
    ("greedy, sources last", |links, _| greedy(links, Greed { sources_last: true, place: &[] })),
    ("tree", |links, _| liu(links, &[])),
    ("tiles, no lookahead", |links, descent| tiles(links, descent, Taste { credit: 0.0, ..TILES }, &[])),
    ("steps, amortised", |links, descent| tiles(links, descent, Taste { amortised: true, ..STEPS }, &[])),
    ("tiles, uncut", |links, descent| tiles(links, descent, Taste { cut: u64::MAX, ..TILES }, &[])),
    ("steps, earliest first", |links, descent| tiles(links, descent, Taste { tie: Tie::Earliest, ..STEPS }, &[])),
];

/// The candidates of the second stage.
pub(super) const SECOND: [FromPlaces; 12] = [
    ("tree, by place", liu),
    ("backwards, by place", backwards),
    ("dask, by place", |links, place| dask(links, &reversed(place))),
    ("greedy, by place", |links, place| greedy(links, Greed { sources_last: false, place })),
    ("greedy, sources last, by place", |links, place| greedy(links, Greed { sources_last: true, place })),
    ("postorder, under the last", |links, place| postorder(links, &Descent::by(links, place, false), place)),
    ("postorder, under the first", |links, place| postorder(links, &Descent::by(links, place, true), place)),
    ("dask, by place backwards", dask),
    ("tiles, by place", |links, place| tiles(links, &Descent::by(links, place, false), TILES, place)),
    ("steps, by place", |links, place| tiles(links, &Descent::by(links, place, false), STEPS, place)),
    ("tiles, amortised, by place", |links, place| {
        tiles(links, &Descent::by(links, place, false), Taste { amortised: true, ..TILES }, place)
    }),
    ("steps, amortised, by place", |links, place| {
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

/// Tasks and edges that all candidates together may pass over, times the passes of one of them; at least two are made.
const WORK: usize = 12_000_000;

/// The same for candidates with noise.
const NOISE: usize = 500_000;

/// Tasks and edges that the search at the peak may pass over.
const SEARCH: usize = 2_000_000;

/// The most rounds of the second stage.
const ROUNDS: usize = 4;

/// The best order so far, and what may still be tried.
pub(super) struct Portfolio<'a, E> {
    shape: &'a Shape<'a>,
    links: &'a Links,
    bound: u64,
    evaluate: E,
    /// Candidates that may still be made.
    left: usize,
    pub(super) best: Option<Choice>,
}

impl<'a, E: FnMut(&[u32]) -> Cost> Portfolio<'a, E> {
    pub(super) fn new(shape: &'a Shape<'a>, links: &'a Links, bound: u64, evaluate: E) -> Self {
        let left = (WORK / (shape.len() + shape.inputs.len()).max(1)).max(2);
        Portfolio { shape, links, bound, evaluate, left, best: None }
    }

    /// Tries candidates until one costs nothing or enough have been tried.
    pub(super) fn run(&mut self) {
        let descent = Descent::new(self.links);
        for (name, make) in CANDIDATES {
            if self.ends() {
                return;
            }
            self.consider(name, make(self.links, &descent));
        }
        // Ties as Dask's users know them, then as the best order has them.
        if self.left > SECOND.len() {
            let known = places(&dask(self.links, &[]));
            for (name, make) in SECOND {
                if !self.ends() {
                    self.consider(name, make(self.links, &known));
                }
            }
        }
        for _ in 0..ROUNDS {
            let before = self.rank();
            for (name, make) in SECOND {
                if self.ends() {
                    break;
                }
                let order = make(self.links, &self.places());
                self.consider(name, order);
            }
            self.by_windows();
            if self.rank() == before {
                break;
            }
        }
        self.with_noise();
        self.reductions_first();
    }

    /// Small graphs: the second stage with places that are a little off, and a search at the peak, in turns.
    fn with_noise(&mut self) {
        let mut tries = (NOISE / (self.shape.len() + self.shape.inputs.len()).max(1)).min(256);
        let mut noise = Noise(1);
        while tries > 0 && !self.is_free() {
            for (name, make) in SECOND {
                tries = tries.saturating_sub(1);
                let mut places = self.places();
                let most = places.len() as u64 >> noise.below(8);
                places.iter_mut().for_each(|place| *place += noise.below(most + 1) as u32);
                self.consider(name, make(self.links, &places));
            }
            let Some(best) = &self.best else { return };
            let order = search(self.links, &best.order, SEARCH / 8, &mut noise);
            // What costs as much may have fewer peaks: the next search goes on from there.
            let order = self.settle(order);
            self.take("search", order, |cost, least| cost <= least);
        }
    }

    /// What the best order costs.
    fn rank(&self) -> Option<(u64, u64)> {
        self.best.as_ref().and_then(|best| best.cost).map(|cost| cost.rank())
    }

    fn is_free(&self) -> bool {
        self.rank().is_some_and(|rank| rank.0 == 0)
    }

    /// Whether nothing more is to be tried; else counts one candidate more.
    fn ends(&mut self) -> bool {
        let ends = self.left == 0 || self.is_free();
        self.left = self.left.saturating_sub(1);
        ends
    }

    /// For each task its place in the best order.
    fn places(&self) -> Vec<u32> {
        places(self.best.as_ref().map(|best| best.order.as_slice()).unwrap_or_default())
    }

    /// Takes an order, improved, where it costs less than the best so far.
    fn consider(&mut self, name: &'static str, order: Vec<u32>) {
        let order = self.settle(order);
        self.take(name, order, |cost, least| cost < least);
    }

    /// Takes an order where its input and output, and its peak, compare with those of the best so far as they should.
    fn take(&mut self, name: &'static str, order: Vec<u32>, better: fn((u64, u64), (u64, u64)) -> bool) {
        let cost = (self.evaluate)(&order);
        if self.rank().is_none_or(|least| better(cost.rank(), least)) {
            self.best = Some(Choice { name, order, cost: Some(cost) });
        }
    }

    /// Improves the best order window by window.
    fn by_windows(&mut self) {
        let mut size = 16;
        while size < 4 * self.links.len() {
            if self.ends() {
                break;
            }
            let Some(best) = &self.best else { return };
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
        let Some(best) = &self.best else { return };
        // At equal cost the hot one: it depends less on how fast each task happens to be.
        let hot = while_hot(self.links, &best.order);
        self.take("while hot", hot, |cost, least| cost.0 <= least.0);
        let numbered = depth_first(self.links.len());
        let hot = while_hot(self.links, &numbered);
        self.take("depth first", numbered, |cost, least| cost < least);
        self.take("depth first, while hot", hot, |cost, least| cost < least);
    }

    /// The order where it fits the bound, else it or its improvement, whichever has the least peak.
    fn settle(&self, order: Vec<u32>) -> Vec<u32> {
        let mut least = peak(self.shape, &order);
        let mut settled = order;
        let passes: [Pass; 3] = [|links, order| just_in_time(links, order, 0), |links, order| just_in_time(links, order, 1), at_once];
        // Each pass is linear; large graphs get each once.
        let rounds = if self.links.len() > 100_000 { 1 } else { 4 };
        let mut idle = 0;
        for pass in passes.iter().cycle().take(rounds * passes.len()) {
            if least <= self.bound || idle == passes.len() {
                break;
            }
            let improved = pass(self.links, &settled);
            let peak = peak(self.shape, &improved);
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
