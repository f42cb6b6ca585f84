//! What is in memory: packs of small values, and values on their own.

use super::index::Home;
use super::record::Record;
use crate::{Buffer, BufferMut, Chunk};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The memory that a unit takes beside its bytes.
pub(super) const UNIT_BYTES: u64 = 384;

/// What keeps memory that was handed out counted. A unit is pinned while there are more of these than its own.
#[derive(Debug)]
pub(super) struct Pin {
    /// The bytes that are in no unit, but still used.
    lent: Arc<AtomicU64>,
    bytes: AtomicU64,
}

impl Pin {
    pub(super) fn new(lent: &Arc<AtomicU64>) -> Arc<Self> {
        Arc::new(Pin { lent: Arc::clone(lent), bytes: AtomicU64::new(0) })
    }

    /// Counts bytes as lent for as long as this lives; said once.
    pub(super) fn lend(&self, bytes: u64) {
        self.bytes.store(bytes, Relaxed);
        self.lent.fetch_add(bytes, Relaxed);
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.lent.fetch_sub(*self.bytes.get_mut(), Relaxed);
    }
}

/// The bytes of a unit.
#[derive(Debug)]
pub(super) enum Body {
    /// A pack that is being filled.
    Open(BufferMut),
    /// A pack.
    Pack(Buffer),
    /// One value.
    Alone(Chunk),
}

/// Where on disk the values of a unit are.
#[derive(Debug)]
pub(super) enum Homes {
    /// Nowhere.
    Nowhere,
    /// All in one place, at the bytes where they are in memory.
    Place(u32),
    /// Each in a place of its own: by the byte where the value begins in memory, ascending. Without a place are those that
    /// were dead when the others were written.
    Each(Vec<(u32, Home)>),
}

#[derive(Debug)]
pub(super) struct Unit {
    pub(super) body: Body,
    pub(super) homes: Homes,
    /// What it is counted for.
    pub(super) bytes: u64,
    /// The bytes that are filled, of a pack.
    pub(super) used: usize,
    /// The records that there are, of a pack.
    pub(super) records: usize,
    /// The values that are found here, and their bytes.
    pub(super) live: u32,
    pub(super) live_bytes: u64,
    /// When one of them was used last.
    pub(super) tick: u64,
    /// Whether it is being written.
    pub(super) writing: bool,
    /// Whether a flush waits until it is written.
    pub(super) flushing: bool,
    /// Whether it was read ahead of its use, and not used yet.
    pub(super) ahead: bool,
    /// The hash of the key, of a value on its own.
    pub(super) hash: u64,
    pub(super) pin: Arc<Pin>,
}

impl Unit {
    pub(super) fn new(body: Body, homes: Homes, bytes: u64, lent: &Arc<AtomicU64>) -> Self {
        let pin = Pin::new(lent);
        Unit {
            body,
            homes,
            bytes,
            used: 0,
            records: 0,
            live: 0,
            live_bytes: 0,
            tick: 0,
            writing: false,
            flushing: false,
            ahead: false,
            hash: 0,
            pin,
        }
    }

    pub(super) fn is_pinned(&self) -> bool {
        Arc::strong_count(&self.pin) > 1
    }

    pub(super) fn is_clean(&self) -> bool {
        !matches!(self.homes, Homes::Nowhere)
    }

    /// The bytes of a pack.
    pub(super) fn pack(&self) -> Option<&[u8]> {
        match &self.body {
            Body::Open(buffer) => Some(buffer),
            Body::Pack(buffer) => Some(buffer),
            Body::Alone(_) => None,
        }
    }

    /// The record that begins at a byte of a pack.
    pub(super) fn record(&self, offset: u32) -> Option<Record<'_>> {
        Record::at(self.pack()?, offset as usize)
    }

    /// Where on disk the value is that begins at a byte.
    pub(super) fn home(&self, offset: u32) -> Option<Home> {
        match &self.homes {
            Homes::Nowhere => None,
            Homes::Place(place) => Some(Home { place: *place, offset }),
            Homes::Each(homes) => homes.binary_search_by_key(&offset, |(at, _)| *at).ok().and_then(|i| homes.get(i)).map(|(_, home)| *home),
        }
    }

    /// One value more is found here.
    pub(super) fn gains(&mut self, bytes: u64) {
        self.live += 1;
        self.live_bytes += bytes;
    }

    /// One value fewer.
    pub(super) fn loses(&mut self, bytes: u64) {
        self.live = self.live.saturating_sub(1);
        self.live_bytes = self.live_bytes.saturating_sub(bytes);
    }

    /// Ends the filling of a pack.
    pub(super) fn seal(&mut self) {
        let body = std::mem::replace(&mut self.body, Body::Pack(Buffer::empty().clone()));
        self.body = match body {
            Body::Open(mut buffer) => {
                if self.used < buffer.len() / 4 * 3 {
                    buffer.truncate(self.used);
                }
                Body::Pack(buffer.freeze())
            }
            other => other,
        };
    }
}

/// Things by small numbers, which are used again.
#[derive(Debug)]
pub(super) struct Slab<T> {
    all: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub(super) fn new() -> Self {
        Slab { all: Vec::new(), free: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.all.len() - self.free.len()
    }

    /// One more than the largest number.
    pub(super) fn numbers(&self) -> u32 {
        self.all.len() as u32
    }

    pub(super) fn insert(&mut self, thing: T) -> u32 {
        match self.free.pop() {
            Some(id) => {
                if let Some(place) = self.all.get_mut(id as usize) {
                    *place = Some(thing);
                }
                id
            }
            None => {
                self.all.push(Some(thing));
                (self.all.len() - 1) as u32
            }
        }
    }

    pub(super) fn get(&self, id: u32) -> Option<&T> {
        self.all.get(id as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, id: u32) -> Option<&mut T> {
        self.all.get_mut(id as usize)?.as_mut()
    }

    pub(super) fn remove(&mut self, id: u32) -> Option<T> {
        let thing = self.all.get_mut(id as usize)?.take()?;
        self.free.push(id);
        Some(thing)
    }
}
