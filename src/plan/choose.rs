//! The portfolio: candidate orders in turn, the first that costs nothing or else the cheapest.
//!
//! ```text
//!   all fits at once? --yes--> depth first, nothing else is made
//!        | no
//!   postorder --- above the bound? just in time --- evaluate: costs nothing? --yes--> that one
//!        | no
//!   tiles, dask, steps, ... greedy, each likewise
//!        | no
//!   the same and more by their peaks alone, which takes less: one within the bound? --yes--> that one
//!        | no
//!   those that follow the best so far --> the least cost of all
//! ```
//!
//! Minimises what `evaluate` says of input and output, then the peak.

use super::Shape;
use super::links::Links;
use super::order::depth_first;
use super::peak::peak;
use super::portfolio::Portfolio;

/// What running an order costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Bytes written to scratch space because they did not fit.
    pub spilled: u64,
    /// Bytes read or computed again because they were dropped.
    pub reread: u64,
    /// The most bytes held at once.
    pub peak: u64,
}

impl Cost {
    /// A cost without a simulation: what the peak has above the bound counts as spilled.
    pub fn of_peak(peak: u64, bound: u64) -> Self {
        Cost { spilled: peak.saturating_sub(bound), reread: 0, peak }
    }

    /// Input and output first, then memory.
    pub(super) fn rank(&self) -> (u64, u64) {
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
    /// What `evaluate` said; none where everything fits at once and nothing was compared, and where a graph is too large to evaluate two orders and the peak
    /// has decided.
    pub cost: Option<Cost>,
}

/// Chooses the order in which to run a graph within `bound` bytes.
///
/// Where all outputs and the largest scratch fit at once, the numbering is the order and `evaluate` is not called. Else
/// each candidate is made, improved by letting what frees nothing wait, and given to `evaluate`: a simulation of the
/// run, or [`Cost::of_peak`]. The first that neither spills nor reads again is taken, else the one that costs least,
/// so a bound of 0 asks for the least peak. Where a graph is so large that there is no time to evaluate two (a million
/// tasks), a few that are cheap to make are compared by their peaks. The same shape always gives the same choice.
///
/// ```
/// use chunkstore::plan::{Cost, Shape, choose, peak};
/// let shape = Shape {
///     input_start: &[0, 0, 0, 1, 2, 4],
///     inputs: &[0, 1, 2, 3],
///     out: &[100, 100, 8, 8, 8],
///     scratch: &[],
///     keep: &[],
/// };
/// let choice = choose(&shape, 120, |order| Cost::of_peak(peak(&shape, order), 120));
/// assert_eq!(peak(&shape, &choice.order), 116);
/// ```
pub fn choose(shape: &Shape, bound: u64, evaluate: impl FnMut(&[u32]) -> Cost) -> Choice {
    choose_by(shape, bound, evaluate, false)
}

/// The same for a run whose costs are bytes that are really moved: see [`Portfolio::thrifty`].
pub(crate) fn choose_for_run(shape: &Shape, bound: u64, evaluate: impl FnMut(&[u32]) -> Cost) -> Choice {
    choose_by(shape, bound, evaluate, true)
}

fn choose_by(shape: &Shape, bound: u64, evaluate: impl FnMut(&[u32]) -> Cost, thrifty: bool) -> Choice {
    let everything = shape.out.iter().fold(0u64, |sum, out| sum.saturating_add(*out));
    if everything.saturating_add(shape.scratch.iter().copied().max().unwrap_or(0)) <= bound {
        return Choice { name: "depth first", order: depth_first(shape.len()), cost: None };
    }
    let links = Links::new(shape);
    let portfolio = Portfolio::new(shape, &links, bound, evaluate);
    let mut portfolio = if thrifty { portfolio.thrifty() } else { portfolio };
    if let Some(made) = portfolio.first() {
        if portfolio.may_fit()
            && let Some(Choice { name, order, .. }) = within(shape, &links, bound)
        {
            portfolio.consider(name, order);
        }
        portfolio.rest(&made);
    }
    portfolio.best.unwrap_or_else(|| Choice { name: "depth first", order: depth_first(shape.len()), cost: None })
}

/// An order whose peak is at most `bound`, where one is found. Peaks take much less time than simulations, so that many more orders are tried.
fn within(shape: &Shape, links: &Links, bound: u64) -> Option<Choice> {
    let mut portfolio = Portfolio::by_peak(shape, links, bound, |order: &[u32]| Cost::of_peak(peak(shape, order), bound));
    let made = portfolio.first()?;
    if portfolio.is_near() {
        portfolio.rest(&made);
    }
    portfolio.best.take().filter(|best| best.cost.is_some_and(|cost| cost.peak <= bound))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::plan::improve::just_in_time;
    use crate::plan::order::Descent;
    use crate::plan::portfolio::{CANDIDATES, SECOND};
    use proptest::prelude::*;

    /// A graph with owned columns.
    #[derive(Clone, Debug, Default)]
    struct Graph {
        input_start: Vec<u32>,
        inputs: Vec<u32>,
        out: Vec<u64>,
        scratch: Vec<u64>,
        keep: Vec<u32>,
    }

    impl Graph {
        fn new() -> Self {
            Graph { input_start: vec![0], ..Graph::default() }
        }

        fn add(&mut self, out: u64, inputs: &[u32]) -> u32 {
            self.inputs.extend_from_slice(inputs);
            self.input_start.push(self.inputs.len() as u32);
            self.out.push(out);
            self.out.len() as u32 - 1
        }

        fn shape(&self) -> Shape<'_> {
            let Graph { input_start, inputs, out, scratch, keep } = self;
            Shape { input_start, inputs, out, scratch, keep }
        }
    }

    /// The peak by the definition: what is held while each task runs.
    fn slow_peak(shape: &Shape, order: &[u32]) -> u64 {
        let n = shape.len();
        let mut last = vec![0; n];
        let mut first = vec![0; n];
        for (at, task) in order.iter().enumerate() {
            first[*task as usize] = at;
            last[*task as usize] = last[*task as usize].max(at);
            for input in shape.inputs_of(*task) {
                last[*input as usize] = last[*input as usize].max(at);
            }
        }
        for task in shape.keep {
            last[*task as usize] = n;
        }
        let held = |at: usize| (0..n).filter(|t| first[*t] <= at && at <= last[*t]).map(|t| shape.out[t]).sum::<u64>();
        order.iter().enumerate().map(|(at, task)| held(at) + shape.scratch_of(*task)).max().unwrap_or(0)
    }

    fn is_valid(shape: &Shape, order: &[u32]) -> bool {
        let mut seen = vec![false; shape.len()];
        let fits = |task: &u32, seen: &mut Vec<bool>| {
            let ready = shape.inputs_of(*task).iter().all(|input| seen[*input as usize]);
            ready && !std::mem::replace(&mut seen[*task as usize], true)
        };
        order.iter().all(|task| fits(task, &mut seen)) && order.len() == shape.len()
    }

    fn graphs() -> impl Strategy<Value = Graph> {
        let task = (0u64..50, 0u64..5, proptest::collection::vec((any::<prop::sample::Index>(), 0..12usize), 0..5), any::<bool>());
        proptest::collection::vec(task, 1..60).prop_map(|tasks| {
            let mut graph = Graph::new();
            for (n, (out, scratch, inputs, keep)) in tasks.into_iter().enumerate() {
                // Near ones and far ones, some named twice.
                let near = |(index, back): (prop::sample::Index, usize)| {
                    if back < 6 { n.checked_sub(back + 1) } else { Some(index.index(n.max(1))) }
                };
                let inputs: Vec<u32> = inputs.into_iter().filter_map(near).filter(|input| *input < n).map(|input| input as u32).collect();
                let task = graph.add(out, &inputs);
                graph.scratch.push(scratch);
                if keep && n % 7 == 0 {
                    graph.keep.push(task);
                }
            }
            graph
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// What fits when as few bytes as possible are asked for fits when they are the bound, too.
        #[test]
        fn a_known_order_within_the_bound_is_found(graph in graphs()) {
            let shape = graph.shape();
            let within = |bound| peak(&shape, &choose(&shape, bound, |order| Cost::of_peak(peak(&shape, order), bound)).order);
            let least = within(0);
            prop_assert!(within(least) <= least);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn every_candidate_is_an_order(graph in graphs()) {
            let shape = graph.shape();
            let links = Links::new(&shape);
            let descent = Descent::new(&links);
            for (name, _, make) in CANDIDATES {
                let order = make(&links, &descent);
                prop_assert!(is_valid(&shape, &order), "{name}: {order:?}");
                prop_assert_eq!(peak(&shape, &order), slow_peak(&shape, &order));
                for freed in [0, 1] {
                    prop_assert!(is_valid(&shape, &just_in_time(&links, &order, freed)), "{name}, just in time");
                }
                prop_assert_eq!(make(&links, &descent), order.clone());
                let mut place = vec![0; shape.len()];
                order.iter().enumerate().for_each(|(at, task)| place[*task as usize] = at as u32);
                for (name, _, make) in SECOND {
                    prop_assert!(is_valid(&shape, &make(&links, &place)), "{name}");
                }
            }
        }

        #[test]
        fn the_choice_is_the_least(graph in graphs(), bound in 0u64..400) {
            let shape = graph.shape();
            let choice = choose(&shape, bound, |order| Cost::of_peak(peak(&shape, order), bound));
            prop_assert!(is_valid(&shape, &choice.order));
            let links = Links::new(&shape);
            let descent = Descent::new(&links);
            let least = CANDIDATES.iter().map(|(_, _, make)| peak(&shape, &make(&links, &descent))).min().unwrap();
            prop_assert!(peak(&shape, &choice.order) <= least.max(bound));
        }
    }

    #[test]
    fn nothing_is_compared_where_everything_fits() {
        let mut graph = Graph::new();
        let a = graph.add(10, &[]);
        graph.add(5, &[a]);
        graph.scratch = vec![1, 2];
        let choice = choose(&graph.shape(), 17, |_| unreachable!());
        assert_eq!((choice.order, choice.cost), (vec![0, 1], None));
        let empty = Graph::new();
        assert!(choose(&empty.shape(), 0, |_| unreachable!()).order.is_empty());
    }
}
