//! Group commit: one of those who wait commits for all.
//!
//! ```text
//!   tables, descriptions -> segments synced -> record of the manifest synced -> index -> everybody who waited is told
//! ```
//! A commit is made by whoever comes when nobody else leads. Others who come meanwhile wait, and one of them leads the next
//! commit, for all of them.

use super::inner::Inner;
use super::overlay::Overlay;
use crate::manifest::{Description, Entry, Failure, Manifest};
use crate::segment::{FrameInfo, FrameKind, Place, Table};
use crate::{Bytes, Chunk, Error, ErrorKind, Result};
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::atomic::Ordering::Relaxed;

/// One change of what is saved.
#[derive(Debug)]
pub(crate) enum Change {
    /// A new dataset.
    Put {
        entry: Entry,
        replace: bool,
    },
    /// Other tables in a dataset: `new` in the place of `old`, which stand in a row; behind the last table where `old` is empty.
    Tables {
        id: u64,
        swap: Swap,
        attributes: Option<String>,
    },
    Remove {
        name: String,
    },
    Rename {
        from: String,
        to: String,
        replace: bool,
    },
    /// A dataset with number `id` and the same chunks.
    Copy {
        from: String,
        to: String,
        id: u64,
        replace: bool,
    },
    Attributes {
        name: String,
        attributes: String,
    },
    /// Other tables in several datasets, of those that still have the old ones, other descriptions, and segments that are
    /// dropped unless something needs them.
    Compact {
        swaps: Vec<(u64, Swap)>,
        describe: FxHashSet<u64>,
        victims: Vec<u64>,
        leads_to: FxHashMap<Place, Vec<u64>>,
    },
}

/// Tables that take the place of others, and what that changes in the sums.
#[derive(Debug, Clone, Default)]
pub(crate) struct Swap {
    pub(crate) old: Vec<Place>,
    pub(crate) new: Vec<Place>,
    pub(crate) chunks: i64,
    pub(crate) bytes: i64,
    pub(crate) stored: i64,
}

/// What a change came to.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// It is saved; with the dataset afterwards.
    Done(Option<Entry>),
    /// It is saved, and these segments are dropped.
    Dropped(Vec<u64>),
    /// A segment failed since the places were settled: settle them again.
    Again,
    /// The dataset no longer has the old tables.
    Conflict,
}

/// Those who wait for a commit.
#[derive(Debug, Default)]
pub(super) struct Queue {
    leading: bool,
    next: u64,
    waiting: Vec<Request>,
    done: FxHashMap<u64, Result<Outcome>>,
}

#[derive(Debug)]
struct Request {
    ticket: u64,
    change: Change,
    /// How many segments had failed when the places in it were settled, where there are any.
    failures: Option<u64>,
}

impl Swap {
    /// Makes the swap; nothing is changed where the old tables are not there.
    fn apply(&self, entry: &mut Entry) -> bool {
        let at = match self.old.is_empty() {
            true => Some(entry.tables.len()),
            false => entry.tables.windows(self.old.len()).position(|run| run == self.old),
        };
        let Some(at) = at else { return false };
        entry.tables.splice(at..at + self.old.len(), self.new.iter().copied());
        entry.chunks = entry.chunks.saturating_add_signed(self.chunks);
        entry.bytes = entry.bytes.saturating_add_signed(self.bytes);
        entry.stored = entry.stored.saturating_add_signed(self.stored);
        true
    }
}

impl Inner {
    /// Commits a change whose places are settled, if there are any, and returns once it survives a loss of power.
    ///
    /// # Errors
    /// Exists or not found, by name; disk full, after which it can be tried again; unusable after a failed sync.
    pub(crate) fn commit(&self, change: Change, failures: Option<u64>) -> Result<Outcome> {
        self.writable()?;
        self.check_lock()?;
        let mut queue = self.queue.lock();
        let ticket = queue.next;
        queue.next += 1;
        queue.waiting.push(Request { ticket, change, failures });
        loop {
            if let Some(done) = queue.done.remove(&ticket) {
                return done;
            }
            if queue.leading {
                self.turn.wait(&mut queue);
                continue;
            }
            queue.leading = true;
            let batch = std::mem::take(&mut queue.waiting);
            drop(queue);
            let done = self.commit_batch(batch);
            queue = self.queue.lock();
            queue.leading = false;
            queue.done.extend(done);
            self.turn.notify_all();
        }
    }

    /// As [`Inner::commit`], for changes without places.
    pub(crate) fn commit_entry(&self, change: Change) -> Result<Option<Entry>> {
        match self.commit(change, None)? {
            Outcome::Done(entry) => Ok(entry),
            other => Err(Error::new(ErrorKind::Invalid, format!("a change came to {other:?}"))),
        }
    }

    fn commit_batch(&self, batch: Vec<Request>) -> Vec<(u64, Result<Outcome>)> {
        let mut manifest = match self.writable() {
            Ok(manifest) => manifest.lock(),
            Err(error) => return batch.into_iter().map(|request| (request.ticket, Err(error.copy()))).collect(),
        };
        let (mut done, mut open) = (Vec::new(), batch);
        let mut rebuilt = false;
        loop {
            let failures = self.segments.failures();
            let (fresh, stale): (Vec<_>, Vec<_>) = open.into_iter().partition(|request| request.failures.is_none_or(|at| at == failures));
            done.extend(stale.into_iter().map(|request| (request.ticket, Ok(Outcome::Again))));
            // Who drops segments sees to it that nobody is about to use them.
            let drops = fresh.iter().any(|request| matches!(request.change, Change::Compact { .. }));
            let _layout = drops.then(|| self.layout.write());
            let (mut overlay, mut dropped) = (Overlay::new(&self.index), Vec::new());
            let (mut accepted, mut refused) = (Vec::new(), Vec::new());
            for request in fresh {
                match self.evaluate(&mut overlay, &request.change) {
                    Ok(outcome @ (Outcome::Done(_) | Outcome::Dropped(_))) => {
                        if let Outcome::Dropped(segments) = &outcome {
                            dropped.extend_from_slice(segments);
                        }
                        accepted.push((request, outcome));
                    }
                    other => refused.push((request, other)),
                }
            }
            let index_failed = refused.iter().any(|(_, outcome)| outcome.as_ref().is_err_and(|error| self.index_failed(error)));
            if index_failed && !rebuilt && self.rebuild_index().is_ok() {
                rebuilt = true;
                open = accepted.into_iter().map(|(request, _)| request).chain(refused.into_iter().map(|(request, _)| request)).collect();
                continue;
            }
            done.extend(refused.into_iter().map(|(request, outcome)| (request.ticket, outcome)));
            if accepted.is_empty() {
                return done;
            }
            match self.write(&mut manifest, &overlay, &dropped, failures) {
                Ok(true) => {
                    done.extend(accepted.into_iter().map(|(request, outcome)| (request.ticket, Ok(outcome))));
                    return done;
                }
                Ok(false) => open = accepted.into_iter().map(|(request, _)| request).collect(),
                Err(failure) => {
                    if failure.in_doubt {
                        self.poisoned.store(true, Relaxed);
                    }
                    done.extend(accepted.into_iter().map(|(request, _)| (request.ticket, Err(failure.error.copy()))));
                    return done;
                }
            }
        }
    }

    /// Makes a change in the overlay, or none.
    fn evaluate(&self, overlay: &mut Overlay, change: &Change) -> Result<Outcome> {
        let entry = match change {
            Change::Put { entry, replace } => {
                if !replace {
                    overlay.free(&entry.name)?;
                }
                entry.clone()
            }
            Change::Tables { id, swap, attributes } => {
                let gone = || Error::new(ErrorKind::NotFound, "the dataset was removed or replaced while it was written to");
                let mut entry = overlay.by_id(*id)?.ok_or_else(gone)?;
                if !swap.apply(&mut entry) {
                    return Ok(Outcome::Conflict);
                }
                if let Some(attributes) = attributes {
                    entry.attributes.clone_from(attributes);
                }
                entry
            }
            Change::Remove { name } => {
                let entry = overlay.existing(name)?;
                overlay.remove(name);
                return Ok(Outcome::Done(Some(entry)));
            }
            Change::Rename { from, to, replace } => {
                let entry = overlay.existing(from)?;
                if from != to {
                    if !replace {
                        overlay.free(to)?;
                    }
                    overlay.remove(from);
                }
                Entry { name: to.clone(), ..entry }
            }
            Change::Copy { from, to, id, replace } => {
                let entry = overlay.existing(from)?;
                if !replace {
                    overlay.free(to)?;
                }
                if from == to {
                    return Ok(Outcome::Done(Some(entry)));
                }
                Entry { name: to.clone(), id: *id, ..entry }
            }
            Change::Attributes { name, attributes } => Entry { attributes: attributes.clone(), ..overlay.existing(name)? },
            Change::Compact { swaps, describe, victims, leads_to } => {
                return self.evaluate_compact(overlay, swaps, describe, victims, leads_to);
            }
        };
        overlay.put(entry.clone());
        Ok(Outcome::Done(Some(entry)))
    }

    fn evaluate_compact(
        &self,
        overlay: &mut Overlay,
        swaps: &[(u64, Swap)],
        describe: &FxHashSet<u64>,
        victims: &[u64],
        leads_to: &FxHashMap<Place, Vec<u64>>,
    ) -> Result<Outcome> {
        let mut after: Vec<Entry> = Vec::new();
        for (id, swap) in swaps {
            if let Some(mut entry) = overlay.by_id(*id)?
                && swap.apply(&mut entry)
            {
                after.push(entry);
            }
        }
        for id in describe {
            if !after.iter().any(|entry| entry.id == *id) {
                after.extend(overlay.by_id(*id)?);
            }
        }
        after.into_iter().for_each(|entry| overlay.put(entry));
        let mut needed: FxHashSet<u64> = FxHashSet::default();
        overlay.each(|entry| {
            for place in &entry.tables {
                needed.insert(place.segment);
                match leads_to.get(place) {
                    Some(segments) => needed.extend(segments),
                    None => needed.extend(Table::open(&self.segments, *place)?.segments()),
                }
            }
            Ok(())
        })?;
        let free = |segment: &&u64| !needed.contains(segment) && !self.pins.is_pinned(**segment);
        Ok(Outcome::Dropped(victims.iter().filter(free).copied().collect()))
    }

    /// Writes the commit. False where a segment failed meanwhile, so that all places must be settled again.
    fn write(&self, manifest: &mut Manifest, overlay: &Overlay, dropped: &[u64], failures: u64) -> std::result::Result<bool, Failure> {
        let sequence = manifest.sequence() + 1;
        for entry in overlay.puts() {
            self.describe(sequence, false, entry)?;
        }
        for entry in overlay.removed()? {
            match self.describe(sequence, true, &entry) {
                // The manifest alone must do then: who removes something to make room must not fail for the lack of it.
                Err(error) if error.kind() == ErrorKind::DiskFull => {}
                done => done?,
            }
        }
        let commits = match self.segments.checkpoint(failures) {
            Ok(Some(commits)) => commits,
            Ok(None) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let mut changes = overlay.changes();
        changes.segments = commits.into_iter().filter(|commit| !dropped.contains(&commit.segment)).collect();
        changes.dropped = dropped.to_vec();
        let mut record = Vec::new();
        changes.encode(&mut record);
        let sequence = match manifest.is_sound() {
            true => manifest.append(&record)?,
            false => manifest.rotate(self.state_parts()?, Some(&record))?,
        };
        // From here on the commit is saved, and nothing that fails can be its failure.
        self.segments.acknowledge(&changes.segments);
        for segment in dropped {
            // What is left of a file is removed at the next opening.
            self.segments.remove(*segment).ok();
        }
        if self.index.apply(sequence, &changes).is_err() && self.rebuild_index().is_err() {
            // What is read would be of an older commit.
            self.poisoned.store(true, Relaxed);
        }
        if manifest.is_long()
            && let Ok(state) = self.state_parts()
            && let Err(failure) = manifest.rotate(state, None)
            && failure.in_doubt
        {
            self.poisoned.store(true, Relaxed);
        }
        Ok(true)
    }

    /// Appends the frame from which a dataset is found again where the manifest is lost.
    fn describe(&self, sequence: u64, removed: bool, entry: &Entry) -> Result<()> {
        let bytes = Description { sequence, removed, entry: entry.clone() }.encode();
        let mut buffer = self.arena.alloc(bytes.len())?;
        buffer.copy_from_slice(&bytes);
        let info = FrameInfo { kind: FrameKind::Dataset, dataset: entry.id, key: entry.name.as_bytes() };
        self.segments.append(info, &Chunk::Bytes(Bytes(buffer.freeze())), entry.id).map(|_| ())
    }
}
