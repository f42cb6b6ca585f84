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

/// The seconds that the calling thread was on a processor: what others do at the same time does not count.
fn cpu() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

/// How long `work` took, and how much of that on a processor, for each of `n`.
fn each<R>(what: &str, n: u64, work: impl FnOnce() -> R) -> R {
    let (start, before) = (Instant::now(), cpu());
    let out = work();
    let (wall, cpu) = (start.elapsed().as_secs_f64() / n as f64, cpu() - before);
    println!("{what}: {:.3} us, on the processor {:.3} us", wall * 1e6, cpu / n as f64 * 1e6);
    out
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
        let count = 256 / threads;
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| (0..count).for_each(|_| put_large()));
            }
        });
        let wrote = start.elapsed();
        commit();
        let rate = |time: std::time::Duration| (256u64 << 23) as f64 / time.as_secs_f64() / 1e6;
        println!("8 MiB frames, {threads} threads: {:.0} MB/s, with the commit {:.0} MB/s", rate(wrote), rate(start.elapsed()));
    }

    let (small, n) = (chunk(1024), 400_000u64);
    let put = |i: u64| segments.append(info(&i.to_be_bytes()), &small, 1).unwrap();
    let places: Vec<Place> = each("append a frame of 1 KiB", n, || (0..n).map(put).collect());
    commit();
    for round in ["cold", "cached", "cached"] {
        each(&format!("read a frame of 1 KiB, {round}"), n, || {
            (0..n).for_each(|i| drop(segments.read(places[(i * 7919 % n) as usize]).unwrap()))
        });
    }

    let n = 1_000_000u64;
    let mut builder = TableBuilder::new(arena.ledger()).unwrap();
    each("gather a million entries", 1, || (0..n).for_each(|i| builder.put(&i.to_be_bytes(), places[(i % 400_000) as usize]).unwrap()));
    let at = each("sort and write them", 1, || builder.write(&segments, 1).unwrap());
    let find = |table: &Table, n: u64| (0..n).for_each(|i| assert!(table.get(&(i * 7919 % n).to_be_bytes()).unwrap().is_some()));
    let sealed = loop {
        commit();
        let table = Table::open(&segments, at).unwrap();
        if table.is_mapped() {
            break table;
        }
        each("find a key in a file", n / 10, || find(&table, n / 10));
        (0..40).for_each(|_| put_large());
    };
    let table = each("open a table", 1, || Table::open(&segments, at).unwrap());
    for round in ["cold", "warm", "warm"] {
        each(&format!("find a key in a map, {round}"), n, || find(&table, n));
    }
    each("merge two tables", 1, || merge_tables(&segments, 1, &[&sealed, &table], true).unwrap());
}
