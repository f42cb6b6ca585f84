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
    /// There is no such store, dataset, chunk or file, or a part of the data is not there.
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
  3  there is no such store, dataset, chunk or file, or chunks of the dataset are missing
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
    kind: Kind,
}

/// What a failure is about, where that decides what is said or done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The reader of standard output has gone, which is nobody's fault.
    Closed,
    /// The bound on memory leaves no room.
    Memory,
    /// A file of the store is gone.
    Gone,
    Other,
}

impl Failure {
    /// A failure; `message` says what was found.
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Failure { exit, message: message.into(), hint: None, kind: Kind::Other }
    }

    /// An operating system error met while doing `what` to a file.
    pub(crate) fn io(what: &str, path: &Path, error: &std::io::Error) -> Self {
        let exit = match error.kind() {
            std::io::ErrorKind::NotFound => Exit::NotFound,
            std::io::ErrorKind::AlreadyExists => Exit::Exists,
            _ => Exit::Failed,
        };
        let failure = Failure::new(exit, format!("{what} [{}]: {error}", path.display()));
        match full(error) {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
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

    /// Says what else to do, where the bound on memory left no room.
    pub(crate) fn without_memory(self, hint: impl FnOnce() -> String) -> Self {
        if self.kind == Kind::Memory { self.hint(hint()) } else { self }
    }

    /// Whether a file of the store is gone.
    pub(crate) fn is_gone(&self) -> bool {
        self.kind == Kind::Gone
    }

    /// Whether damage is what was found.
    pub(crate) fn is_damage(&self) -> bool {
        self.exit == Exit::No
    }

    /// Says it on standard error; nothing where only the reader of standard output has gone.
    pub(crate) fn print(&self, json: bool) {
        if self.kind == Kind::Closed {
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

/// What an error of the operating system says of room on disk, and where room comes from.
fn full(error: &std::io::Error) -> Option<String> {
    let what = match error.kind() {
        std::io::ErrorKind::StorageFull => "the disk is full",
        std::io::ErrorKind::QuotaExceeded => "the system's quota of this user on the disk is used up, whatever the disk has",
        _ => return None,
    };
    Some(format!("{what}; {ROOM}"))
}

/// Where room comes from.
const ROOM: &str = "remove other files there, and run it again; datasets that are removed give room back only after `chunkstore gc` or \
    `chunkstore compact`, and compact needs room itself for what it copies";

/// The words of an error, without what it says to do.
fn without_hint(text: &str) -> String {
    text.split_once("; ").map_or(text, |(what, _)| what).to_string()
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
        let text = error.to_string();
        let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<std::io::Error>());
        match error.kind() {
            ErrorKind::DiskFull => {
                let hint = source.and_then(full).unwrap_or_else(|| format!("the quota of the store is used up, not the disk; {ROOM}"));
                Failure::new(exit, without_hint(&text)).hint(hint)
            }
            ErrorKind::OutOfMemory => Failure { kind: Kind::Memory, ..Failure::new(exit, without_hint(&text)).hint(MORE) },
            _ => match error.path().filter(|path| is_part(path) && !path.exists()) {
                Some(path) => {
                    let store = path.ancestors().find(|folder| crate::address::is_store(folder)).unwrap_or(path);
                    let failure = Failure::new(Exit::NotFound, format!("a file of the store is gone [{}]", path.display()));
                    let hint = format!("put it back if you have it; `chunkstore repair {}` keeps what is there", store.display());
                    Failure { kind: Kind::Gone, ..failure.hint(hint) }
                }
                None => Failure::new(exit, text),
            },
        }
    }
}

/// What helps where memory is short.
const MORE: &str = "give it more --memory";

/// Whether a path is that of a segment, or of the folder of segments.
fn is_part(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "seg") || path.ends_with("segments")
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
        match error.kind() {
            ErrorKind::OutOfMemory => Failure { kind: Kind::Memory, ..Failure::new(exit, without_hint(&error.to_string())).hint(MORE) },
            _ => Failure::new(exit, error.to_string()),
        }
    }
}

/// Of writing to standard output.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        let kind = if error.kind() == std::io::ErrorKind::BrokenPipe { Kind::Closed } else { Kind::Other };
        Failure { kind, ..Failure::new(Exit::Failed, format!("standard output cannot be written: {error}")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chunkstore_store::Error;
    use std::io::{Error as IoError, ErrorKind as IoKind};

    #[test]
    fn a_full_disk_is_told_from_a_quota() {
        let full = |kind| Failure::from(Error::io("the file cannot be written", IoError::from(kind)).hint("raise the quota")).to_string();
        let (disk, user) = (full(IoKind::StorageFull), full(IoKind::QuotaExceeded));
        let store =
            Failure::from(Error::new(ErrorKind::DiskFull, "the quota of 7 bytes has no room for 8 more").hint("raise it")).to_string();
        assert!(disk.contains("the disk is full") && !disk.contains("quota"), "{disk}");
        assert!(user.contains("the system's quota of this user"), "{user}");
        assert!(store.contains("the quota of the store is used up, not the disk"), "{store}");
        for text in [disk, user, store] {
            assert!(text.contains("chunkstore gc") && text.contains("compact needs room"), "{text}");
        }
    }
}
