//! Which keys may be in tables: most of those that are new need not be looked up.
//!
//! Bloom filters (B. Bloom, "Space/time trade-offs in hash coding with allowable errors", 1970), each twice as large as the one before; a
//! full one gets no more keys. With 12 bits a key and 4 probes about one new key in 100 is looked up in vain.

use crate::{Booking, Ledger, Result, checksum};

/// The keys of the first filter.
const FIRST: usize = 64 << 10;
const BITS: usize = 12;
const PROBES: u64 = 4;

/// Keys that were added, and a few others.
#[derive(Debug)]
pub(super) struct Filter {
    parts: Vec<Vec<u64>>,
    /// How many keys the last part can still get.
    room: usize,
    booking: Booking,
}

impl Filter {
    /// No keys.
    ///
    /// # Errors
    /// None that can be met, as nothing is booked yet.
    pub(super) fn new(ledger: &Ledger) -> Result<Self> {
        Ok(Filter { parts: Vec::new(), room: 0, booking: ledger.book(0)? })
    }

    /// Adds a key.
    ///
    /// # Errors
    /// Out of memory where the ledger has no room; the filter is of no use then.
    pub(super) fn add(&mut self, key: &[u8]) -> Result<()> {
        let hash = checksum(key);
        if self.has(hash) {
            return Ok(());
        }
        if self.room == 0 {
            let keys = FIRST << self.parts.len();
            let words = keys * BITS / 64;
            self.booking.grow(8 * words as u64)?;
            self.parts.push(vec![0; words]);
            self.room = keys;
        }
        self.room -= 1;
        if let Some(part) = self.parts.last_mut() {
            for (word, bit) in probes(hash, part.len()) {
                if let Some(word) = part.get_mut(word) {
                    *word |= bit;
                }
            }
        }
        Ok(())
    }

    /// Whether a key may have been added; if not, it was not.
    pub(super) fn may_have(&self, key: &[u8]) -> bool {
        self.has(checksum(key))
    }

    fn has(&self, hash: u64) -> bool {
        self.parts.iter().any(|part| probes(hash, part.len()).all(|(word, bit)| part.get(word).is_some_and(|word| word & bit != 0)))
    }
}

/// The words and bits of a hash.
fn probes(hash: u64, words: usize) -> impl Iterator<Item = (usize, u64)> {
    let step = (hash >> 32) | 1;
    (0..PROBES).map(move |probe| {
        let bit = hash.wrapping_add(probe.wrapping_mul(step)) % (64 * words.max(1) as u64);
        ((bit / 64) as usize, 1 << (bit % 64))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_there_and_little_else() {
        let ledger = Ledger::new(16 << 20);
        let mut filter = Filter::new(&ledger).unwrap();
        for n in 0..300_000u64 {
            filter.add(&n.to_be_bytes()).unwrap();
        }
        assert!((0..300_000u64).all(|n| filter.may_have(&n.to_be_bytes())));
        let others = (300_000..400_000u64).filter(|n| filter.may_have(&n.to_be_bytes())).count();
        assert!(others < 5_000, "{others}");
        assert!(ledger.used() >= 300_000 * 12 / 8);
    }
}
