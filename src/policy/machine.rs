//! The state machine.
//!
//! Tasks are numbered by their place in the order, so that a chunk's list of users, sorted, is also the list of its next
//! uses. A chunk has the number of the task that makes it.
//!
//! ```text
//!             admit              picked              finished
//!   Waiting ---------> Staged ------------> Running ----------> Resident <------- Loading
//!      \_________________________________/^                     |      \            ^
//!          admit, all inputs in memory                evicted   v       \ dead      | admit of a user
//!                                                            Absent -----\----------'
//!                                                               \_________>Gone
//! ```
//!
//! State, and what always holds of it:
//! - `used`: the bytes of resident and loading chunks, and of output and scratch of staged and running tasks. Never above
//!   `bound`, but for what tasks were measured to be larger than they said.
//! - `firm`: the part of `used` that cannot be evicted: pinned or loading chunks, and what staged and running tasks hold.
//! - `pins[c]`: the number of staged and running tasks that take chunk `c`. A pinned chunk is resident or loading.
//! - `left[c]`: the number of users of `c` that have not finished. A computed chunk with none, and not kept, is gone.
//! - `KEPT` of `c`: somebody claims it, beyond its users; `more_claims[c]`: how many more than one do. Each claim is released once.
//! - `waits[t]`: inputs of a waiting task that are not computed; loads that a staged task waits for.
//! - `ready`: the waiting tasks with `waits` 0.
//! - `head`: the first task that has not finished. All before it have, so that it is ready, staged or running.
//! - `evictable[class]`: a superset of the next uses of chunks that are resident, unpinned and not being written.

use super::bitset::Bitset;
use super::course::Following;
use super::evict::{Eviction, Recency};
use super::run::{Ended, Run, RunId, Span};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::VecDeque;

/// What a driver is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Bring this chunk into memory: from where it was spilled, or, for a source, by running its task. Answer with
    /// [`Policy::loaded`].
    Load(u32),
    /// Write this chunk to the spill area, keeping it in memory. Answer with [`Policy::written`].
    Write(u32),
    /// Drop the copy in memory; there is another one.
    Drop(u32),
    /// Drop the chunk, in memory and on disk: nobody needs it any more.
    Forget(u32),
    /// The run has ended.
    End(RunId, Ended),
}

/// What became of a task that a worker has run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finished {
    /// It gave an output of so many bytes.
    Output(u64),
    /// It gave an output of so many bytes that cannot be written, and so is never evicted.
    Object(u64),
    /// It needs so many bytes beside inputs and output, which were not granted; it is to run again with them.
    PutBack(u64),
    /// It failed; its run is to be cancelled.
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum State {
    /// Not started.
    Waiting,
    /// Booked; waits for loads or for a worker.
    Staged,
    /// A worker has it.
    Running,
    /// Computed, and in memory.
    Resident,
    /// Computed, and not in memory: spilled, or a source.
    Absent,
    /// On its way into memory.
    Loading,
    /// Nobody needs it any more, or its run was cancelled before it ran.
    Gone,
}

pub(super) mod flag {
    /// There is a copy that is not in memory.
    pub(in crate::policy) const CLEAN: u8 = 1;
    /// A write is under way.
    pub(in crate::policy) const WRITING: u8 = 2;
    /// To be dropped when the write under way has ended.
    pub(in crate::policy) const VICTIM: u8 = 4;
    /// Stays when its users have finished: somebody claims it.
    pub(in crate::policy) const KEPT: u8 = 8;
    /// Can be loaded again from where it came from.
    pub(in crate::policy) const SOURCE: u8 = 16;
    /// Died while it was being loaded or written.
    pub(in crate::policy) const DOOMED: u8 = 32;
    /// The forecast says that it will be spilled.
    pub(in crate::policy) const WILL_SPILL: u8 = 64;
    /// Cannot be written: an object of the user's, or in `unwritten`.
    pub(in crate::policy) const NO_SPILL: u8 = 128;
}

/// Bytes moved so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Totals {
    pub(super) written: u64,
    pub(super) read_back: u64,
    pub(super) source_read: u64,
    pub(super) source_reread: u64,
}

/// Decides what runs, what is loaded and what is evicted, within a bound: see [the module](self).
pub(crate) struct Policy {
    pub(super) bound: u64,
    pub(super) workers: u32,
    pub(super) io_threads: u32,
    /// Whether a task that is not the head may have chunks written to make room for it.
    pub(super) speculative_spill: bool,
    pub(super) eviction: Eviction,
    pub(super) recency: Recency,

    pub(super) input_start: Vec<u32>,
    pub(super) inputs: Vec<u32>,
    pub(super) out: Vec<u64>,
    /// Shorter where the rest is 0.
    pub(super) scratch: Vec<u64>,
    pub(super) state: Vec<State>,
    pub(super) flags: Vec<u8>,
    pub(super) waits: Vec<u32>,
    pub(super) pins: Vec<u16>,
    pub(super) left: Vec<u32>,
    /// Of the few chunks that several claim: the claims beyond the first.
    pub(super) more_claims: FxHashMap<u32, u32>,
    /// The users of a chunk that may not have finished are `users[user_start..user_end]`, sorted.
    pub(super) user_start: Vec<u32>,
    pub(super) user_end: Vec<u32>,
    pub(super) users: Vec<u32>,

    pub(super) ready: Bitset,
    pub(super) head: u32,
    pub(super) runnable: VecDeque<u32>,
    pub(super) staged: u32,
    pub(super) used: u64,
    pub(super) firm: u64,
    pub(super) peak: u64,
    /// Where the run that is under way is alone and its order fits: then nothing is evicted.
    pub(super) following: Option<Following>,
    /// What everything would take if nothing were ever dropped; while that is within the bound, nothing is evicted.
    pub(super) total: u64,
    pub(super) pressure: bool,
    /// By next use, of clean and of dirty chunks.
    pub(super) evictable: [Bitset; 2],
    /// By number: clean and dirty chunks that have no next use, and are kept.
    pub(super) unused: [Bitset; 2],
    /// Chunks to be written when the disk is idle.
    pub(super) behind: VecDeque<u32>,
    /// The one of them that is being written.
    pub(super) written_behind: Option<u32>,
    /// Chunks whose write has failed; it is tried again in the next run.
    pub(super) unwritten: FxHashSet<u32>,
    /// Bytes that are being written and are to be dropped then.
    pub(super) freeing: u64,
    pub(super) writes: u32,
    pub(super) io_under_way: u32,
    pub(super) running: u32,

    pub(super) spans: Vec<Span>,
    pub(super) runs: Vec<Run>,
    /// Runs under way whose tasks only who asks by their number gets.
    pub(super) solo: u32,
    pub(super) next_run: RunId,
    pub(super) actions: Vec<Action>,
    pub(super) totals: Totals,
}

impl Policy {
    /// A policy that keeps at most `bound` bytes in memory, for `workers` that run tasks and `io_threads` that load and
    /// write.
    pub(crate) fn new(bound: u64, workers: u32, io_threads: u32) -> Self {
        Policy {
            bound,
            workers,
            io_threads,
            speculative_spill: false,
            eviction: Eviction::default(),
            recency: Recency::default(),
            input_start: vec![0],
            inputs: Vec::new(),
            out: Vec::new(),
            scratch: Vec::new(),
            state: Vec::new(),
            flags: Vec::new(),
            waits: Vec::new(),
            pins: Vec::new(),
            left: Vec::new(),
            more_claims: FxHashMap::default(),
            user_start: Vec::new(),
            user_end: Vec::new(),
            users: Vec::new(),
            ready: Bitset::default(),
            head: 0,
            runnable: VecDeque::new(),
            staged: 0,
            used: 0,
            firm: 0,
            peak: 0,
            following: None,
            total: 0,
            pressure: false,
            evictable: Default::default(),
            unused: Default::default(),
            behind: VecDeque::new(),
            written_behind: None,
            unwritten: FxHashSet::default(),
            freeing: 0,
            writes: 0,
            io_under_way: 0,
            running: 0,
            spans: Vec::new(),
            runs: Vec::new(),
            solo: 0,
            next_run: 0,
            actions: Vec::new(),
            totals: Totals::default(),
        }
    }

    /// The number of tasks that it knows; the number that the next batch's first task will have.
    pub(crate) fn len(&self) -> u32 {
        self.out.len() as u32
    }

    /// Whether tasks other than the first in order may have chunks written to make room for them. More work at once
    /// for more bytes written.
    pub(crate) fn set_speculative_spill(&mut self, allowed: bool) {
        self.speculative_spill = allowed;
    }

    /// Changes the bound. Where more is booked than that, tasks start again when enough of it has been evicted.
    pub(crate) fn set_bound(&mut self, bound: u64) {
        self.bound = bound;
        self.keep_course_within(bound);
        self.update_pressure();
    }

    /// Takes the actions decided since the last call.
    pub(crate) fn take_actions(&mut self, into: &mut Vec<Action>) {
        into.append(&mut self.actions);
    }

    pub(super) fn grow_sets(&mut self) {
        let len = self.out.len();
        self.ready.grow(len);
        self.evictable.iter_mut().chain(&mut self.unused).for_each(|set| set.grow(len));
    }

    pub(super) fn inputs_range(&self, task: u32) -> std::ops::Range<usize> {
        self.input_start[task as usize] as usize..self.input_start[task as usize + 1] as usize
    }

    pub(super) fn has(&self, id: u32, flag: u8) -> bool {
        self.flags[id as usize] & flag != 0
    }

    pub(super) fn set(&mut self, id: u32, flag: u8) {
        self.flags[id as usize] |= flag;
    }

    pub(super) fn clear(&mut self, id: u32, flag: u8) {
        self.flags[id as usize] &= !flag;
    }

    pub(super) fn is_computed(&self, id: u32) -> bool {
        matches!(self.state[id as usize], State::Resident | State::Absent | State::Loading | State::Gone)
    }

    pub(super) fn advance_head(&mut self) {
        while self.head < self.len() && self.is_computed(self.head) {
            self.head += 1;
        }
    }

    pub(super) fn hold(&mut self, bytes: u64) {
        self.used += bytes;
        self.peak = self.peak.max(self.used);
    }

    /// A worker has run `task`.
    pub(crate) fn finished(&mut self, task: u32, outcome: Finished) {
        self.running -= 1;
        self.unbook(task);
        let cancelled = self.run_of(task).is_some_and(|run| run.cancelled);
        match outcome {
            Finished::PutBack(scratch) if !cancelled => {
                self.leave_course();
                self.unpin_inputs(task);
                let before = self.scratch_of(task);
                self.set_scratch(task, scratch);
                self.total += scratch.saturating_sub(before);
                self.update_pressure();
                self.state[task as usize] = State::Waiting;
                self.waits[task as usize] = 0;
                self.ready.insert(task);
                return;
            }
            Finished::Output(bytes) | Finished::Object(bytes) if !cancelled => {
                if matches!(outcome, Finished::Object(_)) {
                    self.set(task, flag::NO_SPILL);
                    self.firm += bytes;
                }
                let booked = std::mem::replace(&mut self.out[task as usize], bytes);
                self.total = (self.total + bytes).saturating_sub(booked);
                if bytes > booked {
                    self.update_pressure();
                }
                self.state[task as usize] = State::Resident;
                self.hold(bytes);
            }
            _ => self.state[task as usize] = State::Gone,
        }
        for at in self.inputs_range(task) {
            let input = self.inputs[at];
            self.unpin(input);
            self.lose_user(input);
        }
        if self.state[task as usize] == State::Resident {
            for at in self.user_start[task as usize]..self.user_end[task as usize] {
                let user = self.users[at as usize];
                let waits = &mut self.waits[user as usize];
                *waits -= 1;
                if *waits == 0 {
                    self.ready.insert(user);
                }
            }
            self.release_if_dead(task);
            if self.state[task as usize] == State::Resident {
                self.index(task);
                if self.has(task, flag::WILL_SPILL) {
                    self.behind.push_back(task);
                }
            }
        } else if outcome == Finished::Failed && !cancelled {
            if let Some(run) = self.run_of(task) {
                run.left -= 1;
                let id = run.id;
                self.cancel(id);
            }
            return;
        }
        if let Some(run) = self.run_of(task) {
            run.left -= 1;
            if run.left == 0 {
                self.check_end_of(task);
            }
        }
        self.ran(task);
        self.advance_head();
        self.write_behind();
    }

    /// A user of `chunk` has finished, or never will.
    pub(super) fn lose_user(&mut self, chunk: u32) {
        let left = &mut self.left[chunk as usize];
        *left = left.saturating_sub(1);
        if *left == 0 {
            self.release_if_dead(chunk);
        }
    }

    /// Lets go of a chunk that nobody needs any more.
    pub(super) fn release_if_dead(&mut self, chunk: u32) {
        let i = chunk as usize;
        if self.left[i] > 0 || self.pins[i] > 0 || self.has(chunk, flag::KEPT) {
            return;
        }
        match self.state[i] {
            State::Resident if self.has(chunk, flag::WRITING) => self.set(chunk, flag::DOOMED),
            State::Loading => self.set(chunk, flag::DOOMED),
            State::Resident => {
                self.state[i] = State::Gone;
                self.used -= self.out[i];
                self.firm -= if self.has(chunk, flag::NO_SPILL) { self.out[i] } else { 0 };
                self.unwritten.remove(&chunk);
                self.actions.push(Action::Forget(chunk));
            }
            State::Absent => {
                self.state[i] = State::Gone;
                self.actions.push(Action::Forget(chunk));
            }
            State::Waiting | State::Staged | State::Running | State::Gone => {}
        }
    }
}
