#![allow(clippy::unwrap_used)]

use crate::format::{MANIFEST_NAME, SEGMENTS_NAME};
use crate::io::{Backend, Fault, FaultyBackend, MemoryBackend, Open};
use crate::saved::{DatasetKind, Store, StoreOptions};
use crate::{Arena, Bytes, Chunk, Encoding, ErrorKind, Ledger};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

type State = BTreeMap<String, BTreeMap<Vec<u8>, Vec<u8>>>;

fn chunk(len: usize, seed: usize) -> Chunk {
    let mut buffer = Arena::new(Ledger::new(1 << 30)).alloc(len).unwrap();
    buffer.iter_mut().enumerate().for_each(|(at, byte)| *byte = (at * 31 + seed * 17 + at / 256) as u8);
    Chunk::Bytes(Bytes(buffer.freeze()))
}

fn content(chunk: &Chunk) -> Vec<u8> {
    let (buffer, begin, len) = chunk.payload();
    buffer[begin..begin + len].to_vec()
}

fn options(backend: &Arc<dyn Backend>) -> StoreOptions {
    Store::options().memory(256 << 20).segment_bytes(1 << 20).threads(1).encoding(Some(Encoding::Raw)).backend(Arc::clone(backend))
}

/// A store with datasets of short and long chunks, over several segments.
fn filled() -> (Arc<dyn Backend>, State) {
    let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::new(1 << 30));
    backend.create_folder(Path::new("/")).unwrap();
    let store = options(&backend).open("/s").unwrap();
    for name in 0..5usize {
        let writer = store.create(&format!("d{name}"), DatasetKind::new("texts", json!({}))).unwrap();
        for n in 0..6 {
            writer.put(n, &chunk(if n % 2 == 0 { 90_000 } else { 200 }, 10 * name + n as usize)).unwrap();
        }
        writer.commit().unwrap();
    }
    let writer = store.update("d1").unwrap();
    writer.put(1, &chunk(300, 99)).unwrap();
    writer.put(7, &chunk(300, 98)).unwrap();
    writer.remove_key(&2u64.to_be_bytes()).unwrap();
    writer.commit().unwrap();
    store.copy("d2", "copy").unwrap();
    store.rename("d3", "moved").unwrap();
    store.remove("d4").unwrap();
    let state = state_of(&store);
    (backend, state)
}

fn state_of(store: &Store) -> State {
    let names = store.names().unwrap();
    let of = |name: &String| {
        let dataset = store.dataset(name).unwrap();
        let keys = dataset.keys().unwrap();
        assert_eq!(dataset.info().chunks, keys.len() as u64);
        keys.into_iter().map(|key| (key.clone(), content(&dataset.get(&key).unwrap().unwrap()))).collect()
    };
    names.iter().map(|name| (name.clone(), of(name))).collect()
}

fn copy_of(backend: &Arc<dyn Backend>) -> Arc<dyn Backend> {
    let copy: Arc<dyn Backend> = Arc::new(MemoryBackend::new(1 << 30));
    for folder in ["/s", "/s/segments"] {
        copy.create_folder(Path::new(folder)).unwrap();
        for path in backend.list(Path::new(folder)).unwrap() {
            if path != Path::new("/s/segments") {
                write(&copy, &path, &read(backend, &path));
            }
        }
    }
    copy
}

fn read(backend: &Arc<dyn Backend>, path: &Path) -> Vec<u8> {
    let file = backend.open(path, Open::Read).unwrap();
    let mut bytes = vec![0; file.len().unwrap() as usize];
    file.read_at(0, &mut bytes).unwrap();
    bytes
}

fn write(backend: &Arc<dyn Backend>, path: &Path, bytes: &[u8]) {
    let file = backend.open(path, Open::Create).unwrap();
    file.truncate(bytes.len() as u64).unwrap();
    file.write_at(0, bytes).unwrap();
}

fn segments(backend: &Arc<dyn Backend>) -> Vec<PathBuf> {
    backend.list(&Path::new("/s").join(SEGMENTS_NAME)).unwrap()
}

fn manifest() -> PathBuf {
    Path::new("/s").join(MANIFEST_NAME)
}

/// Whether all in `part` is in `whole`, or was before it was removed or put again.
fn is_part(part: &State, whole: &State) -> bool {
    let earlier = [(1u64, content(&chunk(200, 11))), (2, content(&chunk(90_000, 12)))];
    let was = |name: &str, key: &[u8], chunk: &[u8]| name == "d1" && earlier.iter().any(|(n, was)| n.to_be_bytes() == *key && was == chunk);
    let sound =
        |name: &str, all: &BTreeMap<Vec<u8>, Vec<u8>>, key: &[u8], chunk: &Vec<u8>| all.get(key) == Some(chunk) || was(name, key, chunk);
    part.iter().all(|(name, chunks)| whole.get(name).is_some_and(|all| chunks.iter().all(|(key, chunk)| sound(name, all, key, chunk))))
}

/// How many chunks there are, without the one that was removed.
fn count(state: &State) -> usize {
    let removed = state.get("d1").is_some_and(|d1| d1.contains_key(2u64.to_be_bytes().as_slice()));
    state.values().map(BTreeMap::len).sum::<usize>() - usize::from(removed)
}

#[test]
fn a_sound_store_is_verified_and_left_alone() {
    let (backend, state) = filled();
    let store = options(&backend).open("/s").unwrap();
    assert_eq!(Store::repair("/nowhere/at/all").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(options(&backend).repair("/s").unwrap_err().kind(), ErrorKind::Locked);
    let (mut last, mut calls) = ((0, 0), 0);
    let verified = store.verify(|done, total| (last, calls) = ((done, total), calls + 1)).unwrap();
    assert!(verified.is_sound() && verified.unreferenced_bytes > 90_000, "{verified:?}");
    assert_eq!((verified.datasets, verified.chunks, last.0), (5, 30, last.1));
    assert!(calls > 10);
    drop(store);
    let repaired = options(&backend).repair("/s").unwrap();
    assert!(!repaired.changed && repaired.gone.is_empty(), "{repaired:?}");
    assert_eq!(state_of(&options(&backend).open("/s").unwrap()), state);
}

#[test]
fn a_lost_manifest_is_rebuilt() {
    let (sound, state) = filled();
    let len = read(&sound, &manifest()).len();
    for damage in 0..4 {
        let backend = copy_of(&sound);
        let mut bytes = read(&backend, &manifest());
        match damage {
            0 => backend.remove(&manifest()).unwrap(),
            1 => write(&backend, &manifest(), b"damaged"),
            2 => write(&backend, &manifest(), b""),
            _ => {
                bytes[len / 2] ^= 1;
                write(&backend, &manifest(), &bytes);
            }
        }
        let error = options(&backend).open("/s").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains("repair"), "{error}");
        assert!(options(&backend).open_read_only("/s").is_err());
        let repaired = options(&backend).repair("/s").unwrap();
        assert!(repaired.manifest_rebuilt && repaired.gone.is_empty(), "{repaired:?}");
        assert_eq!((repaired.moved_aside.len(), repaired.datasets), (usize::from(damage > 0), 5));
        let store = options(&backend).open("/s").unwrap();
        assert_eq!(state_of(&store), state, "{damage}");
        assert!(store.verify(|_, _| {}).unwrap().is_sound());
        store.save_value("new", &1).unwrap();
        drop(store);
        assert!(!options(&backend).repair("/s").unwrap().changed);
    }
}

#[test]
fn every_flip_is_found_and_repaired() {
    let (sound, state) = filled();
    let mut repaired_all = 0;
    for path in segments(&sound).into_iter().chain([manifest()]) {
        let original = read(&sound, &path);
        // Every header, and some of what is between.
        let step = (original.len() / 25).max(1);
        for at in
            (0..original.len()).step_by(step).chain((0..48).step_by(3)).chain((4096..4200).step_by(5)).filter(|at| *at < original.len())
        {
            let backend = copy_of(&sound);
            let mut bytes = original.clone();
            bytes[at] ^= 1 << (at % 8);
            write(&backend, &path, &bytes);
            let Ok(store) = options(&backend).open("/s") else {
                assert_eq!(path, manifest());
                continue;
            };
            if path == manifest() {
                continue;
            }
            let verified = store.verify(|_, _| {}).unwrap();
            let tail = original.len() - at;
            assert!(!verified.is_sound(), "{} {at} of {tail} more", path.display());
            assert_eq!(verified.damaged[0].file, path);
            drop(store);
            let repaired = options(&backend).repair("/s").unwrap();
            assert!(repaired.changed && repaired.moved_aside.len() == 1, "{repaired:?}");
            let lost: usize = repaired.gone.iter().filter(|damage| damage.key.is_some()).count();
            let store = options(&backend).open("/s").unwrap();
            let after = state_of(&store);
            assert!(is_part(&after, &state) && after.len() == state.len(), "{at}: {repaired:?}");
            assert_eq!(count(&after) + lost, count(&state), "{at}: {repaired:?}");
            assert!(store.verify(|_, _| {}).unwrap().is_sound());
            repaired_all += 1;
        }
    }
    assert!(repaired_all > 100, "{repaired_all}");
}

#[test]
fn damage_is_named() {
    let (backend, _) = filled();
    let store = options(&backend).open("/s").unwrap();
    let stored = store.dataset("d0").unwrap().header(4).unwrap().unwrap();
    let path = Path::new("/s").join(SEGMENTS_NAME).join(format!("{:016x}.seg", stored.place.segment));
    let mut bytes = read(&backend, &path);
    bytes[stored.place.offset as usize + 5000] ^= 1;
    write(&backend, &path, &bytes);
    let error = store.dataset("d0").unwrap().chunk(4).unwrap_err();
    assert_eq!((error.kind(), error.path(), error.at_byte()), (ErrorKind::Corrupt, Some(&*path), Some(stored.place.offset)));
    let verified = store.verify(|_, _| {}).unwrap();
    assert_eq!(verified.damages, 1);
    let damage = &verified.damaged[0];
    assert_eq!((damage.dataset.as_deref(), damage.chunk(), &damage.file, damage.offset), (Some("d0"), Some(4), &path, stored.place.offset));
    assert!(damage.to_string().starts_with("d0, chunk 4: "), "{damage}");
}

#[test]
fn missing_and_cut_segments_are_reported() {
    let (sound, state) = filled();
    for path in segments(&sound) {
        for cut in [None, Some(0), Some(100), Some(5000), Some(200_000)] {
            let backend = copy_of(&sound);
            match cut {
                None => backend.remove(&path).unwrap(),
                Some(len) => write(&backend, &path, &read(&sound, &path)[..len.min(read(&sound, &path).len() - 1)]),
            }
            let store = options(&backend).open("/s").unwrap();
            let verified = store.verify(|_, _| {}).unwrap();
            assert!(!verified.is_sound(), "{} {cut:?}", path.display());
            drop(store);
            let repaired = options(&backend).repair("/s").unwrap();
            assert!(repaired.changed);
            let store = options(&backend).open("/s").unwrap();
            assert!(is_part(&state_of(&store), &state));
            assert!(store.verify(|_, _| {}).unwrap().is_sound());
        }
    }
}

#[test]
fn a_repair_may_fail_anywhere() {
    let (sound, state) = filled();
    let damaged = segments(&sound)[0].clone();
    for skip in (0..400).step_by(3) {
        let inner = copy_of(&sound);
        let mut bytes = read(&inner, &damaged);
        bytes[4100] ^= 1;
        write(&inner, &damaged, &bytes);
        write(&inner, &manifest(), b"damaged");
        let faulty = FaultyBackend::new(Arc::clone(&inner));
        let backend: Arc<dyn Backend> = Arc::new(faulty.clone());
        faulty.fail(Fault::Io, skip, 1);
        let first = options(&backend).repair("/s");
        faulty.heal();
        if let Err(error) = &first {
            assert!(matches!(error.kind(), ErrorKind::Io | ErrorKind::Unusable | ErrorKind::NotFound), "{error}");
        }
        options(&backend).repair("/s").unwrap();
        let store = options(&backend).open("/s").unwrap();
        let after = state_of(&store);
        assert!(is_part(&after, &state) && after.len() == state.len(), "{skip} {first:?}");
        assert!(count(&after) + 3 >= count(&state), "{skip}: {} of {}", count(&after), count(&state));
    }
}

#[test]
fn a_missing_segment_is_damage_that_names_it() {
    let (sound, state) = filled();
    let store = options(&sound).open("/s").unwrap();
    let place = store.dataset("d0").unwrap().place(&4u64.to_be_bytes()).unwrap().unwrap();
    let path = Path::new("/s").join(SEGMENTS_NAME).join(format!("{:016x}.seg", place.segment));
    let inside: usize = ["d0", "d1", "d2", "copy", "moved"]
        .iter()
        .map(|name| {
            let dataset = store.dataset(name).unwrap();
            dataset.keys().unwrap().iter().filter(|key| dataset.place(key).unwrap().unwrap().segment == place.segment).count()
        })
        .sum();
    assert!(inside > 2);
    drop(store);
    let (one, all) = (copy_of(&sound), copy_of(&sound));
    one.remove(&path).unwrap();
    all.remove_folder(&Path::new("/s").join(SEGMENTS_NAME)).unwrap();
    for (backend, whole) in [(&one, false), (&all, true)] {
        for read_only in [true, false] {
            if whole && !read_only {
                continue;
            }
            let store = if read_only { options(backend).open_read_only("/s") } else { options(backend).open("/s") }.unwrap();
            let verified = store.verify(|_, _| {}).unwrap();
            let named: Vec<_> = verified.damaged.iter().filter(|damage| damage.file == path).collect();
            assert!(named.iter().all(|damage| damage.problem == "the file is missing"), "{verified:?}");
            let chunks = named.iter().filter(|damage| damage.chunk().is_some()).count();
            assert!(whole || chunks == inside, "{chunks} of {inside}: {verified:?}");
            assert!(!whole || (verified.chunks == 0 && verified.damages >= 5), "{verified:?}");
        }
        let repaired = options(backend).repair("/s").unwrap();
        assert!(repaired.changed && !repaired.gone.is_empty());
        let store = options(backend).open("/s").unwrap();
        // The names are there in any case, and what is gone is not taken for what was never put.
        assert_eq!(state_of(&store).len(), state.len());
        let d0 = store.dataset("d0").unwrap();
        match whole {
            // Nobody knows the keys, and such a dataset can have any.
            true => assert!(d0.chunk(4).unwrap().is_none() && d0.info().gone().others == 6),
            false => {
                let error = d0.chunk(4).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Corrupt);
                assert!(error.to_string().contains("chunk 4 of \"d0\" is gone"), "{error}");
            }
        }
        let verified = store.verify(|_, _| {}).unwrap();
        assert!(verified.is_sound() && verified.gone > 0, "{verified:?}");
        assert_eq!(d0.info().gone().len() + d0.info().chunks, 6);
        drop((store, d0));
        assert!(!options(backend).repair("/s").unwrap().changed);
    }
}

#[test]
fn a_chunk_that_was_put_again_is_not_gone() {
    let (backend, _) = filled();
    let store = options(&backend).open("/s").unwrap();
    let place = store.dataset("d0").unwrap().place(&4u64.to_be_bytes()).unwrap().unwrap();
    drop(store);
    let path = Path::new("/s").join(SEGMENTS_NAME).join(format!("{:016x}.seg", place.segment));
    let mut bytes = read(&backend, &path);
    bytes[place.offset as usize + 5000] ^= 1;
    write(&backend, &path, &bytes);
    assert_eq!(options(&backend).repair("/s").unwrap().gone.len(), 1);
    let store = options(&backend).open("/s").unwrap();
    let d0 = store.dataset("d0").unwrap();
    assert_eq!((d0.info().gone().chunks, d0.chunk(9).unwrap().is_none()), (vec![(4, 4)], true));
    assert_eq!(d0.header(4).unwrap_err().kind(), ErrorKind::Corrupt);
    let writer = store.update("d0").unwrap();
    writer.put(4, &chunk(100, 1)).unwrap();
    assert_eq!(content(&writer.commit().unwrap().chunk(4).unwrap().unwrap()), content(&chunk(100, 1)));
}

#[test]
fn flipped_padding_costs_no_chunk() {
    let (sound, state) = filled();
    let store = options(&sound).open("/s").unwrap();
    let d0 = store.dataset("d0").unwrap();
    let (large, small) = (d0.header(4).unwrap().unwrap(), d0.header(1).unwrap().unwrap());
    drop((store, d0));
    // Behind the payload of a large frame, between its head and its payload, and behind a small one.
    let (end, small_end) = (large.place.offset + large.place.len, small.place.offset + small.place.len);
    let places = [(large.place.segment, end - 1), (large.place.segment, large.place.offset + 2000), (small.place.segment, small_end - 1)];
    let mut kept = 0;
    for (segment, at) in places {
        let backend = copy_of(&sound);
        let path = Path::new("/s").join(SEGMENTS_NAME).join(format!("{segment:016x}.seg"));
        let mut bytes = read(&backend, &path);
        if bytes[at as usize] != 0 {
            // A small frame need not be padded.
            continue;
        }
        bytes[at as usize] ^= 16;
        write(&backend, &path, &bytes);
        let store = options(&backend).open("/s").unwrap();
        let verified = store.verify(|_, _| {}).unwrap();
        assert_eq!((verified.damages, verified.damaged[0].offset, &verified.damaged[0].file), (1, at, &path), "{verified:?}");
        assert_eq!(state_of(&store), state);
        drop(store);
        let repaired = options(&backend).repair("/s").unwrap();
        assert!(repaired.changed && repaired.gone.is_empty(), "{repaired:?}");
        let store = options(&backend).open("/s").unwrap();
        assert_eq!(state_of(&store), state);
        assert!(store.verify(|_, _| {}).unwrap().is_sound());
        kept += 1;
    }
    assert!(kept >= 2);
}

#[test]
fn a_flip_in_the_last_acknowledgement_is_found() {
    let (sound, state) = filled();
    let original = read(&sound, &manifest());
    for back in 1..=24 {
        let backend = copy_of(&sound);
        let mut bytes = original.clone();
        let at = bytes.len() - back;
        bytes[at] ^= 0x41;
        write(&backend, &manifest(), &bytes);
        let store = options(&backend).open_read_only("/s").unwrap();
        let verified = store.verify(|_, _| {}).unwrap();
        assert_eq!((verified.damages, &verified.damaged[0].file), (1, &manifest()), "{back}");
        let repaired = options(&backend).repair("/s").unwrap();
        assert!(repaired.changed && repaired.gone.is_empty());
        assert_eq!(state_of(&options(&backend).open("/s").unwrap()), state);
    }
}

#[test]
fn a_manifest_that_lost_its_last_record_is_not_taken_for_whole() {
    let temporary = crate::testing::folder();
    let folder = temporary.path().join("store");
    let options = || Store::options().memory(64 << 20);
    let path = folder.join(MANIFEST_NAME);
    let store = options().open(&folder).unwrap();
    store.save_value("first", &1).unwrap();
    let before = std::fs::read(&path).unwrap();
    store.save_value("second", &2).unwrap();
    drop(store);
    assert!(std::fs::read(&path).unwrap().starts_with(&before));
    std::fs::write(&path, &before).unwrap();
    // Readers can only warn; who would write, and cut what the manifest forgot, is refused, since the catalogue knows better.
    let verified = options().open_read_only(&folder).unwrap().verify(|_, _| {}).unwrap();
    assert_eq!((verified.damages, verified.warnings.len()), (0, 1), "{verified:?}");
    assert!(verified.warnings[0].contains("commit 2"), "{verified:?}");
    let error = options().open(&folder).unwrap_err();
    assert_eq!((error.kind(), error.path()), (ErrorKind::Corrupt, Some(&*path)));
    assert!(error.to_string().contains("closed at commit 2"), "{error}");
    assert_eq!(options().open(&folder).unwrap_err().kind(), ErrorKind::Corrupt, "it stays refused");
    let repaired = options().repair(&folder).unwrap();
    assert!(repaired.manifest_rebuilt && repaired.gone.is_empty());
    let store = options().open(&folder).unwrap();
    assert_eq!((store.value::<i32>("first").unwrap(), store.value::<i32>("second").unwrap()), (1, 2));
    drop(store);
    // Without a catalogue it looks like a commit that a dead writer was making: kept if that is asked for.
    for keep in [true, false] {
        let copy = temporary.path().join(format!("copy-{keep}"));
        let store = options().catalogue(false).open(&copy).unwrap();
        store.save_value("first", &1).unwrap();
        let path = copy.join(MANIFEST_NAME);
        let before = std::fs::read(&path).unwrap();
        store.save_value("second", &2).unwrap();
        drop(store);
        std::fs::write(&path, &before).unwrap();
        let repaired = options().catalogue(false).keep_unfinished(keep).repair(&copy).unwrap();
        assert_eq!((repaired.changed, repaired.datasets), (keep, 1 + u64::from(keep)));
        let names = options().catalogue(false).open(&copy).unwrap().names().unwrap();
        assert_eq!(names.len(), 1 + usize::from(keep));
    }
}

#[test]
fn segments_without_a_manifest_are_corrupt_to_readers_too() {
    let (backend, _) = filled();
    backend.remove(&manifest()).unwrap();
    for error in [options(&backend).open("/s").unwrap_err(), options(&backend).open_read_only("/s").unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(error.to_string().contains("repair"), "{error}");
    }
    assert_eq!(options(&backend).open_read_only("/nowhere").unwrap_err().kind(), ErrorKind::NotFound);
}
