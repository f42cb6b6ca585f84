//! Seconds to make each candidate order of a million tasks: `cargo bench --bench orders`.
#![allow(missing_docs)]

use chunkstore::plan::{Cost, Shape, choose, peak};
use std::collections::VecDeque;
use std::time::Instant;

const TASKS: u32 = 1_000_000;

struct Graph {
    input_start: Vec<u32>,
    inputs: Vec<u32>,
    out: Vec<u64>,
}

impl Graph {
    fn new() -> Self {
        Graph { input_start: vec![0], inputs: Vec::new(), out: Vec::new() }
    }

    fn add(&mut self, out: u64, inputs: &[u32]) -> u32 {
        self.inputs.extend_from_slice(inputs);
        self.input_start.push(self.inputs.len() as u32);
        self.out.push(out);
        self.out.len() as u32 - 1
    }
}

fn tree() -> Graph {
    let mut graph = Graph::new();
    let mut queue: VecDeque<u32> = (0..TASKS / 2).map(|_| graph.add(8, &[])).collect();
    while let (Some(a), Some(b)) = (queue.pop_front(), queue.pop_front()) {
        queue.push_back(graph.add(8, &[a, b]));
        if queue.len() == 1 {
            break;
        }
    }
    graph
}

fn chain() -> Graph {
    let mut graph = Graph::new();
    graph.add(8, &[]);
    (1..TASKS).for_each(|task| _ = graph.add(8, &[task - 1]));
    graph
}

fn grid() -> Graph {
    let mut graph = Graph::new();
    for task in 0..TASKS {
        let above = task.checked_sub(1000);
        let left = (task % 1000 > 0).then(|| task - 1);
        let inputs: Vec<u32> = above.into_iter().chain(left).collect();
        graph.add(8, &inputs);
    }
    graph
}

/// Layers of 1000 tasks with three random inputs from the layer above.
fn layered() -> Graph {
    let mut graph = Graph::new();
    let mut state = 1u64;
    for task in 0..TASKS {
        let mut inputs = Vec::new();
        for _ in 0..if task >= 1000 { 3 } else { 0 } {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            inputs.push(task / 1000 * 1000 - 1000 + (state >> 33) as u32 % 1000);
        }
        graph.add(8 + (state >> 40) % 100, &inputs);
    }
    graph
}

/// A hundred groups of three outputs that each have thousands of users.
fn broadcast() -> Graph {
    let mut graph = Graph::new();
    for task in 0..TASKS {
        let shared: Vec<u32> = if task < 300 { Vec::new() } else { (0..3).map(|n| task % 100 * 3 + n).collect() };
        graph.add(8, &shared);
    }
    graph
}

fn main() {
    let graphs = [("tree", tree()), ("chain", chain()), ("grid", grid()), ("layered", layered()), ("broadcast", broadcast())];
    for (name, Graph { input_start, inputs, out }) in &graphs {
        println!("{name}: {} tasks, {} edges", out.len(), inputs.len());
        let shape = Shape { input_start, inputs, out, scratch: &[], keep: &[] };
        let mut last = Instant::now();
        choose(&shape, 0, |order| {
            let seconds = last.elapsed().as_secs_f64();
            let peak = peak(&shape, order);
            println!("    {seconds:.3} s, peak {peak}");
            last = Instant::now();
            Cost::of_peak(peak, 0)
        });
    }
}
