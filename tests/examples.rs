//! The programs in `examples/` run, and say what they should; the one in the README is one of them.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Runs an example in a folder of its own, and gives what it prints.
fn run(name: &str) -> (String, tempfile::TempDir) {
    // Beside the folder that this test is in: `target/debug/deps`.
    let built = std::env::current_exe().unwrap().parent().unwrap().parent().unwrap().join("examples").join(name);
    assert!(built.exists(), "{} is missing: `cargo build --examples` makes it, as `cargo test` does", built.display());
    let folder = tempfile::tempdir_in(built.parent().unwrap()).unwrap();
    let output = Command::new(built).current_dir(folder.path()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{name}: {text}{}", String::from_utf8_lossy(&output.stderr));
    (text, folder)
}

#[test]
fn standardise() {
    let (text, folder) = run("standardise");
    assert!(text.contains("read_npy") && text.contains("forecast"), "{text}");
    let peak: u64 = text.split("peak of the process: ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
    assert!((1..=128).contains(&peak), "the process came to {peak} MiB, and its bound is 128 MiB");
    let size = |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().len();
    assert_eq!((size("x.npy"), size("z.npy")), (400_000_128, 400_000_128));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing else is left behind");
}

#[test]
fn graph() {
    let (text, _) = run("graph");
    assert!(text.contains("'x': (add, 2, 3)") && text.contains("z = 17") && text.contains("no such key"), "{text}");
}

#[test]
fn delayed() {
    let (text, _) = run("delayed");
    assert!(text.contains("peaks from 999 to 999") && text.contains("from_delayed"), "{text}");
}

#[test]
fn slope() {
    let (text, _) = run("slope");
    assert!(text.contains("steeper than 0.5: 3064 of 137142 places"), "{text}");
}

#[test]
fn the_readme_shows_the_program_that_runs() {
    let read = |path: &str| std::fs::read_to_string(root().join(Path::new(path))).unwrap();
    let program = read("examples/standardise.rs");
    let (_, program) = program.split_once("\n\n").unwrap();
    assert!(read("README.md").contains(&format!("```rust,no_run\n{program}```")), "README.md does not show examples/standardise.rs");
}

#[test]
fn each_check_is_a_recipe() {
    let read = |path: &str| std::fs::read_to_string(root().join(path)).unwrap();
    let justfile = read("justfile")
        .replace("{{cases}}", "10240")
        .replace("{{seconds}} {{targets}}", "8")
        .replace("target/release/", "\"$bin/")
        .replace(['"', '\''], "");
    for line in read(".ci/run").lines().map(str::trim).filter(|line| line.starts_with("check ")) {
        let command = line.splitn(3, ' ').nth(2).unwrap().trim_start_matches("env ").replace(['"', '\''], "");
        assert!(justfile.replace(['"', '\''], "").contains(&command), "the justfile has no recipe with `{command}`");
    }
    assert!(read("README.md").contains("cargo test --workspace") && read(".ci/run").contains("cargo test --workspace"));
}
