//! Which encoding pays, found out while the log is written.
//!
//! Writing and encoding go on beside each other, so that a stretch costs the longer of the two, not their sum: the disk's time for
//! the stored bytes, or the processors' time for encoding, divided among those there are. What is written is read back once,
//! which costs the same again with decoding, taken as three times as fast, in the place of encoding.

use crate::{Codec, Encoding};
use parking_lot::Mutex;
use std::time::Instant;

/// How many blocks an answer is good for: data change.
const GOOD_FOR: u32 = 128;
/// The rate of the disk, in bytes a second, before anything was written.
const FIRST_RATE: f64 = 1e9;
/// The bytes over which the rate is a moving mean.
const MEMORY: f64 = (256u64 << 20) as f64;
/// The seconds that copying a byte takes that is not encoded.
const COPY: f64 = 1e-10;

#[derive(Debug)]
pub(super) struct Pace {
    fixed: Option<Encoding>,
    cores: f64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    encoding: Encoding,
    left: u32,
    /// Writes that are under way, and since when there are any.
    writing: u32,
    since: Instant,
    bytes: f64,
    seconds: f64,
}

impl Pace {
    pub(super) fn new(fixed: Option<Encoding>, threads: usize) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get()).min(threads) as f64;
        let state = State { encoding: Encoding::Raw, left: 0, writing: 0, since: Instant::now(), bytes: 0.0, seconds: 0.0 };
        Pace { fixed, cores, state: Mutex::new(state) }
    }

    /// The encoding for a block with this sample.
    pub(super) fn encoding(&self, codec: &mut Codec, sample: &[u8], item_size: usize) -> Encoding {
        if let Some(encoding) = self.fixed {
            return encoding;
        }
        let rate = {
            let mut state = self.state.lock();
            if state.left > 0 {
                state.left -= 1;
                return state.encoding;
            }
            if state.seconds > 0.0 { state.bytes / state.seconds } else { FIRST_RATE }
        };
        let encoding = codec.probe_beside(sample, item_size, |size, time| self.cost(rate, size, time));
        let mut state = self.state.lock();
        // A short sample tells little.
        let good_for = if sample.len() >= 32 << 10 { GOOD_FOR } else { 4 };
        (state.encoding, state.left) = (encoding, good_for);
        encoding
    }

    /// Seconds a byte to write and to read it back, where `size` bytes are stored for it after `time` seconds of encoding.
    fn cost(&self, rate: f64, size: f64, time: Option<f64>) -> f64 {
        let disk = size / rate;
        let (encode, decode) = time.map_or((COPY, COPY), |time| (time, time / 3.0));
        disk.max(encode / self.cores) + disk.max(decode / self.cores)
    }

    /// A write begins.
    pub(super) fn begin(&self) {
        let mut state = self.state.lock();
        if state.writing == 0 {
            state.since = Instant::now();
        }
        state.writing += 1;
    }

    /// A write has ended. While several are under way, their time counts once.
    pub(super) fn end(&self, bytes: usize) {
        let mut state = self.state.lock();
        let now = Instant::now();
        state.seconds += now.duration_since(state.since).as_secs_f64();
        state.since = now;
        state.bytes += bytes as f64;
        state.writing -= 1;
        if state.bytes > MEMORY {
            state.bytes /= 2.0;
            state.seconds /= 2.0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_of_disk_and_processors_counts() {
        let pace = Pace { cores: 2.0, ..Pace::new(None, 2) };
        let raw = |rate| pace.cost(rate, 1.0, None);
        let encoded = |rate, ratio: f64, speed: f64| pace.cost(rate, 1.0 / ratio, Some(1.0 / speed));
        assert!(encoded(2e9, 2.6, 1.3e9) < raw(2e9), "two cores at 1.3 GB/s are faster than a disk at 2");
        assert!(encoded(2e9, 5.0, 0.4e9) > raw(2e9) * 0.95, "slow compression does not pay on a fast disk");
        assert!(encoded(2e8, 5.0, 0.4e9) < raw(2e8), "and does on a slow one");
        assert!(encoded(2e9, 1.01, 5e9) > raw(2e9) * 0.95);
    }
}
