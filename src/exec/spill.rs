//! Where evicted chunks go: opened when the first one is written.

use crate::graph::{SpillRoom, patiently};
use crate::{Error, ErrorKind, Result};
use chunkstore_store::io::Backend;
use chunkstore_store::{Arena, Booking, Chunk, Scratch, ScratchOptions, Slot};
use parking_lot::Mutex;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

/// The spill area of an engine. Its buffers are reserved from the start, so that opening it needs no memory that is not there.
pub(crate) struct SpillArea {
    files: Arc<dyn Backend>,
    room: SpillRoom,
    io_threads: usize,
    opening: Mutex<Option<Booking>>,
    scratch: OnceLock<Scratch>,
}

impl SpillArea {
    /// An area on `files`, in `folder` (or the system's folder for large temporary files), whose buffers are booked in `arena`.
    pub(crate) fn new(
        files: Arc<dyn Backend>,
        folder: Option<PathBuf>,
        quota: Option<u64>,
        io_threads: usize,
        arena: &Arena,
    ) -> Result<Self> {
        let reserved = arena.ledger().book(io_threads as u64 * Scratch::staging_bytes())?;
        Ok(SpillArea {
            files,
            room: SpillRoom { folder, quota, ..SpillRoom::default() },
            io_threads,
            opening: Mutex::new(Some(reserved)),
            scratch: OnceLock::new(),
        })
    }

    /// Where on disk it is, for what tasks write there themselves.
    pub(crate) fn room(&self) -> &SpillRoom {
        &self.room
    }

    /// Opens it now, so that what is wrong with the folder is said before anything runs.
    pub(crate) fn open(&self, arena: &Arena) -> Result<&Scratch> {
        if let Some(scratch) = self.scratch.get() {
            return Ok(scratch);
        }
        let mut reserved = self.opening.lock();
        if self.scratch.get().is_none() {
            drop(reserved.take());
            let mut last = None;
            for folder in self.folders() {
                let options = ScratchOptions::new(folder).quota(self.room.quota).threads(self.io_threads);
                match Scratch::open_on(self.files.clone(), options, arena) {
                    Ok(scratch) => {
                        let _ = self.scratch.set(scratch);
                        last = None;
                        break;
                    }
                    Err(error) => last = Some(error),
                }
            }
            if let Some(error) = last {
                *reserved = arena.ledger().book(self.reserved_bytes()).ok();
                return Err(error.into());
            }
        }
        self.scratch.get().ok_or_else(|| Error::new(ErrorKind::Unusable, "no scratch folder"))
    }

    /// The bytes that its buffers are booked for.
    pub(crate) fn reserved_bytes(&self) -> u64 {
        self.io_threads as u64 * Scratch::staging_bytes()
    }

    fn folders(&self) -> Vec<PathBuf> {
        match &self.room.folder {
            Some(folder) => vec![folder.clone()],
            None => vec![std::env::temp_dir(), PathBuf::from("/var/tmp")],
        }
    }

    /// Writes a chunk.
    pub(crate) fn write(&self, arena: &Arena, chunk: &Chunk) -> Result<Slot> {
        Ok(self.open(arena)?.write(chunk)?)
    }

    /// Reads a chunk back.
    pub(crate) fn read(&self, arena: &Arena, slot: &Slot) -> Result<Chunk> {
        let scratch = self.open(arena)?;
        patiently(|| Ok(scratch.read(slot)?))
    }

    /// Bytes written to disk so far, as they are stored.
    pub(crate) fn stored_bytes(&self) -> u64 {
        self.scratch.get().map_or(0, |scratch| scratch.stats().written_stored)
    }
}
