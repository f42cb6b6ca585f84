//! Makes the fixtures of format version 1: `cargo run -p chunkstore-store --example make_fixtures -- FOLDER`.
//!
//! Numbers of stores and segments are random and there are times in some headers, so that no two runs give the same bytes. What is in
//! `tests/fixtures/v1` was made once and stays; this says how. In a folder that has fixtures only the list of damage is made again. A new version of the format gets a folder of its own.

#![allow(clippy::unwrap_used)]

#[path = "../tests/fixtures/cases.rs"]
mod cases;
#[path = "../tests/fixtures/contents.rs"]
mod contents;

use cases::{Case, disk, edits, files, outcome};
use chunkstore_store::io::FileBackend;
use chunkstore_store::{
    AnyKey, AppendLog, Arena, Block, ByteLog, Bytes, Chest, Chunk, DType, DatasetKind, Encoding, EventWriter, Ledger, LogOptions, Shape,
    Store, StoreOptions,
};
use contents::{elements, events, large, pairs, records, text, value};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;

type Make = fn(&Path);

fn main() {
    let folder = PathBuf::from(std::env::args_os().nth(1).expect("name a folder"));
    std::fs::create_dir_all(&folder).unwrap();
    let makers: [(&str, Make); 4] = [("store", make_store), ("chest", make_chest), ("log", make_log), ("events", make_events)];
    for (name, make) in makers.into_iter().filter(|(name, _)| !folder.join(name).exists()) {
        make(&folder.join(name));
    }
    std::fs::remove_file(folder.join("damage.json")).ok();
    list_damage(&folder);
}

fn options(encoding: Encoding) -> StoreOptions {
    Store::options().segment_bytes(64 << 10).encoding(Some(encoding)).catalogue(false)
}

fn make_store(folder: &Path) {
    let arena = arena();
    // Every opening goes on with the segment of the one before.
    for (n, (encoding, name)) in
        [(Encoding::Raw, "raw"), (Encoding::Zstd, "zstd"), (Encoding::ShuffleZstd, "shuffled")].into_iter().enumerate()
    {
        let store = options(encoding).open(folder).unwrap();
        let kind = DatasetKind::array(DType::U64, &[64, 128], &[vec![64], vec![128]]).unwrap();
        let writer = store.create(&format!("large/{name}"), kind).unwrap();
        writer.put(0, &block(&arena, DType::U64, &[64, 128], &large(n as u64))).unwrap();
        writer.commit().unwrap();
        let of = |dtype: &DType| dtype.size() % 3 == n % 3;
        for dtype in DType::ALL.iter().filter(|dtype| of(dtype)) {
            let kind = DatasetKind::array(*dtype, &[4, 6], &[vec![2, 2], vec![2, 2, 2]]).unwrap();
            let writer = store.create(&format!("arrays/{}", dtype.name()), kind).unwrap();
            (0..6).for_each(|n| writer.put(n, &block(&arena, *dtype, &[2, 2], &elements(*dtype, n))).unwrap());
            writer.attribute("unit", json!({ "name": "m", "power": n })).unwrap();
            writer.commit().unwrap();
        }
    }
    let store = options(Encoding::Zstd).open(folder).unwrap();
    for version in 0..2 {
        let writer = store.create("replaced", DatasetKind::new("texts", json!(null))).unwrap().replace(true);
        (0..4).for_each(|n| writer.put(n, &chunk(&arena, if version == 0 { b"old" } else { &[] })).unwrap());
        writer.commit().unwrap();
    }
    let writer = store.update("replaced").unwrap();
    (0..6).for_each(|n| writer.put(n, &chunk(&arena, &text(n))).unwrap());
    writer.remove_key(&0u64.to_be_bytes()).unwrap();
    writer.commit().unwrap();
    store.save_value("values/pair", &value()).unwrap();
    store.save_value("removed", &1).unwrap();
    store.remove("removed").unwrap();
    store.save_value("before", &"renamed").unwrap();
    store.rename("before", "after").unwrap();
    store.copy("replaced", "copy").unwrap();
    assert!(store.verify(|_, _| {}).unwrap().is_sound());
}

fn make_chest(folder: &Path) {
    let chest: Chest<AnyKey, Vec<u8>> = Chest::open_with(folder, "1MiB", options(Encoding::Zstd), 1).unwrap();
    chest.put(&AnyKey::from("gone"), &vec![1]).unwrap();
    pairs().iter().for_each(|(key, value)| chest.put(key, value).unwrap());
    chest.put_reader(&AnyKey::from("stream"), &text(20)[..]).unwrap();
    chest.flush().unwrap();
    assert!(chest.remove(&AnyKey::from("gone")));
    chest.flush().unwrap();
}

fn make_log(folder: &Path) {
    for (writer, encoding) in [Encoding::Raw, Encoding::Zstd].into_iter().enumerate() {
        let options = LogOptions::new().memory(ByteLog::LEAST_MEMORY).threads(1).encoding(Some(encoding));
        let log = AppendLog::<(u64, String)>::over(ByteLog::open_with(folder, 4, options).unwrap());
        for task in 0..6 {
            for partition in 0..3 {
                // The first writer's work is replaced, but for the tasks 0 to 2.
                match writer == 1 || task < 3 {
                    true => log.append(partition, (task, writer as u32), records(task, partition)).unwrap(),
                    false => log.append(partition, (task, 0), [(task, "replaced".to_owned())]).unwrap(),
                }
            }
            if writer == 0 || task > 2 {
                log.commit((task, writer as u32)).unwrap();
            } else {
                log.bytes().abort((task, writer as u32));
            }
            if task == 4 {
                log.flush().unwrap();
            }
        }
        log.append(3, (), [(writer as u64, "deleted".to_owned())]).unwrap();
        log.iset(1, [(u64::MAX, format!("set by {writer}"))]).unwrap();
        log.delete(3).unwrap();
        log.append(3, (), [(writer as u64, "loose".to_owned())]).unwrap();
        match writer {
            0 => log.flush().unwrap(),
            _ => log.seal().unwrap(),
        }
        assert!(log.bytes().verify().unwrap().is_sound());
    }
}

fn make_events(folder: &Path) {
    let log = EventWriter::create(Arc::new(FileBackend::new()), folder, 0xab).unwrap();
    log.describe(&json!({ "layers": ["a", "b", "c"], "memory": 1 << 28 })).unwrap();
    events().into_iter().for_each(|event| log.record(event));
    log.finish(&json!({ "ended": "done" })).unwrap();
}

/// Lists damage to the files, and what comes of it.
fn list_damage(folder: &Path) {
    let files = files(folder);
    files.iter().for_each(|(path, bytes)| println!("{:8} {}", bytes.len(), path.display()));
    let store = Store::options().backend(disk(&files, None)).catalogue(false).open_read_only("/v1/store").unwrap();
    let sound = cases::contents(&store);
    let case = |(what, file, edit): (String, PathBuf, _)| {
        let outcome = outcome(&disk(&files, Some((&file, &edit))), &file, &sound);
        serde_json::to_string(&Case { what, file, edit, outcome }).unwrap()
    };
    let cases: Vec<String> = edits(&files).into_iter().map(case).collect();
    std::fs::write(folder.join("damage.json"), format!("[\n{}\n]\n", cases.join(",\n"))).unwrap();
}

fn arena() -> Arena {
    Arena::new(Ledger::new(64 << 20))
}

fn block(arena: &Arena, dtype: DType, shape: &[usize], bytes: &[u8]) -> Chunk {
    let Chunk::Bytes(Bytes(buffer)) = chunk(arena, bytes) else { unreachable!() };
    Chunk::Block(Block::new(buffer, 0, dtype, Shape::from_slice(shape)).unwrap())
}

fn chunk(arena: &Arena, bytes: &[u8]) -> Chunk {
    let mut buffer = arena.alloc(bytes.len()).unwrap();
    buffer.copy_from_slice(bytes);
    Chunk::Bytes(Bytes(buffer.freeze()))
}
