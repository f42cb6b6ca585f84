//! Which keys there are, and where the value of each is: at most 25 bytes a key beside the key itself.
//!
//! A few shards, each a table with linear probing and the bytes of its keys one after the other, so that only one shard
//! at a time is copied when it grows:
//!
//! ```text
//! slots   | tag: u32 | key: u32 | place, offset, len: u32 |   20 bytes, at most 4 of 5 in use, half as many again when it grows
//!                         |
//! keys    | length | key  v length | key | length | key |     lengths in groups of seven bits; those of removed keys stay until the next growth
//! ```
//!
//! The shard of a key is told by the upper bits of its hash, the slot where the search for it begins by the lower 32 (`tag`). A slot that
//! is removed is filled by moving up those behind it.
//!
//! Invariant: `bytes` is what the tables have allocated; who inserts asks for [`Index::growth`] first, and grows.

use crate::{Booking, Ledger, Result, checksum};

/// The place is on disk.
const ON_DISK: u32 = 1 << 31;
/// The value is on its own, in no pack.
const ALONE: u32 = 1 << 31;
/// The value is the head of a stream.
const STREAM: u32 = 1 << 30;
const LENGTH: u32 = STREAM - 1;

/// Marks a slot that is empty.
const EMPTY: u32 = u32::MAX;

/// The longest key.
pub(super) const LONGEST_KEY: usize = 1 << 16;

/// Where a value is: in a unit in memory, or at a home on disk; the byte where it begins there, and its length in units of 8
/// bytes, rounded up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Loc {
    place: u32,
    offset: u32,
    len: u32,
}

impl Loc {
    pub(super) fn in_memory(unit: u32, offset: u32, bytes: u64) -> Self {
        Loc { place: unit, offset, len: (bytes.div_ceil(8).min(LENGTH.into())) as u32 }
    }

    /// A value on disk whose length is not known.
    pub(super) fn unread(home: Home) -> Self {
        Loc { place: home.place | ON_DISK, offset: home.offset, len: 0 }
    }

    /// The same value, whose length has become known.
    pub(super) fn with_len(self, bytes: u64) -> Self {
        Loc { len: (self.len & !LENGTH) | bytes.div_ceil(8).min(LENGTH.into()) as u32, ..self }
    }

    /// The same value in another unit in memory.
    pub(super) fn moved(self, unit: u32, offset: u32) -> Self {
        Loc { place: unit, offset, len: self.len }
    }

    /// The same value at its home on disk.
    pub(super) fn at_home(self, home: Home) -> Self {
        Loc { place: home.place | ON_DISK, offset: home.offset, len: self.len }
    }

    pub(super) fn alone(self) -> Self {
        Loc { len: self.len | ALONE, ..self }
    }

    /// The head of a stream.
    pub(super) fn stream(self) -> Self {
        Loc { len: self.len | STREAM, ..self }
    }

    pub(super) fn is_alone(self) -> bool {
        self.len & ALONE != 0
    }

    pub(super) fn is_stream(self) -> bool {
        self.len & STREAM != 0
    }

    /// The unit in memory, and the byte in it.
    pub(super) fn memory(self) -> Option<(u32, u32)> {
        (self.place & ON_DISK == 0).then_some((self.place, self.offset))
    }

    /// The home on disk of a value that is not in memory.
    pub(super) fn home(self) -> Option<Home> {
        (self.place & ON_DISK != 0).then_some(Home { place: self.place & !ON_DISK, offset: self.offset })
    }

    /// The bytes of the value, with what stands before it, rounded up to 8.
    pub(super) fn bytes(self) -> u64 {
        u64::from(self.len & LENGTH) * 8
    }
}

/// Where a value is on disk; what the numbers mean is up to the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Home {
    pub(super) place: u32,
    pub(super) offset: u32,
}

/// Where in the index a key is, until the next key is inserted or removed.
#[derive(Debug, Clone, Copy)]
pub(super) struct At {
    shard: usize,
    slot: usize,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    tag: u32,
    key: u32,
    loc: Loc,
}

const NOTHING: Slot = Slot { tag: 0, key: EMPTY, loc: Loc { place: 0, offset: 0, len: 0 } };

#[derive(Debug, Default)]
struct Shard {
    slots: Vec<Slot>,
    count: usize,
    keys: Vec<u8>,
    /// The bytes of keys that were removed.
    dead: usize,
}

#[derive(Debug)]
pub(super) struct Index {
    shards: Vec<Shard>,
    bits: u32,
    len: usize,
    bytes: u64,
    booking: Booking,
}

/// The hash by which a key is found.
pub(super) fn hash_of(key: &[u8]) -> u64 {
    checksum(key)
}

impl Index {
    /// An index of `2^bits` shards that books its memory in `ledger`.
    pub(super) fn new(bits: u32, ledger: &Ledger) -> Result<Self> {
        let shards = (0..1usize << bits).map(|_| Shard::default()).collect();
        Ok(Index { shards, bits, len: 0, bytes: 0, booking: ledger.book(0)? })
    }

    /// The number of keys.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The bytes of memory that the tables take.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn shards(&self) -> usize {
        self.shards.len()
    }

    fn shard_of(&self, hash: u64) -> usize {
        if self.bits == 0 { 0 } else { (hash >> (64 - self.bits)) as usize }
    }

    pub(super) fn find(&self, hash: u64, key: &[u8]) -> Option<At> {
        let number = self.shard_of(hash);
        let shard = self.shards.get(number)?;
        let slot = shard.probe(hash as u32).find(|(_, slot)| slot.tag == hash as u32 && shard.key(slot.key) == key)?.0;
        Some(At { shard: number, slot })
    }

    /// The first key of a hash whose place is as wanted.
    pub(super) fn find_where(&self, hash: u64, mut wanted: impl FnMut(Loc) -> bool) -> Option<At> {
        let number = self.shard_of(hash);
        let shard = self.shards.get(number)?;
        let slot = shard.probe(hash as u32).find(|(_, slot)| slot.tag == hash as u32 && wanted(slot.loc))?.0;
        Some(At { shard: number, slot })
    }

    pub(super) fn loc(&self, at: At) -> Option<Loc> {
        self.shards.get(at.shard)?.slots.get(at.slot).filter(|slot| slot.key != EMPTY).map(|slot| slot.loc)
    }

    pub(super) fn set(&mut self, at: At, loc: Loc) {
        if let Some(slot) = self.shards.get_mut(at.shard).and_then(|shard| shard.slots.get_mut(at.slot)) {
            slot.loc = loc;
        }
    }

    pub(super) fn key(&self, at: At) -> &[u8] {
        let slot = |shard: &Shard| shard.slots.get(at.slot).map(|slot| slot.key);
        self.shards.get(at.shard).and_then(|shard| Some(shard.key(slot(shard)?))).unwrap_or_default()
    }

    /// The keys of one shard and where they are.
    pub(super) fn entries(&self, shard: usize) -> impl Iterator<Item = (&[u8], Loc)> {
        let shard = self.shards.get(shard);
        shard.into_iter().flat_map(|shard| shard.slots.iter().filter(|slot| slot.key != EMPTY).map(|slot| (shard.key(slot.key), slot.loc)))
    }

    /// The bytes that have to be allocated, beside what is there, before a key can be inserted; often none.
    pub(super) fn growth(&self, hash: u64, key: &[u8]) -> u64 {
        let Some(shard) = self.shards.get(self.shard_of(hash)) else { return 0 };
        let (slots, keys) = shard.wanted(framed(key.len()));
        (slots.map_or(0, |n| n * size_of::<Slot>()) + keys.unwrap_or(0)) as u64
    }

    /// Makes room for a key.
    ///
    /// # Errors
    /// Out of memory where the ledger has none.
    pub(super) fn grow(&mut self, hash: u64, key: &[u8]) -> Result<()> {
        let more = self.growth(hash, key);
        let number = self.shard_of(hash);
        let Some(shard) = self.shards.get_mut(number).filter(|_| more > 0) else { return Ok(()) };
        self.booking.grow(more)?;
        let before = shard.bytes();
        let (slots, keys) = shard.wanted(framed(key.len()));
        if let Some(capacity) = keys {
            shard.move_keys(capacity);
        }
        if let Some(capacity) = slots {
            shard.move_slots(capacity);
        }
        self.bytes = self.bytes - before + shard.bytes();
        self.booking.shrink(self.bytes);
        Ok(())
    }

    /// Inserts a key that is not there, for which there is room.
    pub(super) fn insert(&mut self, hash: u64, key: &[u8], loc: Loc) {
        let number = self.shard_of(hash);
        let Some(shard) = self.shards.get_mut(number) else { return };
        let at = shard.keys.len() as u32;
        let mut n = key.len();
        while n >= 0x80 {
            shard.keys.push(n as u8 | 0x80);
            n >>= 7;
        }
        shard.keys.push(n as u8);
        shard.keys.extend_from_slice(key);
        shard.place(Slot { tag: hash as u32, key: at, loc });
        shard.count += 1;
        self.len += 1;
    }

    pub(super) fn remove(&mut self, at: At) {
        let Some(shard) = self.shards.get_mut(at.shard) else { return };
        let Some(slot) = shard.slots.get(at.slot).filter(|slot| slot.key != EMPTY) else { return };
        shard.dead += framed(shard.key(slot.key).len());
        shard.vacate(at.slot);
        shard.count -= 1;
        self.len -= 1;
        if shard.count == 0 {
            self.bytes -= shard.bytes();
            *shard = Shard::default();
            self.booking.shrink(self.bytes);
        }
    }
}

/// The bytes of a key of `len` bytes with its length.
fn framed(len: usize) -> usize {
    let groups = (usize::BITS - len.leading_zeros()).div_ceil(7).max(1);
    len + groups as usize
}

impl Shard {
    fn bytes(&self) -> u64 {
        (self.slots.capacity() * size_of::<Slot>() + self.keys.capacity()) as u64
    }

    /// The slot where the search for a tag begins.
    fn begin(&self, tag: u32) -> usize {
        ((u64::from(tag) * self.slots.len() as u64) >> 32) as usize
    }

    /// The slots in use from where a tag is searched to the first empty one.
    fn probe(&self, tag: u32) -> impl Iterator<Item = (usize, &Slot)> {
        let (before, after) = self.slots.split_at(self.begin(tag));
        let begin = before.len();
        let all = after.iter().enumerate().map(move |(i, slot)| (begin + i, slot)).chain(before.iter().enumerate());
        all.take_while(|(_, slot)| slot.key != EMPTY)
    }

    fn key(&self, at: u32) -> &[u8] {
        let mut bytes = self.keys.get(at as usize..).unwrap_or_default();
        let (mut n, mut shift) = (0usize, 0);
        while let Some((first, rest)) = bytes.split_first() {
            n |= usize::from(first & 0x7f) << shift;
            shift += 7;
            bytes = rest;
            if *first < 0x80 {
                break;
            }
        }
        bytes.get(..n).unwrap_or_default()
    }

    /// The capacities that are needed for one more slot and `key` more bytes of keys, where those that there are do not do.
    fn wanted(&self, key: usize) -> (Option<usize>, Option<usize>) {
        let slots = (self.count + 1) * 5 > self.slots.len() * 4;
        let keys = self.keys.len() + key > self.keys.capacity();
        let live = self.keys.len() - self.dead + key;
        let slots = slots.then(|| if self.slots.len() < 8 { 8 } else { self.slots.len() + self.slots.len() / 4 + 2 });
        (slots, keys.then(|| live + live / 4 + 32))
    }

    fn place(&mut self, new: Slot) {
        let mut at = self.begin(new.tag);
        while let Some(slot) = self.slots.get_mut(at) {
            if slot.key == EMPTY {
                *slot = new;
                return;
            }
            at = if at + 1 == self.slots.len() { 0 } else { at + 1 };
        }
    }

    fn move_slots(&mut self, capacity: usize) {
        let mut slots = Vec::new();
        slots.reserve_exact(capacity);
        slots.resize(capacity, NOTHING);
        let old = std::mem::replace(&mut self.slots, slots);
        old.into_iter().filter(|slot| slot.key != EMPTY).for_each(|slot| self.place(slot));
    }

    fn move_keys(&mut self, capacity: usize) {
        let mut keys: Vec<u8> = Vec::new();
        keys.reserve_exact(capacity);
        if self.dead == 0 {
            keys.extend_from_slice(&self.keys);
        } else {
            let mut slots = std::mem::take(&mut self.slots);
            for slot in slots.iter_mut().filter(|slot| slot.key != EMPTY) {
                let begin = slot.key as usize;
                let end = begin + framed(self.key(slot.key).len());
                slot.key = keys.len() as u32;
                keys.extend_from_slice(self.keys.get(begin..end).unwrap_or_default());
            }
            self.slots = slots;
            self.dead = 0;
        }
        self.keys = keys;
    }

    /// Empties a slot, and moves up those behind that were searched past it.
    fn vacate(&mut self, mut hole: usize) {
        let len = self.slots.len();
        let mut at = hole;
        loop {
            at = if at + 1 == len { 0 } else { at + 1 };
            let Some(slot) = self.slots.get(at).copied().filter(|slot| slot.key != EMPTY) else { break };
            let distance = |from: usize, to: usize| if to >= from { to - from } else { to + len - from };
            if distance(self.begin(slot.tag), at) >= distance(hole, at) {
                if let Some(place) = self.slots.get_mut(hole) {
                    *place = slot;
                }
                hole = at;
            }
        }
        if let Some(place) = self.slots.get_mut(hole) {
            *place = NOTHING;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn insert(index: &mut Index, hash: u64, key: &[u8], loc: Loc) {
        index.grow(hash, key).unwrap();
        assert_eq!(index.growth(hash, key), 0);
        index.insert(hash, key, loc);
    }

    #[test]
    fn a_million_short_keys_take_little() {
        let ledger = Ledger::new(64 << 20);
        let mut index = Index::new(6, &ledger).unwrap();
        let n = 200_000u64;
        for k in 0..n {
            let key = [&[0x18], k.to_be_bytes().as_slice()].concat();
            insert(&mut index, hash_of(&key), &key, Loc::in_memory(k as u32, 8, 1048));
        }
        assert!(index.bytes() < n * 48, "{} bytes a key", index.bytes() / n);
        assert_eq!(ledger.used(), index.bytes());
        for k in (0..n).step_by(7) {
            let key = [&[0x18], k.to_be_bytes().as_slice()].concat();
            let at = index.find(hash_of(&key), &key).unwrap();
            assert_eq!(index.loc(at).unwrap(), Loc::in_memory(k as u32, 8, 1048));
        }
        assert_eq!((0..64).map(|shard| index.entries(shard).count()).sum::<usize>(), n as usize);
    }

    #[test]
    fn places_keep_what_they_are_told() {
        let loc = Loc::in_memory(7, 64, 100);
        assert_eq!((loc.memory(), loc.home(), loc.bytes(), loc.is_alone(), loc.is_stream()), (Some((7, 64)), None, 104, false, false));
        let home = Home { place: 9, offset: 3 };
        let far = loc.alone().stream().at_home(home);
        assert_eq!((far.memory(), far.home(), far.bytes(), far.is_alone(), far.is_stream()), (None, Some(home), 104, true, true));
        assert_eq!(far.moved(1, 0).memory(), Some((1, 0)));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn as_a_map(ops in proptest::collection::vec((0u8..3, 0u16..60, any::<u32>()), 1..300), bits in 0u32..3, few in any::<bool>()) {
            let ledger = Ledger::new(1 << 20);
            let mut index = Index::new(bits, &ledger).unwrap();
            let mut model: BTreeMap<Vec<u8>, Loc> = BTreeMap::new();
            for (op, k, n) in ops {
                let key = vec![k as u8; usize::from(k) * 5];
                // Few hashes, so that keys collide.
                let hash = if few { hash_of(&key) & 0xC000_0000_C000_0000 } else { hash_of(&key) };
                let loc = Loc::in_memory(n & 0xffff, n, n.into());
                let at = index.find(hash, &key);
                prop_assert_eq!(at.map(|at| index.loc(at).unwrap()), model.get(&key).copied());
                if let Some(at) = at {
                    prop_assert_eq!(index.key(at), &key);
                }
                match (op, at) {
                    (0, Some(at)) => { index.remove(at); model.remove(&key); }
                    (_, Some(at)) => { index.set(at, loc); model.insert(key, loc); }
                    (0, None) => {}
                    (_, None) => { insert(&mut index, hash, &key, loc); model.insert(key, loc); }
                }
                prop_assert_eq!(index.len(), model.len());
                prop_assert_eq!(ledger.used(), index.bytes());
            }
            let mut all: Vec<(Vec<u8>, Loc)> = (0..index.shards()).flat_map(|s| index.entries(s).map(|(k, l)| (k.to_vec(), l)).collect::<Vec<_>>()).collect();
            all.sort_by(|a, b| a.0.cmp(&b.0));
            prop_assert_eq!(all, model.into_iter().collect::<Vec<_>>());
        }
    }
}
