//! Files of the user's that are written whole before any of them has its name.
//!
//! ```text
//!   parent/                                 parent/                       parent/
//!     .chunkstore-tmp-4711-0/   publish       .chunkstore-tmp-4711-0/       0.txt  1.txt
//!        0.txt  1.txt          -------->         1.txt            ...
//!                                             0.txt
//! ```
//! Files are written in a folder beside their places, whose lock says that it has an owner, and are moved once all of them are there and durable. Dropped
//! before that, the folder goes with all that is in it; one that a killed process left is removed by the next who writes beside it.

use super::writeback;
use crate::{Error, ErrorKind, Result};
use rustix::fs::{Advice, CWD, FlockOperation, RenameFlags, flock, renameat_with};
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// How the names of folders begin in which files wait for their names.
const PREFIX: &str = ".chunkstore-tmp-";

/// The bytes that are written before they are sent to disk. Two of these are in the page cache at a time for each file.
const WINDOW: u64 = 1 << 20;

/// Files that are being written, beside where they will be.
///
/// ```
/// use chunkstore_store::io::Staging;
/// use std::io::Write;
/// # let folder = tempfile::tempdir()?;
/// # let folder = folder.path().join("out");
/// let staging = Staging::create(&folder)?;
/// let mut file = staging.file("a.txt")?;
/// file.write_all(b"to be")?;
/// file.finish()?;
/// assert!(!folder.join("a.txt").exists());
/// assert_eq!(staging.publish(["a.txt"])?, [folder.join("a.txt")]);
/// assert_eq!(std::fs::read(folder.join("a.txt"))?, b"to be");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Staging {
    parent: PathBuf,
    folder: PathBuf,
    /// Held locked until this is dropped.
    lock: File,
    /// The folders that were made for the files, the innermost first.
    made: Vec<PathBuf>,
    published: AtomicBool,
}

impl Staging {
    /// Prepares to write files in `parent`, which is made where it is not there.
    ///
    /// # Errors
    /// Unusable where the folder cannot be made or written to; those of the file system.
    pub fn create(parent: impl AsRef<Path>) -> Result<Staging> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let given = parent.as_ref();
        let parent = if given.as_os_str().is_empty() { Path::new(".") } else { given };
        let mut made: Vec<PathBuf> =
            parent.ancestors().take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists()).map(Path::to_path_buf).collect();
        let refused = |e: io::Error| match e.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Error::io("the folder cannot be made", e).at(parent),
            _ => Error::caused(ErrorKind::Unusable, "files cannot be written in this folder", e)
                .at(parent)
                .hint("name a folder that can be made or written to"),
        };
        let undo = |made: &[PathBuf]| made.iter().for_each(|folder| drop(std::fs::remove_dir(folder)));
        if let Err(e) = std::fs::create_dir_all(parent) {
            undo(&made);
            return Err(refused(e));
        }
        sweep(parent);
        loop {
            let folder = parent.join(format!("{PREFIX}{}-{}", std::process::id(), NUMBER.fetch_add(1, Relaxed)));
            match std::fs::create_dir(&folder).and_then(|()| File::open(&folder)) {
                Ok(lock) => {
                    // Where somebody sweeps at this very moment it may be gone already, and another is made.
                    let there = || Some(lock.metadata().ok()?.ino() == std::fs::metadata(&folder).ok()?.ino());
                    if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() && there() == Some(true) {
                        let (parent, made) = (parent.to_path_buf(), std::mem::take(&mut made));
                        return Ok(Staging { parent, folder, lock, made, published: false.into() });
                    }
                }
                Err(e) if matches!(e.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::NotFound) && parent.is_dir() => {}
                Err(e) => {
                    undo(&made);
                    return Err(refused(e));
                }
            }
        }
    }

    /// The folder in which the files will be.
    pub fn parent(&self) -> &Path {
        &self.parent
    }

    /// A new file, that will have this name; one that was begun under the name is begun anew.
    ///
    /// # Errors
    /// Invalid where the name is more than the name of a file, or is that of something else than a file; those of the file system.
    pub fn file(&self, name: impl AsRef<OsStr>) -> Result<StagedFile> {
        let target = self.target(name.as_ref())?;
        let path = self.folder.join(name.as_ref());
        match OpenOptions::new().write(true).create(true).truncate(true).open(&path) {
            Ok(file) => Ok(StagedFile { file, target, len: 0, sent: 0, started: 0, failed: false }),
            Err(e) => Err(Error::io("cannot create the file", e).at(target)),
        }
    }

    /// Whether a name can be that of a file.
    ///
    /// # Errors
    /// Invalid where it cannot.
    pub fn check(&self, name: impl AsRef<OsStr>) -> Result<()> {
        self.target(name.as_ref()).map(drop)
    }

    /// Where the file of a name will be.
    fn target(&self, name: &OsStr) -> Result<PathBuf> {
        let target = self.parent.join(name);
        let plain = Path::new(name).file_name() == Some(name);
        if !plain || (target.exists() && !target.is_file()) {
            return Err(Error::new(ErrorKind::Invalid, "this is not the name of a file that can be written").at(target));
        }
        Ok(target)
    }

    /// Gives finished files their names, in place of files that have them, and makes that durable.
    ///
    /// # Errors
    /// Those of the file system. Files that have got their names before it failed lose them again, and those that had them before have them back.
    pub fn publish<N: AsRef<OsStr>>(&self, names: impl IntoIterator<Item = N>) -> Result<Vec<PathBuf>> {
        let mut placed: Vec<Placed> = Vec::new();
        let moved = names.into_iter().try_for_each(|name| {
            let target = self.target(name.as_ref())?;
            let old = self.place(name.as_ref(), &target).map_err(|e| Error::io("cannot give the file its name", e).at(&target))?;
            placed.push(Placed { target, old });
            Ok(())
        });
        let synced = moved.and_then(|()| {
            let sync = |folder: &Path| File::open(folder).and_then(|folder| folder.sync_all());
            let of_made = self.made.iter().filter_map(|folder| folder.parent()).filter(|folder| !folder.as_os_str().is_empty());
            std::iter::once(&*self.parent)
                .chain(of_made)
                .try_for_each(sync)
                .map_err(|e| Error::io("cannot make the names of files durable", e).at(&self.parent))
        });
        match synced {
            Ok(()) => {
                self.published.store(true, Relaxed);
                Ok(placed.into_iter().map(|placed| placed.target).collect())
            }
            Err(error) => {
                // Nothing can be done where this fails, too.
                placed.iter().rev().for_each(|Placed { target, old }| match old {
                    Some(old) => drop(std::fs::rename(old, target)),
                    None => drop(std::fs::remove_file(target)),
                });
                Err(error)
            }
        }
    }

    /// Gives a file its name, and says where the one is that had it before.
    fn place(&self, name: &OsStr, target: &Path) -> io::Result<Option<PathBuf>> {
        let staged = self.folder.join(name);
        if target.exists() && staged.exists() {
            if renameat_with(CWD, &staged, CWD, target, RenameFlags::EXCHANGE).is_ok() {
                return Ok(Some(staged));
            }
            // A file system that cannot exchange names: a second one for the old file.
            let mut second = name.to_os_string();
            second.push(".old");
            let old = self.folder.join(second);
            if std::fs::hard_link(target, &old).is_ok() {
                return std::fs::rename(&staged, target).map(|()| Some(old));
            }
        }
        std::fs::rename(&staged, target).map(|()| None)
    }
}

/// A file that has got its name, and where the one is that had it before.
struct Placed {
    target: PathBuf,
    old: Option<PathBuf>,
}

impl Drop for Staging {
    fn drop(&mut self) {
        // Nothing can be done where these fail; the name tells that the folder is of no use.
        let _ = std::fs::remove_dir_all(&self.folder);
        let _ = flock(&self.lock, FlockOperation::Unlock);
        if !self.published.load(Relaxed) {
            self.made.iter().for_each(|folder| drop(std::fs::remove_dir(folder)));
        }
    }
}

/// Removes what writers that were killed have left in a folder.
fn sweep(parent: &Path) {
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        if !entry.file_name().as_encoded_bytes().starts_with(PREFIX.as_bytes()) {
            continue;
        }
        let Ok(folder) = File::open(entry.path()) else { continue };
        if flock(&folder, FlockOperation::NonBlockingLockExclusive).is_ok() {
            // What cannot be removed is not in the way.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// A file that is being written, and has not got its name yet: see [`Staging::file`].
#[derive(Debug)]
pub struct StagedFile {
    file: File,
    target: PathBuf,
    /// The bytes that were written, those that were waited for, and those that were sent to disk.
    len: u64,
    sent: u64,
    started: u64,
    failed: bool,
}

impl StagedFile {
    /// Where the file will be.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Makes the contents durable.
    ///
    /// # Errors
    /// Those of the file system; Invalid where a write failed before.
    pub fn finish(self) -> Result<()> {
        if self.failed {
            let message = "an earlier write to this file failed: it is not trusted again";
            return Err(Error::new(ErrorKind::Invalid, message).at(&self.target));
        }
        self.file.sync_all().map_err(|e| Error::io("cannot make the file durable", e).at(&self.target))?;
        let _ = rustix::fs::fadvise(&self.file, 0, None, Advice::DontNeed);
        Ok(())
    }
}

impl Write for StagedFile {
    /// Writes all of `bytes`.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.failed {
            return Err(io::Error::other("an earlier write to this file failed"));
        }
        self.file.write_all(bytes).inspect_err(|_| self.failed = true)?;
        self.len += bytes.len() as u64;
        if self.len - self.started >= WINDOW {
            writeback::start(&self.file, self.started, self.len - self.started);
            writeback::finish_and_drop(&self.file, self.sent, self.started - self.sent);
            (self.sent, self.started) = (self.started, self.len);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn files_get_their_names_together_or_not_at_all() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("a/b");
        let staging = Staging::create(&folder).unwrap();
        for name in ["1", "2"] {
            let mut file = staging.file(name).unwrap();
            file.write_all(&vec![7; 3 << 20]).unwrap();
            file.finish().unwrap();
        }
        // Begun anew, as a task is that runs again.
        staging.file("2").unwrap().finish().unwrap();
        // A third that was never written: those before it go again.
        assert!(staging.publish(["1", "2", "3"]).is_err());
        assert_eq!(names(&folder).len(), 1);
        drop(staging);
        assert!(!temporary.path().join("a").exists(), "folders that were made for nothing go again");

        let staging = Staging::create(&folder).unwrap();
        std::fs::write(folder.join("1"), "old").unwrap();
        staging.file("1").unwrap().write_all(b"new").unwrap();
        assert_eq!(std::fs::read(folder.join("1")).unwrap(), b"old");
        assert_eq!(staging.publish(["1"]).unwrap(), [folder.join("1")]);
        drop(staging);
        assert_eq!((names(&folder), std::fs::read(folder.join("1")).unwrap()), (vec!["1".to_string()], b"new".to_vec()));
    }

    #[test]
    fn files_that_were_there_are_back_where_not_all_get_their_names() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["1", "3"] {
            std::fs::write(folder.path().join(name), format!("old {name}")).unwrap();
        }
        let staging = Staging::create(folder.path()).unwrap();
        for name in ["1", "2", "3"] {
            staging.file(name).unwrap().write_all(b"new").unwrap();
        }
        // The fourth was never written.
        assert!(staging.publish(["1", "2", "3", "4"]).is_err());
        drop(staging);
        assert_eq!(names(folder.path()), ["1", "3"]);
        for name in ["1", "3"] {
            assert_eq!(std::fs::read_to_string(folder.path().join(name)).unwrap(), format!("old {name}"));
        }
    }

    #[test]
    fn what_a_killed_writer_left_is_swept_and_what_another_writes_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let left = folder.path().join(format!("{PREFIX}1-0"));
        std::fs::create_dir(&left).unwrap();
        std::fs::write(left.join("0.txt"), "left").unwrap();
        let first = Staging::create(folder.path()).unwrap();
        let second = Staging::create(folder.path()).unwrap();
        assert!(!left.exists());
        for (staging, name) in [(&first, "1"), (&second, "2")] {
            staging.file(name).unwrap().finish().unwrap();
            staging.publish([name]).unwrap();
        }
        drop((first, second));
        assert_eq!(names(folder.path()), ["1", "2"]);
    }

    #[test]
    fn what_cannot_be_written_is_an_error_of_its_kind() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), "").unwrap();
        assert_eq!(Staging::create(folder.path().join("file/below")).unwrap_err().kind(), ErrorKind::Unusable);
        let staging = Staging::create(folder.path()).unwrap();
        std::fs::create_dir(folder.path().join("folder")).unwrap();
        for name in ["folder", "../x", "a/b", ""] {
            assert_eq!(staging.file(name).unwrap_err().kind(), ErrorKind::Invalid, "{name:?}");
        }
        // A disk that is full.
        if let Ok(full) = OpenOptions::new().write(true).open("/dev/full") {
            let target = folder.path().join("x");
            let mut file = StagedFile { file: full, target, len: 0, sent: 0, started: 0, failed: false };
            let error = file.write_all(b"x").unwrap_err();
            assert_eq!(Error::io("cannot write", error).kind(), ErrorKind::DiskFull);
            assert_eq!(file.finish().unwrap_err().kind(), ErrorKind::Invalid, "it is not trusted again");
        }
    }
}
