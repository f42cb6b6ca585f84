//! A file for each partition of a bag, of whatever format: what the sinks have in common.

use super::compress::Out;
use super::compression::Compression;
use super::lazy::Bag;
use super::pipeline::Item;
use super::stream::BoxStream;
use super::work::{Act, Work};
use crate::graph::{Key, KeyBuilder, Size, Sizes, TaskContext, Value};
use crate::{Collected, Error, ErrorKind, Result};
use chunkstore_store::io::Staging;
use parking_lot::Mutex;
use std::collections::HashSet;
use std::marker::PhantomData;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is written for a partition's number in the name of its file.
type NameFunction = dyn Fn(usize) -> String + Send + Sync;

/// Where the files of a bag's partitions will be, and how they are compressed.
#[derive(Clone)]
pub(super) struct Target {
    path: PathBuf,
    /// What ends the names of files in a folder.
    suffix: &'static str,
    name: Option<Arc<NameFunction>>,
    compression: Compression,
    line: &'static Location<'static>,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target").field("path", &self.path).field("compression", &self.compression).finish_non_exhaustive()
    }
}

impl Target {
    pub(super) fn new(path: &Path, suffix: &'static str, line: &'static Location<'static>) -> Self {
        Target { path: path.to_path_buf(), suffix, name: None, compression: Compression::Infer, line }
    }

    pub(super) fn name_function(&mut self, name: impl Fn(usize) -> String + Send + Sync + 'static) {
        self.name = Some(Arc::new(name));
    }

    pub(super) fn compression(&mut self, compression: Compression) {
        self.compression = compression;
    }

    /// The folder, and the names of the files in it.
    fn names(&self, partitions: u32) -> Result<(PathBuf, Vec<String>)> {
        let wrong = |message: &str| Error::new(ErrorKind::Invalid, message).at(&self.path);
        let text = self.path.to_str().ok_or_else(|| wrong("the path of files to be written is no text"))?;
        let (parent, before, after) = match text.matches('*').count() {
            0 => (self.path.clone(), "", self.suffix),
            1 => {
                let name = self.path.file_name().and_then(|name| name.to_str()).and_then(|name| name.split_once('*'));
                let (before, after) = name.ok_or_else(|| {
                    wrong("the `*` of files to be written stands in the name of a folder").hint("put it into the name of the files")
                })?;
                (self.path.parent().unwrap_or(Path::new("")).to_path_buf(), before, after)
            }
            _ => {
                return Err(
                    wrong("there is more than one `*` in the path of files to be written").hint("name a folder, or a path with one `*`")
                );
            }
        };
        // As many digits as the last number has, so that names are in the order of partitions.
        let digits = partitions.saturating_sub(1).to_string().len();
        let number = |i: u32| match &self.name {
            Some(name) => name(i as usize),
            None => format!("{i:0digits$}"),
        };
        let all = || (0..partitions).map(|i| format!("{before}{}{after}", number(i))).collect();
        let names: Vec<String> = std::panic::catch_unwind(std::panic::AssertUnwindSafe(all))
            .map_err(|_| Error::new(ErrorKind::Panicked, "the function panicked that names files").at(&self.path))?;
        let mut seen = HashSet::new();
        match names.iter().find(|name| !seen.insert(name.as_str())) {
            Some(twice) => {
                let message = format!("two partitions would be written to {twice:?}");
                Err(wrong(&message).hint("let the name function give each number another name"))
            }
            None => Ok((parent, names)),
        }
    }
}

/// How the elements of a partition are written to its file.
pub(super) trait Format<T>: Send + Sync + 'static {
    /// The name of the step.
    fn name(&self) -> &'static str;

    /// What it holds beside the file.
    fn scratch(&self) -> u64 {
        0
    }

    /// Writes the elements.
    ///
    /// # Errors
    /// Those of the elements and of the file.
    fn write(&self, partition: u32, rows: BoxStream<T>, out: &mut Out) -> Result<()>;
}

/// The files of a run: none before it begins and after it has ended.
struct Writing {
    names: Vec<String>,
    compression: Vec<Compression>,
    staging: Mutex<Option<Arc<Staging>>>,
}

/// Removes the files of a run that comes to nothing.
struct Guard(Arc<Writing>);

impl Drop for Guard {
    fn drop(&mut self) {
        let staging = self.0.staging.lock().take();
        drop(staging);
    }
}

struct WriteFiles<T, F> {
    format: F,
    writing: Arc<Writing>,
    key: Key,
    line: &'static Location<'static>,
    item: PhantomData<fn() -> T>,
}

impl<T: Item, F: Format<T>> Act<T> for WriteFiles<T, F> {
    fn name(&self) -> &str {
        self.format.name()
    }

    fn key(&self) -> Key {
        self.key
    }

    fn sizes(&self, partition: u32, _estimate: u64) -> Sizes {
        let compression = self.writing.compression.get(partition as usize).copied().unwrap_or_default();
        Sizes { out: Size::Exact(0), scratch: self.format.scratch() + Out::footprint(compression), load: 0 }
    }

    fn run(&self, task: &TaskContext<'_>, rows: BoxStream<T>, _extra: &[Value]) -> Result<Value> {
        let Writing { names, compression, staging } = &*self.writing;
        let staging = staging.lock().clone();
        let partition = task.block() as usize;
        let (Some(staging), Some(name), Some(compression)) = (staging, names.get(partition), compression.get(partition)) else {
            return Err(Error::new(ErrorKind::Invalid, "a partition was written to files that are not being made"));
        };
        let mut out = Out::new(task, staging.file(name)?, *compression)?;
        self.format.write(task.block(), rows, &mut out)?;
        out.finish()?;
        Ok(Value::None)
    }

    fn location(&self) -> Option<&'static Location<'static>> {
        Some(self.line)
    }
}

/// Prepares the writing of a bag. The files get their names when all of them are whole and durable; before, and where anything fails, none has.
pub(super) fn write<T: Item, F: Format<T>>(bag: &Bag<T>, target: &Target, format: F) -> Result<Collected<Vec<PathBuf>>> {
    let upstream = bag.upstream()?;
    let line = target.line;
    let (parent, names) = target.names(upstream.partitions()).map_err(|error| error.from_line(line))?;
    let compression = names.iter().map(|name| target.compression.of(Path::new(name))).collect();
    let writing = Arc::new(Writing { names, compression, staging: Mutex::new(None) });
    // What is put into one place is not there in another: no two of these are the same.
    let key = KeyBuilder::new(format.name(), 1).nonce().finish();
    let act = WriteFiles { format, writing: writing.clone(), key, line, item: PhantomData };
    let (begin, end) = (writing.clone(), Guard(writing));
    Ok(Collected {
        layer: Arc::new(Work::new(upstream, Arc::new(act))),
        keep: false,
        bytes: 0,
        begin: Box::new(move || {
            let begun = || {
                let staging = Staging::create(&parent)?;
                // Names that cannot be written are found before anything runs.
                begin.names.iter().try_for_each(|name| staging.check(name))?;
                Ok::<_, chunkstore_store::Error>(staging)
            };
            let staging = begun().map_err(|error| Error::from(error).from_line(line))?;
            *begin.staging.lock() = Some(Arc::new(staging));
            Ok(())
        }),
        finish: Box::new(move |_| match end.0.staging.lock().take() {
            Some(staging) => staging.publish(&end.0.names).map_err(|error| Error::from(error).from_line(line)),
            None => Err(Error::new(ErrorKind::Invalid, "files were finished that were not begun")),
        }),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_dask() {
        let target = |path: &str| Target::new(Path::new(path), ".part", Location::caller());
        let names = |path: &str, n| target(path).names(n).unwrap();
        assert_eq!(names("out", 2), ("out".into(), vec!["0.part".to_string(), "1.part".to_string()]));
        assert_eq!(names("a/x-*.txt.gz", 11).1[10], "x-10.txt.gz");
        assert_eq!(names("a/x-*.txt.gz", 11).1[9], "x-09.txt.gz");
        assert_eq!(names("*", 1), ("".into(), vec!["0".to_string()]));
        for wrong in ["a-*/x", "**", "a/*-*"] {
            assert_eq!(target(wrong).names(1).unwrap_err().kind(), ErrorKind::Invalid, "{wrong}");
        }
        let mut same = target("*.txt");
        same.name_function(|i| (i / 2).to_string());
        assert!(same.names(3).unwrap_err().to_string().contains("two partitions"));
    }
}
