//! Where on disk a run may put what does not fit in memory, and what its shuffles put there.

use super::Key;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Where on disk a run may put what does not fit in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct SpillRoom {
    /// The folder, where the user named one.
    pub(crate) folder: Option<PathBuf>,
    /// The most bytes that the user allows there.
    pub(crate) quota: Option<u64>,
    /// What went through append logs so far.
    pub(crate) shuffles: Arc<Shuffles>,
}

/// The bytes that went through append logs.
#[derive(Debug, Default)]
pub(crate) struct Shuffles {
    bytes: AtomicU64,
    known: Mutex<FxHashMap<Key, u64>>,
}

/// So many logs are remembered.
const REMEMBERED: usize = 4096;

impl Shuffles {
    /// So many bytes went through the log of a key.
    pub(crate) fn note(&self, log: Key, bytes: u64) {
        self.bytes.fetch_add(bytes, Relaxed);
        let mut known = self.known.lock();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(log, bytes);
    }

    /// All of them.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// What went through the log of a key the last time, where that is known.
    pub(crate) fn of(&self, log: Key) -> Option<u64> {
        self.known.lock().get(&log).copied()
    }
}
