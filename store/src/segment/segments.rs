//! The segments of one folder.
//!
//! ```text
//!   small frames --> lane 0:  page of 512 KiB ---- when full, or at a checkpoint --->  a segment
//!   large frames --> lane 1..: whole blocks, by direct I/O, from where they are ---->  a segment each
//! ```
//! A lane has at most one segment that is being written, and one thread in it at a time; as many threads as there are lanes
//! write at once. A segment that is long enough is sealed, and the lane takes the next. Lock order: staging buffer, lane,
//! the state of a segment; the maps and lists here are locked last and never across I/O.

use super::active::Page;
use super::frame::corrupt;
use super::header::{SegmentHeader, id_of, name_of};
use super::lane::Lane;
use super::options::SegmentOptions;
use super::place::Place;
use super::shared::{Commit, Shared};
use crate::codec::{Staging, StagingPool, Verdicts};
use crate::format::BLOCK_BYTES;
use crate::io::{Backend, BackendFile, Open};
use crate::{Arena, Error, ErrorKind, Result};
use lru::LruCache;
use parking_lot::{Mutex, RwLock};
use rustc_hash::FxHashMap;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// The most segments that are open to be read.
const OPEN_FILES: usize = 64;

/// The most large frames that are written at once.
const MOST_LANES: usize = 4;

/// What the name of a copy that is not finished ends with, after a dot.
pub(super) const PART: &str = "part";

/// The segments of one folder. Clones share them; all calls can come from several threads at once.
///
/// What is appended is there to stay only after [`Segments::checkpoint`] and a record of what it gave in the manifest, of
/// which [`Segments::acknowledge`] tells. Who writes holds the lock of the store for longer than this lives: dropping the last
/// clone cuts what was not synced.
#[derive(Debug, Clone)]
pub(crate) struct Segments(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) folder: PathBuf,
    pub(super) store: u64,
    pub(super) arena: Arena,
    pub(super) options: SegmentOptions,
    pub(super) staging: StagingPool,
    pub(super) verdicts: Verdicts,
    pub(super) small: Mutex<Lane>,
    pub(super) large: Vec<Mutex<Lane>>,
    /// All segments that there are.
    pub(super) known: RwLock<FxHashMap<u64, Arc<Shared>>>,
    /// Those that lanes write, and those of which the manifest does not know all.
    pub(super) open: Mutex<FxHashMap<u64, Arc<Shared>>>,
    /// One checkpoint at a time.
    pub(super) committing: Mutex<()>,
    /// Those that were neither sealed nor full when the store was opened.
    pub(super) spare: Mutex<Vec<u64>>,
    /// Those that failed, with the small frames that are in memory only.
    pub(super) failed: Mutex<Vec<FailedSegment>>,
    pub(super) failures: AtomicU64,
    /// Whether names were given or taken since the folder was synced.
    pub(super) names_changed: AtomicBool,
    /// Whether a sync failed: nothing more is written.
    pub(super) poisoned: AtomicBool,
    /// Whose turn it is where all lanes are taken.
    pub(super) turn: AtomicU64,
    pub(super) disk_bytes: AtomicU64,
    files: Mutex<LruCache<u64, Arc<dyn BackendFile>>>,
}

/// A segment that takes no more frames since a write failed.
#[derive(Debug)]
pub(super) struct FailedSegment {
    pub(super) shared: Arc<Shared>,
    /// What was to be written where the file ended.
    pub(super) page: Option<(u64, Page)>,
}

impl Segments {
    /// The segments in `folder`, of which none is known before [`Segments::restore`]. The folder is made where it is missing,
    /// unless nothing is to be written.
    ///
    /// # Errors
    /// Unusable where the folder cannot be used; out of memory where the ledger has no room for the staging buffers.
    pub(crate) fn open(backend: Arc<dyn Backend>, folder: &Path, store: u64, arena: &Arena, options: SegmentOptions) -> Result<Self> {
        let threads = options.threads.clamp(1, 64);
        let staging = (0..threads).map(|_| Staging::new(arena)).collect::<Result<Vec<_>>>()?;
        if !options.read_only {
            for made in backend.create_folder(folder)? {
                backend.sync_folder(made.parent().unwrap_or(&made))?;
            }
        }
        let most = NonZeroUsize::new(OPEN_FILES).unwrap_or(NonZeroUsize::MIN);
        Ok(Segments(Arc::new(Inner {
            backend,
            folder: folder.to_path_buf(),
            store,
            arena: arena.clone(),
            options,
            staging: StagingPool::new(staging),
            verdicts: Verdicts::new(),
            small: Mutex::default(),
            large: (0..threads.min(MOST_LANES)).map(|_| Mutex::default()).collect(),
            known: RwLock::default(),
            open: Mutex::default(),
            committing: Mutex::default(),
            spare: Mutex::default(),
            failed: Mutex::default(),
            failures: AtomicU64::new(0),
            names_changed: AtomicBool::new(false),
            poisoned: AtomicBool::new(false),
            turn: AtomicU64::new(0),
            disk_bytes: AtomicU64::new(0),
            files: Mutex::new(LruCache::new(most)),
        })))
    }

    /// Makes the segments of the manifest known, at the opening, and cuts from those that are not sealed what is beyond their
    /// committed length. It is done once, before anything is appended. Who only reads cuts nothing, and may do this again: then these
    /// segments are the known ones, all at once.
    ///
    /// # Errors
    /// Out of memory where there is no room to remember them; the error of a failed cut. Files that are missing or too
    /// short are no error here, but when they are read.
    pub(crate) fn restore(&self, commits: &[Commit]) -> Result<()> {
        let (mut fresh, mut bytes) = (FxHashMap::default(), 0);
        for commit in commits {
            let allocated = if commit.sealed { commit.len } else { self.0.cut(commit)? };
            let shared = Shared::new(commit.segment, commit.len, allocated, commit.sealed, self.0.arena.ledger())?;
            fresh.insert(commit.segment, Arc::new(shared));
            bytes += allocated;
        }
        *self.0.known.write() = fresh;
        self.0.disk_bytes.store(bytes, Relaxed);
        Ok(())
    }

    /// The segments that are known, with what is there to stay of each, in order of their numbers.
    pub(crate) fn segments(&self) -> Vec<Commit> {
        let known = self.0.known.read();
        let mut all: Vec<Commit> = known.values().map(|shared| shared.commit()).collect();
        all.sort_by_key(|commit| commit.segment);
        all
    }

    /// The segments in the folder that are not known: left by writers that died before their commit, or lost by the manifest.
    ///
    /// # Errors
    /// Those of the operating system.
    pub(crate) fn strays(&self) -> Result<Vec<u64>> {
        let known = self.0.known.read();
        let ids = self.0.backend.list(&self.0.folder)?;
        Ok(ids.iter().filter_map(|path| id_of(path)).filter(|id| !known.contains_key(id)).collect())
    }

    /// Copies of segments that were begun and not finished; they can be removed.
    ///
    /// # Errors
    /// Those of the operating system.
    pub(crate) fn unfinished(&self) -> Result<Vec<PathBuf>> {
        let all = self.0.backend.list(&self.0.folder)?;
        Ok(all
            .into_iter()
            .filter(|path| path.extension().is_some_and(|end| end == PART) && id_of(&path.with_extension("seg")).is_some())
            .collect())
    }

    /// Writes, cuts and removes nothing from now on: another may be writing.
    pub(crate) fn abandon(&self) {
        self.0.poisoned.store(true, Relaxed);
    }

    /// Removes a segment, known or stray, that nothing needs any more and no lane writes. Who reads it can go on.
    ///
    /// # Errors
    /// Those of the operating system; where the file is missing, there is nothing to do.
    pub(crate) fn remove(&self, segment: u64) -> Result<()> {
        let inner = &self.0;
        inner.writable()?;
        if inner.is_active(segment) {
            let message = "a segment that is being written cannot be removed";
            return Err(Error::new(ErrorKind::Invalid, message).at(inner.path_of(segment)));
        }
        inner.files.lock().pop(&segment);
        let path = inner.path_of(segment);
        if inner.backend.exists(&path)? {
            inner.backend.remove(&path)?;
            inner.names_changed.store(true, Relaxed);
        }
        inner.spare.lock().retain(|id| *id != segment);
        inner.open.lock().remove(&segment);
        inner.failed.lock().retain(|failed| failed.shared.id != segment);
        if let Some(shared) = inner.known.write().remove(&segment) {
            inner.disk_bytes.fetch_sub(shared.state.lock().allocated, Relaxed);
        }
        Ok(())
    }

    /// The bytes of the files of all known segments.
    pub(crate) fn disk_bytes(&self) -> u64 {
        self.0.disk_bytes.load(Relaxed)
    }

    /// The file of a segment.
    pub(crate) fn path_of(&self, segment: u64) -> PathBuf {
        self.0.path_of(segment)
    }

    /// Whether the file of a segment is not there, as far as can be told.
    pub(crate) fn is_missing(&self, segment: u64) -> bool {
        matches!(self.0.backend.len_of(&self.0.path_of(segment)), Ok(None))
    }

    /// Whether the folder of the segments is not there, as far as can be told.
    pub(crate) fn folder_is_missing(&self) -> bool {
        let all = self.0.folder.parent().map(|parent| self.0.backend.list(parent));
        matches!(all, Some(Ok(all)) if !all.contains(&self.0.folder))
    }

    /// Where buffers come from.
    pub(crate) fn arena(&self) -> &Arena {
        &self.0.arena
    }
}

impl Inner {
    pub(super) fn path_of(&self, segment: u64) -> PathBuf {
        self.folder.join(name_of(segment))
    }

    /// Refuses where nothing may be written.
    pub(super) fn writable(&self) -> Result<()> {
        if self.options.read_only {
            let error = Error::new(ErrorKind::Unusable, "the store was opened to be read only").at(&self.folder);
            return Err(error.hint("open it for writing"));
        }
        if self.poisoned.load(Relaxed) {
            let message = "what was written last may not have reached the disk, so nothing more is written";
            return Err(Error::new(ErrorKind::Io, message).at(&self.folder).hint("open the store again; what was committed is kept"));
        }
        Ok(())
    }

    /// The file of a segment, open to be read; its first block was checked.
    pub(super) fn file(&self, segment: u64) -> Result<Arc<dyn BackendFile>> {
        if let Some(file) = self.files.lock().get(&segment) {
            return Ok(Arc::clone(file));
        }
        let path = self.path_of(segment);
        let file = self.backend.open(&path, Open::Read)?;
        if !self.options.any_header {
            let mut block = [0; BLOCK_BYTES];
            file.read_at(0, &mut block)?;
            let header = SegmentHeader::decode(&block).map_err(|e| e.at(&path).offset(0))?;
            if header.id != segment {
                return Err(corrupt(format!("this is the segment {:016x} under the name of another", header.id)).at(&path));
            }
        }
        self.files.lock().put(segment, Arc::clone(&file));
        Ok(file)
    }

    /// The segment that a place is in.
    pub(super) fn shared(&self, place: Place) -> Result<Arc<Shared>> {
        let unknown = || corrupt("the manifest knows no segment of this name").at(self.path_of(place.segment)).offset(place.offset);
        self.known.read().get(&place.segment).cloned().ok_or_else(unknown)
    }

    /// Whether a lane writes a segment.
    fn is_active(&self, segment: u64) -> bool {
        std::iter::once(&self.small).chain(&self.large).any(|lane| lane.lock().segment() == Some(segment))
    }

    /// Cuts a segment that is not sealed to its committed length, unless it is shorter or nothing may be written, and lets
    /// lanes have it; gives the bytes of its file.
    fn cut(&self, commit: &Commit) -> Result<u64> {
        let path = self.path_of(commit.segment);
        let there = self.backend.len_of(&path)?.unwrap_or(0);
        if self.options.read_only || there < commit.len {
            return Ok(there);
        }
        if there > commit.len {
            self.backend.open(&path, Open::Existing)?.truncate(commit.len)?;
        }
        self.spare.lock().push(commit.segment);
        Ok(commit.len)
    }
}

impl Shared {
    /// What is there to stay, as far as the manifest was told.
    pub(super) fn commit(&self) -> Commit {
        let state = self.state.lock();
        Commit { segment: self.id, len: state.acknowledged, sealed: state.sealed_acknowledged }
    }
}

impl Drop for Inner {
    /// Cuts what was never synced, and what was reserved. After a failed sync all is left as it is, for the next opening.
    fn drop(&mut self) {
        if self.options.read_only || self.poisoned.load(Relaxed) {
            return;
        }
        for shared in self.open.get_mut().values() {
            let path = self.folder.join(name_of(shared.id));
            let state = shared.state.lock();
            if state.synced == 0 {
                self.backend.remove(&path).ok();
            } else if state.allocated > state.synced && state.file.is_some() {
                self.backend.open(&path, Open::Existing).and_then(|file| file.truncate(state.synced)).ok();
            }
        }
    }
}
