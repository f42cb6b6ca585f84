//! Keys that were put and removed and stand in no table yet.

use crate::segment::Place;
use crate::{Booking, Ledger, Result};
use rustc_hash::FxHashMap;
use std::collections::hash_map::Entry;

/// What an entry takes beside its key: a part of the table, an allocation, and what its sorting needs.
const ENTRY_BYTES: u64 = 144;

/// Memory is booked in steps of this many bytes.
const STEP: u64 = 64 << 10;

/// Where the chunk of a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) place: Place,
    /// The bytes of the payload in memory.
    pub(crate) bytes: u64,
}

/// Keys, each with its chunk or removed; counted.
#[derive(Debug)]
pub(super) struct Layer {
    entries: FxHashMap<Box<[u8]>, Option<Held>>,
    used: u64,
    booking: Booking,
}

impl Layer {
    /// # Errors
    /// None that can be met, as nothing is booked yet.
    pub(super) fn new(ledger: &Ledger) -> Result<Self> {
        Ok(Layer { entries: FxHashMap::default(), used: 0, booking: ledger.book(0)? })
    }

    /// What is known of a key: nothing, that it is removed, or where its chunk is.
    pub(super) fn get(&self, key: &[u8]) -> Option<Option<Held>> {
        self.entries.get(key).copied()
    }

    /// Takes note of a key.
    ///
    /// # Errors
    /// Out of memory where the ledger has no room; nothing is changed then.
    pub(super) fn put(&mut self, key: &[u8], held: Option<Held>) -> Result<()> {
        if let Some(old) = self.entries.get_mut(key) {
            *old = held;
            return Ok(());
        }
        let used = self.used + ENTRY_BYTES + key.len() as u64;
        if used > self.booking.bytes() {
            self.booking.grow((used - self.booking.bytes()).next_multiple_of(STEP))?;
        }
        self.entries.insert(key.into(), held);
        self.used = used;
        Ok(())
    }

    /// Adds what an older layer knows and this does not.
    pub(super) fn put_below(&mut self, older: Layer) {
        let Layer { entries, used, booking } = older;
        if self.entries.is_empty() {
            (self.entries, self.used, self.booking) = (entries, used, booking);
            return;
        }
        // Both were booked; what is there twice is counted a little too high until it is rolled out.
        self.used += used;
        for (key, held) in entries {
            if let Entry::Vacant(vacant) = self.entries.entry(key) {
                vacant.insert(held);
            }
        }
        self.booking.join(booking);
    }

    /// All keys, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], Option<Held>)> {
        self.entries.iter().map(|(key, held)| (&**key, *held))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The bytes of memory that it takes.
    pub(super) fn used(&self) -> u64 {
        self.used
    }
}
