//! A file system in memory, for tests and simulations.

use super::backend::{Backend, BackendFile, Held, Lock, Open};
use super::map::{FileMap, beyond};
use crate::{Error, ErrorKind, Result};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Files in memory, with a capacity. Clones share the files.
///
/// It is meant for tests: what it holds is counted nowhere.
#[derive(Debug, Clone)]
pub struct MemoryBackend {
    disk: Arc<Mutex<Disk>>,
}

#[derive(Debug)]
struct Disk {
    capacity: u64,
    links: bool,
    used: u64,
    files: BTreeMap<PathBuf, Arc<Mutex<Vec<u8>>>>,
    folders: BTreeSet<PathBuf>,
    locked: BTreeSet<PathBuf>,
}

impl MemoryBackend {
    /// No files, and room for `capacity` bytes.
    pub fn new(capacity: u64) -> Self {
        let disk = Disk { capacity, links: true, used: 0, files: BTreeMap::new(), folders: BTreeSet::new(), locked: BTreeSet::new() };
        MemoryBackend { disk: Arc::new(Mutex::new(disk)) }
    }

    /// As a file system on which a file has one name only.
    pub fn without_links(self) -> Self {
        self.disk.lock().links = false;
        self
    }

    /// The bytes of all files that have a name.
    pub fn used(&self) -> u64 {
        self.disk.lock().used
    }
}

impl Disk {
    /// Takes a name away, and counts the file no more if it was the last one; says whether there was such a name.
    fn forget(&mut self, path: &Path) -> bool {
        let Some(bytes) = self.files.remove(path) else { return false };
        if !self.named(&bytes) {
            self.used -= bytes.lock().len() as u64;
        }
        true
    }

    /// Whether a file has a name.
    fn named(&self, file: &Arc<Mutex<Vec<u8>>>) -> bool {
        // Each name holds the file once; only those that are open do so beside.
        Arc::strong_count(file) > 1 && self.files.values().any(|bytes| Arc::ptr_eq(bytes, file))
    }

    /// Checks that a file can be given a name.
    fn check_name(&self, path: &Path) -> Result<()> {
        if !path.parent().is_some_and(|parent| self.folders.contains(parent)) {
            return Err(missing(path));
        }
        if self.folders.contains(path) {
            return Err(Error::io("a folder has this name", std::io::ErrorKind::IsADirectory.into()).at(path));
        }
        Ok(())
    }
}

fn missing(path: &Path) -> Error {
    Error::io("there is no such file or folder", std::io::ErrorKind::NotFound.into()).at(path)
}

fn taken(path: &Path) -> Error {
    Error::io("the name is taken", std::io::ErrorKind::AlreadyExists.into()).at(path)
}

impl Backend for MemoryBackend {
    fn create_folder(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        let mut disk = self.disk.lock();
        if let Some(file) = folder.ancestors().find(|above| disk.files.contains_key(*above)) {
            return Err(Error::new(ErrorKind::Unusable, "a file has the name of the folder").at(file).hint("choose another path"));
        }
        let mut made: Vec<PathBuf> = folder.ancestors().filter(|path| !disk.folders.contains(*path)).map(Path::to_path_buf).collect();
        made.reverse();
        disk.folders.extend(made.iter().cloned());
        Ok(made)
    }

    fn check_folder(&self, folder: &Path) -> Result<()> {
        match self.disk.lock().folders.contains(folder) {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::Unusable, "there is no such folder").at(folder).hint("choose another path")),
        }
    }

    fn open(&self, path: &Path, how: Open) -> Result<Arc<dyn BackendFile>> {
        let mut disk = self.disk.lock();
        if !path.parent().is_some_and(|parent| disk.folders.contains(parent)) {
            return Err(missing(path));
        }
        match (how, disk.files.contains_key(path)) {
            (Open::Existing | Open::Read, false) => return Err(missing(path)),
            (Open::New, true) => return Err(taken(path)),
            _ if disk.folders.contains(path) => {
                return Err(Error::io("a folder has this name", std::io::ErrorKind::IsADirectory.into()).at(path));
            }
            _ => {}
        }
        let bytes = Arc::clone(disk.files.entry(path.to_path_buf()).or_default());
        Ok(Arc::new(MemoryFile { disk: Arc::clone(&self.disk), bytes, path: path.to_path_buf(), read_only: how == Open::Read }))
    }

    fn list(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        let disk = self.disk.lock();
        if !disk.folders.contains(folder) {
            return Err(missing(folder));
        }
        let all = disk.files.keys().chain(&disk.folders).filter(|path| path.parent() == Some(folder));
        Ok(all.cloned().collect::<BTreeSet<_>>().into_iter().collect())
    }

    fn len_of(&self, path: &Path) -> Result<Option<u64>> {
        Ok(self.disk.lock().files.get(path).map(|bytes| bytes.lock().len() as u64))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let mut disk = self.disk.lock();
        let bytes = Arc::clone(disk.files.get(from).ok_or_else(|| missing(from))?);
        disk.check_name(to)?;
        if disk.files.get(to).is_some_and(|there| Arc::ptr_eq(there, &bytes)) {
            // Two names of one file: both stay, as POSIX has it.
            return Ok(());
        }
        disk.forget(to);
        disk.files.remove(from);
        disk.files.insert(to.to_path_buf(), bytes);
        Ok(())
    }

    fn hard_link(&self, from: &Path, to: &Path) -> Result<()> {
        let mut disk = self.disk.lock();
        let bytes = Arc::clone(disk.files.get(from).ok_or_else(|| missing(from))?);
        disk.check_name(to)?;
        if !disk.links {
            return Err(Error::new(ErrorKind::Unsupported, "there are no second names here").at(to));
        }
        if disk.files.contains_key(to) {
            return Err(taken(to));
        }
        disk.files.insert(to.to_path_buf(), bytes);
        Ok(())
    }

    fn sync_folder(&self, folder: &Path) -> Result<()> {
        match self.disk.lock().folders.contains(folder) {
            true => Ok(()),
            false => Err(missing(folder)),
        }
    }

    fn remove(&self, path: &Path) -> Result<()> {
        match self.disk.lock().forget(path) {
            true => Ok(()),
            false => Err(missing(path)),
        }
    }

    fn remove_folder(&self, folder: &Path) -> Result<()> {
        let inside: Vec<PathBuf> = self.disk.lock().files.keys().filter(|path| path.starts_with(folder)).cloned().collect();
        for path in inside {
            self.remove(&path)?;
        }
        let mut disk = self.disk.lock();
        if !disk.folders.contains(folder) {
            return Err(missing(folder));
        }
        disk.folders.retain(|path| !path.starts_with(folder));
        Ok(())
    }

    fn remove_empty_folder(&self, folder: &Path) -> Result<()> {
        if !self.list(folder)?.is_empty() {
            return Err(Error::io("the folder cannot be removed", std::io::ErrorKind::DirectoryNotEmpty.into()).at(folder));
        }
        self.disk.lock().folders.remove(folder);
        Ok(())
    }

    fn lock(&self, path: &Path) -> Result<Option<Lock>> {
        self.open(path, Open::Create)?;
        if !self.disk.lock().locked.insert(path.to_path_buf()) {
            return Ok(None);
        }
        Ok(Some(Lock::new(Locked { disk: Arc::clone(&self.disk), path: path.to_path_buf() })))
    }
}

#[derive(Debug)]
struct Locked {
    disk: Arc<Mutex<Disk>>,
    path: PathBuf,
}

impl Held for Locked {}

impl Drop for Locked {
    fn drop(&mut self) {
        self.disk.lock().locked.remove(&self.path);
    }
}

#[derive(Debug)]
struct MemoryFile {
    disk: Arc<Mutex<Disk>>,
    bytes: Arc<Mutex<Vec<u8>>>,
    path: PathBuf,
    read_only: bool,
}

impl MemoryFile {
    /// Sets the length, and counts it if the file still has its name. Locks the disk before the file, as all do.
    fn set_len(&self, len: u64, only_grow: bool) -> Result<()> {
        if self.read_only {
            return Err(Error::io("the file was opened to be read", std::io::ErrorKind::PermissionDenied.into()).at(&self.path));
        }
        let mut disk = self.disk.lock();
        let named = disk.files.get(&self.path).is_some_and(|bytes| Arc::ptr_eq(bytes, &self.bytes)) || disk.named(&self.bytes);
        let mut bytes = self.bytes.lock();
        let before = bytes.len() as u64;
        if only_grow && len <= before {
            return Ok(());
        }
        if named {
            if disk.used - before + len > disk.capacity {
                return Err(Error::io("the file cannot grow", std::io::ErrorKind::StorageFull.into()).at(&self.path).offset(before));
            }
            disk.used = disk.used - before + len;
        }
        bytes.resize(len as usize, 0);
        Ok(())
    }
}

impl BackendFile for MemoryFile {
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<()> {
        let held = self.bytes.lock();
        let from = offset as usize;
        match held.get(from..from.saturating_add(bytes.len())) {
            Some(part) => {
                bytes.copy_from_slice(part);
                Ok(())
            }
            None => Err(Error::io("the file cannot be read", std::io::ErrorKind::UnexpectedEof.into()).at(&self.path).offset(offset)),
        }
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.set_len(offset + bytes.len() as u64, true)?;
        let mut held = self.bytes.lock();
        let from = offset as usize;
        if let Some(part) = held.get_mut(from..from.saturating_add(bytes.len())) {
            part.copy_from_slice(bytes);
        }
        Ok(())
    }

    fn allocate(&self, len: u64) -> Result<()> {
        self.set_len(len, true)
    }

    fn truncate(&self, len: u64) -> Result<()> {
        self.set_len(len, false)
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn len(&self) -> Result<u64> {
        Ok(self.bytes.lock().len() as u64)
    }

    fn map(&self, offset: u64, len: usize) -> Result<Option<FileMap>> {
        let held = self.bytes.lock();
        let part = usize::try_from(offset).ok().and_then(|from| held.get(from..from.checked_add(len)?));
        part.map(|part| Some(FileMap::copied(part.into()))).ok_or_else(|| beyond(&self.path, offset))
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
    fn memory_conforms() {
        for backend in [MemoryBackend::new(1 << 30), MemoryBackend::new(1 << 30).without_links()] {
            backend.create_folder(Path::new("/m")).unwrap();
            check_backend(&backend, Path::new("/m")).unwrap();
            assert_eq!(backend.used(), 0);
        }
    }

    #[test]
    fn the_capacity_is_the_most_that_fits() {
        let backend = MemoryBackend::new(1000);
        backend.create_folder(Path::new("/m")).unwrap();
        let file = backend.open(Path::new("/m/f"), Open::Create).unwrap();
        file.allocate(900).unwrap();
        assert_eq!(file.write_at(900, &[1; 101]).unwrap_err().kind(), ErrorKind::DiskFull);
        file.write_at(900, &[1; 100]).unwrap();
        assert_eq!((file.len().unwrap(), backend.used()), (1000, 1000));
    }
}
