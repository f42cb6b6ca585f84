//! How a store is kept.

use super::store::Store;
use crate::io::{Backend, FileBackend};
use crate::{Arena, Encoding, Ledger, Result, memory_limit_of_machine};
use std::path::Path;
use std::sync::Arc;

/// How a store is opened; made by [`Store::options`].
///
/// ```
/// use chunkstore_store::Store;
/// # let temporary = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
/// # let folder = temporary.path().join("store");
/// let store = Store::options().memory(64 << 20).quota(Some(1 << 30)).open(&folder)?;
/// assert!(store.names()?.is_empty());
/// # Ok::<(), chunkstore_store::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct StoreOptions {
    pub(crate) memory: Option<u64>,
    pub(crate) arena: Option<Arena>,
    pub(crate) quota: Option<u64>,
    pub(crate) segment_bytes: u64,
    pub(crate) encoding: Option<Encoding>,
    pub(crate) threads: usize,
    pub(crate) backend: Option<Arc<dyn Backend>>,
    pub(crate) catalogue: bool,
    pub(crate) unfinished: bool,
}

impl Default for StoreOptions {
    fn default() -> Self {
        StoreOptions {
            memory: None,
            arena: None,
            quota: None,
            segment_bytes: 256 << 20,
            encoding: None,
            threads: 2,
            backend: None,
            catalogue: true,
            unfinished: false,
        }
    }
}

impl StoreOptions {
    /// The most bytes of memory that the store and the chunks read from it may take; by default 60 % of what the cgroup or the machine
    /// has. It is not used where an arena is given.
    pub fn memory(mut self, bytes: u64) -> Self {
        self.memory = Some(bytes);
        self
    }

    /// Where chunks that are read are put, and the ledger in which all memory of the store is booked.
    pub fn arena(mut self, arena: Arena) -> Self {
        self.arena = Some(arena);
        self
    }

    /// The most bytes that the segments may have together; without one, the disk is the limit.
    pub fn quota(mut self, bytes: Option<u64>) -> Self {
        self.quota = bytes;
        self
    }

    /// The bytes at which a segment is sealed and another begun; 256 MiB by default, and at least 64 KiB.
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes.max(64 << 10);
        self
    }

    /// Encodes all chunks in one way; by default what pays is found out by probing.
    pub fn encoding(mut self, encoding: Option<Encoding>) -> Self {
        self.encoding = encoding;
        self
    }

    /// How many threads encode and decode at once; for each, staging buffers are booked at the opening. 2 by default.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.clamp(1, 64);
        self
    }

    /// The file system; by default that of the operating system. With another, the catalogue is in memory.
    pub fn backend(mut self, backend: Arc<dyn Backend>) -> Self {
        self.backend = Some(backend);
        self
    }

    /// Whether the index of names is kept on disk (sled), which bounds the memory that many datasets take; on by default. Without
    /// it the index is read from the manifest into memory, which is as good for a few thousand datasets.
    pub fn catalogue(mut self, on_disk: bool) -> Self {
        self.catalogue = on_disk;
        self
    }

    /// Whether [`StoreOptions::repair`] also keeps a last commit of which the segments tell and the manifest does not. Off by default: a writer that
    /// died during a commit leaves just that, and then the commit may be half of one. [`Store::verify`] warns where there is one.
    pub fn keep_unfinished(mut self, keep: bool) -> Self {
        self.unfinished = keep;
        self
    }

    /// Opens the store in `folder` for writing; it is made where there is none. One process at a time can do so.
    ///
    /// # Errors
    /// Locked where it is open for writing already; unusable where the folder cannot be used; corrupt where the manifest is damaged or
    /// missing, with the hint to repair; out of memory where the ledger has no room.
    pub fn open(self, folder: impl AsRef<Path>) -> Result<Store> {
        Store::open_with(folder.as_ref(), self, true)
    }

    /// Opens the store in `folder` to read only. That takes no lock, changes nothing on disk, and works beside a writer: what is
    /// seen is the state after its last commit, until [`Store::refresh`].
    ///
    /// # Errors
    /// Not found where there is no store; else as for [`StoreOptions::open`]. Segments without a manifest are corrupt.
    pub fn open_read_only(self, folder: impl AsRef<Path>) -> Result<Store> {
        Store::open_with(folder.as_ref(), self, false)
    }

    pub(crate) fn make_arena(&self) -> Arena {
        let share = || Arena::new(Ledger::new(self.memory.unwrap_or_else(|| memory_limit_of_machine() / 10 * 6)));
        self.arena.clone().unwrap_or_else(share)
    }

    pub(crate) fn make_backend(&self) -> Arc<dyn Backend> {
        self.backend.clone().unwrap_or_else(|| Arc::new(FileBackend::new()))
    }
}
