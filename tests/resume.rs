//! What a run has finished is not computed again by the next one with the same checkpoint folder.

#![allow(clippy::unwrap_used)]

use chunkstore::array::{Array, random};
use chunkstore::store::io::FileBackend;
use chunkstore::store::{Block, Buffer, Chunk, DType, EventKind, Shape, Store, read_events};
use chunkstore::{Engine, ErrorKind};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

const FOLDER: &str = "CHUNKSTORE_TEST_FOLDER";
const FILE: &str = "CHUNKSTORE_TEST_FILE";
const DEPTH_OF_VICTIM: &str = "CHUNKSTORE_TEST_DEPTH";

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

/// Blocks of a file, through much work.
fn slowly(path: &Path, chunk: usize) -> Array<f64> {
    let x = Array::<f64>::from_npy_chunks(path, [chunk, SIDE]).unwrap();
    (0..depth()).fold(x, |x, _| x.sin().exp())
}

/// The steps that make a run take about two seconds on two threads here.
fn depth() -> u64 {
    static DEPTH: OnceLock<u64> = OnceLock::new();
    *DEPTH.get_or_init(|| {
        if let Ok(told) = std::env::var(DEPTH_OF_VICTIM) {
            return told.parse().unwrap();
        }
        let engine = Engine::builder().memory("1GiB").threads(1).build().unwrap();
        let x = random::normal(0.0, 1.0, [4, SIDE]).seed(1).chunks([1, SIDE]).array();
        let begin = Instant::now();
        engine.compute(&(0..8).fold(x, |x, _| x.sin().exp()).sum(..)).unwrap();
        let a_step = begin.elapsed().as_secs_f64() / 8.0 / 4.0 * ROWS as f64 / 2.0;
        (2.0 / a_step).clamp(2.0, 400.0) as u64
    })
}

const ROWS: usize = 64;
const SIDE: usize = 1 << 12;

/// A file of `ROWS` rows.
fn make_file(path: &Path, seed: u64) {
    let x = random::normal(0.0, 1.0, [ROWS, SIDE]).seed(seed).chunks([8, SIDE]).array();
    Engine::builder().memory("256MiB").build().unwrap().compute(x.to_npy(path)).unwrap();
}

/// Two passes: the second needs all of the first.
fn two_passes(y: &Array<f64>) -> Array<f64> {
    (y - y.mean(..)).abs().sum(..)
}

/// What a run found at its beginning.
fn found(engine: &Engine) -> u64 {
    let run = engine.last_run().unwrap();
    let note = run.notes.iter().find_map(|note| note.strip_prefix("resumed: ")?.split(' ').next()?.parse().ok());
    note.unwrap_or(0)
}

/// The blocks that unfinished runs have saved.
fn kept(folder: &Path) -> u64 {
    let Ok(store) = Store::open_read_only(folder) else { return 0 };
    store.infos("runs/*").unwrap().iter().map(|info| info.chunks).sum()
}

/// Nothing is left of any run, and what is there is sound.
fn assert_tidy(folder: &Path, names: &[&str]) {
    let store = Store::open(folder).unwrap();
    assert_eq!(store.names().unwrap(), names);
    assert!(store.verify(|_, _| {}).unwrap().is_sound());
    let left = store.gc(true).unwrap();
    assert!(left.files.is_empty(), "{left:?}");
}

/// Computes until so many blocks are saved, then does something that ends the run, and gives how it ended.
fn interrupt(engine: &Engine, folder: &Path, sum: &Array<f64>, blocks: u64, end: impl FnOnce(&Engine) + Send) -> chunkstore::Error {
    std::thread::scope(|scope| {
        let run = scope.spawn(|| engine.compute(&sum.item_collection()));
        let begin = Instant::now();
        while kept(folder) < blocks && !run.is_finished() {
            assert!(begin.elapsed() < Duration::from_secs(240), "nothing is saved");
            std::thread::sleep(Duration::from_millis(5));
        }
        end(engine);
        run.join().unwrap().unwrap_err()
    })
}

/// Gives a file a time of its last write.
fn set_time(path: &Path, time: std::time::SystemTime) {
    std::fs::OpenOptions::new().write(true).open(path).unwrap().set_modified(time).unwrap();
}

#[test]
fn a_cancelled_compute_goes_on_and_leaves_nothing() {
    let folder = folder();
    let (run, file) = (folder.path().join("run"), folder.path().join("x.npy"));
    make_file(&file, 1);
    let sum = slowly(&file, 1).sum(..);
    let alone = Engine::builder().memory("256MiB").build().unwrap();
    let plain = alone.compute(&sum.item_collection()).unwrap();
    let read_in_all = alone.last_run().unwrap().source_bytes;
    let engine = engine(&run);
    let user = engine.store().unwrap().clone();
    user.save_value("mine", &7u32).unwrap();
    let x = Array::<f64>::linspace(0.0, 1.0, 1001, 100).exp();
    engine.persist(&x).unwrap();
    let name = user.names().unwrap().into_iter().find(|name| name.starts_with("checkpoints/")).unwrap();
    let error = interrupt(&engine, &run, &sum, 10, Engine::cancel);
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    let before = kept(&run);
    assert!((10..ROWS as u64).contains(&before));
    // Before it runs, it is known what is left to do.
    let explain = engine.explain(sum.item_collection()).unwrap();
    let left = ROWS as u64 - before;
    let partials = explain.layers.iter().find(|layer| layer.name == "sum_chunk").unwrap();
    assert_eq!((explain.sources, partials.tasks), (left, ROWS as u64));
    assert!(partials.load_bytes >= before * 8 && partials.load_bytes < before * 1024, "{explain}");
    assert_eq!(engine.compute(&sum.item_collection()).unwrap().to_bits(), plain.to_bits());
    assert_eq!(found(&engine), before);
    let report = engine.last_run().unwrap();
    assert_eq!(report.source_bytes * ROWS as u64 / read_in_all, left, "only what is missing is read");
    assert_eq!(user.value::<u32>("mine").unwrap(), 7);
    drop((engine, user));
    assert_tidy(&run, &[&name, "mine"]);
}

#[test]
fn other_inputs_are_other_work() {
    let folder = folder();
    let (run, file) = (folder.path().join("run"), folder.path().join("x.npy"));
    make_file(&file, 1);
    let plain = Engine::builder().memory("256MiB").build().unwrap();
    let engine = engine(&run);
    let sum = || slowly(&file, 1).sum(..);
    let interrupted = interrupt(&engine, &run, &sum(), 10, Engine::cancel);
    assert_eq!(interrupted.kind(), ErrorKind::Cancelled);
    let before = kept(&run);
    let other = |what: &str, sum: &Array<f64>| {
        let answer = engine.compute(&sum.item_collection()).unwrap();
        assert_eq!(answer.to_bits(), plain.compute(&sum.item_collection()).unwrap().to_bits(), "{what}");
        assert_eq!((found(&engine), kept(&run)), (0, before), "{what}");
    };
    other("another parameter", &(slowly(&file, 1) * 2.0).sum(..));
    other("another reduction", &slowly(&file, 1).max(..));
    other("other chunks", &slowly(&file, 2).sum(..));
    // The same bytes under another path.
    let copy = folder.path().join("y.npy");
    std::fs::copy(&file, &copy).unwrap();
    other("another path", &slowly(&copy, 1).sum(..));
    // A nanosecond is enough.
    let written = std::fs::metadata(&file).unwrap().modified().unwrap();
    set_time(&file, written + Duration::from_nanos(1));
    other("another time", &sum());
    // Another file in the place of the first, and the same one written anew.
    let bytes = std::fs::read(&file).unwrap();
    make_file(&file, 2);
    other("another file of the same name and size", &sum());
    std::fs::write(&file, std::fs::read(&file).unwrap()).unwrap();
    other("other contents", &sum());
    // What was there before, as it was, is known again.
    std::fs::write(&file, bytes).unwrap();
    set_time(&file, written);
    let answer = engine.compute(&sum().item_collection()).unwrap();
    assert_eq!((found(&engine), kept(&run)), (before, 0));
    assert_eq!(answer.to_bits(), plain.compute(&sum().item_collection()).unwrap().to_bits());
}

#[test]
fn what_a_changed_file_has_no_part_in_is_found() {
    let folder = folder();
    let (run, file, other) = (folder.path().join("run"), folder.path().join("x.npy"), folder.path().join("y.npy"));
    make_file(&file, 1);
    make_file(&other, 2);
    let engine = engine(&run);
    let sums = || slowly(&file, 1).sum(..) / slowly(&other, 1).max(..);
    assert_eq!(interrupt(&engine, &run, &sums(), ROWS as u64 + 10, Engine::cancel).kind(), ErrorKind::Cancelled);
    make_file(&other, 3);
    let answer = engine.compute(&sums().item_collection()).unwrap();
    let unchanged = found(&engine);
    assert!(unchanged > 0 && unchanged <= ROWS as u64, "{unchanged}");
    let plain = Engine::builder().memory("256MiB").build().unwrap();
    assert_eq!(answer.to_bits(), plain.compute(&sums().item_collection()).unwrap().to_bits());
    drop(engine);
    assert_tidy(&run, &[]);
}

#[test]
fn a_file_that_cannot_be_read_for_a_moment_ends_a_run_that_goes_on() {
    let folder = folder();
    let (run, file) = (folder.path().join("run"), folder.path().join("x.npy"));
    make_file(&file, 3);
    let (bytes, written) = (std::fs::read(&file).unwrap(), std::fs::metadata(&file).unwrap().modified().unwrap());
    let sum = two_passes(&slowly(&file, 1));
    let plain = Engine::builder().memory("256MiB").build().unwrap().compute(&sum.item_collection()).unwrap();
    let engine = Engine::builder().memory("256MiB").threads(2).checkpoint(&run).build().unwrap();
    let error = interrupt(&engine, &run, &sum, 10, |_| {
        std::fs::OpenOptions::new().write(true).open(&file).unwrap().set_len(1000).unwrap();
    });
    assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Truncated), "{error}");
    let before = kept(&run);
    // Not while the file is another one.
    assert!(engine.compute(&sum.item_collection()).is_err());
    std::fs::write(&file, bytes).unwrap();
    set_time(&file, written);
    assert_eq!(engine.compute(&sum.item_collection()).unwrap().to_bits(), plain.to_bits());
    assert!(found(&engine) >= before.max(10));
    drop(engine);
    assert_tidy(&run, &[]);
}

#[test]
fn a_run_that_found_the_disk_full_goes_on_when_there_is_room() {
    let folder = folder();
    let run = folder.path().join("run");
    let x = random::normal(0.0, 1.0, [1024, 1 << 14]).seed(9).chunks([16, 1 << 14]).array();
    let sum = (0..2).fold(x, |x, _| x.sin().exp()).sum(0);
    let plain = Engine::builder().memory("256MiB").build().unwrap().compute(&sum).unwrap();
    let with = |quota: &str| Engine::builder().memory("256MiB").threads(2).checkpoint(&run).checkpoint_quota(quota).build().unwrap();
    let small = with("4MiB");
    let error = small.compute(&sum).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
    assert!(error.to_string().contains("compute the same again"), "{error}");
    let before = kept(&run);
    assert!(before > 0 && before < 64, "{before}");
    assert_eq!(small.compute(&sum).unwrap_err().kind(), ErrorKind::DiskFull);
    drop(small);
    let large = with("1GiB");
    let again = large.compute(&sum).unwrap();
    assert!(again.iter().zip(&plain).all(|(a, b)| a.to_bits() == b.to_bits()));
    assert!(found(&large) >= before, "{} {before}", found(&large));
    drop(large);
    assert_tidy(&run, &[]);
}

#[test]
fn what_cannot_be_known_again_is_not_saved() {
    let folder = folder();
    let run = folder.path().join("run");
    let engine = engine(&run);
    let x = Array::<f64>::ones([64, 1000], [1, 1000]).map_blocks(|block| {
        std::thread::sleep(Duration::from_millis(10));
        block.to_owned()
    });
    let error = std::thread::scope(|scope| {
        let run = scope.spawn(|| engine.compute(&x.sum(..).item_collection()));
        std::thread::sleep(Duration::from_millis(250));
        engine.cancel();
        run.join().unwrap().unwrap_err()
    });
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert_eq!(kept(&run), 0);
}

/// Not a test: what is killed. It tells what it computed, what it found at the beginning, and what it read.
#[test]
fn victim() {
    let (Some(run), Some(file)) = (std::env::var_os(FOLDER), std::env::var_os(FILE)) else { return };
    let (run, file) = (Path::new(&run), Path::new(&file));
    let engine = Engine::builder().memory("256MiB").threads(2).checkpoint(run).build().unwrap();
    let y = slowly(file, 1);
    let written = (&y - y.mean(..)).to_npy(run.with_extension("npy"));
    let (max, sum, ()) = engine.compute((y.max(..).item_collection(), two_passes(&y).item_collection(), written)).unwrap();
    let answer = format!("{} {} {}", max.to_bits(), sum.to_bits(), found(&engine));
    std::fs::write(run.with_extension("answer"), answer).unwrap();
}

/// Kills at any time, twenty of them, or as many as `CHUNKSTORE_TEST_KILLS` says.
#[test]
fn whenever_it_is_killed_the_answer_is_the_same() {
    let kills: u32 = std::env::var("CHUNKSTORE_TEST_KILLS").map_or(20, |kills| kills.parse().unwrap());
    let folder = folder();
    let (run, file) = (folder.path().join("run"), folder.path().join("x.npy"));
    make_file(&file, 4);
    let y = slowly(&file, 1);
    let plain = Engine::builder().memory("256MiB").build().unwrap();
    let expected = folder.path().join("expected.npy");
    let written = (&y - y.mean(..)).to_npy(&expected);
    let (max, sum, ()) = plain.compute((y.max(..).item_collection(), two_passes(&y).item_collection(), written)).unwrap();
    let answer = format!("{} {}", max.to_bits(), sum.to_bits());
    let (mut killed, mut finished, mut resumed, mut last, mut random) = (0, 0, 0, 0, 0x9e37_79b9_7f4a_7c15u64);
    while killed < kills || finished == 0 {
        let before = kept(&run);
        assert!(before >= last, "{before} blocks are saved, {last} were before");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["victim", "--exact", "--nocapture"])
            .envs([(FOLDER, run.as_os_str()), (FILE, file.as_os_str())])
            .env(DEPTH_OF_VICTIM, depth().to_string())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let end = Instant::now() + Duration::from_millis(20 + random % 700);
        while (Instant::now() < end || killed >= kills) && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        child.kill().ok();
        if !child.wait().unwrap().success() {
            (killed, last) = (killed + 1, before);
            continue;
        }
        let told = std::fs::read_to_string(run.with_extension("answer")).unwrap();
        assert_eq!(told, format!("{answer} {before}"), "all that was saved was found, and the answer is the same");
        assert!(std::fs::read(run.with_extension("npy")).unwrap() == std::fs::read(&expected).unwrap());
        assert_eq!(kept(&run), 0);
        (finished, resumed, last) = (finished + 1, resumed + before, 0);
    }
    assert!(resumed > 0, "some of {finished} runs found what others had saved");
    assert_tidy(&run, &[]);
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 5, "{left:?}");
}
