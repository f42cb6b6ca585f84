//! Bags of the lines of text files.

use super::blocks::{BLOCK, Blocks, LineEnd};
use super::compression::Compression;
use super::encoding::{Coding, Errors};
use super::file_lines::{FileLines, Whole};
use super::files::{Paths, files};
use super::lazy::{Bag, counted};
use super::lines::{Form, Lines, Parse, Plain, WithPath};
use super::pipeline::{Item, Pipeline, Upstream};
use super::regroup::Concat;
use crate::{Error, ErrorKind, Result};
use std::panic::Location;
use std::path::PathBuf;
use std::sync::Arc;

/// The lines of text files: of a path, a pattern, a folder or a list of these. See [`TextFiles`] for what can be said beside.
///
/// A line ends with `\n`, `\r\n` or `\r`, and comes without that. Files are cut into blocks of about 16 MiB at the ends of lines, one a partition; small files share one.
/// Files whose names end in `.gz`, `.zst`, `.bz2` or `.xz` are decompressed as they are read, in constant memory; each is one partition.
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
    together: Option<usize>,
    delimiter: Option<String>,
    compression: Compression,
    encoding: Option<String>,
    errors: Errors,
    line: &'static Location<'static>,
}

impl TextFiles {
    /// The files that are named, with what is usual.
    #[track_caller]
    pub fn new(paths: impl Paths) -> Self {
        TextFiles {
            paths: files(&paths),
            blocksize: BLOCK,
            together: None,
            delimiter: None,
            compression: Compression::Infer,
            encoding: None,
            errors: Errors::Strict,
            line: Location::caller(),
        }
    }

    /// About how many bytes of a file a partition has. The partitions of a bag follow from this and from the files, and from nothing else.
    pub fn blocksize(mut self, bytes: u64) -> Self {
        self.blocksize = bytes;
        self
    }

    /// The most files that share a partition, where they are smaller than the block size; of compressed files, how many do.
    pub fn files_per_partition(mut self, files: usize) -> Self {
        self.together = Some(files);
        self
    }

    /// What ends a line, in place of `\n`, `\r\n` and `\r`.
    pub fn linedelimiter(mut self, delimiter: impl Into<String>) -> Self {
        self.delimiter = Some(delimiter.into());
        self
    }

    /// How the files are compressed, where their names do not say it.
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// The encoding of the files, as Python or the Encoding Standard call it: `"utf-8"`, which it is where nothing is said, `"utf-8-sig"`, `"latin-1"`, `"windows-1252"`, `"utf-16"`,
    /// `"shift_jis"` and so on. A byte order mark is text in `"utf-8"`, and is not in `"utf-8-sig"` and `"utf-16"`.
    ///
    /// Files in encodings in which the ends of lines cannot be found before they are decoded, such as UTF-16, are one partition each.
    ///
    /// ```
    /// use chunkstore::bag::TextFiles;
    /// # let folder = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
    /// # let path = folder.path().join("a.txt");
    /// std::fs::write(&path, b"\xe9t\xe9")?;
    /// assert_eq!(TextFiles::new(&path).encoding("latin-1").read()?.compute()?, ["\u{e9}t\u{e9}"]);
    /// let error = TextFiles::new(&path).read()?.compute().unwrap_err();
    /// assert!(error.to_string().contains("byte 0 of the file"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn encoding(mut self, encoding: impl Into<String>) -> Self {
        self.encoding = Some(encoding.into());
        self
    }

    /// What becomes of bytes that are no text.
    pub fn errors(mut self, errors: Errors) -> Self {
        self.errors = errors;
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
        let opened = self.pipeline(Arc::new(parse)).map_err(|error: Error| error.from_line(line))?;
        Ok(Bag::of(Ok(opened), line))
    }

    fn pipeline<T: Item, P: Parse<T>>(self, parse: Arc<P>) -> Result<Arc<dyn Pipeline<T>>> {
        let paths = self.paths?;
        let together = self.together.map(|files| counted("files_per_partition", files as u64, 1)).transpose()?.map(|files| files as usize);
        let coding = match &self.encoding {
            Some(name) => Coding::of(name, self.errors)?,
            None => Coding::of("utf-8", self.errors)?,
        };
        let end = match self.delimiter.as_deref() {
            None => LineEnd::Any,
            Some("") => return Err(Error::new(ErrorKind::Invalid, "an empty text cannot end lines")),
            Some(text) => match LineEnd::Bytes(text.as_bytes().into()) {
                // What is decoded before it is cut is UTF-8 then.
                end if !coding.is_cut(&end) => end,
                _ => LineEnd::Bytes(coding.encode(text)?.into()),
            },
        };
        let form = Arc::new(Form { end, coding });
        let cut = form.coding.is_cut(&form.end);
        let is_whole = |path: &PathBuf| !cut || self.compression.of(path) != Compression::None;
        let mut parts: Vec<Arc<dyn Pipeline<T>>> = Vec::new();
        for run in paths.chunk_by(|a, b| is_whole(a) == is_whole(b)) {
            parts.push(match run.first().is_some_and(is_whole) {
                true => {
                    let files = run.iter().map(|path| Whole::of(path, self.compression.of(path))).collect::<Result<_>>()?;
                    Arc::new(FileLines::new(files, together.unwrap_or(1), form.clone(), parse.clone()))
                }
                false => {
                    let blocks = Blocks::cut(run, self.blocksize, together.unwrap_or(usize::MAX), &form.end)?;
                    Arc::new(Lines::new(Arc::new(blocks), form.clone(), parse.clone()))
                }
            });
        }
        match (parts.pop(), parts.is_empty()) {
            (Some(only), true) => Ok(only),
            (last, _) => {
                let all = parts.into_iter().chain(last).map(Upstream::Streamed).collect();
                Ok(Arc::new(Concat::new(all)))
            }
        }
    }
}
