//! The demo as a process: its answers, its memory, its errors, and what it leaves behind.

#![allow(clippy::unwrap_used)]

#[path = "../../../tests/support/bounded.rs"]
mod bounded;

use bounded::Bounded;
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const DEMO: &str = env!("CARGO_BIN_EXE_chunkstore");
const MIB: u64 = 1 << 20;

/// A folder on disk: the system's folder for temporary files may be in memory.
fn folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

fn is_empty(folder: &Path) -> bool {
    std::fs::read_dir(folder).unwrap().next().is_none()
}

fn demo(folder: &Path, more: &[&str]) -> Output {
    Command::new(DEMO).arg("demo").arg("--scratch").arg(folder).args(more).output().unwrap()
}

/// Runs the demo in a control group of `memory`, and holds it to its promises.
fn within(memory: u64, size: u64) {
    let scratch = folder();
    let group = Bounded::new(memory);
    let mut command = group.as_ref().map_or_else(|| Command::new(DEMO), |group| group.command(DEMO));
    command.args(["demo", "--json", "--memory", &memory.to_string(), "--size", &size.to_string(), "--scratch"]).arg(scratch.path());
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{:?} {errors}", output.status);
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    let peak = line["peak_rss_bytes"].as_u64().unwrap();
    assert!(peak <= memory, "the process held {peak} bytes, more than {memory}: {line:#}");
    if let Some(group) = group {
        assert_eq!(group.killed(), 0);
        assert!(group.peak() <= memory, "the group held {} bytes, more than {memory}", group.peak());
    }
    let [write, standardise, spill] = line["steps"].as_array().unwrap().as_slice() else { panic!("three steps in {line:#}") };
    assert_eq!([&write["ok"], &standardise["ok"], &spill["ok"]], [true, true, true], "{line:#}");
    // What was read: each byte of the file twice at most, with whole pages.
    let read = |step: &Value| step["read_bytes"].as_u64().unwrap() + step["read_again_bytes"].as_u64().unwrap();
    assert!(read(standardise) <= size * 2 + size / 64, "{line:#}");
    assert!(spill["spilled_bytes"].as_u64().unwrap() >= size.saturating_sub(memory), "{line:#}");
    // Each chunk is written once at most.
    assert!(spill["spilled_bytes"].as_u64().unwrap() <= size + size / 64, "{line:#}");
    assert!(is_empty(scratch.path()), "something is left in the scratch folder");
}

#[test]
fn half_a_gibibyte_through_128_mebibytes() {
    within(128 * MIB, 512 * MIB);
}

#[test]
fn a_quarter_of_a_gibibyte_through_64_mebibytes() {
    within(64 * MIB, 256 * MIB);
}

#[test]
#[ignore = "takes 10 GiB of reading and writing"]
fn two_gibibytes_through_256_mebibytes() {
    within(256 * MIB, 2048 * MIB);
}

#[test]
fn the_screen_says_what_was_done() {
    let scratch = folder();
    let output = demo(scratch.path(), &["--memory", "96MiB", "--size", "128MiB", "--keep", "--threads", "2"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stderr.is_empty(), "a progress bar is for terminals only");
    for part in ["128.0 MiB of data through 96.0 MiB of memory, 2 threads", "forecast", "peak booked", "right to", "within the bound", "kept"] {
        assert!(text.contains(part), "{part:?} is not in\n{text}");
    }
    let kept: Vec<_> = std::fs::read_dir(scratch.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    let [kept] = kept.as_slice() else { panic!("one folder is kept") };
    assert_eq!(std::fs::read_dir(kept).unwrap().count(), 1, "only the data are kept");
    assert!(kept.join("x.npy").metadata().unwrap().len() > 128 * MIB);
}

/// Runs a demo that cannot work; it must say all of `parts` and leave nothing.
fn fails(scratch: &Path, arguments: &[&str], parts: &[&str]) {
    let output = demo(scratch, arguments);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{errors}");
    let line = errors.lines().find(|line| line.starts_with("error: "));
    for part in parts {
        assert!(line.is_some_and(|line| line.contains(part)), "{part:?} is not in the error of {arguments:?}:\n{errors}");
    }
}

#[test]
fn errors_say_what_to_do() {
    let scratch = folder();
    fails(scratch.path(), &["--memory", "much"], &["not a number of bytes", "256MiB"]);
    fails(scratch.path(), &["--memory", "8MiB"], &["memory"]);
    fails(scratch.path(), &["--size", "900TiB"], &["free", "another disk"]);
    fails(scratch.path(), &["--threads", "0"], &["at least one thread"]);
    assert!(is_empty(scratch.path()));
    let file = scratch.path().join("file");
    std::fs::write(&file, "").unwrap();
    fails(&file, &[], &["scratch", "--scratch DIR"]);
    fails(&file.join("below"), &[], &["scratch", "--scratch DIR"]);
    fails(Path::new("/proc"), &[], &["scratch", "--scratch DIR"]);
    let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
    match mounts.lines().any(|line| line.starts_with("tmpfs /dev/shm ")) {
        true => fails(Path::new("/dev/shm"), &["--size", "8MiB"], &["memory", "disk"]),
        false => eprintln!("SKIPPED: /dev/shm is no tmpfs"),
    }
}

#[test]
fn what_a_killed_demo_left_is_swept() {
    let scratch = folder();
    let mut child = Command::new(DEMO)
        .args(["demo", "--memory", "64MiB", "--size", "512MiB", "--scratch"])
        .arg(scratch.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // Killed in the middle of spilling: once a file of slots holds something.
    let spills = |path: &Path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("slots-")) && path.metadata().is_ok_and(|m| m.len() > 0);
    let begin = Instant::now();
    while !files(scratch.path()).iter().any(|path| spills(path)) {
        assert!(child.try_wait().unwrap().is_none(), "the demo ended before it spilled");
        assert!(begin.elapsed() < Duration::from_secs(300), "the demo does not spill");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!is_empty(scratch.path()), "a killed process cannot tidy up");
    let output = demo(scratch.path(), &["--memory", "64MiB", "--size", "8MiB"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(is_empty(scratch.path()), "the next one does it");
}

/// All files below a folder.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.flatten().map(|entry| entry.path());
    paths.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}
