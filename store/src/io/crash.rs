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
use super::memory::MemoryBackend;
use crate::{Error, Result};
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
    folders.iter().try_for_each(|folder| disk.create_folder(folder))?;
    for (path, file) in &names {
        if path.parent().is_some_and(|parent| folders.contains(parent)) {
            let content = contents.get(file).map(Vec::as_slice).unwrap_or_default();
            disk.open(path, Open::Create)?.write_at(0, content)?;
        }
    }
    Ok(disk)
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
