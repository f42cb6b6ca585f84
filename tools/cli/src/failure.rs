//! What goes wrong, and the number with which the process then ends.

use chunkstore_store::ErrorKind;
use serde_json::{Value, json};
use std::fmt::Display;
use std::path::Path;
use std::process::ExitCode;

/// The result of everything here that can fail.
pub(crate) type Result<T = ()> = std::result::Result<T, Failure>;

/// How the process ends; the numbers are part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    /// What was said is true.
    Success = 0,
    /// Damage was found, or the answer is no.
    No = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// There is no such store, dataset, chunk or file.
    NotFound = 3,
    /// Another process writes to the store.
    Locked = 4,
    /// Something of that name is there already.
    Exists = 5,
    /// Everything else: no room, no memory, no permission, not supported.
    Failed = 6,
}

/// The exit codes, as help shows them.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0  what it says is true
  1  damage was found, or the answer is no
  2  the command line makes no sense
  3  there is no such store, dataset, chunk or file
  4  another process writes to the store
  5  something of that name is there already
  6  everything else: no room, no memory, no permission, not supported";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// Why a command could not do what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    message: String,
    hint: Option<String>,
    /// Whether the reader of standard output has gone, which is nobody's fault.
    closed: bool,
}

impl Failure {
    /// A failure; `message` says what was found.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Failure { exit, message: message.into(), hint: None, closed: false }
    }

    /// An operating system error met while doing `what` to a file.
    pub(crate) fn io(what: &str, path: &Path, error: &std::io::Error) -> Self {
        let exit = match error.kind() {
            std::io::ErrorKind::NotFound => Exit::NotFound,
            std::io::ErrorKind::AlreadyExists => Exit::Exists,
            _ => Exit::Failed,
        };
        Failure::new(exit, format!("{what} [{}]: {error}", path.display()))
    }

    /// Says what to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says first what it happened to.
    pub(crate) fn about(mut self, what: impl Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// How the process ends.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// Whether damage is what was found.
    pub(crate) fn is_damage(&self) -> bool {
        self.exit == Exit::No
    }

    /// Says it on standard error; nothing where only the reader of standard output has gone.
    pub(crate) fn print(&self, json: bool) {
        if self.closed {
        } else if json {
            eprintln!("{}", self.json());
        } else {
            eprintln!("error: {self}");
        }
    }

    /// The failure as a document.
    fn json(&self) -> Value {
        json!({ "error": { "exit": self.exit as u8, "message": self.message, "hint": self.hint } })
    }
}

impl Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "; {hint}"),
            None => Ok(()),
        }
    }
}

impl From<chunkstore_store::Error> for Failure {
    fn from(error: chunkstore_store::Error) -> Self {
        let exit = match error.kind() {
            ErrorKind::Corrupt | ErrorKind::Truncated => Exit::No,
            ErrorKind::Invalid => Exit::Usage,
            ErrorKind::NotFound => Exit::NotFound,
            ErrorKind::Locked => Exit::Locked,
            ErrorKind::Exists => Exit::Exists,
            _ => Exit::Failed,
        };
        Failure::new(exit, error.to_string())
    }
}

impl From<chunkstore::Error> for Failure {
    fn from(error: chunkstore::Error) -> Self {
        use chunkstore::ErrorKind;
        let missing = error.path().is_some_and(|path| !path.exists());
        let exit = match error.kind() {
            ErrorKind::Corrupt | ErrorKind::Truncated => Exit::No,
            ErrorKind::Invalid | ErrorKind::Shape | ErrorKind::Type => Exit::Usage,
            ErrorKind::Io if missing => Exit::NotFound,
            _ => Exit::Failed,
        };
        Failure::new(exit, error.to_string())
    }
}

/// Of writing to standard output.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        let closed = error.kind() == std::io::ErrorKind::BrokenPipe;
        Failure { closed, ..Failure::new(Exit::Failed, format!("standard output cannot be written: {error}")) }
    }
}
