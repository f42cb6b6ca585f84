//! 512 chunks of 4 MiB, put in order and got in another, with 256 MiB of them in memory; a line of JSON tells the
//! seconds. `spill_chunks [FOLDER] [auto|raw|zstd|shuffle] [prefetch] [THREADS]`
//!
//! Chunk `k` is `k` plus one of eight slices of whole numbers below 1000, as 64-bit floats. The order of the gets is
//! `(167 k + 13) mod 512`.

use chunkstore_store::{Arena, Block, Chest, ChestOptions, DType, Encoding, Error, ErrorKind, Ledger, Result, ScratchOptions};
use std::time::Instant;

const CHUNKS: u64 = 512;
const EACH: usize = 1 << 19;
const HELD: u64 = 256 << 20;

/// SplitMix64's output for the input `stream * 2^40 + i`.
fn splitmix(stream: u64, i: u64) -> u64 {
    let z = (stream << 40).wrapping_add(i).wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let folder = args.first().map_or("/var/tmp", String::as_str);
    let how = args.get(1).map_or("auto", String::as_str);
    let encoding = match how {
        "auto" => None,
        "raw" => Some(Encoding::Raw),
        "zstd" => Some(Encoding::Zstd),
        "shuffle" => Some(Encoding::ShuffleZstd),
        other => return Err(Error::new(ErrorKind::Invalid, format!("{other} is no encoding"))),
    };
    let ahead = args.iter().any(|arg| arg == "prefetch");
    let threads = args.last().and_then(|arg| arg.parse().ok()).unwrap_or(2);
    let arena = Arena::new(Ledger::new(1 << 40));
    let scratch = ScratchOptions::new(folder).encoding(encoding);
    let options = ChestOptions::in_folder(folder).scratch(scratch).arena(arena.clone()).threads(threads);
    let pool: Vec<f64> = (0..8 * EACH as u64).map(|i| (splitmix(51, i) % 1000) as f64).collect();
    let chest: Chest<u64, Block> = Chest::temporary(HELD, options)?;

    let start = Instant::now();
    for k in 0..CHUNKS {
        let from = (k % 8) as usize * EACH;
        let mut buffer = arena.alloc(EACH * 8)?;
        let slice = pool.get(from..from + EACH).unwrap_or_default();
        buffer.as_slice_mut::<f64>().iter_mut().zip(slice).for_each(|(out, x)| *out = x + k as f64);
        chest.put(&k, &Block::new(buffer.freeze(), 0, DType::F64, [EACH].as_slice().into())?)?;
    }
    let put = start.elapsed().as_secs_f64();

    let start = Instant::now();
    let order = |k: u64| (k * 167 + 13) % CHUNKS;
    if ahead {
        chest.prefetch((0..CHUNKS).map(order));
    }
    let mut total = 0.0;
    for k in (0..CHUNKS).map(order) {
        let block = chest.get(&k)?.ok_or_else(|| Error::new(ErrorKind::Invalid, "a chunk is gone"))?;
        let sum: f64 = block
            .as_slice::<f64>()?
            .chunks(8)
            .fold([0.0; 8], |mut sums, part| {
                sums.iter_mut().zip(part).for_each(|(sum, x)| *sum += x);
                sums
            })
            .iter()
            .sum();
        total += sum * (k + 1) as f64;
    }
    let get = start.elapsed().as_secs_f64();
    let stats = chest.stats();
    let start = Instant::now();
    drop(chest);
    let mib = |bytes: u64| bytes >> 20;
    println!(
        "{{\"how\": \"{how}\", \"put_s\": {put:.3}, \"get_s\": {get:.3}, \"drop_s\": {:.3}, \"check\": {total}, \"held_MiB\": {}, \"written_MiB\": {}, \"stored_MiB\": {}, \"read_MiB\": {}, \"hits\": {}, \"prefetched\": {}, \"ledger_peak_MiB\": {}}}",
        start.elapsed().as_secs_f64(),
        mib(stats.peak),
        mib(stats.scratch.written),
        mib(stats.scratch.written_stored),
        mib(stats.scratch.read),
        stats.hits,
        stats.prefetched,
        mib(arena.ledger().peak()),
    );
    Ok(())
}
