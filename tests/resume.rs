//! What a run has finished is not computed again by the next one with the same checkpoint folder.

#![allow(clippy::unwrap_used)]

use chunkstore::array::{Array, random};
use chunkstore::store::io::FileBackend;
use chunkstore::store::{Block, Buffer, Chunk, DType, EventKind, Shape, Store, read_events};
use chunkstore::{Engine, ErrorKind};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const FOLDER: &str = "CHUNKSTORE_TEST_FOLDER";

fn engine(folder: &Path) -> Engine {
    Engine::builder().memory("256MiB").threads(2).checkpoint(folder).build().unwrap()
}

/// Blocks that take a while to make.
fn slow(seed: u64) -> Array<f64> {
    let x = random::normal(0.0, 1.0, [64, 1 << 14]).seed(seed).chunks([1, 1 << 14]).array();
    (0..40).fold(x, |x, _| x.sin().exp())
}

/// What a run of `slow` gave, and how many tasks it took.
fn persist(folder: &Path, seed: u64) -> (f64, u64) {
    let engine = engine(folder);
    let x = engine.persist(&slow(seed)).unwrap();
    let tasks = engine.last_run().unwrap().tasks;
    (engine.compute(&x.sum(..).item_collection()).unwrap(), tasks)
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

#[test]
fn the_event_log_tells_of_each_task() {
    let folder = folder();
    let path = folder.path().join("run");
    let tasks = persist(&path, 3).1 as usize;
    let logs: Vec<_> = std::fs::read_dir(path.join("events")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let log = read_events(&FileBackend::new(), &logs[0]).unwrap();
    let count = |kind| log.events.iter().filter(|event| event.kind == kind).count();
    assert!(log.whole && logs.len() == 1);
    assert!(count(EventKind::Started) >= tasks && count(EventKind::Finished) == count(EventKind::Started), "{:?}", log.descriptions);
    assert!(log.events.is_sorted_by_key(|event| event.at_ns / 1_000_000_000));
    let of = |what| log.descriptions.iter().filter(|said| said["what"] == what).count();
    assert_eq!((of("engine"), of("run"), of("end"), of("closed")), (1, 2, 2, 1));
}

#[test]
fn equal_work_is_found_and_other_work_is_not() {
    let folder = folder();
    let path = folder.path().join("run");
    let plain = Engine::builder().memory("256MiB").build().unwrap().compute(&slow(1).sum(..).item_collection()).unwrap();
    let first = persist(&path, 1);
    let again = persist(&path, 1);
    assert_eq!((first.0.to_bits(), again.0.to_bits()), (plain.to_bits(), plain.to_bits()));
    assert_eq!(again.1, 64, "a task reads each block");
    assert_ne!(persist(&path, 2).0.to_bits(), plain.to_bits());
    assert_eq!(Store::open_read_only(&path).unwrap().infos("checkpoints/*").unwrap().len(), 2);

    let engine = engine(&path);
    let locked = Engine::builder().memory("256MiB").checkpoint(&path).build().map(drop).unwrap_err();
    assert_eq!(locked.kind(), ErrorKind::Locked, "{locked}");
    let closure = slow(1).map_blocks(|block| block.to_owned());
    let x = engine.persist(&closure).unwrap();
    assert_eq!(engine.compute(&x.sum(..).item_collection()).unwrap().to_bits(), plain.to_bits());
    assert_eq!(engine.store().unwrap().names().unwrap().len(), 2, "a closure is not known again");
}

#[test]
fn an_answer_from_contents_that_have_changed_is_not_taken() {
    let folder = folder();
    let (run, path) = (folder.path().join("run"), folder.path().join("store"));
    let store = Store::open(&path).unwrap();
    let plain = Engine::builder().memory("256MiB").build().unwrap();
    plain.compute(&Array::<f64>::linspace(0.0, 1.0, 1000, 100).save(&store, "x")).unwrap();
    let sum = || {
        let engine = engine(&run);
        let x = engine.persist(&Array::<f64>::open(&store, "x").unwrap().sin()).unwrap();
        engine.compute(&x.sum(..).item_collection()).unwrap()
    };
    let direct = || plain.compute(&Array::<f64>::open(&store, "x").unwrap().sin().sum(..).item_collection()).unwrap();
    let before = sum();
    assert_eq!((before.to_bits(), sum().to_bits()), (direct().to_bits(), before.to_bits()));
    // Another block under the same name and number.
    let writer = store.update("x").unwrap();
    let values = Buffer::from_vec(Arc::new(vec![0.5f64; 100]));
    writer.put(3, &Chunk::Block(Block::new(values, 0, DType::F64, Shape::from_slice(&[100])).unwrap())).unwrap();
    writer.commit().unwrap();
    let after = sum();
    assert_ne!(after.to_bits(), before.to_bits());
    assert_eq!(after.to_bits(), direct().to_bits());
}

/// Not a test: what the killed process runs.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let engine = engine(Path::new(&folder));
    let x = random::normal(0.0, 1.0, [400, 1 << 14]).seed(5).chunks([1, 1 << 14]).array();
    engine.persist(&(0..400).fold(x, |x, _| x.sin())).unwrap();
}

fn start(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// The blocks that are saved.
fn saved(folder: &Path) -> u64 {
    let Ok(store) = Store::open_read_only(folder) else { return 0 };
    store.infos("checkpoints/*").unwrap().iter().map(|info| info.chunks).sum()
}

#[test]
fn a_killed_run_goes_on_where_it_was() {
    let folder = folder();
    let path = folder.path().join("run");
    let mut before = 0;
    for _ in 0..2 {
        let mut child = start(&path);
        let begin = Instant::now();
        while saved(&path) <= before && child.try_wait().unwrap().is_none() {
            assert!(begin.elapsed() < Duration::from_secs(240), "nothing is saved");
            std::thread::sleep(Duration::from_millis(20));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let now = saved(&path);
        assert!(now > before, "{now} blocks are saved, {before} were before");
        before = now;
    }
    assert!(start(&path).wait().unwrap().success());
    assert_eq!(saved(&path), 400);
}
