//! A process that shares a control group with another gives memory back as that takes it, and nobody is killed.

#![allow(clippy::unwrap_used)]

#[path = "support/bounded.rs"]
mod bounded;

use bounded::Bounded;
use chunkstore::Engine;
use chunkstore::array::Array;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const CHILD: &str = "CHUNKSTORE_TEST_PRESSURE";
const MIB: u64 = 1 << 20;

/// The limit of the group, the bound of the engine, and what the neighbour takes.
const LIMIT: u64 = 384 * MIB;
const BOUND: u64 = 352 * MIB;
const NEIGHBOUR: u64 = 160 * MIB;

/// Not a test: what is kept does not fit into the bound, and is gone through again and again, until there was time for the neighbour.
#[test]
fn child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    chunkstore::init();
    let scratch = env!("CARGO_TARGET_TMPDIR");
    let engine = Engine::builder().memory(BOUND).threads(2).follow_pressure(true).scratch(scratch).progress(false).build().unwrap();
    let x = Array::<f64>::linspace(0.0, 1.0, 64 << 20, 1 << 18).map_blocks(|block| block.to_owned() * 2.0);
    let kept = engine.persist(&x).unwrap();
    let first: f64 = engine.compute(&kept.sum(..).item_collection()).unwrap();
    println!("began");
    let (began, mut least) = (Instant::now(), engine.memory());
    while began.elapsed() < Duration::from_secs(4) {
        let sum: f64 = engine.compute(&kept.sum(..).item_collection()).unwrap();
        assert_eq!(sum.to_bits(), first.to_bits());
        least = least.min(engine.memory());
    }
    println!("found {first} {least}");
}

/// Not a test: takes memory, some at a time, and holds it until its input ends.
#[test]
fn neighbour() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    let mut held = Vec::new();
    for _ in 0..NEIGHBOUR / (4 * MIB) {
        held.push(vec![1u8; 4 << 20]);
        std::thread::sleep(Duration::from_millis(40));
    }
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    assert!(held.iter().flatten().all(|byte| *byte == 1));
}

fn start(group: &Bounded, test: &str) -> Child {
    let program = std::env::current_exe().unwrap();
    let mut command: Command = group.command(program.to_str().unwrap());
    command.args([test, "--exact", "--nocapture"]).env(CHILD, "1").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

#[test]
fn what_a_neighbour_takes_is_given_back() {
    let Some(group) = Bounded::new(LIMIT) else { return };
    let mut child = start(&group, "child");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.ends_with("began")));
    let mut neighbour = start(&group, "neighbour");
    let found = lines.find_map(|line| Some(line.split_once("found ")?.1.to_string())).unwrap();
    neighbour.stdin.take().unwrap().flush().unwrap();
    assert!(child.wait().unwrap().success() && neighbour.wait().unwrap().success());
    let (sum, least) = found.split_once(' ').unwrap();
    // The sum of numbers from 0 to 2, evenly spaced.
    assert!((sum.parse::<f64>().unwrap() / f64::from(64 << 20) - 1.0).abs() < 1e-9);
    assert!(least.parse::<u64>().unwrap() < LIMIT - NEIGHBOUR, "{least}");
    assert_eq!((group.killed(), group.peak() <= LIMIT), (0, true));
}
