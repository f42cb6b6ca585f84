//! One error for the engine: a kind, what it happened to, where in the user's code, and what to do next.

use std::fmt;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The result of everything here that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, for programs that decide by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The memory bound is too small for the work, or for its result.
    OutOfMemory,
    /// The disk, or the quota on it, is full.
    DiskFull,
    /// Bytes of a file are not what they should be.
    Corrupt,
    /// A file is shorter than its header says.
    Truncated,
    /// A sound file, or a request, that is not supported.
    Unsupported,
    /// A folder that cannot be used: missing, not writable, in memory, or owned by another process.
    Unusable,
    /// The operating system refused an input or output operation.
    Io,
    /// Shapes that do not go together, or an axis, index or chunk size that is out of range.
    Shape,
    /// Element or value types that do not go together.
    Type,
    /// A graph that names a key that it does not have, or has a cycle.
    Graph,
    /// A task's function panicked.
    Panicked,
    /// A task's function returned an error.
    Failed,
    /// The run was cancelled.
    Cancelled,
    /// An argument makes no sense, or a call is not allowed here.
    Invalid,
    /// Something with that name is there already.
    Exists,
    /// There is nothing with that name, or it is no longer there.
    NotFound,
    /// Another process, or another handle in this one, has it open for writing.
    Locked,
}

/// What went wrong: its kind, the task, path and offset where there are any, the user's line, and what to do next.
///
/// Clones are cheap: a lazy collection keeps the first error of its chain until it is asked.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

#[derive(Debug, Clone)]
struct Inner {
    kind: ErrorKind,
    message: String,
    task: Option<String>,
    path: Option<PathBuf>,
    location: Option<&'static Location<'static>>,
    hint: Option<String>,
    source: Option<Arc<chunkstore_store::Error>>,
}

impl Error {
    /// An error of `kind`; `message` says what was found and what was expected.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error(Arc::new(Inner { kind, message: message.into(), task: None, path: None, location: None, hint: None, source: None }))
    }

    fn edit(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }

    /// Names the task that it happened in, unless one is named already.
    pub fn task(self, name: impl Into<String>) -> Self {
        let name = name.into();
        self.edit(|e| {
            e.task.get_or_insert(name);
        })
    }

    /// Names the file or folder.
    pub fn at(self, path: impl AsRef<Path>) -> Self {
        let path = path.as_ref().to_path_buf();
        self.edit(|e| e.path = Some(path))
    }

    /// Names the line of the user's program, unless one is named already.
    pub fn from_line(self, location: &'static Location<'static>) -> Self {
        self.edit(|e| {
            e.location.get_or_insert(location);
        })
    }

    /// Says what the reader can do about it.
    pub fn hint(self, hint: impl Into<String>) -> Self {
        let hint = hint.into();
        self.edit(|e| e.hint = Some(hint))
    }

    /// Whether it says what the reader can do about it.
    pub(crate) fn has_hint(&self) -> bool {
        self.0.hint.is_some()
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The file or folder, where there is one.
    pub fn path(&self) -> Option<&Path> {
        self.0.path.as_deref().or_else(|| self.0.source.as_ref().and_then(|s| s.path()))
    }

    /// The task, where there is one.
    pub fn task_name(&self) -> Option<&str> {
        self.0.task.as_deref()
    }

    /// The line of the user's program that asked for what failed, where it is known.
    pub fn location(&self) -> Option<&'static Location<'static>> {
        self.0.location
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let e = &*self.0;
        if let Some(task) = &e.task {
            write!(f, "task {task}: ")?;
        }
        f.write_str(&e.message)?;
        if let Some(path) = &e.path {
            write!(f, " [{}]", path.display())?;
        }
        if let Some(location) = e.location {
            write!(f, " (from {location})")?;
        }
        if let Some(hint) = &e.hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

/// As [`Display`](fmt::Display): this is what `fn main() -> Result<()>` shows.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|e| &**e as _)
    }
}

impl From<chunkstore_store::Error> for Error {
    fn from(source: chunkstore_store::Error) -> Self {
        use chunkstore_store::ErrorKind as Store;
        let kind = match source.kind() {
            Store::OutOfMemory => ErrorKind::OutOfMemory,
            Store::DiskFull => ErrorKind::DiskFull,
            Store::Corrupt => ErrorKind::Corrupt,
            Store::Truncated => ErrorKind::Truncated,
            Store::Unsupported => ErrorKind::Unsupported,
            Store::Unusable => ErrorKind::Unusable,
            Store::Invalid => ErrorKind::Invalid,
            Store::Exists => ErrorKind::Exists,
            Store::NotFound => ErrorKind::NotFound,
            Store::Locked => ErrorKind::Locked,
            _ => ErrorKind::Io,
        };
        let message = source.to_string();
        Error::new(kind, message).edit(|e| e.source = Some(Arc::new(source)))
    }
}
