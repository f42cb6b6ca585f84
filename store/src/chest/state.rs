//! What a chest knows, and its decisions: what leaves memory, what is written ahead, what is read as a whole.
//!
//! ```text
//!   index: key -> unit in memory ------> its home on disk        units, by last use:  clean | dirty
//!             \-> home on disk                                   homes: in packs of small values, or alone
//! ```
//! A *unit* is a pack of small values or one large value. Put values go to the *open* pack, which is sealed when it is full; values
//! that were read on their own from a pack on disk go to the *cache* pack, which remembers their homes. A unit that leaves memory sends
//! its values back to their homes; one that has none is written first, at most once.
//!
//! Units in memory are in one of two lists by last use: `clean` (on disk too) or `dirty`. A clean one leaves memory for nothing, a
//! dirty one for a write. So a clean one leaves while it is at least half as old as the oldest dirty one; else the dirty one is
//! written, and is clean afterwards. Age is counted in uses. *Write-behind*: once three quarters of the bound are in use, the oldest
//! dirty units are written in the background until a quarter of the bound is clean or being written, so that there is always
//! something that can leave at once.
//!
//! Invariants: `held` is the sum of the bytes of the units and of what is reserved; `total()` is at most the bound; a unit is in at most one
//! list, and in none while it is open or being written; `live` of a unit (of a place on disk) is the number of keys that are found there
//! (whose home is there).

use super::index::{At, Home, Index, Loc};
use super::record::{self, Draft};
use super::streams::Streams;
use super::unit::{Body, Homes, Slab, UNIT_BYTES, Unit};
use crate::{Arena, Buffer, Chunk, Error, Result, Slot};
use lru::LruCache;
use rustc_hash::FxHashSet;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The memory that a place on disk takes.
pub(super) const PLACE_BYTES: u64 = 384;

/// A pack or a value in the scratch files.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) slot: Arc<Slot>,
    /// Whether it is a pack, and the bytes of what was written.
    pub(super) pack: bool,
    pub(super) used: u64,
    /// The keys whose values are here, wherever else they are too.
    pub(super) live: u32,
    pub(super) live_bytes: u64,
    /// When one of them was read last, in misses.
    pub(super) missed: u64,
    /// The unit that is a copy of it.
    pub(super) copy: Option<u32>,
}

/// What is to be dropped once the lock is free.
#[derive(Debug)]
#[allow(dead_code)]
pub(super) enum Trash {
    Body(Body),
    Slot(Arc<Slot>),
}

/// What goes to disk.
pub(super) struct Write {
    pub(super) unit: u32,
    pub(super) body: Body,
    /// The values that are to be written, where each is written for itself: where it begins, its key.
    pub(super) values: Vec<(u32, Box<[u8]>)>,
}

pub(super) struct State {
    pub(super) arena: Arena,
    pub(super) memory: u64,
    /// The bytes of a pack, and the most bytes of a record.
    pub(super) pack: usize,
    pub(super) small: usize,
    /// Whether each value is written for itself.
    pub(super) each: bool,
    pub(super) held: u64,
    pub(super) lent: Arc<AtomicU64>,
    pub(super) peak: u64,
    pub(super) clock: u64,
    pub(super) index: Index,
    /// The keys that are parts of streams.
    pub(super) hidden: usize,
    pub(super) units: Slab<Unit>,
    pub(super) places: Slab<Place>,
    pub(super) clean: LruCache<u32, u64>,
    pub(super) dirty: LruCache<u32, u64>,
    pub(super) clean_bytes: u64,
    pub(super) writing_bytes: u64,
    pub(super) latest: Option<u32>,
    pub(super) open: Option<u32>,
    pub(super) cache: Option<u32>,
    /// Units to be written next.
    pub(super) writes: VecDeque<u32>,
    /// Writes that wait or run, and loads that run.
    pub(super) busy: usize,
    /// What is being read as a whole.
    pub(super) loading: FxHashSet<Home>,
    /// Places less than half of which is alive.
    pub(super) sparse: Vec<u32>,
    pub(super) dead_bytes: u64,
    pub(super) streams: Streams,
    /// Whether a flush writes what was put before it began, and how many of its units are not written yet.
    pub(super) flushing: bool,
    pub(super) flush_left: usize,
    /// How many writes have failed, and the error of the last one.
    pub(super) failures: u64,
    pub(super) last_failure: Option<Error>,
    /// Keys to be read ahead, in order; those that are no longer in `wanted` are passed over.
    pub(super) ahead: VecDeque<Box<[u8]>>,
    pub(super) wanted: FxHashSet<Box<[u8]>>,
    /// Packs that follow one that was read.
    pub(super) next_packs: VecDeque<u32>,
    pub(super) last_pack: u32,
    pub(super) ahead_bytes: u64,
    /// The error of the last write that failed, for who waits for room; until someone does, no more is written ahead.
    pub(super) failed: Option<Error>,
    pub(super) resting: bool,
    pub(super) closing: bool,
    pub(super) trash: Vec<Trash>,
    /// Keys whose values left memory, if somebody wants to know.
    pub(super) overflowed: Option<Vec<Box<[u8]>>>,
    pub(super) hits: u64,
    pub(super) misses: u64,
    pub(super) prefetched: u64,
    pub(super) evicted: u64,
    pub(super) repacked: u64,
}

impl State {
    pub(super) fn new(memory: u64, each: bool, arena: &Arena) -> Result<Self> {
        let power = |bytes: u64| 1u64 << bytes.max(1).ilog2();
        let pack = power((memory / 64).min(256 << 10)).max(power((memory / 256).min(2 << 20))).max((memory / 8).min(4096)) as usize & !7;
        let bits = (memory >> 20).max(1).ilog2().min(6);
        Ok(State {
            arena: arena.clone(),
            memory,
            pack,
            small: (pack / 4).min(64 << 10),
            each,
            held: 0,
            lent: Arc::default(),
            peak: 0,
            clock: 0,
            index: Index::new(bits, arena.ledger())?,
            hidden: 0,
            units: Slab::new(),
            places: Slab::new(),
            clean: LruCache::unbounded(),
            dirty: LruCache::unbounded(),
            clean_bytes: 0,
            writing_bytes: 0,
            latest: None,
            open: None,
            cache: None,
            writes: VecDeque::new(),
            busy: 0,
            loading: FxHashSet::default(),
            sparse: Vec::new(),
            dead_bytes: 0,
            streams: Streams::default(),
            flushing: false,
            flush_left: 0,
            failures: 0,
            last_failure: None,
            ahead: VecDeque::new(),
            wanted: FxHashSet::default(),
            next_packs: VecDeque::new(),
            last_pack: u32::MAX,
            ahead_bytes: 0,
            failed: None,
            resting: false,
            closing: false,
            trash: Vec::new(),
            overflowed: None,
            hits: 0,
            misses: 0,
            prefetched: 0,
            evicted: 0,
            repacked: 0,
        })
    }

    // ---- counting

    /// The bytes of the index, and of what is known of places on disk.
    pub(super) fn fixed(&self) -> u64 {
        self.index.bytes() + self.places.len() as u64 * PLACE_BYTES + self.streams.bytes()
    }

    /// All that is counted.
    pub(super) fn total(&self) -> u64 {
        self.held + self.fixed() + self.lent.load(Relaxed)
    }

    /// Counts bytes, if they fit once clean units have left.
    pub(super) fn reserve(&mut self, bytes: u64) -> bool {
        while self.total() + bytes > self.memory {
            if !self.evict_clean() {
                return false;
            }
        }
        self.held += bytes;
        self.peak = self.peak.max(self.total());
        true
    }

    /// Makes the clock go on.
    pub(super) fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// What a pack takes.
    pub(super) fn pack_cost(&self) -> u64 {
        Arena::footprint(self.pack) + UNIT_BYTES + PLACE_BYTES + (self.most_records() * size_of::<(u32, Home)>()) as u64
    }

    pub(super) fn most_records(&self) -> usize {
        (self.pack / 64).max(16)
    }

    // ---- packs

    /// Whether the open pack has room for a record of `len` bytes.
    pub(super) fn open_has_room(&self, len: usize) -> bool {
        self.has_room(self.open, len)
    }

    pub(super) fn has_room(&self, pack: Option<u32>, len: usize) -> bool {
        let unit = pack.and_then(|id| self.units.get(id));
        unit.is_some_and(|unit| unit.records < self.most_records() && unit.used + len <= unit.pack().map_or(0, <[u8]>::len))
    }

    /// Opens a pack whose bytes are reserved; the one before is sealed.
    pub(super) fn open_pack(&mut self) -> Result<()> {
        self.seal_open();
        let unit = Unit::new(Body::Open(self.arena.alloc(self.pack)?), Homes::Nowhere, self.pack_cost(), &self.lent);
        self.open = Some(self.units.insert(unit));
        Ok(())
    }

    /// Ends the filling of the open pack: from here on it can be written.
    pub(super) fn seal_open(&mut self) {
        if let Some(id) = self.open.take() {
            self.seal(id);
        }
    }

    /// Ends the filling of the cache pack: from here on it can leave.
    pub(super) fn seal_cache(&mut self) {
        if let Some(id) = self.cache.take() {
            self.seal(id);
        }
    }

    pub(super) fn seal(&mut self, id: u32) {
        let tick = self.tick();
        if let Some(unit) = self.units.get_mut(id) {
            unit.seal();
            unit.tick = tick;
        }
        self.settle(id);
    }

    /// Appends a record to the open pack, which has room for it, and gives its place.
    pub(super) fn append(&mut self, hash: u64, draft: &Draft<'_>, check: u64) -> Option<Loc> {
        let id = self.open?;
        let unit = self.units.get_mut(id)?;
        let (begin, len) = (unit.used, draft.len());
        if let Body::Open(buffer) = &mut unit.body {
            draft.write(hash, check, buffer.get_mut(begin..begin + len)?);
        }
        unit.used += len;
        unit.records += 1;
        unit.gains(len as u64);
        Some(Loc::in_memory(id, begin as u32, len as u64))
    }

    /// Keeps a copy of a record that was read on its own, if there is room.
    pub(super) fn remember(&mut self, at: At, loc: Loc, home: Home, record: &[u8]) {
        let cost = self.pack_cost();
        if !self.has_room(self.cache, record.len()) {
            self.seal_cache();
            if record.len() > self.pack || !self.reserve(cost) {
                return;
            }
            let Ok(buffer) = self.arena.alloc(self.pack) else {
                self.held -= cost;
                return;
            };
            let homes = Homes::Each(Vec::with_capacity(self.most_records()));
            self.cache = Some(self.units.insert(Unit::new(Body::Open(buffer), homes, cost, &self.lent)));
        }
        let Some((id, unit)) = self.cache.and_then(|id| Some((id, self.units.get_mut(id)?))) else { return };
        let begin = unit.used;
        if let (Body::Open(buffer), Homes::Each(homes)) = (&mut unit.body, &mut unit.homes)
            && let Some(to) = buffer.get_mut(begin..begin + record.len())
        {
            to.copy_from_slice(record);
            homes.push((begin as u32, home));
            unit.used += record.len();
            unit.records += 1;
            unit.gains(loc.bytes());
            self.index.set(at, loc.moved(id, begin as u32));
        }
    }

    /// Takes a pack that was read as a whole, whose bytes are reserved.
    pub(super) fn adopt(&mut self, place: u32, buffer: Buffer, used: usize, ahead: bool) {
        let cost = self.pack_cost();
        let tick = self.tick();
        let mut unit = Unit::new(Body::Pack(buffer.clone()), Homes::Place(place), cost, &self.lent);
        (unit.used, unit.tick) = (used, tick);
        let id = self.units.insert(unit);
        let (mut live, mut bytes) = (0, 0);
        for (offset, record) in record::records(&buffer, used) {
            let home = Home { place, offset };
            if let Some(at) = self.index.find_where(record.hash, |loc| loc.home() == Some(home))
                && let Some(loc) = self.index.loc(at)
            {
                self.index.set(at, loc.moved(id, offset));
                live += 1;
                bytes += loc.bytes();
            }
        }
        if let Some(unit) = self.units.get_mut(id) {
            (unit.live, unit.live_bytes) = (live, bytes);
            // Its place is counted already.
            unit.bytes -= PLACE_BYTES;
            unit.ahead = ahead;
            self.held -= PLACE_BYTES;
            if ahead {
                self.ahead_bytes += unit.bytes;
            }
        }
        if let Some(place) = self.places.get_mut(place) {
            place.copy = Some(id);
        }
        self.settle(id);
    }

    /// Finds a small value whose home is a pack that is in memory. It was not found there because, when that was read, it was in another
    /// unit, which has left since.
    pub(super) fn rejoin(&mut self, hash: u64, key: &[u8], loc: Loc, home: Home) -> bool {
        let Some(id) = self.places.get(home.place).and_then(|place| place.copy) else { return false };
        let there = self.units.get_mut(id).filter(|unit| matches!(unit.body, Body::Pack(_)));
        match (there, self.index.find(hash, key).filter(|at| self.index.loc(*at) == Some(loc))) {
            (Some(unit), Some(at)) => {
                unit.gains(loc.bytes());
                self.index.set(at, loc.moved(id, home.offset));
                true
            }
            _ => false,
        }
    }

    /// Whether a place on disk is still that of a slot; always so where values have homes that are not used again.
    pub(super) fn is_same_place(&self, home: Home, slot: Option<&Arc<Slot>>) -> bool {
        slot.is_none_or(|slot| self.places.get(home.place).is_some_and(|place| Arc::ptr_eq(&place.slot, slot)))
    }

    /// Takes a value on its own, whose bytes are reserved, and gives its place.
    pub(super) fn keep(&mut self, hash: u64, chunk: Chunk, homes: Homes, bytes: u64, ahead: bool) -> Loc {
        let len = chunk.nbytes();
        let tick = self.tick();
        let mut unit = Unit::new(Body::Alone(chunk), homes, bytes, &self.lent);
        let loc = Loc::in_memory(0, 0, len).alone();
        (unit.hash, unit.tick, unit.ahead) = (hash, tick, ahead);
        unit.gains(loc.bytes());
        if ahead {
            self.ahead_bytes += bytes;
        }
        let id = self.units.insert(unit);
        self.settle(id);
        loc.moved(id, 0)
    }

    // ---- values

    /// Makes a key stand for a value that is in memory; what it stood for before is forgotten. There is room in the index.
    pub(super) fn point(&mut self, hash: u64, key: &[u8], loc: Loc) {
        match self.index.find(hash, key) {
            Some(at) => {
                let old = self.index.loc(at);
                self.index.set(at, loc);
                if let Some(old) = old {
                    self.forget(old);
                }
            }
            None => self.index.insert(hash, key, loc),
        }
    }

    /// Forgets a key.
    pub(super) fn remove(&mut self, at: At) {
        if let Some(loc) = self.index.loc(at) {
            self.index.remove(at);
            self.forget(loc);
        }
    }

    /// Forgets the value at a place: no key is found there any more.
    pub(super) fn forget(&mut self, loc: Loc) {
        let Some((id, offset)) = loc.memory() else {
            if let Some(home) = loc.home() {
                self.dies(home, loc.bytes());
            }
            return;
        };
        let Some(unit) = self.units.get_mut(id) else { return };
        unit.loses(loc.bytes());
        if let Some(home) = unit.home(offset) {
            self.dies(home, loc.bytes());
        }
        self.end_if_empty(id);
    }

    /// A value on disk is wanted by no key any more.
    pub(super) fn dies(&mut self, home: Home, bytes: u64) {
        if self.each {
            return;
        }
        let Some(place) = self.places.get_mut(home.place) else { return };
        place.live = place.live.saturating_sub(1);
        let before = place.live_bytes;
        place.live_bytes = before.saturating_sub(bytes);
        self.dead_bytes += bytes;
        let (used, live) = (place.used, place.live_bytes);
        if place.live == 0 {
            self.free_place(home.place);
        } else if place.pack && before * 2 >= used && live * 2 < used {
            self.sparse.push(home.place);
        }
    }

    pub(super) fn free_place(&mut self, id: u32) {
        if let Some(place) = self.places.remove(id) {
            self.dead_bytes = self.dead_bytes.saturating_sub(place.used.saturating_sub(place.live_bytes));
            // A copy has no place any more; it has no values either.
            if let Some(unit) = place.copy.and_then(|id| self.units.get_mut(id)) {
                unit.homes = Homes::Nowhere;
            }
            self.trash.push(Trash::Slot(place.slot));
        }
    }

    /// Says that a unit is being used.
    pub(super) fn used(&mut self, id: u32) {
        let tick = self.tick();
        if self.latest == Some(id) {
            if let Some(unit) = self.units.get_mut(id) {
                unit.tick = tick;
            }
            return;
        }
        self.latest = Some(id);
        self.used_ahead(id);
        if let Some(unit) = self.units.get_mut(id) {
            unit.tick = tick;
            let list = if unit.is_clean() { &mut self.clean } else { &mut self.dirty };
            if let Some(at) = list.get_mut(&id) {
                *at = tick;
            }
        }
    }

    pub(super) fn used_ahead(&mut self, id: u32) {
        if let Some(unit) = self.units.get_mut(id).filter(|unit| unit.ahead) {
            unit.ahead = false;
            self.ahead_bytes -= unit.bytes;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
impl State {
    /// Counts everything anew while nothing is under way, and compares.
    pub(super) fn check(&self) {
        use std::collections::HashMap;
        assert_eq!((self.busy, self.writing_bytes, self.loading.len()), (0, 0, 0));
        /// How many values, and their bytes.
        type Counts = HashMap<u32, (u32, u64)>;
        let (mut in_units, mut in_places) = (Counts::new(), Counts::new());
        for (key, loc) in (0..self.index.shards()).flat_map(|shard| self.index.entries(shard)) {
            let home = match loc.memory() {
                Some((id, offset)) => {
                    let unit = self.units.get(id).unwrap();
                    if !loc.is_alone() {
                        let record = unit.record(offset).unwrap();
                        assert_eq!((record.hash, record.is_sound(), record.len() as u64), (super::index::hash_of(key), true, loc.bytes()));
                    }
                    let counts = in_units.entry(id).or_default();
                    *counts = (counts.0 + 1, counts.1 + loc.bytes());
                    unit.home(offset)
                }
                None => Some(loc.home().unwrap()),
            };
            if let Some(home) = home.filter(|_| !self.each) {
                let counts = in_places.entry(home.place).or_default();
                *counts = (counts.0 + 1, counts.1 + loc.bytes());
            }
        }
        let mut held = 0;
        for id in 0..self.units.numbers() {
            let Some(unit) = self.units.get(id) else { continue };
            held += unit.bytes;
            assert_eq!((unit.live, unit.live_bytes), in_units.remove(&id).unwrap_or_default(), "unit {id}");
            let listed = u32::from(self.clean.contains(&id)) + u32::from(self.dirty.contains(&id));
            let filling = self.open == Some(id) || self.cache == Some(id);
            assert_eq!(listed, u32::from(!filling), "unit {id}: {:?}", unit.homes);
            assert!(filling || unit.live > 0);
            if let Homes::Place(place) = unit.homes {
                assert_eq!(self.places.get(place).unwrap().copy, Some(id));
            }
        }
        let mut dead = 0;
        for id in 0..self.places.numbers() {
            let Some(place) = self.places.get(id) else { continue };
            assert_eq!((place.live, place.live_bytes), in_places.remove(&id).unwrap_or_default(), "place {id}");
            assert!(place.live > 0);
            dead += place.used - place.live_bytes;
        }
        assert_eq!((self.held, self.dead_bytes), (held, dead));
        assert_eq!((in_units.len(), in_places.len()), (0, 0));
        assert!(self.peak <= self.memory && self.total() <= self.memory);
    }
}
