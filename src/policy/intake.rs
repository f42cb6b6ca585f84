//! Intake: a batch of tasks becomes columns of the machine.
//!
//! ```text
//!   batch      inputs of each task  --once each-->  inputs     users of each chunk, sorted: its next uses
//!              sizes, classes       ------------->  out, scratch, state, flags
//!   kept from before: their lists of users are written anew, the new ones after those that are left
//! ```

use super::machine::{State, flag};
use super::run::{Run, RunId, Span};
use super::{Batch, Class, Policy};
use std::borrow::Cow;

impl Policy {
    /// Adds a run. Its tasks come after all that are there already.
    ///
    /// The caller has made sure that the largest need of the batch is within the bound.
    pub(crate) fn extend(&mut self, batch: &Batch) -> RunId {
        self.begin(batch, Cow::Borrowed(&batch.out))
    }

    /// As [`Policy::extend`], of a batch that nobody needs any more.
    pub(crate) fn extend_with(&mut self, mut batch: Batch) -> RunId {
        let out = std::mem::take(&mut batch.out);
        self.begin(&batch, Cow::Owned(out))
    }

    fn begin(&mut self, batch: &Batch, out: Cow<'_, [u64]>) -> RunId {
        let id = self.next_run;
        self.next_run += 1;
        self.follow(batch, self.len());
        self.runs.push(Run { id, left: 0, io: 0, cancelled: false, solo: false, over: false });
        self.try_writing_again();
        self.add(id, batch, out);
        self.check_end(id);
        id
    }

    /// A barrier has decided what comes next: adds tasks to a run that is under way, after all that are there already. To be
    /// told before the barrier's task is reported as finished; what the new tasks take from before must be kept until then.
    /// False where the run has ended or is cancelled: nothing is added.
    pub(crate) fn expanded(&mut self, run: RunId, batch: &Batch) -> bool {
        let open = self.runs.iter().any(|r| r.id == run && !r.over && !r.cancelled);
        if open {
            self.leave_course();
            self.add(run, batch, Cow::Borrowed(&batch.out));
        }
        open
    }

    fn add(&mut self, run: RunId, batch: &Batch, out: Cow<'_, [u64]>) {
        let base = self.len();
        let count = out.len();
        self.head = self.head.min(base);
        let edges = self.inputs.len();
        self.input_start.reserve(count);
        self.inputs.reserve(batch.inputs.len());
        // Each input once, in the order given; and how many users each chunk has in this batch.
        let mut seen = vec![u32::MAX; count];
        self.left.resize(base as usize + count, 0);
        let mut kept_users: Vec<(u32, u32)> = Vec::new();
        for task in 0..count {
            let id = base + task as u32;
            let first = self.inputs.len();
            for input in batch.inputs_of(task) {
                if let Some(local) = input.checked_sub(base) {
                    if seen[local as usize] != id {
                        seen[local as usize] = id;
                        self.left[*input as usize] += 1;
                        self.inputs.push(*input);
                    }
                } else if !self.inputs[first..].contains(input) {
                    kept_users.push((*input, id));
                    self.inputs.push(*input);
                }
            }
            self.input_start.push(self.inputs.len() as u32);
        }
        let mut at = self.users.len() as u32;
        drop(seen);
        for uses in &self.left[base as usize..] {
            self.user_start.push(at);
            self.user_end.push(at);
            at += uses;
        }
        self.users.resize(at as usize, 0);
        let booked = out.iter().sum::<u64>();
        match self.out.is_empty() {
            true => self.out = out.into_owned(),
            false => self.out.extend_from_slice(&out),
        }
        if !batch.scratch.is_empty() {
            self.scratch.resize(base as usize, 0);
            self.scratch.extend_from_slice(&batch.scratch);
        }
        self.waits.resize(self.waits.len() + count, 0);
        self.pins.resize(self.pins.len() + count, 0);
        for task in 0..count {
            let id = base + task as u32;
            let source = batch.class[task] == Class::Source;
            self.state.push(if source { State::Absent } else { State::Waiting });
            self.flags.push(if source { flag::CLEAN | flag::SOURCE } else { 0 });
            let mut waits = 0;
            for at in self.inputs_range(id) {
                let input = self.inputs[at];
                if input >= base {
                    let end = &mut self.user_end[input as usize];
                    self.users[*end as usize] = id;
                    *end += 1;
                }
                waits += u32::from(!self.is_computed(input));
            }
            self.waits[id as usize] = waits;
        }
        debug_assert!(self.inputs.len() >= edges);
        for task in &batch.keep {
            self.add_claim(base + task);
        }
        for task in &batch.will_spill {
            self.flags[(base + task) as usize] |= flag::WILL_SPILL;
        }
        self.grow_sets();
        self.add_users_of_kept(kept_users);
        let mut tasks = 0;
        for id in base..base + count as u32 {
            if self.state[id as usize] == State::Waiting {
                tasks += 1;
                if self.waits[id as usize] == 0 {
                    self.ready.insert(id);
                }
            }
        }
        self.total += booked + batch.scratch.iter().copied().max().unwrap_or(0) * u64::from(2 * self.workers + self.io_threads);
        self.spans.push(Span { from: base, to: base + count as u32, run });
        if let Some(run) = self.runs.iter_mut().find(|r| r.id == run) {
            run.left += tasks;
        }
        self.update_pressure();
        self.advance_head();
    }

    /// Chunks from before get further users, all of them later than those they have.
    fn add_users_of_kept(&mut self, mut pairs: Vec<(u32, u32)>) {
        pairs.sort_unstable();
        for group in pairs.chunk_by(|a, b| a.0 == b.0) {
            let Some((chunk, _)) = group.first().copied() else { continue };
            let at = self.users.len() as u32;
            self.users.extend_from_within(self.user_start[chunk as usize] as usize..self.user_end[chunk as usize] as usize);
            self.users.extend(group.iter().map(|(_, user)| *user));
            self.user_start[chunk as usize] = at;
            self.user_end[chunk as usize] = self.users.len() as u32;
            self.left[chunk as usize] += group.len() as u32;
            self.index(chunk);
        }
    }
}
