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

impl Location {
    fn of(path: &Path) -> Self {
        match path.to_str() {
            Some(text) => Location::Text(text.to_owned()),
            None => Location::Bytes(path.as_os_str().as_bytes().to_vec()),
        }
    }

    fn path(&self) -> PathBuf {
        match self {
            Location::Text(text) => PathBuf::from(text),
            Location::Bytes(bytes) => Path::new(OsStr::from_bytes(bytes)).to_path_buf(),
        }
    }
}

impl From<&Stamp> for FileStamp {
    fn from(stamp: &Stamp) -> Self {
        FileStamp { path: Location::of(&stamp.path), size: stamp.size, mtime_ns: stamp.mtime_ns }
    }
}

impl FileStamp {
    /// The absolute path.
    pub(super) fn path(&self) -> PathBuf {
        self.path.path()
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

/// Which dataset of which store, with which contents: its number is given once, and stays when chunks are put into it; its version does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SavedStamp {
    folder: Location,
    name: String,
    id: u64,
    version: u64,
}

impl SavedStamp {
    /// The dataset `name` with the number `id` of the store in `folder`, as it is in `version`.
    pub(super) fn new(folder: &Path, name: &str, id: u64, version: u64) -> Self {
        SavedStamp { folder: Location::of(folder), name: name.to_string(), id, version }
    }

    /// The folder of the store.
    pub(super) fn folder(&self) -> PathBuf {
        self.folder.path()
    }

    /// The name of the dataset.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Checks that a dataset that was opened by this stamp's name is the same.
    ///
    /// # Errors
    /// Corrupt where it is not.
    pub(super) fn check(&self, found: &SavedStamp) -> Result<()> {
        if (self.id, self.version) == (found.id, found.version) {
            return Ok(());
        }
        let what = if self.id == found.id { "changed" } else { "replaced" };
        let message = format!("the dataset {:?} has been {what} since it was opened", self.name);
        Err(Error::new(ErrorKind::Corrupt, message).at(self.folder()).hint("open it again"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::parameters::{decode, encode};
    use super::*;

    #[test]
    fn a_dataset_is_the_same_in_one_version_only() {
        let stamp = |id, version| SavedStamp::new(Path::new("/s"), "x", id, version);
        let back: SavedStamp = decode("test", &encode(&stamp(1, 2)).unwrap()).unwrap();
        back.check(&stamp(1, 2)).unwrap();
        for (other, what) in [(stamp(1, 3), "changed"), (stamp(2, 2), "replaced")] {
            let error = back.check(&other).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            assert!(error.to_string().contains(what), "{error}");
        }
    }

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
