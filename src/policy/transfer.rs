//! Transfers: what follows when a load or a write has ended, and writing ahead of need.

use super::Policy;
use super::machine::{Action, State, flag};

impl Policy {
    /// A load has ended. Where it failed, the driver is to cancel the runs of [`Policy::users_left`].
    pub(crate) fn loaded(&mut self, chunk: u32, success: bool) {
        let i = chunk as usize;
        self.io_under_way -= 1;
        if let Some(run) = self.run_of(chunk) {
            run.io -= 1;
        }
        self.state[i] = if success { State::Resident } else { State::Absent };
        if self.pins[i] > 0 {
            self.firm -= if success { 0 } else { self.out[i] };
        } else {
            self.firm -= self.out[i];
        }
        if !success {
            self.used -= self.out[i];
        }
        if self.has(chunk, flag::DOOMED) {
            self.clear(chunk, flag::DOOMED);
            self.release_if_dead(chunk);
        } else if success {
            for at in self.user_start[i]..self.user_end[i] {
                let user = self.users[at as usize];
                if self.state[user as usize] == State::Staged && self.waits[user as usize] > 0 {
                    self.waits[user as usize] -= 1;
                    if self.waits[user as usize] == 0 {
                        self.runnable.push_back(user);
                    }
                }
            }
            self.index(chunk);
        }
        self.check_end_of(chunk);
    }

    /// Whether a chunk that is being loaded or written is to be forgotten when that has ended.
    pub(crate) fn is_doomed(&self, chunk: u32) -> bool {
        self.has(chunk, flag::DOOMED)
    }

    /// A write has ended. Where it failed, the chunk stays in memory, and nobody tries to write it again before the next run begins. The
    /// driver is to cancel the run that the chunk belongs to; other runs may do without what it takes.
    pub(crate) fn written(&mut self, chunk: u32, success: bool) {
        let i = chunk as usize;
        self.io_under_way -= 1;
        self.writes -= 1;
        if let Some(run) = self.run_of(chunk) {
            run.io -= 1;
        }
        let victim = self.has(chunk, flag::VICTIM);
        if victim {
            self.freeing -= self.out[i];
        }
        self.clear(chunk, flag::WRITING | flag::VICTIM);
        self.written_behind = self.written_behind.filter(|written| *written != chunk);
        if success {
            self.set(chunk, flag::CLEAN);
            self.totals.written += self.out[i];
        }
        if self.has(chunk, flag::DOOMED) {
            self.clear(chunk, flag::DOOMED);
            self.release_if_dead(chunk);
        }
        if self.state[i] == State::Resident && !success {
            self.set(chunk, flag::NO_SPILL);
            self.unwritten.insert(chunk);
            // What is pinned is firm already.
            self.firm += if self.pins[i] == 0 { self.out[i] } else { 0 };
        } else if self.state[i] == State::Resident {
            if victim && self.pins[i] == 0 {
                self.drop_resident(chunk);
            } else {
                self.index(chunk);
            }
        }
        self.check_end_of(chunk);
        self.write_behind();
    }

    /// Takes chunks whose write has failed for ones that can be written.
    pub(super) fn try_writing_again(&mut self) {
        for chunk in std::mem::take(&mut self.unwritten) {
            self.clear(chunk, flag::NO_SPILL);
            if self.state[chunk as usize] == State::Resident && self.pins[chunk as usize] == 0 {
                self.firm -= self.out[chunk as usize];
                self.index(chunk);
            }
        }
    }

    /// Starts writing chunks that will be spilled anyway, while the disk has nothing else to write.
    pub(super) fn write_behind(&mut self) {
        while self.writes == 0
            && let Some(chunk) = self.behind.pop_front()
        {
            if self.state[chunk as usize] == State::Resident && !self.has(chunk, flag::CLEAN | flag::WRITING) && self.pressure {
                self.begin_write(chunk);
                self.written_behind = Some(chunk);
            }
        }
    }

    pub(super) fn begin_write(&mut self, chunk: u32) {
        self.set(chunk, flag::WRITING);
        self.writes += 1;
        self.io_under_way += 1;
        if let Some(run) = self.run_of(chunk) {
            run.io += 1;
        }
        self.actions.push(Action::Write(chunk));
    }
}
