//! What tables promise.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::io::{Backend, MemoryBackend, Open};
use crate::segment::{FrameInfo, FrameKind, Place, SegmentOptions, Segments};
use crate::{Arena, Bytes, Chunk, ErrorKind, Ledger, checksum};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// What a key stands for; without a place, it was removed.
type Model = BTreeMap<Vec<u8>, Option<Place>>;

fn segments(ledger: &Ledger) -> (Arc<dyn Backend>, Segments) {
    let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::new(1 << 32));
    let options = SegmentOptions { segment_bytes: 1 << 20, threads: 1, ..SegmentOptions::default() };
    let segments = Segments::open(Arc::clone(&backend), Path::new("/m"), 1, &Arena::with_pool(ledger.clone(), 0), options).unwrap();
    (backend, segments)
}

fn place(i: u64) -> Place {
    Place { segment: i % 17, offset: 4096 + i * 8, len: 88 + i % 1000 }
}

fn commit(segments: &Segments) {
    segments.acknowledge(&segments.checkpoint(0).unwrap().unwrap());
}

/// Says something of a key, in the model too.
fn say(builder: &mut TableBuilder, model: &mut Model, key: &[u8], place: Option<Place>) {
    match place {
        Some(place) => builder.put(key, place).unwrap(),
        None => builder.remove(key).unwrap(),
    }
    model.insert(key.to_vec(), place);
}

fn check(table: &Table, segments: &Segments, model: &Model) {
    assert_eq!((table.len(), table.is_empty()), (model.len() as u64, model.is_empty()));
    for (key, place) in model {
        assert_eq!(table.get(key).unwrap(), Some(*place));
    }
    let mut all: Vec<(Vec<u8>, Option<Place>)> =
        table.iter(segments).unwrap().map(|item| item.unwrap()).map(|(key, place)| (key.to_vec(), place)).collect();
    assert!(all.is_sorted_by_key(|(key, _)| (checksum(key), key.clone())));
    all.sort();
    assert!(all.iter().map(|(key, place)| (key, place)).eq(model), "in order and complete");
}

#[test]
fn tables_are_found_in_memory_mapped_and_in_files() {
    let ledger = Ledger::new(64 << 20);
    let (_, segments) = segments(&ledger);
    for n in [0u64, 1, 2, 101, 102, 103, 205, 1400, 30_000] {
        let (mut builder, mut model) = (TableBuilder::new(&ledger).unwrap(), Model::new());
        for i in (0..n).rev() {
            say(&mut builder, &mut model, &i.to_be_bytes(), if i % 7 == 3 { None } else { Some(place(i)) });
            assert_eq!(builder.get(&i.to_be_bytes()), Some(model[&i.to_be_bytes()[..]]), "{}", builder.len());
            if n > 2000 {
                break;
            }
        }
        (0..n).for_each(|i| say(&mut builder, &mut model, &i.to_be_bytes(), if i % 5 == 3 { None } else { Some(place(i + 1)) }));
        let at = builder.write(&segments, 7).unwrap();
        let header = segments.read_header(at).unwrap();
        assert_eq!((header.kind, header.dataset), (FrameKind::Table, 7));
        check(&Table::open(&segments, at).unwrap(), &segments, &model);
        // Not sealed: a long one is read here and there. Sealed: it is mapped, while there is room for it.
        commit(&segments);
        let table = Table::open(&segments, at).unwrap();
        assert!(!table.is_mapped());
        check(&table, &segments, &model);
        if n == 30_000 {
            let filler = Chunk::Bytes(Bytes(segments.arena().alloc_zeroed(100).unwrap().freeze()));
            let stream_lane = |segments: &Segments| {
                let big = Chunk::Bytes(Bytes(segments.arena().alloc_zeroed(1 << 20).unwrap().freeze()));
                segments.append(FrameInfo { kind: FrameKind::Chunk, dataset: 1, key: b"" }, &big, 1).unwrap();
            };
            segments.append(FrameInfo { kind: FrameKind::Chunk, dataset: 1, key: b"" }, &filler, 1).unwrap();
            stream_lane(&segments);
            commit(&segments);
            let table = Table::open(&segments, at).unwrap();
            assert!(table.is_mapped());
            check(&table, &segments, &model);
            let used = ledger.used();
            let full = ledger.book(ledger.limit() - used - (600 << 10)).unwrap();
            let unmapped = Table::open(&segments, at).unwrap();
            assert!(!unmapped.is_mapped());
            check(&unmapped, &segments, &model);
            drop((full, unmapped, table));
            assert!(ledger.used() < used);
        }
        for absent in [n, n + 1, u64::MAX] {
            assert_eq!(Table::open(&segments, at).unwrap().get(&absent.to_be_bytes()).unwrap(), None);
        }
        let memory = builder.memory();
        assert!(n < 1000 || memory > 48 * n);
        builder.clear();
        assert_eq!((builder.memory(), builder.is_empty()), (0, true));
    }
}

#[test]
fn a_builder_without_memory_says_so_and_can_be_written() {
    let ledger = Ledger::new(16 << 20);
    let (_, segments) = segments(&ledger);
    let limit = ledger.used() + (2 << 20);
    let mut builder = TableBuilder::new(&ledger).unwrap();
    let rest = ledger.book(ledger.limit() - limit).unwrap();
    let mut n = 0u64;
    let error = loop {
        match builder.put(&n.to_be_bytes(), place(n)) {
            Ok(()) => n += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error.kind(), ErrorKind::OutOfMemory);
    drop(rest);
    let at = builder.write(&segments, 1).unwrap();
    assert_eq!(Table::open(&segments, at).unwrap().len(), n);
    assert_eq!(builder.put(&[0; (64 << 10) + 1], place(1)).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn a_damaged_table_is_not_opened() {
    let ledger = Ledger::new(64 << 20);
    let (backend, segments) = segments(&ledger);
    for n in [100u64, 5000] {
        let mut builder = TableBuilder::new(&ledger).unwrap();
        (0..n).for_each(|i| builder.put(&i.to_be_bytes(), place(i)).unwrap());
        let at = builder.write(&segments, 1).unwrap();
        commit(&segments);
        let file = backend.open(&segments.path_of(at.segment), Open::Existing).unwrap();
        let stored = segments.read_header(at).unwrap();
        let payload = at.offset + stored.payload_at() as u64;
        for byte in (at.offset..at.offset + 88).chain((payload..payload + stored.stored).step_by(97)) {
            let mut before = [0];
            file.read_at(byte, &mut before).unwrap();
            file.write_at(byte, &[before[0] ^ 0x40]).unwrap();
            let error = Table::open(&segments, at).map(|table| table.len()).unwrap_err();
            assert!(error.path().is_some(), "{error}");
            file.write_at(byte, &before).unwrap();
        }
        Table::open(&segments, at).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn merged_tables_say_what_they_say_together(
        parts in prop::collection::vec(prop::collection::vec((prop::collection::vec(0u8..3, 0..6), prop::option::weighted(0.8, any::<u64>())), 0..200), 1..5),
        long in 0usize..2000, forget in any::<bool>(),
    ) {
        let ledger = Ledger::new(64 << 20);
        let (_, segments) = segments(&ledger);
        let (mut whole, mut tables) = (Model::new(), Vec::new());
        for (number, part) in parts.iter().enumerate() {
            let (mut builder, mut model) = (TableBuilder::new(&ledger).unwrap(), Model::new());
            for (key, value) in part {
                say(&mut builder, &mut model, key, value.map(|value| place(value >> 16)));
            }
            say(&mut builder, &mut model, &vec![number as u8; long * 30], Some(place(number as u64)));
            let table = Table::open(&segments, builder.write(&segments, 1).unwrap()).unwrap();
            check(&table, &segments, &model);
            whole.extend(model);
            tables.push(table);
        }
        let refs: Vec<&Table> = tables.iter().collect();
        let merged = Table::open(&segments, merge_tables(&segments, 1, &refs, forget).unwrap()).unwrap();
        if forget {
            whole.retain(|_, place| place.is_some());
        }
        check(&merged, &segments, &whole);
    }

    #[test]
    fn any_bytes_are_a_table_or_an_error(
        count in prop_oneof![0u64..6, any::<u64>()], ids in prop_oneof![0u32..4, any::<u32>()], zeros in prop_oneof![Just(0u32), any::<u32>()],
        tail in prop::collection::vec(prop::sample::select(vec![0u8, 0, 0, 1, 2, 8, 255]), 0..400),
    ) {
        let ledger = Ledger::new(64 << 20);
        let (_, segments) = segments(&ledger);
        let payload = [&count.to_le_bytes()[..], &ids.to_le_bytes(), &zeros.to_le_bytes(), &tail].concat();
        let mut buffer = segments.arena().alloc(payload.len()).unwrap();
        buffer.copy_from_slice(&payload);
        let info = FrameInfo { kind: FrameKind::Table, dataset: 1, key: b"" };
        let at = segments.append(info, &Chunk::Bytes(Bytes(buffer.freeze())), 1).unwrap();
        if let Ok(table) = Table::open(&segments, at) {
            for key in [&b""[..], b"\0", b"a", &[0; 8]] {
                let _ = table.get(key);
            }
            let _ = table.iter(&segments).unwrap().count();
            let _ = merge_tables(&segments, 1, &[&table, &table], true);
        }
    }
}
