//! `tasks`: graphs of functions that do next to nothing, to see what a task costs.

use crate::process::{peak_rss_bytes, rss_bytes};
use crate::run::{Context, Failure, Work, round};
use chunkstore::Engine;
use chunkstore::graph::{Graph, GraphKey, call, key, list};
use serde_json::Value;
use std::time::Instant;

const PRIME: i64 = 1_000_000_007;

/// A graph, the key that is wanted of it, and its value.
type Job = (Graph, GraphKey, i64);

/// The name of a kind of graph, and what makes one of about so many tasks.
type Shape = (&'static str, fn(u64) -> Job);

const SHAPES: [Shape; 3] = [("tree", tree), ("chain", chain), ("grid", grid)];

fn inc(x: i64) -> i64 {
    x + 1
}

fn total(xs: Vec<i64>) -> i64 {
    xs.iter().sum()
}

fn plus(a: i64, b: i64) -> i64 {
    (a + b) % PRIME
}

/// Trees, chains and grids.
pub(crate) fn prepare(context: &Context) -> Result<Work, Failure> {
    measure(context, &SHAPES, context.size.tasks())
}

/// One tree of a million tasks.
pub(crate) fn prepare_many(context: &Context) -> Result<Work, Failure> {
    measure(context, &SHAPES[..1], context.size.many_tasks())
}

/// One tree, chain and grid of ten million tasks each.
pub(crate) fn prepare_most(context: &Context) -> Result<Work, Failure> {
    measure(context, &SHAPES, context.size.most_tasks())
}

fn measure(context: &Context, shapes: &'static [Shape], sizes: &'static [u64]) -> Result<Work, Failure> {
    let engine = context.engine()?;
    Ok(Box::new(move |context| {
        context.note("one_task_us", round(one_task(&engine)? * 1e6, 2));
        let mut tasks = 0;
        for (name, build) in shapes {
            for n in sizes {
                let before = rss_bytes().unwrap_or(0);
                let (graph, wanted, expected) = build(*n);
                let built = rss_bytes().unwrap_or(0);
                let (got, seconds) = context.timed(|| engine.get::<i64>(&graph, wanted));
                let got = got?;
                if got != expected {
                    return Err(format!("{name}({n}): {got}, want {expected}").into());
                }
                tasks += graph.len();
                context.note(format!("{name}_{n}_us_per_task"), round(seconds / graph.len() as f64 * 1e6, 4));
                // Only what is larger than all before it shows in the peak.
                if *n >= 1_000_000 {
                    let peak = peak_rss_bytes().unwrap_or(0);
                    let bytes = |bytes: u64| round(bytes as f64 / graph.len() as f64, 1);
                    context.note(format!("{name}_{n}_graph_bytes_per_task"), bytes(built.saturating_sub(before)));
                    context.note(format!("{name}_{n}_run_bytes_per_task"), bytes(peak.saturating_sub(built)));
                }
            }
        }
        context.note("tasks", tasks);
        Ok(Value::from("exact"))
    }))
}

/// The median seconds of making and running a graph of one task.
fn one_task(engine: &Engine) -> Result<f64, Failure> {
    let mut all = Vec::new();
    for k in 0..20 {
        let name = format!("one{k}");
        let start = Instant::now();
        let mut graph = Graph::new();
        graph.set(name.as_str(), call(inc, (1,)));
        let got: i64 = engine.get(&graph, name.as_str())?;
        all.push(start.elapsed().as_secs_f64());
        if got != 2 {
            return Err(format!("one task gave {got}, want 2").into());
        }
    }
    all.sort_by(f64::total_cmp);
    Ok(all[10])
}

/// `n` increments, summed with fan-in 16: `n (n + 1) / 2`.
fn tree(n: u64) -> Job {
    let mut graph = Graph::new();
    let name = format!("inc{n}");
    let mut keys: Vec<GraphKey> = (0..n).map(|i| key((name.as_str(), i))).collect();
    for (i, leaf) in keys.iter().enumerate() {
        graph.set(leaf.clone(), call(inc, (i as i64,)));
    }
    let mut level = 0;
    while keys.len() > 1 {
        let name = format!("sum{n}-{level}");
        let sums: Vec<GraphKey> = (0..keys.len().div_ceil(16)).map(|i| key((name.as_str(), i as u64))).collect();
        for (sum, group) in sums.iter().zip(keys.chunks(16)) {
            graph.set(sum.clone(), call(total, (list(group.iter().cloned()),)));
        }
        keys = sums;
        level += 1;
    }
    let wanted = keys.first().cloned().unwrap_or_else(|| key("none"));
    (graph, wanted, (n * (n + 1) / 2) as i64)
}

/// `n` increments of each other: `n`.
fn chain(n: u64) -> Job {
    let mut graph = Graph::new();
    let name = format!("chain{n}");
    let at = |i: u64| key((name.as_str(), i));
    graph.set(at(0), call(inc, (0,)));
    for i in 1..n {
        graph.set(at(i), call(inc, (at(i - 1),)));
    }
    (graph, at(n - 1), n as i64)
}

/// A square of about `n` cells: 1 at two edges, elsewhere the sum of the cells above and to the left.
fn grid(n: u64) -> Job {
    let mut graph = Graph::new();
    let (side, name) = (n.isqrt(), format!("grid{n}"));
    let at = |i: u64, j: u64| key((name.as_str(), i, j));
    for i in 0..side {
        graph.set(at(i, 0), call(inc, (0,)));
        graph.set(at(0, i), call(inc, (0,)));
    }
    for i in 1..side {
        for j in 1..side {
            graph.set(at(i, j), call(plus, (at(i - 1, j), at(i, j - 1))));
        }
    }
    (graph, at(side - 1, side - 1), paths(side - 1))
}

/// The ways through a grid of `n` by `n` steps, `C(2n, n)`, modulo the prime.
fn paths(n: u64) -> i64 {
    let times = |a: i64, b: i64| (i128::from(a) * i128::from(b) % i128::from(PRIME)) as i64;
    let product = |from: u64, to: u64| (from..=to).fold(1, |all, k| times(all, k as i64 % PRIME));
    let (mut inverse, mut base, mut exponent) = (1, product(1, n), PRIME - 2);
    while exponent > 0 {
        if exponent & 1 == 1 {
            inverse = times(inverse, base);
        }
        base = times(base, base);
        exponent >>= 1;
    }
    times(product(n + 1, 2 * n), inverse)
}

#[cfg(test)]
mod tests {
    use super::{SHAPES, chain, paths};

    #[test]
    fn paths_through_small_grids() {
        assert_eq!([0, 1, 2, 3, 10].map(paths), [1, 2, 6, 20, 184_756]);
    }

    #[test]
    fn graphs_have_the_tasks_that_they_say() {
        assert_eq!(SHAPES.map(|(_, build)| build(1000).0.len()), [1000 + 63 + 4 + 1, 1000, 31 * 31]);
        assert_eq!(chain(5).2, 5);
    }
}
