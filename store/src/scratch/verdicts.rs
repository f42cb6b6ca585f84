//! Which encoding pays, remembered for each kind of data.

use crate::Chunk;
use crate::{Codec, Encoding};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How many chunks a verdict is good for: data change, and a probe costs a tenth of a write.
const GOOD_FOR: u32 = 64;
/// How many kinds are remembered.
const MOST_KINDS: usize = 4096;
/// The disk rate that is assumed until one has been measured, in bytes a second.
const ASSUMED_RATE: u64 = 1_200_000_000;

#[derive(Debug)]
pub(super) struct Verdicts {
    by_kind: Mutex<FxHashMap<(u64, u8), Verdict>>,
    rate: AtomicU64,
}

#[derive(Debug, Clone, Copy)]
struct Verdict {
    encoding: Encoding,
    left: u32,
}

impl Verdicts {
    pub(super) fn new() -> Self {
        Verdicts { by_kind: Mutex::default(), rate: AtomicU64::new(ASSUMED_RATE) }
    }

    /// The encoding for a chunk of a group, where one is remembered.
    pub(super) fn remembered(&self, group: u64, chunk: &Chunk) -> Option<Encoding> {
        let mut by_kind = self.by_kind.lock();
        let verdict = by_kind.get_mut(&(group, kind_of(chunk))).filter(|verdict| verdict.left > 0)?;
        verdict.left -= 1;
        Some(verdict.encoding)
    }

    /// Finds out what pays for a chunk of a group, and remembers it.
    pub(super) fn find(&self, group: u64, chunk: &Chunk, payload: &[u8], codec: &mut Codec) -> Encoding {
        let kind = (group, kind_of(chunk));
        let encoding = codec.probe(payload, chunk.item_size(), self.rate.load(Relaxed));
        let mut by_kind = self.by_kind.lock();
        if by_kind.len() >= MOST_KINDS {
            by_kind.clear();
        }
        by_kind.insert(kind, Verdict { encoding, left: GOOD_FOR });
        encoding
    }

    /// Takes note of how long a write took, in a moving mean over about eight.
    pub(super) fn wrote(&self, bytes: usize, time: Duration) {
        if bytes >= 256 << 10 && !time.is_zero() {
            let now = bytes as f64 / time.as_secs_f64();
            let mean = self.rate.load(Relaxed) as f64 * 0.875 + now * 0.125;
            self.rate.store((mean as u64).max(1 << 20), Relaxed);
        }
    }
}

fn kind_of(chunk: &Chunk) -> u8 {
    match chunk {
        Chunk::Scalar(_) => 0,
        Chunk::Bytes(_) => 1,
        Chunk::Records(_) => 2,
        Chunk::Block(block) => 16 + block.dtype() as u8,
    }
}
