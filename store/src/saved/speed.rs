//! Figures of saved data: `cargo test --release -p chunkstore-store saved::speed -- --ignored --nocapture`.

#![allow(clippy::unwrap_used)]

use super::{DatasetKind, Store};
use crate::{Arena, Bytes, Chunk, Ledger};
use serde_json::json;
use std::time::Instant;

#[test]
#[ignore = "it measures"]
fn a_million_chunks() {
    let temporary = crate::testing::folder();
    let folder = temporary.path().join("store");
    let arena = Arena::new(Ledger::new(1 << 30));
    let chunk = Chunk::Bytes(Bytes(arena.alloc_zeroed(1024).unwrap().freeze()));
    let options = || Store::options().memory(256 << 20);
    let store = options().open(&folder).unwrap();
    let writer = store.create("many", DatasetKind::new("texts", json!({}))).unwrap();
    let start = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..2u64 {
            let (writer, chunk) = (&writer, &chunk);
            scope.spawn(move || (thread..1_000_000).step_by(2).for_each(|n| writer.put(n, chunk).unwrap()));
        }
    });
    println!("a million puts of 1 KiB: {:?}", start.elapsed());
    let start = Instant::now();
    drop(writer.commit().unwrap());
    println!("their commit: {:?}; {:?}", start.elapsed(), store.stats());
    let start = Instant::now();
    drop(store);
    println!("closing: {:?}", start.elapsed());
    for read_only in [false, true] {
        let start = Instant::now();
        let store = if read_only { options().open_read_only(&folder).unwrap() } else { options().open(&folder).unwrap() };
        let dataset = store.dataset("many").unwrap();
        println!("opening the store and the dataset: {:?}", start.elapsed());
        let start = Instant::now();
        (0..200_000u64).for_each(|n| assert!(dataset.place(&(n * 5).to_be_bytes()).unwrap().is_some()));
        println!("200,000 look-ups: {:?}; {} bytes booked", start.elapsed(), store.inner().arena.ledger().used());
    }
    let store = options().open(&folder).unwrap();
    let start = Instant::now();
    (0..100).for_each(|n| store.save_value(&format!("v{n}"), &n).unwrap());
    println!("a commit of one value: {:?}", start.elapsed() / 100);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for thread in 0..16 {
            let store = &store;
            scope.spawn(move || (0..20).for_each(|n| store.save_value(&format!("t{thread}/{n}"), &n).unwrap()));
        }
    });
    println!("320 commits of 16 threads: {:?}", start.elapsed());
    let start = Instant::now();
    let verified = store.verify(|_, _| {}).unwrap();
    println!("verify: {:?} for {} bytes", start.elapsed(), verified.bytes);
    assert!(verified.is_sound());
    let start = Instant::now();
    store.gc(true).unwrap();
    println!("a look at what can be collected: {:?}", start.elapsed());
    drop(store);
    // Within little memory.
    for bound in [48u64 << 20, 64 << 20] {
        let store = Store::options().memory(bound).open_read_only(&folder).unwrap();
        let ledger = store.inner().arena.ledger();
        ledger.reset_peak();
        let start = Instant::now();
        let verified = store.verify(|_, _| {});
        let peak = ledger.peak() >> 20;
        match verified {
            Ok(verified) => println!("verify within {} MiB: {:?}, peak {peak} MiB, {}", bound >> 20, start.elapsed(), verified.is_sound()),
            Err(error) => println!("verify within {} MiB: {:?}, peak {peak} MiB, {error}", bound >> 20, start.elapsed()),
        }
    }
    // Damage in one segment: all of it is copied.
    let store = options().open(&folder).unwrap();
    let place = store.dataset("many").unwrap().place(&0u64.to_be_bytes()).unwrap().unwrap();
    let path = store.inner().segments.path_of(place.segment);
    drop(store);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[place.offset as usize + 600] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let start = Instant::now();
    let repaired = Store::options().memory(256 << 20).repair(&folder).unwrap();
    println!("repair: {:?}, {} copied, {} gone", start.elapsed(), repaired.copied, repaired.gone.len());
    let store = options().open(&folder).unwrap();
    let writer = store.update("many").unwrap();
    let start = Instant::now();
    (0..1_000_000u64).filter(|n| n % 3 > 0).for_each(|n| assert!(writer.remove_key(&n.to_be_bytes()).unwrap()));
    drop(writer.commit().unwrap());
    println!("removing two thirds: {:?}", start.elapsed());
    let start = Instant::now();
    println!("compact: {:?}: {:?}", store.compact().unwrap(), start.elapsed());
}

/// Where the times of later rounds grow, something is looked through again at each commit.
#[test]
#[ignore = "it measures"]
fn one_key_a_commit() {
    let backend: std::sync::Arc<dyn crate::io::Backend> = std::sync::Arc::new(crate::io::MemoryBackend::new(4 << 30));
    backend.create_folder(std::path::Path::new("/")).unwrap();
    let store = Store::options().memory(256 << 20).backend(backend).open("/s").unwrap();
    let arena = Arena::new(Ledger::new(1 << 30));
    let chunk = Chunk::Bytes(Bytes(arena.alloc_zeroed(8).unwrap().freeze()));
    let writer = store.create("keys", DatasetKind::new("texts", json!({}))).unwrap();
    for round in 0..5u64 {
        let start = Instant::now();
        for n in 0..10_000 {
            writer.put(10_000 * round + n, &chunk).unwrap();
            writer.flush().unwrap();
        }
        println!("10,000 commits of one key behind {}: {:?}", 10_000 * round, start.elapsed());
    }
    drop(writer.commit().unwrap());
    for round in 0..3u64 {
        let start = Instant::now();
        for n in 0..100 {
            let writer = store.update("keys").unwrap();
            writer.put(100_000 + 100 * round + n, &chunk).unwrap();
            drop(writer.commit().unwrap());
        }
        println!("100 times opened and committed: {:?}", start.elapsed());
    }
    for round in 0..4u64 {
        let start = Instant::now();
        (0..1000u64).for_each(|n| store.save_value(&format!("v{}", 1000 * round + n), &n).unwrap());
        println!("1,000 values behind {}: {:?}", 1000 * round, start.elapsed());
    }
}
