//! The lines that workloads print: their fields, checks and memory.

#![allow(clippy::unwrap_used)]

#[path = "../../../tests/support/bounded.rs"]
mod bounded;

use bounded::Bounded;
use serde_json::{Value, json};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::process::Command;

const WORKLOADS: &str = env!("CARGO_BIN_EXE_workloads");
const MIB: u64 = 1 << 20;

/// Runs a workload, in a control group if it has a bound, and gives its line.
fn line(data: &Path, name: &str, memory: Option<u64>) -> Value {
    let group = memory.and_then(Bounded::new);
    let mut command = group.as_ref().map_or_else(|| Command::new(WORKLOADS), |group| group.command(WORKLOADS));
    command.arg(name).arg("--data").arg(data).args(["--size", "small"]);
    if let Some(memory) = memory {
        command.args(["--memory", &memory.to_string()]);
    }
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    let line: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"));
    assert!(output.status.success() && line.get("failed").is_none(), "{line} {errors}");
    for field in ["workload", "peer", "size", "memory", "seconds", "peak_rss_bytes", "result_check", "spilled_bytes", "notes"] {
        assert!(line.get(field).is_some(), "{field} is not in {line}");
    }
    assert_eq!((&line["workload"], &line["peer"], &line["size"]), (&json!(name), &json!("chunkstore"), &json!("small")));
    if let (Some(memory), Some(group)) = (memory, group) {
        assert_eq!(group.killed(), 0);
        assert!(group.peak() <= memory);
        assert!(line["peak_rss_bytes"].as_u64().unwrap() <= memory, "{line}");
    }
    line
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Writes a `.npy` file of the numbers f(stream, i), as `make_data.py` does.
fn write_npy(path: &Path, stream: u64, shape: &[usize]) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let shape_text: String = shape.iter().map(|n| format!("{n}, ")).collect();
    let mut header = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': ({}), }}", shape_text.trim_end());
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut file = BufWriter::with_capacity(1 << 20, std::fs::File::create(path).unwrap());
    file.write_all(b"\x93NUMPY\x01\x00").unwrap();
    file.write_all(&(header.len() as u16).to_le_bytes()).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    for i in 0..shape.iter().product::<usize>() as u64 {
        let mut z = (stream << 40).wrapping_add(i).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let f = ((z ^ (z >> 31)) >> 11) as f64 * 2f64.powi(-53);
        file.write_all(&f.to_le_bytes()).unwrap();
    }
    file.flush().unwrap();
}

#[test]
fn tasks() {
    let folder = folder();
    let line = line(folder.path(), "tasks", None);
    assert_eq!(line["result_check"], "exact");
    for note in ["one_task_us", "tree_1000_us_per_task", "chain_10000_us_per_task", "grid_1000_us_per_task"] {
        assert!(line["notes"][note].as_f64().unwrap() > 0.0, "{note}");
    }
}

#[test]
fn lazyslice_makes_no_task_that_is_not_run() {
    let folder = folder();
    let line = line(folder.path(), "lazyslice", None);
    assert_eq!(line["result_check"], json!([26641.8802]));
    assert_eq!(line["notes"]["tasks"], line["notes"]["tasks_made"]);
    assert!(line["notes"]["tasks"].as_u64().unwrap() <= 4, "{line}");
}

#[test]
fn elementwise_has_numpys_answer() {
    let folder = folder();
    for (stream, name) in [(3, "a"), (4, "b"), (5, "c"), (6, "d")] {
        write_npy(&folder.path().join(format!("small/elementwise/{name}.npy")), stream, &[1 << 22]);
    }
    assert_eq!(line(folder.path(), "elementwise", None)["result_check"], json!([0.6714525482]));
}

#[test]
fn reduce_has_numpys_answer_within_its_bound() {
    let folder = folder();
    write_npy(&folder.path().join("small/big/x.npy"), 2, &[4096, 8192]);
    let line = line(folder.path(), "reduce", Some(128 * MIB));
    assert_eq!(line["result_check"], json!([29059386.83]));
    let (read, again) = (line["notes"]["read_bytes"].as_u64().unwrap(), line["notes"]["reread_bytes"].as_u64().unwrap());
    assert!(again < read && read < 258 * MIB, "{line}");
}

#[test]
fn spill_chunks_has_pythons_answer_within_its_bound() {
    let folder = folder();
    let line = line(folder.path(), "spill_chunks", Some(160 * MIB));
    assert_eq!(line["result_check"], json!([2528520298000.0]));
    assert!(line["spilled_bytes"].as_u64().unwrap() > 0);
}

#[test]
fn inputs_that_are_missing_are_named() {
    let folder = folder();
    let output = Command::new(WORKLOADS).arg("reduce").arg("--data").arg(folder.path()).output().unwrap();
    let line: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(!output.status.success());
    assert!(line["failed"].as_str().unwrap().contains("x.npy"), "{line}");
    assert_eq!(line["seconds"], Value::Null);
}
