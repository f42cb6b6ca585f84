//! Counting many keys of a text at a time.
//!
//! What is short and what is long, and what is found where it is looked for first and what is not, is told apart without a branch, which the processor would often guess
//! wrong; and each slot is asked for before the first is looked at, so that memory is waited for once.

use super::hash::{SHORT, hash, hash_words, words_at};
use super::table::{ByteTable, Span, all, slot};

/// So many keys are counted at a time.
pub(super) const COUNTED: usize = 128;

/// Keys that are being counted.
pub(crate) struct CountBatch {
    short: [Span; COUNTED],
    long: [Span; COUNTED],
    hashes: [u64; COUNTED],
    missed: [(Span, u64); COUNTED],
    missing: usize,
}

impl CountBatch {
    pub(crate) fn new() -> Box<CountBatch> {
        let (spans, hashes) = ([(0, 0); COUNTED], [0; COUNTED]);
        Box::new(CountBatch { short: spans, long: spans, hashes, missed: [((0, 0), 0); COUNTED], missing: 0 })
    }

    /// Those that were not found where they were looked for first, and their hashes.
    pub(super) fn missed(&self) -> &[(Span, u64)] {
        self.missed.get(..self.missing).unwrap_or_default()
    }
}

impl ByteTable {
    /// Adds one to the cell of each key, where it is found where it is looked for first; `batch` has the others then, each with its hash. There are at most [`COUNTED`] keys.
    pub(super) fn count(&mut self, text: &[u8], spans: &[Span], batch: &mut CountBatch) {
        let CountBatch { short, long, hashes, missed, missing } = batch;
        let (mut shorts, mut longs) = (0, 0);
        for span in spans {
            (short[shorts % COUNTED], long[longs % COUNTED]) = (*span, *span);
            let is_long = usize::from(span.1 as usize > SHORT);
            (shorts, longs) = (shorts + 1 - is_long, longs + is_long);
        }
        // Each slot is asked for before the first is looked at.
        let short = short.get(..shorts).unwrap_or_default();
        for ((start, len), hashed) in short.iter().zip(hashes.iter_mut()) {
            *hashed = hash_words(words_at(text, *start as usize, *len as usize), *len as usize);
            self.prefetch(*hashed);
        }
        let (mut misses, mask) = (0, self.mask);
        let slots = all(&mut self.slots);
        for (span, hashed) in short.iter().zip(hashes.iter()) {
            let (start, len) = (span.0 as usize, span.1 as usize);
            let [a, b] = words_at(text, start, len);
            let slot = slot(slots, *hashed as usize & mask);
            let is_same = (slot[0] ^ a) | (slot[1] ^ b) | (slot[2] ^ (len as u64 + 1)) == 0;
            slot[3] += u64::from(is_same);
            missed[misses % COUNTED] = (*span, *hashed);
            misses += usize::from(!is_same);
        }
        let first = misses;
        for span in long.get(..longs).unwrap_or_default() {
            let key = text.get(span.0 as usize..(span.0 + span.1) as usize).unwrap_or_default();
            let hashed = hash(key);
            self.prefetch(hashed);
            missed[misses % COUNTED] = (*span, hashed);
            misses += 1;
        }
        // Whether a long key is the same is not looked at here.
        let slots = all(&mut self.slots);
        for (_, hashed) in missed.get(first..misses).unwrap_or_default() {
            let [_, second, ..] = slot(slots, *hashed as usize & mask);
            self.keys.prefetch(*second as usize);
        }
        *missing = misses;
    }
}
