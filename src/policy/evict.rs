//! Eviction: what leaves memory when room is needed.
//!
//! Goal: the fewest bytes of input and output. With the order known, the best victim for chunks of equal cost is the one
//! needed furthest in the future (Belady 1966). Costs differ: a clean chunk costs one read, a dirty one a write and a
//! read, so that victims are compared by distance / 1 and distance / 2; the size cancels, since both what is freed and what it
//! costs grow with it (Beckmann et al. 2020 bound what this loses).
//!
//! One bit set a class, keyed by next use, gives the best of each class. Bits are removed lazily: a bit whose
//! task has no evictable input of that class any more is cleared when it is met.

use super::Policy;
use super::machine::{Action, State, flag};

const CLEAN: usize = 0;
const DIRTY: usize = 1;

impl Policy {
    /// The first user of a chunk that has not finished.
    fn next_use(&mut self, chunk: u32) -> Option<u32> {
        let i = chunk as usize;
        while self.user_start[i] < self.user_end[i] {
            let user = self.users[self.user_start[i] as usize];
            if !self.is_computed(user) {
                return Some(user);
            }
            self.user_start[i] += 1;
        }
        None
    }

    fn is_evictable(&self, chunk: u32) -> bool {
        let i = chunk as usize;
        self.state[i] == State::Resident && self.pins[i] == 0 && self.out[i] > 0 && !self.has(chunk, flag::WRITING | flag::NO_SPILL)
    }

    /// Notes where an evictable chunk is to be found.
    pub(super) fn index(&mut self, chunk: u32) {
        if !self.pressure || !self.is_evictable(chunk) {
            return;
        }
        let class = if self.has(chunk, flag::CLEAN) { CLEAN } else { DIRTY };
        match self.next_use(chunk) {
            Some(user) => self.evictable[class].insert(user),
            None => self.unused[class].insert(chunk),
        }
    }

    /// Notes anew where every evictable chunk is to be found.
    pub(super) fn reindex(&mut self) {
        self.evictable.iter_mut().chain(&mut self.unused).for_each(|set| set.clear());
        if self.pressure {
            (0..self.len()).for_each(|chunk| self.index(chunk));
        }
    }

    /// Whether eviction may be needed has changed.
    pub(super) fn update_pressure(&mut self) {
        let pressure = self.total > self.bound;
        if pressure != self.pressure {
            self.pressure = pressure;
            self.reindex();
        }
    }

    /// The evictable chunk of a class that is needed last, and when; chunks without a next use come before all others.
    fn candidate(&mut self, class: usize) -> Option<(u32, u32)> {
        while let Some(chunk) = self.unused[class].last() {
            if self.is_evictable(chunk) && self.has(chunk, flag::CLEAN) == (class == CLEAN) && self.next_use(chunk).is_none() {
                return Some((chunk, u32::MAX));
            }
            self.unused[class].remove(chunk);
        }
        while let Some(user) = self.evictable[class].last() {
            for at in self.inputs_range(user) {
                let chunk = self.inputs[at];
                if self.is_evictable(chunk) && self.has(chunk, flag::CLEAN) == (class == CLEAN) && self.next_use(chunk) == Some(user) {
                    return Some((chunk, user));
                }
            }
            self.evictable[class].remove(user);
        }
        None
    }

    /// Drops, to make room for `task`, the clean chunk that is needed last, if that is after all tasks up to `keep`.
    pub(super) fn drop_clean(&mut self, task: u32, keep: u32) -> bool {
        match self.candidate(CLEAN) {
            Some((chunk, user)) if user > keep && !self.dirty_is_better(task, user) => {
                self.drop_resident(chunk);
                true
            }
            _ => false,
        }
    }

    /// Whether the best dirty chunk is so much further from its use than the clean one that it pays to write it. Only asked
    /// where writing is allowed.
    fn dirty_is_better(&mut self, task: u32, clean: u32) -> bool {
        let may_write = task == self.head || self.speculative_spill;
        let distance = |user: u32| u64::from(user.saturating_sub(self.head));
        let clean = distance(clean);
        let head = self.head;
        may_write && self.candidate(DIRTY).is_some_and(|(_, user)| u64::from(user.saturating_sub(head)) > 2 * clean)
    }

    /// Evicts the best victim: drops it if it is clean, begins to write it if it is dirty.
    pub(super) fn evict_one(&mut self) -> bool {
        let clean = self.candidate(CLEAN);
        let dirty = self.candidate(DIRTY);
        let distance = |user: u32| u64::from(user.saturating_sub(self.head));
        let write = match (clean, dirty) {
            (None, None) => return false,
            (Some(_), None) => false,
            (None, Some(_)) => true,
            (Some((_, clean)), Some((_, dirty))) => distance(dirty) > 2 * distance(clean),
        };
        match (write, clean, dirty) {
            (true, _, Some((chunk, _))) => {
                self.begin_write(chunk);
                self.set(chunk, flag::VICTIM);
                self.freeing += self.out[chunk as usize];
            }
            (false, Some((chunk, _)), _) => self.drop_resident(chunk),
            _ => return false,
        }
        true
    }

    /// Whether more is held than the bound, which has been lowered.
    pub(crate) fn is_over(&self) -> bool {
        self.used > self.bound
    }

    /// After the bound has been lowered: evicts what is held beyond it, as far as nothing needs it now.
    pub(crate) fn trim(&mut self) {
        while self.used.saturating_sub(self.freeing) > self.bound && self.evict_one() {}
    }

    /// Drops the copy in memory of a clean chunk.
    pub(super) fn drop_resident(&mut self, chunk: u32) {
        self.state[chunk as usize] = State::Absent;
        self.used -= self.out[chunk as usize];
        self.actions.push(Action::Drop(chunk));
    }
}
