//! What disk and codec alone allow for the work of `spill_log`: threads encode and write 4 GiB, then read and decode it, with no log
//! around that. `append_log_limits FOLDER [GIB] [THREADS]` prints one line for each encoding.

use chunkstore_store::io::{Backend, BackendFile, FileBackend, Open};
use chunkstore_store::{Arena, Codec, Encoding, Ledger, checksum};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Instant;

const PIECE: usize = 252 << 10;
const BLOCK: usize = 16 * PIECE;
const POOL: usize = 64 << 20;

fn u(stream: u64, index: u64) -> u64 {
    let mut z = (stream << 40).wrapping_add(index).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Seconds of writing and of reading, and the bytes that were written.
fn round(encoding: Encoding, blocks: u64, threads: usize, files: &[Arc<dyn BackendFile>], pool: &[u8]) -> Result<(f64, f64, u64), Failure> {
    let arena = Arena::new(Ledger::new(1 << 30));
    let (next, stored, total) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    // Where each block is: file, offset and stored pieces.
    type Places = Vec<(usize, u64, Vec<(usize, u64)>)>;
    let places: Mutex<Places> = Mutex::new(Vec::new());
    let run = |work: &(dyn Fn(usize) -> Result<(), Failure> + Sync)| -> Result<f64, Failure> {
        let start = Instant::now();
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..threads).map(|thread| scope.spawn(move || work(thread))).collect();
            all.into_iter().try_for_each(|thread| thread.join().unwrap_or_else(|_| Err("a thread panicked".into())))
        })?;
        Ok(start.elapsed().as_secs_f64())
    };
    let write = run(&|thread| {
        let (mut codec, mut out, mut offset) = (Codec::new(), arena.alloc(BLOCK + PIECE)?, 0);
        let number = thread % files.len();
        loop {
            let block = next.fetch_add(1, Relaxed);
            if block >= blocks {
                return Ok(());
            }
            let begin = (block as usize * 8 * 4099) % (POOL - BLOCK) / 8 * 8;
            let (mut filled, mut pieces) = (0, Vec::new());
            for piece in pool[begin..begin + BLOCK].chunks(PIECE) {
                let n = match codec.encode(encoding, 8, piece, &mut out[filled..])? {
                    Some(n) => n,
                    None => {
                        out[filled..filled + piece.len()].copy_from_slice(piece);
                        piece.len()
                    }
                };
                pieces.push((n, checksum(&out[filled..filled + n])));
                filled += n;
            }
            let end = filled.next_multiple_of(4096);
            files[number].write_at(offset, &out[..end])?;
            places.lock().map_err(|_| "a thread panicked")?.push((number, offset, pieces));
            offset += end as u64;
            stored.fetch_add(end as u64, Relaxed);
        }
    })?;
    let places = places.into_inner()?;
    next.store(0, Relaxed);
    let read = run(&|_| {
        let (mut codec, mut memory, mut out) = (Codec::new(), arena.alloc(BLOCK + PIECE)?, arena.alloc(BLOCK)?);
        loop {
            let Some((number, offset, pieces)) = places.get(next.fetch_add(1, Relaxed) as usize) else { return Ok(()) };
            let end = pieces.iter().map(|piece| piece.0).sum::<usize>().next_multiple_of(4096);
            files[*number].read_at(*offset, &mut memory[..end])?;
            let mut at = 0;
            for ((n, sum), piece) in pieces.iter().zip(out.chunks_mut(PIECE)) {
                let bytes = &memory[at..at + n];
                if checksum(bytes) != *sum {
                    return Err("a checksum is wrong".into());
                }
                match *n == piece.len() {
                    true => piece.copy_from_slice(bytes),
                    false => codec.decode(encoding, 8, bytes, piece)?,
                }
                at += n;
            }
            let words = out.as_chunks::<8>().0.iter().fold(0u64, |sum, word| sum.wrapping_add(u64::from_le_bytes(*word)));
            total.fetch_add(words, Relaxed);
        }
    })?;
    Ok((write, read, stored.into_inner()))
}

fn main() -> Result<(), Failure> {
    let mut args = std::env::args().skip(1);
    let folder = std::path::PathBuf::from(args.next().ok_or("the folder is missing")?);
    let gib: u64 = args.next().map_or(Ok(4), |text| text.parse())?;
    let threads: usize = args.next().map_or(Ok(3), |text| text.parse())?;
    let folder = std::path::absolute(folder)?;
    let pool: Vec<u8> = (0..(POOL / 8) as u64).flat_map(|i| (u(50, i) % 1_000_000).to_le_bytes()).collect();
    let blocks = (gib << 30) / BLOCK as u64;
    for encoding in [Encoding::Raw, Encoding::ShuffleZstd, Encoding::Zstd] {
        let backend = FileBackend::new();
        let paths: Vec<_> = (0..threads).map(|number| folder.join(format!("limits-{number}"))).collect();
        let files = paths.iter().map(|path| backend.open(path, Open::Create)).collect::<chunkstore_store::Result<Vec<_>>>()?;
        files.iter().try_for_each(|file| file.allocate(blocks * BLOCK as u64 / threads as u64 * 5 / 4))?;
        let result = round(encoding, blocks, threads, &files, &pool);
        paths.iter().try_for_each(|path| backend.remove(path))?;
        let (write, read, stored) = result?;
        println!(
            "{{\"encoding\": \"{encoding:?}\", \"threads\": {threads}, \"write_s\": {write:.3}, \"read_s\": {read:.3}, \"seconds\": {:.3}, \"stored_bytes\": {stored}}}",
            write + read
        );
    }
    Ok(())
}
