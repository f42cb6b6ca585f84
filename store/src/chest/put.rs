//! Keeping and forgetting values.

use super::core::{Guard, Shared, bytes_of, check_key, cost_alone, is_part};
use super::index::{Loc, hash_of};
use super::record::{self, Draft};
use super::state::State;
use super::streams::{Stream, Streams};
use super::unit::Homes;
use crate::{Chunk, Error, ErrorKind, Result};

/// Memory that is reserved until this is dropped.
pub(super) struct Reserved<'a> {
    shared: &'a Shared,
    cost: u64,
}

impl Reserved<'_> {
    /// Says that it is counted elsewhere from here on; how much it is.
    fn used(mut self) -> u64 {
        std::mem::take(&mut self.cost)
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        if self.cost > 0 {
            let mut state = self.shared.state.lock();
            state.held -= self.cost;
            self.shared.changed.notify_all();
            self.shared.leave(state);
        }
    }
}

impl Shared {
    /// Keeps a small value, given as what a record is made of.
    pub(super) fn put_small(&self, key: &[u8], draft: &Draft<'_>) -> Result<()> {
        check_key(key)?;
        let (hash, check, len) = (hash_of(key), draft.check(), draft.len());
        let mut state = self.state.lock();
        let result = self.put_record(&mut state, hash, key, len).map(|()| {
            if let Some(loc) = state.append(hash, draft, check) {
                self.point(&mut state, hash, key, loc);
            }
        });
        self.leave(state);
        result
    }

    /// Keeps the head of a stream whose parts are put, unless not all of them are there any more.
    pub(super) fn put_head(&self, key: &[u8], draft: &Draft<'_>, stream: Stream) -> Result<()> {
        check_key(key)?;
        let (hash, check, len, cost) = (hash_of(key), draft.check(), draft.len(), Streams::cost(key));
        let mut state = self.state.lock();
        let result = loop {
            if let Err(e) = self.put_record(&mut state, hash, key, len) {
                break Err(e);
            }
            // What is reserved is counted with the streams from here on.
            if state.reserve(cost) {
                state.held -= cost;
                if let Some(loc) = state.append(hash, draft, check) {
                    self.point(&mut state, hash, key, loc.stream());
                    state.streams.insert(key, stream);
                }
                break Ok(());
            }
            match self.make_room(&mut state, cost) {
                Ok(()) => state.held -= cost,
                Err(e) => break Err(e),
            }
        };
        self.leave(state);
        result
    }

    /// Makes room for a record of `len` bytes in the open pack, and for its key in the index.
    fn put_record(&self, state: &mut Guard<'_>, hash: u64, key: &[u8], len: usize) -> Result<()> {
        loop {
            self.wait_for_flush(state, hash, key);
            self.make_index_room(state, hash, key)?;
            if state.is_flushing(hash, key) {
                continue;
            }
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

    /// Reserves memory for a value on its own.
    pub(super) fn reserve_alone(&self, bytes: u64) -> Result<Reserved<'_>> {
        let cost = cost_alone(bytes);
        let mut state = self.state.lock();
        let result = self.fits(&state, bytes, cost).and_then(|()| self.make_room(&mut state, cost));
        self.leave(state);
        result.map(|()| Reserved { shared: self, cost })
    }

    /// Keeps a value on its own.
    pub(super) fn put_alone(&self, key: &[u8], chunk: Chunk) -> Result<()> {
        let cost = self.reserve_alone(chunk.nbytes())?;
        self.put_reserved(key, chunk, cost)
    }

    /// Keeps a value on its own, for which memory is reserved.
    pub(super) fn put_reserved(&self, key: &[u8], chunk: Chunk, reserved: Reserved<'_>) -> Result<()> {
        let (hash, cost) = (hash_of(key), reserved.used());
        let mut state = self.state.lock();
        let mut room = check_key(key);
        while room.is_ok() {
            self.wait_for_flush(&mut state, hash, key);
            room = self.make_index_room(&mut state, hash, key);
            if !state.is_flushing(hash, key) {
                break;
            }
        }
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
            false => self.put_small(key, &Draft { kind, header: &header, payload }),
        }
    }

    /// Makes a key stand for a value, and forgets what it stood for before, with its parts if that was a stream.
    pub(super) fn point(&self, state: &mut Guard<'_>, hash: u64, key: &[u8], loc: Loc) {
        let old = state.index.find(hash, key).and_then(|at| state.index.loc(at));
        if is_part(key) && old.is_none() {
            state.hidden += 1;
        }
        state.point(hash, key, loc);
        if old.is_some_and(Loc::is_stream) {
            state.end_stream(key, self.disk.saved());
        }
    }

    /// Forgets a key; whether it had a value.
    pub(super) fn remove(&self, key: &[u8]) -> bool {
        let hash = hash_of(key);
        let mut state = self.state.lock();
        state.wanted.remove(key);
        let found = state.index.find(hash, key);
        let was = found.is_some();
        if let Some(at) = found {
            let stream = state.index.loc(at).is_some_and(Loc::is_stream);
            state.remove(at);
            if stream {
                state.end_stream(key, self.disk.saved());
            }
            if let Some(saved) = self.disk.saved() {
                state.note(saved, key, None);
            }
        }
        self.changed.notify_all();
        self.leave(state);
        was
    }
}
