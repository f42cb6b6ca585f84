#![allow(clippy::unwrap_used)]

use super::*;
use crate::io::{Backend, Fault, FaultyBackend, MemoryBackend};
use crate::{Arena, Bytes, Chunk, ErrorKind, Ledger};
use proptest::prelude::*;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

fn bytes(text: &str) -> Chunk {
    let arena = Arena::new(Ledger::new(1 << 30));
    let mut buffer = arena.alloc(text.len()).unwrap();
    buffer.copy_from_slice(text.as_bytes());
    Chunk::Bytes(Bytes(buffer.freeze()))
}

fn text(chunk: &Chunk) -> String {
    let (buffer, begin, len) = chunk.payload();
    String::from_utf8(buffer[begin..begin + len].to_vec()).unwrap()
}

fn kind() -> DatasetKind {
    DatasetKind::new("texts", json!({}))
}

/// All names, and what stands under each key.
type State = BTreeMap<String, BTreeMap<Vec<u8>, String>>;

fn state_of(store: &Store) -> State {
    let names = store.names().unwrap();
    let content = |name: &String| {
        let dataset = store.dataset(name).unwrap();
        let keys = dataset.keys().unwrap();
        assert_eq!(dataset.info().chunks, keys.len() as u64, "{name}");
        keys.into_iter().map(|key| (key.clone(), text(&dataset.get(&key).unwrap().unwrap()))).collect()
    };
    names.iter().map(|name| (name.clone(), content(name))).collect()
}

fn in_memory() -> (FaultyBackend, StoreOptions) {
    let faulty = FaultyBackend::new(Arc::new(MemoryBackend::new(1 << 30)));
    faulty.create_folder(Path::new("/")).unwrap();
    let options = Store::options()
        .memory(64 << 20)
        .segment_bytes(1 << 20)
        .threads(1)
        .encoding(Some(crate::Encoding::Raw))
        .backend(Arc::new(faulty.clone()));
    (faulty, options)
}

fn save(store: &Store, name: &str, chunks: &[&str]) -> Dataset {
    let writer = store.create(name, kind()).unwrap().replace(true);
    for (n, chunk) in chunks.iter().enumerate() {
        writer.put(n as u64, &bytes(chunk)).unwrap();
    }
    writer.commit().unwrap()
}

#[test]
fn datasets_are_saved_and_opened() {
    let temporary = crate::testing::folder();
    let folder = temporary.path().join("below/store");
    let options = || Store::options().memory(64 << 20);
    let store = options().open(&folder).unwrap();
    assert!(store.stats().catalogue_on_disk);
    let saved = save(&store, "a/b", &["one", "two"]);
    assert_eq!((saved.info().chunks, saved.info().bytes, saved.info().kind.as_str()), (2, 6, "texts"));
    let writer = store.create("a/b", kind()).unwrap();
    assert_eq!(writer.put(0, &bytes("x")).unwrap_err().kind(), ErrorKind::Exists);
    assert_eq!(writer.commit().unwrap_err().kind(), ErrorKind::Exists);
    drop(store.create("nothing", kind()).unwrap());
    assert_eq!(store.create("a//b", kind()).unwrap_err().kind(), ErrorKind::Invalid);
    store.copy("a/b", "c").unwrap();
    assert_eq!(store.copy("a/b", "c").unwrap_err().kind(), ErrorKind::Exists);
    assert_eq!(store.copy("x", "y").unwrap_err().kind(), ErrorKind::NotFound);
    store.rename("a/b", "a/d").unwrap();
    assert_eq!(store.dataset("a/b").unwrap_err().kind(), ErrorKind::NotFound);
    store.set_attributes("c", json!({ "unit": "K" }).as_object().unwrap().clone()).unwrap();
    store.save_value("v", &vec![1.5, 2.5]).unwrap();
    store.save_value("v", "now a text").unwrap();
    assert_eq!(store.value::<String>("v").unwrap(), "now a text");
    assert_eq!(store.value::<String>("c").unwrap_err().kind(), ErrorKind::Invalid);
    assert_eq!(store.save_value("c", &1).unwrap_err().kind(), ErrorKind::Exists);
    assert!(store.remove("a/d").unwrap() && !store.remove("a/d").unwrap());
    assert_eq!(options().open(&folder).unwrap_err().kind(), ErrorKind::Locked);
    assert_eq!(text(&saved.chunk(1).unwrap().unwrap()), "two", "an open dataset stays");
    drop(saved);
    drop(store);

    for round in 0..4 {
        match round {
            1 => std::fs::remove_dir_all(folder.join("catalogue")).unwrap(),
            2 => std::fs::write(folder.join("catalogue/db"), "damaged").unwrap(),
            3 => std::fs::write(folder.join("catalogue/closed"), "damaged").unwrap(),
            _ => {}
        }
        for store in [options().open(&folder).unwrap(), options().open_read_only(&folder).unwrap()] {
            assert_eq!(store.names().unwrap(), ["c", "v"]);
            let dataset = store.dataset("c").unwrap();
            assert_eq!((dataset.chunk_numbers().unwrap(), text(&dataset.chunk(1).unwrap().unwrap())), (vec![0, 1], "two".to_string()));
            assert_eq!((dataset.chunk(2).unwrap().is_none(), &dataset.info().attributes["unit"]), (true, &json!("K")));
            assert_eq!(dataset.header(0).unwrap().unwrap().stored_bytes, 3);
            assert_eq!(store.infos("*").unwrap().len(), 2);
            assert_eq!(store.infos("c").unwrap().len() + store.infos("c/**").unwrap().len(), 1);
        }
    }
}

#[test]
fn a_locked_catalogue_changes_no_answer() {
    let temporary = crate::testing::folder();
    let folder = temporary.path().join("store");
    save(&Store::open(&folder).unwrap(), "a", &["one"]);
    let db = std::fs::File::open(folder.join("catalogue/db")).unwrap();
    // The library's thread may let go of its lock a moment after the store is dropped.
    rustix::fs::flock(&db, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let store = Store::open(&folder).unwrap();
    assert!(!store.stats().catalogue_on_disk);
    save(&store, "b", &["two"]);
    assert_eq!(store.names().unwrap(), ["a", "b"]);
    drop((store, db));
    let store = Store::open(&folder).unwrap();
    assert!(store.stats().catalogue_on_disk);
    assert_eq!(state_of(&store).len(), 2);
}

#[test]
fn readers_see_whole_commits() {
    let (_, options) = in_memory();
    assert_eq!(options.clone().open_read_only("/s").unwrap_err().kind(), ErrorKind::NotFound);
    let store = options.clone().open("/s").unwrap();
    save(&store, "a", &["one"]);
    let reader = options.clone().open_read_only("/s").unwrap();
    let before = reader.dataset("a").unwrap();
    save(&store, "a", &["two"]);
    save(&store, "b", &["three"]);
    assert_eq!(reader.names().unwrap(), ["a"]);
    assert_eq!(text(&reader.dataset("a").unwrap().chunk(0).unwrap().unwrap()), "one");
    assert!(reader.refresh().unwrap() && !reader.refresh().unwrap());
    assert_eq!(reader.names().unwrap(), ["a", "b"]);
    assert_eq!(text(&reader.dataset("a").unwrap().chunk(0).unwrap().unwrap()), "two");
    assert_eq!(text(&before.chunk(0).unwrap().unwrap()), "one");
    assert_eq!(reader.remove("a").unwrap_err().kind(), ErrorKind::Unusable);
    assert_eq!(reader.create("x", kind()).unwrap_err().kind(), ErrorKind::Unusable);
}

#[test]
fn threads_share_commits() {
    let (faulty, options) = in_memory();
    let store = options.clone().open("/s").unwrap();
    let before = faulty.operations();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let store = store.clone();
            scope.spawn(move || {
                for step in 0..20 {
                    save(&store, &format!("{thread}/{step}"), &["x", &format!("{thread} {step}")]);
                }
            });
        }
    });
    assert!(faulty.operations() > before);
    let state = state_of(&store);
    assert_eq!(state.len(), 160);
    drop(store);
    assert_eq!(state_of(&options.open("/s").unwrap()), state);
}

#[test]
fn a_writer_goes_on_over_many_commits() {
    let (_, options) = in_memory();
    let store = options.clone().open("/s").unwrap();
    let writer = store.create("chest", kind()).unwrap();
    let mut model = BTreeMap::new();
    for round in 0..60u32 {
        for step in 0..10u32 {
            let key = (round * 7 + step * 13) % 97;
            let value = format!("{round} {step}");
            writer.put_key(&key.to_be_bytes(), &bytes(&value)).unwrap();
            model.insert(key.to_be_bytes().to_vec(), value);
        }
        let gone = (round % 50).to_be_bytes();
        assert_eq!(writer.remove_key(&gone).unwrap(), model.remove(gone.as_slice()).is_some());
        assert_eq!(writer.len(), model.len() as u64);
        writer.flush().unwrap();
        let tables = store.inner().ask(|index| index.by_name("chest")).unwrap().unwrap().tables.len();
        assert!(tables <= 8, "{tables}");
    }
    for (key, value) in &model {
        assert_eq!(&text(&writer.get(key).unwrap().unwrap()), value);
    }
    assert_eq!(state_of(&store)["chest"], model);
    drop(writer);
    drop(store);
    let store = options.open("/s").unwrap();
    assert_eq!(state_of(&store)["chest"], model);
    let writer = store.update("chest").unwrap();
    writer.put_key(b"new", &bytes("!")).unwrap();
    writer.attribute("a", 1).unwrap();
    assert_eq!(writer.commit().unwrap().info().attributes["a"], 1);
    model.insert(b"new".to_vec(), "!".into());
    assert_eq!(state_of(&store)["chest"], model);
    let writer = store.update("chest").unwrap();
    assert_eq!(store.update("chest").unwrap_err().kind(), ErrorKind::Locked);
    store.remove("chest").unwrap();
    writer.put_key(b"new", &bytes("!")).unwrap();
    assert_eq!(writer.commit().unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn keys_that_do_not_fit_in_memory_are_rolled_out() {
    let (_, options) = in_memory();
    let store = options.memory(24 << 20).open("/s").unwrap();
    let writer = store.create("many", kind()).unwrap();
    let keys = 30_000u32;
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let writer = &writer;
            scope.spawn(move || {
                for key in (thread..keys).step_by(3) {
                    writer.put_key(&key.to_be_bytes(), &bytes(&key.to_string())).unwrap();
                }
            });
        }
    });
    assert_eq!(writer.len(), u64::from(keys));
    assert_eq!(text(&writer.get(&7u32.to_be_bytes()).unwrap().unwrap()), "7");
    let dataset = writer.commit().unwrap();
    assert_eq!(dataset.info().chunks, u64::from(keys));
    for key in (0..keys).step_by(997) {
        assert_eq!(text(&dataset.get(&key.to_be_bytes()).unwrap().unwrap()), key.to_string());
    }
}

/// What a test does to a store.
#[derive(Debug, Clone)]
enum Step {
    Save { name: u8, chunks: Vec<u16> },
    Update { name: u8, key: u8, len: u16 },
    Take { name: u8, key: u8 },
    Remove(u8),
    Rename(u8, u8),
    Copy(u8, u8),
    Reopen,
    Compact,
    Gc,
}

fn step() -> impl Strategy<Value = Step> {
    let name = 0u8..4;
    prop_oneof![
        4 => (name.clone(), prop::collection::vec(0u16..3000, 0..4)).prop_map(|(name, chunks)| Step::Save { name, chunks }),
        4 => (name.clone(), 0u8..6, 0u16..3000).prop_map(|(name, key, len)| Step::Update { name, key, len }),
        1 => (name.clone(), 0u8..6).prop_map(|(name, key)| Step::Take { name, key }),
        1 => name.clone().prop_map(Step::Remove),
        1 => (name.clone(), name.clone()).prop_map(|(from, to)| Step::Rename(from, to)),
        1 => (name.clone(), name).prop_map(|(from, to)| Step::Copy(from, to)),
        1 => Just(Step::Reopen),
        2 => Just(Step::Compact),
        1 => Just(Step::Gc),
    ]
}

fn content(number: usize, len: u16) -> String {
    // Some are long enough for frames of whole blocks.
    let len = if len.is_multiple_of(7) { usize::from(len) * 50 } else { usize::from(len) };
    format!("{number:06} ").chars().cycle().take(len + 7).collect()
}

/// Does a step; the state that it should lead to comes first.
fn expect(state: &State, number: usize, step: &Step) -> State {
    let (mut next, name) = (state.clone(), |name: &u8| format!("d{name}"));
    match step {
        Step::Save { name: at, chunks } => {
            let chunks = chunks.iter().enumerate().map(|(n, len)| ((n as u64).to_be_bytes().to_vec(), content(number, *len)));
            next.insert(name(at), chunks.collect());
        }
        Step::Update { name: at, key, len } => {
            if let Some(dataset) = next.get_mut(&name(at)) {
                dataset.insert(vec![*key], content(number, *len));
            }
        }
        Step::Take { name: at, key } => {
            if let Some(dataset) = next.get_mut(&name(at)) {
                dataset.remove([*key].as_slice());
            }
        }
        Step::Remove(at) => drop(next.remove(&name(at))),
        Step::Rename(from, to) => {
            if let Some(dataset) = next.get(&name(from)).cloned().filter(|_| from == to || !next.contains_key(&name(to))) {
                next.remove(&name(from));
                next.insert(name(to), dataset);
            }
        }
        Step::Copy(from, to) => {
            if let Some(dataset) = next.get(&name(from)).cloned().filter(|_| !next.contains_key(&name(to))) {
                next.insert(name(to), dataset);
            }
        }
        Step::Reopen | Step::Compact | Step::Gc => {}
    }
    next
}

fn act(store: &Store, number: usize, step: &Step) -> crate::Result<()> {
    let name = |name: &u8| format!("d{name}");
    let expected = |error: crate::Error| match error.kind() {
        ErrorKind::Exists | ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    };
    match step {
        Step::Save { name: at, chunks } => {
            let writer = store.create(&name(at), kind())?.replace(true);
            for (n, len) in chunks.iter().enumerate() {
                writer.put(n as u64, &bytes(&content(number, *len)))?;
            }
            writer.commit().map(|_| ())
        }
        Step::Update { name: at, key, len } => match store.update(&name(at)) {
            Ok(writer) => {
                writer.put_key(&[*key], &bytes(&content(number, *len)))?;
                writer.flush()
            }
            Err(error) => expected(error),
        },
        Step::Take { name: at, key } => match store.update(&name(at)) {
            Ok(writer) => {
                writer.remove_key(&[*key])?;
                writer.flush()
            }
            Err(error) => expected(error),
        },
        Step::Remove(at) => store.remove(&name(at)).map(|_| ()),
        Step::Rename(from, to) => store.rename(&name(from), &name(to)).or_else(expected),
        Step::Copy(from, to) => store.copy(&name(from), &name(to)).or_else(expected),
        Step::Reopen => Ok(()),
        Step::Compact => store.compact().map(|_| ()),
        Step::Gc => store.gc(false).map(|_| ()),
    }
}

/// Makes all steps while operations fail; whenever the store is opened again, it has the last state that was reported or the one that
/// was under way, and goes on from there.
fn run(steps: &[Step], fault: Fault, skip: u64, count: u64) {
    let (faulty, options) = in_memory();
    let mut store = Some(options.clone().open("/s").unwrap());
    let mut state = State::new();
    faulty.fail(fault, skip, count);
    for (number, step) in steps.iter().enumerate() {
        let next = expect(&state, number, step);
        let done = match &store {
            Some(open) => act(open, number, step),
            None => Ok(()),
        };
        let failed = done.is_err();
        if !failed && store.is_some() {
            state = next.clone();
        }
        if failed || matches!(step, Step::Reopen) {
            drop(store.take());
            faulty.heal();
            let open = options.clone().open("/s").unwrap();
            let found = state_of(&open);
            assert!(found == state || (failed && found == next), "step {number}, {fault:?} {skip} {count}: {done:?}");
            state = found;
            store = Some(open);
        }
    }
    faulty.heal();
    drop(store);
    assert_eq!(state_of(&options.clone().open_read_only("/s").unwrap()), state);
    let store = options.open("/s").unwrap();
    assert_eq!(state_of(&store), state);
    let verified = store.verify(|_, _| {}).unwrap();
    assert!(verified.is_sound(), "{verified:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_fails_the_state_is_a_whole_commit(
        steps in prop::collection::vec(step(), 1..25), fault in prop::sample::select(vec![Fault::Io, Fault::DiskFull, Fault::Torn]),
        skip in 0u64..300, count in prop::sample::select(vec![1u64, 2, 1000]),
    ) {
        run(&steps, fault, skip, count);
    }
}

#[test]
fn any_one_operation_may_fail() {
    let steps = [
        Step::Save { name: 0, chunks: vec![10, 700, 2000] },
        Step::Update { name: 0, key: 1, len: 30 },
        Step::Save { name: 1, chunks: vec![7] },
        Step::Rename(1, 2),
        Step::Copy(0, 1),
        Step::Take { name: 0, key: 1 },
        Step::Reopen,
        Step::Remove(2),
        Step::Compact,
        Step::Save { name: 0, chunks: vec![5] },
        Step::Remove(1),
        Step::Gc,
        Step::Compact,
        Step::Update { name: 0, key: 1, len: 30 },
    ];
    for fault in [Fault::Io, Fault::DiskFull, Fault::Torn] {
        for skip in 0..250 {
            run(&steps, fault, skip, 1);
        }
    }
}

#[test]
fn compaction_gives_room_back_and_loses_nothing() {
    let (_, options) = in_memory();
    let store = options.clone().open("/s").unwrap();
    let long = "long ".repeat(20_000);
    for n in 0..40 {
        save(&store, &format!("d{n}"), &["short", &long]);
    }
    for n in (0..40).filter(|n| n % 4 != 0) {
        store.remove(&format!("d{n}")).unwrap();
    }
    store.copy("d0", "copy").unwrap();
    let open = store.dataset("d4").unwrap();
    let state = state_of(&store);
    let unreferenced = store.verify(|_, _| {}).unwrap().unreferenced_bytes;
    assert!(unreferenced > 2_000_000, "{unreferenced}");
    let compacted = store.compact().unwrap();
    assert!(compacted.bytes_after < compacted.bytes_before * 6 / 10, "{compacted:?}");
    assert!(compacted.dropped > 1 && compacted.copied > 1);
    assert_eq!(state_of(&store), state);
    assert_eq!(text(&open.chunk(0).unwrap().unwrap()), "short");
    assert!(store.verify(|_, _| {}).unwrap().is_sound());
    drop((open, store));
    let store = options.clone().open("/s").unwrap();
    assert_eq!(state_of(&store), state);
    let again = store.compact().unwrap();
    assert_eq!(store.compact().unwrap().copied, 0, "{again:?}");
    assert_eq!(state_of(&store), state);
}

/// Defect: each collection copied the tombstones of all that was ever removed into a segment of their own.
#[test]
fn tombstones_of_what_no_segment_describes_go() {
    let temporary = crate::testing::folder();
    let store = Store::options().memory(64 << 20).open(temporary.path().join("store")).unwrap();
    for kept in [false, true] {
        if kept {
            save(&store, "kept", &["text"]);
        }
        for _ in 0..3 {
            save(&store, "x", &["text"]);
            store.remove("x").unwrap();
            store.gc(false).unwrap();
            assert_eq!(store.gc(true).unwrap(), crate::Collected::default());
        }
    }
    assert_eq!(store.names().unwrap(), ["kept"]);
    assert!(store.verify(|_, _| {}).unwrap().is_sound());
}

#[test]
fn collection_removes_what_nothing_leads_to() {
    let temporary = crate::testing::folder();
    let folder = temporary.path().join("store");
    let options = || Store::options().memory(64 << 20).segment_bytes(1 << 20).encoding(Some(crate::Encoding::Raw));
    let store = options().open(&folder).unwrap();
    let long = "long ".repeat(30_000);
    for n in 0..8 {
        save(&store, &format!("d{n}"), &[&long, &long, &long, &long, &long, &long]);
    }
    let reader = options().open_read_only(&folder).unwrap();
    let (held, not_read) = (reader.dataset("d1").unwrap(), reader.dataset("d2").unwrap());
    assert_eq!(text(&held.chunk(0).unwrap().unwrap()), long);
    for n in 1..8 {
        store.remove(&format!("d{n}")).unwrap();
    }
    let would = store.gc(true).unwrap();
    let done = store.gc(false).unwrap();
    assert_eq!(would.files, done.files);
    assert!(done.files.len() >= 4 && done.files.iter().all(|file| !file.exists()), "{done:?}");
    assert_eq!(store.gc(false).unwrap(), crate::Collected::default());
    assert_eq!(text(&held.chunk(0).unwrap().unwrap()), long, "open files stay readable");
    let errors: Vec<_> = (0..6).filter_map(|n| not_read.chunk(n).err()).collect();
    for error in &errors {
        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
        assert!(error.to_string().contains("refresh"), "{error}");
    }
    assert!(reader.refresh().unwrap());
    assert_eq!(reader.names().unwrap(), ["d0"]);
    assert_eq!(state_of(&store), state_of(&reader));
}

#[test]
fn readers_beside_a_writer_never_see_half_a_commit() {
    let temporary = crate::testing::folder();
    let folder = temporary.path().join("store");
    let options = || Store::options().memory(64 << 20).segment_bytes(1 << 20).threads(1);
    let store = options().open(&folder).unwrap();
    save(&store, "pair", &["0", "0"]);
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for refreshing in [true, false] {
            let (folder, done) = (&folder, &done);
            scope.spawn(move || {
                let mut reader = options().open_read_only(folder).unwrap();
                let mut last = 0;
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    match refreshing {
                        true => drop(reader.refresh().unwrap()),
                        false => reader = options().open_read_only(folder).unwrap(),
                    }
                    let read = reader.dataset("pair").and_then(|pair| Ok((pair.chunk(0)?, pair.chunk(1)?)));
                    match read {
                        Ok((first, second)) => {
                            let (first, second) = (text(&first.unwrap()), text(&second.unwrap()));
                            assert_eq!(first, second);
                            let now: u32 = first.trim().parse().unwrap();
                            assert!(now >= last, "{now} after {last}");
                            last = now;
                        }
                        Err(error) => assert_eq!(error.kind(), ErrorKind::NotFound, "{error}"),
                    }
                }
            });
        }
        for round in 1..150 {
            let value = format!("{round:>10000}");
            save(&store, "pair", &[&value, &value]);
            if round % 40 == 0 {
                store.compact().unwrap();
                store.gc(false).unwrap();
            }
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn writers_go_on_while_the_store_is_compacted() {
    let (_, options) = in_memory();
    let store = options.clone().open("/s").unwrap();
    let long = "long ".repeat(5_000);
    let done = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..3u32 {
            let (store, done, long) = (store.clone(), &done, &long);
            scope.spawn(move || {
                let writer = store.create(&format!("w{thread}"), kind()).unwrap();
                for step in 0..120u32 {
                    writer.put_key(&(step % 17).to_be_bytes(), &bytes(&format!("{step} {long}"))).unwrap();
                    if step % 5 == 0 {
                        writer.flush().unwrap();
                    }
                    if step % 3 == 0 {
                        save(&store, &format!("s{thread}"), &[&format!("{step}"), long]);
                    }
                    let read = writer.get(&(step % 17).to_be_bytes()).unwrap().unwrap();
                    assert!(text(&read).starts_with(&step.to_string()));
                }
                writer.commit().unwrap();
                done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            });
        }
        while done.load(std::sync::atomic::Ordering::Relaxed) < 3 {
            store.compact().unwrap();
            store.gc(false).unwrap();
        }
    });
    let state = state_of(&store);
    for thread in 0..3 {
        assert_eq!(state[&format!("w{thread}")].len(), 17);
        assert_eq!(state[&format!("s{thread}")][&0u64.to_be_bytes().to_vec()], "117");
    }
    assert!(store.verify(|_, _| {}).unwrap().is_sound());
    // Room that is reserved ahead is cut when a store is opened.
    drop(store);
    let store = options.clone().open("/s").unwrap();
    let before = store.stats().disk_bytes;
    store.compact().unwrap();
    drop(store);
    let store = options.open("/s").unwrap();
    let after = store.stats().disk_bytes;
    assert!(after <= before, "{after} after {before}");
    assert_eq!(state_of(&store), state);
}

#[test]
fn versions_follow_the_contents() {
    let (_, options) = in_memory();
    let store = options.clone().open("/s").unwrap();
    save(&store, "a", &["one", "two"]);
    save(&store, "b", &["one", "two"]);
    let version = |name: &str| store.dataset(name).unwrap().version();
    let first = version("a");
    assert_ne!(first, version("b"));
    store.rename("a", "c").unwrap();
    store.set_attributes("c", [("unit".to_string(), "K".into())].into_iter().collect()).unwrap();
    assert_eq!(version("c"), first);
    let mut seen = vec![first];
    for n in 0..30 {
        let writer = store.update("c").unwrap();
        // The same contents again are new ones as far as anybody can tell.
        writer.put(n % 2, &bytes("three")).unwrap();
        writer.commit().unwrap();
        let info = store.info("c").unwrap().unwrap();
        assert!(!seen.contains(&info.version) && info.version == version("c"), "{n}");
        seen.push(info.version);
    }
    let last = version("c");
    assert_eq!(options.open_read_only("/s").unwrap().dataset("c").unwrap().version(), last);
}

#[test]
fn values_have_attributes() {
    let (_, options) = in_memory();
    let store = options.open("/s").unwrap();
    let attributes = || [("unit".to_string(), "K".into())].into_iter().collect();
    store.save_value_with("limit", &273.15, attributes()).unwrap();
    assert_eq!((store.value::<f64>("limit").unwrap(), store.info("limit").unwrap().unwrap().attributes), (273.15, attributes()));
    store.save_value("limit", &0.0).unwrap();
    assert!(store.info("limit").unwrap().unwrap().attributes.is_empty());
    let long = [("text".to_string(), "x".repeat(17 << 20).into())].into_iter().collect();
    assert_eq!(store.save_value_with("long", &1, long).unwrap_err().kind(), ErrorKind::Invalid);
    assert!(store.info("long").unwrap().is_none());
}
