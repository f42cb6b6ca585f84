//! Which file, in which state, as an operator's parameters say it.

use crate::{Error, ErrorKind, Result};
use chunkstore_store::Stamp;
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Path, size and time of the last write: equal stamps mean the same content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileStamp {
    path: Location,
    size: u64,
    mtime_ns: i128,
}

/// A path, which need not be text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Location {
    Text(String),
    Bytes(Vec<u8>),
}

impl From<&Stamp> for FileStamp {
    fn from(stamp: &Stamp) -> Self {
        let path = match stamp.path.to_str() {
            Some(text) => Location::Text(text.to_owned()),
            None => Location::Bytes(stamp.path.as_os_str().as_bytes().to_vec()),
        };
        FileStamp { path, size: stamp.size, mtime_ns: stamp.mtime_ns }
    }
}

impl FileStamp {
    /// The absolute path.
    pub(super) fn path(&self) -> PathBuf {
        match &self.path {
            Location::Text(text) => PathBuf::from(text),
            Location::Bytes(bytes) => Path::new(OsStr::from_bytes(bytes)).to_path_buf(),
        }
    }

    /// Checks that a file that was opened by this stamp's path is in the stamp's state.
    ///
    /// # Errors
    /// Corrupt where it is not.
    pub(super) fn check(&self, found: &Stamp) -> Result<()> {
        if *self == FileStamp::from(found) {
            return Ok(());
        }
        let message = format!(
            "the file is not the one that the operator reads: it has {} bytes, last written at {} ns, in place of {} bytes at {} ns",
            found.size, found.mtime_ns, self.size, self.mtime_ns
        );
        Err(Error::new(ErrorKind::Corrupt, message).at(self.path()).hint("open the file again, on storage that all processes share"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::parameters::{decode, encode};
    use super::*;

    #[test]
    fn any_path_and_time_comes_back() {
        for path in [&b"/a/b"[..], b"/\xff\xfe", "/\u{e4} \"x\"\n".as_bytes()] {
            for mtime_ns in [0, -1, i128::from(i64::MIN) * 1_000_000_000] {
                let stamp = Stamp { path: Path::new(OsStr::from_bytes(path)).to_path_buf(), size: u64::MAX, mtime_ns };
                let sent = FileStamp::from(&stamp);
                let back: FileStamp = decode("test", &encode(&sent).unwrap()).unwrap();
                assert_eq!((&back, back.path()), (&sent, stamp.path.clone()));
                back.check(&stamp).unwrap();
                assert_eq!(back.check(&Stamp { size: 1, ..stamp }).unwrap_err().kind(), ErrorKind::Corrupt);
            }
        }
    }
}
