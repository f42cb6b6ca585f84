//! The catalogue in memory: of a store that is only read, and where there is none on disk.

use super::tree::{Batch, Pair, Tree};
use crate::{Booking, Ledger, Result};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::ops::Bound;

/// What a pair takes beside its bytes: its part of a node, two allocations.
const PAIR_BYTES: u64 = 112;

/// Memory is booked in steps of this many bytes.
const STEP: u64 = 64 << 10;

/// Pairs in memory, counted.
#[derive(Debug)]
pub(super) struct MemoryTree {
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    pairs: BTreeMap<Vec<u8>, Vec<u8>>,
    used: u64,
    booking: Booking,
}

impl MemoryTree {
    /// # Errors
    /// Never, as nothing is booked yet.
    pub(super) fn new(ledger: &Ledger) -> Result<Self> {
        Ok(MemoryTree { held: Mutex::new(Held { pairs: BTreeMap::new(), used: 0, booking: ledger.book(0)? }) })
    }
}

fn cost(key: &[u8], value: &[u8]) -> u64 {
    PAIR_BYTES + (key.len() + value.len()) as u64
}

impl Tree for MemoryTree {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        Ok(self.held.lock().pairs.get(key).cloned())
    }

    fn page(&self, prefix: &[u8], after: Option<&[u8]>, most: usize) -> Result<Vec<Pair>> {
        let held = self.held.lock();
        let from = after.map_or(Bound::Included(prefix), Bound::Excluded);
        let pairs = held.pairs.range::<[u8], _>((from, Bound::Unbounded)).take_while(|(key, _)| key.starts_with(prefix));
        Ok(pairs.take(most).map(|(key, value)| (key.clone(), value.clone())).collect())
    }

    fn apply(&self, batch: Batch) -> Result<()> {
        let mut held = self.held.lock();
        let added: u64 = batch.steps.iter().map(|(key, value)| value.as_ref().map_or(0, |value| cost(key, value))).sum();
        // All that is added is booked before anything is changed.
        let missing = (held.used + added).saturating_sub(held.booking.bytes());
        if missing > 0 {
            held.booking
                .grow(missing.next_multiple_of(STEP))
                .map_err(|error| error.hint("the names and attributes of the datasets need it; allow more memory"))?;
        }
        for (key, value) in batch.steps {
            let cost_of_new = value.as_ref().map_or(0, |value| cost(&key, value));
            let old = match value {
                Some(value) => held.pairs.insert(key.clone(), value),
                None => held.pairs.remove(&key),
            };
            held.used += cost_of_new;
            held.used -= old.map_or(0, |old| cost(&key, &old));
        }
        let keep = held.used.next_multiple_of(STEP);
        held.booking.shrink(keep);
        Ok(())
    }

    fn clear(&self) -> Result<()> {
        let mut held = self.held.lock();
        held.pairs.clear();
        held.used = 0;
        held.booking.shrink(0);
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        Ok(())
    }

    fn is_on_disk(&self) -> bool {
        false
    }
}
