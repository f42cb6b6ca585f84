//! Child processes that save, replace, compact, flush and append are killed at random moments: what is there afterwards is what they reported
//! last, or what they were about, and the next one goes on with it.

#![allow(clippy::unwrap_used)]

mod chest;
mod content;
mod log;
mod store;
mod stream;

use chunkstore_store::ErrorKind;
use content::Dice;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

const FOLDER: &str = "CHUNKSTORE_TEST_KILL_FOLDER";
const ROLE: &str = "CHUNKSTORE_TEST_KILL_ROLE";
const SEED: &str = "CHUNKSTORE_TEST_KILL_SEED";

/// After so many kills a lane begins with a new folder.
const KILLS_OF_A_FOLDER: u64 = 25;

/// What is found in a folder: names of things, and checksums of their contents in order.
type Seen = BTreeMap<String, Vec<u64>>;

/// Something that is kept on disk, and the children that work on it.
trait Subject {
    /// What a child does, one after the other.
    type Op: Serialize + DeserializeOwned + Clone + Debug;
    /// What is in memory and on disk after some of that.
    type Model: Clone + PartialEq + Default + Debug;
    const ROLE: &str;

    /// What the child does, until it is killed.
    fn work(folder: &Path, lane: u64, dice: &mut Dice);
    fn apply(model: &mut Self::Model, op: &Self::Op);
    /// Forgets what is not on disk.
    fn crash(model: &mut Self::Model);
    /// What is on disk.
    fn expected(model: &Self::Model) -> Seen;
    /// What is found on disk. Whatever is unsound there is a panic.
    fn find(folder: &Path, lane: u64) -> Seen;
}

/// Does what `op` says; the parent knows that it was begun, and that it was done.
fn report<T>(op: &impl Serialize, run: impl FnOnce() -> T) -> T {
    println!("begin {}", serde_json::to_string(op).unwrap());
    let result = run();
    println!("done");
    result
}

/// Opens what the parent has just closed. Its lock may live a moment longer, in another child that is between `fork` and `exec`.
fn patiently<T>(open: impl Fn() -> chunkstore_store::Result<T>) -> T {
    let begin = Instant::now();
    loop {
        match open() {
            Err(e) if e.kind() == ErrorKind::Locked && begin.elapsed() < Duration::from_secs(20) => {
                std::thread::sleep(Duration::from_millis(1))
            }
            result => return result.unwrap(),
        }
    }
}

/// Not a test: what the killed processes run.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else { return };
    let seed: u64 = std::env::var(SEED).unwrap().parse().unwrap();
    let (lane, mut dice) = (seed >> 32, Dice(seed));
    println!("\nready");
    match std::env::var(ROLE).unwrap().as_str() {
        store::Stores::ROLE => store::Stores::work(&folder, lane, &mut dice),
        chest::Chests::ROLE => chest::Chests::work(&folder, lane, &mut dice),
        log::Logs::ROLE => log::Logs::work(&folder, lane, &mut dice),
        stream::ROLE => stream::work(&folder),
        other => panic!("{other}"),
    }
}

fn start(role: &str, folder: &Path, seed: u64) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--nocapture"])
        .env(FOLDER, folder)
        .env(ROLE, role)
        .env(SEED, seed.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap());
    (child, lines)
}

/// What the killed process reported: what it has done, and what it was about.
fn killed<S: Subject>(folder: &Path, seed: u64, dice: &mut Dice) -> (Vec<S::Op>, Option<S::Op>) {
    let (mut child, mut lines) = start(S::ROLE, folder, seed);
    let (mut done, mut under_way) = (Vec::new(), None);
    let mut take = |line: &str| match line.trim_end().split_once(' ') {
        // The last line may be cut: then what it says was not begun.
        Some(("begin", op)) if line.ends_with('\n') => under_way = Some(serde_json::from_str(op).unwrap()),
        _ if line == "done\n" => done.extend(under_way.take()),
        _ => {}
    };
    // Some are killed while they open the folder.
    let wait = if dice.below(6) == 0 { 0 } else { 1 + dice.below(60) };
    let (mut line, mut heard) = (String::new(), 0);
    while heard < wait && lines.read_line(&mut line).unwrap() > 0 {
        take(&line);
        heard += u64::from(line.starts_with("begin") || line == "done\n");
        line.clear();
    }
    let most = if wait == 0 { 60_000 } else { 4_000 };
    std::thread::sleep(Duration::from_micros(dice.below(most)));
    child.kill().unwrap();
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), Some(9), "{}, seed {seed}: the child failed: {status}", S::ROLE);
    // What it said before it was killed counts, too.
    while lines.read_line(&mut line).unwrap() > 0 {
        take(&line);
        line.clear();
    }
    (done, under_way)
}

/// Kills so many children, one after the other. How many of them were doing something then, and how much was done in all.
fn lane<S: Subject>(lane: u64, kills: u64) -> (u64, u64) {
    let parent = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
    let mut dice = Dice(lane * 7919 + 17);
    let (mut hits, mut steps) = (0, 0);
    let mut models = vec![S::Model::default()];
    let mut folder = parent.path().join("0");
    for kill in 0..kills {
        if kill > 0 && kill % KILLS_OF_A_FOLDER == 0 {
            std::fs::remove_dir_all(&folder).unwrap();
            folder = parent.path().join(kill.to_string());
            models = vec![S::Model::default()];
        }
        let seed = lane << 32 | kill;
        let (done, under_way) = killed::<S>(&folder, seed, &mut dice);
        steps += done.len() as u64;
        hits += u64::from(under_way.is_some());
        let mut possible = Vec::new();
        for mut model in models {
            done.iter().for_each(|op| S::apply(&mut model, op));
            if let Some(op) = &under_way {
                let mut after = model.clone();
                S::apply(&mut after, op);
                possible.push(after);
            }
            possible.push(model);
        }
        possible.iter_mut().for_each(S::crash);
        possible.dedup();
        let seen = S::find(&folder, lane);
        models = possible.iter().filter(|model| S::expected(model) == seen).cloned().collect();
        if models.is_empty() {
            let kept = parent.keep();
            let expected: Vec<_> = possible.iter().map(|model| difference(S::expected(model), &seen)).collect();
            panic!(
                "{}, lane {lane}, kill {kill}: neither what was reported nor what was under way is in {}\ndone {done:?}\nunder way {under_way:?}\n\
                 differences (name, expected, found) {expected:#?}",
                S::ROLE,
                kept.display()
            );
        }
    }
    (hits, steps)
}

type Difference = (String, Option<Vec<u64>>, Option<Vec<u64>>);

fn difference(expected: Seen, seen: &Seen) -> Vec<Difference> {
    let names = expected.keys().chain(seen.keys().filter(|name| !expected.contains_key(*name)));
    let each = names.map(|name| (name.clone(), expected.get(name).cloned(), seen.get(name).cloned()));
    each.filter(|(_, expected, seen)| expected != seen).collect()
}

/// A lane, by its number and its kills.
type Lane = fn(u64, u64) -> (u64, u64);

/// Kills `kills` children of each kind in each of two lanes, all at once.
fn run(kills: u64) {
    let lanes: [Lane; 3] = [lane::<store::Stores>, lane::<chest::Chests>, lane::<log::Logs>];
    let counts: Vec<(u64, u64)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..2).flat_map(|n| lanes.iter().map(move |lane| (n, *lane))).collect();
        let threads: Vec<_> = threads.into_iter().map(|(n, lane)| scope.spawn(move || lane(n, kills))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let (hits, steps) = counts.iter().fold((0, 0), |(hits, steps), lane| (hits + lane.0, steps + lane.1));
    let all = kills * counts.len() as u64;
    println!("{all} processes were killed, {hits} of them in the middle of one of {steps} operations");
    assert!(hits > all / 5, "{hits} of {all} kills met an operation");
}

#[test]
fn a_killed_process_loses_nothing_that_it_reported() {
    run(25);
}

#[test]
#[ignore = "many minutes: 6,000 kills"]
fn a_killed_process_loses_nothing_that_it_reported_at_length() {
    run(1000);
}
