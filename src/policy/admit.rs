//! Booking: a task starts only if all that it needs is booked, or not at all.

use super::machine::{Action, State, flag};
use super::{Policy, RunId};

/// What came of the attempt to book a task.
enum Admission {
    /// Booked, and everything is in memory.
    Start,
    /// Booked; loads are under way.
    Staged,
    /// No room now.
    Refused,
}

/// How many tasks in order are looked at, beyond those that do not fit, for one that does.
const LOOK_AHEAD: usize = 8;

/// How many tasks in order are looked at for inputs to load, where those before them have theirs.
const FAR_AHEAD: u32 = 64;

impl Policy {
    /// The next task for a worker that has nothing to do; `None` if there is none that may start now.
    ///
    /// Who asks by the number of a solo run gets its tasks only, and who asks by none gets no task of such a run.
    pub(crate) fn pick(&mut self, by: Option<RunId>) -> Option<u32> {
        if self.following.is_some() {
            return self.pick_following(by);
        }
        if let Some(at) = (0..self.runnable.len()).find(|at| self.gives(self.runnable[*at], by).is_ok())
            && let Some(task) = self.runnable.remove(at)
        {
            self.prefetch();
            return Some(self.start_staged(task));
        }
        let most_staged = self.workers + self.io_threads;
        let mut from = 0;
        let (mut refused, mut waiting) = (0, 0);
        while let Some(task) = self.ready.next(from) {
            if let Err(end) = self.gives(task, by) {
                from = end;
                continue;
            }
            let head = task == self.head;
            // What cannot start at once is booked no further ahead than workers and disk need to have something to do; what is first always is.
            if self.staged >= most_staged && !head && self.needs_loads(task) {
                waiting += 1;
                if waiting == LOOK_AHEAD {
                    break;
                }
                from = task + 1;
                continue;
            }
            match self.admit(task, head) {
                Admission::Start => {
                    self.ready.remove(task);
                    self.state[task as usize] = State::Running;
                    self.running += 1;
                    self.prefetch();
                    return Some(task);
                }
                Admission::Staged => {
                    self.ready.remove(task);
                    self.state[task as usize] = State::Staged;
                    self.staged += 1;
                }
                // The room that is being made is the head's.
                Admission::Refused if head => break,
                Admission::Refused => {
                    refused += 1;
                    if refused == LOOK_AHEAD {
                        break;
                    }
                }
            }
            from = task + 1;
        }
        if refused == 0 {
            self.prefetch();
        }
        None
    }

    pub(super) fn needs_loads(&self, task: u32) -> bool {
        self.inputs_range(task).any(|at| matches!(self.state[self.inputs[at] as usize], State::Absent | State::Loading))
    }

    /// Idle input and output time loads what the next tasks in order will take, though they cannot be booked yet: only into
    /// room that is free, and beside all that the head needs. Where the next tasks have their inputs, those after them are looked
    /// at, too: then beside the outputs of all between, so that what is loaded for later is not evicted before.
    fn prefetch(&mut self) {
        if !self.pressure {
            return;
        }
        let (mut task, mut between) = (self.head, 0);
        let near = self.head.saturating_add(LOOK_AHEAD as u32);
        let last = self.head.saturating_add(FAR_AHEAD).min(self.len());
        while task < last && self.io_under_way < self.io_threads {
            if self.state[task as usize] == State::Waiting {
                if task >= near && self.waits[task as usize] > 0 {
                    return;
                }
                for at in self.inputs_range(task) {
                    let input = self.inputs[at];
                    if self.state[input as usize] != State::Absent {
                        continue;
                    }
                    let bytes = self.out[input as usize];
                    let ahead = if task < near { 0 } else { between };
                    if self.used + ahead + bytes <= self.bound && self.firm + bytes + self.unmet_need_of_head() <= self.bound {
                        self.load_ahead(input);
                    } else if task >= near {
                        return;
                    }
                }
                between += self.out[task as usize] + self.scratch_of(task);
            }
            task += 1;
        }
    }

    /// Whether a further worker would find something to do.
    pub(crate) fn has_backlog(&self) -> bool {
        !self.runnable.is_empty() || self.ready.first().is_some()
    }

    /// Tasks that are running.
    pub(crate) fn running(&self) -> u32 {
        self.running
    }

    /// Starts a task whose inputs are in memory, and for whose output and scratch there is room.
    pub(super) fn start_resident(&mut self, task: u32) {
        for at in self.inputs_range(task) {
            self.pin(self.inputs[at]);
        }
        let own = self.out[task as usize] + self.scratch_of(task);
        self.hold(own);
        self.firm += own;
        self.ready.remove(task);
        self.state[task as usize] = State::Running;
        self.running += 1;
    }

    /// Loads a chunk for which there is room.
    pub(super) fn load_ahead(&mut self, chunk: u32) {
        let bytes = self.out[chunk as usize];
        self.hold(bytes);
        self.firm += bytes;
        self.begin_load(chunk);
    }

    fn start_staged(&mut self, task: u32) -> u32 {
        self.staged -= 1;
        self.state[task as usize] = State::Running;
        self.running += 1;
        task
    }

    fn admit(&mut self, task: u32, head: bool) -> Admission {
        let own = self.out[task as usize] + self.scratch_of(task);
        let mut absent = 0;
        // Pinned before victims are chosen, so that no input is a victim; undone on refusal.
        for at in self.inputs_range(task) {
            let input = self.inputs[at];
            self.pin(input);
            if self.state[input as usize] == State::Absent {
                absent += self.out[input as usize];
            }
        }
        let need = own + absent;
        if self.pressure && !self.make_room(task, need, head) {
            self.unpin_inputs(task);
            return Admission::Refused;
        }
        self.hold(need);
        self.firm += need;
        let mut loads = 0;
        for at in self.inputs_range(task) {
            let input = self.inputs[at];
            match self.state[input as usize] {
                State::Absent => {
                    self.begin_load(input);
                    loads += 1;
                }
                State::Loading => loads += 1,
                _ => {}
            }
        }
        if loads == 0 {
            return Admission::Start;
        }
        self.waits[task as usize] = loads;
        Admission::Staged
    }

    /// Whether there are `need` bytes for `task`, whose inputs are pinned; evicts what it may for that.
    fn make_room(&mut self, task: u32, need: u64, head: bool) -> bool {
        if !head {
            let reserve = self.unmet_need_of_head();
            if self.firm + need + reserve > self.bound {
                return false;
            }
        }
        // What was loaded ahead for the very next tasks is not dropped for one after them: it would be loaded again at once.
        let keep = if head { task } else { task.max(self.head.saturating_add(LOOK_AHEAD as u32 - 1)) };
        while self.used + need > self.bound {
            if !self.drop_clean(task, keep) {
                break;
            }
        }
        if self.used + need <= self.bound {
            return true;
        }
        if head || self.speculative_spill {
            while self.used.saturating_sub(self.freeing) + need > self.bound {
                if !self.evict_one() {
                    break;
                }
            }
        }
        self.used + need <= self.bound
    }

    /// What the head would need beside all that cannot be evicted; nothing where it has been booked.
    fn unmet_need_of_head(&self) -> u64 {
        let head = self.head;
        if head >= self.len() || self.state[head as usize] != State::Waiting {
            return 0;
        }
        let own = self.out[head as usize] + self.scratch_of(head);
        let unpinned = |at: usize| {
            let input = self.inputs[at] as usize;
            let held = self.pins[input] > 0 || self.state[input] == State::Loading || self.has(input as u32, flag::NO_SPILL);
            if held { 0 } else { self.out[input] }
        };
        own + self.inputs_range(head).map(unpinned).sum::<u64>()
    }

    fn begin_load(&mut self, chunk: u32) {
        self.state[chunk as usize] = State::Loading;
        self.io_under_way += 1;
        if let Some(run) = self.run_of(chunk) {
            run.io += 1;
        }
        let bytes = self.out[chunk as usize];
        let totals = &mut self.totals;
        match (self.flags[chunk as usize] & flag::SOURCE != 0, self.flags[chunk as usize] & flag::WILL_SPILL != 0) {
            // For a source the mark says that it has been read before.
            (true, false) => totals.source_read += bytes,
            (true, true) => totals.source_reread += bytes,
            (false, _) => totals.read_back += bytes,
        }
        if self.has(chunk, flag::SOURCE) {
            self.set(chunk, flag::WILL_SPILL);
        }
        self.actions.push(Action::Load(chunk));
    }

    fn pin(&mut self, chunk: u32) {
        let pins = &mut self.pins[chunk as usize];
        *pins += 1;
        if *pins == 1 && self.state[chunk as usize] == State::Resident && !self.has(chunk, flag::NO_SPILL) {
            self.firm += self.out[chunk as usize];
        }
    }

    /// Takes a pin off a chunk, which may be evicted from then on.
    pub(super) fn unpin(&mut self, chunk: u32) {
        let pins = &mut self.pins[chunk as usize];
        *pins -= 1;
        if *pins == 0 && self.state[chunk as usize] == State::Resident && !self.has(chunk, flag::NO_SPILL) {
            self.firm -= self.out[chunk as usize];
            self.recency.used(chunk);
            self.index(chunk);
        }
    }

    pub(super) fn unpin_inputs(&mut self, task: u32) {
        for at in self.inputs_range(task) {
            let input = self.inputs[at];
            self.unpin(input);
        }
    }

    /// Ends the booking of a task's output and scratch.
    pub(super) fn unbook(&mut self, task: u32) {
        let own = self.out[task as usize] + self.scratch_of(task);
        self.used -= own;
        self.firm -= own;
    }

    /// Changes what a task is booked for beside inputs and output.
    pub(super) fn set_scratch(&mut self, task: u32, bytes: u64) {
        let at = task as usize;
        if self.scratch.len() <= at {
            self.scratch.resize(at + 1, 0);
        }
        self.scratch[at] = bytes;
    }

    /// A running task asks for more scratch than it was booked for. Granted at once, or not at all.
    pub(crate) fn grow(&mut self, task: u32, more: u64) -> bool {
        if more > self.bound {
            return false;
        }
        self.leave_course();
        self.total += more;
        self.update_pressure();
        while self.used + more > self.bound {
            if !self.drop_clean(task, task) {
                self.total -= more;
                return false;
            }
        }
        self.set_scratch(task, self.scratch_of(task) + more);
        self.firm += more;
        self.hold(more);
        true
    }
}
