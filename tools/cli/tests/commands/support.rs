//! Running the command, making stores, and comparing with what is kept in `golden/`.

use chunkstore_store::{Block, Buffer, Bytes, Chunk, DType, DatasetKind, Element, Encoding, Shape, Store};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use tempfile::TempDir;

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_chunkstore");

/// A folder on disk, and the command run in it.
pub(crate) struct Place {
    folder: TempDir,
}

/// How a command ended, and what it said.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    pub(crate) fn of(output: Output) -> Ran {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: output.status.code().unwrap_or(-1), out: text(output.stdout), err: text(output.stderr) }
    }

    /// Holds it to an exit code.
    #[track_caller]
    pub(crate) fn code(self, code: i32) -> Ran {
        assert_eq!(self.code, code, "stdout: {}stderr: {}", self.out, self.err);
        self
    }

    /// The lines of JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Vec<Value> {
        self.out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
    }

    /// The one document.
    #[track_caller]
    pub(crate) fn document(&self) -> Value {
        let mut lines = self.json();
        assert_eq!(lines.len(), 1, "{}", self.out);
        lines.remove(0)
    }
}

impl Place {
    pub(crate) fn new() -> Place {
        Place { folder: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The command, to be run in the folder, in a locale of UTF-8 and without anything that changes colours.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command.env("LC_ALL", "C.UTF-8").env_remove("NO_COLOR").env_remove("COLUMNS");
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).output().unwrap())
    }

    /// Runs the command, which must end well, and gives what it said.
    #[track_caller]
    pub(crate) fn says(&self, arguments: &[&str]) -> String {
        let ran = self.run(arguments);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{arguments:?}: {}", ran.out);
        ran.out
    }

    /// Opens or makes a store whose chunks are all raw, so that sizes are the same everywhere.
    pub(crate) fn store(&self, name: &str) -> Store {
        Store::options().memory(64 << 20).encoding(Some(Encoding::Raw)).open(self.path(name)).unwrap()
    }

    /// A store `s` with an array of two axes, one with a missing chunk, a value, and bytes under keys.
    pub(crate) fn sample(&self) {
        let store = self.store("s");
        let values: Vec<f64> = (0..35).map(|n| if n == 8 { f64::NAN } else { f64::from(n) / 4.0 }).collect();
        save(&store, "climate/temperature", &[&[2, 2, 1], &[4, 3]], &values, &[]);
        save(&store, "climate/rain/daily", &[&[4, 2]], &[3i32, -1, 4, 1, 5, 9], &[1]);
        store.save_value("limits", &(180.0f64, "K")).unwrap();
        let writer = store.create("blobs", DatasetKind::new("blob", json!({}))).unwrap();
        for (key, text) in [(&b"one"[..], "first bytes"), (&[0, 255], "and a second text of more than sixteen bytes")] {
            let bytes = Buffer::from_vec(Arc::new(text.as_bytes().to_vec()));
            writer.put_key(key, &Chunk::Bytes(Bytes(bytes))).unwrap();
        }
        writer.commit().unwrap();
    }
}

/// Saves an array in chunks of those extents, without the chunks of `missing`.
pub(crate) fn save<T: Element>(store: &Store, name: &str, chunks: &[&[usize]], values: &[T], missing: &[u64]) {
    let shape: Vec<usize> = chunks.iter().map(|axis| axis.iter().sum()).collect();
    let axes: Vec<Vec<usize>> = chunks.iter().map(|axis| axis.to_vec()).collect();
    let writer = store.create(name, DatasetKind::array(T::DTYPE, &shape, &axes).unwrap()).unwrap();
    let blocks: usize = chunks.iter().map(|axis| axis.len()).product();
    for number in 0..blocks {
        let mut rest = number;
        let mut at: Vec<usize> = chunks.iter().rev().map(|axis| (rest % axis.len(), rest /= axis.len()).0).collect();
        at.reverse();
        let start: Vec<usize> = at.iter().zip(chunks).map(|(at, axis)| axis[..*at].iter().sum()).collect();
        let extent: Vec<usize> = at.iter().zip(chunks).map(|(at, axis)| axis[*at]).collect();
        let inside = (0..values.len()).filter(|n| {
            let mut rest = *n;
            (0..shape.len()).rev().all(|axis| {
                let index = rest % shape[axis];
                rest /= shape[axis];
                (start[axis]..start[axis] + extent[axis]).contains(&index)
            })
        });
        let part: Vec<T> = inside.map(|n| values[n]).collect();
        if !missing.contains(&(number as u64)) {
            writer.put(number as u64, &block(part, &extent)).unwrap();
        }
    }
    writer.attribute("units", "K").unwrap();
    writer.commit().unwrap();
}

fn block<T: Element>(values: Vec<T>, shape: &[usize]) -> Chunk {
    Chunk::Block(Block::new(Buffer::from_vec(Arc::new(values)), 0, T::DTYPE, Shape::from_slice(shape)).unwrap())
}

/// Numbers of 64 bits in `count` chunks of `rows` rows of `columns`.
pub(crate) fn save_numbers(store: &Store, name: &str, count: usize, rows: usize, columns: usize) {
    let kind = DatasetKind::array(DType::I64, &[count * rows, columns], &[vec![rows; count], vec![columns]]).unwrap();
    let writer = store.create(name, kind).unwrap();
    for number in 0..count {
        let first = (number * rows * columns) as i64;
        writer.put(number as u64, &block((first..first + (rows * columns) as i64).collect(), &[rows, columns])).unwrap();
    }
    writer.commit().unwrap();
}

/// Compares text with a file in `golden/`; with `UPDATE_GOLDEN` set, writes the file.
#[track_caller]
pub(crate) fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/commands/golden").join(name);
    let text = without_times(text);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, wanted, "{name} differs; if it should, run with UPDATE_GOLDEN=1 and look at it");
}

/// Text in which times, identities and segment names are replaced, as they differ from run to run.
fn without_times(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let line = match serde_json::from_str::<Value>(line) {
            Ok(mut value) => {
                for field in ["created", "id", "disk_bytes", "disk"] {
                    if let Some(found) = value.get_mut(field) {
                        *found = json!("...");
                    }
                }
                value.to_string()
            }
            Err(_) if line.starts_with("created") => "created     ...".to_string(),
            Err(_) if line.starts_with("segments") => "segments    ...".to_string(),
            Err(_) if line.starts_with("files: ") => "files: ...".to_string(),
            Err(_) => line.to_string(),
        };
        out += &line;
        out.push('\n');
    }
    out
}
