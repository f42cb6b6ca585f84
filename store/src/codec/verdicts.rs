//! Which encoding pays, remembered for each kind of data.
//!
//! The rate of the disk is measured by every write. A probe of a chunk then says which encoding should reach the disk
//! soonest; what it says is held against what comes of it: where encoding and writing together take longer than the
//! disk would for the bytes as they are, since the processors have other work, chunks of that kind are written raw.

use crate::{Chunk, Codec, Encoding};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How many chunks a probe is good for: data change, and it costs a tenth of a write.
const GOOD_FOR: u32 = 64;
/// How many chunks are written raw after encoding did not pay.
const RAW_FOR: u32 = 512;
/// How many kinds are remembered.
const MOST_KINDS: usize = 4096;
/// The least write that tells a rate.
const TELLING: usize = 64 << 10;

#[derive(Debug)]
pub(crate) struct Verdicts {
    by_kind: Mutex<FxHashMap<(u64, u8), Verdict>>,
    /// What the disk takes, in bytes a second; 0 until it is known.
    rate: AtomicU64,
}

#[derive(Debug, Clone, Copy)]
struct Verdict {
    encoding: Encoding,
    left: u32,
    /// The payload that is encoded and written in a second; 0 until it is known.
    pace: u64,
}

impl Verdicts {
    pub(crate) fn new() -> Self {
        Verdicts { by_kind: Mutex::default(), rate: AtomicU64::new(0) }
    }

    /// The encoding for a chunk of a group: raw until the disk's rate is known, and nothing where it is to be found out.
    pub(crate) fn remembered(&self, group: u64, chunk: &Chunk) -> Option<Encoding> {
        if self.rate.load(Relaxed) == 0 {
            return Some(Encoding::Raw);
        }
        let mut by_kind = self.by_kind.lock();
        let verdict = by_kind.get_mut(&(group, kind_of(chunk))).filter(|verdict| verdict.left > 0)?;
        verdict.left -= 1;
        Some(verdict.encoding)
    }

    /// Finds out what should pay for a chunk of a group, and remembers it.
    pub(crate) fn find(&self, group: u64, chunk: &Chunk, payload: &[u8], codec: &mut Codec) -> Encoding {
        let encoding = codec.probe(payload, chunk.item_size(), self.rate.load(Relaxed));
        let mut by_kind = self.by_kind.lock();
        if by_kind.len() >= MOST_KINDS {
            by_kind.clear();
        }
        by_kind.insert((group, kind_of(chunk)), Verdict { encoding, left: GOOD_FOR, pace: 0 });
        encoding
    }

    /// Takes note of how long the disk took for a write.
    pub(crate) fn wrote(&self, bytes: usize, time: Duration) {
        if bytes >= TELLING {
            let before = self.rate.load(Relaxed);
            self.rate.store(mean(before, bytes, time), Relaxed);
        }
    }

    /// Takes note of how long it took to encode and write a chunk.
    pub(crate) fn encoded(&self, group: u64, chunk: &Chunk, bytes: usize, time: Duration) {
        let rate = self.rate.load(Relaxed);
        if let Some(verdict) = self.by_kind.lock().get_mut(&(group, kind_of(chunk))).filter(|_| bytes >= TELLING) {
            verdict.pace = mean(verdict.pace, bytes, time);
            if verdict.pace < rate && verdict.encoding != Encoding::Raw {
                *verdict = Verdict { encoding: Encoding::Raw, left: RAW_FOR, pace: 0 };
            }
        }
    }
}

/// The moving mean of a rate over about four.
fn mean(before: u64, bytes: usize, time: Duration) -> u64 {
    let now = bytes as f64 / time.as_secs_f64().max(1e-9);
    let mean = if before == 0 { now } else { before as f64 * 0.75 + now * 0.25 };
    (mean as u64).max(1)
}

fn kind_of(chunk: &Chunk) -> u8 {
    match chunk {
        Chunk::Scalar(_) => 0,
        Chunk::Bytes(_) => 1,
        Chunk::Records(_) => 2,
        Chunk::Block(block) => 16 + block.dtype() as u8,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{Arena, Bytes, Ledger};

    #[test]
    fn what_does_not_pay_is_written_raw() {
        let arena = Arena::new(Ledger::new(16 << 20));
        let mut buffer = arena.alloc(1 << 20).unwrap();
        buffer.fill(7);
        let chunk = Chunk::Bytes(Bytes(buffer.freeze()));
        let (verdicts, mut codec) = (Verdicts::new(), Codec::new());
        let (bytes, second) = (1 << 20, Duration::from_secs(1));
        assert_eq!(verdicts.remembered(1, &chunk), Some(Encoding::Raw), "until the rate is known");
        verdicts.wrote(bytes, second);
        assert_eq!(verdicts.remembered(1, &chunk), None);
        assert_eq!(verdicts.find(1, &chunk, chunk.payload().0, &mut codec), Encoding::Zstd);
        verdicts.encoded(1, &chunk, bytes, second / 10);
        assert_eq!((verdicts.remembered(1, &chunk), verdicts.remembered(2, &chunk)), (Some(Encoding::Zstd), None));
        (0..20).for_each(|_| verdicts.encoded(1, &chunk, bytes, second * 2));
        assert_eq!(verdicts.remembered(1, &chunk), Some(Encoding::Raw));
    }
}
