//! Which encoding pays, found out while the log is written.
//!
//! What a probe says of speed holds on an idle machine, and what a disk can do depends on who else uses it. So both ways are tried: of
//! every cycle of blocks the first few are written raw, the next few in the encoding that a probe finds best for them, and the others in
//! the way that took less. What counts is the time of a background thread from the entries to the disk, by the byte of the
//! entries; all threads work beside each other in both ways. What is written is read back once: as fast as it was written where it is raw,
//! and otherwise at the speed of the disk or three times that of encoding, whichever takes longer.
//!
//! ```text
//! cycle | raw, measured | encoded, measured | the better of both ...                                   |
//! ```

use crate::{Codec, Encoding};
use parking_lot::Mutex;
use std::time::Duration;

/// The blocks that are written in one way to measure it.
const TRIED: u32 = 12;
/// The blocks of a cycle: data change, and the load of the machine.
const CYCLE: u32 = 400;
/// The least block that tells anything.
const TELLING: u64 = 64 << 10;
/// Encoding has to save this part of the time of raw.
const LEAST_GAIN: f64 = 0.05;
/// A sample that keeps more than this part of its size is not worth a trial.
const LARGEST: f64 = 0.9;

#[derive(Debug)]
pub(super) struct Pace {
    fixed: Option<Encoding>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The blocks of this cycle so far.
    at: u32,
    /// What the probe found best.
    candidate: Encoding,
    best: Encoding,
    raw: Measured,
    encoded: Measured,
}

/// What was measured of one way in this cycle.
#[derive(Debug, Default, Clone, Copy)]
struct Measured {
    bytes: f64,
    stored: f64,
    seconds: f64,
}

impl Measured {
    /// Seconds a byte.
    fn time(&self) -> Option<f64> {
        (self.bytes > 0.0).then(|| self.seconds / self.bytes)
    }
}

impl State {
    /// Whether the encoded way takes less, as far as both were measured.
    fn pays(&self) -> bool {
        let (Some(raw), Some(encoded)) = (self.raw.time(), self.encoded.time()) else { return false };
        let read = (encoded / 3.0).max(raw * self.encoded.stored / self.encoded.bytes);
        encoded + read < 2.0 * raw * (1.0 - LEAST_GAIN)
    }
}

impl Pace {
    pub(super) fn new(fixed: Option<Encoding>) -> Self {
        Pace { fixed, state: Mutex::default() }
    }

    /// The encoding for a block with this sample.
    pub(super) fn encoding(&self, codec: &mut Codec, sample: &[u8], item_size: usize) -> Encoding {
        if let Some(encoding) = self.fixed {
            return encoding;
        }
        let mut state = self.state.lock();
        let at = state.at;
        state.at = (at + 1) % CYCLE;
        if at == 0 {
            (state.raw, state.encoded) = (Measured::default(), Measured::default());
        }
        if at == TRIED {
            drop(state);
            // The least time among those that save anything; between two that take about the same, the smaller.
            let cost = |size: f64, time: Option<f64>| match time {
                Some(time) if size < LARGEST => time * size.sqrt(),
                _ => f64::INFINITY,
            };
            let candidate = codec.probe_beside(sample, item_size, cost);
            state = self.state.lock();
            state.candidate = candidate;
            state.best = Encoding::Raw;
        }
        match at {
            _ if at < TRIED => Encoding::Raw,
            _ if at < 2 * TRIED => state.candidate,
            // Those that are tried may still be on their way.
            _ => {
                state.best = if state.pays() { state.candidate } else { Encoding::Raw };
                state.best
            }
        }
    }

    /// Says how long it took to bring entries to the disk.
    pub(super) fn written(&self, encoding: Encoding, bytes: u64, stored: u64, time: Duration) {
        if bytes < TELLING {
            return;
        }
        let mut state = self.state.lock();
        let measured = match encoding {
            Encoding::Raw => &mut state.raw,
            _ => &mut state.encoded,
        };
        measured.bytes += bytes as f64;
        measured.stored += stored as f64;
        measured.seconds += time.as_secs_f64();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cycle(pace: &Pace, codec: &mut Codec, sample: &[u8], raw: f64, encoded: f64) -> (Encoding, usize) {
        let mut last = (Encoding::Raw, 0);
        for _ in 0..CYCLE {
            let encoding = pace.encoding(codec, sample, 8);
            let (stored, time) = if encoding == Encoding::Raw { (1 << 20, raw) } else { (1 << 18, encoded) };
            pace.written(encoding, 1 << 20, stored, Duration::from_secs_f64(time));
            last = (encoding, last.1 + usize::from(encoding != Encoding::Raw));
        }
        last
    }

    #[test]
    fn what_takes_less_is_done_and_the_other_tried_again() {
        let (pace, mut codec) = (Pace::new(None), Codec::new());
        let sample: Vec<u8> = (0..8192u64).flat_map(|i| (i * i % 1000).to_le_bytes()).collect();
        let (last, many) = cycle(&pace, &mut codec, &sample, 1.0, 1.2);
        assert!(last != Encoding::Raw && many == (CYCLE - TRIED) as usize, "reading back less makes up for it");
        assert_eq!(cycle(&pace, &mut codec, &sample, 1.0, 3.0), (Encoding::Raw, TRIED as usize));
        assert!(cycle(&pace, &mut codec, &sample, 1.0, 0.5).0 != Encoding::Raw);
        let mut seed = 1u64;
        let noise: Vec<u8> = (0..65536)
            .map(|_| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                (seed >> 40) as u8
            })
            .collect();
        assert_eq!(cycle(&pace, &mut codec, &noise, 1.0, 0.1), (Encoding::Raw, 0));
        assert_eq!(Pace::new(Some(Encoding::Zstd)).encoding(&mut codec, &noise, 1), Encoding::Zstd);
    }
}
