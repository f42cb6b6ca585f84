//! What segments promise as a whole.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::format::BLOCK_BYTES;
use crate::io::{Backend, Fault, FaultyBackend, FileBackend, MemoryBackend, Open};
use crate::{Arena, Block, Buffer, Bytes, Chunk, DType, Encoding, ErrorKind, Ledger, Records, Scalar};
use proptest::prelude::*;
use smallvec::smallvec;
use std::path::Path;
use std::sync::Arc;

const MIB: usize = 1 << 20;

fn arena() -> Arena {
    Arena::new(Ledger::new(512 << 20))
}

/// Words that compress (`kind` 0), do not (1), or do so in every second MiB (2).
fn word(seed: u64, i: usize, kind: u64) -> u64 {
    let random = (seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ i as u64).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    match kind == 1 || (kind == 2 && (i / (MIB / 8)).is_multiple_of(2)) {
        true => random ^ (random >> 29),
        false => seed + random % 100,
    }
}

fn buffer(arena: &Arena, len: usize, seed: u64, kind: u64) -> Buffer {
    let mut buffer = arena.alloc(len).unwrap();
    for (i, part) in buffer.chunks_mut(8).enumerate() {
        part.copy_from_slice(&word(seed, i, kind).to_le_bytes()[..part.len()]);
    }
    buffer.freeze()
}

fn bytes(arena: &Arena, len: usize, seed: u64, kind: u64) -> Chunk {
    Chunk::Bytes(Bytes(buffer(arena, len, seed, kind)))
}

fn same(a: &Chunk, b: &Chunk) -> bool {
    let of = |chunk: &Chunk| {
        let (buffer, begin, len) = chunk.payload();
        buffer[begin..begin + len].to_vec()
    };
    a.header().unwrap() == b.header().unwrap() && of(a) == of(b)
}

fn info(key: &[u8]) -> FrameInfo<'_> {
    FrameInfo { kind: FrameKind::Chunk, dataset: 7, key }
}

fn open(backend: &Arc<dyn Backend>, folder: &Path, arena: &Arena, options: SegmentOptions) -> Segments {
    Segments::open(Arc::clone(backend), folder, 99, arena, options).unwrap()
}

fn commit(segments: &Segments) -> Vec<Commit> {
    let commits = segments.checkpoint(segments.failures()).unwrap().unwrap();
    segments.acknowledge(&commits);
    commits
}

fn small_segments() -> SegmentOptions {
    SegmentOptions { segment_bytes: 64 << 10, ..SegmentOptions::default() }
}

fn in_memory() -> (FaultyBackend, Arc<dyn Backend>) {
    let faulty = FaultyBackend::new(Arc::new(MemoryBackend::new(1 << 30)));
    (faulty.clone(), Arc::new(faulty))
}

/// Walks all segments; the places of the frames, and the errors.
fn walk(segments: &Segments) -> (Vec<Place>, Vec<crate::Error>) {
    let (mut places, mut errors) = (Vec::new(), Vec::new());
    for commit in segments.segments() {
        for found in segments.frames(commit.segment).unwrap() {
            match found {
                Ok((offset, header)) => places.push(Place { segment: commit.segment, offset, len: header.frame_len() }),
                Err(error) => errors.push(error),
            }
        }
    }
    (places, errors)
}

#[test]
fn every_kind_and_size_comes_back() {
    let folder = crate::testing::folder();
    for (backend, at) in [
        (Arc::new(FileBackend::new()) as Arc<dyn Backend>, folder.path().join("direct")),
        (Arc::new(FileBackend::buffered()), folder.path().join("buffered")),
        (Arc::new(MemoryBackend::new(1 << 32)), "/m".into()),
    ] {
        let arena = arena();
        for encoding in [None, Some(Encoding::Raw), Some(Encoding::Zstd), Some(Encoding::ShuffleZstd)] {
            let folder = at.join(format!("{encoding:?}"));
            let segments =
                open(&backend, &folder, &arena, SegmentOptions { encoding, segment_bytes: 8 << 20, ..SegmentOptions::default() });
            let mut chunks = vec![Chunk::Scalar(Scalar::F64(0.5))];
            for len in [0, 1, 8, 4095, 4096, 8192, 65_528, 65_536, 65_544, 190_000, 258_048, 258_056, 524_288, MIB + 8, 3 * MIB, 17 * MIB] {
                for kind in 0..3 {
                    let whole = buffer(&arena, len, 3, kind);
                    chunks.push(Chunk::Records(Records { data: whole.clone(), count: 9 }));
                    if len >= 16 && len % 8 == 0 {
                        chunks.push(Chunk::Block(Block::new(whole.clone(), 0, DType::U64, smallvec![2, len / 16]).unwrap()));
                        chunks.push(Chunk::Block(Block::new(whole.clone(), 8, DType::U64, smallvec![len / 8 - 1]).unwrap()));
                    }
                    chunks.push(Chunk::Bytes(Bytes(whole)));
                    if len > 3 * MIB {
                        break;
                    }
                }
            }
            let keys: Vec<Vec<u8>> = (0..chunks.len()).map(|i| vec![i as u8; [0, 3, 24, 5000, 65_536][i % 5]]).collect();
            let put = |i: usize| segments.append(info(&keys[i]), &chunks[i], 1).unwrap();
            let places: Vec<Place> = (0..chunks.len()).map(put).collect();
            let check = |segments: &Segments| {
                for ((place, chunk), key) in places.iter().zip(&chunks).zip(&keys) {
                    let (header, back) = segments.read_frame(*place).unwrap();
                    assert!(same(&back, chunk), "{encoding:?} {place:?} {:?}", chunk.header());
                    assert_eq!((header.kind, header.dataset, &header.key[..]), (FrameKind::Chunk, 7, &key[..]));
                    assert_eq!(segments.read_header(*place).unwrap(), header);
                    assert_eq!(header.large, place.len % 4096 == 0 && place.offset % 4096 == 0 && header.payload_at() % 4096 == 0);
                }
            };
            check(&segments);
            let commits = commit(&segments);
            check(&segments);
            let (mut walked, errors) = walk(&segments);
            assert!(errors.is_empty(), "{errors:?}");
            let mut want = places.clone();
            (walked.sort(), want.sort());
            assert_eq!(walked, want);
            drop(segments);
            let all = SegmentOptions { read_only: true, ..SegmentOptions::default() };
            let again = open(&backend, &folder, &arena, all);
            again.restore(&commits).unwrap();
            check(&again);
            assert_eq!(again.append(info(b""), &chunks[0], 1).unwrap_err().kind(), ErrorKind::Unusable);
            drop(again);
            drop(chunks);
            arena.trim();
            assert_eq!(arena.ledger().used(), 0);
            backend.remove_folder(&folder).unwrap();
        }
    }
}

#[test]
fn a_torn_tail_is_cut_and_only_that() {
    let (_, backend) = in_memory();
    let arena = arena();
    let folder = Path::new("/m/segments");
    let segments = open(&backend, folder, &arena, SegmentOptions::default());
    let kept: Vec<(Place, Chunk)> = [10, 5000, 100_000]
        .map(|len| bytes(&arena, len, 1, 1))
        .into_iter()
        .map(|chunk| (segments.append(info(b"k"), &chunk, 1).unwrap(), chunk))
        .collect();
    let commits = commit(&segments);
    let late = [10, 100_000].map(|len| segments.append(info(b"late"), &bytes(&arena, len, 2, 1), 1).unwrap());
    segments.checkpoint(0).unwrap().unwrap();
    // The record of the second commit never reached the manifest.
    std::mem::forget(segments);
    for commit in &commits {
        let path = folder.join(format!("{:016x}.seg", commit.segment));
        assert!(backend.len_of(&path).unwrap().unwrap() > commit.len);
        let reader = open(&backend, folder, &arena, SegmentOptions { read_only: true, ..SegmentOptions::default() });
        reader.restore(&commits).unwrap();
        kept.iter().for_each(|(place, chunk)| assert!(same(&reader.read(*place).unwrap(), chunk)));
        assert!(backend.len_of(&path).unwrap().unwrap() > commit.len, "a reader cuts nothing");
    }
    let segments = open(&backend, folder, &arena, SegmentOptions::default());
    segments.restore(&commits).unwrap();
    for commit in &commits {
        assert_eq!(backend.len_of(&folder.join(format!("{:016x}.seg", commit.segment))).unwrap(), Some(commit.len));
    }
    assert!(late.iter().all(|place| segments.read(*place).is_err()));
    // The segments are gone on with.
    let more: Vec<(Place, Chunk)> = [10, 100_000]
        .map(|len| bytes(&arena, len, 3, 1))
        .into_iter()
        .map(|chunk| (segments.append(info(b"m"), &chunk, 1).unwrap(), chunk))
        .collect();
    assert!(more.iter().all(|(place, _)| commits.iter().any(|commit| commit.segment == place.segment && commit.len == place.offset)));
    self::commit(&segments);
    kept.iter().chain(&more).for_each(|(place, chunk)| assert!(same(&segments.read(*place).unwrap(), chunk)));
    assert_eq!((walk(&segments).0.len(), walk(&segments).1.len(), segments.strays().unwrap().len()), (5, 0, 0));
}
