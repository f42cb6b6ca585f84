//! What goes wrong ends in a typed error that says what to do, and leaves nothing in the scratch folder.

#![allow(clippy::unwrap_used)]

use chunkstore::array::{AnyArray, Array, random};
use chunkstore::graph::{Graph, Value, call, call_untyped, key, try_call};
use chunkstore::{Engine, Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tempfile::TempDir;

/// Engines share the bound of the process: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Panics are shown without their backtrace, for which this process would read a hundred megabytes of debug information.
fn alone() -> MutexGuard<'static, ()> {
    std::panic::set_hook(Box::new(|panic| eprintln!("{panic}")));
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A folder on disk: the system's folder for temporary files may be in memory.
fn folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/npy").join(name)
}

fn engine(memory: &str, scratch: &Path) -> Engine {
    Engine::builder().memory(memory).threads(2).scratch(scratch).build().unwrap()
}

/// Checks an error's kind, and that what it says has all of `parts`.
fn says(error: &Error, kind: ErrorKind, parts: &[&str]) {
    let text = error.to_string();
    assert_eq!(error.kind(), kind, "{text}");
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

/// The files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// An array that cannot be made again cheaply, of `mebibytes`, needed twice: it spills where it does not fit.
fn spilling(mebibytes: usize) -> Array<f64> {
    let x = random::random([mebibytes * 128, 1024]).chunks([128, 1024]).array();
    let y = x.map_blocks(|block| block.mapv(|value| value + 1.0));
    (&y - y.mean(..)).abs().sum(..)
}

#[test]
fn npy_files_that_are_not_what_they_should_be() {
    let _alone = alone();
    let index: serde_json::Value = serde_json::from_slice(&std::fs::read(golden("index.json")).unwrap()).unwrap();
    for entry in index["bad"].as_array().unwrap() {
        let path = golden(entry["file"].as_str().unwrap());
        let opened = AnyArray::from_npy(&path);
        let error = match opened {
            Err(error) => error,
            // A wrong element shows when it is read.
            Ok(array) => Engine::builder().memory("256MiB").build().unwrap().compute(&array.astype::<f64>()).unwrap_err(),
        };
        assert_eq!(format!("{:?}", error.kind()), entry["kind"].as_str().unwrap(), "{path:?}: {error}");
        assert_eq!(error.path().unwrap().canonicalize().unwrap(), path.canonicalize().unwrap(), "{error}");
    }
    says(&Array::<f64>::from_npy(golden("bad/truncated-data.npy")).unwrap_err(), ErrorKind::Truncated, &["48 bytes", "37", "errors.rs"]);
    says(&Array::<f64>::from_npy(golden("bad/wrong-magic.npy")).unwrap_err(), ErrorKind::Corrupt, &["wrong-magic.npy"]);
    says(&Array::<f64>::from_npy(golden("bad/object.npy")).unwrap_err(), ErrorKind::Unsupported, &["np.save"]);
    says(&Array::<f64>::from_npy(golden("float32-le-3d.npy")).unwrap_err(), ErrorKind::Type, &["float32", "astype::<f64>"]);
    says(&Array::<f64>::from_npy(golden("no-such.npy")).unwrap_err(), ErrorKind::Io, &["no-such.npy"]);
}

#[test]
fn big_endian_files_give_the_right_answer() {
    let _alone = alone();
    let folder = folder();
    let engine = engine("256MiB", folder.path());
    let index: serde_json::Value = serde_json::from_slice(&std::fs::read(golden("index.json")).unwrap()).unwrap();
    for name in ["float64-be-3d.npy", "float64-be-3d-fortran.npy"] {
        let expected = index["good"].as_array().unwrap().iter().find(|entry| entry["file"] == name).unwrap();
        let values = engine.compute(&Array::<f64>::from_npy(golden(name)).unwrap()).unwrap();
        assert_eq!(serde_json::json!(values.shape()), expected["shape"]);
        assert_eq!(serde_json::json!(values.iter().collect::<Vec<_>>()), expected["values"], "{name}");
    }
}

#[test]
fn a_file_that_is_cut_after_it_was_opened() {
    let _alone = alone();
    let folder = folder();
    let (path, scratch) = (folder.path().join("x.npy"), folder.path().join("scratch"));
    let engine = engine("256MiB", &scratch);
    engine.compute(&Array::<f64>::arange(0.0, 4e6, 1.0, 1 << 20).to_npy(&path)).unwrap();
    let x = Array::<f64>::from_npy_chunks(&path, 1 << 20).unwrap();
    assert_eq!(engine.compute(&x.sum(..).item_collection()).unwrap(), 4e6 * (4e6 - 1.0) / 2.0);
    std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(20 << 20).unwrap();
    says(&engine.compute(&x.sum(..).item_collection()).unwrap_err(), ErrorKind::Truncated, &["read_npy", "x.npy"]);
    assert!(files(&scratch).iter().all(|file| file.metadata().unwrap().len() <= 4096));
}

#[test]
fn a_bound_that_is_too_small() {
    let _alone = alone();
    let folder = folder();
    says(&Engine::builder().memory("1MiB").build().unwrap_err(), ErrorKind::OutOfMemory, &["too small", "at least"]);
    let engine = engine("128MiB", folder.path());
    let x = Array::<f64>::ones([1 << 13, 1 << 12], [1 << 13, 1 << 12]).map_blocks(|block| block.to_owned());
    let error = engine.compute(&x.sum(..).item_collection()).unwrap_err();
    says(&error, ErrorKind::OutOfMemory, &["map_blocks", "rechunk"]);
    says(&engine.explain(x.sum(..)).unwrap_err(), ErrorKind::OutOfMemory, &["rechunk"]);
    // The chunking that it names would do; nothing was run, and smaller work still is.
    assert_eq!(engine.compute(&Array::<f64>::ones([1 << 13, 1 << 12], 512).sum(..).item_collection()).unwrap(), 33554432.0);
}

#[test]
fn a_task_that_joins_many_blocks_is_told_to_join_fewer() {
    let _alone = alone();
    let scratch = folder();
    let engine = engine("96MiB", scratch.path());
    // Each block of the result takes a part of all 64 blocks, which are of 4 MiB.
    let x = random::random([64, 524_288]).chunks([1, 524_288]).array().map_blocks(|block| block.mapv(|value| value + 1.0));
    let error = engine.compute(&x.rechunk([64, 8192]).sum(..).item_collection()).unwrap_err();
    says(&error, ErrorKind::OutOfMemory, &["64 blocks of map_blocks at once", "join them in several steps, at most", "not joined"]);
    let error = engine.compute(&x.rechunk([64, 524_288]).sum(..).item_collection()).unwrap_err();
    says(
        &error,
        ErrorKind::OutOfMemory,
        &["64 blocks of map_blocks at once", "two of them with its output and scratch are 264.", "smaller"],
    );
    // Nothing was run, so that nothing was spilled.
    assert!(files(scratch.path()).iter().all(|file| file.metadata().unwrap().len() <= 4096));
}

#[test]
fn a_result_that_is_larger_than_the_bound() {
    let _alone = alone();
    let folder = folder();
    let engine = engine("96MiB", folder.path());
    let x = Array::<f64>::ones([1 << 14, 1 << 11], 1024);
    says(&engine.compute(&x).unwrap_err(), ErrorKind::OutOfMemory, &["256.0 MiB", "to_npy", "slice"]);
    let path = folder.path().join("x.npy");
    engine.compute(&x.to_npy(&path)).unwrap();
    assert_eq!(path.metadata().unwrap().len(), (1 << 28) + 128);
}

#[test]
fn scratch_folders_that_cannot_be_used() {
    let _alone = alone();
    let folder = folder();
    let file = folder.path().join("file");
    std::fs::write(&file, "mine").unwrap();
    for bad in [file.clone(), file.join("below"), "/proc".into(), "/proc/below".into(), "/dev/null".into()] {
        let error = Engine::builder().memory("128MiB").scratch(&bad).build().unwrap_err();
        says(&error, ErrorKind::Unusable, &[bad.to_str().unwrap()]);
    }
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
    if !mounts.lines().any(|line| line.starts_with("tmpfs /dev/shm ")) {
        return eprintln!("SKIPPED: /dev/shm is no tmpfs");
    }
    let inside = tempfile::tempdir_in("/dev/shm").unwrap();
    let error = Engine::builder().memory("128MiB").scratch(inside.path()).build().unwrap_err();
    says(&error, ErrorKind::Unusable, &["tmpfs", "disk"]);
    assert!(files(inside.path()).is_empty());
}

#[test]
fn a_quota_that_is_too_small() {
    let _alone = alone();
    let folder = folder();
    let engine = Engine::builder().memory("96MiB").threads(2).scratch(folder.path()).quota("16MiB").build().unwrap();
    let job = spilling(256).item_collection();
    let error = engine.compute(&job).unwrap_err();
    says(&error, ErrorKind::DiskFull, &["quota"]);
    // The engine goes on working.
    let sum = engine.compute(&Array::<f64>::ones([1 << 20], 1 << 16).sum(..).item_collection()).unwrap();
    assert_eq!(sum, 1048576.0);
    drop(engine);
    assert!(files(folder.path()).is_empty());
}

#[test]
fn a_disk_that_is_full() {
    let _alone = alone();
    let folder = folder();
    let engine = engine("128MiB", folder.path());
    let path = folder.path().join("x.npy");
    let error = engine.compute(&Array::<u8>::zeros([1 << 47], 1 << 24).to_npy(&path)).unwrap_err();
    says(&error, ErrorKind::DiskFull, &["free", "another disk", "x.npy"]);
    let error = engine.compute(&Array::<u8>::zeros([10], 5).to_npy(folder.path().join("no/x.npy"))).unwrap_err();
    says(&error, ErrorKind::Unusable, &["no/x.npy", "folder that exists"]);
    drop(engine);
    assert!(files(folder.path()).is_empty(), "{:?}", files(folder.path()));
}

#[test]
fn a_closure_that_panics() {
    let _alone = alone();
    let folder = folder();
    let engine = engine("96MiB", folder.path());
    let x = random::random([1 << 15, 1 << 10]).chunks([128, 1024]).array();
    let y = x.map_blocks(|block| block.mapv(|value| value + 1.0));
    let last = y.map_blocks(|block| if block[[0, 0]] > 1.999 { panic!("no such luck") } else { block.to_owned() });
    // It spills before it panics: the mean needs all of y first.
    let job = (&last - y.mean(..)).abs().sum(..).item_collection();
    says(&engine.compute(&job).unwrap_err(), ErrorKind::Panicked, &["map_blocks", "no such luck"]);
    let fine = engine.compute(&spilling(256).item_collection()).unwrap();
    assert!(fine > 0.0 && engine.last_run().unwrap().spilled_bytes > 0);
    drop(engine);
    assert!(files(folder.path()).is_empty());
}

#[test]
fn graphs_that_fail() {
    let _alone = alone();
    let folder = folder();
    let engine = engine("96MiB", folder.path());
    let mut graph = Graph::new();
    graph.set("a", call(|| -> i64 { panic!("no such luck") }, ()));
    graph.set("b", try_call(|x: i64| if x > 1 { Err(format!("{x} is too much")) } else { Ok(x) }, (2,)));
    graph.set("c", call(|x: i64| x, (key("d"),)));
    graph.set("d", call(|x: i64| x, (key("c"),)));
    graph.set("e", call(|x: i64| x, (key("nowhere"),)));
    graph.set("f", call(|x: i64| x, (1,)));
    let get = |name: &str| engine.get::<i64>(&graph, name);
    says(&get("a").unwrap_err(), ErrorKind::Panicked, &["a", "no such luck"]);
    says(&get("b").unwrap_err(), ErrorKind::Failed, &["b", "2 is too much"]);
    says(&get("c").unwrap_err(), ErrorKind::Graph, &["c"]);
    says(&get("e").unwrap_err(), ErrorKind::Graph, &["nowhere"]);
    says(&engine.get::<String>(&graph, "f").unwrap_err(), ErrorKind::Type, &["f", "String"]);
    assert_eq!(get("f").unwrap(), 1);
}

#[test]
fn a_list_that_is_too_deep() {
    let _alone = alone();
    let folder = folder();
    let engine = engine("96MiB", folder.path());
    let mut graph = Graph::new();
    graph.set(("list", 0), 0i64);
    for i in 1..20_000i64 {
        let cons = |args: &[Value]| Ok(Value::List(args.to_vec().into()));
        graph.set(("list", i), call_untyped("cons", cons, (i, key(("list", i - 1)))));
    }
    assert_eq!(engine.get_values(&graph, &[key(("list", 900))]).unwrap().len(), 1);
    says(&engine.get_values(&graph, &[key(("list", 19_999))]).unwrap_err(), ErrorKind::Invalid, &["list", "1001 lists deep", "flat"]);
    // What is there already is neither looked through nor given back by one call inside the other.
    let deep = (0..200_000).fold(Value::None, |inner, _| Value::List(vec![inner].into()));
    assert!(format!("{deep:?}").contains("200000 lists deep"));
    let mut graph = Graph::new();
    graph.set("deep", call_untyped("give", move |_: &[Value]| Ok(deep.clone()), (1,)));
    says(&engine.get_values(&graph, &[key("deep")]).unwrap_err(), ErrorKind::Invalid, &["200000 lists deep"]);
}

#[test]
fn a_graph_that_is_larger_than_the_bound() {
    let _alone = alone();
    let folder = folder();
    let engine = engine("44MiB", folder.path());
    let mut graph = Graph::new();
    graph.set(("n", 0), 0i64);
    (1..130_000i64).for_each(|i| graph.set(("n", i), call(|n: i64| n + 1, (key(("n", i - 1)),))));
    let error = engine.get::<i64>(&graph, key(("n", 129_999))).unwrap_err();
    says(&error, ErrorKind::OutOfMemory, &["a graph of 130000 tasks", "fewer tasks", "more"]);
    assert_eq!(engine.get::<i64>(&graph, key(("n", 999))).unwrap(), 999);
}
