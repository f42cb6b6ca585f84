//! Files of the operating system, by direct I/O where the file system takes it.

use super::backend::{Backend, BackendFile, Held, Lock, Open};
use super::map::{FileMap, check_part};
use super::{medium, writeback};
use crate::format::BLOCK_BYTES;
use crate::{Error, ErrorKind, Result};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// The bytes that go through the page cache at a time.
const CACHED_BYTES: usize = 1 << 20;
/// What is read in parts shorter than this, from a file that is only read, stays in the page cache.
const KEPT_BYTES: usize = 256 << 10;
/// The pieces of `CACHED_BYTES` of one call that may be dirty at once.
const DIRTY_PIECES: usize = 4;

/// The operating system's files.
///
/// Reads and writes whose memory, offset and length are multiples of 4096 go past the page cache (`O_DIRECT`) where
/// the file system takes that. All others go through it in pieces of 1 MiB that are written and dropped from it, so
/// that at most 4 MiB a call are in it: a cgroup counts the page cache. Only what is read in parts below 256 KiB of a file
/// opened by [`Open::Read`] stays there; it is clean, so that the system can drop it at any time.
#[derive(Debug, Clone, Copy)]
pub struct FileBackend {
    direct: bool,
}

impl Default for FileBackend {
    fn default() -> Self {
        Self::new()
    }
}

impl FileBackend {
    /// Files by direct I/O where possible.
    pub fn new() -> Self {
        FileBackend { direct: true }
    }

    /// Files through the page cache only.
    pub fn buffered() -> Self {
        FileBackend { direct: false }
    }
}

/// The error of a folder that cannot be made or used.
fn unusable(what: &str, path: &Path, e: std::io::Error) -> Error {
    use std::io::ErrorKind as K;
    match e.kind() {
        K::PermissionDenied | K::ReadOnlyFilesystem | K::NotADirectory | K::AlreadyExists | K::NotFound => {
            let hint = "choose a folder on a disk that this process may write to";
            Error::caused(ErrorKind::Unusable, what, e).at(path).hint(hint)
        }
        _ => Error::io(what, e).at(path),
    }
}

/// Makes a folder and those above it, and notes those that it made, also where it fails.
fn make_folder(folder: &Path, made: &mut Vec<PathBuf>) -> std::io::Result<()> {
    match (std::fs::create_dir(folder), folder.parent()) {
        (Ok(()), _) => {}
        (Err(e), Some(above)) if e.kind() == std::io::ErrorKind::NotFound => {
            make_folder(above, made)?;
            // Another process may have been faster.
            match std::fs::create_dir(folder) {
                Err(_) if folder.is_dir() => return Ok(()),
                outcome => outcome?,
            }
        }
        (Err(_), _) if folder.is_dir() => return Ok(()),
        (Err(e), _) => return Err(e),
    }
    made.push(folder.to_path_buf());
    Ok(())
}

impl Backend for FileBackend {
    fn create_folder(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        let mut made = Vec::new();
        let outcome = make_folder(folder, &mut made);
        if outcome.is_err() {
            made.iter().rev().for_each(|path| _ = std::fs::remove_dir(path));
        }
        outcome.map(|()| made).map_err(|e| unusable("the folder cannot be made", folder, e))
    }

    fn check_folder(&self, folder: &Path) -> Result<()> {
        medium::check_folder(folder)
    }

    fn open(&self, path: &Path, how: Open) -> Result<Arc<dyn BackendFile>> {
        let write = how != Open::Read;
        let mut options = OpenOptions::new();
        options.read(true).write(write).create(how == Open::Create).create_new(how == Open::New);
        let buffered = options.open(path).map_err(|e| Error::io("the file cannot be opened", e).at(path))?;
        let direct = match self.direct {
            true => {
                let flags = rustix::fs::OFlags::DIRECT.bits() as i32;
                let direct = OpenOptions::new().read(true).write(write).custom_flags(flags).open(path).ok();
                // The name may be another file's by now.
                direct.filter(|direct| same_file(direct, &buffered))
            }
            false => None,
        };
        if !write {
            // Single frames are read here and there; a refusal only costs time.
            rustix::fs::fadvise(&buffered, 0, None, rustix::fs::Advice::Random).ok();
        }
        let takes_direct = AtomicBool::new(direct.is_some());
        Ok(Arc::new(DiskFile { takes_direct, direct, buffered, path: path.to_path_buf(), keeps_cached: !write }))
    }

    fn list(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        let entries = std::fs::read_dir(folder).map_err(|e| Error::io("the folder cannot be listed", e).at(folder))?;
        let mut paths = Vec::new();
        for entry in entries {
            paths.push(entry.map_err(|e| Error::io("the folder cannot be listed", e).at(folder))?.path());
        }
        paths.sort();
        Ok(paths)
    }

    fn len_of(&self, path: &Path) -> Result<Option<u64>> {
        match std::fs::metadata(path) {
            Ok(meta) => Ok(Some(meta.len())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::io("the file cannot be asked for its length", e).at(path)),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        std::fs::rename(from, to).map_err(|e| Error::io(format!("{} cannot be renamed", from.display()), e).at(to))
    }

    fn hard_link(&self, from: &Path, to: &Path) -> Result<()> {
        use std::io::ErrorKind as K;
        std::fs::hard_link(from, to).map_err(|e| {
            let what = format!("{} cannot be given a second name", from.display());
            match e.kind() {
                K::CrossesDevices | K::TooManyLinks | K::Unsupported | K::PermissionDenied => {
                    Error::caused(ErrorKind::Unsupported, what, e).at(to)
                }
                _ => Error::io(what, e).at(to),
            }
        })
    }

    fn sync_folder(&self, folder: &Path) -> Result<()> {
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|e| Error::io("the folder cannot be synced", e).at(folder))
    }

    fn remove(&self, path: &Path) -> Result<()> {
        std::fs::remove_file(path).map_err(|e| Error::io("the file cannot be removed", e).at(path))
    }

    fn remove_folder(&self, folder: &Path) -> Result<()> {
        std::fs::remove_dir_all(folder).map_err(|e| Error::io("the folder cannot be removed", e).at(folder))
    }

    fn remove_empty_folder(&self, folder: &Path) -> Result<()> {
        std::fs::remove_dir(folder).map_err(|e| Error::io("the folder cannot be removed", e).at(folder))
    }

    fn lock(&self, path: &Path) -> Result<Option<Lock>> {
        let failed = |e: std::io::Error| Error::io("the lock file cannot be opened", e).at(path);
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(failed)?;
        match rustix::fs::flock(&file, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
            Err(e) => return Err(Error::io("the file cannot be locked", e.into()).at(path)),
        }
        // A holder before may have removed the file between the opening and the locking: then the lock is of no use.
        let ours = file.metadata().map_err(failed)?;
        match std::fs::metadata(path) {
            Ok(there) if (there.dev(), there.ino()) == (ours.dev(), ours.ino()) => {
                Ok(Some(Lock::new(Locked { file, path: path.to_path_buf() })))
            }
            _ => Ok(None),
        }
    }
}

/// A lock file that is locked.
#[derive(Debug)]
struct Locked {
    file: File,
    path: PathBuf,
}

impl Held for Locked {
    fn is_held(&self) -> bool {
        match (self.file.metadata(), std::fs::metadata(&self.path)) {
            (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
            _ => false,
        }
    }
}

#[derive(Debug)]
struct DiskFile {
    direct: Option<File>,
    takes_direct: AtomicBool,
    buffered: File,
    path: PathBuf,
    /// Whether small reads leave in the page cache what they brought there.
    keeps_cached: bool,
}

/// Whether two handles are of one file.
fn same_file(a: &File, b: &File) -> bool {
    let of = |file: &File| file.metadata().map(|meta| (meta.dev(), meta.ino()));
    matches!((of(a), of(b)), (Ok(a), Ok(b)) if a == b)
}

impl DiskFile {
    /// The handle past the page cache, if this request may go that way.
    fn direct_for(&self, offset: u64, memory: *const u8, len: usize) -> Option<&File> {
        let aligned =
            offset.is_multiple_of(BLOCK_BYTES as u64) && len.is_multiple_of(BLOCK_BYTES) && memory.addr().is_multiple_of(BLOCK_BYTES);
        self.direct.as_ref().filter(|_| aligned && self.takes_direct.load(Relaxed))
    }

    fn failed(&self, what: &str, offset: u64, e: std::io::Error) -> Error {
        Error::io(what, e).at(&self.path).offset(offset)
    }

    fn write_cached(&self, mut offset: u64, bytes: &[u8]) -> Result<()> {
        let begin = offset;
        let mut clean = offset;
        for piece in bytes.chunks(CACHED_BYTES) {
            self.buffered.write_all_at(piece, offset).map_err(|e| self.failed("the file cannot be written", offset, e))?;
            writeback::start(&self.buffered, offset, piece.len() as u64);
            offset += piece.len() as u64;
            let dirty = (DIRTY_PIECES * CACHED_BYTES) as u64;
            if offset - clean >= dirty {
                writeback::finish_and_drop(&self.buffered, clean, CACHED_BYTES as u64);
                clean += CACHED_BYTES as u64;
            }
        }
        if bytes.len() >= CACHED_BYTES / 4 {
            writeback::finish_and_drop(&self.buffered, begin, offset - begin);
        }
        Ok(())
    }

    fn read_cached(&self, offset: u64, bytes: &mut [u8]) -> Result<()> {
        let mut at = offset;
        for piece in bytes.chunks_mut(CACHED_BYTES) {
            self.buffered.read_exact_at(piece, at).map_err(|e| self.failed("the file cannot be read", at, e))?;
            if !self.keeps_cached || piece.len() >= KEPT_BYTES {
                writeback::drop_cached(&self.buffered, at, piece.len() as u64);
            }
            at += piece.len() as u64;
        }
        Ok(())
    }
}

/// Whether the file system took the flag but not the request.
fn refuses_direct(e: &std::io::Error) -> bool {
    e.kind() == std::io::ErrorKind::InvalidInput
}

impl BackendFile for DiskFile {
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<()> {
        if let Some(direct) = self.direct_for(offset, bytes.as_ptr(), bytes.len()) {
            match direct.read_exact_at(bytes, offset) {
                Ok(()) => return Ok(()),
                Err(e) if refuses_direct(&e) => self.takes_direct.store(false, Relaxed),
                Err(e) => return Err(self.failed("the file cannot be read", offset, e)),
            }
        }
        self.read_cached(offset, bytes)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        if let Some(direct) = self.direct_for(offset, bytes.as_ptr(), bytes.len()) {
            match direct.write_all_at(bytes, offset) {
                Ok(()) => return Ok(()),
                Err(e) if refuses_direct(&e) => self.takes_direct.store(false, Relaxed),
                Err(e) => return Err(self.failed("the file cannot be written", offset, e)),
            }
        }
        self.write_cached(offset, bytes)
    }

    fn allocate(&self, len: u64) -> Result<()> {
        let before = self.len()?;
        if len <= before {
            return Ok(());
        }
        loop {
            match rustix::fs::fallocate(&self.buffered, rustix::fs::FallocateFlags::empty(), before, len - before) {
                Ok(()) => return Ok(()),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => return self.truncate(len),
                Err(e) => {
                    // A part may have been reserved; the length is put back as well as it can be.
                    self.buffered.set_len(before).ok();
                    return Err(self.failed("no room can be reserved for the file", before, e.into()));
                }
            }
        }
    }

    fn truncate(&self, len: u64) -> Result<()> {
        self.buffered.set_len(len).map_err(|e| self.failed("the length of the file cannot be set", len, e))
    }

    fn sync(&self) -> Result<()> {
        self.buffered.sync_all().map_err(|e| Error::io("the file cannot be synced", e).at(&self.path))
    }

    fn len(&self) -> Result<u64> {
        Ok(self.buffered.metadata().map_err(|e| Error::io("the file cannot be asked for its length", e).at(&self.path))?.len())
    }

    fn map(&self, offset: u64, len: usize) -> Result<Option<FileMap>> {
        check_part(&self.path, self.len()?, offset, len)?;
        FileMap::of_sealed(&self.buffered, offset, len).map(Some).map_err(|e| self.failed("the file cannot be mapped", offset, e))
    }

    fn path(&self) -> &Path {
        &self.path
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::io::check_backend;

    #[test]
    fn files_conform() {
        for backend in [FileBackend::new(), FileBackend::buffered()] {
            let folder = crate::testing::folder();
            check_backend(&backend, folder.path()).unwrap();
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn aligned_and_other_requests_see_the_same_bytes() {
        let folder = crate::testing::folder();
        let path = folder.path().join("f");
        let file = FileBackend::new().open(&path, Open::Create).unwrap();
        file.allocate(64 << 10).unwrap();
        let arena = crate::Arena::new(crate::Ledger::new(1 << 20));
        let mut memory = arena.alloc(128 << 10).unwrap();
        memory.fill(7);
        file.write_at(8192, &memory[..16384]).unwrap();
        file.write_at(10_000, &[9; 100]).unwrap();
        memory.fill(0);
        file.read_at(8192, &mut memory[..16384]).unwrap();
        assert!(
            memory[..1808].iter().all(|b| *b == 7)
                && memory[1808..1908].iter().all(|b| *b == 9)
                && memory[1908..16384].iter().all(|b| *b == 7)
        );
        let mut odd = [0; 3];
        file.read_at(10_099, &mut odd).unwrap();
        assert_eq!(odd, [9, 7, 7]);
        assert_eq!(file.read_at(65_530, &mut [0; 100]).unwrap_err().kind(), ErrorKind::Truncated);
    }

    #[test]
    fn large_cached_writes_come_back() {
        let folder = crate::testing::folder();
        let file = FileBackend::buffered().open(&folder.path().join("f"), Open::Create).unwrap();
        let bytes: Vec<u8> = (0..9_000_001u32).map(|i| (i % 251) as u8).collect();
        file.write_at(3, &bytes).unwrap();
        let mut back = vec![0; bytes.len()];
        file.read_at(3, &mut back).unwrap();
        assert_eq!(back, bytes);
    }

    #[test]
    fn a_folder_under_a_file_is_unusable() {
        let folder = crate::testing::folder();
        let file = folder.path().join("f");
        std::fs::write(&file, "").unwrap();
        let error = FileBackend::new().create_folder(&file.join("below")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unusable);
        assert!(error.to_string().contains("choose a folder"));
    }
}
