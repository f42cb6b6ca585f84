//! Copying what is in use out of segments that are mostly not.
//!
//! ```text
//!   tables -> live bytes of each segment -> victims -> live frames copied -> new tables -> commit -> victims unlinked
//! ```
//! It can be killed anywhere: before the commit the copies are what a dead writer leaves, after it the victims are. It goes in rounds, each
//! of which copies about as much as a segment holds, so that little more room is needed than there was.

use super::gc::{LeadsTo, drop_segments, leads_to};
use super::verify::all_entries;
use crate::manifest::Entry;
use crate::saved::{Inner, Store, Swap, each_key};
use crate::segment::{Copier, FrameKind, Place, Table, merge_mapped};
use crate::{ErrorKind, Result};
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// A segment of which less than this is in use is a victim, if that gives back at least so many bytes: each commit leaves a block that
/// is not full.
const LEAST_LIVE: f64 = 0.75;
const LEAST_DEAD: u64 = 256 << 10;

/// What is remembered of a frame that is copied: where it was, where it is, and its turn.
const MOVED_BYTES: u64 = 144;

/// What a compaction did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Compacted {
    /// The bytes of the segments before.
    pub bytes_before: u64,
    /// The bytes of the segments afterwards.
    pub bytes_after: u64,
    /// The frames that were copied.
    pub copied: u64,
    /// The segments that were removed.
    pub dropped: u64,
}

impl Store {
    /// Gives back the room of what was removed and overwritten: what is in use in segments that are mostly not is copied to new ones, and the
    /// old ones are removed after that is committed. Segments that open datasets and writers use are left alone. It can run beside writers,
    /// and be killed at any time.
    ///
    /// # Errors
    /// Those of reading and writing, and a full disk; all is as it was then, except for what was compacted before. Corrupt where a chunk in
    /// use is damaged: repair the store first.
    pub fn compact(&self) -> Result<Compacted> {
        let inner = self.inner();
        inner.writable()?;
        let mut compacted = Compacted { bytes_before: committed_bytes(inner), ..Compacted::default() };
        let mut tried = FxHashSet::default();
        // What is written to now is looked at only where that pays; from then on it is not written to.
        let candidates: Vec<u64> = inner.commits().iter().map(|commit| commit.segment).collect();
        let open: FxHashSet<u64> = inner.commits().iter().filter(|commit| !commit.sealed).map(|commit| commit.segment).collect();
        if mostly_dead(inner, &candidates)?.iter().any(|(_, segment)| open.contains(segment)) {
            inner.segments.retire()?;
        }
        while round(inner, &candidates, &mut tried, &mut compacted)? {}
        compacted.bytes_after = committed_bytes(inner);
        Ok(compacted)
    }
}

/// One round; false where there is nothing more to do.
fn round(inner: &Arc<Inner>, candidates: &[u64], tried: &mut FxHashSet<u64>, compacted: &mut Compacted) -> Result<bool> {
    let found = mostly_dead(inner, candidates)?.into_iter().filter(|(_, segment)| !tried.contains(segment));
    let mut found: Vec<(u64, u64)> = found.collect();
    // What is copied after this was counted may be lost by a failure that is counted later.
    let failures = inner.segments.failures();
    let (entries, leads_to) = {
        let _layout = inner.layout.read();
        let entries = all_entries(inner)?;
        let leads_to = leads_to(inner, &entries)?;
        (entries, leads_to)
    };
    found.sort_unstable();
    let (mut victims, mut bytes) = (FxHashSet::default(), 0);
    for (live, segment) in found {
        if !victims.is_empty() && bytes + live > inner.segments.segment_bytes() {
            break;
        }
        bytes += live;
        victims.insert(segment);
    }
    if victims.is_empty() {
        return Ok(false);
    }
    tried.extend(&victims);
    // New frames are not dropped before they are committed.
    let mut pinned = inner.pins.none();
    let mut moved = Moved { places: FxHashMap::default(), booking: inner.arena.ledger().book(0)? };
    let mut swaps: Vec<(u64, Swap)> = Vec::new();
    let mut made: FxHashMap<Vec<Place>, Place> = FxHashMap::default();
    for entry in entries.iter() {
        let touched = |place: &Place| {
            victims.contains(&place.segment) || leads_to.get(place).is_some_and(|to| to.iter().any(|s| victims.contains(s)))
        };
        if !entry.tables.iter().any(touched) {
            continue;
        }
        let table = match made.get(&entry.tables) {
            Some(table) => *table,
            None => {
                let table = rewrite(inner, entry, &victims, &mut moved, &mut pinned)?;
                made.insert(entry.tables.clone(), table);
                table
            }
        };
        swaps.push((entry.id, Swap { old: entry.tables.clone(), new: vec![table], ..Swap::default() }));
    }
    compacted.copied += moved.places.len() as u64;
    let victims: Vec<u64> = victims.into_iter().collect();
    match drop_segments(inner, swaps, victims, leads_to_of(&leads_to, &made), failures) {
        Ok(dropped) => compacted.dropped += dropped.len() as u64,
        // A segment that failed is the writers' to deal with; what was copied is dropped with the next round.
        Err(error) if error.kind() == ErrorKind::Io && inner.segments.failures() > 0 && !inner.poisoned.load(Relaxed) => {}
        Err(error) => return Err(error),
    }
    Ok(true)
}

/// The segments that are mostly not in use, with what is in use of each; those that are pinned are left out.
fn mostly_dead(inner: &Inner, candidates: &[u64]) -> Result<Vec<(u64, u64)>> {
    let _layout = inner.layout.read();
    let live = live_bytes(inner, &all_entries(inner)?)?;
    let candidates: FxHashSet<u64> = candidates.iter().copied().collect();
    let mut found = Vec::new();
    for commit in inner.commits() {
        let live = live.get(&commit.segment).copied().unwrap_or(0);
        let dead = |live: u64| (live as f64) < LEAST_LIVE * commit.len as f64 && commit.len.saturating_sub(live) >= LEAST_DEAD;
        if !candidates.contains(&commit.segment) || inner.pins.is_pinned(commit.segment) || !dead(live) {
            continue;
        }
        let live = live + described_bytes(inner, commit.segment)?;
        if dead(live) {
            found.push((live, commit.segment));
        }
    }
    Ok(found)
}

/// The bytes of the descriptions in a segment, of which one is counted for each dataset that there is.
fn described_bytes(inner: &Inner, segment: u64) -> Result<u64> {
    let mut longest: FxHashMap<u64, u64> = FxHashMap::default();
    for item in inner.segments.frames(segment)? {
        let Ok((_, header)) = item else { continue };
        if header.kind == FrameKind::Dataset && inner.ask(|index| index.by_id(header.dataset))?.is_some() {
            let longest = longest.entry(header.dataset).or_insert(0);
            *longest = (*longest).max(header.frame_len());
        }
    }
    Ok(longest.values().sum())
}

/// The bytes of the segments, as far as they are committed.
fn committed_bytes(inner: &Inner) -> u64 {
    inner.commits().iter().map(|commit| commit.len).sum()
}

/// What old tables lead to; new ones are opened to see.
fn leads_to_of(leads_to: &LeadsTo, made: &FxHashMap<Vec<Place>, Place>) -> LeadsTo {
    let replaced: FxHashSet<Place> = made.keys().flatten().copied().collect();
    leads_to.iter().filter(|(place, _)| !replaced.contains(place)).map(|(place, to)| (*place, to.clone())).collect()
}

/// The bytes of each segment that tables lead to, and those of the tables. What several tables lead to is counted for each.
fn live_bytes(inner: &Inner, entries: &[Entry]) -> Result<FxHashMap<u64, u64>> {
    let (mut live, mut seen): (FxHashMap<u64, u64>, FxHashSet<&[Place]>) = Default::default();
    for entry in entries {
        if !seen.insert(&entry.tables) {
            continue;
        }
        for place in &entry.tables {
            *live.entry(place.segment).or_insert(0) += place.len;
        }
        each_key(&inner.segments, &open(inner, entry)?, |_, place| {
            *live.entry(place.segment).or_insert(0) += place.len;
            Ok(())
        })?;
    }
    Ok(live)
}

/// The tables of a dataset, the newest first.
fn open(inner: &Inner, entry: &Entry) -> Result<Vec<Arc<Table>>> {
    entry.tables.iter().rev().map(|place| Ok(Arc::new(Table::open(&inner.segments, *place)?))).collect()
}

/// Where frames went.
struct Moved {
    places: FxHashMap<Place, Place>,
    booking: crate::Booking,
}

/// Copies the frames of a dataset that are in victims, and makes one table of its tables.
fn rewrite(inner: &Inner, entry: &Entry, victims: &FxHashSet<u64>, moved: &mut Moved, pinned: &mut crate::saved::Pinned) -> Result<Place> {
    let _layout = inner.layout.read();
    let tables = open(inner, entry)?;
    let mut places: Vec<Place> = Vec::new();
    each_key(&inner.segments, &tables, |_, place| {
        if victims.contains(&place.segment) && !moved.places.contains_key(&place) {
            moved.booking.grow(MOVED_BYTES)?;
            places.push(place);
        }
        Ok(())
    })?;
    // They are read as they stand, not in the order of keys.
    places.sort_unstable();
    let mut copier = Copier::new(&inner.segments, &inner.segments)?;
    for place in places {
        let copy = copier.copy(place)?;
        pinned.add(copy.segment);
        moved.places.insert(place, copy);
    }
    let oldest_first: Vec<&Table> = tables.iter().rev().map(|table| &**table).collect();
    let to = |place: Place| moved.places.get(&place).copied().unwrap_or(place);
    let table = merge_mapped(&inner.segments, entry.id, &oldest_first, true, &to)?;
    pinned.add(table.segment);
    Ok(table)
}
