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
}
