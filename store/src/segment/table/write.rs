//! Writing a table from its keys in order.

use super::super::frame::{FrameInfo, FrameKind};
use super::super::place::Place;
use super::super::segments::Segments;
use crate::format::{TABLE_ENTRY_BYTES, TABLE_HEADER_BYTES, TABLE_REMOVED};
use crate::{Error, ErrorKind, Result};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;

/// A key, its hash, and where its frame is; without a place, it was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) hash: u64,
    pub(super) key: SmallVec<[u8; 24]>,
    pub(super) place: Option<Place>,
}

/// An entry as it stands in a table.
pub(super) struct Entry {
    pub(super) hash: u64,
    pub(super) segment: u32,
    pub(super) key_len: u32,
    pub(super) offset: u64,
    pub(super) len: u64,
    pub(super) key_at: u64,
}

impl Entry {
    fn encode(&self, out: &mut [u8]) {
        let (hash, segment, key_len) = (self.hash.to_le_bytes(), self.segment.to_le_bytes(), self.key_len.to_le_bytes());
        let (offset, len, key_at) = (self.offset.to_le_bytes(), self.len.to_le_bytes(), self.key_at.to_le_bytes());
        let bytes = hash.iter().chain(&segment).chain(&key_len).chain(&offset).chain(&len).chain(&key_at);
        out.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    }
}

/// Appends the table of the items that `start` gives, in the order of (hash, key), each key once. It goes through them three times,
/// so that no more is in memory than the segments they name.
pub(super) fn write_table<I>(segments: &Segments, dataset: u64, start: impl Fn() -> Result<I>) -> Result<Place>
where
    I: Iterator<Item = Result<Item>>,
{
    let (mut count, mut key_bytes) = (0u64, 0u64);
    let (mut ids, mut numbers) = (Vec::new(), FxHashMap::default());
    let mut booking = segments.arena().ledger().book(0)?;
    for item in start()? {
        let item = item?;
        count += 1;
        key_bytes += item.key.len() as u64;
        if let Some(place) = item.place
            && !numbers.contains_key(&place.segment)
        {
            booking.grow(64)?;
            numbers.insert(place.segment, ids.len() as u32);
            ids.push(place.segment);
        }
    }
    let mut head = Vec::with_capacity(TABLE_HEADER_BYTES + 8 * ids.len());
    head.extend(count.to_le_bytes());
    head.extend((ids.len() as u32).to_le_bytes());
    head.extend([0; 4]);
    head.extend(ids.iter().flat_map(|id: &u64| id.to_le_bytes()));
    let total = head.len() as u64 + count * TABLE_ENTRY_BYTES as u64 + key_bytes;
    let (mut head, mut entries, mut key_at, mut keys) = (head.as_slice(), start()?, 0u64, start()?);
    let mut waiting: Option<Item> = None;
    let mut entries_left = count;
    let mut source = |out: &mut [u8]| {
        let mut filled = 0;
        if !head.is_empty() {
            let (now, later) = head.split_at(head.len().min(out.len()));
            out.iter_mut().zip(now).for_each(|(to, from)| *to = *from);
            (head, filled) = (later, now.len());
        }
        while let Some(out) = out.get_mut(filled..filled + TABLE_ENTRY_BYTES).filter(|_| head.is_empty() && entries_left > 0) {
            let item = entries.next().ok_or_else(changed)??;
            let (offset, len) = item.place.map_or((0, 0), |place| (place.offset, place.len));
            let segment = match item.place {
                Some(place) => *numbers.get(&place.segment).ok_or_else(changed)?,
                None => TABLE_REMOVED,
            };
            let key_len = item.key.len() as u32;
            Entry { hash: item.hash, segment, key_len, offset, len, key_at }.encode(out);
            key_at += u64::from(key_len);
            filled += TABLE_ENTRY_BYTES;
            entries_left -= 1;
        }
        while head.is_empty() && entries_left == 0 {
            let Some(item) = waiting.take().map(Ok).or_else(|| keys.next()).transpose()? else { break };
            let Some(out) = out.get_mut(filled..filled + item.key.len()) else {
                waiting = Some(item);
                break;
            };
            out.copy_from_slice(&item.key);
            filled += item.key.len();
        }
        Ok(filled)
    };
    segments.append_stream(FrameInfo { kind: FrameKind::Table, dataset, key: &[] }, total, &mut source)
}

fn changed() -> Error {
    Error::new(ErrorKind::Invalid, "a table changed while it was written")
}
