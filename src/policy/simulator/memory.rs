//! What a simulated run has booked: buffers, and memory that waits to be used again, as an arena keeps it.

use rustc_hash::FxHashMap;
use std::collections::VecDeque;

/// Smaller buffers are parts of slabs, which do not wait.
const LEAST: u64 = 16 << 10;

/// So many buffers wait at most.
const MOST: usize = 1024;

/// What an arena has booked, and may come to, beside the buffers in use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spare {
    /// The bytes that wait at most to be used again; 0 where nobody asks for what is booked.
    pub(crate) most_waiting: u64,
    /// The bytes that wait from before.
    pub(crate) waiting: u64,
    /// The bytes of the slab that a buffer of so many bytes is a part of.
    pub(crate) slab: fn(u64) -> Option<u64>,
}

impl Default for Spare {
    fn default() -> Self {
        Spare { most_waiting: 0, waiting: 0, slab: |_| None }
    }
}

/// The slabs of one size of buffers.
#[derive(Default)]
struct Slabs {
    parts: u64,
    slabs: u64,
}

/// Counts buffers as they come and go.
#[derive(Default)]
pub(super) struct Memory {
    live: u64,
    /// The sizes of what waits to be used again, the longest waiting first.
    waiting: VecDeque<u64>,
    waiting_bytes: u64,
    /// What has waited since before the run, in sizes that nobody knows.
    before: u64,
    spare: Spare,
    peak: u64,
    slabs: FxHashMap<u64, Slabs>,
    /// What slabs hold beside the buffers in them.
    slack: u64,
    /// The loads under way, and the most bytes that one of the run's is put together from.
    loads: u64,
    stage: u64,
    most_beside: u64,
}

impl Memory {
    /// Memory with `live` bytes in use.
    pub(super) fn new(spare: Spare, live: u64) -> Self {
        let before = spare.waiting;
        Memory { live, before, spare, peak: live + before, ..Memory::default() }
    }

    /// The most bytes that were booked at a time.
    pub(super) fn peak(&self) -> u64 {
        self.peak
    }

    /// The most bytes at a time that slabs hold beside the buffers in them, and that loads are put together from.
    pub(super) fn most_beside(&self) -> u64 {
        self.most_beside
    }

    /// A load begins that is put together from `stage` bytes; at most `at_once` are under way.
    pub(super) fn begin_load(&mut self, stage: u64, at_once: u64) {
        self.loads += 1;
        self.stage = self.stage.max(stage);
        self.most_beside = self.most_beside.max(self.slack + self.stage * self.loads.min(at_once));
    }

    /// A load has ended.
    pub(super) fn end_load(&mut self) {
        self.loads -= 1;
    }

    /// A part of a slab is taken.
    fn take_part(&mut self, bytes: u64, slab: u64) {
        let of_size = self.slabs.entry(bytes).or_default();
        if of_size.parts == of_size.slabs * (slab / bytes) {
            of_size.slabs += 1;
            self.slack += slab;
        }
        of_size.parts += 1;
        self.slack -= bytes;
        self.most_beside = self.most_beside.max(self.slack);
    }

    /// A part of a slab is given back.
    fn give_part(&mut self, bytes: u64, slab: u64) {
        // What was there before the run is in slabs that are counted already.
        let Some(of_size) = self.slabs.get_mut(&bytes) else { return };
        if of_size.parts == 0 {
            return;
        }
        of_size.parts -= 1;
        self.slack += bytes;
        let each = slab / bytes;
        let empty = match of_size.parts {
            0 => of_size.slabs,
            // Those in use are spread, so that no slab is empty as soon as its parts would find room in others.
            parts => u64::from(parts + each / 2 < (of_size.slabs - 1) * each),
        };
        of_size.slabs -= empty;
        self.slack -= empty * slab;
    }

    /// A task takes so many bytes beside its output.
    pub(super) fn take_scratch(&mut self, bytes: u64) {
        self.count(bytes);
    }

    /// It gives them back.
    pub(super) fn give_scratch(&mut self, bytes: u64) {
        self.discount(bytes);
    }

    /// A chunk's buffer is made.
    pub(super) fn take(&mut self, bytes: u64) {
        if let Some(slab) = (self.spare.slab)(bytes) {
            self.take_part(bytes, slab);
        }
        self.count(bytes);
    }

    /// A chunk's buffer is given back.
    pub(super) fn give(&mut self, bytes: u64) {
        if let Some(slab) = (self.spare.slab)(bytes) {
            self.give_part(bytes, slab);
        }
        self.discount(bytes);
    }

    /// Memory is taken: what waits, where that is of its size or at most an eighth larger.
    fn count(&mut self, bytes: u64) {
        self.live += bytes;
        if let Some(at) = self.waiting.iter().rposition(|size| *size >= bytes && size - bytes <= bytes / 8) {
            self.waiting_bytes -= self.waiting.remove(at).unwrap_or(0);
        }
        self.peak = self.peak.max(self.live + self.waiting_bytes + self.before);
    }

    /// Memory is given back.
    fn discount(&mut self, bytes: u64) {
        self.live -= bytes;
        if !(LEAST..=self.spare.most_waiting).contains(&bytes) {
            return;
        }
        self.waiting.push_back(bytes);
        self.waiting_bytes += bytes;
        let over = (self.waiting_bytes + self.before).saturating_sub(self.spare.most_waiting);
        self.before -= over.min(self.before);
        while self.waiting_bytes + self.before > self.spare.most_waiting || self.waiting.len() > MOST {
            self.waiting_bytes -= self.waiting.pop_front().unwrap_or(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_is_booked_until_it_is_used_or_pushed_out() {
        const MIB: u64 = 1 << 20;
        let mut memory = Memory::new(Spare { most_waiting: 4 * MIB, waiting: 2 * MIB, ..Spare::default() }, MIB);
        memory.take(3 * MIB);
        assert_eq!(memory.peak(), 6 * MIB);
        memory.give(3 * MIB);
        // Three wait, and one from before.
        memory.take(2 * MIB);
        assert_eq!(memory.peak(), 7 * MIB);
        memory.take(3 * MIB);
        assert_eq!((memory.peak(), memory.live, memory.waiting_bytes), (7 * MIB, 6 * MIB, 0));
        memory.give(6 * MIB);
        assert_eq!((memory.live, memory.waiting_bytes, memory.before), (0, 0, MIB), "too large to wait");
    }

    #[test]
    fn slabs_hold_more_than_the_buffers_in_them_until_they_are_empty() {
        const SIZE: u64 = 12 << 10;
        const SLAB: u64 = 128 << 10;
        let mut memory = Memory::new(Spare { slab: |bytes| (bytes < LEAST).then_some(SLAB), ..Spare::default() }, 0);
        let each = SLAB / SIZE;
        (0..each).for_each(|_| memory.take(SIZE));
        assert_eq!((memory.slack, memory.most_beside()), (SLAB % SIZE, SLAB - SIZE));
        (0..each + 1).for_each(|_| memory.take(SIZE));
        assert_eq!(memory.slabs[&SIZE].slabs, 3);
        (0..each).for_each(|_| memory.give(SIZE));
        assert_eq!(memory.slabs[&SIZE].slabs, 2);
        (0..each + 1).for_each(|_| memory.give(SIZE));
        assert_eq!((memory.slack, memory.live, memory.peak()), (0, 0, (2 * each + 1) * SIZE));
        // This has pages of its own.
        memory.take(LEAST);
        assert_eq!(memory.slack, 0);
    }

    #[test]
    fn loads_are_put_together_from_something() {
        let mut memory = Memory::new(Spare::default(), 0);
        [1000, 10, 10].into_iter().for_each(|stage| memory.begin_load(stage, 2));
        assert_eq!(memory.most_beside(), 2000, "of two at once");
        (0..3).for_each(|_| memory.end_load());
    }
}
