//! Removing segments that nothing leads to.

use super::verify::all_entries;
use crate::manifest::Entry;
use crate::saved::{Change, Inner, Outcome, Store, Swap};
use crate::segment::{FrameKind, Place, Table};
use crate::{Chunk, Error, ErrorKind, Result};
use rustc_hash::{FxHashMap, FxHashSet};
use std::path::PathBuf;

/// What a collection removed, or would remove.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Collected {
    /// The files.
    pub files: Vec<PathBuf>,
    /// Their bytes.
    pub bytes: u64,
}

/// Segments of more bytes than this together are not gone through for descriptions.
const GONE_THROUGH: u64 = 256 << 20;

/// Which segments each table leads to.
pub(super) type LeadsTo = FxHashMap<Place, Vec<u64>>;

impl Store {
    /// Removes the segments that no dataset leads to; with `dry_run`, only says which. Segments that are partly in use are
    /// [`Store::compact`]'s. What open datasets and writers use is left alone.
    ///
    /// # Errors
    /// Those of reading tables and of writing the commit; unusable where the store is open to read only and this is no dry run.
    pub fn gc(&self, dry_run: bool) -> Result<Collected> {
        let inner = self.inner();
        let leads_to = {
            let _layout = inner.layout.read();
            leads_to(inner, &all_entries(inner)?)?
        };
        let mut needed: FxHashSet<u64> = leads_to.values().flatten().copied().collect();
        needed.extend(leads_to.keys().map(|place| place.segment));
        let unneeded =
            || inner.commits().into_iter().filter(|commit| !needed.contains(&commit.segment) && !inner.pins.is_pinned(commit.segment));
        let strays = if inner.manifest.is_none() { inner.segments.strays()? } else { Vec::new() };
        if dry_run {
            return collected(inner, unneeded().map(|commit| commit.segment).chain(strays));
        }
        inner.writable()?;
        if unneeded().next().is_none() {
            return Ok(Collected::default());
        }
        let victims: Vec<u64> = unneeded().map(|commit| commit.segment).collect();
        if unneeded().any(|commit| !commit.sealed) {
            inner.segments.retire()?;
        }
        let sizes: FxHashMap<u64, u64> = victims.iter().map(|segment| Ok((*segment, size(inner, *segment)?))).collect::<Result<_>>()?;
        let dropped = drop_segments(inner, Vec::new(), victims, leads_to, 0)?;
        let files = dropped.iter().map(|segment| inner.segments.path_of(*segment)).collect();
        Ok(Collected { files, bytes: dropped.iter().filter_map(|segment| sizes.get(segment)).sum() })
    }
}

fn size(inner: &Inner, segment: u64) -> Result<u64> {
    Ok(inner.backend.len_of(&inner.segments.path_of(segment))?.unwrap_or(0))
}

fn collected(inner: &Inner, segments: impl Iterator<Item = u64>) -> Result<Collected> {
    let mut collected = Collected::default();
    for segment in segments {
        collected.bytes += size(inner, segment)?;
        collected.files.push(inner.segments.path_of(segment));
    }
    Ok(collected)
}

/// Which segments the tables of the datasets lead to. The layout is locked.
pub(super) fn leads_to(inner: &Inner, entries: &[Entry]) -> Result<LeadsTo> {
    let mut leads_to = LeadsTo::default();
    for place in entries.iter().flat_map(|entry| &entry.tables) {
        if !leads_to.contains_key(place) {
            let table = Table::open(&inner.segments, *place).map_err(|error| inner.explain(error))?;
            leads_to.insert(*place, table.segments().to_vec());
        }
    }
    Ok(leads_to)
}

/// What of `victims` must be said again before they go: the datasets that are described there; tombstones are copied, where a segment that
/// stays may describe what they are of.
fn keep_descriptions(inner: &Inner, victims: &[u64]) -> Result<FxHashSet<u64>> {
    let (mut again, mut tombstones) = (FxHashSet::default(), Vec::new());
    for segment in victims {
        for item in inner.segments.frames(*segment)? {
            // What is damaged describes nothing.
            let Ok((offset, header)) = item else { continue };
            if header.kind != FrameKind::Dataset {
                continue;
            }
            if inner.ask(|index| index.by_id(header.dataset))?.is_some() {
                again.insert(header.dataset);
                continue;
            }
            let place = Place { segment: *segment, offset, len: header.frame_len() };
            let removed = match inner.segments.read(place) {
                Ok(Chunk::Bytes(bytes)) => crate::manifest::Description::decode(&bytes.0).is_ok_and(|description| description.removed),
                _ => false,
            };
            if removed {
                tombstones.push((header.dataset, place));
            }
        }
    }
    if tombstones.is_empty() {
        return Ok(again);
    }
    let described = described_beside(inner, victims)?;
    for (dataset, place) in tombstones {
        if described.as_ref().is_none_or(|described| described.contains(&dataset)) {
            inner.segments.copy(place)?;
        }
    }
    Ok(again)
}

/// The datasets that are described in segments beside `victims`; nothing where these are too large to be gone through, or damaged.
fn described_beside(inner: &Inner, victims: &[u64]) -> Result<Option<FxHashSet<u64>>> {
    let stay: Vec<u64> = inner.commits().into_iter().map(|commit| commit.segment).filter(|id| !victims.contains(id)).collect();
    let mut bytes = 0;
    for segment in &stay {
        bytes += size(inner, *segment)?;
    }
    if bytes > GONE_THROUGH {
        return Ok(None);
    }
    let mut described = FxHashSet::default();
    for segment in stay {
        for item in inner.segments.frames(segment)? {
            match item {
                Ok((_, header)) if header.kind == FrameKind::Dataset => described.insert(header.dataset),
                Ok(_) => continue,
                Err(_) => return Ok(None),
            };
        }
    }
    Ok(Some(described))
}

/// Commits other tables, and drops those of `victims` that nothing needs then; gives the ones that went. `failures` is the number of
/// segments that had failed before the tables and their frames were written.
pub(super) fn drop_segments(
    inner: &Inner,
    swaps: Vec<(u64, Swap)>,
    victims: Vec<u64>,
    leads_to: LeadsTo,
    failures: u64,
) -> Result<Vec<u64>> {
    let describe = keep_descriptions(inner, &victims)?;
    let failures = (!swaps.is_empty()).then_some(failures);
    match inner.commit(Change::Compact { swaps, describe, victims, leads_to }, failures)? {
        Outcome::Dropped(dropped) => Ok(dropped),
        _ => {
            let error = Error::new(ErrorKind::Io, "a segment could not be written meanwhile; nothing was dropped").at(&inner.folder);
            Err(error.hint("all is as it was before; try again"))
        }
    }
}
