//! Runs whose order fits: what is in memory follows the order, so that nothing is ever evicted, however fast disk and workers are.
//!
//! Goal: as many tasks and loads at once as a number of bytes allows, and never more bytes.
//!
//! ```text
//!   bytes |------------------------  within: what the run is held to
//!         |        ++++              ahead: started or loaded before its place in the order
//!         |   ++++|    |++
//!         |  |  course    |___       what one worker holds that runs the tasks in order and loads what each takes just then
//!         +------------------------> places in the order
//!             head       task
//! ```
//!
//! What has a place behind the head is extra until the head gets there; from then on the course counts it. So a task may start, or a chunk be loaded for
//! it, where the course from the head to its place has room for it beside all that is ahead already: as in Dijkstra's banker's algorithm
//! (1965) nobody takes what others need to end. It follows that the head can start at any time, and that `used` never exceeds `within`.

use super::machine::State;
use super::{Batch, Class, Kept, Policy, RunId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Places of which the most is known together.
const STRETCH: usize = 64;

/// How many tasks in order are looked at, beyond those that may not start, for one that may.
const LOOK_AHEAD: usize = 8;

/// How many tasks in order are looked at for inputs to load.
const FAR_AHEAD: u32 = 64;

/// No task starts more places before its turn.
const FARTHEST: u32 = 1 << 16;

/// So small loads are over before a worker has asked for the next ones.
const LITTLE: u64 = 1 << 20;

/// The bytes in memory at each place of an order, where one worker runs its tasks in order, each of its inputs is loaded for the first task that
/// takes it, and nothing is evicted.
#[derive(Debug, Default)]
pub(crate) struct Course {
    at: Vec<u64>,
    /// The most of each stretch of places.
    most: Vec<u64>,
    /// What is in memory before it begins.
    before: u64,
}

impl Course {
    /// The course of a batch whose first task has the number of the chunks in `kept`, which are there before.
    pub(crate) fn of(batch: &Batch, kept: &[Kept]) -> Self {
        let (base, count) = (kept.len(), batch.len());
        let before = kept.iter().filter(|kept| kept.resident).map(|kept| kept.bytes).sum();
        // What comes and goes at each place; what goes does so behind it.
        let mut comes = vec![0u64; count];
        let mut goes = vec![0u64; count];
        let mut last: Vec<u32> = vec![u32::MAX; count];
        let mut loaded = vec![false; base + count];
        for place in 0..count {
            let source = batch.class[place] == Class::Source;
            if !source {
                comes[place] += batch.out[place];
                last[place] = place as u32;
            }
            for input in batch.inputs_of(place) {
                let chunk = *input as usize;
                let seen = std::mem::replace(&mut loaded[chunk], true);
                match chunk.checked_sub(base) {
                    Some(local) => {
                        if !seen && batch.class[local] == Class::Source {
                            comes[place] += batch.out[local];
                        }
                        last[local] = place as u32;
                    }
                    // What is kept stays.
                    None if !seen && !kept[chunk].resident => comes[place] += kept[chunk].bytes,
                    None => {}
                }
            }
        }
        batch.keep.iter().for_each(|task| last[*task as usize] = u32::MAX);
        for (task, place) in last.iter().enumerate().filter(|(_, place)| **place != u32::MAX) {
            goes[*place as usize] += batch.out[task];
        }
        let mut held: u64 = before;
        let at: Vec<u64> = (0..count)
            .map(|place| {
                held += comes[place];
                let now = held + batch.scratch.get(place).copied().unwrap_or(0);
                held -= goes[place];
                now
            })
            .collect();
        let most = at.chunks(STRETCH).map(|stretch| stretch.iter().copied().max().unwrap_or(0)).collect();
        Course { at, most, before }
    }

    /// The most bytes at any place.
    pub(crate) fn most(&self) -> u64 {
        self.most.iter().copied().max().unwrap_or(0).max(self.before)
    }

    /// The most bytes at the places `from..to`.
    fn most_in(&self, from: usize, to: usize) -> u64 {
        let to = to.min(self.at.len());
        let (mut place, mut most) = (from, 0);
        while place < to {
            if place.is_multiple_of(STRETCH) && place + STRETCH <= to {
                most = most.max(self.most[place / STRETCH]);
                place += STRETCH;
            } else {
                most = most.max(self.at[place]);
                place += 1;
            }
        }
        most
    }
}

/// A course, and the bytes that a run keeps within.
#[derive(Clone, Debug)]
pub(crate) struct Within {
    pub(crate) course: Arc<Course>,
    pub(crate) bytes: u64,
    /// How many chunks may be loaded ahead; none: as many as there are threads for that.
    pub(crate) loads: Option<u32>,
}

/// A run that follows its course.
#[derive(Debug)]
pub(super) struct Following {
    within: Within,
    /// The number of its first task.
    base: u32,
    /// The bytes of what is started or loaded ahead, by the place from which on the course counts it, and by chunk.
    ahead: BTreeMap<(u32, u32), u64>,
    ahead_bytes: u64,
    /// The chunks that are loaded, or being loaded, for tasks that have not started.
    loads: Vec<u32>,
    /// Chunks that are still to be loaded.
    absent: usize,
}

impl Following {
    /// What was ahead, and is not any more.
    fn advance(&mut self, head: u32) {
        while let Some(first) = self.ahead.first_entry()
            && first.key().0 <= head
        {
            self.ahead_bytes -= first.remove();
        }
    }

    /// What `chunk` has of what is ahead from `place` on is less now.
    fn reduce(&mut self, place: u32, chunk: u32, to: u64) {
        if let Some(bytes) = self.ahead.get_mut(&(place, chunk)) {
            self.ahead_bytes -= *bytes - to.min(*bytes);
            *bytes = to.min(*bytes);
        }
    }

    /// Takes `bytes` for `chunk` that the course counts from `place` on; false where there is no room for them until then.
    fn take(&mut self, head: u32, (place, chunk): (u32, u32), bytes: u64) -> bool {
        if place <= head || bytes == 0 {
            return true;
        }
        if place - head > FARTHEST {
            return false;
        }
        let at = |id: u32| id.saturating_sub(self.base) as usize;
        let fits = self.within.course.most_in(at(head), at(place)) + self.ahead_bytes + bytes <= self.within.bytes;
        if fits {
            self.ahead.insert((place, chunk), bytes);
            self.ahead_bytes += bytes;
        }
        fits
    }
}

impl Policy {
    /// A run begins: it follows its course if it is alone and is as it was planned.
    pub(super) fn follow(&mut self, batch: &Batch, base: u32) {
        let alone = self.runs.iter().all(|run| run.over) && self.io_under_way == 0;
        let planned =
            |within: &&Within| within.course.before == self.used && within.course.at.len() == batch.len() && within.bytes <= self.bound;
        let following = batch.within.as_ref().filter(|_| alone).filter(planned).map(|within| Following {
            within: within.clone(),
            base,
            ahead: BTreeMap::new(),
            ahead_bytes: 0,
            loads: Vec::new(),
            absent: batch.class.iter().filter(|class| **class == Class::Source).count()
                + (0..base).filter(|chunk| self.state[*chunk as usize] == State::Absent).count(),
        });
        self.following = following;
    }

    /// The bound has changed: the run goes on along its course where that is still within it.
    pub(super) fn keep_course_within(&mut self, bound: u64) {
        if self.following.as_ref().is_some_and(|following| following.within.bytes > bound) {
            self.leave_course();
        }
    }

    /// Something is not as it was planned: from now on chunks are evicted where room is needed.
    pub(super) fn leave_course(&mut self) {
        self.following = None;
    }

    /// A task has run: what it held ahead of its place is what is left of its output and of its inputs.
    pub(super) fn ran(&mut self, task: u32) {
        let Some(mut following) = self.following.take() else { return };
        if !following.ahead.is_empty() {
            let gone = |chunk: u32| self.state[chunk as usize] == State::Gone;
            following.reduce(task, task, if gone(task) { 0 } else { self.out[task as usize] });
            for at in self.inputs_range(task) {
                let input = self.inputs[at];
                if gone(input) {
                    following.reduce(task, input, 0);
                }
            }
        }
        self.following = Some(following);
    }

    /// [`Policy::pick`] for a run that follows its course.
    pub(super) fn pick_following(&mut self, by: Option<RunId>) -> Option<u32> {
        let mut following = self.following.take()?;
        following.advance(self.head);
        let picked = self.pick_within(&mut following, by);
        if let Some(task) = picked {
            let range = self.inputs_range(task);
            let inputs = &self.inputs[range];
            following.loads.retain(|chunk| !inputs.contains(chunk));
        }
        self.load_within(&mut following);
        self.following = Some(following);
        picked
    }

    fn pick_within(&mut self, following: &mut Following, by: Option<RunId>) -> Option<u32> {
        let (mut from, mut passed) = (0, 0);
        while let Some(task) = self.ready.next(from) {
            if let Err(end) = self.gives(task, by) {
                from = end;
                continue;
            }
            let own = self.out[task as usize] + self.scratch_of(task);
            if !self.needs_loads(task) && following.take(self.head, (task, task), own) {
                self.start_resident(task);
                return Some(task);
            }
            passed += 1;
            if passed == LOOK_AHEAD {
                return None;
            }
            from = task + 1;
        }
        None
    }

    /// Loads what the head takes, and what the tasks after it will take: as many chunks as keep the disk busy.
    fn load_within(&mut self, following: &mut Following) {
        if following.absent == 0 {
            return;
        }
        let last = self.head.saturating_add(FAR_AHEAD).min(self.len());
        for task in self.head..last {
            if self.state[task as usize] != State::Waiting {
                continue;
            }
            for at in self.inputs_range(task) {
                let chunk = self.inputs[at];
                if self.state[chunk as usize] != State::Absent {
                    continue;
                }
                let bytes = self.out[chunk as usize];
                let most = following.within.loads.unwrap_or(self.io_threads + if bytes < LITTLE { self.workers } else { 0 });
                if task > self.head && (following.loads.len() as u32 >= most || !following.take(self.head, (task, chunk), bytes)) {
                    return;
                }
                following.loads.push(chunk);
                following.absent = following.absent.saturating_sub(1);
                self.load_ahead(chunk);
            }
        }
    }
}

#[cfg(test)]
mod tests;
