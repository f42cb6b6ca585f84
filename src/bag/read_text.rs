//! Bags of the lines of text files.

use super::blocks::{BLOCK, Blocks, LineEnd};
use super::files::{Paths, files};
use super::lazy::Bag;
use super::lines::{Lines, Parse, Plain, WithPath};
use super::pipeline::{Item, Pipeline};
use crate::{Error, ErrorKind, Result};
use std::panic::Location;
use std::path::PathBuf;
use std::sync::Arc;

/// The lines of text files: of a path, a pattern, a folder or a list of these. See [`TextFiles`] for what can be said beside.
///
/// A line ends with `\n`, `\r\n` or `\r`, and comes without that. Files are cut into blocks of about 16 MiB at the ends of lines, one a partition; small files share one.
///
/// # Errors
/// NotFound where there is no such file; those of the file system. That a file is not UTF-8 is found when it is read, by an error that names file and byte.
///
/// ```
/// use chunkstore::bag;
/// # let folder = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
/// # let path = folder.path().join("a.txt");
/// std::fs::write(&path, "one\ntwo\r\nthree")?;
/// let lines = bag::read_text(&path)?;
/// assert_eq!(lines.compute()?, ["one", "two", "three"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[track_caller]
pub fn read_text(paths: impl Paths) -> Result<Bag<String>> {
    TextFiles::new(paths).read()
}

/// Text files to be read as a bag of their lines, and how.
///
/// ```
/// use chunkstore::bag::TextFiles;
/// # let folder = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
/// # let path = folder.path().join("a.txt");
/// std::fs::write(&path, "one;two;three")?;
/// let lines = TextFiles::new(&path).linedelimiter(";").blocksize(4).read()?;
/// assert_eq!((lines.npartitions()?, lines.compute()?.len()), (3, 3));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct TextFiles {
    paths: Result<Vec<PathBuf>>,
    blocksize: u64,
    together: usize,
    end: LineEnd,
    line: &'static Location<'static>,
}

impl TextFiles {
    /// The files that are named, with what is usual.
    #[track_caller]
    pub fn new(paths: impl Paths) -> Self {
        TextFiles { paths: files(&paths), blocksize: BLOCK, together: usize::MAX, end: LineEnd::Any, line: Location::caller() }
    }

    /// About how many bytes of a file a partition has. The partitions of a bag follow from this and from the files, and from nothing else.
    pub fn blocksize(mut self, bytes: u64) -> Self {
        self.blocksize = bytes.max(1);
        self
    }

    /// The most files that share a partition, where they are smaller than the block size.
    pub fn files_per_partition(mut self, files: usize) -> Self {
        self.together = files.max(1);
        self
    }

    /// What ends a line, in place of `\n`, `\r\n` and `\r`.
    pub fn linedelimiter(mut self, delimiter: impl Into<String>) -> Self {
        let delimiter: String = delimiter.into();
        match delimiter.is_empty() {
            true => self.paths = Err(Error::new(ErrorKind::Invalid, "an empty text cannot end lines")),
            false => self.end = LineEnd::Bytes(delimiter.into_bytes().into()),
        }
        self
    }

    /// The bag of lines.
    ///
    /// # Errors
    /// As for [`read_text`].
    pub fn read(self) -> Result<Bag<String>> {
        self.parsed(Plain)
    }

    /// The bag of lines, each with the path of its file behind it.
    ///
    /// # Errors
    /// As for [`read_text`].
    pub fn read_with_paths(self) -> Result<Bag<(String, String)>> {
        self.parsed(WithPath)
    }

    /// The bag of what the lines become.
    pub(super) fn parsed<T: Item>(self, parse: impl Parse<T>) -> Result<Bag<T>> {
        let line = self.line;
        let opened = || {
            let blocks = Blocks::cut(&self.paths?, self.blocksize, self.together, &self.end)?;
            Ok(Arc::new(Lines::new(Arc::new(blocks), self.end, parse)) as Arc<dyn Pipeline<T>>)
        };
        Ok(Bag::of(Ok(opened().map_err(|error: Error| error.from_line(line))?), line))
    }
}
