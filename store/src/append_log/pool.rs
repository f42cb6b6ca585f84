//! The bounded buffer: pages that buckets are made of.
//!
//! `used` counts pages in use, memory that users handed over, and the heads of entries; with the pages that are free it never passes
//! the limit. What is larger than that is refused.

use crate::{Arena, BufferMut, Error, ErrorKind, Result};
use parking_lot::{Condvar, Mutex};
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Pool {
    state: Mutex<State>,
    freed: Condvar,
    arena: Arena,
    page: usize,
    limit: u64,
}

#[derive(Debug, Default)]
struct State {
    free: Vec<BufferMut>,
    used: u64,
    peak: u64,
    /// How many pages are in use.
    pages: usize,
}

/// Memory that a bucket fills; it goes back to the pool when this is dropped.
#[derive(Debug)]
pub(super) struct Page {
    memory: Option<BufferMut>,
    pool: Arc<Pool>,
}

/// Bytes of other memory that count; until this is dropped.
#[derive(Debug)]
pub(super) struct Charge {
    pool: Arc<Pool>,
    bytes: u64,
}

impl Pool {
    pub(super) fn new(arena: Arena, page: usize, limit: u64) -> Arc<Self> {
        Arc::new(Pool { state: Mutex::default(), freed: Condvar::new(), arena, page, limit })
    }

    /// The bytes of a page.
    pub(super) fn page(&self) -> usize {
        self.page
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// The bytes in use, and the most that there were.
    pub(super) fn used(&self) -> (u64, u64) {
        let state = self.state.lock();
        (state.used, state.peak)
    }

    /// Pages; nothing where they do not fit beside what is in use.
    ///
    /// # Errors
    /// Out of memory where the arena has no room and nothing is in use that could be written out.
    pub(super) fn take(self: &Arc<Self>, count: usize) -> Result<Option<Vec<Page>>> {
        let mut state = self.state.lock();
        let bytes = (count * self.page) as u64;
        if state.used + bytes > self.limit {
            return Ok(None);
        }
        let mut pages = Vec::with_capacity(count);
        for _ in 0..count {
            let memory = match state.free.pop() {
                Some(memory) => memory,
                None => match self.arena.alloc(self.page) {
                    Ok(memory) => memory,
                    Err(e) => {
                        state.free.extend(pages.into_iter().filter_map(|mut page: Page| page.memory.take()));
                        return if state.pages == 0 { Err(e) } else { Ok(None) };
                    }
                },
            };
            pages.push(Page { memory: Some(memory), pool: Arc::clone(self) });
        }
        state.add(bytes);
        state.pages += count;
        Ok(Some(pages))
    }

    /// Counts bytes of other memory; nothing where they do not fit beside what is in use.
    pub(super) fn charge(self: &Arc<Self>, bytes: u64) -> Option<Charge> {
        let mut state = self.state.lock();
        if state.used.saturating_add(bytes) > self.limit {
            return None;
        }
        Some(self.counted(&mut state, bytes))
    }

    /// Counts bytes of other memory, whether they fit or not.
    pub(super) fn charge_anyway(self: &Arc<Self>, bytes: u64) -> Charge {
        self.counted(&mut self.state.lock(), bytes)
    }

    fn counted(self: &Arc<Self>, state: &mut State, bytes: u64) -> Charge {
        state.add(bytes);
        while state.used.saturating_add((state.free.len() * self.page) as u64) > self.limit && state.free.pop().is_some() {}
        Charge { pool: Arc::clone(self), bytes }
    }

    /// Waits a while for something to be given back.
    pub(super) fn wait(&self) {
        let mut state = self.state.lock();
        self.freed.wait_for(&mut state, Duration::from_millis(20));
    }

    /// Wakes those that wait, who look again.
    pub(super) fn wake(&self) {
        self.freed.notify_all();
    }

    /// Gives free pages back to the arena.
    pub(super) fn trim(&self) {
        let free = std::mem::take(&mut self.state.lock().free);
        drop(free);
    }

    /// The error of an append that can never fit.
    pub(super) fn too_small(&self, bytes: usize) -> Error {
        let message = format!("an append of {bytes} bytes does not fit in the buffer of the log, of {} bytes", self.limit);
        Error::new(ErrorKind::OutOfMemory, message).hint("give the log more memory, or append it in several entries")
    }
}

impl State {
    fn add(&mut self, bytes: u64) {
        self.used += bytes;
        self.peak = self.peak.max(self.used);
    }
}

impl Deref for Page {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        self.memory.as_deref().unwrap_or_default()
    }
}

impl DerefMut for Page {
    fn deref_mut(&mut self) -> &mut [u8] {
        self.memory.as_deref_mut().unwrap_or_default()
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        let Some(memory) = self.memory.take() else { return };
        let mut state = self.pool.state.lock();
        state.used -= self.pool.page as u64;
        state.pages = state.pages.saturating_sub(1);
        let waiting = (state.free.len() + 1) as u64 * self.pool.page as u64;
        match state.used + waiting <= self.pool.limit {
            true => state.free.push(memory),
            false => {
                drop(state);
                drop(memory);
            }
        }
        self.pool.freed.notify_all();
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.pool.state.lock().used -= self.bytes;
            self.pool.freed.notify_all();
        }
    }
}

impl Charge {
    /// Counts for so many bytes now, but at most half of the limit, since something has to be left for entries.
    pub(super) fn set_up_to_half(&mut self, bytes: u64) {
        let bytes = bytes.min(self.pool.limit / 2);
        if bytes > self.bytes {
            let more = self.pool.charge_anyway(bytes - self.bytes);
            self.merge(more);
        } else if bytes < self.bytes {
            drop(self.split(self.bytes - bytes));
        }
    }

    /// Counts for what `other` counts, too.
    pub(super) fn merge(&mut self, mut other: Charge) {
        self.bytes += std::mem::take(&mut other.bytes);
    }

    /// Takes a part of this away, as a charge of its own.
    pub(super) fn split(&mut self, bytes: u64) -> Charge {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Charge { pool: Arc::clone(&self.pool), bytes }
    }
}
