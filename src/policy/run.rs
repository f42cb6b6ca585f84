//! Runs: the tasks of one `compute`, which end together.

use super::Policy;
use super::machine::{Action, State, flag};

/// The number of a run.
pub(crate) type RunId = u32;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// Every task has run.
    Done,
    /// It was cancelled, and nothing of it is under way any more.
    Cancelled,
}

/// A chunk that is kept from one run to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    /// The bytes it is booked for.
    pub(crate) bytes: u64,
    /// Whether it is in memory.
    pub(crate) resident: bool,
    /// Whether there is a copy that is not in memory.
    pub(crate) clean: bool,
    /// Whether it can be loaded again from where it came from.
    pub(crate) source: bool,
    /// Whether it can be written.
    pub(crate) spillable: bool,
    /// How many claim it.
    pub(crate) claims: u32,
}

/// Tasks `from..to` of a run: those that it began with, or those of an expansion.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) from: u32,
    pub(super) to: u32,
    pub(super) run: RunId,
}

/// A run: the tasks of its spans.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) id: RunId,
    /// Tasks not yet finished; of a cancelled run, tasks that are running.
    pub(super) left: u32,
    /// Loads and writes under way for its chunks.
    pub(super) io: u32,
    pub(super) cancelled: bool,
    /// Only who asks for its tasks by its number gets them.
    pub(super) solo: bool,
    /// Its end has been reported.
    pub(super) over: bool,
}

impl Policy {
    /// The tasks that were added together with task or chunk `id`.
    fn span_of(&self, id: u32) -> Option<Span> {
        let span = match self.spans.last() {
            Some(last) if last.from <= id => *last,
            _ => *self.spans.get(self.spans.partition_point(|span| span.to <= id))?,
        };
        (span.from..span.to).contains(&id).then_some(span)
    }

    /// The run that task or chunk `id` belongs to.
    pub(super) fn run_of(&mut self, id: u32) -> Option<&mut Run> {
        let span = self.span_of(id)?;
        self.runs.iter_mut().rev().find(|run| run.id == span.run)
    }

    /// Keeps the tasks of a run for who asks for them by its number: see [`Policy::pick`].
    pub(crate) fn make_solo(&mut self, id: RunId) {
        if let Some(run) = self.runs.iter_mut().find(|run| run.id == id && !run.over && !run.solo) {
            run.solo = true;
            self.solo += 1;
        }
    }

    /// Whether the tasks of some run are kept for who asks for them by its number.
    pub(crate) fn has_solo(&self) -> bool {
        self.solo > 0
    }

    /// Whether who asks by a run's number, or by none, gets a task; else the end of the tasks beside it that they do not get either.
    pub(crate) fn gives(&self, task: u32, by: Option<RunId>) -> Result<(), u32> {
        if self.solo == 0 && by.is_none() {
            return Ok(());
        }
        let Some(span) = self.span_of(task) else { return Err(task + 1) };
        let gives = match by {
            Some(run) => span.run == run,
            None => self.runs.iter().rev().any(|run| run.id == span.run && !run.solo),
        };
        if gives { Ok(()) } else { Err(span.to) }
    }

    /// The tasks that take a chunk and have not finished, in order.
    pub(crate) fn users_left(&self, chunk: u32) -> impl Iterator<Item = u32> + '_ {
        let i = chunk as usize;
        let users = match (self.user_start.get(i), self.user_end.get(i)) {
            (Some(start), Some(end)) => self.users.get(*start as usize..*end as usize).unwrap_or_default(),
            _ => &[],
        };
        users.iter().copied().filter(|user| !self.is_computed(*user))
    }

    /// Reports the end of the run of task or chunk `id`, where nothing of it is left.
    pub(super) fn check_end_of(&mut self, id: u32) {
        if let Some(run) = self.run_of(id).map(|run| run.id) {
            self.check_end(run);
        }
    }

    /// Reports the end of a run, where nothing of it is left.
    pub(super) fn check_end(&mut self, id: RunId) {
        let Some(run) = self.runs.iter_mut().rev().find(|run| run.id == id) else { return };
        if run.left == 0 && !run.over && (!run.cancelled || run.io == 0) {
            run.over = true;
            self.solo -= u32::from(run.solo);
            let ended = if run.cancelled { Ended::Cancelled } else { Ended::Done };
            let id = run.id;
            self.actions.push(Action::End(id, ended));
        }
    }

    /// Ends a run early: what has not started never will, what is kept for it goes, and its end is reported when
    /// nothing of it is under way any more.
    pub(crate) fn cancel(&mut self, id: RunId) {
        let Some(run) = self.runs.iter_mut().find(|run| run.id == id && !run.over && !run.cancelled) else { return };
        run.cancelled = true;
        self.leave_course();
        let spans: Vec<Span> = self.spans.iter().copied().filter(|span| span.run == id).collect();
        let mut running = 0;
        for task in spans.iter().flat_map(|span| span.from..span.to) {
            match self.state[task as usize] {
                State::Waiting => {
                    self.ready.remove(task);
                    self.retire(task);
                }
                State::Staged => {
                    self.unbook(task);
                    self.unpin_inputs(task);
                    self.staged -= 1;
                    self.retire(task);
                }
                State::Running => running += 1,
                State::Resident | State::Absent | State::Loading | State::Gone => {}
            }
        }
        self.runnable.retain(|task| !spans.iter().any(|span| (span.from..span.to).contains(task)));
        for chunk in spans.iter().flat_map(|span| span.from..span.to) {
            self.clear(chunk, flag::KEPT);
            self.more_claims.remove(&chunk);
            self.left[chunk as usize] = 0;
            self.release_if_dead(chunk);
        }
        if let Some(run) = self.runs.iter_mut().find(|run| run.id == id) {
            run.left = running;
        }
        self.advance_head();
        self.reindex();
        self.check_end(id);
    }

    /// A task that will never run: its inputs lose a user.
    fn retire(&mut self, task: u32) {
        self.state[task as usize] = State::Gone;
        for at in self.inputs_range(task) {
            let input = self.inputs[at];
            self.lose_user(input);
        }
    }

    /// Claims a chunk once more that somebody claims already; false where nobody does.
    pub(crate) fn claim(&mut self, chunk: u32) -> bool {
        let kept = self.is_kept(chunk);
        if kept {
            self.add_claim(chunk);
        }
        kept
    }

    pub(super) fn add_claim(&mut self, chunk: u32) {
        if self.has(chunk, flag::KEPT) {
            *self.more_claims.entry(chunk).or_default() += 1;
        }
        self.set(chunk, flag::KEPT);
    }

    /// How many claim a chunk.
    pub(super) fn claims(&self, chunk: u32) -> u32 {
        u32::from(self.has(chunk, flag::KEPT)) + self.more_claims.get(&chunk).copied().unwrap_or(0)
    }

    /// Gives up one claim of a chunk, which goes with the last one when its users have finished.
    pub(crate) fn release(&mut self, chunk: u32) {
        match self.more_claims.get_mut(&chunk) {
            Some(1) => _ = self.more_claims.remove(&chunk),
            Some(more) => *more -= 1,
            None => {
                self.clear(chunk, flag::KEPT);
                self.release_if_dead(chunk);
            }
        }
    }

    /// A policy that begins with chunks kept from before, numbered from 0.
    pub(crate) fn with_kept(bound: u64, workers: u32, io_threads: u32, kept: &[Kept]) -> Self {
        let mut policy = Policy::new(bound, workers, io_threads);
        for (number, chunk) in kept.iter().enumerate() {
            if chunk.claims > 1 {
                policy.more_claims.insert(number as u32, chunk.claims - 1);
            }
            policy.input_start.push(0);
            policy.out.push(chunk.bytes);
            policy.state.push(if chunk.resident { State::Resident } else { State::Absent });
            let mark = |condition, flag| if condition { flag } else { 0 };
            let flags = mark(chunk.clean, flag::CLEAN) | mark(chunk.source, flag::SOURCE) | mark(!chunk.spillable, flag::NO_SPILL);
            policy.flags.push(flag::KEPT | flags);
            policy.waits.push(0);
            policy.pins.push(0);
            policy.left.push(0);
            policy.user_start.push(0);
            policy.user_end.push(0);
            policy.total += chunk.bytes;
            if chunk.resident {
                policy.hold(chunk.bytes);
                policy.firm += if chunk.spillable { 0 } else { chunk.bytes };
            }
        }
        policy.grow_sets();
        policy.head = policy.len();
        policy.update_pressure();
        policy
    }

    /// What is known of the chunks that are kept, in the order of their numbers.
    pub(crate) fn kept(&self) -> impl Iterator<Item = (u32, Kept)> + '_ {
        let is_kept = |c: &u32| self.has(*c, flag::KEPT) && matches!(self.state[*c as usize], State::Resident | State::Absent);
        (0..self.len()).filter(is_kept).map(|c| {
            let kept = Kept {
                bytes: self.out[c as usize],
                resident: self.state[c as usize] == State::Resident,
                clean: self.has(c, flag::CLEAN),
                source: self.has(c, flag::SOURCE),
                spillable: !self.has(c, flag::NO_SPILL) || self.unwritten.contains(&c),
                claims: self.claims(c),
            };
            (c, kept)
        })
    }

    /// Whether no run is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.runs.iter().all(|run| run.over) && self.io_under_way == 0
    }

    /// Where no run is under way: forgets everything but the chunks that are kept, which are numbered anew from 0 in
    /// the order of their old numbers. Gives the old numbers.
    pub(crate) fn compact(&mut self) -> Option<Vec<u32>> {
        if !self.is_idle() {
            return None;
        }
        let (kept, chunks): (Vec<u32>, Vec<Kept>) = self.kept().unzip();
        let mut fresh = Policy::with_kept(self.bound, self.workers, self.io_threads, &chunks);
        fresh.next_run = self.next_run;
        fresh.speculative_spill = self.speculative_spill;
        fresh.eviction = self.eviction;
        fresh.actions = std::mem::take(&mut self.actions);
        fresh.peak = self.peak;
        fresh.totals = self.totals;
        *self = fresh;
        Some(kept)
    }
}
