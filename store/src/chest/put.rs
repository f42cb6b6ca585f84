//! Keeping and forgetting values.

use super::core::{Guard, Shared, bytes_of, check_key, cost_alone, forget_parts, is_part};
use super::index::{Loc, hash_of};
use super::record::{self, Draft};
use super::state::State;
use super::unit::Homes;
use crate::{Chunk, Error, ErrorKind, Result};

impl Shared {
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
    pub(super) fn point(&self, state: &mut Guard<'_>, hash: u64, key: &[u8], loc: Loc) {
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
}
