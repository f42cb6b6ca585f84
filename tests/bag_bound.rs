//! A text file much larger than the bound is counted within it: the counting runs in a process of its own, which measures itself.

#![allow(clippy::unwrap_used)]

#[path = "support/bounded.rs"]
mod bounded;

use bounded::Bounded;
use chunkstore::{Engine, bag, init};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;

const FILE: &str = "CHUNKSTORE_TEST_TEXT";

/// The file, and the bound of the process that reads it.
const BYTES: u64 = 256 << 20;
const BOUND: u64 = 96 << 20;

/// Lines of 1 to 120 bytes; gives their number and that of their words.
fn write(path: &Path) -> (u64, u64) {
    let mut file = BufWriter::with_capacity(1 << 20, std::fs::File::create(path).unwrap());
    let (mut written, mut lines, mut words, mut state) = (0, 0, 0, 1u64);
    let text = "lorem ipsum dolor sit amet consectetur adipiscing elit sed do eiusmod tempor incididunt ut labore et dolore magna aliqua";
    while written < BYTES {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let line = &text[..(state >> 33) as usize % text.len()];
        file.write_all(line.as_bytes()).unwrap();
        file.write_all(b"\n").unwrap();
        written += line.len() as u64 + 1;
        lines += 1;
        words += line.split_whitespace().count() as u64;
    }
    file.flush().unwrap();
    (lines, words)
}

/// Not a test: what the process runs that is measured.
#[test]
fn child() {
    let Some(path) = std::env::var_os(FILE) else { return };
    init();
    let engine = Engine::builder().memory(BOUND).threads(2).progress(false).build().unwrap();
    let lines = bag::TextFiles::new(Path::new(&path)).blocksize(4 << 20).read().unwrap();
    let counts = engine.compute((&lines.count(), &lines.str().split_whitespace().count())).unwrap();
    let peak = chunkstore::store::peak_resident_bytes();
    println!("counted {} {} {peak}", counts.0, counts.1);
}

#[test]
fn the_lines_of_a_large_file_are_counted_in_constant_memory() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = folder.path().join("text");
    let (lines, words) = write(&path);
    // The group's page cache counts, too, and is given back as it is needed.
    let group = Bounded::new(BOUND + (32 << 20));
    let program = std::env::current_exe().unwrap();
    let mut command = match &group {
        Some(group) => group.command(program.to_str().unwrap()),
        None => Command::new(&program),
    };
    let output = command.args(["child", "--exact", "--nocapture"]).env(FILE, &path).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    let counted = text.lines().find_map(|line| line.split_once("counted ")).unwrap().1;
    let counted: Vec<u64> = counted.split_whitespace().map(|n| n.parse().unwrap()).collect();
    assert_eq!(counted[..2], [lines, words]);
    assert!(counted[2] <= BOUND, "{} bytes of {BOUND}", counted[2]);
    if let Some(group) = group {
        assert_eq!(group.killed(), 0);
        assert!(group.peak() <= BOUND + (32 << 20));
    }
}
