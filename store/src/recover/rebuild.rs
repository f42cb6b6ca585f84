//! Finding the datasets, and their chunks, that are sound.

use super::damage::Damage;
use super::survey::{Found, MISSING, Survey};
use crate::manifest::{Description, Entry};
use crate::saved::{Gone, check_name, each_key};
use crate::segment::{Copier, FrameInfo, FrameKind, Place, Segments, Table, TableBuilder};
use crate::{Booking, Bytes, Chunk, ErrorKind, Result};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a key and its place take in memory, about.
const KEY_BYTES: u64 = 112;

/// A dataset after the repair.
pub(super) struct Rebuilt {
    pub(super) entry: Entry,
    pub(super) gone: Vec<Damage>,
    pub(super) changed: bool,
}

/// The datasets as they were described last, and the number of the last commit that is known of.
pub(super) fn newest_descriptions(source: &Segments, survey: &Survey) -> Result<(Vec<Entry>, u64)> {
    let mut newest: FxHashMap<u64, Description> = FxHashMap::default();
    let mut last = 0;
    for (segment, frames) in &survey.frames {
        for found in frames.iter().filter(|found| found.is_sound() && found.is(FrameKind::Dataset)) {
            let place = found.place(*segment);
            let Chunk::Bytes(Bytes(bytes)) = source.read(place)? else { continue };
            let Ok(description) = Description::decode(&bytes) else { continue };
            last = last.max(description.sequence);
            // A commit that had to be tried again described the dataset twice, the same way but for places.
            match newest.get(&description.entry.id) {
                Some(known) if known.sequence >= description.sequence => {}
                _ => drop(newest.insert(description.entry.id, description)),
            }
        }
    }
    let mut living: Vec<Description> = newest.into_values().filter(|description| !description.removed).collect();
    living.sort_by_key(|description| (std::cmp::Reverse(description.sequence), description.entry.id));
    let mut named: BTreeMap<String, Entry> = BTreeMap::new();
    for Description { mut entry, .. } in living {
        if named.contains_key(&entry.name) {
            let long = format!("recovered/{}-{:016x}", entry.name, entry.id);
            entry.name = if check_name(&long).is_ok() { long } else { format!("recovered/{:016x}", entry.id) };
        }
        named.insert(entry.name.clone(), entry);
    }
    Ok((named.into_values().collect(), last))
}

/// Appends the description of a dataset.
pub(super) fn describe(target: &Segments, sequence: u64, entry: &Entry) -> Result<()> {
    let bytes = Description { sequence, removed: false, entry: entry.clone() }.encode();
    let mut buffer = target.arena().alloc(bytes.len())?;
    buffer.copy_from_slice(&bytes);
    let info = FrameInfo { kind: FrameKind::Dataset, dataset: entry.id, key: entry.name.as_bytes() };
    target.append(info, &Chunk::Bytes(Bytes(buffer.freeze())), entry.id).map(|_| ())
}

/// Gives a dataset other tables, where it needs them: its sound chunks, those in damaged segments copied to `target`.
pub(super) fn rebuild(
    source: &Segments,
    target: &Segments,
    survey: &mut Survey,
    damaged: &FxHashSet<u64>,
    entry: &Entry,
    all: &[Entry],
    moved: &mut FxHashMap<Place, Place>,
) -> Result<Rebuilt> {
    let mut gone = Vec::new();
    // The tables from the newest to the oldest, and how many of the newest are without a gap.
    let (mut tables, mut newer, mut whole) = (Vec::new(), 0, true);
    for place in entry.tables.iter().rev() {
        let table = if survey.want(*place) { Some(Table::open(source, *place)) } else { None };
        match table.transpose() {
            // A passing failure is no damage.
            Err(error) if matches!(error.kind(), ErrorKind::Io | ErrorKind::OutOfMemory) => return Err(error),
            Ok(Some(table)) => {
                tables.push(Arc::new(table));
                newer += usize::from(whole);
            }
            _ => {
                whole = false;
                let mut damage = lost(source, survey, entry, None, *place);
                damage.problem = format!("a table is damaged, and chunks are looked for by their frames: {}", damage.problem);
                gone.push(damage);
            }
        }
    }
    let mut keep = whole && entry.tables.iter().all(|place| !damaged.contains(&place.segment));
    let mut chunks: BTreeMap<Vec<u8>, Place> = BTreeMap::new();
    let mut booking = target.arena().ledger().book(0)?;
    let walked = each_key(source, &tables, |key, place| {
        match survey.want(place) {
            true => {
                keep &= !damaged.contains(&place.segment);
                booking.grow(KEY_BYTES + key.len() as u64)?;
                chunks.insert(key.to_vec(), place);
            }
            false => {
                keep = false;
                gone.push(lost(source, survey, entry, Some(key.to_vec()), place));
            }
        }
        Ok(())
    });
    if let Err(error) = walked.as_ref().map_err(|error| error.copy())
        && matches!(error.kind(), ErrorKind::Io | ErrorKind::OutOfMemory)
    {
        return Err(error);
    }
    if keep && walked.is_ok() {
        return Ok(Rebuilt { entry: entry.clone(), gone, changed: false });
    }
    if !whole || walked.is_err() {
        let missing = salvage(source, survey, entry, all, tables.get(..newer).unwrap_or_default(), &mut chunks, &mut booking)?;
        gone.extend(missing);
        gone.retain(|damage| damage.key.as_ref().is_none_or(|key| !chunks.contains_key(key)));
        let named = gone.iter().filter(|damage| damage.key.is_some()).count() as u64;
        let unnamed = entry.chunks.saturating_sub(chunks.len() as u64 + named);
        if let Some(damage) = gone.iter_mut().find(|damage| damage.key.is_none() && unnamed > 0) {
            damage.problem = format!("{unnamed} of {} chunks are gone; {}", entry.chunks, damage.problem);
        }
    }
    let mut known = Gone::of(&entry.meta);
    gone.iter().filter_map(|damage| damage.key.as_ref()).for_each(|key| known.add(key));
    let named = gone.iter().filter(|damage| damage.key.is_some()).count() as u64;
    known.others += entry.chunks.saturating_sub(chunks.len() as u64 + named);
    let meta = if known.is_empty() { entry.meta.clone() } else { known.write(&entry.meta) };
    let mut after = Entry { meta, tables: Vec::new(), chunks: 0, bytes: 0, stored: 0, ..entry.clone() };
    let mut table = TableBuilder::new(target.arena().ledger())?;
    let mut copier = Copier::new(source, target)?;
    for (key, place) in chunks {
        let to = match (damaged.contains(&place.segment), moved.get(&place)) {
            (false, _) => place,
            (true, Some(copy)) => *copy,
            (true, None) => {
                let copy = copier.copy(place)?;
                moved.insert(place, copy);
                copy
            }
        };
        after.chunks += 1;
        after.stored += to.len;
        after.bytes += survey.payload_len(source, place)?;
        table.put(&key, to)?;
    }
    if !table.is_empty() {
        after.tables.push(table.write(target, entry.id)?);
    }
    Ok(Rebuilt { entry: after, gone, changed: true })
}

/// Adds the chunks of a dataset that are found by their frames, unless one of `newer`, the tables behind the damaged one, speaks of
/// their keys. Of several frames with a key, the last that was written counts, as far as that can be told. Gives those that are
/// damaged, with no other in their place.
fn salvage(
    source: &Segments,
    survey: &mut Survey,
    entry: &Entry,
    all: &[Entry],
    newer: &[Arc<Table>],
    chunks: &mut BTreeMap<Vec<u8>, Place>,
    booking: &mut Booking,
) -> Result<Vec<Damage>> {
    // A copy has the frames of the dataset that it was copied from.
    let shares = |other: &&Entry| other.tables.iter().any(|place| entry.tables.contains(place));
    let mut owners: FxHashSet<u64> = all.iter().filter(shares).map(|other| other.id).collect();
    owners.insert(entry.id);
    owners.extend(chunks.values().filter_map(|place| survey.at(*place).copied().map(|found| survey.dataset_of(&found))));
    let survey = &*survey;
    let ours = |found: &&Found| found.is_sound() && found.is(FrameKind::Chunk) && owners.contains(&survey.dataset_of(found));
    let mut segments: Vec<u64> = survey.frames.keys().copied().collect();
    segments.sort_unstable();
    for segment in segments {
        let found: Vec<Place> = survey.frames.get(&segment).into_iter().flatten().filter(ours).map(|found| found.place(segment)).collect();
        for place in found {
            let key = source.read_header(place)?.key.to_vec();
            let spoken_of = speaks_of(newer, &key)?;
            let later = |there: &Place| there.segment == place.segment && there.offset < place.offset;
            if !spoken_of && chunks.get(&key).is_none_or(later) {
                booking.grow(KEY_BYTES + key.len() as u64)?;
                chunks.insert(key, place);
            }
        }
    }
    let mut missing = Vec::new();
    for flaw in &survey.flaws {
        let Some((_, key)) = flaw.frame.as_ref().filter(|(id, _)| owners.contains(id)) else { continue };
        let place = Place { segment: flaw.segment, offset: flaw.offset, len: 0 };
        let is_chunk = survey
            .frames
            .get(&flaw.segment)
            .into_iter()
            .flatten()
            .any(|found| found.offset() == place.offset && found.is(FrameKind::Chunk));
        if is_chunk && !chunks.contains_key(key) && !speaks_of(newer, key)? {
            let (file, problem) = (flaw.file.clone(), flaw.problem.clone());
            missing.push(Damage { dataset: Some(entry.name.clone()), key: Some(key.clone()), file, offset: flaw.offset, problem });
        }
    }
    Ok(missing)
}

/// Whether any of `tables` says something of a key.
fn speaks_of(tables: &[Arc<Table>], key: &[u8]) -> Result<bool> {
    tables.iter().try_fold(false, |known, table| Ok(known || table.get(key)?.is_some()))
}

fn lost(source: &Segments, survey: &mut Survey, entry: &Entry, key: Option<Vec<u8>>, place: Place) -> Damage {
    let found = survey.problem(place).map(|flaw| (flaw.offset, flaw.problem.clone()));
    let (offset, problem) = match found {
        Some(found) => found,
        None if survey.is_missing(place.segment) => (place.offset, MISSING.to_owned()),
        None => (place.offset, "the frame is not there".to_owned()),
    };
    Damage { dataset: Some(entry.name.clone()), key, file: source.path_of(place.segment), offset, problem }
}
