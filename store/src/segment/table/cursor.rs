//! Going through a table in order.

#![deny(clippy::indexing_slicing)]

use super::super::frame::corrupt;
use super::super::place::Place;
use super::lookup::Table;
use super::write::Item;
use crate::format::{KEY_MOST, TABLE_ENTRY_BYTES};
use crate::{Arena, BufferMut, Result};
use smallvec::SmallVec;

/// What is read at a time of a table that is not in memory: more than any key.
const BUFFER: usize = 128 << 10;
const _: () = assert!(BUFFER > KEY_MOST);

/// The keys of a table with what it says of them, in the order of (hash, key). After an error it is at its end.
#[derive(Debug)]
pub(crate) struct TableIter<'a> {
    table: &'a Table,
    number: u64,
    entries: Ahead,
    keys: Ahead,
}

/// A part of a table that was read ahead.
#[derive(Debug)]
struct Ahead {
    /// None where the table is in memory.
    buffer: Option<BufferMut>,
    at: u64,
    filled: usize,
    /// Where what is read ahead ends.
    end: u64,
}

impl<'a> TableIter<'a> {
    pub(super) fn new(table: &'a Table, arena: &Arena) -> Result<Self> {
        let (entries_at, keys_at, keys_len) = table.layout();
        let ahead = |end| {
            let buffer = if table.in_memory(entries_at, 0).is_some() { None } else { Some(arena.alloc(BUFFER)?) };
            Ok(Ahead { buffer, at: 0, filled: 0, end })
        };
        Ok(TableIter { table, number: 0, entries: ahead(keys_at)?, keys: ahead(keys_at + keys_len)? })
    }

    /// The next key with its hash.
    pub(super) fn item(&mut self) -> Option<Result<Item>> {
        if self.number >= self.table.len() {
            return None;
        }
        let item = self.read_item();
        self.number = if item.is_ok() { self.number + 1 } else { self.table.len() };
        Some(item)
    }

    fn read_item(&mut self) -> Result<Item> {
        let (entries_at, keys_at, keys_len) = self.table.layout();
        let at = entries_at + self.number * TABLE_ENTRY_BYTES as u64;
        let entry = self.table.decode(self.entries.get(self.table, at, TABLE_ENTRY_BYTES)?)?;
        let len = entry.key_len as usize;
        if len > KEY_MOST || entry.key_at.checked_add(len as u64).is_none_or(|end| end > keys_len) {
            return Err(corrupt("an entry of a table names a key that is not there"));
        }
        let key = SmallVec::from_slice(self.keys.get(self.table, keys_at + entry.key_at, len)?);
        Ok(Item { hash: entry.hash, key, place: self.table.place_of(&entry)? })
    }
}

impl Iterator for TableIter<'_> {
    type Item = Result<(SmallVec<[u8; 24]>, Option<Place>)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.item().map(|item| item.map(|item| (item.key, item.place)))
    }
}

impl Ahead {
    fn get<'a>(&'a mut self, table: &'a Table, at: u64, len: usize) -> Result<&'a [u8]> {
        let Some(buffer) = &mut self.buffer else {
            return table.in_memory(at, len).unwrap_or_else(|| Err(corrupt("a table is not in memory")));
        };
        if at < self.at || at + len as u64 > self.at + self.filled as u64 {
            let have = self.end.saturating_sub(at).min(buffer.len() as u64) as usize;
            self.filled = 0;
            table.read(at, buffer.get_mut(..have).unwrap_or_default())?;
            (self.at, self.filled) = (at, have);
        }
        let from = (at - self.at) as usize;
        buffer.get(from..from + len).filter(|_| from + len <= self.filled).ok_or_else(|| corrupt("a table is cut"))
    }
}
