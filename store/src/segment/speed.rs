//! How fast segments and tables are: run by hand, in a release build, with `--ignored --nocapture`.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::io::FileBackend;
use crate::{Arena, Bytes, Chunk, Encoding, Ledger};
use std::sync::Arc;
use std::time::Instant;

fn info(key: &[u8]) -> FrameInfo<'_> {
    FrameInfo { kind: FrameKind::Chunk, dataset: 1, key }
}

#[test]
#[ignore = "it measures, and takes 5 GB of disk for a while"]
fn speed() {
    let folder = crate::testing::folder();
    let arena = Arena::new(Ledger::new(1 << 30));
    let options = SegmentOptions { encoding: Some(Encoding::Raw), ..SegmentOptions::default() };
    let segments = Segments::open(Arc::new(FileBackend::new()), &folder.path().join("s"), 1, &arena, options).unwrap();
    let chunk = |len: usize| {
        let mut buffer = arena.alloc(len).unwrap();
        buffer.iter_mut().enumerate().for_each(|(i, byte)| *byte = ((i * i) >> 7) as u8);
        Chunk::Bytes(Bytes(buffer.freeze()))
    };
    let commit = || segments.acknowledge(&segments.checkpoint(0).unwrap().unwrap());

    let large = chunk(8 << 20);
    let put_large = || {
        segments.append(info(b"key"), &large, 1).unwrap();
    };
    for threads in [1, 2] {
        let start = Instant::now();
        let each = 256 / threads;
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| (0..each).for_each(|_| put_large()));
            }
        });
        let wrote = start.elapsed();
        commit();
        let rate = |time: std::time::Duration| (256 << 23) as f64 / time.as_secs_f64() / 1e6;
        println!("8 MiB frames, {threads} threads: {:.0} MB/s, with the commit {:.0} MB/s", rate(wrote), rate(start.elapsed()));
    }

    let (small, n) = (chunk(1024), 400_000u64);
    let start = Instant::now();
    let places: Vec<Place> = (0..n).map(|i| segments.append(info(&i.to_be_bytes()), &small, 1).unwrap()).collect();
    let wrote = start.elapsed();
    commit();
    println!(
        "1 KiB frames: {:.0} k/s, with the commit {:.0} k/s",
        n as f64 / wrote.as_secs_f64() / 1e3,
        n as f64 / start.elapsed().as_secs_f64() / 1e3
    );
    for round in ["cold", "cached"] {
        let start = Instant::now();
        (0..n).for_each(|i| drop(segments.read(places[(i * 7919 % n) as usize]).unwrap()));
        println!("1 KiB frames read, {round}: {:.0} k/s", n as f64 / start.elapsed().as_secs_f64() / 1e3);
    }

    let n = 1_000_000u64;
    let start = Instant::now();
    let mut builder = TableBuilder::new(arena.ledger()).unwrap();
    (0..n).for_each(|i| builder.put(&i.to_be_bytes(), places[(i % 400_000) as usize]).unwrap());
    let gathered = start.elapsed();
    let at = builder.write(&segments, 1).unwrap();
    println!("a table of {n} entries: {gathered:.2?} to gather, {:.2?} in all, {} bytes", start.elapsed(), at.len);
    let sealed = loop {
        commit();
        let table = Table::open(&segments, at).unwrap();
        if table.is_mapped() {
            break table;
        }
        let start = Instant::now();
        (0..n / 10).for_each(|i| assert!(table.get(&(i * 7919 % n).to_be_bytes()).unwrap().is_some()));
        println!("lookup in a file: {:.2?}", start.elapsed() / (n / 10) as u32);
        (0..40).for_each(|_| put_large());
    };
    let start = Instant::now();
    let table = Table::open(&segments, at).unwrap();
    println!("opened in {:.2?}", start.elapsed());
    for round in ["cold", "warm"] {
        let start = Instant::now();
        (0..n).for_each(|i| assert!(table.get(&(i * 7919 % n).to_be_bytes()).unwrap().is_some()));
        println!("lookup in a map, {round}: {:.2?}", start.elapsed() / n as u32);
    }
    let start = Instant::now();
    merge_tables(&segments, 1, &[&sealed, &table], true).unwrap();
    println!("two of them merged in {:.2?}", start.elapsed());
}
