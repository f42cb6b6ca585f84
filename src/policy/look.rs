//! What can be asked of the machine: sizes, states and totals.

use super::Policy;
use super::machine::{State, flag};

impl Policy {
    /// The bytes that are booked now.
    #[cfg(test)]
    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    /// The most bytes that were booked at a time since [`Policy::reset_peak`].
    pub(crate) fn peak(&self) -> u64 {
        self.peak
    }

    /// Starts the peak anew.
    pub(crate) fn reset_peak(&mut self) {
        self.peak = self.used;
    }

    /// The bytes a chunk is booked for.
    pub(crate) fn bytes_of(&self, chunk: u32) -> u64 {
        self.out.get(chunk as usize).copied().unwrap_or(0)
    }

    /// The bytes that a task needs at once: its inputs, output and scratch.
    pub(crate) fn need_of(&self, task: u32) -> u64 {
        let inputs = self.inputs_range(task).map(|at| self.bytes_of(self.inputs[at])).sum::<u64>();
        inputs + self.out[task as usize] + self.scratch_of(task)
    }

    /// The part of what is booked that cannot be evicted.
    pub(crate) fn firm(&self) -> u64 {
        self.firm
    }

    /// Whether a chunk can be loaded again from where it came from.
    pub(crate) fn is_source(&self, chunk: u32) -> bool {
        (chunk as usize) < self.flags.len() && self.has(chunk, flag::SOURCE)
    }

    /// The bytes that it keeps within.
    pub(crate) fn bound(&self) -> u64 {
        self.bound
    }

    /// Bytes moved so far: written, read back, read from sources, read from sources again.
    pub(crate) fn totals(&self) -> (u64, u64, u64, u64) {
        (self.totals.written, self.totals.read_back, self.totals.source_read, self.totals.source_reread)
    }

    /// The bytes that a task is booked for beside inputs and output.
    pub(crate) fn scratch_of(&self, task: u32) -> u64 {
        self.scratch.get(task as usize).copied().unwrap_or(0)
    }

    /// Whether somebody claims a chunk, so that it stays when its users have finished.
    pub(crate) fn is_kept(&self, chunk: u32) -> bool {
        (chunk as usize) < self.flags.len() && self.has(chunk, flag::KEPT)
    }

    /// The first task in order whose inputs are computed and that has not started.
    pub(crate) fn next_ready(&self) -> Option<u32> {
        self.runnable.front().copied().or_else(|| self.ready.first())
    }

    /// The first task in order that has not finished.
    pub(crate) fn head(&self) -> Option<u32> {
        (self.head < self.len()).then_some(self.head)
    }

    /// Loads and writes under way.
    pub(crate) fn io_under_way(&self) -> u32 {
        self.io_under_way
    }

    /// Whether a chunk is in memory.
    pub(crate) fn is_resident(&self, chunk: u32) -> bool {
        self.state.get(chunk as usize) == Some(&State::Resident)
    }
}
