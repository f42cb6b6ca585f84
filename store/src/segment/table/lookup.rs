//! Looking a key up in a table.
//!
//! The hashes are spread evenly, so that a key stands about where its hash says: interpolation search (Peterson 1957) finds
//! its window of 4 KiB in log log n steps, two as a rule.

#![deny(clippy::indexing_slicing)]

use super::super::frame::{FrameKind, corrupt};
use super::super::place::Place;
use super::super::segments::Segments;
use super::cursor::TableIter;
use super::write::Entry;
use crate::codec::Fields;
use crate::format::{TABLE_ENTRY_BYTES, TABLE_HEADER_BYTES, TABLE_REMOVED};
use crate::io::{BackendFile, FileMap};
use crate::{Booking, Buffer, Chunk, Encoding, Error, Result, checksum};
use smallvec::SmallVec;
use std::path::PathBuf;
use std::sync::Arc;

/// The entries that are looked at together.
const WINDOW: usize = 102;
/// After so many windows, halves are taken: the hashes are not spread as they should be.
const INTERPOLATIONS: u32 = 6;
/// Tables in frames up to this length are held in memory.
const HELD_BYTES: u64 = 192 << 10;

/// A table that was written: from keys to the frames that they stand for.
#[derive(Debug)]
pub(crate) struct Table {
    held: Held,
    count: u64,
    /// The segments that entries name by number.
    ids: Vec<u64>,
    entries_at: u64,
    keys_at: u64,
    keys_len: u64,
    /// For errors.
    path: PathBuf,
    place: Place,
    _ids: Booking,
}

/// Where the payload of a table is.
#[derive(Debug)]
enum Held {
    Memory(Buffer),
    Mapped(FileMap, #[allow(dead_code, reason = "it is held as long as the map")] Booking),
    /// The file, and where in it the payload begins.
    File(Arc<dyn BackendFile>, u64),
}

impl Table {
    /// The table in a frame, after its checksum was compared. A short one is held in memory; one in a sealed segment is mapped where
    /// the ledger has room for it; others are read here and there.
    ///
    /// # Errors
    /// Corrupt where it is not what was written; those of reading.
    pub(crate) fn open(segments: &Segments, place: Place) -> Result<Table> {
        let path = segments.path_of(place.segment);
        Table::open_at(segments, place, path.clone()).map_err(|e| if e.path().is_none() { e.at(path).offset(place.offset) } else { e })
    }

    fn open_at(segments: &Segments, place: Place, path: PathBuf) -> Result<Table> {
        let header = segments.read_header(place)?;
        if header.kind != FrameKind::Table || header.encoding != Encoding::Raw {
            return Err(corrupt("this frame is no table"));
        }
        let len = header.stored;
        let file = if place.len > HELD_BYTES { segments.file_of(place)? } else { None };
        let held = match file {
            None => match segments.read(place)? {
                Chunk::Bytes(bytes) => Held::Memory(bytes.0),
                _ => return Err(corrupt("this frame is no table")),
            },
            Some((file, sealed)) => {
                let at = place.offset + header.payload_at() as u64;
                segments.check(place)?;
                let booking = if sealed { segments.arena().ledger().try_book(len) } else { None };
                let map = booking.and_then(|booking| Some((file.map(at, usize::try_from(len).ok()?).ok()??, booking)));
                match map {
                    Some((map, booking)) => Held::Mapped(map, booking),
                    None => Held::File(file, at),
                }
            }
        };
        let mut table = Table {
            held,
            count: 0,
            ids: Vec::new(),
            entries_at: 0,
            keys_at: 0,
            keys_len: 0,
            path,
            place,
            _ids: segments.arena().ledger().book(0)?,
        };
        table.read_layout(len)?;
        Ok(table)
    }

    fn read_layout(&mut self, len: u64) -> Result<()> {
        let mut bytes = SmallVec::new();
        let mut fields = Fields(self.bytes(0, TABLE_HEADER_BYTES, &mut bytes)?);
        let (count, segments, zeros) = (fields.u64()?, fields.u32()?, fields.u32()?);
        let wrong = || corrupt("the lengths in a table contradict each other");
        let entries_at = TABLE_HEADER_BYTES as u64 + 8 * u64::from(segments);
        let keys_at = count.checked_mul(TABLE_ENTRY_BYTES as u64).and_then(|entries| entries.checked_add(entries_at)).ok_or_else(wrong)?;
        let keys_len = len.checked_sub(keys_at).filter(|_| zeros == 0).ok_or_else(wrong)?;
        self._ids.grow(8 * u64::from(segments))?;
        let mut ids = Vec::with_capacity(segments as usize);
        let mut rest = SmallVec::new();
        let mut fields = Fields(self.bytes(TABLE_HEADER_BYTES as u64, 8 * segments as usize, &mut rest)?);
        for _ in 0..segments {
            ids.push(fields.u64()?);
        }
        (self.count, self.ids, self.entries_at, self.keys_at, self.keys_len) = (count, ids, entries_at, keys_at, keys_len);
        Ok(())
    }

    /// The number of keys, removed ones among them.
    pub(crate) fn len(&self) -> u64 {
        self.count
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether it is mapped.
    pub(crate) fn is_mapped(&self) -> bool {
        matches!(self.held, Held::Mapped(..))
    }

    /// The segments that its frames are in.
    pub(crate) fn segments(&self) -> &[u64] {
        &self.ids
    }

    /// What this table says of a key: nothing, that it was removed, or where its frame is.
    ///
    /// # Errors
    /// Those of reading; corrupt where an entry makes no sense.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Option<Place>>> {
        let hash = checksum(key);
        let mut number = self.first_of(hash)?;
        let mut bytes = SmallVec::new();
        while number < self.count {
            let entry = self.decode(self.entry_bytes(number, 1, &mut bytes)?)?;
            if entry.hash != hash {
                break;
            }
            if entry.key_len as usize == key.len() {
                let mut found = SmallVec::new();
                if self.key_bytes(entry.key_at, key.len(), &mut found)? == key {
                    return self.place_of(&entry).map(Some);
                }
            }
            number += 1;
        }
        Ok(None)
    }

    /// All keys with what it says of them, in the order of (hash, key).
    ///
    /// # Errors
    /// Out of memory where there is no room for the buffers of a table that is not in memory.
    pub(crate) fn iter<'a>(&'a self, segments: &Segments) -> Result<TableIter<'a>> {
        TableIter::new(self, segments.arena())
    }

    /// The number of the first entry whose hash is not less.
    fn first_of(&self, hash: u64) -> Result<u64> {
        // What is before `low` is less, what is from `high` on is not.
        let (mut low, mut high) = (0, self.count);
        let (mut low_hash, mut high_hash) = (0u64, u64::MAX);
        let mut rounds = 0;
        let mut bytes = SmallVec::new();
        while low < high {
            let guess = match rounds {
                0..INTERPOLATIONS => {
                    let part = u128::from(hash.saturating_sub(low_hash)) * u128::from(high - low);
                    low + (part / (u128::from(high_hash.saturating_sub(low_hash)) + 1)) as u64
                }
                _ => low + (high - low) / 2,
            };
            rounds += 1;
            let begin = guess.saturating_sub(WINDOW as u64 / 2).max(low);
            let n = (high - begin).min(WINDOW as u64) as usize;
            let window = self.entry_bytes(begin, n, &mut bytes)?;
            let hash_at = |number: usize| {
                let field = window.get(number * TABLE_ENTRY_BYTES..).and_then(|rest| rest.first_chunk::<8>());
                field.map(|field| u64::from_le_bytes(*field)).ok_or_else(|| corrupt("a table is cut"))
            };
            let (first, last) = (hash_at(0)?, hash_at(n - 1)?);
            if first >= hash && begin > low {
                (high, high_hash) = (begin, first);
            } else if last < hash {
                (low, low_hash) = (begin + n as u64, last);
            } else {
                let (mut from, mut to) = (0, n - 1);
                while from < to {
                    let middle = from + (to - from) / 2;
                    if hash_at(middle)? < hash { from = middle + 1 } else { to = middle }
                }
                return Ok(begin + from as u64);
            }
        }
        Ok(low)
    }

    /// What an entry says of its key.
    pub(super) fn place_of(&self, entry: &Entry) -> Result<Option<Place>> {
        if entry.segment == TABLE_REMOVED {
            return Ok(None);
        }
        let wrong = || corrupt("an entry of a table names an unknown segment").at(&self.path).offset(self.place.offset);
        let segment = *self.ids.get(entry.segment as usize).ok_or_else(wrong)?;
        Ok(Some(Place { segment, offset: entry.offset, len: entry.len }))
    }

    pub(super) fn decode(&self, bytes: &[u8]) -> Result<Entry> {
        let mut fields = Fields(bytes);
        Ok(Entry {
            hash: fields.u64()?,
            segment: fields.u32()?,
            key_len: fields.u32()?,
            offset: fields.u64()?,
            len: fields.u64()?,
            key_at: fields.u64()?,
        })
    }

    /// The bytes of `n` entries.
    fn entry_bytes<'a>(&'a self, number: u64, n: usize, out: &'a mut SmallVec<[u8; 4096]>) -> Result<&'a [u8]> {
        self.bytes(self.entries_at + number * TABLE_ENTRY_BYTES as u64, n * TABLE_ENTRY_BYTES, out)
    }

    fn key_bytes<'a>(&'a self, key_at: u64, len: usize, out: &'a mut SmallVec<[u8; 4096]>) -> Result<&'a [u8]> {
        match key_at.checked_add(len as u64).is_some_and(|end| end <= self.keys_len) {
            true => self.bytes(self.keys_at + key_at, len, out),
            false => Err(corrupt("an entry of a table names a key that is not there").at(&self.path).offset(self.place.offset)),
        }
    }

    /// A part of the payload: from memory, or read into `out`.
    fn bytes<'a>(&'a self, at: u64, len: usize, out: &'a mut SmallVec<[u8; 4096]>) -> Result<&'a [u8]> {
        if let Some(part) = self.in_memory(at, len) {
            return part;
        }
        out.resize(len, 0);
        self.read(at, out)?;
        Ok(out)
    }

    /// A part of the payload that is in memory.
    pub(super) fn in_memory(&self, at: u64, len: usize) -> Option<Result<&[u8]>> {
        let all: &[u8] = match &self.held {
            Held::Memory(bytes) => bytes,
            Held::Mapped(map, _) => map,
            Held::File(..) => return None,
        };
        let part = usize::try_from(at).ok().and_then(|at| all.get(at..at.checked_add(len)?));
        Some(part.ok_or_else(|| corrupt("a table is cut").at(&self.path).offset(self.place.offset)))
    }

    /// Reads a part of the payload that is not in memory.
    pub(super) fn read(&self, at: u64, out: &mut [u8]) -> Result<()> {
        match &self.held {
            Held::File(file, begin) => file.read_at(begin + at, out),
            _ => Err(Error::new(crate::ErrorKind::Invalid, "a table in memory is not read")),
        }
    }

    /// Where entries and keys begin in the payload, and how many bytes the keys have.
    pub(super) fn layout(&self) -> (u64, u64, u64) {
        (self.entries_at, self.keys_at, self.keys_len)
    }
}
