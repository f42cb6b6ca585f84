//! Group commit, as far as it concerns segments.
//!
//! ```text
//!   failures() -> settle() each place -> append tables -> checkpoint() -> the manifest's record, synced -> acknowledge()
//!       ^                                                     | None: a segment failed in between
//!       +-----------------------------------------------------+
//! ```

use super::place::Place;
use super::segments::{Inner, Segments};
use super::shared::{Commit, Shared};
use crate::Result;
use crate::io::Open;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

impl Segments {
    /// How many segments failed so far. What is appended to a segment may be lost when a later write to it fails; so, who
    /// commits takes this number first, settles all places, and gives the number to [`Segments::checkpoint`].
    pub(crate) fn failures(&self) -> u64 {
        self.0.failures.load(Relaxed)
    }

    /// The segments that failed, and the bytes of each that are safe all the same. They take no more frames.
    pub(crate) fn failed(&self) -> Vec<(u64, u64)> {
        self.0.failed.lock().iter().map(|failed| (failed.shared.id, failed.shared.state.lock().synced)).collect()
    }

    /// The place of a frame that can be committed: where it is, or a copy elsewhere if its segment failed after it was appended.
    /// A second call makes a second copy.
    ///
    /// # Errors
    /// Corrupt where the frame cannot be read back; those of an append.
    pub(crate) fn settle(&self, place: Place) -> Result<Place> {
        let at_risk = self.failures() > 0 && self.failed().iter().any(|(id, safe)| *id == place.segment && place.end() > *safe);
        if at_risk { self.copy(place) } else { Ok(place) }
    }

    /// Sees to it that all that was appended before survives a loss of power, and gives what the manifest does not know yet.
    /// Nothing where more segments failed than `failures`: settle the places again, and what refers to them.
    ///
    /// # Errors
    /// Disk full, after which all can be tried again; the error of a failed sync, after which nothing more can be written until
    /// the store is opened again.
    pub(crate) fn checkpoint(&self, failures: u64) -> Result<Option<Vec<Commit>>> {
        let inner = &self.0;
        let _one = inner.committing.lock();
        inner.writable()?;
        if self.failures() != failures {
            return Ok(None);
        }
        match inner.small.lock().flush(inner) {
            Err(error) if self.failures() == failures => return Err(error),
            _ => {}
        }
        let open: Vec<Arc<Shared>> = inner.open.lock().values().cloned().collect();
        for shared in &open {
            if let Err(error) = inner.sync(shared) {
                inner.poisoned.store(true, Relaxed);
                return Err(error.hint("open the store again; what was committed is kept"));
            }
        }
        if inner.names_changed.swap(false, Relaxed)
            && let Err(error) = inner.backend.sync_folder(&inner.folder)
        {
            inner.poisoned.store(true, Relaxed);
            return Err(error.hint("open the store again; what was committed is kept"));
        }
        if self.failures() != failures {
            return Ok(None);
        }
        let news = |shared: &Arc<Shared>| {
            let (len, sealed) = shared.state.lock().news()?;
            Some(Commit { segment: shared.id, len, sealed })
        };
        let mut commits: Vec<Commit> = open.iter().filter_map(news).collect();
        commits.sort_by_key(|commit| commit.segment);
        Ok(Some(commits))
    }

    /// Takes note that the manifest knows of `commits`, and that this survives a loss of power.
    pub(crate) fn acknowledge(&self, commits: &[Commit]) {
        for commit in commits {
            let Some(shared) = self.0.known.read().get(&commit.segment).cloned() else { continue };
            let mut state = shared.state.lock();
            state.acknowledged = state.acknowledged.max(commit.len);
            state.sealed_acknowledged |= commit.sealed;
            if state.sealed_acknowledged || (state.failed && state.news().is_none()) {
                state.file = None;
                drop(state);
                self.0.open.lock().remove(&commit.segment);
            }
        }
    }
}

impl Inner {
    /// Syncs what was written to a segment. One that failed is as it was.
    fn sync(&self, shared: &Shared) -> Result<()> {
        let (written, file) = {
            let state = shared.state.lock();
            if state.failed || state.written == state.synced {
                return Ok(());
            }
            (state.written, state.file.clone())
        };
        let file = match file {
            Some(file) => file,
            None => self.backend.open(&self.path_of(shared.id), Open::Existing)?,
        };
        file.sync()?;
        let mut state = shared.state.lock();
        if !state.failed {
            state.synced = state.synced.max(written);
        }
        Ok(())
    }
}
