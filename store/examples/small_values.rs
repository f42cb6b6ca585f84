//! Puts and gets of a million values of 1 KiB: at a path, in memory, by one thread and by two, and through disk. Each line of JSON is one round.
//! `small_values [FOLDER] [VALUES] [path]`; with `path`, only those at a path.

use chunkstore_store::{Arena, Buffer, Bytes, Chest, ChestOptions, Ledger, Result, peak_resident_bytes};
use std::sync::Arc;
use std::time::Instant;

const EACH: usize = 1024;

/// Puts and gets all values, as `map` orders the gets, and tells how long that took.
fn round<V: chunkstore_store::Storable + Sync>(
    name: &str,
    chest: &Chest<u64, V>,
    n: u64,
    threads: u64,
    make: impl Fn(u64) -> V + Sync,
    first: impl Fn(&V) -> u8 + Sync,
) -> Result<()> {
    let each = |work: &(dyn Fn(u64) -> Result<()> + Sync)| -> Result<f64> {
        let start = Instant::now();
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..threads).map(|t| scope.spawn(move || (t..n).step_by(threads as usize).try_for_each(work))).collect();
            all.into_iter().try_for_each(|thread| thread.join().unwrap_or(Ok(())))
        })?;
        Ok(n as f64 / start.elapsed().as_secs_f64() / 1e3)
    };
    let check = |k: u64| -> Result<()> {
        let found = chest.get(&k)?;
        assert!(found.is_some_and(|value| first(&value) == k as u8), "{k}");
        Ok(())
    };
    let put = each(&|k| chest.put(&k, &make(k)))?;
    let get = each(&check)?;
    let random = each(&|k| check((k.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20) % n))?;
    let stats = chest.stats();
    println!(
        "{{\"round\": \"{name}\", \"threads\": {threads}, \"put_k_s\": {put:.0}, \"get_k_s\": {get:.0}, \"random_get_k_s\": {random:.0}, \"index_bytes_a_key\": {:.1}, \"peak_MiB\": {}, \"written_MiB\": {}, \"read_MiB\": {}, \"resident_MiB\": {}}}",
        stats.index as f64 / n as f64,
        stats.peak >> 20,
        stats.scratch.written >> 20,
        stats.scratch.read >> 20,
        peak_resident_bytes() >> 20,
    );
    Ok(())
}

/// Puts and gets at a path: in order before and after it is opened again, and at random.
fn at_a_path(folder: &str, n: u64) -> Result<()> {
    let path = format!("{folder}/small-values-{}", std::process::id());
    let open = || Chest::<u64, Vec<u8>>::open(&path, "128MiB");
    let rate = |n: u64, work: &mut dyn FnMut(u64) -> Result<()>| -> Result<f64> {
        let start = Instant::now();
        (0..n).try_for_each(work)?;
        Ok(n as f64 / start.elapsed().as_secs_f64() / 1e3)
    };
    let chest = open()?;
    let put = rate(n, &mut |k| chest.put(&k, &vec![k as u8; EACH]))?;
    let start = Instant::now();
    chest.flush()?;
    let flush = start.elapsed().as_secs_f64();
    let check = |chest: &Chest<u64, Vec<u8>>, k: u64| -> Result<()> {
        assert!(chest.get(&k)?.is_some_and(|value| value.first() == Some(&(k as u8))), "{k}");
        Ok(())
    };
    let get = rate(n / 4, &mut |k| check(&chest, k))?;
    drop(chest);
    let start = Instant::now();
    let chest = open()?;
    let opened = start.elapsed().as_secs_f64();
    let again = rate(n / 4, &mut |k| check(&chest, k))?;
    let random = rate(20_000, &mut |k| check(&chest, (k.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 20) % n))?;
    println!(
        "{{\"round\": \"at a path, Vec<u8>\", \"put_k_s\": {put:.0}, \"flush_s\": {flush:.2}, \"get_k_s\": {get:.0}, \"open_s\": {opened:.2}, \"get_again_k_s\": {again:.0}, \"random_get_k_s\": {random:.0}, \"resident_MiB\": {}}}",
        peak_resident_bytes() >> 20,
    );
    chest.destroy()
}

fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let folder = args.first().map_or("/var/tmp", String::as_str);
    let n: u64 = args.get(1).and_then(|arg| arg.parse().ok()).unwrap_or(1_000_000);
    at_a_path(folder, n)?;
    if args.get(2).is_some_and(|arg| arg == "path") {
        return Ok(());
    }
    let options = || ChestOptions::in_folder(folder);
    let vector = |k: u64| vec![k as u8; EACH];
    {
        let chest: Chest<u64, Vec<u8>> = Chest::temporary("64MiB", options())?;
        round("through disk, Vec<u8>", &chest, n, 1, vector, |value| value.first().copied().unwrap_or(0))?;
    }
    {
        let chest: Chest<u64, Vec<u8>> = Chest::temporary("64MiB", options())?;
        round("through disk, Vec<u8>", &chest, n, 2, vector, |value| value.first().copied().unwrap_or(0))?;
    }
    for threads in [1, 2] {
        let chest: Chest<u64, Vec<u8>> = Chest::temporary("3GiB", options())?;
        round("in memory, Vec<u8>", &chest, n, threads, vector, |value| value.first().copied().unwrap_or(0))?;
        round("in memory, Vec<u8>, again", &chest, n, threads, vector, |value| value.first().copied().unwrap_or(0))?;
    }
    {
        let chest: Chest<u64, (u64, String)> = Chest::temporary("3GiB", options())?;
        let text = "x".repeat(EACH - 8);
        round("in memory, (u64, String)", &chest, n, 1, |k| (k, text.clone()), |value| value.0 as u8)?;
    }
    let arena = Arena::new(Ledger::new(1 << 40));
    let chest: Chest<u64, Bytes> = Chest::temporary("3GiB", options())?;
    let bytes: Vec<Bytes> = (0..=255u8).map(|k| Bytes(Buffer::from_vec(Arc::new(vec![k; EACH])))).collect();
    let make = |k: u64| bytes.get(k as usize % 256).cloned().unwrap_or_else(|| Bytes(Buffer::empty().clone()));
    round("in memory, Bytes", &chest, n, 1, make, |value| value.0.first().copied().unwrap_or(0))?;
    drop(arena);
    Ok(())
}
