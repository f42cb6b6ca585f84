//! How a chest is kept, and what it has done.

use crate::{Arena, ScratchOptions, ScratchStats};
use std::path::{Path, PathBuf};

/// Where a chest spills to, and with how many threads.
#[derive(Debug, Clone)]
pub struct ChestOptions {
    pub(super) scratch: ScratchOptions,
    pub(super) threads: usize,
    pub(super) arena: Option<Arena>,
}

impl Default for ChestOptions {
    /// Scratch in the folder that `TMPDIR` names, else in `/var/tmp`; two I/O threads.
    fn default() -> Self {
        let var_tmp = PathBuf::from("/var/tmp");
        let named = std::env::var_os("TMPDIR").is_some() || !var_tmp.is_dir();
        Self::in_folder(if named { std::env::temp_dir() } else { var_tmp })
    }
}

impl ChestOptions {
    /// Scratch in a folder of its own inside `folder`; two I/O threads.
    pub fn in_folder(folder: impl AsRef<Path>) -> Self {
        ChestOptions { scratch: ScratchOptions::new(folder), threads: 2, arena: None }
    }

    /// All that can be said of the scratch files; the number of threads in it is not used. Small values are written as they are, so that
    /// one of them can be read alone, unless an encoding is asked for here.
    pub fn scratch(mut self, options: ScratchOptions) -> Self {
        self.scratch = options;
        self
    }

    /// The threads that write and prefetch in the background.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.clamp(1, 16);
        self
    }

    /// Where the memory of packs and of values that are read back comes from; by default an arena with a ledger of its own, whose
    /// limit is the memory of the chest, what its I/O threads need, and 2 MiB.
    pub fn arena(mut self, arena: Arena) -> Self {
        self.arena = Some(arena);
        self
    }
}

/// What a chest holds, and what it has done since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ChestStats {
    /// The keys that there are.
    pub keys: u64,
    /// The bytes of the values in memory now, as they are counted, with those that are being read.
    pub held: u64,
    /// The bytes of the index of the keys, and of what is known of places on disk.
    pub index: u64,
    /// The bytes of values that left the chest while they were pinned, and still are.
    pub lent: u64,
    /// The most that these three have been together.
    pub peak: u64,
    /// Calls of `get` that found their value in memory.
    pub hits: u64,
    /// Calls of `get` that had to read it.
    pub misses: u64,
    /// Values and packs that were read before they were asked for.
    pub prefetched: u64,
    /// Values that left memory.
    pub overflowed: u64,
    /// Small values that were moved because less than half of their pack was alive.
    pub repacked: u64,
    /// The scratch files.
    pub scratch: ScratchStats,
}
