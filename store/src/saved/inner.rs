//! What all handles of one open store share.

use super::commit::Queue;
use super::pins::{Pinned, Pins};
use crate::catalogue::Index;
use crate::format::MANIFEST_NAME;
use crate::io::{Backend, Lock, Open};
use crate::manifest::{Changes, Entry, Manifest};
use crate::recover::replay;
use crate::segment::{Commit, Place, Segments, Table};
use crate::{Arena, Error, ErrorKind, Result};
use parking_lot::{Condvar, Mutex, RwLock};
use rustc_hash::FxHashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// The bytes of a part of the state in a manifest that is written anew, about.
const PART_BYTES: usize = 1 << 20;

/// What all handles of one open store share.
///
/// Lock order: the manifest (held by who leads a commit), the layout, and the locks of index, segments and pins, which are never held
/// across each other. Dropped in the order of the fields: the lock of the store is given back last.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) folder: PathBuf,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) arena: Arena,
    pub(crate) store_id: u64,
    /// Of the last commit, or of the snapshot that is read.
    pub(crate) index: Index,
    pub(crate) segments: Segments,
    /// Nothing where the store is only read.
    pub(crate) manifest: Option<Mutex<Manifest>>,
    pub(crate) pins: Pins,
    /// The datasets that have a writer.
    pub(super) writers: Mutex<FxHashSet<u64>>,
    /// Held to read while segments are looked up and pinned, and to write while segments are dropped.
    pub(crate) layout: RwLock<()>,
    pub(super) queue: Mutex<Queue>,
    pub(super) turn: Condvar,
    /// Whether a sync failed: what is saved is in doubt until the store is opened again.
    pub(crate) poisoned: AtomicBool,
    /// Whether one refresh of a snapshot is under way.
    pub(super) refreshing: Mutex<()>,
    lock: Option<Lock>,
}

/// Tables of a dataset, with the segments that they lead to held in place.
#[derive(Debug)]
pub(crate) struct OpenTables {
    /// From the oldest to the newest.
    pub(crate) tables: Vec<Arc<Table>>,
    pub(crate) pinned: Pinned,
}

impl Drop for Inner {
    /// Without the lock, what was not committed is left: it may stand where another writes.
    fn drop(&mut self) {
        self.check_lock().ok();
    }
}

impl Inner {
    /// Puts the parts of an open store together.
    #[expect(clippy::too_many_arguments, reason = "the parts of a store, put together in one place")]
    pub(crate) fn new(
        folder: PathBuf,
        backend: Arc<dyn Backend>,
        arena: Arena,
        store_id: u64,
        index: Index,
        segments: Segments,
        manifest: Option<Mutex<Manifest>>,
        lock: Option<Lock>,
    ) -> Self {
        let (queue, turn, refreshing) = (Mutex::default(), Condvar::new(), Mutex::default());
        let (pins, writers, layout, poisoned) = (Pins::default(), Mutex::default(), RwLock::default(), AtomicBool::new(false));
        Inner {
            folder,
            backend,
            arena,
            store_id,
            index,
            segments,
            manifest,
            pins,
            writers,
            layout,
            queue,
            turn,
            poisoned,
            refreshing,
            lock,
        }
    }

    /// Refuses where nothing may be written.
    /// Checks that nobody else can have begun to write: the lock file is still the one that is locked.
    ///
    /// # Errors
    /// Unusable where it is not, from then on.
    pub(crate) fn check_lock(&self) -> Result<()> {
        if self.lock.as_ref().is_none_or(Lock::is_held) {
            return Ok(());
        }
        self.segments.abandon();
        self.poisoned.store(true, Relaxed);
        let message =
            "the lock file of the store was removed or replaced while it was open to write; another writer may have changed the store";
        Err(Error::new(ErrorKind::Unusable, message).at(&self.folder).hint("nothing more is written; verify the store, and open it again"))
    }

    pub(crate) fn writable(&self) -> Result<&Mutex<Manifest>> {
        if self.poisoned.load(Relaxed) {
            let message = "a sync failed before, so that it is not known what is saved; nothing more is written";
            return Err(Error::new(ErrorKind::Unusable, message)
                .at(&self.folder)
                .hint("open the store again: it has the last commit or the one that failed"));
        }
        self.manifest.as_ref().ok_or_else(|| {
            let error = Error::new(ErrorKind::Unusable, "the store is open to read only").at(&self.folder);
            error.hint("open it for writing")
        })
    }

    /// Asks the index. Where that on disk fails, it is read anew from the manifest, into memory.
    pub(crate) fn ask<R>(&self, question: impl Fn(&Index) -> Result<R>) -> Result<R> {
        match question(&self.index) {
            Err(error) if self.index_failed(&error) => {
                self.rebuild_index()?;
                question(&self.index)
            }
            other => other,
        }
    }

    /// Whether an error is of the index on disk.
    pub(super) fn index_failed(&self, error: &Error) -> bool {
        error.kind() == ErrorKind::Corrupt && self.index.is_on_disk()
    }

    /// Reads the index anew from the manifest, into memory.
    pub(super) fn rebuild_index(&self) -> Result<()> {
        let index = Index::in_memory(self.arena.ledger(), self.store_id)?;
        let file = self.backend.open(&self.folder.join(MANIFEST_NAME), Open::Read)?;
        replay(&*file, &index, self.arena.ledger())?;
        self.index.replace(index);
        Ok(())
    }

    /// The dataset of a name, with its tables.
    pub(crate) fn open_dataset(&self, name: &str) -> Result<(Entry, OpenTables)> {
        let _layout = self.layout.read();
        let entry = self.ask(|index| index.by_name(name))?.ok_or_else(|| super::overlay::not_found(name))?;
        let tables = self.open_tables(&entry.tables)?;
        Ok((entry, tables))
    }

    /// Opens tables, and pins what they lead to. The layout is locked.
    pub(crate) fn open_tables(&self, places: &[Place]) -> Result<OpenTables> {
        let mut open = OpenTables { tables: Vec::with_capacity(places.len()), pinned: self.pins.none() };
        for place in places {
            open.pinned.add(place.segment);
            let table = Table::open(&self.segments, *place).map_err(|error| self.explain(error))?;
            table.segments().iter().for_each(|segment| open.pinned.add(*segment));
            open.tables.push(Arc::new(table));
        }
        Ok(open)
    }

    /// Says of an error of reading what is behind it, where a snapshot is older than the files.
    pub(crate) fn explain(&self, error: Error) -> Error {
        let gone = error.path().is_some_and(|path| matches!(self.backend.exists(path), Ok(false)));
        match gone {
            true if self.manifest.is_none() => error
                .of_kind(ErrorKind::NotFound)
                .hint("the writer has removed the file since this snapshot was taken: refresh the store, and open the dataset again"),
            true => error.of_kind(ErrorKind::NotFound).hint("a file of the store was deleted: run `chunkstore repair` on the folder"),
            false => error,
        }
    }

    /// The segments that the manifest knows.
    pub(crate) fn commits(&self) -> Vec<Commit> {
        self.segments.segments().into_iter().filter(|commit| commit.len > 0).collect()
    }

    /// The whole state, in parts of about a MiB, for a manifest that is written anew.
    pub(crate) fn state_parts(&self) -> Result<impl Iterator<Item = Result<Vec<u8>>> + '_> {
        let mut names = self.index.names("")?.into_iter();
        let mut segments = Some(self.commits());
        Ok(std::iter::from_fn(move || {
            let first = segments.is_some();
            let mut part = Changes { segments: segments.take().unwrap_or_default(), ..Changes::default() };
            let mut bytes = 0;
            for name in names.by_ref() {
                match self.index.by_name(&name) {
                    Ok(entry) => part.puts.extend(entry),
                    Err(error) => return Some(Err(error)),
                }
                bytes += part.puts.last().map_or(0, Entry::encoded_len);
                if bytes >= PART_BYTES {
                    break;
                }
            }
            let mut out = Vec::new();
            part.encode(&mut out);
            (first || part != Changes::default()).then_some(Ok(out))
        }))
    }
}

/// A random number for a store or a dataset, never 0.
pub(crate) fn random_id() -> u64 {
    use std::hash::{BuildHasher, Hasher};
    std::hash::RandomState::new().build_hasher().finish().max(1)
}
