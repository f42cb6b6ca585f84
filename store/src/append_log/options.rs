//! How a log is kept.

use crate::{Arena, Encoding};
use std::path::{Path, PathBuf};

/// How much memory and disk an append log may take, and how it encodes.
///
/// ```
/// use chunkstore_store::LogOptions;
/// let options = LogOptions::new().memory(256 << 20).item_size(8).quota(Some(100 << 30));
/// ```
#[derive(Debug, Clone)]
pub struct LogOptions {
    pub(super) memory: u64,
    pub(super) quota: Option<u64>,
    pub(super) threads: usize,
    pub(super) item_size: usize,
    pub(super) encoding: Option<Encoding>,
    pub(super) arena: Option<Arena>,
    pub(super) folder: Option<PathBuf>,
    /// Whether this is what writes the log anew.
    pub(super) compacting: bool,
}

impl Default for LogOptions {
    fn default() -> Self {
        LogOptions::new()
    }
}

impl LogOptions {
    /// 256 MiB of memory, no quota, one background thread more than there are processors (2 to 4), items of one byte, and the
    /// encoding that pays.
    pub fn new() -> Self {
        let threads = (std::thread::available_parallelism().map_or(2, |n| n.get()) + 1).clamp(2, 4);
        LogOptions { memory: 256 << 20, quota: None, threads, item_size: 1, encoding: None, arena: None, folder: None, compacting: false }
    }

    /// The memory that the log takes, in bytes: the buffer, what threads work on and what is read ahead. At least
    /// [`ByteLog::LEAST_MEMORY`](crate::ByteLog::LEAST_MEMORY).
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory = bytes;
        self
    }

    /// The most bytes that the files of this writer may have together; without one, the disk is the limit.
    pub fn quota(mut self, bytes: Option<u64>) -> Self {
        self.quota = bytes;
        self
    }

    /// The threads that encode and write, read and decode.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.clamp(1, 16);
        self
    }

    /// The bytes of the items that entries consist of: 8 for numbers of 64 bits. Numbers compress by their bytes of equal weight.
    pub fn item_size(mut self, bytes: usize) -> Self {
        self.item_size = if bytes == 0 || bytes > 255 { 1 } else { bytes };
        self
    }

    /// Encodes all blocks in one way; by default what pays is found out.
    pub fn encoding(mut self, encoding: Option<Encoding>) -> Self {
        self.encoding = encoding;
        self
    }

    /// Where memory comes from and is booked; by default an arena of its own with no limit but the log's.
    pub fn arena(mut self, arena: Arena) -> Self {
        self.arena = Some(arena);
        self
    }

    /// The folder in which a temporary log makes its own; by default that for temporary files.
    pub fn folder(mut self, folder: impl AsRef<Path>) -> Self {
        self.folder = Some(folder.as_ref().to_path_buf());
        self
    }
}
