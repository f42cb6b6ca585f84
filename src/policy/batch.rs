//! What is given to the policy at a time: tasks in the order in which they are to run.

use super::Within;

/// What a task is to the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// Run by a worker; its output is written before it is evicted.
    Task,
    /// Has no inputs; loaded by the input and output side, dropped without writing, and loaded again.
    Source,
}

/// Tasks in the order in which they are to run. Numbers of inputs are the policy's: the batch's own tasks count from
/// [`super::Policy::len`] on, smaller numbers are chunks that are kept from before.
#[derive(Default, Clone)]
pub(crate) struct Batch {
    /// Where each task's inputs begin in `inputs`; one more entry than tasks.
    pub(crate) input_start: Vec<u32>,
    /// The inputs of all tasks; each smaller than the task's own number.
    pub(crate) inputs: Vec<u32>,
    /// The bytes that each task's output is booked for.
    pub(crate) out: Vec<u64>,
    /// The bytes that each task is booked for beside inputs and output while it runs. Empty means none.
    pub(crate) scratch: Vec<u64>,
    /// What each task is.
    pub(crate) class: Vec<Class>,
    /// Tasks (numbers in the batch) whose output is claimed, and stays until it is released: as often as it is named here.
    pub(crate) keep: Vec<u32>,
    /// Tasks (numbers in the batch) whose output the forecast says will be spilled: written when the disk is idle.
    pub(crate) will_spill: Vec<u32>,
    /// Where the whole order fits: what is in memory along it, and what the run keeps within.
    pub(crate) within: Option<Within>,
}

impl Batch {
    /// The number of tasks.
    pub(crate) fn len(&self) -> usize {
        self.class.len()
    }

    /// The number of those that workers run.
    pub(crate) fn tasks(&self) -> u64 {
        self.class.iter().filter(|class| **class == Class::Task).count() as u64
    }

    /// The inputs of the `task`-th task of the batch.
    pub(crate) fn inputs_of(&self, task: usize) -> &[u32] {
        &self.inputs[self.input_start[task] as usize..self.input_start[task + 1] as usize]
    }

    /// The most bytes that one task needs at once (its inputs, output and scratch), and that task's number in the batch.
    /// `kept` gives the bytes of chunks from before; `base` is the number of the batch's first task.
    pub(crate) fn largest_need(&self, base: u32, kept: impl Fn(u32) -> u64) -> (u64, u32) {
        let bytes = |input: &u32| if *input < base { kept(*input) } else { self.out[(*input - base) as usize] };
        let mut largest = (0, 0);
        let mut once = Vec::new();
        for task in 0..self.len() {
            let inputs = self.inputs_of(task);
            let own = self.out[task] + self.scratch.get(task).copied().unwrap_or(0);
            if inputs.iter().map(bytes).sum::<u64>() + own <= largest.0 {
                continue;
            }
            // An input that is named twice is needed once.
            once.clear();
            once.extend_from_slice(inputs);
            once.sort_unstable();
            once.dedup();
            let need = once.iter().map(bytes).sum::<u64>() + own;
            if need > largest.0 || task == 0 {
                largest = (need, task as u32);
            }
        }
        largest
    }
}
