//! Which encoding pays, found out while the log is written.
//!
//! Writing and encoding go on beside each other, so that a stretch costs the longer of the two, not their sum: the disk's time for
//! the stored bytes, or the processors' time for encoding, divided among those there are. What is written is read back once,
//! which costs the same again with decoding, taken as three times as fast, in the place of encoding.
//!
//! A probe is too short to be interrupted, but encoding is, where the processors have other work: what a probe says is multiplied
//! by how much longer encoding took lately than its probe had said. While nothing is encoded that is forgotten by and by, so that
//! encoding gets another chance.

use crate::{Codec, Encoding};
use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// How many blocks an answer is good for: data change.
const GOOD_FOR: u32 = 64;
/// The least block that tells how long encoding takes.
const TELLING: u64 = 256 << 10;
/// The rate of the disk, in bytes a second, before anything was written.
const FIRST_RATE: f64 = 1e9;
/// The bytes over which the rate is a moving mean.
const MEMORY: f64 = (256u64 << 20) as f64;
/// The seconds that copying a byte takes that is not encoded.
const COPY: f64 = 1e-10;
/// How much of a slowdown is remembered from one block to the next.
const KEPT: f64 = 0.9;
/// How much of it is forgotten with every probe while nothing is encoded.
const FORGOTTEN: f64 = 0.25;

#[derive(Debug)]
pub(super) struct Pace {
    fixed: Option<Encoding>,
    threads: f64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    encoding: Encoding,
    left: u32,
    /// The seconds a byte that the probe of the encoding took, and how many times longer it takes in fact.
    probed: f64,
    slowdown: f64,
    /// Writes that are under way, and since when there are any.
    writing: u32,
    since: Instant,
    bytes: f64,
    seconds: f64,
}

impl Pace {
    pub(super) fn new(fixed: Option<Encoding>, threads: usize) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
        let threads = threads as f64;
        let state = State {
            encoding: Encoding::Raw,
            left: 0,
            probed: 0.0,
            // Threads that have no processor for themselves take turns.
            slowdown: (threads / cores as f64).max(1.0),
            writing: 0,
            since: Instant::now(),
            bytes: 0.0,
            seconds: 0.0,
        };
        Pace { fixed, threads, state: Mutex::new(state) }
    }

    /// The encoding for a block with this sample.
    pub(super) fn encoding(&self, codec: &mut Codec, sample: &[u8], item_size: usize) -> Encoding {
        if let Some(encoding) = self.fixed {
            return encoding;
        }
        let (rate, slowdown) = {
            let mut state = self.state.lock();
            if state.left > 0 {
                state.left -= 1;
                return state.encoding;
            }
            if state.encoding == Encoding::Raw {
                state.slowdown = 1.0 + (state.slowdown - 1.0) * (1.0 - FORGOTTEN);
            }
            (if state.seconds > 0.0 { state.bytes / state.seconds } else { FIRST_RATE }, state.slowdown)
        };
        let (encoding, probed) =
            codec.probe_beside(sample, item_size, |size, time| self.cost(rate, size, time.map(|time| time * slowdown)));
        let mut state = self.state.lock();
        // A short sample tells little.
        let good_for = if sample.len() >= 32 << 10 { GOOD_FOR } else { 4 };
        (state.encoding, state.probed, state.left) = (encoding, probed, good_for);
        encoding
    }

    /// Says how long encoding took.
    pub(super) fn encoded(&self, encoding: Encoding, bytes: u64, time: Duration) {
        let mut state = self.state.lock();
        if encoding == state.encoding && encoding != Encoding::Raw && state.probed > 0.0 && bytes >= TELLING {
            let now = (time.as_secs_f64() / bytes as f64 / state.probed).clamp(1.0, 100.0);
            state.slowdown = state.slowdown * KEPT + now * (1.0 - KEPT);
        }
    }

    /// Seconds a byte to write and to read it back, where `size` bytes are stored for it after `time` seconds of encoding.
    fn cost(&self, rate: f64, size: f64, time: Option<f64>) -> f64 {
        let disk = size / rate;
        let (encode, decode) = time.map_or((COPY, COPY), |time| (time, time / 3.0));
        disk.max(encode / self.threads) + disk.max(decode / self.threads)
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
        let pace = Pace::new(None, 2);
        let raw = |rate| pace.cost(rate, 1.0, None);
        let encoded = |rate, ratio: f64, speed: f64| pace.cost(rate, 1.0 / ratio, Some(1.0 / speed));
        assert!(encoded(2e9, 2.6, 1.3e9) < raw(2e9), "two cores at 1.3 GB/s are faster than a disk at 2");
        assert!(encoded(2e9, 5.0, 0.4e9) > raw(2e9) * 0.95, "slow compression does not pay on a fast disk");
        assert!(encoded(2e8, 5.0, 0.4e9) < raw(2e8), "and does on a slow one");
        assert!(encoded(2e9, 1.01, 5e9) > raw(2e9) * 0.95);
    }

    #[test]
    fn what_takes_longer_than_probed_is_given_up_and_tried_again() {
        let pace = Pace::new(None, 2);
        let mut codec = Codec::new();
        let sample: Vec<u8> = (0..8192u64).flat_map(|i| (i * i % 1000).to_le_bytes()).collect();
        pace.begin();
        pace.end(1);
        {
            // A slow disk.
            let mut state = pace.state.lock();
            (state.bytes, state.seconds) = (1e6, 1.0);
        }
        let first = pace.encoding(&mut codec, &sample, 8);
        assert_ne!(first, Encoding::Raw);
        (0..200).for_each(|_| pace.encoded(first, 1 << 20, Duration::from_secs(100)));
        assert!(pace.state.lock().slowdown > 50.0);
        // A disk that would be faster than that.
        {
            let mut state = pace.state.lock();
            (state.bytes, state.seconds) = (1e9, 1.0);
        }
        let ask = |codec: &mut Codec| (0..=GOOD_FOR).map(|_| pace.encoding(codec, &sample, 8)).last();
        ask(&mut codec);
        let slow = pace.state.lock().slowdown;
        (0..20).for_each(|_| {
            ask(&mut codec);
        });
        assert!(pace.state.lock().slowdown <= slow);
    }
}
