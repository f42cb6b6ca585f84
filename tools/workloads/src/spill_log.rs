//! `spill_log`: the append log alone, with eight times more than its buffer holds.

use crate::numbers::below;
use crate::run::{Context, Failure, Work, round};
use chunkstore_store::{ByteLog, LogOptions};
use std::time::Instant;

/// The bytes of a block, and the blocks that there are.
const BLOCK: usize = 64 << 10;
const BLOCKS: usize = 1024;

/// Makes the pool of blocks that are appended.
pub(crate) fn prepare(_context: &Context) -> Result<Work, Failure> {
    let pool: Vec<u8> = (0..(BLOCKS * BLOCK / 8) as u64).flat_map(|i| below(50, i, 1_000_000).to_le_bytes()).collect();
    Ok(Box::new(move |context| {
        let (parts, appends, buffer) = context.size.spill_log();
        std::fs::create_dir_all(&context.scratch)?;
        let options = LogOptions::new().memory(buffer).item_size(8).folder(&context.scratch);
        let log = ByteLog::temporary(parts, options)?;
        let (result, _) = context.timed(|| -> Result<_, Failure> {
            let start = Instant::now();
            for r in 0..appends {
                for p in 0..parts {
                    let at = (r as usize + 37 * p as usize) % BLOCKS * BLOCK;
                    log.append(p, u64::from(r), &pool[at..at + BLOCK])?;
                }
                log.commit(u64::from(r))?;
            }
            log.seal()?;
            let append = start.elapsed().as_secs_f64();
            let start = Instant::now();
            let (mut total, mut bits) = (0u64, 0u64);
            log.prefetch(0..parts);
            for p in 0..parts {
                let mut sum = 0u64;
                for entry in log.gather(p)? {
                    let entry = entry?;
                    total += entry.len() as u64;
                    sum = sum.wrapping_add(words(&entry));
                }
                bits = bits.wrapping_mul(31).wrapping_add(sum);
            }
            Ok((total, bits, append, start.elapsed().as_secs_f64()))
        });
        let (total, bits, append, get) = result?;
        let stats = log.stats();
        context.spilled = stats.written_stored;
        let megabytes = total as f64 / 1e6;
        context.note("append_s", round(append, 4));
        context.note("get_s", round(get, 4));
        context.note("append_MB_s", (megabytes / append).round());
        context.note("get_MB_s", (megabytes / get).round());
        context.note("held_peak_bytes", stats.held_peak);
        context.note("written_bytes", stats.written);
        Ok(format!("{total} {bits:016x}").into())
    }))
}

/// The sum of the words in eight parts, which the compiler makes into vectors.
fn words(bytes: &[u8]) -> u64 {
    let mut sums = [0u64; 8];
    for part in bytes.as_chunks::<64>().0 {
        for (sum, word) in sums.iter_mut().zip(part.as_chunks::<8>().0) {
            *sum = sum.wrapping_add(u64::from_le_bytes(*word));
        }
    }
    sums.into_iter().fold(0, u64::wrapping_add)
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn words_are_summed() {
        let bytes: Vec<u8> = (0..16u64).flat_map(u64::to_le_bytes).collect();
        assert_eq!(words(&bytes), 120);
    }
}
