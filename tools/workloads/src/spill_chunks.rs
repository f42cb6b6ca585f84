//! `spill_chunks`: the chest alone, as a map that is eight times larger than the memory that it may hold.

use crate::numbers::below;
use crate::run::{Context, Failure, Work, figures, round};
use chunkstore_store::{Arena, Block, Chest, ChestOptions, DType, Ledger};
use std::time::Instant;

/// The elements of a chunk: 4 MiB.
const EACH: usize = 1 << 19;

/// Makes the pool of numbers that chunks are made of.
pub(crate) fn prepare(_context: &Context) -> Result<Work, Failure> {
    let pool: Vec<f64> = (0..8 * EACH as u64).map(|i| below(51, i, 1000) as f64).collect();
    Ok(Box::new(move |context| {
        let (count, held) = context.size.spill_chunks();
        std::fs::create_dir_all(&context.scratch)?;
        let arena = Arena::new(Ledger::new(context.memory.unwrap_or(u64::MAX)));
        let options = ChestOptions::in_folder(&context.scratch).arena(arena.clone());
        let chest: Chest<u64, Block> = Chest::temporary(held, options)?;
        let (result, _) = context.timed(|| -> Result<_, Failure> {
            let start = Instant::now();
            for k in 0..count {
                let mut buffer = arena.alloc(EACH * 8)?;
                let slice = &pool[k as usize % 8 * EACH..][..EACH];
                buffer.as_slice_mut::<f64>().iter_mut().zip(slice).for_each(|(to, from)| *to = from + k as f64);
                chest.put(&k, &Block::new(buffer.freeze(), 0, DType::F64, [EACH].as_slice().into())?)?;
            }
            let put = start.elapsed().as_secs_f64();
            let start = Instant::now();
            let mut total = 0.0;
            for k in 0..count {
                let k = (k * 167 + 13) % count;
                let block = chest.get(&k)?.ok_or_else(|| format!("chunk {k} is gone"))?;
                total += sum(block.as_slice::<f64>()?) * (k + 1) as f64;
            }
            Ok((total, put, start.elapsed().as_secs_f64()))
        });
        let (total, put, get) = result?;
        let stats = chest.stats();
        context.spilled = stats.scratch.written_stored;
        let megabytes = count as f64 * (EACH * 8) as f64 / 1e6;
        context.note("put_s", round(put, 4));
        context.note("get_s", round(get, 4));
        context.note("put_MB_s", (megabytes / put).round());
        context.note("get_MB_s", (megabytes / get).round());
        context.note("held_peak_bytes", stats.peak);
        Ok(figures(&[total]))
    }))
}

/// The sum in eight parts, which the compiler makes into vectors.
fn sum(values: &[f64]) -> f64 {
    let (parts, rest) = values.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for part in parts {
        sums.iter_mut().zip(part).for_each(|(sum, value)| *sum += value);
    }
    sums.iter().chain(rest).sum()
}
