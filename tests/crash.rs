//! A process that is killed while it spills leaves files that the next one removes; those of a living one stay.

#![allow(clippy::unwrap_used)]

use chunkstore::Engine;
use chunkstore::array::{Array, random};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const FOLDER: &str = "CHUNKSTORE_TEST_FOLDER";

fn engine(folder: &Path) -> Engine {
    Engine::builder().memory("96MiB").threads(2).scratch(folder).build().unwrap()
}

/// Not a test: what the killed process runs, over and over.
#[test]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let engine = engine(Path::new(&folder));
    loop {
        let x: Array<f64> = random::random([1 << 15, 1 << 10]).chunks([128, 1024]).array();
        let y = x.map_blocks(|block| block.mapv(|value| value + 1.0));
        engine.compute(&(&y - y.mean(..)).abs().sum(..).item_collection()).unwrap();
    }
}

/// The files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

#[test]
fn what_a_killed_process_spilled_is_swept() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    for pause in [0, 7, 41] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["child", "--exact", "--nocapture"])
            .env(FOLDER, folder.path())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let begin = Instant::now();
        let spilled = || files(folder.path()).iter().filter_map(|path| path.metadata().ok()).map(|meta| meta.len()).sum::<u64>();
        while spilled() < 1 << 20 {
            assert!(child.try_wait().unwrap().is_none(), "the child ended before it spilled");
            assert!(begin.elapsed() < Duration::from_secs(120), "the child does not spill");
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(pause));
        let theirs = files(folder.path());
        drop(engine(folder.path()));
        assert!(theirs.iter().all(|path| path.exists()), "what a living process has is kept");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!files(folder.path()).is_empty(), "a killed process cannot tidy up");
        drop(engine(folder.path()));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the next one does it");
    }
}
