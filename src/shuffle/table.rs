//! A hash table of byte strings in counted memory, of a limited size.
//!
//! ```text
//! slot  | word 0 | word 1 | length + 1 | cell |      32 bytes, two to a cache line; empty where the third is 0
//! ```
//! A key of up to 16 bytes is in its slot, so that looking it up costs one line of memory; of a longer one the slot has the hash and where the bytes are. The cell
//! is the user's: a count, or the place of something larger. Slots are probed one after the other.

use super::hash::{SHORT, hash, hash_words, unword, words, words_at};
use crate::Result;
use crate::graph::TaskContext;
use chunkstore_store::{Arena, BufferMut};

/// Words of a slot.
const SLOT: usize = 4;

/// The slots that a table begins with.
const FIRST: usize = 1 << 12;

/// The bytes of long keys that a table begins with room for.
const FIRST_KEYS: usize = 64 << 10;

/// Where a short key is put together.
pub(crate) struct KeyBuffer {
    short: [u8; SHORT],
}

/// Byte strings, each with a cell.
pub(crate) struct ByteTable {
    arena: Arena,
    pub(super) slots: BufferMut,
    pub(super) mask: usize,
    len: usize,
    pub(super) keys: BufferMut,
    keys_len: usize,
    most_slots: usize,
    most_keys: usize,
    /// How often keys have moved.
    moves: u32,
}

/// So many keys are looked for at a time, so that the memory is waited for once.
const BATCH: usize = 16;

/// So many slots are looked at before it is their turn.
const AHEAD: usize = 32;

/// A key that is looked for, and what was found where it is looked for first.
#[derive(Clone, Copy, Default)]
struct Sought {
    words: [u64; 2],
    meta: u64,
    hashed: u64,
    second: u64,
    cell: u64,
    hit: bool,
}

/// A part of a text: where it begins, and how long it is.
pub(crate) type Span = (u32, u32);

/// Where a key was found or put.
pub(crate) struct Found<'a> {
    /// Its cell.
    pub(crate) cell: &'a mut u64,
    /// Whether it was not there before; its cell is 0 then.
    pub(crate) is_new: bool,
}

impl ByteTable {
    /// The bytes that a table of at most so many slots, and so many bytes of long keys, comes to hold, with what it holds while it grows.
    pub(crate) fn bytes(most_slots: usize, most_keys: usize) -> u64 {
        let slots = Arena::footprint(most_slots * SLOT * 8);
        let keys = Arena::footprint(most_keys);
        slots + slots / 2 + keys + keys / 2
    }

    /// An empty table that grows up to so many slots, a power of two, and so many bytes of long keys. The memory is the arena's; the task has it booked as scratch.
    pub(crate) fn new(task: &TaskContext<'_>, most_slots: usize, most_keys: usize) -> Result<Self> {
        ByteTable::within(task.arena(), most_slots, most_keys)
    }

    pub(crate) fn within(arena: &Arena, most_slots: usize, most_keys: usize) -> Result<Self> {
        let first = FIRST.min(most_slots.next_power_of_two());
        let slots = empty(arena, first)?;
        let keys = take(arena, FIRST_KEYS.min(most_keys))?;
        Ok(ByteTable { arena: arena.clone(), slots, mask: first - 1, len: 0, keys, keys_len: 0, most_slots, most_keys, moves: 0 })
    }

    /// Takes all keys out, and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.slots.fill(0);
        (self.len, self.keys_len) = (0, 0);
        self.moves += 1;
    }

    /// The cell of a key, which is put in where it is not there; `None` where there is no room for it: then the table is full.
    ///
    /// # Errors
    /// Out of memory.
    #[inline]
    pub(crate) fn find(&mut self, key: &[u8]) -> Result<Option<Found<'_>>> {
        match key.len() {
            0..=SHORT => {
                let words = words(key);
                self.find_short(words, key.len(), hash_words(words, key.len()))
            }
            _ => self.find_long(key, hash(key)),
        }
    }

    /// As [`ByteTable::find`], of a key whose hash is known.
    #[inline]
    pub(crate) fn find_hashed(&mut self, key: &[u8], hash: u64) -> Result<Option<Found<'_>>> {
        match key.len() {
            0..=SHORT => self.find_short(words(key), key.len(), hash),
            _ => self.find_long(key, hash),
        }
    }

    /// Has the processor fetch the slot where a key of this hash is looked for first.
    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        self.slots.prefetch((hash as usize & self.mask) * SLOT * 8);
    }

    /// Finds many keys, which are parts of a text: gives each to `take` with its hash, and the place of its slot where it is where it is looked for first. `touch` is given
    /// the cells of those before, to read what they name.
    ///
    /// Keys are looked for in batches, and in steps: the processor fetches what a step reads for the whole batch at the same time, where it would wait for one after the other.
    ///
    /// # Errors
    /// Those of `take`.
    #[inline]
    pub(crate) fn find_all<A>(
        &mut self,
        accs: &mut A,
        text: &[u8],
        spans: &[Span],
        touch: impl Fn(&A, u64),
        mut take: impl FnMut(&mut Self, &mut A, &[u8], u64, Option<usize>) -> Result<()>,
    ) -> Result<()> {
        let mut batch = [Sought::default(); BATCH];
        for spans in spans.chunks(BATCH) {
            for ((start, len), sought) in spans.iter().zip(&mut batch) {
                let len = *len as usize;
                let (words, hashed) = match len {
                    0..=SHORT => {
                        let words = words_at(text, *start as usize, len);
                        (words, hash_words(words, len))
                    }
                    _ => {
                        let hashed = hash(text.get(*start as usize..*start as usize + len).unwrap_or_default());
                        ([hashed, 0], hashed)
                    }
                };
                (sought.words, sought.meta, sought.hashed) = (words, len as u64 + 1, hashed);
                self.prefetch(hashed);
            }
            // The slots.
            let (slots, mask) = (all(&mut self.slots), self.mask);
            for sought in batch.iter_mut().take(spans.len()) {
                let [first, second, meta, cell] = *slot(slots, sought.hashed as usize & mask);
                // One comparison without branches; of long keys it is that of the hashes.
                let short = u64::from(sought.meta <= SHORT as u64 + 1).wrapping_neg();
                sought.hit = (first ^ sought.words[0]) | ((second ^ sought.words[1]) & short) | (meta ^ sought.meta) == 0;
                (sought.second, sought.cell) = (second, cell);
            }
            // What the slots name.
            for sought in batch.iter().take(spans.len()).filter(|sought| sought.hit) {
                if sought.meta > SHORT as u64 + 1 {
                    self.keys.prefetch(sought.second as usize);
                }
                touch(accs, sought.cell);
            }
            let moves = self.moves;
            for ((start, len), sought) in spans.iter().zip(&batch) {
                let key = text.get(*start as usize..(*start + *len) as usize).unwrap_or_default();
                let same = || match key.len() {
                    0..=SHORT => true,
                    len => self.keys.get(sought.second as usize..sought.second as usize + len) == Some(key),
                };
                let place = if sought.hit && self.moves == moves && same() { Some(sought.hashed as usize & self.mask) } else { None };
                take(self, accs, key, sought.hashed, place)?;
            }
        }
        Ok(())
    }

    /// The cell of the slot at a place that [`ByteTable::find_all`] gave.
    #[inline]
    pub(crate) fn cell(&mut self, place: usize) -> &mut u64 {
        cell(&mut self.slots, place)
    }

    #[inline]
    fn find_short(&mut self, words: [u64; 2], len: usize, hash: u64) -> Result<Option<Found<'_>>> {
        let meta = len as u64 + 1;
        let (mut at, mask) = (hash as usize & self.mask, self.mask);
        let slots = all(&mut self.slots);
        loop {
            let [first, second, found, _] = *slot(slots, at);
            if found == meta && first == words[0] && second == words[1] {
                return Ok(Some(Found { cell: cell(&mut self.slots, at), is_new: false }));
            }
            if found == 0 {
                return self.put(at, hash, [words[0], words[1], meta, 0]);
            }
            at = (at + 1) & mask;
        }
    }

    fn find_long(&mut self, key: &[u8], hash: u64) -> Result<Option<Found<'_>>> {
        let meta = key.len() as u64 + 1;
        let (mut at, mask) = (hash as usize & self.mask, self.mask);
        let slots = all(&mut self.slots);
        loop {
            let [first, offset, found, _] = *slot(slots, at);
            if found == meta && first == hash && self.keys.get(offset as usize..offset as usize + key.len()) == Some(key) {
                return Ok(Some(Found { cell: cell(&mut self.slots, at), is_new: false }));
            }
            if found == 0 {
                break;
            }
            at = (at + 1) & mask;
        }
        let offset = self.keys_len;
        if offset + key.len() > self.keys.len() && !self.grow_keys(offset + key.len())? {
            return Ok(None);
        }
        if let Some(to) = self.keys.get_mut(offset..offset + key.len()) {
            to.copy_from_slice(key);
        }
        self.keys_len = offset + key.len();
        self.put(at, hash, [hash, offset as u64, meta, 0])
    }

    #[inline]
    fn put(&mut self, mut at: usize, hash: u64, new: [u64; SLOT]) -> Result<Option<Found<'_>>> {
        if (self.len + 1) * 3 > (self.mask + 1) * 2 {
            if !self.grow()? {
                return Ok(None);
            }
            at = hash as usize & self.mask;
            while slot(all(&mut self.slots), at)[2] != 0 {
                at = (at + 1) & self.mask;
            }
        }
        *slot(all(&mut self.slots), at) = new;
        self.len += 1;
        Ok(Some(Found { cell: cell(&mut self.slots, at), is_new: true }))
    }

    #[cold]
    fn grow(&mut self) -> Result<bool> {
        let old = self.mask + 1;
        if old >= self.most_slots {
            return Ok(false);
        }
        let new = old * 8;
        let new = new.min(self.most_slots.next_power_of_two());
        let mut slots = empty(&self.arena, new)?;
        let mask = new - 1;
        let larger = all(&mut slots);
        for moved in all(&mut self.slots).iter().filter(|slot| slot[2] != 0) {
            let mut to = hash_of(*moved) as usize & mask;
            while slot(larger, to)[2] != 0 {
                to = (to + 1) & mask;
            }
            *slot(larger, to) = *moved;
        }
        (self.slots, self.mask) = (slots, mask);
        self.moves += 1;
        Ok(true)
    }

    #[cold]
    fn grow_keys(&mut self, needed: usize) -> Result<bool> {
        // One key alone may be longer than what is usual.
        if needed > self.most_keys && self.len > 0 {
            return Ok(false);
        }
        let mut keys = take(&self.arena, (self.keys.len() * 4).min(self.most_keys).max(needed))?;
        if let (Some(to), Some(from)) = (keys.get_mut(..self.keys_len), self.keys.get(..self.keys_len)) {
            to.copy_from_slice(from);
        }
        self.keys = keys;
        Ok(true)
    }

    /// The number of slots, of which some are empty.
    pub(crate) fn slots(&self) -> usize {
        self.mask + 1
    }

    /// Has the processor fetch what the slots behind `at` name, some of them at a time, which it would wait for one after the other.
    #[inline]
    pub(super) fn fetch_ahead(&self, at: usize) {
        if !at.is_multiple_of(AHEAD) {
            return;
        }
        let (words, _) = self.slots.get((at + AHEAD) * SLOT * 8..).unwrap_or_default().as_chunks::<8>();
        for slot in words.as_chunks::<SLOT>().0.iter().take(AHEAD) {
            let [_, second, length, _] = slot.map(u64::from_le_bytes);
            if length > SHORT as u64 + 1 {
                self.keys.prefetch(second as usize);
            }
        }
    }

    /// What is in a slot: the key, its hash and its cell.
    #[inline]
    pub(crate) fn at<'a>(&'a self, at: usize, buffer: &'a mut KeyBuffer) -> Option<(&'a [u8], u64, u64)> {
        let bytes = self.slots.get(at * SLOT * 8..)?.first_chunk::<{ SLOT * 8 }>()?;
        let (words, _) = bytes.as_chunks::<8>();
        let slot: [u64; SLOT] = std::array::from_fn(|i| words.get(i).map_or(0, |word| u64::from_le_bytes(*word)));
        let len = slot[2].checked_sub(1)? as usize;
        let key = match len {
            0..=SHORT => {
                buffer.short = unword([slot[0], slot[1]]);
                buffer.short.get(..len)?
            }
            _ => self.keys.get(slot[1] as usize..slot[1] as usize + len)?,
        };
        Some((key, hash_of(slot), slot[3]))
    }
}

impl KeyBuffer {
    pub(crate) fn new() -> Self {
        KeyBuffer { short: [0; SHORT] }
    }
}

#[inline]
fn hash_of(slot: [u64; SLOT]) -> u64 {
    let len = slot[2] as usize - 1;
    if len <= SHORT { hash_words([slot[0], slot[1]], len) } else { slot[0] }
}

/// All slots.
#[inline]
pub(super) fn all(slots: &mut BufferMut) -> &mut [[u64; SLOT]] {
    slots.as_slice_mut::<u64>().as_chunks_mut().0
}

/// The slot at a place, which is masked by their number.
#[inline]
pub(super) fn slot(slots: &mut [[u64; SLOT]], at: usize) -> &mut [u64; SLOT] {
    match slots.get_mut(at) {
        Some(slot) => slot,
        None => unreachable!("a slot beyond the table"),
    }
}

#[inline]
fn cell(slots: &mut BufferMut, at: usize) -> &mut u64 {
    let [.., cell] = slot(all(slots), at);
    cell
}

fn empty(arena: &Arena, slots: usize) -> Result<BufferMut> {
    let mut buffer = take(arena, slots * SLOT * 8)?;
    buffer.fill(0);
    Ok(buffer)
}

fn take(arena: &Arena, bytes: usize) -> Result<BufferMut> {
    crate::graph::patiently(|| Ok(arena.alloc(bytes)?))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use chunkstore_store::Ledger;
    use std::collections::HashMap;

    #[test]
    fn it_counts_as_a_map_does_until_it_is_full() {
        let arena = Arena::new(Ledger::new(1 << 28));
        let mut table = ByteTable::within(&arena, 1 << 12, 1 << 16).unwrap();
        let (mut model, mut full) = (HashMap::<Vec<u8>, u64>::new(), 0);
        for round in 0..2 {
            for i in 0..60_000u64 {
                let n = i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
                let key = format!("{}{}", "long".repeat((n % 9) as usize), n % 2000).into_bytes();
                match table.find(&key).unwrap() {
                    Some(found) => {
                        assert_eq!(found.is_new, !model.contains_key(&key));
                        *found.cell += 1;
                        *model.entry(key).or_default() += 1;
                    }
                    None => {
                        assert!(!model.contains_key(&key));
                        full += 1;
                        break;
                    }
                }
            }
            let mut buffer = KeyBuffer::new();
            let mut seen = HashMap::new();
            for at in 0..table.slots() {
                if let Some((key, hashed, cell)) = table.at(at, &mut buffer) {
                    assert_eq!(hashed, hash(key));
                    seen.insert(key.to_vec(), cell);
                }
            }
            assert_eq!((seen.len(), &seen), (table.len, &model));
            assert!(round > 0 || full > 0, "2000 numbers with nine prefixes do not fit");
            table.clear();
            model.clear();
        }
        // A key longer than all room for keys fits alone.
        let long = vec![7u8; 100_000];
        assert!(table.find(&long).unwrap().unwrap().is_new);
        assert!(!table.find(&long).unwrap().unwrap().is_new);
        assert!(table.find(&vec![8u8; 100_000]).unwrap().is_none());
    }
}
