//! What the store needs of a file system.

use super::map::FileMap;
use crate::Result;
use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Open {
    /// To read and write; it is made where it is missing, and kept as it is where it exists.
    Create,
    /// To read and write; it must exist.
    Existing,
    /// To read and write; it must not exist, and is made.
    New,
    /// To read only; it must exist. What is read in small parts stays in the page cache, for the next time.
    Read,
}

/// A file system, or what stands for one. Paths are absolute; every error names its path.
pub trait Backend: Send + Sync + Debug {
    /// Makes a folder, and those above it, unless they exist. Gives those that it made, the outermost first.
    ///
    /// # Errors
    /// Unusable where it is not allowed or something else has that name; what was made is removed again then.
    fn create_folder(&self, folder: &Path) -> Result<Vec<PathBuf>>;

    /// Checks that spilled data can go to `folder`: it exists, is a folder, can be written, and is not memory.
    ///
    /// # Errors
    /// Unusable, with the reason and what to do.
    fn check_folder(&self, folder: &Path) -> Result<()>;

    /// Opens a file.
    ///
    /// # Errors
    /// Those of the operating system.
    fn open(&self, path: &Path, how: Open) -> Result<Arc<dyn BackendFile>>;

    /// The paths of what is in a folder, in order of name.
    ///
    /// # Errors
    /// Those of the operating system.
    fn list(&self, folder: &Path) -> Result<Vec<PathBuf>>;

    /// The length of a file in bytes; nothing where there is none.
    ///
    /// # Errors
    /// Those of the operating system.
    fn len_of(&self, path: &Path) -> Result<Option<u64>>;

    /// Whether there is a file.
    ///
    /// # Errors
    /// As for [`Backend::len_of`].
    fn exists(&self, path: &Path) -> Result<bool> {
        Ok(self.len_of(path)?.is_some())
    }

    /// Gives the file `from` the name `to` in one step; a file that had it loses it. The name survives a loss of power once
    /// the folder is synced.
    ///
    /// # Errors
    /// Those of the operating system; both names are as before then.
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;

    /// Gives the file `from` a second name `to`, which must be free. The two are the same file from then on.
    ///
    /// # Errors
    /// Unsupported where the two names cannot be of one file: on different disks, or on a file system without links; else
    /// those of the operating system.
    fn hard_link(&self, from: &Path, to: &Path) -> Result<()>;

    /// Returns once the names that were given and taken in a folder survive a loss of power.
    ///
    /// # Errors
    /// Those of the operating system; what was renamed or made must not be trusted afterwards.
    fn sync_folder(&self, folder: &Path) -> Result<()>;

    /// Removes a file. What has it open can still use it.
    ///
    /// # Errors
    /// Those of the operating system.
    fn remove(&self, path: &Path) -> Result<()>;

    /// Removes a folder and all in it.
    ///
    /// # Errors
    /// Those of the operating system.
    fn remove_folder(&self, folder: &Path) -> Result<()>;

    /// Removes a folder that is empty.
    ///
    /// # Errors
    /// Those of the operating system, one of which is that something is in it.
    fn remove_empty_folder(&self, folder: &Path) -> Result<()>;

    /// Takes the lock that the file `path` stands for, making the file where it is missing. Nothing where another
    /// holder has it, in this process or another; a lock ends with its holder, however that ends.
    ///
    /// # Errors
    /// Those of the operating system.
    fn lock(&self, path: &Path) -> Result<Option<Lock>>;
}

/// An open file. Calls may come from several threads at once; where they touch the same bytes, the caller keeps order.
pub trait BackendFile: Send + Sync + Debug {
    /// Fills `bytes` with what stands at `offset`.
    ///
    /// # Errors
    /// Truncated where the file ends before; else those of the operating system.
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<()>;

    /// Writes all of `bytes` at `offset`; the file grows where needed. After an error what stands there is unknown.
    ///
    /// # Errors
    /// Disk full; else those of the operating system.
    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()>;

    /// Makes the file at least `len` bytes long, and reserves room on the medium where it can do so.
    ///
    /// # Errors
    /// Disk full; the file is then as long as before.
    fn allocate(&self, len: u64) -> Result<()>;

    /// Makes the file exactly `len` bytes long; new bytes are 0.
    ///
    /// # Errors
    /// Those of the operating system.
    fn truncate(&self, len: u64) -> Result<()>;

    /// Returns once what was written survives a loss of power.
    ///
    /// # Errors
    /// Those of the operating system; the file must not be trusted afterwards.
    fn sync(&self) -> Result<()>;

    /// The length in bytes.
    ///
    /// # Errors
    /// Those of the operating system.
    fn len(&self) -> Result<u64>;

    /// Whether there are no bytes.
    ///
    /// # Errors
    /// As for [`BackendFile::len`].
    fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// The `len` bytes that stand at `offset` of a file that never changes again, as memory; nothing where the backend has no
    /// such memory. Whoever asks books `len` bytes for as long as the map lives.
    ///
    /// # Errors
    /// Truncated where the file ends before; else those of the operating system.
    fn map(&self, _offset: u64, _len: usize) -> Result<Option<FileMap>> {
        Ok(None)
    }

    /// Where it is, or was when it was opened.
    fn path(&self) -> &Path;
}

/// A lock that is held until this is dropped.
#[derive(Debug)]
pub struct Lock {
    held: Box<dyn Held>,
}

/// What a lock holds.
pub trait Held: Debug + Send + Sync {
    /// Whether the lock still keeps others out: its file may have been removed under it.
    fn is_held(&self) -> bool {
        true
    }
}

impl Lock {
    /// A lock that is given back when `held` is dropped.
    pub fn new(held: impl Held + 'static) -> Self {
        Lock { held: Box::new(held) }
    }

    /// Whether the lock still keeps others out. It does not where somebody removed its file.
    pub fn is_held(&self) -> bool {
        self.held.is_held()
    }
}
