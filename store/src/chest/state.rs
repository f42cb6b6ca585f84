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

use super::index::{At, Home, Index, Loc, hash_of};
use super::record::{self, Draft};
use super::saved::{Framed, Saved};
use super::unit::{Body, Homes, Pin, Slab, UNIT_BYTES, Unit};
use crate::{Arena, Buffer, Chunk, Error, Result, Slot};
use lru::LruCache;
use rustc_hash::FxHashSet;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The memory that a place on disk takes.
pub(super) const PLACE_BYTES: u64 = 384;

/// Reads of a pack that come within so many misses make it worth reading as a whole.
const SOON: u64 = 32;

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
    missed: u64,
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
    arena: Arena,
    pub(super) memory: u64,
    /// The bytes of a pack, and the most bytes of a record.
    pub(super) pack: usize,
    pub(super) small: usize,
    /// Whether each value is written for itself.
    each: bool,
    pub(super) held: u64,
    pub(super) lent: Arc<AtomicU64>,
    pub(super) peak: u64,
    clock: u64,
    pub(super) index: Index,
    /// The keys that are parts of streams.
    pub(super) hidden: usize,
    pub(super) units: Slab<Unit>,
    pub(super) places: Slab<Place>,
    clean: LruCache<u32, u64>,
    dirty: LruCache<u32, u64>,
    clean_bytes: u64,
    writing_bytes: u64,
    latest: Option<u32>,
    pub(super) open: Option<u32>,
    cache: Option<u32>,
    /// Units to be written next.
    writes: VecDeque<u32>,
    /// Writes that wait or run, and loads that run.
    pub(super) busy: usize,
    /// What is being read as a whole.
    pub(super) loading: FxHashSet<Home>,
    /// Places less than half of which is alive.
    sparse: Vec<u32>,
    dead_bytes: u64,
    /// Keys of streams that are being written.
    pub(super) streaming: FxHashSet<Box<[u8]>>,
    /// Keys to be read ahead, in order; those that are no longer in `wanted` are passed over.
    pub(super) ahead: VecDeque<Box<[u8]>>,
    pub(super) wanted: FxHashSet<Box<[u8]>>,
    /// Packs that follow one that was read.
    pub(super) next_packs: VecDeque<u32>,
    last_pack: u32,
    ahead_bytes: u64,
    /// The error of the last write that failed, for who waits for room; until someone does, no more is written ahead.
    pub(super) failed: Option<Error>,
    resting: bool,
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
            streaming: FxHashSet::default(),
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
        self.index.bytes() + self.places.len() as u64 * PLACE_BYTES
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
    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    /// What a pack takes.
    pub(super) fn pack_cost(&self) -> u64 {
        Arena::footprint(self.pack) + UNIT_BYTES + PLACE_BYTES + (self.most_records() * size_of::<(u32, Home)>()) as u64
    }

    fn most_records(&self) -> usize {
        (self.pack / 64).max(16)
    }

    // ---- packs

    /// Whether the open pack has room for a record of `len` bytes.
    pub(super) fn open_has_room(&self, len: usize) -> bool {
        self.has_room(self.open, len)
    }

    fn has_room(&self, pack: Option<u32>, len: usize) -> bool {
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

    fn seal(&mut self, id: u32) {
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
    fn forget(&mut self, loc: Loc) {
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
    fn dies(&mut self, home: Home, bytes: u64) {
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

    fn free_place(&mut self, id: u32) {
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

    fn used_ahead(&mut self, id: u32) {
        if let Some(unit) = self.units.get_mut(id).filter(|unit| unit.ahead) {
            unit.ahead = false;
            self.ahead_bytes -= unit.bytes;
        }
    }

    // ---- leaving memory

    /// Takes the oldest clean unit that nobody uses out of memory.
    pub(super) fn evict_clean(&mut self) -> bool {
        for _ in 0..self.clean.len() {
            let Some((id, tick)) = self.clean.pop_lru() else { break };
            if self.units.get(id).is_some_and(Unit::is_pinned) {
                self.clean.put(id, tick);
                continue;
            }
            self.clean_bytes -= self.units.get(id).map_or(0, |unit| unit.bytes);
            self.evict(id);
            return true;
        }
        false
    }

    /// Sends the values of a clean unit home.
    fn evict(&mut self, id: u32) {
        self.used_ahead(id);
        let Some(unit) = self.units.remove(id) else { return };
        let mut overflowed = self.overflowed.take();
        let mut send = |index: &mut Index, hash, offset| {
            if let Some(at) = index.find_where(hash, |loc| loc.memory() == Some((id, offset)))
                && let (Some(loc), Some(home)) = (index.loc(at), unit.home(offset))
            {
                index.set(at, loc.at_home(home));
                self.evicted += 1;
                if let Some(keys) = &mut overflowed {
                    keys.push(index.key(at).into());
                }
            }
        };
        match &unit.body {
            Body::Alone(_) => send(&mut self.index, unit.hash, 0),
            Body::Open(_) => {}
            Body::Pack(buffer) if unit.live > 0 => {
                record::records(buffer, unit.used).for_each(|(offset, record)| send(&mut self.index, record.hash, offset));
            }
            Body::Pack(_) => {}
        }
        self.overflowed = overflowed;
        self.end(unit);
    }

    /// Ends a unit in which no key is found any more, unless it is open or being written.
    fn end_if_empty(&mut self, id: u32) {
        let empty = self.units.get(id).is_some_and(|unit| unit.live == 0 && !unit.writing);
        if empty && self.open != Some(id) && self.cache != Some(id) {
            self.unlist(id);
            self.used_ahead(id);
            if let Some(unit) = self.units.remove(id) {
                self.end(unit);
            }
        }
    }

    /// Ends the counting of a unit; while somebody uses it, its bytes count as lent.
    fn end(&mut self, unit: Unit) {
        self.held -= unit.bytes;
        if let Homes::Place(place) = &unit.homes
            && let Some(place) = self.places.get_mut(*place)
        {
            place.copy = None;
        }
        if unit.is_pinned() {
            unit.pin.lend(unit.bytes);
        }
        self.trash.push(Trash::Body(unit.body));
    }

    /// Counts reserved bytes as lent.
    pub(super) fn lend(&mut self, bytes: u64) -> Arc<Pin> {
        let pin = Pin::new(&self.lent);
        self.held -= bytes;
        pin.lend(bytes);
        pin
    }

    /// Puts a unit into the list where it belongs.
    fn settle(&mut self, id: u32) {
        self.end_if_empty(id);
        let Some(unit) = self.units.get(id).filter(|unit| !unit.writing) else { return };
        let (tick, bytes) = (unit.tick, unit.bytes);
        let list = match unit.is_clean() {
            true => {
                if self.clean.put(id, tick).is_none() {
                    self.clean_bytes += bytes;
                }
                &mut self.clean
            }
            false => {
                self.dirty.put(id, tick);
                &mut self.dirty
            }
        };
        // Written because it was the oldest: it leaves before what was used since.
        if list.peek_lru().is_some_and(|(_, oldest)| tick < *oldest) {
            list.demote(&id);
        }
    }

    fn unlist(&mut self, id: u32) {
        if self.clean.pop(&id).is_some() {
            self.clean_bytes -= self.units.get(id).map_or(0, |unit| unit.bytes);
        }
        self.dirty.pop(&id);
    }

    // ---- writing

    /// Queues writes that the rules of write-behind ask for; whether there is work for the background.
    pub(super) fn look_ahead(&mut self) -> bool {
        while !self.resting && self.total() > self.memory / 4 * 3 {
            let short = self.clean_bytes + self.writing_bytes < self.memory / 4;
            let due = self.dirty_is_due() && self.writing_bytes < self.memory / 8;
            if !(short || due) || !self.queue_write(true) {
                break;
            }
        }
        !self.writes.is_empty() || !self.ahead.is_empty() || !self.next_packs.is_empty() || self.repack_is_due()
    }

    /// Queues writes of at least `bytes`, whatever the rules say, once all clean units have left that nobody uses.
    pub(super) fn write_for(&mut self, bytes: u64) {
        self.resting = false;
        while self.writing_bytes < bytes && self.queue_write(true) {}
    }

    /// Queues the writes of all that is in memory only, without moving any of it, and gives the units.
    pub(super) fn write_everything(&mut self) -> Vec<u32> {
        self.resting = false;
        self.seal_open();
        while self.queue_write(false) {}
        (0..self.units.numbers()).filter(|id| self.units.get(*id).is_some_and(|unit| unit.writing)).collect()
    }

    /// Whether a unit is being written, or else still has to be.
    pub(super) fn is_unwritten(&self, id: u32) -> (bool, bool) {
        let unit = self.units.get(id);
        (unit.is_some_and(|unit| unit.writing), unit.is_some_and(|unit| !unit.is_clean() && unit.live > 0 && self.open != Some(id)))
    }

    fn dirty_is_due(&self) -> bool {
        match (self.dirty.peek_lru(), self.clean.peek_lru()) {
            (Some((_, dirty)), Some((_, clean))) => self.clock - dirty > 2 * (self.clock - clean),
            _ => false,
        }
    }

    /// Queues the write of the oldest dirty unit.
    fn queue_write(&mut self, move_few: bool) -> bool {
        let Some((id, _)) = self.dirty.pop_lru() else { return false };
        if move_few && self.repack_in_memory(id) {
            return true;
        }
        if let Some(unit) = self.units.get_mut(id) {
            unit.writing = true;
            self.busy += 1;
            self.writing_bytes += unit.bytes;
            self.writes.push_back(id);
        }
        true
    }

    /// Whether anything can be written.
    pub(super) fn has_dirty(&self) -> bool {
        !self.dirty.is_empty() || !self.writes.is_empty()
    }

    /// Whether units are being written.
    #[cfg(test)]
    pub(super) fn is_writing(&self) -> bool {
        self.writing_bytes > 0
    }

    /// The next unit to be written, if there is one.
    pub(super) fn next_write(&mut self) -> Option<Write> {
        loop {
            let id = self.writes.pop_front()?;
            let Some(unit) = self.units.get(id).filter(|unit| unit.live > 0) else {
                self.end_write(id, Ok(Homes::Nowhere));
                continue;
            };
            let body = match &unit.body {
                Body::Pack(buffer) => Body::Pack(buffer.clone()),
                Body::Alone(chunk) => Body::Alone(chunk.clone()),
                Body::Open(_) => continue,
            };
            let mut values = Vec::new();
            if self.each {
                let mut find = |hash, offset| {
                    if let Some(at) = self.index.find_where(hash, |loc| loc.memory() == Some((id, offset))) {
                        values.push((offset, self.index.key(at).into()));
                    }
                };
                match &unit.body {
                    Body::Pack(buffer) => record::records(buffer, unit.used).for_each(|(offset, record)| find(record.hash, offset)),
                    _ => find(unit.hash, 0),
                }
            }
            return Some(Write { unit: id, body, values });
        }
    }

    /// Ends a write to a slot.
    pub(super) fn end_slot(&mut self, id: u32, slot: Slot) {
        let Some(unit) = self.units.get_mut(id) else { return };
        if unit.live == 0 {
            self.trash.push(Trash::Slot(Arc::new(slot)));
            return self.end_write(id, Ok(Homes::Nowhere));
        }
        let pack = matches!(unit.body, Body::Pack(_));
        let (live, live_bytes) = (unit.live, unit.live_bytes);
        let used = if pack { unit.used as u64 } else { live_bytes };
        let place = Place { slot: Arc::new(slot), pack, used, live, live_bytes, missed: 0, copy: Some(id) };
        self.dead_bytes += used.saturating_sub(live_bytes);
        let place = self.places.insert(place);
        if live_bytes * 2 < used {
            self.sparse.push(place);
        }
        self.end_write(id, Ok(Homes::Place(place)));
    }

    /// Ends a write of values each for itself; `saved` is told which of them are still wanted.
    pub(super) fn end_each(&mut self, id: u32, values: Vec<Framed>, saved: &Saved) {
        let mut homes = Vec::with_capacity(values.len());
        for (offset, key, held) in values {
            if self.index.find(hash_of(&key), &key).and_then(|at| self.index.loc(at)).and_then(Loc::memory) == Some((id, offset)) {
                saved.note(&key, Some(held));
                homes.push((offset, saved.new_home()));
            }
        }
        self.end_write(id, Ok(Homes::Each(homes)));
    }

    /// Ends a write.
    pub(super) fn end_write(&mut self, id: u32, result: Result<Homes>) {
        self.busy -= 1;
        let Some(unit) = self.units.get_mut(id) else { return };
        self.writing_bytes -= unit.bytes;
        unit.writing = false;
        match result {
            Ok(homes) => {
                if let Homes::Place(_) = homes {
                    // What is known of the place was counted with the unit.
                    unit.bytes -= PLACE_BYTES;
                    self.held -= PLACE_BYTES;
                }
                unit.homes = homes;
            }
            Err(e) => {
                self.failed = Some(e);
                self.resting = true;
            }
        }
        self.settle(id);
    }

    // ---- reading

    /// Counts a miss of a value in a pack on disk; whether the pack is worth reading as a whole.
    pub(super) fn missed(&mut self, place: u32) -> bool {
        self.misses += 1;
        let (misses, last) = (self.misses, self.last_pack);
        let Some(here) = self.places.get_mut(place) else { return false };
        let soon = here.missed > 0 && misses - here.missed <= SOON;
        here.missed = misses;
        // The pack behind the one that was read as a whole before: values are got in the order in which they were put.
        let follows = last != u32::MAX && place == last.wrapping_add(1);
        if soon || follows {
            self.last_pack = place;
            if follows {
                self.next_packs.clear();
                self.next_packs.extend([place + 1, place + 2]);
            }
            return true;
        }
        !crate::Scratch::has_parts(&here.slot)
    }

    /// Whether so much was read ahead that was not used yet that no more should be.
    pub(super) fn ahead_enough(&self, bytes: u64) -> bool {
        let enough = self.ahead_bytes > 0 && self.ahead_bytes + bytes > self.memory / 4;
        enough || self.total() + bytes > self.memory + self.clean_bytes
    }

    /// The next pack to be read because it follows one that was.
    pub(super) fn next_pack(&mut self) -> Option<(u32, Arc<Slot>, usize)> {
        loop {
            let id = self.next_packs.pop_front()?;
            let Some(place) = self.places.get(id).filter(|place| place.copy.is_none()) else { continue };
            if !place.pack || self.loading.contains(&Home { place: id, offset: 0 }) {
                continue;
            }
            let (slot, used, cost) = (Arc::clone(&place.slot), place.used as usize, self.pack_cost());
            if self.ahead_enough(cost) || !self.reserve(cost) {
                return None;
            }
            self.last_pack = id;
            return Some((id, slot, used));
        }
    }

    // ---- repacking

    fn repack_is_due(&self) -> bool {
        let (all, one) = (self.places.len() as u64 * self.pack as u64, self.pack as u64);
        !self.sparse.is_empty() && self.dead_bytes > (all / 4).max(4 * one)
    }

    /// The next place on disk that is worth repacking, for which a pack's bytes are reserved.
    pub(super) fn next_sparse(&mut self) -> Option<(u32, Arc<Slot>, usize)> {
        while self.repack_is_due() {
            let cost = self.pack_cost();
            if self.total() + 2 * cost > self.memory + self.clean_bytes || !self.reserve(cost) {
                return None;
            }
            let id = self.sparse.pop()?;
            let free = !self.loading.contains(&Home { place: id, offset: 0 });
            match self.places.get(id).filter(|place| free && place.pack && place.live_bytes * 2 < place.used) {
                Some(place) => return Some((id, Arc::clone(&place.slot), place.used as usize)),
                None => self.held -= cost,
            }
        }
        None
    }

    /// Puts the values whose home is a pack on disk, which was read, into the open pack; their home is forgotten.
    pub(super) fn repack(&mut self, place: u32, buffer: &Buffer, used: usize) {
        self.move_live(buffer, used, |units, loc, offset| {
            let home = match loc.memory() {
                Some((id, offset)) => units.get(id).and_then(|unit| unit.home(offset)),
                None => loc.home(),
            };
            home == Some(Home { place, offset })
        });
    }

    /// Puts the values of a pack into the open pack, as far as there is room, where that is worth it; whether none is left.
    fn repack_in_memory(&mut self, id: u32) -> bool {
        let Some(unit) = self.units.get(id).filter(|unit| unit.live_bytes * 2 < unit.used as u64) else { return false };
        let (Body::Pack(buffer), used) = (&unit.body, unit.used) else { return false };
        let buffer = buffer.clone();
        self.move_live(&buffer, used, |_, loc, offset| loc.memory() == Some((id, offset)))
    }

    /// Puts records of a pack whose place is as wanted into the open pack; whether there was room for all.
    fn move_live(&mut self, buffer: &Buffer, used: usize, wanted: impl Fn(&Slab<Unit>, Loc, u32) -> bool) -> bool {
        for (offset, record) in record::records(buffer, used) {
            let units = &self.units;
            let found = self.index.find_where(record.hash, |loc| wanted(units, loc, offset));
            let Some((at, old)) = found.and_then(|at| Some((at, self.index.loc(at)?))) else { continue };
            let draft = record.draft();
            if !self.open_has_room(draft.len()) {
                let cost = self.pack_cost();
                if !self.reserve(cost) {
                    return false;
                }
                if self.open_pack().is_err() {
                    self.held -= cost;
                    return false;
                }
            }
            let Some((id, offset)) = self.append(record.hash, &draft, draft.check()).and_then(Loc::memory) else { return false };
            self.index.set(at, old.moved(id, offset));
            self.forget(old);
            self.repacked += 1;
        }
        true
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
