//! What scratch has done, and what it holds.

use super::slot::Slot;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What scratch has done since it was opened, and what it holds now. All are bytes but the number of slots.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScratchStats {
    /// Payload that was written.
    pub written: u64,
    /// What of it went to the files: less where it was compressed, more by the rounding to 4096.
    pub written_stored: u64,
    /// Payload that was read back.
    pub read: u64,
    /// What was read from the files for it.
    pub read_stored: u64,
    /// The slots that there are now.
    pub slots: u64,
    /// Their payload.
    pub held: u64,
    /// What they take in the files.
    pub held_stored: u64,
    /// The memory that they take.
    pub index: u64,
    /// The length of the files.
    pub files: u64,
}

#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) written: AtomicU64,
    pub(super) written_stored: AtomicU64,
    pub(super) read: AtomicU64,
    pub(super) read_stored: AtomicU64,
    slots: AtomicU64,
    held: AtomicU64,
    index: AtomicU64,
}

impl Counters {
    pub(super) fn slot_made(&self, slot: &Slot) {
        self.written.fetch_add(slot.nbytes(), Relaxed);
        self.written_stored.fetch_add(slot.stored_bytes(), Relaxed);
        self.slots.fetch_add(1, Relaxed);
        self.held.fetch_add(slot.nbytes(), Relaxed);
        self.index.fetch_add(slot.memory(), Relaxed);
    }

    pub(super) fn slot_dropped(&self, slot: &Slot) {
        self.slots.fetch_sub(1, Relaxed);
        self.held.fetch_sub(slot.nbytes(), Relaxed);
        self.index.fetch_sub(slot.memory(), Relaxed);
    }

    pub(super) fn stats(&self, files: u64, held_stored: u64) -> ScratchStats {
        ScratchStats {
            written: self.written.load(Relaxed),
            written_stored: self.written_stored.load(Relaxed),
            read: self.read.load(Relaxed),
            read_stored: self.read_stored.load(Relaxed),
            slots: self.slots.load(Relaxed),
            held: self.held.load(Relaxed),
            held_stored,
            index: self.index.load(Relaxed),
            files,
        }
    }
}
