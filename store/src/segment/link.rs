//! Sharing sealed segments with another store.

use super::footer::Trailer;
use super::frame::corrupt;
use super::header::{SegmentHeader, name_of};
use super::segments::{PART, Segments};
use super::shared::{Commit, Shared};
use crate::format::{BLOCK_BYTES, TRAILER_BYTES};
use crate::io::Open;
use crate::{Error, ErrorKind, Result};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

impl Segments {
    /// Takes over segments of another store, whose segments are in the folder `other`, and whose manifest says `commits` of them:
    /// by hard links, or copies where the disk is another one. They are there to stay after the next commit. Gives those that are
    /// not sealed there, so that they cannot be shared; their frames can be copied ([`Segments::copy_from`]).
    ///
    /// # Errors
    /// Corrupt where a segment is not what the manifest says; disk full; those of the operating system. What was taken over before
    /// stays.
    pub(crate) fn link_from(&self, other: &Path, commits: &[Commit]) -> Result<Vec<u64>> {
        self.0.writable()?;
        for commit in commits.iter().filter(|commit| commit.sealed) {
            if !self.0.known.read().contains_key(&commit.segment) {
                self.link(&other.join(name_of(commit.segment)), *commit)?;
            }
        }
        let known = self.0.known.read();
        Ok(commits.iter().map(|commit| commit.segment).filter(|id| !known.contains_key(id)).collect())
    }

    fn link(&self, from: &Path, commit: Commit) -> Result<()> {
        let inner = &self.0;
        let Commit { segment: id, len, .. } = commit;
        let file = inner.backend.open(from, Open::Read)?;
        let mut block = [0; BLOCK_BYTES];
        file.read_at(0, &mut block)?;
        let header = SegmentHeader::decode(&block).map_err(|e| e.at(from).offset(0))?;
        if header.id != id || file.len()? != len {
            let message = format!("this is the segment {:016x}, of {} bytes; the manifest has {len}", header.id, file.len()?);
            return Err(corrupt(message).at(from));
        }
        let at = len.saturating_sub(TRAILER_BYTES as u64);
        let mut trailer = [0; TRAILER_BYTES];
        file.read_at(at, &mut trailer)?;
        Trailer::decode(&trailer, len).map_err(|e| e.at(from).offset(at))?;
        let before = inner.disk_bytes.fetch_add(len, Relaxed);
        let shared = inner.check_quota(before, len).and_then(|()| Shared::new(id, 0, len, false, inner.arena.ledger()));
        let taken = shared.and_then(|shared| {
            self.take(from, &inner.path_of(id), &*file, len)?;
            Ok(Arc::new(shared))
        });
        let shared = taken.inspect_err(|_| {
            inner.disk_bytes.fetch_sub(len, Relaxed);
        })?;
        inner.names_changed.store(true, Relaxed);
        shared.sealed(len);
        inner.known.write().insert(id, Arc::clone(&shared));
        inner.open.lock().insert(id, shared);
        Ok(())
    }

    /// Links a file, or copies it where it cannot be linked.
    fn take(&self, from: &Path, to: &Path, file: &dyn crate::io::BackendFile, len: u64) -> Result<()> {
        let inner = &self.0;
        // One that is there already is of an attempt that was not committed.
        if inner.backend.exists(to)? {
            inner.backend.remove(to)?;
        }
        match inner.backend.hard_link(from, to) {
            Err(e) if e.kind() == ErrorKind::Unsupported => {}
            other => return other,
        }
        let part = to.with_extension(PART);
        if inner.backend.exists(&part)? {
            inner.backend.remove(&part)?;
        }
        let copied = inner.backend.open(&part, Open::New).and_then(|copy| {
            copy.allocate(len)?;
            inner.staging.with(|staging| {
                let (_, memory) = staging.parts();
                let mut at = 0;
                while at < len {
                    let now = (len - at).min(memory.len() as u64) as usize;
                    let bytes = memory.get_mut(..now).unwrap_or_default();
                    file.read_at(at, bytes)?;
                    copy.write_at(at, bytes)?;
                    at += now as u64;
                }
                copy.sync()
            })
        });
        copied.and_then(|()| inner.backend.rename(&part, to)).inspect_err(|_| {
            inner.backend.remove(&part).ok();
        })
    }
}

impl super::segments::Inner {
    /// Refuses what passes the quota.
    pub(super) fn check_quota(&self, before: u64, more: u64) -> Result<()> {
        match self.options.quota.filter(|quota| before.saturating_add(more) > *quota) {
            None => Ok(()),
            Some(quota) => {
                let message = format!("the quota of {quota} bytes has no room for {more} more");
                Err(Error::new(ErrorKind::DiskFull, message).at(&self.folder))
            }
        }
    }
}
