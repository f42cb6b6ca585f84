//! The work of `spill_log`, for trying ways of doing it: `spill_log FOLDER [threads=3] [memory=536870912] [encoding=auto] [appends=256]`
//! prints one line.

use chunkstore_store::{ByteLog, Encoding, LogOptions};
use std::time::Instant;

const BLOCK: usize = 64 << 10;
const BLOCKS: usize = 1024;

fn u(stream: u64, index: u64) -> u64 {
    let mut z = (stream << 40).wrapping_add(index).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let folder = args.next().ok_or("the folder is missing")?;
    let (mut options, mut appends) = (LogOptions::new().memory(512 << 20).item_size(8).folder(&folder), 256u64);
    for arg in args {
        let (name, value) = arg.split_once('=').ok_or("an option is NAME=VALUE")?;
        options = match name {
            "threads" => options.threads(value.parse()?),
            "memory" => options.memory(value.parse()?),
            "encoding" => options.encoding(match value {
                "raw" => Some(Encoding::Raw),
                "zstd" => Some(Encoding::Zstd),
                "shuffle" => Some(Encoding::ShuffleZstd),
                _ => None,
            }),
            "appends" => {
                appends = value.parse()?;
                options
            }
            _ => return Err("threads, memory, encoding or appends".into()),
        };
    }
    let pool: Vec<u8> = (0..(BLOCKS * BLOCK / 8) as u64).flat_map(|i| (u(50, i) % 1_000_000).to_le_bytes()).collect();
    let log = ByteLog::temporary(256, options)?;
    let start = Instant::now();
    for r in 0..appends {
        for p in 0..256u32 {
            let at = (r as usize + 37 * p as usize) % BLOCKS * BLOCK;
            log.append(p, r, &pool[at..at + BLOCK])?;
        }
        log.commit(r)?;
    }
    let append = start.elapsed().as_secs_f64();
    log.seal()?;
    let seal = start.elapsed().as_secs_f64();
    let (mut total, mut bits) = (0u64, 0u64);
    log.prefetch(0..256);
    for p in 0..256u32 {
        let mut sum = 0u64;
        for entry in log.gather(p)? {
            let entry = entry?;
            total += entry.len() as u64;
            sum = entry.as_chunks::<8>().0.iter().fold(sum, |sum, word| sum.wrapping_add(u64::from_le_bytes(*word)));
        }
        bits = bits.wrapping_mul(31).wrapping_add(sum);
    }
    let all = start.elapsed().as_secs_f64();
    println!(
        "{{\"append_s\": {append:.3}, \"seal_s\": {:.3}, \"get_s\": {:.3}, \"seconds\": {all:.3}, \"check\": \"{total} {bits:016x}\", \"stats\": \"{:?}\"}}",
        seal - append,
        all - seal,
        log.stats()
    );
    Ok(())
}
