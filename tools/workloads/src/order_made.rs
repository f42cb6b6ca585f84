//! Large graphs for `workloads order --made`, which no file holds.

use std::collections::VecDeque;

/// A graph by columns; inputs have smaller numbers than users.
pub(crate) struct Made {
    pub(crate) input_start: Vec<u32>,
    pub(crate) inputs: Vec<u32>,
    pub(crate) out: Vec<u64>,
}

/// Makes a graph of about so many tasks.
type Make = fn(u32) -> Made;

/// What is to be made: `layered:1000000`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    name: &'static str,
    make: Make,
    tasks: u32,
}

/// All kinds of graphs.
const KINDS: [(&str, Make); 6] =
    [("chain", chain), ("tree", tree), ("grid", grid), ("layered", layered), ("transpose", transpose), ("broadcast", broadcast)];

impl std::str::FromStr for Kind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, tasks) = text.split_once(':').ok_or("KIND:TASKS, for example layered:1000000")?;
        let names: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
        let found = KINDS.iter().find(|(name, _)| *name == kind);
        let (name, make) = *found.ok_or_else(|| format!("there is no {kind}, only {}", names.join(", ")))?;
        let tasks: u32 = tasks.parse().map_err(|_| format!("{tasks} is no number of tasks"))?;
        if !(16..=100_000_000).contains(&tasks) {
            return Err("from 16 to 1e8 tasks".into());
        }
        Ok(Kind { name, make, tasks })
    }
}

impl Kind {
    /// `layered:1000000`.
    pub(crate) fn name(&self) -> String {
        format!("{}:{}", self.name, self.tasks)
    }

    /// The graph, of about so many tasks.
    pub(crate) fn make(&self) -> Made {
        (self.make)(self.tasks)
    }
}

impl Made {
    fn new(tasks: u32, edges: usize) -> Self {
        let mut input_start = Vec::with_capacity(tasks as usize + 1);
        input_start.push(0);
        Made { input_start, inputs: Vec::with_capacity(edges), out: Vec::with_capacity(tasks as usize) }
    }

    fn add(&mut self, out: u64, inputs: &[u32]) -> u32 {
        self.inputs.extend_from_slice(inputs);
        self.input_start.push(self.inputs.len() as u32);
        self.out.push(out);
        self.out.len() as u32 - 1
    }
}

fn chain(tasks: u32) -> Made {
    let mut made = Made::new(tasks, tasks as usize);
    made.add(8, &[]);
    (1..tasks).for_each(|task| _ = made.add(8, &[task - 1]));
    made
}

/// Leaves, joined by two.
fn tree(tasks: u32) -> Made {
    let mut made = Made::new(tasks, tasks as usize);
    let mut queue: VecDeque<u32> = (0..tasks.div_ceil(2)).map(|_| made.add(800, &[])).collect();
    while let (Some(a), Some(b)) = (queue.pop_front(), queue.pop_front()) {
        queue.push_back(made.add(8, &[a, b]));
        if queue.len() == 1 {
            break;
        }
    }
    made
}

/// Each cell takes those above and to the left.
fn grid(tasks: u32) -> Made {
    let side = tasks.isqrt();
    let mut made = Made::new(tasks, 2 * tasks as usize);
    for task in 0..side * side {
        let above = task.checked_sub(side);
        let left = (task % side > 0).then(|| task - 1);
        let inputs: Vec<u32> = above.into_iter().chain(left).collect();
        made.add(8, &inputs);
    }
    made
}

/// Layers of a thousand tasks with three random inputs from the layer above.
fn layered(tasks: u32) -> Made {
    let width = 1000.min(tasks / 4);
    let mut made = Made::new(tasks, 3 * tasks as usize);
    let mut state = 1u64;
    for task in 0..tasks {
        let mut inputs = Vec::new();
        for _ in 0..if task >= width { 3 } else { 0 } {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            inputs.push(task / width * width - width + (state >> 33) as u32 % width);
        }
        made.add(8 + (state >> 40) % 100, &inputs);
    }
    made
}

/// `(x + x.T).sum()` in square blocks: blocks, transposed blocks, sums of both, and a tree of sixteens.
fn transpose(tasks: u32) -> Made {
    let side = (tasks / 4).isqrt().max(2);
    let mut made = Made::new(tasks, 4 * tasks as usize);
    let blocks: Vec<u32> = (0..side * side).map(|_| made.add(8192, &[])).collect();
    let turned: Vec<u32> = blocks.iter().map(|block| made.add(8192, &[*block])).collect();
    let mut sums = Vec::new();
    for i in 0..side {
        for j in 0..side {
            let both = made.add(8192, &[blocks[(i * side + j) as usize], turned[(j * side + i) as usize]]);
            sums.push(made.add(8, &[both]));
        }
    }
    while sums.len() > 1 {
        sums = sums.chunks(16).map(|group| made.add(8, group)).collect();
    }
    made
}

/// A hundred groups of three outputs that each have thousands of users.
fn broadcast(tasks: u32) -> Made {
    let mut made = Made::new(tasks, 3 * tasks as usize);
    for task in 0..tasks {
        let shared: Vec<u32> = if task < 300 { Vec::new() } else { (0..3).map(|n| task % 100 * 3 + n).collect() };
        made.add(8, &shared);
    }
    made
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{KINDS, Kind};

    #[test]
    fn inputs_come_first() {
        for (name, _) in KINDS {
            let made = format!("{name}:5000").parse::<Kind>().unwrap().make();
            assert!(made.out.len() > 2500 && made.out.len() <= 5500, "{name}: {}", made.out.len());
            for task in 0..made.out.len() {
                let inputs = &made.inputs[made.input_start[task] as usize..made.input_start[task + 1] as usize];
                assert!(inputs.iter().all(|input| (*input as usize) < task), "{name}");
            }
        }
        assert!("layered".parse::<Kind>().is_err() && "none:100".parse::<Kind>().is_err());
    }
}
