//! The portfolio: candidate orders in turn, the first that costs nothing or the cheapest.

use super::Shape;
use super::improve::just_in_time;
use super::links::Links;
use super::order::{Descent, Taste, dask, depth_first, greedy, postorder, tiles};
use super::peak::peak;

/// What running an order costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Bytes written to and later read from scratch space.
    pub spilled: u64,
    /// Bytes read or computed again because they were dropped.
    pub reread: u64,
    /// The most bytes held at once.
    pub peak: u64,
}

impl Cost {
    /// Input and output first, then memory.
    fn rank(&self) -> (u64, u64) {
        (self.spilled.saturating_add(self.reread), self.peak)
    }
}

/// An order, how it was made and what it costs.
#[derive(Clone, Debug)]
pub struct Choice {
    /// Which order it is.
    pub name: &'static str,
    /// All tasks, inputs before users.
    pub order: Vec<u32>,
    /// What `evaluate` said; none where everything fits at once and nothing was compared.
    pub cost: Option<Cost>,
}

pub(crate) fn candidates() -> Vec<(&'static str, fn(&Links, &Descent) -> Vec<u32>)> {
    vec![
        ("depth first", |links, _| depth_first(links.len())),
        ("tiles l 1", |links, descent| tiles(links, descent, Taste { cut: 4, credit: 1.0, latest: true })),
        ("tiles e 1", |links, descent| tiles(links, descent, Taste { cut: 4, credit: 1.0, latest: false })),
        ("tiles l 0", |links, descent| tiles(links, descent, Taste { cut: 4, credit: 0.0, latest: true })),
        ("tiles e 0", |links, descent| tiles(links, descent, Taste { cut: 4, credit: 0.0, latest: false })),
        ("tiles l .5", |links, descent| tiles(links, descent, Taste { cut: 4, credit: 0.5, latest: true })),
        ("tiles nocut", |links, descent| tiles(links, descent, Taste { cut: u64::MAX, credit: 1.0, latest: true })),
        ("tiles allcut", |links, descent| tiles(links, descent, Taste { cut: 0, credit: 1.0, latest: true })),
        ("postorder", postorder),
        ("dask", |links, _| dask(links)),
        ("greedy", |links, _| greedy(links)),
    ]
}

/// d
pub fn choose(shape: &Shape, bound: u64, mut evaluate: impl FnMut(&[u32]) -> Cost) -> Choice {
    let links = Links::new(shape);
    let descent = Descent::new(&links);
    let mut best: Option<(Cost, Choice)> = None;
    for (name, make) in candidates() {
        let t = std::time::Instant::now();
        let order = make(&links, &descent);
        let dt = t.elapsed().as_secs_f64();
        let order2 = just_in_time(&links, &order);
        let order3 = just_in_time(&links, &order2);
        eprintln!(
            "   {name:14} {:9} {:9} {:9} {dt:.4} {:.4}",
            peak(shape, &order),
            peak(shape, &order2),
            peak(shape, &order3),
            t.elapsed().as_secs_f64()
        );
        for order in [order, order2, order3] {
            let cost = evaluate(&order);
            if best.as_ref().is_none_or(|(c, _)| cost.rank() < c.rank()) {
                best = Some((cost, Choice { name, order, cost: Some(cost) }));
            }
        }
    }
    let _ = bound;
    best.expect("x").1
}
