//! What a chest does, whatever the types of its keys and values: put, get and remove by the bytes of a key.

use super::disk::Disk;
use super::index::{Home, Index, LONGEST_KEY, Loc, hash_of};
use super::record::{self, Draft, Record};
use super::state::State;
use super::unit::{Body, Homes, Pin, UNIT_BYTES};
use crate::{Arena, Buffer, Chunk, ChunkKind, Error, ErrorKind, Result};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;

/// The least memory of a chest.
const LEAST_MEMORY: u64 = 8 << 10;

/// The longest payload that is copied under the lock where the value is decoded from a copy.
const COPIED: usize = 4096;

/// A function that is told a key.
pub(super) type Hook = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// Functions that are told what happens.
#[derive(Default)]
pub(super) struct Hooks {
    pub(super) on_miss: Option<Hook>,
    pub(super) on_overflow: Option<Hook>,
}

pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    /// Told when there may be work for the background.
    pub(super) work: Condvar,
    /// Told when a write or a load has ended, or memory was given back.
    pub(super) changed: Condvar,
    pub(super) disk: Disk,
    pub(super) arena: Arena,
    pub(super) hooks: Mutex<Hooks>,
    pub(super) watched: AtomicBool,
    /// The most bytes of a value that goes in a pack.
    pub(super) small: usize,
}

pub(super) type Guard<'a> = MutexGuard<'a, State>;

/// A chest without types.
pub(super) struct Core {
    pub(super) shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// What is found under a key.
pub(super) enum Got {
    /// No value.
    Nothing,
    /// A copy of its bytes was made.
    Copied(ChunkKind),
    /// The value, and what keeps it counted.
    Chunk(Chunk, Arc<Pin>),
    /// A stream of a generation.
    Stream(bool),
}

/// How a value is wanted.
pub(super) enum Want<'a> {
    /// To be decoded: a copy of a small one's bytes will do.
    Copy(&'a mut Vec<u8>),
    /// To be kept.
    Share,
}

impl Core {
    pub(super) fn open(disk: Disk, memory: u64, arena: Arena, threads: usize) -> Result<Self> {
        if memory < LEAST_MEMORY {
            let message = format!("{memory} bytes of memory are too few for a chest");
            return Err(Error::new(ErrorKind::Invalid, message).hint(format!("give it {LEAST_MEMORY} at least")));
        }
        let mut state = State::new(memory, disk.writes_each(), &arena)?;
        if let Some(saved) = disk.saved() {
            saved.load(&mut state)?;
        }
        let (small, state) = (state.small, Mutex::new(state));
        let (hooks, watched) = (Mutex::default(), AtomicBool::new(false));
        let shared = Arc::new(Shared { state, work: Condvar::new(), changed: Condvar::new(), disk, arena, hooks, watched, small });
        let mut core = Core { shared, threads: Vec::new() };
        for number in 0..threads {
            let shared = Arc::clone(&core.shared);
            let thread = std::thread::Builder::new().name(format!("chest-io-{number}")).spawn(move || super::work::run(&shared));
            core.threads.push(thread.map_err(|e| Error::io("no thread can be started for the chest", e))?);
        }
        Ok(core)
    }

    /// Ends the background threads.
    pub(super) fn close(&mut self) {
        self.shared.state.lock().closing = true;
        self.shared.work.notify_all();
        for thread in self.threads.drain(..) {
            thread.join().ok();
        }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.close();
    }
}

/// What a value of `bytes` on its own takes.
pub(super) fn cost_alone(bytes: u64) -> u64 {
    Arena::footprint(usize::try_from(bytes).unwrap_or(usize::MAX / 2)) + UNIT_BYTES + super::state::PLACE_BYTES
}

impl Shared {
    // ---- put

    /// Keeps a small value, given as what a record is made of.
    pub(super) fn put_small(&self, key: &[u8], draft: &Draft<'_>, flags: impl Fn(Loc) -> Loc) -> Result<()> {
        check_key(key)?;
        let (hash, check, len) = (hash_of(key), draft.check(), draft.len());
        let mut state = self.state.lock();
        let result = self.put_record(&mut state, hash, key, len).map(|()| {
            if let Some(loc) = state.append(hash, draft, check) {
                self.point(&mut state, hash, key, flags(loc));
            }
        });
        self.leave(state);
        result
    }

    /// Makes room for a record of `len` bytes in the open pack, and for its key in the index.
    fn put_record(&self, state: &mut Guard<'_>, hash: u64, key: &[u8], len: usize) -> Result<()> {
        loop {
            self.make_index_room(state, hash, key)?;
            if state.open_has_room(len) {
                return Ok(());
            }
            state.seal_open();
            let cost = state.pack_cost();
            self.make_room(state, cost)?;
            if state.open_has_room(len) {
                state.held -= cost;
            } else if let Err(e) = self.patiently(state, |state| state.open_pack()) {
                state.held -= cost;
                return Err(e);
            }
        }
    }

    /// Reserves memory for a value on its own, and gives what that is.
    pub(super) fn reserve_alone(&self, bytes: u64) -> Result<u64> {
        let cost = cost_alone(bytes);
        let mut state = self.state.lock();
        let result = self.fits(&state, bytes, cost).and_then(|()| self.make_room(&mut state, cost));
        self.leave(state);
        result.map(|()| cost)
    }

    /// Gives back what was reserved.
    pub(super) fn unreserve(&self, cost: u64) {
        let mut state = self.state.lock();
        state.held -= cost;
        self.changed.notify_all();
        self.leave(state);
    }

    /// Keeps a value on its own.
    pub(super) fn put_alone(&self, key: &[u8], chunk: Chunk) -> Result<()> {
        let cost = self.reserve_alone(chunk.nbytes())?;
        self.put_reserved(key, chunk, cost)
    }

    /// Keeps a value on its own, for which `cost` is reserved.
    pub(super) fn put_reserved(&self, key: &[u8], chunk: Chunk, cost: u64) -> Result<()> {
        let hash = hash_of(key);
        let mut state = self.state.lock();
        let room = check_key(key).and_then(|()| self.make_index_room(&mut state, hash, key));
        match room {
            Ok(()) => {
                let loc = state.keep(hash, chunk, Homes::Nowhere, cost, false);
                self.point(&mut state, hash, key, loc);
            }
            Err(_) => state.held -= cost,
        }
        self.leave(state);
        room
    }

    /// An error where a value can never be in memory.
    pub(super) fn fits(&self, state: &State, bytes: u64, cost: u64) -> Result<()> {
        if cost <= state.memory.saturating_sub(state.fixed()) {
            return Ok(());
        }
        let message = format!("a value of {bytes} bytes does not fit into a chest that holds {} bytes in memory", state.memory);
        let hint =
            "write it by put_reader and read it by get_reader, which keep only a part of it in memory; or give the chest more memory";
        Err(Error::new(ErrorKind::OutOfMemory, message).hint(hint))
    }

    /// Puts a small or a large chunk.
    pub(super) fn put_chunk(&self, key: &[u8], chunk: &Chunk) -> Result<()> {
        if chunk.nbytes() > self.small as u64 {
            return self.put_alone(key, chunk.clone());
        }
        let mut header = Vec::new();
        let kind = record::header_of(chunk, &mut header)?;
        let payload = bytes_of(chunk);
        match header.len() + payload.len() > self.small && !payload.is_empty() {
            true => self.put_alone(key, chunk.clone()),
            false => self.put_small(key, &Draft { kind, header: &header, payload }, |loc| loc),
        }
    }

    /// Makes a key stand for a value, and forgets what it stood for before, with its parts if that was a stream.
    fn point(&self, state: &mut Guard<'_>, hash: u64, key: &[u8], loc: Loc) {
        let old = state.index.find(hash, key).and_then(|at| state.index.loc(at));
        if is_part(key) && old.is_none() {
            state.hidden += 1;
        }
        state.point(hash, key, loc);
        if let Some(generation) = old.and_then(Loc::generation)
            && loc.generation() != Some(generation)
        {
            self.forget_parts(state, key, generation);
        }
    }

    /// Forgets the parts of a stream.
    pub(super) fn forget_parts(&self, state: &mut State, key: &[u8], generation: bool) {
        forget_parts(state, key, generation, |part| self.disk.removed(part));
    }

    // ---- get

    /// The value of a key.
    pub(super) fn get(&self, key: &[u8], mut want: Want<'_>) -> Result<Got> {
        let hash = hash_of(key);
        let mut state = self.state.lock();
        if !state.wanted.is_empty() {
            state.wanted.remove(key);
        }
        let mut missed = false;
        let result = self.find(&mut state, hash, key, &mut want, &mut missed);
        if !missed {
            state.hits += u64::from(!matches!(result, Ok(Got::Nothing)));
        }
        self.leave(state);
        result
    }

    fn find(&self, state: &mut Guard<'_>, hash: u64, key: &[u8], want: &mut Want<'_>, missed: &mut bool) -> Result<Got> {
        loop {
            let Some(loc) = state.index.find(hash, key).and_then(|at| state.index.loc(at)) else { return Ok(Got::Nothing) };
            if let Some(generation) = loc.generation() {
                return Ok(Got::Stream(generation));
            }
            let Some(home) = loc.home() else {
                match self.take(state, loc, want)? {
                    Some(got) => return Ok(got),
                    None => continue,
                }
            };
            if !*missed {
                *missed = true;
                if self.watched.load(Relaxed) {
                    let hook = self.hooks.lock().on_miss.clone();
                    if let Some(hook) = hook {
                        MutexGuard::unlocked(state, || hook(key));
                        continue;
                    }
                }
            }
            if loc.bytes() == 0 {
                self.measure(state, hash, key, loc)?;
            } else if loc.is_alone() {
                self.load_alone(state, hash, key, loc, home)?;
            } else if let Some(got) = self.load_small(state, hash, key, loc, home, want)? {
                return Ok(got);
            }
        }
    }

    /// A value that is in memory. Nothing where the lock was released, so that it may have gone.
    fn take(&self, state: &mut Guard<'_>, loc: Loc, want: &mut Want<'_>) -> Result<Option<Got>> {
        let lost = || Error::new(ErrorKind::Invalid, "a unit of the chest is missing");
        let (id, offset) = loc.memory().ok_or_else(lost)?;
        state.used(id);
        let unit = state.units.get(id).ok_or_else(lost)?;
        if let Body::Alone(chunk) = &unit.body {
            return Ok(Some(Got::Chunk(chunk.clone(), Arc::clone(&unit.pin))));
        }
        let record = unit.record(offset).ok_or_else(lost)?;
        match (want, &unit.body) {
            (Want::Copy(out), _) if record.payload.len() <= COPIED && record.header.is_empty() => {
                out.clear();
                out.extend_from_slice(record.payload);
                Ok(Some(Got::Copied(record.kind)))
            }
            (_, Body::Pack(buffer)) => Ok(Some(Got::Chunk(record.share(buffer)?, Arc::clone(&unit.pin)))),
            _ => {
                // In a pack that is still being written to: a copy.
                let bytes = Arena::footprint(record.payload.len()).max(64);
                if !state.reserve(bytes) {
                    self.make_room(state, bytes)?;
                    state.held -= bytes;
                    return Ok(None);
                }
                let copy = state.units.get(id).and_then(|unit| {
                    let record = unit.record(offset)?;
                    Some(
                        self.arena
                            .alloc(record.payload.len())
                            .and_then(|buffer| record::chunk_of(record.kind, record.header, record::filled(buffer, record.payload))),
                    )
                });
                match copy {
                    Some(Ok(chunk)) => Ok(Some(Got::Chunk(chunk, state.lend(bytes)))),
                    Some(Err(e)) => {
                        state.held -= bytes;
                        Err(e)
                    }
                    // Making room has moved it.
                    None => {
                        state.held -= bytes;
                        Ok(None)
                    }
                }
            }
        }
    }

    /// Finds out how long a value on disk is.
    fn measure(&self, state: &mut Guard<'_>, hash: u64, key: &[u8], loc: Loc) -> Result<()> {
        let trash = std::mem::take(&mut state.trash);
        let payload = MutexGuard::unlocked(state, || {
            drop(trash);
            self.disk.payload_len(key)
        })?;
        if let Some(at) = state.index.find(hash, key).filter(|at| state.index.loc(*at) == Some(loc)) {
            // The header of a chunk may come on top, which is why this leaves some room.
            let known = loc.with_len(payload.max(1));
            let alone = payload + 64 > self.small as u64;
            state.index.set(at, if alone { known.alone() } else { known });
        }
        Ok(())
    }

    /// Reads a value that is on its own; it is in memory then, unless it was forgotten.
    fn load_alone(&self, state: &mut Guard<'_>, hash: u64, key: &[u8], loc: Loc, home: Home) -> Result<()> {
        if state.loading.contains(&home) {
            self.changed.wait(state);
            return Ok(());
        }
        self.make_room(state, cost_alone(loc.bytes()))?;
        state.misses += 1;
        self.read_alone(state, hash, key, loc, home, false)
    }

    /// Reads a value that is on its own, for which memory is reserved.
    fn read_alone(&self, state: &mut Guard<'_>, hash: u64, key: &[u8], loc: Loc, home: Home, ahead: bool) -> Result<()> {
        let cost = cost_alone(loc.bytes());
        let here = |index: &Index| index.find(hash, key).filter(|at| index.loc(*at) == Some(loc));
        if here(&state.index).is_none() || state.loading.contains(&home) {
            state.held -= cost;
            self.changed.notify_all();
            return Ok(());
        }
        let slot = state.places.get(home.place).map(|place| Arc::clone(&place.slot));
        state.loading.insert(home);
        state.busy += 1;
        if state.look_ahead() {
            self.work.notify_all();
        }
        let trash = std::mem::take(&mut state.trash);
        let read = MutexGuard::unlocked(state, || {
            drop(trash);
            self.retrying(|| self.disk.read_alone(slot.as_deref(), key))
        });
        state.busy -= 1;
        state.loading.remove(&home);
        let result = match (read, here(&state.index)) {
            (Ok(chunk), Some(at)) => {
                let homes = self.disk.homes_alone(home);
                let place = matches!(homes, Homes::Place(_));
                let cost = if place { cost - super::state::PLACE_BYTES } else { cost };
                if place {
                    state.held -= super::state::PLACE_BYTES;
                }
                let kept = state.keep(hash, chunk, homes, cost, ahead);
                if let Some((id, offset)) = kept.memory() {
                    state.index.set(at, loc.moved(id, offset));
                    if let Some(place) = state.places.get_mut(home.place).filter(|_| place) {
                        place.copy = Some(id);
                    }
                }
                Ok(())
            }
            (read, _) => {
                state.held -= cost;
                read.map(|_| ())
            }
        };
        self.changed.notify_all();
        result
    }

    /// Reads a small value, alone or with its pack; gives it, or nothing where it is in memory now or has gone.
    fn load_small(&self, state: &mut Guard<'_>, hash: u64, key: &[u8], loc: Loc, home: Home, want: &mut Want<'_>) -> Result<Option<Got>> {
        let pack = Home { place: home.place, offset: 0 };
        let place = state.places.get(home.place).map(|place| (Arc::clone(&place.slot), place.used as usize));
        if let Some((slot, used)) = &place {
            if state.loading.contains(&pack) {
                self.changed.wait(state);
                return Ok(None);
            }
            let cost = state.pack_cost();
            if state.missed(home.place) && state.reserve(cost) {
                self.load_pack(state, home.place, slot, *used, false)?;
                return Ok(None);
            }
            if state.look_ahead() {
                self.work.notify_all();
            }
        } else {
            state.misses += 1;
        }
        let trash = std::mem::take(&mut state.trash);
        let mut bytes = Vec::new();
        let read = MutexGuard::unlocked(state, || {
            drop(trash);
            self.disk.read_small(place.as_ref().map(|(slot, _)| &**slot), home, loc, key, hash, &mut bytes)
        });
        read?;
        let damaged = || Error::new(ErrorKind::Corrupt, "a small value on disk is not what was written");
        let record = Record::at(&bytes, 0).ok_or_else(damaged)?;
        if let Some(at) = state.index.find(hash, key).filter(|at| state.index.loc(*at) == Some(loc)) {
            let loc = loc.with_len(record.len() as u64);
            state.remember(at, loc, home, bytes.get(..record.len()).unwrap_or(&bytes));
        }
        match want {
            Want::Copy(out) if record.header.is_empty() => {
                out.clear();
                out.extend_from_slice(record.payload);
                Ok(Some(Got::Copied(record.kind)))
            }
            _ => {
                let cost = Arena::footprint(record.payload.len()).max(64);
                self.make_room(state, cost)?;
                let buffer = match self.patiently(state, |_| self.arena.alloc(record.payload.len())) {
                    Ok(buffer) => buffer,
                    Err(e) => {
                        state.held -= cost;
                        return Err(e);
                    }
                };
                let pin = state.lend(cost);
                let chunk = record::chunk_of(record.kind, record.header, record::filled(buffer, record.payload))?;
                Ok(Some(Got::Chunk(chunk, pin)))
            }
        }
    }

    /// Reads a pack as a whole, for which memory is reserved.
    pub(super) fn load_pack(&self, state: &mut Guard<'_>, place: u32, slot: &Arc<crate::Slot>, used: usize, ahead: bool) -> Result<()> {
        let pack = Home { place, offset: 0 };
        state.loading.insert(pack);
        state.busy += 1;
        if state.look_ahead() {
            self.work.notify_all();
        }
        let trash = std::mem::take(&mut state.trash);
        let read = MutexGuard::unlocked(state, || {
            drop(trash);
            self.retrying(|| self.disk.read_pack(slot))
        });
        state.busy -= 1;
        state.loading.remove(&pack);
        let cost = state.pack_cost();
        let same = state.places.get(place).is_some_and(|here| Arc::ptr_eq(&here.slot, slot) && here.copy.is_none());
        let result = match read {
            Ok(buffer) if same => {
                state.adopt(place, buffer, used, ahead);
                Ok(())
            }
            read => {
                state.held -= cost;
                read.map(|_| ())
            }
        };
        self.changed.notify_all();
        result
    }

    /// Reads a value ahead of its use, if there is room for it at once.
    pub(super) fn read_wanted(&self, state: &mut Guard<'_>, hash: u64, key: &[u8], loc: Loc, home: Home) {
        // An error comes again, and is reported, when the value is asked for.
        if loc.is_alone() {
            if state.reserve(cost_alone(loc.bytes())) {
                self.read_alone(state, hash, key, loc, home, true).ok();
            }
            return;
        }
        let next = state.ahead.front().and_then(|next| state.index.find(hash_of(next), next)).and_then(|at| state.index.loc(at));
        let together = next.and_then(Loc::home).is_some_and(|next| next.place == home.place);
        let pack = state.places.get(home.place).map(|place| (Arc::clone(&place.slot), place.used as usize));
        match pack {
            Some((slot, used)) if together => {
                let cost = state.pack_cost();
                if state.reserve(cost) {
                    self.load_pack(state, home.place, &slot, used, true).ok();
                }
            }
            _ => {
                self.load_small(state, hash, key, loc, home, &mut Want::Copy(&mut Vec::new())).ok();
            }
        }
    }

    /// Whether a key has a value.
    pub(super) fn contains(&self, key: &[u8]) -> bool {
        self.state.lock().index.find(hash_of(key), key).is_some()
    }

    /// Where the value of a key is.
    pub(super) fn loc_of(&self, key: &[u8]) -> Option<Loc> {
        let state = self.state.lock();
        state.index.find(hash_of(key), key).and_then(|at| state.index.loc(at))
    }

    /// Makes a key stand for a value that is on disk; `tell` is called under the lock.
    pub(super) fn put_home(&self, key: &[u8], home: Home, tell: impl FnOnce()) -> Result<()> {
        let hash = hash_of(key);
        let mut state = self.state.lock();
        let room = self.make_index_room(&mut state, hash, key);
        if room.is_ok() {
            self.point(&mut state, hash, key, Loc::unread(home));
            tell();
        }
        self.leave(state);
        room
    }

    /// Where on disk the value of a key is that is not in memory.
    pub(super) fn home_of(&self, key: &[u8]) -> Option<Home> {
        self.loc_of(key).and_then(Loc::home)
    }

    // ---- remove

    /// Forgets a key; whether it had a value.
    pub(super) fn remove(&self, key: &[u8]) -> bool {
        let hash = hash_of(key);
        let mut state = self.state.lock();
        state.wanted.remove(key);
        let found = state.index.find(hash, key);
        let was = found.is_some();
        if let Some(at) = found {
            let generation = state.index.loc(at).and_then(Loc::generation);
            self.disk.removed(key);
            state.remove(at);
            if let Some(generation) = generation {
                self.forget_parts(&mut state, key, generation);
            }
        }
        self.changed.notify_all();
        self.leave(state);
        was
    }

    // ---- room

    /// Makes room for a key in the index.
    fn make_index_room(&self, state: &mut Guard<'_>, hash: u64, key: &[u8]) -> Result<()> {
        loop {
            let more = state.index.growth(hash, key);
            if more == 0 || state.index.find(hash, key).is_some() {
                return Ok(());
            }
            self.make_room(state, more).map_err(|e| match e.kind() {
                ErrorKind::OutOfMemory => {
                    e.hint("the index of the keys has to be in memory, about 40 bytes and the key for each; give the chest more memory")
                }
                _ => e,
            })?;
            let grown = match state.index.growth(hash, key) <= more {
                true => self.patiently(state, |state| state.index.grow(hash, key)),
                false => Ok(()),
            };
            state.held -= more;
            grown?;
        }
    }

    /// Reserves bytes, waiting for writes where clean units are not enough.
    pub(super) fn make_room(&self, state: &mut Guard<'_>, bytes: u64) -> Result<()> {
        state.failed = None;
        loop {
            if state.reserve(bytes) {
                return Ok(());
            }
            if let Some(e) = state.failed.take() {
                return Err(e);
            }
            state.write_for(bytes);
            if state.busy == 0 && !state.has_dirty() {
                // What is still being filled can leave too.
                let before = state.held;
                state.seal_open();
                state.seal_cache();
                if state.reserve(bytes) {
                    return Ok(());
                }
                state.write_for(bytes);
                if state.busy == 0 && state.held == before {
                    let message = format!(
                        "no room for {bytes} bytes: {} of {} bytes are in use, all of them pinned or needed for the index",
                        state.total(),
                        state.memory
                    );
                    return Err(
                        Error::new(ErrorKind::OutOfMemory, message).hint("drop pinned values earlier, or give the chest more memory")
                    );
                }
            }
            if state.busy > 0 {
                self.work.notify_all();
                self.changed.wait(state);
            }
        }
    }

    /// Lets units leave memory until they take at most `bytes`.
    pub(super) fn shrink(&self, bytes: u64) -> Result<()> {
        let mut state = self.state.lock();
        state.failed = None;
        let result = loop {
            while state.held > bytes && state.evict_clean() {}
            if state.held <= bytes {
                break Ok(());
            }
            if let Some(e) = state.failed.take() {
                break Err(e);
            }
            state.seal_open();
            state.seal_cache();
            state.write_for(u64::MAX);
            if state.busy > 0 {
                self.work.notify_all();
                self.changed.wait(&mut state);
            } else if !state.evict_clean() {
                let message = format!("{} bytes cannot leave memory: they are pinned", state.held);
                break Err(Error::new(ErrorKind::OutOfMemory, message).hint("drop pinned values first"));
            }
        };
        self.leave(state);
        result
    }

    /// Writes all that is in memory only.
    pub(super) fn write_all(&self) -> Result<()> {
        let mut state = self.state.lock();
        state.failed = None;
        let mut left = state.write_everything();
        let mut tries = 0;
        let result = loop {
            self.work.notify_all();
            while left.iter().any(|id| state.is_unwritten(*id).0) {
                self.changed.wait(&mut state);
            }
            // A write that failed may have been reported to another who waited for it.
            left.retain(|id| state.is_unwritten(*id).1);
            if left.is_empty() {
                break Ok(());
            }
            tries += 1;
            if let Some(e) = state.failed.take() {
                break Err(e);
            }
            if tries == 4 {
                break Err(Error::new(ErrorKind::Io, "what is in memory cannot be written").hint("a call that needs room tells why"));
            }
            left = state.write_everything();
        };
        self.leave(state);
        result
    }

    /// Tries again after others gave memory back that was counted as free already.
    fn patiently<T>(&self, state: &mut Guard<'_>, mut attempt: impl FnMut(&mut State) -> Result<T>) -> Result<T> {
        let mut tries = 0;
        loop {
            match attempt(state) {
                Err(e) if e.kind() == ErrorKind::OutOfMemory && tries < 50 => {
                    let trash = std::mem::take(&mut state.trash);
                    MutexGuard::unlocked(state, || {
                        drop(trash);
                        if tries > 2 {
                            std::thread::sleep(std::time::Duration::from_millis(1));
                        }
                    });
                    tries += 1;
                }
                other => return other,
            }
        }
    }

    /// As [`Shared::patiently`], without the lock.
    pub(super) fn retrying<T>(&self, attempt: impl Fn() -> Result<T>) -> Result<T> {
        for _ in 0..50 {
            match attempt() {
                Err(e) if e.kind() == ErrorKind::OutOfMemory => std::thread::sleep(std::time::Duration::from_millis(1)),
                other => return other,
            }
        }
        attempt()
    }

    /// Ends a call: what it left over is dropped once the lock is free, the background told of work, and who wants to
    /// know of keys that left memory.
    pub(super) fn leave(&self, mut state: Guard<'_>) {
        let work = state.look_ahead();
        let trash = std::mem::take(&mut state.trash);
        let overflowed = state.overflowed.as_mut().map(std::mem::take).unwrap_or_default();
        drop(state);
        if work {
            self.work.notify_all();
        }
        drop(trash);
        self.tell_overflow(overflowed);
    }

    pub(super) fn tell_overflow(&self, keys: Vec<Box<[u8]>>) {
        if !keys.is_empty() {
            let hook = self.hooks.lock().on_overflow.clone();
            if let Some(hook) = hook {
                keys.iter().filter(|key| !is_part(key)).for_each(|key| hook(key));
            }
        }
    }
}

/// The key of a part of a stream; no key of a user's begins so.
pub(super) fn part_key(key: &[u8], generation: bool, number: u64) -> Vec<u8> {
    let mut part = Vec::with_capacity(key.len() + 10);
    part.extend([PART, u8::from(generation)]);
    part.extend(number.to_be_bytes());
    part.extend_from_slice(key);
    part
}

/// What the key of a part begins with.
const PART: u8 = 0xFF;

/// The generation, the number, and the key of the stream of the key of a part.
pub(super) fn part_base(part: &[u8]) -> Option<(bool, u64, &[u8])> {
    let (PART, rest) = part.split_first().map(|(first, rest)| (*first, rest))? else { return None };
    let (generation, rest) = rest.split_first()?;
    let (number, key) = rest.split_first_chunk::<8>()?;
    Some((*generation != 0, u64::from_be_bytes(*number), key))
}

/// Forgets the parts of a stream, and tells the key of each.
pub(super) fn forget_parts(state: &mut State, key: &[u8], generation: bool, mut tell: impl FnMut(&[u8])) {
    for number in 0u64.. {
        let part = part_key(key, generation, number);
        let Some(at) = state.index.find(hash_of(&part), &part) else { return };
        tell(&part);
        state.remove(at);
        state.hidden -= 1;
    }
}

pub(super) fn is_part(key: &[u8]) -> bool {
    key.first() == Some(&PART)
}

fn check_key(key: &[u8]) -> Result<()> {
    if key.len() <= LONGEST_KEY {
        return Ok(());
    }
    let message = format!("a key of {} bytes; {LONGEST_KEY} are the most", key.len());
    Err(Error::new(ErrorKind::Invalid, message).hint("use a shorter key, such as a hash of it"))
}

/// The bytes of a chunk.
pub(super) fn bytes_of(chunk: &Chunk) -> &[u8] {
    let (buffer, begin, len) = chunk.payload();
    buffer.get(begin..).and_then(|bytes| bytes.get(..len)).unwrap_or_default()
}

/// The buffer of a pack that was read.
pub(super) fn buffer_of(chunk: Chunk) -> Buffer {
    chunk.payload().0.clone()
}
