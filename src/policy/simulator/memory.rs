//! What a simulated run has booked: buffers, and memory that waits to be used again, as an arena keeps it.

use std::collections::VecDeque;

/// Smaller buffers are parts of slabs, which do not wait.
const LEAST: u64 = 128 << 10;

/// Counts buffers as they come and go.
#[derive(Default)]
pub(super) struct Memory {
    live: u64,
    /// The sizes of what waits to be used again, the longest waiting first.
    waiting: VecDeque<u64>,
    waiting_bytes: u64,
    /// What has waited since before the run, in sizes that nobody knows.
    before: u64,
    most_waiting: u64,
    peak: u64,
}

impl Memory {
    /// Memory of which at most `most_waiting` bytes wait to be used again, with `live` bytes in use and `before` that wait.
    pub(super) fn new(most_waiting: u64, live: u64, before: u64) -> Self {
        Memory { live, before, most_waiting, peak: live + before, ..Memory::default() }
    }

    /// The most bytes that were booked at a time.
    pub(super) fn peak(&self) -> u64 {
        self.peak
    }

    /// A buffer is made, of memory that waits where that is of its size or at most an eighth larger.
    pub(super) fn take(&mut self, bytes: u64) {
        self.live += bytes;
        if let Some(at) = self.waiting.iter().rposition(|size| *size >= bytes && size - bytes <= bytes / 8) {
            self.waiting_bytes -= self.waiting.remove(at).unwrap_or(0);
        }
        self.peak = self.peak.max(self.live + self.waiting_bytes + self.before);
    }

    /// A buffer is given back.
    pub(super) fn give(&mut self, bytes: u64) {
        self.live -= bytes;
        if !(LEAST..=self.most_waiting).contains(&bytes) {
            return;
        }
        self.waiting.push_back(bytes);
        self.waiting_bytes += bytes;
        let over = (self.waiting_bytes + self.before).saturating_sub(self.most_waiting);
        self.before -= over.min(self.before);
        while self.waiting_bytes + self.before > self.most_waiting {
            self.waiting_bytes -= self.waiting.pop_front().unwrap_or(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Memory;

    #[test]
    fn what_waits_is_booked_until_it_is_used_or_pushed_out() {
        const MIB: u64 = 1 << 20;
        let mut memory = Memory::new(4 * MIB, MIB, 2 * MIB);
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
}
