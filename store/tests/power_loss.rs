//! What was reported as saved survives a loss of power at any moment: the store is opened on many disks as such a moment may leave them.

#![allow(clippy::unwrap_used)]

use chunkstore_store::io::{Backend, CrashBackend, MemoryBackend};
use chunkstore_store::{Arena, Bytes, Chunk, DatasetKind, Ledger, Store, StoreOptions};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// What a store holds: for each dataset its chunks, each by a number that says its bytes.
type State = BTreeMap<String, BTreeMap<u64, u32>>;

fn options(backend: Arc<dyn Backend>) -> StoreOptions {
    StoreOptions::default().backend(backend).segment_bytes(1 << 20).catalogue(false)
}

fn open(disk: &MemoryBackend) -> chunkstore_store::Result<Store> {
    options(Arc::new(disk.clone())).open("/d/store")
}

fn dice(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *seed >> 33
}

/// The bytes of the chunk that `number` stands for: small and large ones, compressible and not.
fn bytes_of(number: u32) -> Vec<u8> {
    let mut seed = u64::from(number);
    let len = [0, 1, 700, 5000, 70_000, 150_000][number as usize % 6];
    (0..len).map(|i| if number.is_multiple_of(2) { (i / 100) as u8 } else { dice(&mut seed) as u8 }).collect()
}

fn chunk(arena: &Arena, number: u32) -> Chunk {
    let bytes = bytes_of(number);
    let mut buffer = arena.alloc(bytes.len()).unwrap();
    buffer.copy_from_slice(&bytes);
    Chunk::Bytes(Bytes(buffer.freeze()))
}

fn contents(store: &Store, expected: &State) -> Option<String> {
    let names = store.names().unwrap();
    if names != expected.keys().cloned().collect::<Vec<_>>() {
        return Some(format!("the names are {names:?}"));
    }
    for (name, chunks) in expected {
        let dataset = store.dataset(name).unwrap();
        if dataset.chunk_numbers().unwrap() != chunks.keys().copied().collect::<Vec<_>>() {
            return Some(format!("{name} has other chunks"));
        }
        for (n, number) in chunks {
            let Some(Chunk::Bytes(bytes)) = dataset.chunk(*n).unwrap() else { return Some(format!("chunk {n} of {name} is missing")) };
            if bytes.0[..] != bytes_of(*number)[..] {
                return Some(format!("chunk {n} of {name} is another"));
            }
        }
    }
    None
}

/// Saves, replaces, extends, renames, removes, compacts; the disk, and each state with the number of changes after which it was reported.
fn history(seed: u64, steps: usize) -> (CrashBackend, Vec<(usize, State)>) {
    let disk = CrashBackend::new(1 << 28);
    disk.create_folder(Path::new("/d")).unwrap();
    disk.sync_folder(Path::new("/")).unwrap();
    let store = options(Arc::new(disk.clone())).open("/d/store").unwrap();
    let arena = Arena::new(Ledger::new(64 << 20));
    let mut states = vec![(disk.operations(), State::new())];
    let (mut seed, mut next) = (seed, 0u32);
    for _ in 0..steps {
        let mut state = states.last().unwrap().1.clone();
        let name = format!("set/{}", dice(&mut seed) % 4);
        let there = state.contains_key(&name);
        match dice(&mut seed) % 10 {
            0..=4 => {
                let writer = store.create(&name, DatasetKind::new("test", serde_json::json!({}))).unwrap().replace(true);
                let mut chunks = BTreeMap::new();
                for n in 0..dice(&mut seed) % 5 {
                    next += 1;
                    writer.put(n * 3, &chunk(&arena, next)).unwrap();
                    chunks.insert(n * 3, next);
                }
                writer.commit().unwrap();
                state.insert(name, chunks);
            }
            5 | 6 if there => {
                let writer = store.update(&name).unwrap();
                let chunks = state.get_mut(&name).unwrap();
                for _ in 0..=dice(&mut seed) % 3 {
                    next += 1;
                    let n = dice(&mut seed) % 9;
                    writer.put(n, &chunk(&arena, next)).unwrap();
                    chunks.insert(n, next);
                }
                writer.commit().unwrap();
            }
            7 if there => {
                store.remove(&name).unwrap();
                state.remove(&name);
            }
            8 => {
                store.compact().unwrap();
            }
            _ => {
                store.gc(false).unwrap();
            }
        }
        states.push((disk.operations(), state));
    }
    drop(store);
    (disk, states)
}

fn check(seed: u64, at: usize, disk: &MemoryBackend, states: &[(usize, State)]) {
    let done = states.iter().rposition(|(operations, _)| *operations <= at);
    let store = match (open(disk), done) {
        (Ok(store), _) => store,
        (Err(_), None) => return,
        (Err(error), Some(_)) => panic!("seed {seed}, after {at} changes: the store cannot be opened: {error}"),
    };
    let done = done.unwrap_or(0);
    let mut wrong = Vec::new();
    let fits = states.iter().skip(done).take(2).any(|(_, state)| match contents(&store, state) {
        None => true,
        Some(why) => {
            wrong.push(why);
            false
        }
    });
    assert!(fits, "seed {seed}, after {at} changes: neither the last state that was reported nor the one under way: {wrong:?}");
    // It goes on.
    store.save_value("after", &at).unwrap();
    drop(store);
    assert_eq!(open(disk).unwrap().value::<usize>("after").unwrap(), at);
}

fn run(seeds: std::ops::Range<u64>, steps: usize, images: u64, every: usize) {
    for seed in seeds {
        let (disk, states) = history(seed, steps);
        let begin = states[0].0;
        for at in (0..=disk.operations()).filter(|at| *at >= begin || at % 3 == 0).step_by(every) {
            check(seed, at, &disk.killed_after(at).unwrap(), &states);
            for image in 0..images {
                check(seed, at, &disk.image(at, image).unwrap(), &states);
            }
        }
    }
}

#[test]
fn nothing_that_was_reported_is_lost() {
    run(0..4, 12, 3, 1);
}

#[test]
#[ignore = "minutes; the default run has a lighter one"]
fn nothing_that_was_reported_is_lost_at_length() {
    run(100..160, 25, 6, 1);
}
