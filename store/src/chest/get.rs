//! Finding values, and reading those that are on disk.

use super::core::{Got, Guard, Shared, Want, cost_alone};
use super::index::{Home, Index, Loc, hash_of};
use super::record::{self, Record};
use super::saved::{Row, Saved, home_at};
use super::unit::{Body, Homes};
use crate::saved::Held;
use crate::{Arena, Error, ErrorKind, Result};
use parking_lot::MutexGuard;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// The longest payload that is copied under the lock where the value is decoded from a copy.
const COPIED: usize = 4096;

impl Shared {
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
            if let Some(stream) = loc.is_stream().then(|| state.streams.get(key)).flatten() {
                return Ok(Got::Stream(stream));
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
        // Places are used again, so that the same one may be another by now.
        let same = state.is_same_place(home, slot.as_ref());
        let result = match (read, here(&state.index).filter(|_| same)) {
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
        if state.rejoin(hash, key, loc, home) {
            return Ok(None);
        }
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
        let (mut bytes, most) = (Vec::new(), state.pack);
        let read = MutexGuard::unlocked(state, || {
            drop(trash);
            self.disk.read_small(place.as_ref().map(|(slot, _)| &**slot), home, loc, (key, hash), most, &mut bytes)
        });
        let row = read?;
        // Places are used again, so that the same one may be another by now.
        let same = state.is_same_place(home, place.as_ref().map(|(slot, _)| slot));
        let damaged = || Error::new(ErrorKind::Corrupt, "a small value on disk is not what was written");
        let record = Record::at(&bytes, 0).ok_or_else(damaged)?;
        if let Some(at) = state.index.find(hash, key).filter(|at| same && state.index.loc(*at) == Some(loc)) {
            let loc = loc.with_len(record.len() as u64);
            state.remember(at, loc, home, bytes.get(..record.len()).unwrap_or(&bytes));
        }
        self.remember_row(state, &row);
        match want {
            Want::Warm => Ok(None),
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

    /// Keeps what was read with another value, as far as it is what its keys stand for.
    fn remember_row(&self, state: &mut Guard<'_>, row: &Row) {
        for value in &row.values {
            let (Some(key), Some(record)) = (row.bytes.get(value.key.clone()), row.bytes.get(value.record.clone())) else { continue };
            let home = home_at(value.place);
            let known = |loc: &Loc| loc.home() == Some(home) && !loc.is_alone() && !loc.is_stream();
            if let Some(at) = state.index.find(value.hash, key)
                && let Some(loc) = state.index.loc(at).filter(known)
            {
                state.remember(at, loc.with_len(record.len() as u64), home, record);
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
        if state.rejoin(hash, key, loc, home) {
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
                self.load_small(state, hash, key, loc, home, &mut Want::Warm).ok();
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

    /// Makes a key stand for a value that is on disk at a path.
    pub(super) fn put_home(&self, saved: &Saved, key: &[u8], held: Held) -> Result<()> {
        let hash = hash_of(key);
        let mut state = self.state.lock();
        self.wait_for_flush(&mut state, hash, key);
        let room = self.make_index_room(&mut state, hash, key);
        if room.is_ok() {
            self.point(&mut state, hash, key, Loc::unread(home_at(held.place)));
            state.note(saved, key, Some(held));
        }
        self.leave(state);
        room
    }

    /// Where on disk the value of a key is that is not in memory.
    pub(super) fn home_of(&self, key: &[u8]) -> Option<Home> {
        self.loc_of(key).and_then(Loc::home)
    }
}
