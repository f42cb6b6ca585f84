//! Edges both ways, each once, and the state that orders share while they are built.

use super::Shape;

/// A graph's edges in both directions without repeats, with its sizes.
pub(crate) struct Links {
    input_start: Vec<u32>,
    inputs: Vec<u32>,
    user_start: Vec<u32>,
    users: Vec<u32>,
    /// For each task, the bytes of its output.
    pub(crate) out: Vec<u64>,
    /// For each task, its scratch bytes.
    pub(crate) scratch: Vec<u64>,
    /// For each task, whether its output stays until the end.
    pub(crate) kept: Vec<bool>,
}

impl Links {
    /// Takes time linear in tasks and edges.
    pub(crate) fn new(shape: &Shape) -> Self {
        let n = shape.len();
        let mut input_start = Vec::with_capacity(n + 1);
        let mut inputs = Vec::with_capacity(shape.inputs.len());
        let mut user_start = vec![0u32; n + 1];
        input_start.push(0);
        for task in 0..n as u32 {
            let first = inputs.len();
            for input in shape.inputs_of(task) {
                inputs.push(*input);
            }
            let own = &mut inputs[first..];
            if own.windows(2).any(|pair| pair[0] == pair[1]) || own.len() > 2 || (own.len() == 2 && own[0] == own[1]) {
                own.sort_unstable();
                let mut kept = first;
                for at in first..inputs.len() {
                    if at == first || inputs[at] != inputs[kept - 1] {
                        inputs[kept] = inputs[at];
                        kept += 1;
                    }
                }
                inputs.truncate(kept);
            }
            for input in &inputs[first..] {
                user_start[*input as usize + 1] += 1;
            }
            input_start.push(inputs.len() as u32);
        }
        for task in 0..n {
            user_start[task + 1] += user_start[task];
        }
        let mut at = user_start.clone();
        let mut users = vec![0u32; inputs.len()];
        for task in 0..n {
            for input in &inputs[input_start[task] as usize..input_start[task + 1] as usize] {
                users[at[*input as usize] as usize] = task as u32;
                at[*input as usize] += 1;
            }
        }
        let mut kept = vec![false; n];
        for task in shape.keep {
            kept[*task as usize] = true;
        }
        let mut scratch = shape.scratch.to_vec();
        scratch.resize(n, 0);
        Links { input_start, inputs, user_start, users, out: shape.out.to_vec(), scratch, kept }
    }

    /// The number of tasks.
    pub(crate) fn len(&self) -> usize {
        self.out.len()
    }

    /// The inputs of a task, each once.
    pub(crate) fn inputs(&self, task: u32) -> &[u32] {
        &self.inputs[self.input_start[task as usize] as usize..self.input_start[task as usize + 1] as usize]
    }

    /// The users of a task's output, each once, by number.
    pub(crate) fn users(&self, task: u32) -> &[u32] {
        &self.users[self.user_start[task as usize] as usize..self.user_start[task as usize + 1] as usize]
    }

    /// The tasks without users.
    pub(crate) fn sinks(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.len() as u32).filter(|task| self.users(*task).is_empty())
    }
}

/// What has run, and what each task still waits for.
pub(crate) struct Progress<'a> {
    pub(crate) links: &'a Links,
    pub(crate) order: Vec<u32>,
    pub(crate) done: Vec<bool>,
    /// What is counted of a task stands together: each is met at random.
    counts: Vec<Counts>,
}

#[derive(Clone, Copy)]
struct Counts {
    /// Inputs that have not run; the task is ready at 0.
    missing: u32,
    /// Users that have not run, one more where the output is kept; it is dropped at 0.
    uses: u32,
    /// The exclusive or of the users that have not run, so that the last one is known without a search.
    rest: u32,
}

impl<'a> Progress<'a> {
    /// Nothing has run.
    pub(crate) fn new(links: &'a Links) -> Self {
        let n = links.len() as u32;
        let counts = |task| {
            let users = links.users(task);
            Counts {
                missing: links.inputs(task).len() as u32,
                uses: users.len() as u32 + u32::from(links.kept[task as usize]),
                rest: users.iter().fold(0, |all, user| all ^ user),
            }
        };
        Progress { links, order: Vec::with_capacity(n as usize), done: vec![false; n as usize], counts: (0..n).map(counts).collect() }
    }

    /// How many inputs of a task have not run.
    pub(crate) fn missing(&self, task: u32) -> u32 {
        self.counts[task as usize].missing
    }

    /// Whether a task can run now.
    pub(crate) fn ready(&self, task: u32) -> bool {
        !self.done[task as usize] && self.missing(task) == 0
    }

    /// By how much memory grows when a task runs: its output less the inputs it is the last to use.
    pub(crate) fn growth(&self, task: u32) -> i64 {
        let stays = self.counts[task as usize].uses > 0;
        let mut growth = if stays { self.links.out[task as usize] as i64 } else { 0 };
        for input in self.links.inputs(task) {
            if self.counts[*input as usize].uses == 1 {
                growth -= self.links.out[*input as usize] as i64;
            }
        }
        growth
    }

    /// Notes that a task has run.
    pub(crate) fn run(&mut self, task: u32) {
        self.order.push(task);
        self.done[task as usize] = true;
        for input in self.links.inputs(task) {
            let counts = &mut self.counts[*input as usize];
            counts.uses -= 1;
            counts.rest ^= task;
        }
        for user in self.links.users(task) {
            self.counts[*user as usize].missing -= 1;
        }
    }

    /// The only user of `input` that has not run, where there is just one and the output is not kept.
    pub(crate) fn last_user(&self, input: u32) -> Option<u32> {
        let counts = &self.counts[input as usize];
        let last = counts.uses == 1 && !self.links.kept[input as usize];
        last.then_some(counts.rest)
    }
}
