//! The catalogue on disk: the only user of sled.
//!
//! What sled holds is derived, so nothing here is ever relied on: a failure of any kind makes the store go on with a catalogue in
//! memory, read from the manifest. sled panics on some damage, so panics are caught here; before it is opened, its files are
//! compared with the stamp of when they were closed.

use super::stamp;
use super::tree::{Batch, Pair, Tree};
use crate::{Booking, Error, ErrorKind, Ledger, Result};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The cache that sled is given.
const CACHE_BYTES: u64 = 1 << 20;

/// What is booked for sled: its cache, two buffers of 512 KiB for its log, and what its pages take beside their bytes.
const BOOKED: u64 = CACHE_BYTES + (3 << 20);

/// How often opening is tried, as sled gives up its lock a little after it was closed; and how long is waited in between.
const ATTEMPTS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(10);

/// A flush is made after this many batches.
const FLUSH_EVERY: u64 = 64;

/// A sled database.
#[derive(Debug)]
pub(super) struct DiskTree {
    /// Taken out when this is dropped.
    db: Option<sled::Db>,
    folder: PathBuf,
    batches: std::sync::atomic::AtomicU64,
    _booking: Booking,
}

fn failed(what: &str, folder: &Path, cause: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Corrupt, format!("the catalogue {what}: {cause}")).at(folder).hint("it can be deleted at any time")
}

/// Runs `work`; its panic becomes an error.
fn guarded<R>(folder: &Path, work: impl FnOnce() -> sled::Result<R>) -> Result<R> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(|error| failed("cannot be used", folder, error)),
        Err(_) => Err(failed("cannot be used", folder, "sled panicked")),
    }
}

impl DiskTree {
    /// Opens the catalogue in `folder`, or an empty one where there is none or it is not as it was closed.
    ///
    /// # Errors
    /// Any error means that there is no catalogue on disk; out of memory where sled's cache cannot be booked.
    pub(super) fn open(folder: &Path, ledger: &Ledger) -> Result<Self> {
        let booking = ledger.book(BOOKED)?;
        if !stamp::take(folder) && folder.exists() {
            std::fs::remove_dir_all(folder).map_err(|e| Error::io("the catalogue cannot be removed", e).at(folder))?;
        }
        let open = || {
            let config = sled::Config::new().path(folder).cache_capacity(CACHE_BYTES).flush_every_ms(None);
            guarded(folder, || config.mode(sled::Mode::LowSpace).open())
        };
        let mut db = open();
        for _ in 1..ATTEMPTS {
            if db.is_ok() {
                break;
            }
            std::thread::sleep(PAUSE);
            db = open();
        }
        Ok(DiskTree { db: Some(db?), folder: folder.to_path_buf(), batches: 0.into(), _booking: booking })
    }

    fn with<R>(&self, work: impl FnOnce(&sled::Db) -> sled::Result<R>) -> Result<R> {
        let db = self.db.as_ref().ok_or_else(|| failed("is closed", &self.folder, "it failed before"))?;
        guarded(&self.folder, || work(db))
    }
}

impl Tree for DiskTree {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.with(|db| Ok(db.get(key)?.map(|value| value.to_vec())))
    }

    fn page(&self, prefix: &[u8], after: Option<&[u8]>, most: usize) -> Result<Vec<Pair>> {
        use std::ops::Bound;
        self.with(|db| {
            let from = after.map_or(Bound::Included(prefix), Bound::Excluded);
            let mut pairs = Vec::new();
            for pair in db.range::<&[u8], _>((from, Bound::Unbounded)).take(most) {
                let (key, value) = pair?;
                if !key.starts_with(prefix) {
                    break;
                }
                pairs.push((key.to_vec(), value.to_vec()));
            }
            Ok(pairs)
        })
    }

    fn apply(&self, batch: Batch) -> Result<()> {
        let mut steps = sled::Batch::default();
        for (key, value) in batch.steps {
            match value {
                Some(value) => steps.insert(key, value),
                None => steps.remove(key),
            }
        }
        self.with(|db| db.apply_batch(steps))?;
        match self.batches.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % FLUSH_EVERY == FLUSH_EVERY - 1 {
            true => self.flush(),
            false => Ok(()),
        }
    }

    fn clear(&self) -> Result<()> {
        self.with(|db| db.clear())
    }

    fn flush(&self) -> Result<()> {
        self.with(|db| db.flush().map(|_| ()))
    }

    fn is_on_disk(&self) -> bool {
        true
    }
}

impl Drop for DiskTree {
    fn drop(&mut self) {
        let flushed = self.flush().is_ok();
        let db = self.db.take();
        let closed = catch_unwind(AssertUnwindSafe(|| drop(db))).is_ok();
        if flushed && closed {
            stamp::put(&self.folder);
        }
    }
}
