//! What a chest that decides by itself knows, and its decisions: which value leaves memory, and what is written ahead.
//!
//! Values in memory that nobody has pinned are in one of two lists by last use: `clean` (on disk too) or `dirty`.
//! A clean one leaves memory for nothing, a dirty one for a write. So a clean one leaves while it is at least half as
//! old as the oldest dirty one; else the dirty one is written, and is clean afterwards. Age is counted in uses.
//!
//! *Write-behind*: once `held` is above 3/4 of the bound, the oldest dirty values are written in the background until
//! a quarter of the bound is clean or being written, so that there is always something that can leave at once.
//!
//! Invariants: `held` is the sum of the bytes of what is counted, and at most the bound; a number is in at most one
//! list, and in none while it is pinned, being written or being read.

use super::entry::{Left, Residence};
use super::storable::{ChestKey, Storable};
use super::table::Table;
use crate::{Error, Result, Slot};
use lru::LruCache;
use rustc_hash::FxHashMap;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

/// What is known of a value beside where it is.
#[derive(Debug)]
struct Facts<K> {
    key: Option<K>,
    bytes: u64,
    pins: u32,
    /// When it was used last.
    tick: u64,
    /// Whether its bytes are in `held`.
    counted: bool,
    /// Whether it was read ahead of its use, and not used yet.
    ahead: bool,
    /// Whether it can be written.
    spills: bool,
}

pub(super) struct State<K, V> {
    memory: u64,
    pub(super) held: u64,
    pub(super) peak: u64,
    clock: u64,
    numbers: HashMap<K, u32>,
    facts: FxHashMap<u32, Facts<K>>,
    free: Vec<u32>,
    pub(super) table: Table<V>,
    clean: LruCache<u32, u64>,
    dirty: LruCache<u32, u64>,
    clean_bytes: u64,
    writing_bytes: u64,
    /// Values to be written next.
    writes: VecDeque<(u32, V)>,
    /// Writes that wait or run, and loads that run.
    pub(super) busy: usize,
    /// Keys to be read ahead, in order; those that are no longer in `wanted` are passed over.
    ahead: VecDeque<K>,
    wanted: HashSet<K>,
    ahead_bytes: u64,
    /// The error of the last write that failed, for who waits for room; until someone does, no more is written ahead.
    pub(super) failed: Option<Error>,
    pub(super) resting: bool,
    pub(super) closing: bool,
    /// What is to be dropped once the lock is free.
    pub(super) trash: Vec<Left<V>>,
    pub(super) hits: u64,
    pub(super) misses: u64,
    pub(super) prefetched: u64,
}

impl<K: ChestKey, V: Storable> State<K, V> {
    pub(super) fn new(memory: u64) -> Self {
        State {
            memory,
            held: 0,
            peak: 0,
            clock: 0,
            numbers: HashMap::new(),
            facts: FxHashMap::default(),
            free: Vec::new(),
            table: Table::new(),
            clean: LruCache::unbounded(),
            dirty: LruCache::unbounded(),
            clean_bytes: 0,
            writing_bytes: 0,
            writes: VecDeque::new(),
            busy: 0,
            ahead: VecDeque::new(),
            wanted: HashSet::new(),
            ahead_bytes: 0,
            failed: None,
            resting: false,
            closing: false,
            trash: Vec::new(),
            hits: 0,
            misses: 0,
            prefetched: 0,
        }
    }

    pub(super) fn number(&self, key: &K) -> Option<u32> {
        self.numbers.get(key).copied()
    }

    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    pub(super) fn keys(&self) -> Vec<K> {
        self.numbers.keys().cloned().collect()
    }

    pub(super) fn bytes(&self, id: u32) -> u64 {
        self.facts.get(&id).map_or(0, |facts| facts.bytes)
    }

    /// Counts bytes, if they fit once clean values have left.
    pub(super) fn reserve(&mut self, bytes: u64) -> bool {
        while self.held + bytes > self.memory {
            if !self.evict_clean() {
                return false;
            }
        }
        self.held += bytes;
        self.peak = self.peak.max(self.held);
        true
    }

    /// Keeps a new value, whose bytes are reserved; what had the key before is forgotten.
    pub(super) fn insert(&mut self, key: K, value: V, bytes: u64, spills: bool) -> Result<()> {
        let id = self.free.pop().unwrap_or(self.facts.len() as u32);
        let left = self.table.insert(id, value)?;
        self.discard(left);
        self.clock += 1;
        let facts = Facts { key: Some(key.clone()), bytes, pins: 0, tick: self.clock, counted: true, ahead: false, spills };
        self.facts.insert(id, facts);
        if let Some(old) = self.numbers.insert(key, id) {
            self.forget(old);
        }
        self.settle(id);
        Ok(())
    }

    /// Forgets the value of a key; whether there was one.
    pub(super) fn remove(&mut self, key: &K) -> bool {
        self.wanted.remove(key);
        match self.numbers.remove(key) {
            Some(id) => {
                self.forget(id);
                true
            }
            None => false,
        }
    }

    /// The value, pinned, if it is in memory.
    pub(super) fn pin(&mut self, id: u32) -> Option<V> {
        let value = self.table.get(id)?;
        self.unlist(id);
        self.clock += 1;
        let tick = self.clock;
        if let Some(facts) = self.facts.get_mut(&id) {
            facts.pins += 1;
            facts.tick = tick;
        }
        self.used_ahead(id);
        Some(value)
    }

    pub(super) fn unpin(&mut self, id: u32) {
        if let Some(facts) = self.facts.get_mut(&id) {
            facts.pins = facts.pins.saturating_sub(1);
        }
        self.settle(id);
    }

    /// Says that a key is being got: it need not be read ahead any more.
    pub(super) fn asked_for(&mut self, key: &K) {
        self.wanted.remove(key);
    }

    /// Replaces what is to be read ahead.
    pub(super) fn want(&mut self, keys: Vec<K>) {
        self.wanted = keys.iter().cloned().collect();
        self.ahead = keys.into();
    }

    /// Begins the load of a value whose bytes are reserved.
    pub(super) fn begin_load(&mut self, id: u32) -> Option<Arc<Slot>> {
        let slot = self.table.take_for_load(id)?;
        if let Some(facts) = self.facts.get_mut(&id) {
            facts.counted = true;
        }
        self.busy += 1;
        Some(slot)
    }

    /// Ends a load.
    pub(super) fn end_load(&mut self, id: u32, value: Option<V>) {
        self.busy -= 1;
        self.clock += 1;
        let tick = self.clock;
        match value {
            Some(value) => {
                let left = self.table.finish_load(id, value);
                self.discard(left);
                if let Some(facts) = self.facts.get_mut(&id) {
                    facts.tick = tick;
                }
            }
            None => {
                self.table.fail_load(id);
                if self.table.residence(id) == Residence::OnDisk {
                    self.uncount(id);
                }
            }
        }
        self.settle(id);
    }

    /// The next value to be written, if there is one.
    pub(super) fn next_write(&mut self) -> Option<(u32, V)> {
        self.writes.pop_front()
    }

    /// Ends a write.
    pub(super) fn end_write(&mut self, id: u32, result: Result<Slot>) {
        self.busy -= 1;
        self.writing_bytes -= self.bytes(id);
        match result {
            Ok(slot) => {
                let left = self.table.finish_write(id, slot);
                self.discard(left);
            }
            Err(e) => {
                if self.table.residence(id) == Residence::Writing {
                    self.failed = Some(e);
                    self.resting = true;
                }
                self.table.fail_write(id);
            }
        }
        self.settle(id);
    }

    /// Begins the next load ahead, where there is one and room for it can be made at once.
    pub(super) fn next_ahead(&mut self) -> Option<(u32, Arc<Slot>)> {
        loop {
            let key = self.ahead.front()?;
            let id = self.numbers.get(key).copied().filter(|_| self.wanted.contains(key));
            let Some(id) = id.filter(|id| self.table.residence(*id) == Residence::OnDisk) else {
                if let Some(key) = self.ahead.pop_front() {
                    self.wanted.remove(&key);
                }
                continue;
            };
            let bytes = self.bytes(id);
            let enough = self.ahead_bytes > 0 && self.ahead_bytes + bytes > self.memory / 4;
            if enough || self.held + bytes > self.memory + self.clean_bytes || !self.reserve(bytes) {
                return None;
            }
            if let Some(key) = self.ahead.pop_front() {
                self.wanted.remove(&key);
            }
            self.ahead_bytes += bytes;
            self.prefetched += 1;
            if let Some(facts) = self.facts.get_mut(&id) {
                facts.ahead = true;
            }
            return self.begin_load(id).map(|slot| (id, slot));
        }
    }

    /// Queues writes that the rules of write-behind ask for; whether there is work for the background.
    pub(super) fn look_ahead(&mut self) -> bool {
        while !self.resting && self.held > self.memory / 4 * 3 {
            let short = self.clean_bytes + self.writing_bytes < self.memory / 4;
            let due = self.dirty_is_due() && self.writing_bytes < self.memory / 8;
            if !(short || due) || !self.queue_write() {
                break;
            }
        }
        !self.writes.is_empty() || !self.ahead.is_empty()
    }

    /// Queues writes of at least `bytes`, whatever the rules say.
    pub(super) fn write_for(&mut self, bytes: u64) {
        self.resting = false;
        while self.clean_bytes + self.writing_bytes < bytes && self.queue_write() {}
    }

    fn dirty_is_due(&self) -> bool {
        match (self.dirty.peek_lru(), self.clean.peek_lru()) {
            (Some((_, dirty)), Some((_, clean))) => self.clock - dirty > 2 * (self.clock - clean),
            _ => false,
        }
    }

    /// Queues the write of the oldest dirty value.
    fn queue_write(&mut self) -> bool {
        let Some((id, _)) = self.dirty.pop_lru() else { return false };
        if let Some(value) = self.table.take_for_write(id) {
            self.busy += 1;
            self.writing_bytes += self.bytes(id);
            self.writes.push_back((id, value));
        }
        true
    }

    /// Takes the oldest clean value out of memory.
    fn evict_clean(&mut self) -> bool {
        let Some((id, _)) = self.clean.pop_lru() else { return false };
        self.clean_bytes -= self.bytes(id);
        self.used_ahead(id);
        if let Some(value) = self.table.drop_resident(id) {
            self.trash.push(Left { value: Some(value), slot: None });
            self.uncount(id);
        }
        true
    }

    fn forget(&mut self, id: u32) {
        self.unlist(id);
        self.used_ahead(id);
        if let Some(facts) = self.facts.get_mut(&id) {
            facts.key = None;
        }
        let left = self.table.forget(id);
        self.discard(left);
        self.settle(id);
    }

    /// Puts a value into the list where it belongs, or ends it if it is forgotten and nobody uses it.
    fn settle(&mut self, id: u32) {
        let Some(facts) = self.facts.get(&id) else { return };
        if facts.pins > 0 {
            return;
        }
        let (tick, bytes, spills) = (facts.tick, facts.bytes, facts.spills);
        match self.table.residence(id) {
            Residence::Absent if facts.key.is_none() => {
                self.uncount(id);
                self.facts.remove(&id);
                self.free.push(id);
            }
            Residence::Clean => {
                if self.clean.put(id, tick).is_none() {
                    self.clean_bytes += bytes;
                }
                // Written because it was the oldest: it leaves before what was used since.
                if self.clean.peek_lru().is_some_and(|(_, oldest)| tick < *oldest) {
                    self.clean.demote(&id);
                }
            }
            Residence::Dirty if spills => {
                self.dirty.put(id, tick);
                if self.dirty.peek_lru().is_some_and(|(_, oldest)| tick < *oldest) {
                    self.dirty.demote(&id);
                }
            }
            _ => {}
        }
    }

    fn unlist(&mut self, id: u32) {
        if self.clean.pop(&id).is_some() {
            self.clean_bytes -= self.bytes(id);
        }
        self.dirty.pop(&id);
    }

    fn uncount(&mut self, id: u32) {
        if let Some(facts) = self.facts.get_mut(&id).filter(|facts| facts.counted) {
            facts.counted = false;
            self.held -= facts.bytes;
        }
    }

    fn used_ahead(&mut self, id: u32) {
        if let Some(facts) = self.facts.get_mut(&id).filter(|facts| facts.ahead) {
            facts.ahead = false;
            self.ahead_bytes -= facts.bytes;
        }
    }

    fn discard(&mut self, left: Left<V>) {
        if !left.is_nothing() {
            self.trash.push(left);
        }
    }
}
