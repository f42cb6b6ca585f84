//! Random graphs on real engines: any bound, any number of threads, tasks that fail; beside chunks that are kept, cancelled at any time, and with a scratch
//! folder that is full. Each run ends, keeps to its bound, gives the same bytes as a plain evaluation, and leaves nothing behind.
//!
//! `CHUNKSTORE_TEST_CASES` says how many; the default is 2,000, and a quarter of that beside others.

#![allow(clippy::unwrap_used)]

use chunkstore::array::Array;
use chunkstore::graph::{Graph, GraphKey, call, key, list, try_call};
use chunkstore::{Engine, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const KIB: usize = 1 << 10;

/// About what an engine's buffers for input and output, and what its threads hold, take.
const BUFFERS: u64 = 11 << 20;

/// A small generator of numbers: SplitMix64 (Steele, Lea and Flood, 2014).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
}

/// A task of a random graph.
#[derive(Clone)]
struct Task {
    inputs: Vec<usize>,
    length: usize,
    fails: Option<Failure>,
}

#[derive(Clone, Copy, PartialEq)]
enum Failure {
    Error,
    Panic,
}

/// What a task gives: numbers that depend on all of its inputs, and on their order.
fn values(number: u64, length: u64, inputs: Vec<Vec<u64>>) -> Vec<u64> {
    let fold = |hash: u64, value: &u64| (hash ^ value).wrapping_mul(0x0000_0100_0000_01b3);
    let seed = inputs.iter().flatten().fold(number ^ 0xcbf2_9ce4_8422_2325, fold);
    let mut numbers = Numbers(seed);
    (0..length).map(|_| numbers.next()).collect()
}

fn fails(number: u64, _inputs: Vec<Vec<u64>>) -> Result<Vec<u64>, String> {
    Err(format!("task {number} was to fail"))
}

fn panics(number: u64, _inputs: Vec<Vec<u64>>) -> Vec<u64> {
    panic!("task {number} was to panic")
}

fn random_tasks(numbers: &mut Numbers) -> Vec<Task> {
    let count = 1 + numbers.below(24);
    let failing = numbers.below(6) == 0;
    let culprit = numbers.below(count);
    (0..count)
        .map(|at| {
            let most = numbers.below(4).min(at);
            let mut inputs: Vec<usize> = (0..most).map(|_| numbers.below(at)).collect();
            if numbers.below(8) == 0 {
                inputs.extend(at.checked_sub(1));
            }
            // Some small, some in mappings of their own.
            let length = if numbers.below(3) == 0 { numbers.below(64) } else { (16 + numbers.below(64)) * KIB };
            let kind = if numbers.below(2) == 0 { Failure::Error } else { Failure::Panic };
            Task { inputs, length, fails: (failing && at == culprit).then_some(kind) }
        })
        .collect()
}

/// The values of all tasks; those that need one that fails have none.
fn plainly(tasks: &[Task]) -> Vec<Option<Vec<u64>>> {
    let mut all: Vec<Option<Vec<u64>>> = Vec::new();
    for (number, task) in tasks.iter().enumerate() {
        let inputs: Option<Vec<Vec<u64>>> = task.inputs.iter().map(|input| all[*input].clone()).collect();
        let value = inputs.filter(|_| task.fails.is_none()).map(|inputs| values(number as u64, task.length as u64, inputs));
        all.push(value);
    }
    all
}

fn graph_of(tasks: &[Task]) -> Graph {
    let mut graph = Graph::new();
    for (number, task) in tasks.iter().enumerate() {
        let inputs = || list(task.inputs.iter().map(|input| key(("t", *input as u64))));
        let (name, number) = (("t", number as u64), number as u64);
        match task.fails {
            None => graph.set(name, call(values, (number, task.length as u64, inputs()))),
            Some(Failure::Error) => graph.set(name, try_call(fails, (number, inputs()))),
            Some(Failure::Panic) => graph.set(name, call(panics, (number, inputs()))),
        }
    }
    graph
}

/// The bytes of files below a folder.
fn on_disk(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let size = |entry: std::fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => on_disk(&entry.path()),
        _ => entry.metadata().map_or(0, |metadata| metadata.len()),
    };
    entries.flatten().map(size).sum()
}

/// An empty scratch folder.
fn scratch(name: &str) -> PathBuf {
    let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("random_runs").join(name);
    let _ = std::fs::remove_dir_all(&scratch);
    scratch
}

/// Engines measure the process: one test at a time. What is to panic does so in silence.
fn begin() -> (MutexGuard<'static, ()>, u64) {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !info.to_string().contains("was to panic") {
            usual(info);
        }
    }));
    chunkstore::init();
    (alone, std::env::var("CHUNKSTORE_TEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(2000))
}

/// Nothing that a run held is left: the engine has all of its memory for one more, and nothing on disk.
fn nothing_is_left(engine: Engine, scratch: &Path) {
    let outside = engine.memory() - engine.memory_for_tasks();
    engine.set_memory(outside + (96 << 20)).unwrap();
    let room = 32u64 << 20;
    let whole = call(values, (0u64, room / 8, list(Vec::<GraphKey>::new())));
    let mut graph = Graph::new();
    graph.set("whole", whole);
    assert_eq!(engine.get::<Vec<u64>>(&graph, "whole").unwrap().len() as u64, room / 8);
    drop(engine);
    assert_eq!(on_disk(scratch), 0);
}

#[test]
fn random_graphs_within_random_bounds_on_any_threads() {
    let (_alone, cases) = begin();
    let scratch = scratch("alone");
    let (mut spilled, mut refused, mut failed) = (0, 0, 0);
    for threads in [1usize, 2, 4] {
        let engine = Engine::builder().memory("1GiB").threads(threads).scratch(&scratch).progress(false).build().unwrap();
        for case in (0..cases).filter(|case| case % 3 == threads as u64 / 2) {
            let mut numbers = Numbers(case);
            let tasks = random_tasks(&mut numbers);
            let (graph, wanted) = (graph_of(&tasks), plainly(&tasks));
            // From what is too little for most of them to what is enough for all.
            let room = BUFFERS + numbers.below(5 << 20) as u64;
            let outside = engine.memory() - engine.memory_for_tasks();
            if engine.set_memory(outside + room).is_err() {
                refused += 1;
                continue;
            }
            let asked: Vec<usize> = (0..1 + numbers.below(3)).map(|_| numbers.below(tasks.len())).collect();
            let keys: Vec<_> = asked.iter().map(|task| key(("t", *task as u64))).collect();
            let got = engine.get_values(&graph, &keys);
            let context = || format!("case {case}, {threads} threads");
            match got {
                Ok(got) => {
                    for (task, value) in asked.iter().zip(got) {
                        assert_eq!(Some(value.get::<Vec<u64>>().unwrap()), wanted[*task], "{}", context());
                    }
                    let run = engine.last_run().unwrap();
                    assert!(run.peak_bytes <= room, "{}: {run}", context());
                    spilled += u64::from(run.spilled_bytes > 0);
                }
                Err(error) => match error.kind() {
                    ErrorKind::OutOfMemory => refused += 1,
                    ErrorKind::Panicked | ErrorKind::Failed => {
                        failed += 1;
                        assert!(asked.iter().any(|task| wanted[*task].is_none()), "{}: {error}", context());
                        assert!(error.to_string().contains("was to"), "{}: {error}", context());
                    }
                    _ => panic!("{}: {error}", context()),
                },
            }
        }
        nothing_is_left(engine, &scratch);
    }
    println!("{cases} cases: {spilled} spilled, {refused} were refused, {failed} failed as they should");
    assert!(spilled > cases / 100 && failed > cases / 50 && refused < cases / 2, "{spilled} {refused} {failed}");
}

/// Numbers that are kept from one run to the next, and what they are.
fn kept(engine: &Engine, case: u64, numbers: &mut Numbers) -> Option<(Array<i64>, i64, i64)> {
    let (from, length) = (case as i64, (64 + numbers.below(320)) as i64 * KIB as i64);
    let array = Array::arange(from, from + length, 1, 32 * KIB).map_blocks(|block| block.to_owned() + 1i64);
    match engine.persist(&array) {
        Ok(array) => Some((array, from + 1, length)),
        Err(error) if matches!(error.kind(), ErrorKind::OutOfMemory | ErrorKind::DiskFull) => None,
        Err(error) => panic!("case {case}: {error}"),
    }
}

#[test]
fn random_graphs_beside_kept_chunks_cancelled_and_on_a_full_disk() {
    let (_alone, cases) = begin();
    let scratch = scratch("beside");
    let (mut cancelled, mut full, mut right, mut held, mut spilled) = (0, 0, 0, 0, 0);
    for (threads, quota) in [(1usize, None), (2, None), (4, None), (1, Some("64KiB")), (2, Some("64KiB"))] {
        let builder = Engine::builder().memory("256MiB").threads(threads).scratch(&scratch).progress(false);
        let builder = if let Some(quota) = quota { builder.quota(quota) } else { builder };
        let engine = builder.build().unwrap();
        let mut persisted: Option<(Array<i64>, i64, i64)> = None;
        for case in 0..cases / if quota.is_some() { 10 } else { 20 } {
            let mut numbers = Numbers(case ^ (threads as u64) << 32 ^ 0x5eed);
            // What is left unused of a small bound does not depend on it.
            let outside = engine.memory() - engine.memory_for_tasks();
            let context = || format!("case {case}, {threads} threads, quota {quota:?}");
            if case % 8 == 0 {
                // What was kept is as it was, however often it has been written and read since.
                engine.set_memory(outside + (64 << 20)).unwrap();
                if let Some((array, from, length)) = persisted.take() {
                    let wanted: Vec<i64> = (from..from + length).collect();
                    assert_eq!(engine.compute(&array).unwrap().into_iter().collect::<Vec<i64>>(), wanted, "{}", context());
                    held += 1;
                }
            }
            let tasks = random_tasks(&mut numbers);
            let (graph, wanted) = (graph_of(&tasks), plainly(&tasks));
            let room = BUFFERS + numbers.below(5 << 20) as u64;
            // Objects that are kept cannot be evicted.
            if engine.set_memory(outside + room).is_err() {
                continue;
            }
            if persisted.is_none() {
                persisted = kept(&engine, case, &mut numbers);
            }
            // One that takes much, as a rule.
            let asked = tasks.len() - 1 - numbers.below(tasks.len().min(3));
            let cancels = numbers.below(3) == 0;
            let future = engine.submit_get::<Vec<u64>>(&graph, ("t", asked as u64));
            if cancels {
                std::thread::sleep(Duration::from_micros(numbers.below(3000) as u64));
                future.cancel();
            }
            match future.result() {
                Ok(got) => {
                    assert_eq!(Some(got), wanted[asked], "{}", context());
                    right += 1;
                    spilled += u64::from(engine.last_run().unwrap().spilled_bytes > 0);
                }
                Err(error) => match error.kind() {
                    ErrorKind::OutOfMemory => {}
                    ErrorKind::DiskFull if quota.is_some() => full += 1,
                    ErrorKind::Cancelled if cancels => cancelled += 1,
                    ErrorKind::Panicked | ErrorKind::Failed => assert_eq!(wanted[asked], None, "{}: {error}", context()),
                    _ => panic!("{}: {error}", context()),
                },
            }
        }
        drop(persisted);
        nothing_is_left(engine, &scratch);
    }
    println!("{right} right, {cancelled} cancelled, {full} with a full disk, {spilled} spilled, {held} times kept");
    assert!(
        right > cases / 20 && cancelled > cases / 100 && full > 0 && spilled > 0 && held > 0,
        "{right} {cancelled} {full} {spilled} {held}"
    );
}
