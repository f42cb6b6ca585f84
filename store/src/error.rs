//! One error for the crate: a kind, where it happened, and what to do next.

use std::fmt;
use std::path::{Path, PathBuf};

/// The result of everything here that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, for programs that decide by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The memory bound leaves no room for what was asked.
    OutOfMemory,
    /// The disk, or the quota on it, is full.
    DiskFull,
    /// Bytes on disk are not what was written: a checksum, a magic number or a length is wrong.
    Corrupt,
    /// A file is shorter than its header says.
    Truncated,
    /// A file is sound, but holds something that is not supported.
    Unsupported,
    /// A folder cannot be used: missing, not writable, in memory (tmpfs), or owned by another process.
    Unusable,
    /// The operating system refused an input or output operation.
    Io,
    /// An argument makes no sense.
    Invalid,
    /// Something with that name is there already.
    Exists,
    /// There is nothing with that name, or it is no longer there.
    NotFound,
    /// Another process, or another handle in this one, has it open for writing.
    Locked,
}

/// What went wrong, with the path and offset where there are any, and what to do next.
#[derive(Debug)]
pub struct Error(Box<Inner>);

#[derive(Debug)]
struct Inner {
    kind: ErrorKind,
    message: String,
    path: Option<PathBuf>,
    offset: Option<u64>,
    hint: Option<String>,
    source: Option<std::io::Error>,
}

impl Error {
    /// An error of `kind`; `message` says what was found and what was expected.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error(Box::new(Inner { kind, message: message.into(), path: None, offset: None, hint: None, source: None }))
    }

    /// An operating system error met while doing `what`; a full disk and its quota become [`ErrorKind::DiskFull`].
    pub fn io(what: impl Into<String>, source: std::io::Error) -> Self {
        let kind = match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => ErrorKind::DiskFull,
            std::io::ErrorKind::UnexpectedEof => ErrorKind::Truncated,
            _ => ErrorKind::Io,
        };
        Error::caused(kind, what, source)
    }

    /// An error of `kind` with the operating system's error that is behind it.
    pub fn caused(kind: ErrorKind, message: impl Into<String>, source: std::io::Error) -> Self {
        let mut error = Error::new(kind, message);
        error.0.source = Some(source);
        error
    }

    /// Names the file or folder.
    pub fn at(mut self, path: impl AsRef<Path>) -> Self {
        self.0.path = Some(path.as_ref().to_path_buf());
        self
    }

    /// Names the byte in the file.
    pub fn offset(mut self, offset: u64) -> Self {
        self.0.offset = Some(offset);
        self
    }

    /// Says what the reader can do about it.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// The same error of another kind.
    pub(crate) fn of_kind(mut self, kind: ErrorKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// A copy, for each of several who wait for the same operation; the operating system's error goes along by its number
    /// and words.
    pub(crate) fn copy(&self) -> Self {
        let inner = &self.0;
        let source = inner.source.as_ref().map(|source| match source.raw_os_error() {
            Some(number) => std::io::Error::from_raw_os_error(number),
            None => std::io::Error::new(source.kind(), source.to_string()),
        });
        let (message, path, hint) = (inner.message.clone(), inner.path.clone(), inner.hint.clone());
        Error(Box::new(Inner { kind: inner.kind, message, path, offset: inner.offset, hint, source }))
    }

    /// What was found, without place and hint.
    pub(crate) fn problem(&self) -> String {
        match &self.0.source {
            Some(source) => format!("{}: {source}", self.0.message),
            None => self.0.message.clone(),
        }
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The file or folder, where there is one.
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref()
    }

    /// The byte in the file, where there is one.
    pub fn at_byte(&self) -> Option<u64> {
        self.0.offset
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if let Some(path) = &self.0.path {
            write!(f, " [{}", path.display())?;
            if let Some(offset) = self.0.offset {
                write!(f, " at byte {offset}")?;
            }
            f.write_str("]")?;
        }
        if let Some(source) = &self.0.source {
            write!(f, ": {source}")?;
        }
        if let Some(hint) = &self.0.hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|e| e as _)
    }
}
