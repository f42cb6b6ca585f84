//! Which encoding pays.

use super::compress::{Codec, Encoding};
use std::time::{Duration, Instant};

/// The bytes that are tried.
const SAMPLE: usize = 64 << 10;

/// The sample is taken in this many places.
const PLACES: usize = 4;

/// Below this there is nothing to save: the disk is written in blocks of 4096.
const LEAST: usize = 8192;

/// What a sample told of an encoding.
#[derive(Debug, Clone, Copy)]
struct Trial {
    encoding: Encoding,
    /// Encoded bytes a byte.
    size: f64,
    /// Seconds a byte.
    time: f64,
}

impl Codec {
    /// The encoding in which `bytes`, items of `item_size` bytes, are written soonest to a disk that takes
    /// `disk_bytes_per_s`: compressed where 1/filter + 1/compressor + 1/(ratio B) < 1/B, with the rates and the
    /// ratio measured on 64 KiB from four places. It takes 0.1 to 0.5 ms: ask once for each array, not for each block.
    ///
    /// The answer depends on the clock; what is decoded never does.
    pub fn probe(&mut self, bytes: &[u8], item_size: usize, disk_bytes_per_s: u64) -> Encoding {
        let write = 1.0 / disk_bytes_per_s.max(1) as f64;
        let Some(sample) = Sample::new(bytes, item_size) else { return Encoding::Raw };
        let mut best = (write, Encoding::Raw);
        for encoding in sample.candidates() {
            let Some(mut trial) = self.trial(encoding, item_size, &sample) else { continue };
            if trial.size < 0.9 && cost(&trial, write) >= write {
                // Its bytes would pay and its time did not; the first time may have been an interrupted one.
                trial.time = self.trial(encoding, item_size, &sample).map_or(trial.time, |again| again.time.min(trial.time));
            }
            if cost(&trial, write) < best.0 {
                best = (cost(&trial, write), trial.encoding);
            }
        }
        best.1
    }

    /// The encoding of least cost, which the caller reckons from the stored bytes a byte and the seconds that encoding a byte takes
    /// (nothing for raw). It is raw where no other costs less.
    pub(crate) fn probe_beside(&mut self, bytes: &[u8], item_size: usize, cost: impl Fn(f64, Option<f64>) -> f64) -> Encoding {
        let Some(sample) = Sample::new(bytes, item_size) else { return Encoding::Raw };
        let mut best = (cost(1.0, None), Encoding::Raw);
        for encoding in sample.candidates() {
            let Some(trial) = self.trial(encoding, item_size, &sample) else { continue };
            // The first time may have been an interrupted one.
            let again = self.trial(encoding, item_size, &sample).map_or(trial.time, |again| again.time);
            let cost = cost(trial.size, Some(trial.time.min(again)));
            if cost < best.0 {
                best = (cost, encoding);
            }
        }
        best.1
    }

    /// The encoding in which `bytes` take least, at whatever time: for when a quota binds.
    pub fn probe_smallest(&mut self, bytes: &[u8], item_size: usize) -> Encoding {
        let Some(sample) = Sample::new(bytes, item_size) else { return Encoding::Raw };
        let trials = sample.candidates().into_iter().filter_map(|encoding| self.trial(encoding, item_size, &sample));
        let least = trials.min_by(|a, b| a.size.total_cmp(&b.size));
        least.filter(|trial| trial.size < 0.98).map_or(Encoding::Raw, |trial| trial.encoding)
    }

    /// Encodes the sample. Nothing where it does not become smaller.
    fn trial(&mut self, encoding: Encoding, item_size: usize, sample: &Sample) -> Option<Trial> {
        let mut out = vec![0; sample.bytes.len()];
        if self.working_bytes() == 0 {
            // The first use makes the contexts.
            self.encode_piece(Encoding::Zstd, item_size, sample.bytes.get(..4096)?, &mut out).ok()?;
        }
        let begin = Instant::now();
        let n = self.encode_piece(encoding, item_size, &sample.bytes, &mut out).ok()??;
        let time = begin.elapsed().max(Duration::from_nanos(1)).as_secs_f64() / sample.bytes.len() as f64;
        Some(Trial { encoding, size: n as f64 / sample.bytes.len() as f64, time })
    }
}

/// Seconds a byte from memory to disk, where the disk takes `write` seconds for one.
fn cost(trial: &Trial, write: f64) -> f64 {
    trial.time + trial.size * write
}

/// Whole items from a few places.
struct Sample {
    bytes: Vec<u8>,
    item_size: usize,
}

impl Sample {
    fn new(bytes: &[u8], item_size: usize) -> Option<Self> {
        if bytes.len() < LEAST {
            return None;
        }
        let item = item_size.clamp(1, SAMPLE / PLACES);
        let len = SAMPLE / PLACES / item * item;
        let mut sample = Vec::with_capacity(SAMPLE);
        if bytes.len() <= SAMPLE {
            sample.extend_from_slice(bytes);
        } else {
            let last = bytes.len() - len;
            for place in 0..PLACES {
                // The division comes first, so that nothing overflows.
                let begin = last / (PLACES - 1) * place / item * item;
                sample.extend_from_slice(bytes.get(begin..begin + len)?);
            }
        }
        Some(Sample { bytes: sample, item_size })
    }

    fn candidates(&self) -> Vec<Encoding> {
        match self.item_size {
            0 | 1 => vec![Encoding::Zstd],
            _ => vec![Encoding::Zstd, Encoding::ShuffleZstd],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn random(seed: &mut u64) -> u64 {
        *seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        *seed >> 11
    }

    #[test]
    fn compression_has_to_pay_for_its_time() {
        let trial = |ratio: f64, gb_per_s: f64| Trial { encoding: Encoding::Zstd, size: 1.0 / ratio, time: 1e-9 / gb_per_s };
        let pays = |trial: Trial, disk: f64| cost(&trial, 1.0 / disk) < 1.0 / disk;
        assert!(pays(trial(5.97, 2.8), 2e9) && !pays(trial(5.97, 2.8), 3e9));
        assert!(pays(trial(1.33, 1.5), 3e8) && !pays(trial(1.33, 1.5), 4e8));
        assert!(!pays(trial(1.0, 1e9), 1.0));
    }

    // On a disk of one byte a second, the size alone decides, however often this thread is interrupted.
    #[test]
    fn a_slow_disk_wants_small_numbers_shuffled_and_noise_raw() {
        let mut codec = Codec::new();
        let mut seed = 1;
        let numbers: Vec<u8> = (0..200_000).flat_map(|_| (random(&mut seed) % 1000).to_le_bytes()).collect();
        assert_eq!(codec.probe(&numbers, 8, 1), Encoding::ShuffleZstd);
        assert_eq!(codec.probe_smallest(&numbers, 8), Encoding::ShuffleZstd);
        assert_eq!(codec.probe(&numbers, 8, u64::MAX), Encoding::Raw, "an infinitely fast disk");
        let noise: Vec<u8> = (0..200_000).flat_map(|_| (random(&mut seed) as u32).to_le_bytes()).collect();
        assert_eq!(codec.probe(&noise, 4, 1), Encoding::Raw);
        assert_eq!(codec.probe_smallest(&noise, 4), Encoding::Raw);
        let text = b"what is written again and again and again compresses without a filter. ".repeat(10_000);
        assert_eq!(codec.probe(&text, 1, 1), Encoding::Zstd);
        assert_eq!(codec.probe(&text[..100], 1, 1), Encoding::Raw);
        assert!(codec.working_bytes() + 2 * SAMPLE as u64 <= Codec::WORKING_BYTES);
    }

    #[test]
    fn samples_are_whole_items_of_all_of_it() {
        for (len, item) in [(8192, 8), (SAMPLE, 8), (SAMPLE + 1, 8), (1 << 20, 3), (1 << 20, usize::MAX)] {
            let bytes: Vec<u8> = (0..len).map(|i| (i * 256 / len) as u8).collect();
            let sample = Sample::new(&bytes, item).map(|sample| sample.bytes).unwrap_or_default();
            assert!(!sample.is_empty() && sample.len() <= SAMPLE);
            assert!(sample.first() == Some(&0) && sample.last().is_some_and(|last| *last >= 254), "{len} {item}");
        }
    }
}
