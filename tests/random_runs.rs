//! Random graphs on real engines: any bound, any number of threads, tasks that fail. Each run ends, keeps to its bound, gives the same bytes as a plain
//! evaluation, and leaves nothing behind.
//!
//! `CHUNKSTORE_TEST_CASES` says how many; the default is 2,000.

#![allow(clippy::unwrap_used)]

use chunkstore::graph::{Graph, GraphKey, call, key, list, try_call};
use chunkstore::{Engine, ErrorKind};
use std::path::{Path, PathBuf};

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

fn scratch() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("random_runs")
}

#[test]
fn random_graphs_within_random_bounds_on_any_threads() {
    // What is to panic does so in silence.
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if !info.to_string().contains("was to panic") {
            usual(info);
        }
    }));
    chunkstore::init();
    let cases: u64 = std::env::var("CHUNKSTORE_TEST_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(2000);
    let scratch = scratch();
    let _ = std::fs::remove_dir_all(&scratch);
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
        // Nothing that a run held is left: the engine has all of its memory for one more.
        let outside = engine.memory() - engine.memory_for_tasks();
        engine.set_memory(outside + (96 << 20)).unwrap();
        let room = 32u64 << 20;
        let whole = call(values, (0u64, room / 8, list(Vec::<GraphKey>::new())));
        let mut graph = Graph::new();
        graph.set("whole", whole);
        assert_eq!(engine.get::<Vec<u64>>(&graph, "whole").unwrap().len() as u64, room / 8);
        drop(engine);
        assert_eq!(on_disk(&scratch), 0);
    }
    println!("{cases} cases: {spilled} spilled, {refused} were refused, {failed} failed as they should");
    assert!(spilled > cases / 100 && failed > cases / 50 && refused < cases / 2, "{spilled} {refused} {failed}");
}
