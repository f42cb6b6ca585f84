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
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;

const CLEAN: usize = 0;
const DIRTY: usize = 1;

/// Which chunk leaves memory first. Runs use [`Eviction::Cheapest`]; the others are there to compare it with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Eviction {
    /// The greatest distance to the next use for each byte of input and output.
    #[default]
    Cheapest,
    /// The greatest distance to the next use, whatever it costs.
    Furthest,
    /// The one whose last use is longest ago.
    LeastRecent,
}

impl Eviction {
    /// How many times further the use of a dirty chunk must be than that of a clean one to evict it instead.
    fn dirty_distance(self) -> u64 {
        if self == Eviction::Furthest { 1 } else { 2 }
    }
}

/// When chunks were used last: only kept for [`Eviction::LeastRecent`].
#[derive(Default)]
pub(super) struct Recency {
    clock: u64,
    by_time: BTreeMap<u64, u32>,
    time: FxHashMap<u32, u64>,
}

impl Recency {
    /// A chunk was used: it is the most recent when it is noted next.
    pub(super) fn used(&mut self, chunk: u32) {
        if let Some(time) = self.time.remove(&chunk) {
            self.by_time.remove(&time);
        }
    }

    fn note(&mut self, chunk: u32) {
        if !self.time.contains_key(&chunk) {
            self.clock += 1;
            self.time.insert(chunk, self.clock);
            self.by_time.insert(self.clock, chunk);
        }
    }
}

impl Policy {
    /// Changes which chunk leaves memory first; to be told before there are any.
    pub(crate) fn set_eviction(&mut self, eviction: Eviction) {
        self.eviction = eviction;
    }

    /// The evictable chunk whose last use is longest ago.
    fn least_recent(&mut self) -> Option<u32> {
        while let Some(chunk) = self.recency.by_time.first_key_value().map(|(_, chunk)| *chunk) {
            if self.is_evictable(chunk) {
                return Some(chunk);
            }
            self.recency.used(chunk);
        }
        None
    }

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
        if self.eviction == Eviction::LeastRecent {
            self.recency.note(chunk);
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
        if self.eviction == Eviction::LeastRecent {
            let clean = self.least_recent().filter(|chunk| self.has(*chunk, flag::CLEAN));
            clean.into_iter().for_each(|chunk| self.drop_resident(chunk));
            return clean.is_some();
        }
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
        let (head, times) = (self.head, self.eviction.dirty_distance());
        may_write && self.candidate(DIRTY).is_some_and(|(_, user)| u64::from(user.saturating_sub(head)) > times * clean)
    }

    /// Evicts the best victim: drops it if it is clean, begins to write it if it is dirty.
    pub(super) fn evict_one(&mut self) -> bool {
        let (clean, dirty) = if self.eviction == Eviction::LeastRecent {
            let chunk = self.least_recent().map(|chunk| (chunk, 0));
            let clean = chunk.is_some_and(|(chunk, _)| self.has(chunk, flag::CLEAN));
            if clean { (chunk, None) } else { (None, chunk) }
        } else {
            (self.candidate(CLEAN), self.candidate(DIRTY))
        };
        let times = self.eviction.dirty_distance();
        let head = self.head;
        let distance = |user: u32| u64::from(user.saturating_sub(head));
        // What is being written already can be dropped when that has ended, and costs no more than what is clean.
        if let Some(chunk) = self.written_behind
            && self.state[chunk as usize] == State::Resident
            && self.pins[chunk as usize] == 0
            && !self.has(chunk, flag::VICTIM | flag::DOOMED)
        {
            let next = distance(self.next_use(chunk).unwrap_or(u32::MAX));
            if clean.is_none_or(|(_, clean)| distance(clean) < next) && dirty.is_none_or(|(_, dirty)| distance(dirty) <= times * next) {
                self.set(chunk, flag::VICTIM);
                self.freeing += self.out[chunk as usize];
                return true;
            }
        }
        let write = match (clean, dirty) {
            (None, None) => return false,
            (Some(_), None) => false,
            (None, Some(_)) => true,
            (Some((_, clean)), Some((_, dirty))) => distance(dirty) > times * distance(clean),
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
