//! A file system in memory that remembers what a loss of power may undo.
//!
//! Every change is written into a journal. An *image* is what a disk could hold if the power went after some of them:
//!
//! ```text
//! bytes of a file      what was written before its last sync is there; of the later writes, each sector of 512 bytes may or may not be
//! length of a file     likewise: a file that grew is as long as the last sector that is there, or as the last length set that is there
//! names in a folder    what was done before its last sync is done; of the rest, the first few are, in their order
//! ```
//! That is what POSIX promises, and less than most file systems give. (Pillai and others, *All File Systems Are Not Created
//! Equal*, OSDI 2014.)

use super::backend::{Backend, BackendFile, Lock, Open};
use super::map::FileMap;
use super::memory::MemoryBackend;
use crate::Result;
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The bytes that a medium writes whole or not at all.
const SECTOR: u64 = 512;

/// A file system in memory, for tests of what survives a loss of power. Clones share it.
///
/// ```
/// use chunkstore_store::io::{Backend, CrashBackend, Open};
/// use std::path::Path;
/// let disk = CrashBackend::new(1 << 20);
/// disk.create_folder(Path::new("/d"))?;
/// disk.sync_folder(Path::new("/"))?;
/// let file = disk.open(Path::new("/d/f"), Open::Create)?;
/// file.write_at(0, b"held")?;
/// file.sync()?;
/// disk.sync_folder(Path::new("/d"))?;
/// file.write_at(0, b"gone")?;
/// let mut seen = std::collections::BTreeSet::new();
/// for seed in 0..20 {
///     let mut bytes = [0; 4];
///     disk.image(disk.operations(), seed)?.open(Path::new("/d/f"), Open::Existing)?.read_at(0, &mut bytes)?;
///     seen.insert(bytes);
/// }
/// assert_eq!(seen.into_iter().collect::<Vec<_>>(), [*b"gone", *b"held"]);
/// # Ok::<(), chunkstore_store::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct CrashBackend {
    live: MemoryBackend,
    capacity: u64,
    journal: Arc<Mutex<Journal>>,
}

#[derive(Debug, Default)]
struct Journal {
    changes: Vec<Change>,
    /// The file behind each name.
    names: BTreeMap<PathBuf, u64>,
    folders: BTreeSet<PathBuf>,
    files: u64,
}

#[derive(Debug, Clone)]
enum Change {
    CreateFolder(PathBuf),
    RemoveFolder(PathBuf),
    Create(PathBuf, u64),
    Rename(PathBuf, PathBuf),
    Link(PathBuf, PathBuf),
    Remove(PathBuf),
    Write(u64, u64, Arc<[u8]>),
    SetLen(u64, u64),
    Sync(u64),
    SyncFolder(PathBuf),
}

impl Change {
    /// The folder whose names it changes.
    fn folder(&self) -> Option<&Path> {
        match self {
            Change::CreateFolder(path) | Change::RemoveFolder(path) | Change::Create(path, _) | Change::Remove(path) => path.parent(),
            Change::Rename(_, to) | Change::Link(_, to) => to.parent(),
            _ => None,
        }
    }

    /// The file whose bytes it changes.
    fn file(&self) -> Option<u64> {
        match self {
            Change::Write(file, ..) | Change::SetLen(file, _) => Some(*file),
            _ => None,
        }
    }
}

impl CrashBackend {
    /// No files, and room for `capacity` bytes.
    pub fn new(capacity: u64) -> Self {
        CrashBackend { live: MemoryBackend::new(capacity), capacity, journal: Arc::default() }
    }

    /// The changes and syncs so far.
    pub fn operations(&self) -> usize {
        self.journal.lock().changes.len()
    }

    /// The disk as it is if all processes are killed after `operations` changes: the first of them are done, and no others.
    ///
    /// # Errors
    /// Those of the backend that is filled.
    pub fn killed_after(&self, operations: usize) -> Result<MemoryBackend> {
        let changes: Vec<Change> = self.journal.lock().changes.iter().take(operations).cloned().collect();
        build(&changes, self.capacity)
    }

    /// The disk as it may be if the power goes after `operations` changes; `seed` chooses one of the many ways.
    ///
    /// # Errors
    /// Those of the backend that is filled.
    pub fn image(&self, operations: usize, seed: u64) -> Result<MemoryBackend> {
        let changes: Vec<Change> = self.journal.lock().changes.iter().take(operations).cloned().collect();
        let mut dice = Dice(seed ^ (operations as u64) << 32);
        build(&survivors(&changes, &mut dice), self.capacity)
    }

    fn note(&self, change: Change) {
        self.journal.lock().changes.push(change);
    }
}

/// What of `changes` a loss of power leaves.
fn survivors(changes: &[Change], dice: &mut Dice) -> Vec<Change> {
    let mut synced_files: BTreeMap<u64, usize> = BTreeMap::new();
    let mut synced_folders: BTreeMap<&Path, usize> = BTreeMap::new();
    for (at, change) in changes.iter().enumerate() {
        match change {
            Change::Sync(file) => drop(synced_files.insert(*file, at)),
            Change::SyncFolder(folder) => drop(synced_folders.insert(folder, at)),
            _ => {}
        }
    }
    // How likely a change is to survive differs from image to image: nearly none, some, nearly all.
    let likely = [5, 50, 95][(dice.next() % 3) as usize];
    let mut broken: BTreeSet<PathBuf> = BTreeSet::new();
    let mut left = Vec::new();
    for (at, change) in changes.iter().enumerate() {
        if let Some(folder) = change.folder() {
            let synced = synced_folders.get(folder).is_some_and(|sync| at < *sync);
            if !synced && (broken.contains(folder) || dice.next() % 100 >= likely) {
                // What follows in this folder does not happen either.
                broken.insert(folder.to_path_buf());
                continue;
            }
            left.push(change.clone());
        } else if let Some(file) = change.file() {
            if synced_files.get(&file).is_some_and(|sync| at < *sync) {
                left.push(change.clone());
                continue;
            }
            match change {
                Change::Write(file, offset, bytes) => torn(*file, *offset, bytes, likely, dice, &mut left),
                other if dice.next() % 100 < likely => left.push(other.clone()),
                _ => {}
            }
        }
    }
    left
}

/// The sectors of a write that survive.
fn torn(file: u64, offset: u64, bytes: &[u8], likely: u64, dice: &mut Dice, left: &mut Vec<Change>) {
    let end = offset + bytes.len() as u64;
    let mut at = offset;
    while at < end {
        let next = (at / SECTOR + 1) * SECTOR;
        let part = bytes.get((at - offset) as usize..(next.min(end) - offset) as usize).unwrap_or_default();
        if dice.next() % 100 < likely {
            left.push(Change::Write(file, at, part.into()));
        }
        at = next;
    }
}

/// A disk on which `changes` were made. Those that cannot be made, as what they need was not, are passed over.
fn build(changes: &[Change], capacity: u64) -> Result<MemoryBackend> {
    let mut contents: BTreeMap<u64, Vec<u8>> = BTreeMap::new();
    let mut names: BTreeMap<PathBuf, u64> = BTreeMap::new();
    let mut folders: BTreeSet<PathBuf> = BTreeSet::from(["/".into()]);
    for change in changes {
        match change {
            Change::CreateFolder(path) => {
                if path.parent().is_none_or(|above| folders.contains(above)) {
                    folders.insert(path.clone());
                }
            }
            Change::RemoveFolder(path) => {
                folders.retain(|folder| !folder.starts_with(path));
                names.retain(|name, _| !name.starts_with(path));
            }
            Change::Create(path, file) => {
                names.insert(path.clone(), *file);
            }
            Change::Rename(from, to) => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
            Change::Link(from, to) => {
                if let Some(file) = names.get(from).copied() {
                    names.insert(to.clone(), file);
                }
            }
            Change::Remove(path) => {
                names.remove(path);
            }
            Change::Write(file, offset, bytes) => {
                let content = contents.entry(*file).or_default();
                let end = *offset as usize + bytes.len();
                if content.len() < end {
                    content.resize(end, 0);
                }
                if let Some(place) = content.get_mut(*offset as usize..end) {
                    place.copy_from_slice(bytes);
                }
            }
            Change::SetLen(file, len) => contents.entry(*file).or_default().resize(*len as usize, 0),
            Change::Sync(_) | Change::SyncFolder(_) => {}
        }
    }
    let disk = MemoryBackend::new(capacity.saturating_mul(2));
    folders.iter().try_for_each(|folder| disk.create_folder(folder).map(drop))?;
    for (path, file) in &names {
        if path.parent().is_some_and(|parent| folders.contains(parent)) {
            let content = contents.get(file).map(Vec::as_slice).unwrap_or_default();
            disk.open(path, Open::Create)?.write_at(0, content)?;
        }
    }
    Ok(disk)
}

impl Backend for CrashBackend {
    fn create_folder(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        let mut journal = self.journal.lock();
        let made = self.live.create_folder(folder)?;
        let missing: Vec<&Path> = folder.ancestors().filter(|above| !journal.folders.contains(*above)).collect();
        for above in missing.into_iter().rev() {
            journal.folders.insert(above.to_path_buf());
            journal.changes.push(Change::CreateFolder(above.to_path_buf()));
        }
        Ok(made)
    }

    fn check_folder(&self, folder: &Path) -> Result<()> {
        self.live.check_folder(folder)
    }

    fn open(&self, path: &Path, how: Open) -> Result<Arc<dyn BackendFile>> {
        let mut journal = self.journal.lock();
        let inner = self.live.open(path, how)?;
        let file = match journal.names.get(path) {
            Some(file) => *file,
            None => {
                journal.files += 1;
                let file = journal.files;
                journal.names.insert(path.to_path_buf(), file);
                journal.changes.push(Change::Create(path.to_path_buf(), file));
                file
            }
        };
        drop(journal);
        Ok(Arc::new(CrashFile { inner, file, journal: Arc::clone(&self.journal) }))
    }

    fn list(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        self.live.list(folder)
    }

    fn len_of(&self, path: &Path) -> Result<Option<u64>> {
        self.live.len_of(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let mut journal = self.journal.lock();
        self.live.rename(from, to)?;
        if let Some(file) = journal.names.remove(from) {
            journal.names.insert(to.to_path_buf(), file);
        }
        journal.changes.push(Change::Rename(from.to_path_buf(), to.to_path_buf()));
        Ok(())
    }

    fn hard_link(&self, from: &Path, to: &Path) -> Result<()> {
        let mut journal = self.journal.lock();
        self.live.hard_link(from, to)?;
        if let Some(file) = journal.names.get(from).copied() {
            journal.names.insert(to.to_path_buf(), file);
        }
        journal.changes.push(Change::Link(from.to_path_buf(), to.to_path_buf()));
        Ok(())
    }

    fn sync_folder(&self, folder: &Path) -> Result<()> {
        self.live.sync_folder(folder)?;
        self.note(Change::SyncFolder(folder.to_path_buf()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<()> {
        let mut journal = self.journal.lock();
        self.live.remove(path)?;
        journal.names.remove(path);
        journal.changes.push(Change::Remove(path.to_path_buf()));
        Ok(())
    }

    fn remove_folder(&self, folder: &Path) -> Result<()> {
        let mut journal = self.journal.lock();
        self.live.remove_folder(folder)?;
        journal.names.retain(|name, _| !name.starts_with(folder));
        journal.folders.retain(|name| !name.starts_with(folder));
        journal.changes.push(Change::RemoveFolder(folder.to_path_buf()));
        Ok(())
    }

    fn remove_empty_folder(&self, folder: &Path) -> Result<()> {
        let mut journal = self.journal.lock();
        self.live.remove_empty_folder(folder)?;
        journal.folders.remove(folder);
        journal.changes.push(Change::RemoveFolder(folder.to_path_buf()));
        Ok(())
    }

    fn lock(&self, path: &Path) -> Result<Option<Lock>> {
        self.open(path, Open::Create)?;
        self.live.lock(path)
    }
}

#[derive(Debug)]
struct CrashFile {
    inner: Arc<dyn BackendFile>,
    file: u64,
    journal: Arc<Mutex<Journal>>,
}

impl BackendFile for CrashFile {
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<()> {
        self.inner.read_at(offset, bytes)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let mut journal = self.journal.lock();
        self.inner.write_at(offset, bytes)?;
        journal.changes.push(Change::Write(self.file, offset, bytes.into()));
        Ok(())
    }

    fn allocate(&self, len: u64) -> Result<()> {
        let mut journal = self.journal.lock();
        let before = self.inner.len()?;
        self.inner.allocate(len)?;
        if len > before {
            journal.changes.push(Change::SetLen(self.file, len));
        }
        Ok(())
    }

    fn truncate(&self, len: u64) -> Result<()> {
        let mut journal = self.journal.lock();
        self.inner.truncate(len)?;
        journal.changes.push(Change::SetLen(self.file, len));
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        let mut journal = self.journal.lock();
        self.inner.sync()?;
        journal.changes.push(Change::Sync(self.file));
        Ok(())
    }

    fn len(&self) -> Result<u64> {
        self.inner.len()
    }

    fn map(&self, offset: u64, len: usize) -> Result<Option<FileMap>> {
        self.inner.map(offset, len)
    }

    fn path(&self) -> &Path {
        self.inner.path()
    }
}

/// SplitMix64 (Steele, Lea and Flood 2014).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::io::check_backend;

    #[test]
    fn it_conforms_while_the_power_stays() {
        let disk = CrashBackend::new(1 << 30);
        disk.create_folder(Path::new("/c")).unwrap();
        check_backend(&disk, Path::new("/c")).unwrap();
    }

    fn text(disk: &MemoryBackend, path: &str) -> Option<String> {
        let len = disk.len_of(Path::new(path)).unwrap()?;
        let mut bytes = vec![0; len as usize];
        disk.open(Path::new(path), Open::Read).unwrap().read_at(0, &mut bytes).unwrap();
        String::from_utf8(bytes).ok()
    }

    /// The usual way to replace a file, with a step left out or not; the contents that a loss of power may leave.
    fn replaced(sync_file: bool, sync_folder: bool) -> BTreeSet<Option<String>> {
        let disk = CrashBackend::new(1 << 20);
        let (root, old, new) = (Path::new("/"), Path::new("/d/f"), Path::new("/d/f.tmp"));
        disk.create_folder(Path::new("/d")).unwrap();
        disk.sync_folder(root).unwrap();
        let file = disk.open(old, Open::New).unwrap();
        file.write_at(0, b"old").unwrap();
        file.sync().unwrap();
        disk.sync_folder(Path::new("/d")).unwrap();
        let begin = disk.operations();
        let file = disk.open(new, Open::New).unwrap();
        file.write_at(0, b"new").unwrap();
        if sync_file {
            file.sync().unwrap();
        }
        disk.rename(new, old).unwrap();
        if sync_folder {
            disk.sync_folder(Path::new("/d")).unwrap();
        }
        let end = disk.operations();
        let first = if sync_folder { end } else { begin };
        (first..=end)
            .flat_map(|at| (0..60).map(move |seed| (at, seed)))
            .map(|(at, seed)| text(&disk.image(at, seed).unwrap(), "/d/f"))
            .collect()
    }

    #[test]
    fn what_is_not_synced_may_be_lost() {
        let [old, new, empty] = ["old", "new", ""].map(|text| Some(text.to_string()));
        assert_eq!(replaced(true, true), BTreeSet::from([new.clone()]));
        assert_eq!(replaced(true, false), BTreeSet::from([old.clone(), new.clone()]));
        assert_eq!(replaced(false, false), BTreeSet::from([old, new.clone(), empty.clone()]), "a rename before the sync can leave nothing");
        assert_eq!(replaced(false, true), BTreeSet::from([new, empty]));
    }

    #[test]
    fn kills_keep_what_was_done_before() {
        let disk = CrashBackend::new(1 << 20);
        disk.create_folder(Path::new("/a/b")).unwrap();
        let file = disk.open(Path::new("/a/b/f"), Open::Create).unwrap();
        let before = disk.operations();
        file.write_at(2, b"xy").unwrap();
        assert_eq!(text(&disk.killed_after(before).unwrap(), "/a/b/f").as_deref(), Some(""));
        assert_eq!(text(&disk.killed_after(before + 1).unwrap(), "/a/b/f").as_deref(), Some("\0\0xy"));
        assert!(text(&disk.killed_after(2).unwrap(), "/a/b/f").is_none());
    }
}
