//! Registered functions: what they are besides functions, and what of their calls is found again.

#![allow(clippy::unwrap_used)]

use chunkstore::array::{Array, random};
use chunkstore::delayed::{Delayed, StampedPath, delayed, try_delayed};
use chunkstore::graph::{FunctionKind, Graph, Registry, call, key, op, try_call};
use chunkstore::optimize::inline_functions;
use chunkstore::{Engine, Error, ErrorKind, Store};
use ndarray::ArrayD;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

const FOLDER: &str = "CHUNKSTORE_TEST_FOLDER";

#[chunkstore::task]
fn add(a: i64, b: i64) -> i64 {
    a + b
}

#[chunkstore::task(name = "tests.parse", version = 7)]
fn parse(text: String) -> Result<i64, std::num::ParseIntError> {
    text.parse()
}

/// A function like any other, documented and public in its module.
mod inner {
    #[chunkstore::task]
    pub(super) fn add(a: i64, b: i64) -> i64 {
        a - b
    }
}

mod twice {
    #[chunkstore::task(name = "tests.twice", version = 1)]
    pub(super) fn one(x: i64) -> i64 {
        x
    }
    #[chunkstore::task(name = "tests.twice", version = 1)]
    pub(super) fn other(x: i64) -> i64 {
        -x
    }
    #[chunkstore::task(name = "tests.twice", version = 2)]
    pub(super) fn newer(x: i64) -> i64 {
        x + 1
    }
}

fn engine(folder: &Path) -> Engine {
    Engine::builder().memory("256MiB").threads(2).checkpoint(folder).build().unwrap()
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// What a task may return, and take.
#[chunkstore::task]
fn nothing() {}
#[chunkstore::task]
fn borrowed(_: (i64, String), _many: Vec<Vec<f64>>) -> &'static str {
    "text"
}

#[test]
fn a_task_is_a_function_and_has_an_identity() {
    nothing();
    assert_eq!(borrowed((1, String::new()), vec![]), "text");
    assert_eq!(add(1, 2), 3);
    assert_eq!([1, 2, 3].into_iter().reduce(add), Some(6));
    assert_eq!((op(add), op(inner::add) == op(add)), (op(add), false));
    // The name can be used for the delayed function, as with any other.
    let add = delayed(add);
    let (x, y) = (add.call((1, 2)), add.call((1, 2)));
    assert_eq!((x.key(), x.key().starts_with("add-")), (y.key(), true));
    assert_ne!(x.key(), add.call((1, 3)).key());
    assert_ne!(x.key(), delayed(inner::add).call((1, 2)).key());
    assert_ne!(add.clone().pure(false).call((1, 2)).key(), x.key());
    assert_eq!((&x + &y).compute().unwrap(), 6);
    assert_eq!(try_delayed(parse).call(("17",)).compute().unwrap(), 17);
    assert!(try_delayed(parse).call(("x",)).compute().unwrap_err().to_string().contains("tests.parse: invalid digit"));
}

#[test]
fn tasks_in_graphs_are_portable_and_inlined() {
    let mut g = Graph::new();
    g.set("x", call(add, (1, 2)));
    g.set("y", call(add, (key("x"), try_call(parse, ("5",)))));
    let functions = g.functions();
    assert!(matches!(&functions[0], FunctionKind::Portable { name, .. } if name == "tasks::add"), "{functions:?}");
    assert_eq!(functions[1], FunctionKind::Portable { name: "tests.parse".into(), version: 7 });
    assert_eq!(g.to_string(), "{'x': (add, 1, 2),\n 'y': (add, 'x', (tests.parse, \"5\"))}");
    let h = inline_functions(&g, &["y"], &[op(add)]);
    assert_eq!(h.to_string(), "{'y': (add, (add, 1, 2), (tests.parse, \"5\"))}");
    let engine = Engine::builder().memory("256MiB").build().unwrap();
    assert_eq!(engine.get::<i64>(&h, "y").unwrap(), 8);
}

#[test]
fn one_name_for_two_functions_is_an_error() {
    assert_eq!(delayed(twice::newer).call((1,)).compute().unwrap(), 2);
    for wrong in [delayed(twice::one).call((1,)), delayed(twice::other).call((1,))] {
        let error = wrong.compute().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("two functions are registered as version 1 of tests.twice"), "{error}");
        assert!(error.to_string().contains("tests/tasks.rs"), "{error}");
    }
    let mut g = Graph::new();
    g.set("x", call(twice::one, (1,)));
    assert!(Engine::builder().memory("256MiB").build().unwrap().get::<i64>(&g, "x").is_err());
    assert_eq!(Registry::of_tasks().map(drop).unwrap_err().kind(), ErrorKind::Invalid);
    // They are functions nevertheless.
    assert_eq!((twice::one(1), twice::other(1)), (1, -1));
}

/// Not a test: prints keys.
#[test]
fn keys_of_a_process() {
    if std::env::var_os(FOLDER).is_none() {
        return;
    }
    println!("keys {} {}", delayed(add).call((1, 2)).key(), try_delayed(parse).call(("17",)).key());
}

/// The keys that a program prints.
fn keys(program: &Path) -> Vec<String> {
    let output = Command::new(program).args(["keys_of_a_process", "--exact", "--nocapture"]).env(FOLDER, "none").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find_map(|line| line.split_once("keys ")).unwrap_or_else(|| panic!("{text}"));
    line.1.split(' ').map(str::to_owned).collect()
}

#[test]
fn keys_are_those_of_the_build() {
    let folder = folder();
    let own = std::env::current_exe().unwrap();
    let here = [delayed(add).call((1, 2)).key(), try_delayed(parse).call(("17",)).key()];
    assert_eq!(keys(&own), here);
    let copy = folder.path().join("copy");
    std::fs::copy(&own, &copy).unwrap();
    assert_eq!(keys(&copy), here, "the same build under another name");
    // What is behind the end of a program makes no difference to what it does, but it is another file.
    std::fs::OpenOptions::new().append(true).open(&copy).unwrap().write_all(b"another build").unwrap();
    let other = keys(&copy);
    assert_ne!(other[0], here[0], "another build");
    assert_eq!(other[1], here[1], "a version that was said");
}

/// What a model gives: an object of the test's own.
#[derive(Clone, Serialize, Deserialize)]
struct Fit {
    weights: Vec<f64>,
    names: BTreeMap<String, u32>,
}

/// Notes that a part was made.
fn note(log: &Path, part: i64) {
    let mut file = std::fs::OpenOptions::new().append(true).create(true).open(log).unwrap();
    file.write_all(format!("{part}\n").as_bytes()).unwrap();
}

/// How often each part was made.
fn made(log: &Path) -> BTreeMap<i64, u32> {
    let mut made = BTreeMap::new();
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().for_each(|line| *made.entry(line.parse().unwrap()).or_default() += 1);
    made
}

const PARTS: i64 = 40;

/// An array that can be spilled.
#[chunkstore::task]
fn load(part: i64, log: PathBuf) -> ArrayD<f64> {
    std::thread::sleep(Duration::from_millis(20));
    note(&log, part);
    ArrayD::from_shape_fn(vec![20_000], |at| (part as f64 + at[0] as f64).sin())
}

/// An object that is none of the library's.
#[chunkstore::task]
fn fit(part: i64, values: Arc<ArrayD<f64>>) -> Fit {
    std::thread::sleep(Duration::from_millis(20));
    Fit { weights: vec![part as f64, values.sum()], names: BTreeMap::from([(format!("part {part}"), part as u32)]) }
}

/// Fails while a file is there.
#[chunkstore::task]
fn checked(part: i64, sum: f64, folder: PathBuf) -> Result<f64, String> {
    std::thread::sleep(Duration::from_millis(20));
    match folder.join(format!("broken-{part}")).exists() {
        true => Err(format!("part {part} is broken")),
        false => Ok(sum),
    }
}

#[chunkstore::task]
fn weigh(fit: Arc<Fit>) -> f64 {
    assert_eq!(fit.names.len(), 1);
    fit.weights.iter().sum::<f64>()
}

#[chunkstore::task]
fn total(parts: Vec<f64>) -> f64 {
    parts.iter().sum()
}

/// Calls of all kinds, by which each part is made once.
fn work(folder: &Path, parts: i64) -> Delayed<f64> {
    let log = folder.join("log");
    let sums: Vec<Delayed<f64>> = (0..parts)
        .map(|part| {
            let loaded = delayed(load).call((part, log.clone()));
            let weight = delayed(weigh).call((delayed(fit).call((part, &loaded)).shared(),));
            try_delayed(checked).call((part, weight * 2.0, folder.to_path_buf()))
        })
        .collect();
    delayed(total).call((sums,)) / 2.0
}

/// What `work` gives.
fn expected(parts: i64) -> f64 {
    let of = |part: i64| part as f64 + (0..20_000).map(|at| (part as f64 + f64::from(at)).sin()).collect::<ArrayD1>().sum();
    (0..parts).map(|part| 2.0 * of(part)).sum::<f64>() / 2.0
}
type ArrayD1 = ndarray::Array1<f64>;

/// The values that unfinished runs have saved.
fn kept(folder: &Path) -> u64 {
    let Ok(store) = Store::open_read_only(folder) else { return 0 };
    store.infos("runs/*").unwrap().iter().map(|info| info.chunks).sum()
}

fn found(engine: &Engine) -> u64 {
    let run = engine.last_run().unwrap();
    let note = run.notes.iter().find_map(|note| note.strip_prefix("resumed: ")?.split(' ').next()?.parse().ok());
    note.unwrap_or(0)
}

fn assert_tidy(folder: &Path) {
    let store = Store::open(folder).unwrap();
    assert_eq!(store.names().unwrap(), Vec::<String>::new());
    assert!(store.verify(|_, _| {}).unwrap().is_sound());
    assert!(store.gc(true).unwrap().files.is_empty());
}

/// Not a test: what is killed. It tells what it computed, and what it found at the beginning.
#[test]
fn victim() {
    let Some(folder) = std::env::var_os(FOLDER).filter(|folder| folder != "none") else { return };
    let folder = PathBuf::from(folder);
    let engine = engine(&folder.join("run"));
    let sum = engine.compute(work(&folder, PARTS)).unwrap();
    std::fs::write(folder.join("answer"), format!("{} {}", sum.to_bits(), found(&engine))).unwrap();
}

/// Kills at any time, ten of them, or as many as `CHUNKSTORE_TEST_KILLS` says.
#[test]
fn whenever_it_is_killed_the_answer_is_the_same() {
    let kills: u32 = std::env::var("CHUNKSTORE_TEST_KILLS").map_or(10, |kills| kills.parse().unwrap());
    let folder = folder();
    let run = folder.path().join("run");
    let log = folder.path().join("log");
    let (mut killed, mut finished, mut resumed, mut last, mut random) = (0, 0, 0, 0, 0x9e37_79b9_7f4a_7c15u64);
    // What had been made when the last run ended that succeeded.
    let mut ended = made(&log);
    // The last is not killed.
    let mut whole = false;
    while killed < kills || !whole {
        let before = kept(&run);
        let already = made(&log);
        // One that was killed when it had succeeded, but not ended, has removed them: then all was made.
        let all = (0..PARTS).all(|part| already.get(&part) > ended.get(&part));
        assert!(before >= last || (before == 0 && all), "{before} values are saved, {last} were before");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["victim", "--exact", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let end = Instant::now() + Duration::from_millis(100 + random % 1000);
        while (Instant::now() < end || killed >= kills) && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        child.kill().ok();
        if !child.wait().unwrap().success() {
            (killed, last, whole) = (killed + 1, before, false);
            continue;
        }
        whole = true;
        let told = std::fs::read_to_string(folder.path().join("answer")).unwrap();
        let (sum, count) = told.split_once(' ').unwrap();
        assert_eq!(count.parse::<u64>().unwrap(), before, "all that was saved was found");
        assert!((f64::from_bits(sum.parse().unwrap()) - expected(PARTS)).abs() < 1e-6);
        // What each saved part was made of is not made again: there are three values for a part.
        ended = made(&log);
        let again = ended.values().sum::<u32>() - already.values().sum::<u32>();
        assert!(u64::from(again) <= PARTS as u64 - before / 3, "{again} parts were made, {before} values were found");
        assert_eq!(kept(&run), 0);
        (finished, resumed, last) = (finished + 1, resumed + before, 0);
    }
    assert!(resumed > 0, "some of {finished} runs found what others had saved");
    assert_tidy(&run);
}

#[test]
fn an_error_in_one_call_keeps_the_others() {
    let folder = folder();
    let (run, broken) = (folder.path().join("run"), folder.path().join("broken-39"));
    std::fs::write(&broken, "").unwrap();
    let fails = |engine: &Engine| -> Error { engine.compute(work(folder.path(), PARTS)).unwrap_err() };
    let one = engine(&run);
    let error = fails(&one);
    assert!(error.to_string().contains("part 39 is broken"), "{error}");
    let (before, runs) = (kept(&run), made(&folder.path().join("log")));
    assert!(before > 40, "{before} values are saved");
    drop(one);
    std::fs::remove_file(&broken).unwrap();
    let again = engine(&run);
    let explain = again.explain(work(folder.path(), PARTS)).unwrap();
    let plain = Engine::builder().memory("256MiB").build().unwrap().explain(work(folder.path(), PARTS)).unwrap();
    assert!(explain.tasks < plain.tasks, "{explain}");
    let sum = again.compute(work(folder.path(), PARTS)).unwrap();
    assert!((sum - expected(PARTS)).abs() < 1e-6);
    assert_eq!(found(&again), before);
    let more: u32 = made(&folder.path().join("log")).values().sum::<u32>() - runs.values().sum::<u32>();
    assert!(u64::from(more) <= PARTS as u64 - before / 3, "{more} {before}");
    drop(again);
    assert_tidy(&run);
}

#[test]
fn other_arguments_and_unregistered_functions_are_made_again() {
    let folder = folder();
    let run = folder.path().join("run");
    let engine = engine(&run);
    let log = folder.path().join("log");
    std::fs::write(folder.path().join("broken-9"), "").unwrap();
    assert!(engine.compute(work(folder.path(), 10)).is_err());
    let before = kept(&run);
    assert!(before > 0);
    // Calls with other arguments are another run.
    let other = self::folder();
    engine.compute(work(other.path(), 9)).unwrap();
    assert_eq!((found(&engine), kept(&run)), (0, before));
    // Equal closures cannot be told from others, nor can what is made of what they give.
    let parts: Vec<_> = (0..10)
        .map(|part: i64| {
            let made = delayed(|part: i64| {
                std::thread::sleep(Duration::from_millis(20));
                ArrayD::from_elem(vec![10], part as f64)
            });
            delayed(fit).call((part, made.call((part,))))
        })
        .collect();
    let last = try_delayed(|_fits: Vec<Arc<Fit>>| Err::<f64, _>("no")).call((parts.iter().map(Delayed::shared).collect::<Vec<_>>(),));
    assert!(engine.compute(&last).is_err());
    assert_eq!(kept(&run), before);
    // What was there is still known.
    let count = made(&log).values().sum::<u32>();
    std::fs::remove_file(folder.path().join("broken-9")).unwrap();
    engine.compute(work(folder.path(), 10)).unwrap();
    assert_eq!(found(&engine), before);
    assert!(made(&log).values().sum::<u32>() - count <= 10 - before as u32 / 3);
}

#[chunkstore::task]
fn sum_of(x: ArrayD<f64>, log: PathBuf) -> f64 {
    std::thread::sleep(Duration::from_millis(150));
    note(&log, 0);
    x.sum()
}

/// Fails while a file is there.
#[chunkstore::task]
fn unless(x: f64, broken: PathBuf) -> Result<f64, String> {
    std::thread::sleep(Duration::from_millis(50));
    if broken.exists() { Err("broken".into()) } else { Ok(x) }
}

#[test]
fn calls_with_arrays_follow_the_files() {
    let folder = folder();
    let (run, file, log, broken) =
        (folder.path().join("run"), folder.path().join("x.npy"), folder.path().join("log"), folder.path().join("broken"));
    let write = |seed: u64| {
        let x = random::normal(0.0, 1.0, [1000]).seed(seed).array();
        Engine::builder().memory("256MiB").build().unwrap().compute(x.to_npy(&file)).unwrap();
    };
    let engine = engine(&run);
    let compute = || {
        let x = Array::<f64>::from_npy(&file).unwrap();
        engine.compute(try_delayed(unless).call((delayed(sum_of).call((&x, log.clone())), broken.clone())))
    };
    write(1);
    std::fs::write(&broken, "").unwrap();
    assert!(compute().is_err());
    assert!(compute().is_err());
    assert_eq!(made(&log)[&0], 1, "found in the second run");
    write(2);
    assert!(compute().is_err());
    assert_eq!(made(&log)[&0], 2, "another file");
    std::fs::remove_file(&broken).unwrap();
    let sum = compute().unwrap();
    assert_eq!(made(&log)[&0], 2);
    assert_eq!(sum, Array::<f64>::from_npy(&file).unwrap().compute().unwrap().sum());
}

#[chunkstore::task]
fn size_of(file: StampedPath, log: PathBuf) -> Result<f64, String> {
    std::thread::sleep(Duration::from_millis(150));
    note(&log, 0);
    Ok(std::fs::read(file.checked().map_err(|error| error.to_string())?).unwrap().len() as f64)
}

#[test]
fn calls_with_paths_follow_the_files() {
    let folder = folder();
    let (run, file, log, broken) =
        (folder.path().join("run"), folder.path().join("x"), folder.path().join("log"), folder.path().join("broken"));
    let engine = engine(&run);
    std::fs::write(&broken, "").unwrap();
    let compute = || {
        let size = try_delayed(size_of).call((StampedPath::of(&file).unwrap(), log.clone()));
        engine.compute(try_delayed(unless).call((size, broken.clone())))
    };
    for (text, times) in [("a", 1), ("a", 1), ("b", 2), ("bc", 3), ("bc", 3)] {
        if std::fs::read_to_string(&file).ok().as_deref() != Some(text) {
            std::fs::write(&file, text).unwrap();
        }
        assert!(compute().is_err());
        assert_eq!(made(&log)[&0], times, "{text}");
    }
    std::fs::remove_file(&broken).unwrap();
    assert_eq!(compute().unwrap(), 2.0);
}

#[test]
fn what_a_changed_file_has_no_part_in_is_found() {
    let folder = folder();
    let (run, log, broken) = (folder.path().join("run"), folder.path().join("log"), folder.path().join("broken"));
    let engine = engine(&run);
    std::fs::write(&broken, "").unwrap();
    let file = |part: i64| folder.path().join(format!("part-{part}"));
    let compute = |parts: i64| {
        let size = |part| try_delayed(size_of).call((StampedPath::of(file(part)).unwrap(), log.clone()));
        let sizes: Vec<Delayed<f64>> = (0..parts).map(size).collect();
        engine.compute(try_delayed(unless).call((delayed(total).call((sizes,)), broken.clone())))
    };
    for part in 0..6 {
        std::fs::write(file(part), "x").unwrap();
    }
    assert!(compute(5).is_err());
    assert_eq!(made(&log)[&0], 5);
    // One file is another, and one is new.
    std::fs::write(file(2), "four").unwrap();
    assert!(compute(6).is_err());
    assert_eq!(made(&log)[&0], 7);
    std::fs::remove_file(&broken).unwrap();
    assert_eq!(compute(6).unwrap(), 9.0);
    assert_eq!((made(&log)[&0], found(&engine)), (7, 6));
    drop(engine);
    assert_tidy(&run);
}

#[test]
fn a_full_disk_ends_a_run_that_goes_on_when_there_is_room() {
    let folder = folder();
    let run = folder.path().join("run");
    let with = |quota: &str| Engine::builder().memory("256MiB").threads(2).checkpoint(&run).checkpoint_quota(quota).build().unwrap();
    // Room for what is committed at a time, and not for all.
    let small = with("6MiB");
    let error = small.compute(work(folder.path(), PARTS)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::DiskFull, "{error}");
    let before = kept(&run);
    assert!(before > 0);
    drop(small);
    let large = with("1GiB");
    assert!((large.compute(work(folder.path(), PARTS)).unwrap() - expected(PARTS)).abs() < 1e-6);
    assert!(found(&large) >= before);
    drop(large);
    assert_tidy(&run);
}
