//! What all threads know of one segment.

use crate::io::BackendFile;
use crate::{Booking, Ledger, Result};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a known segment takes in memory, about.
const BYTES: u64 = 256;

/// How far a segment was committed: what the manifest says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Commit {
    /// The segment.
    pub(crate) segment: u64,
    /// The bytes that are there to stay.
    pub(crate) len: u64,
    /// Whether it never changes again.
    pub(crate) sealed: bool,
}

/// What all threads know of one segment.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) id: u64,
    pub(super) state: Mutex<State>,
    /// As in the state, for readers.
    written: AtomicU64,
    _booking: Booking,
}

/// How far a segment is: `acknowledged <= synced <= written`, all of them ends of frames.
#[derive(Debug)]
pub(super) struct State {
    /// All frames before this are in the file.
    pub(super) written: u64,
    /// All before this survives a loss of power.
    pub(super) synced: u64,
    /// All before this is known to the manifest.
    pub(super) acknowledged: u64,
    /// Whether the footer is part of what was written.
    pub(super) sealed: bool,
    /// Whether the manifest knows that it is sealed.
    pub(super) sealed_acknowledged: bool,
    /// Whether a write failed: nothing is ever written or synced again.
    pub(super) failed: bool,
    /// The bytes of the file.
    pub(super) allocated: u64,
    /// The file, for as long as there may be something to sync.
    pub(super) file: Option<Arc<dyn BackendFile>>,
}

impl Shared {
    /// A segment of which `len` bytes are there to stay, in a file of `allocated` bytes.
    pub(super) fn new(id: u64, len: u64, allocated: u64, sealed: bool, ledger: &Ledger) -> Result<Self> {
        let state = State {
            written: len,
            synced: len,
            acknowledged: len,
            sealed,
            sealed_acknowledged: sealed,
            failed: false,
            allocated,
            file: None,
        };
        Ok(Shared { id, state: Mutex::new(state), written: AtomicU64::new(len), _booking: ledger.book(BYTES)? })
    }

    /// Takes note of frames that are in the file now.
    pub(super) fn wrote(&self, end: u64) {
        let mut state = self.state.lock();
        state.written = end;
        self.written.store(end, Ordering::Release);
    }

    /// Takes note of the footer: the segment has its last length.
    pub(super) fn sealed(&self, len: u64) {
        let mut state = self.state.lock();
        state.written = len;
        state.sealed = true;
        self.written.store(len, Ordering::Release);
    }

    /// All frames before this can be read from the file.
    pub(super) fn readable(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }
}

impl State {
    /// What the manifest is to know and does not.
    pub(super) fn news(&self) -> Option<(u64, bool)> {
        let sealed = self.sealed && self.synced == self.written && !self.failed;
        (self.synced != self.acknowledged || sealed != self.sealed_acknowledged).then_some((self.synced, sealed))
    }
}
