//! Scratch of a process that was killed is swept by the next one; that of a living one is kept.

#![allow(clippy::unwrap_used)]

use chunkstore_store::{Arena, Bytes, Chunk, Ledger, Scratch, ScratchOptions};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

const FOLDER: &str = "CHUNKSTORE_TEST_SCRATCH_FOLDER";

fn open(folder: &Path) -> (Scratch, Arena) {
    let arena = Arena::new(Ledger::new(64 << 20));
    (Scratch::open(ScratchOptions::new(folder), &arena).unwrap(), arena)
}

/// Not a test: what the killed process runs.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let (scratch, arena) = open(Path::new(&folder));
    let _slot = scratch.write(&Chunk::Bytes(Bytes(arena.alloc(3 << 20).unwrap().freeze()))).unwrap();
    println!("\nready {}", scratch.folder().display());
    loop {
        std::thread::park();
    }
}

#[test]
fn a_killed_process_leaves_what_the_next_one_sweeps() {
    let parent = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["child", "--exact", "--nocapture"])
        .env(FOLDER, parent.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let theirs = lines.map(Result::unwrap).find_map(|line| line.strip_prefix("ready ").map(std::path::PathBuf::from)).unwrap();
    let (ours, _) = open(parent.path());
    assert!(theirs.join("slots-00").exists(), "the scratch of a living process is kept");
    drop(ours);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(theirs.exists(), "a killed process cannot tidy up");
    let (ours, _) = open(parent.path());
    assert!(!theirs.exists(), "the next one does it");
    drop(ours);
    assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
}
