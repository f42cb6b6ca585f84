//! A dataset into which blocks are put as they are made, and in which they are found again.
//!
//! State:
//! - `found`: the blocks that were there at the beginning, by layer; it does not change.
//! - `dataset`: where those are read; nothing where there were none, and after the end.
//! - `open`: the store, and the writer, made with the first block that is put; each commit adds what was put since the one before.
//! - `damaged`: blocks that could not be read. They are taken out at the end, so that the next run makes them.

use crate::graph::{Key, Value, patiently};
use crate::{Error, ErrorKind, Result};
use chunkstore_store::{Arena, Dataset, DatasetKind, DatasetWriter, Store};
use parking_lot::{Mutex, RwLock};
use rustc_hash::FxHashMap;
use smallvec::SmallVec;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// The kind of the datasets.
const KIND: &str = "checkpoint";

/// Runs that end within this time leave no trace: making it all again takes no longer. It is also the least time between two commits.
const SHORT: Duration = Duration::from_millis(100);

/// What was put waits for its commit at most so long, unless commits are slow.
const LONG: Duration = Duration::from_secs(1);

/// A run is this many times as old as what waits, and spends at most such a part of its time on commits.
const SHARE: u32 = 20;

/// The bytes that are booked for each block that is found: its number and its size, in a list that grows by doubling.
const FOUND_BYTES: u64 = 32;

/// The bytes that are booked for each layer, or delayed call, of which blocks are found.
const LIST_BYTES: u64 = 128;

/// How chunks are called.
#[derive(Clone, Copy)]
pub(super) enum Naming {
    /// By the number of the block, of the one layer of this key.
    Number(Key),
    /// By the layer's key and the number of the block.
    Layer,
}

/// The blocks of a layer that were there, in order, and the bytes that each takes on disk.
#[derive(Clone, Default)]
pub(super) struct Found(Arc<Vec<(u32, u32)>>);

impl Found {
    /// The bytes on disk of a block; nothing where it was not there.
    pub(super) fn stored(&self, block: u32) -> Option<u64> {
        let at = self.0.binary_search_by_key(&block, |(block, _)| *block).ok()?;
        self.0.get(at).map(|(_, stored)| u64::from(*stored))
    }

    /// How many of the first `blocks` blocks were there.
    pub(super) fn count(&self, blocks: u32) -> u32 {
        self.0.partition_point(|(block, _)| *block < blocks) as u32
    }
}

/// The store, which stays open until the end, and what writes there.
struct Open {
    store: Store,
    writer: Option<Arc<DatasetWriter>>,
}

struct Commits {
    last: Instant,
    took: Duration,
}

/// A dataset of blocks: see the head of this file.
pub(super) struct Target {
    name: String,
    naming: Naming,
    meta: serde_json::Value,
    begun: Instant,
    found: FxHashMap<Key, Found>,
    dataset: RwLock<Option<Dataset>>,
    /// Whether the dataset was there at the beginning.
    existed: bool,
    /// Nothing after the end.
    open: Mutex<Option<Open>>,
    commits: Mutex<Commits>,
    damaged: Mutex<Vec<ChunkKey>>,
    /// Blocks that there was no memory to save.
    skipped: AtomicU64,
}

type ChunkKey = SmallVec<[u8; 24]>;

impl Target {
    pub(super) fn new(store: &Store, name: &str, naming: Naming, meta: serde_json::Value) -> Result<Self> {
        let existed = store.info(name)?.is_some();
        let dataset = if existed { Some(store.dataset(name)?) } else { None };
        let now = Instant::now();
        let mut target = Target {
            name: name.to_string(),
            naming,
            meta,
            begun: now,
            found: FxHashMap::default(),
            dataset: RwLock::new(None),
            existed,
            open: Mutex::new(Some(Open { store: store.clone(), writer: None })),
            commits: Mutex::new(Commits { last: now, took: Duration::ZERO }),
            damaged: Mutex::default(),
            skipped: AtomicU64::new(0),
        };
        if let Some(dataset) = &dataset {
            target.found = target.look(dataset)?;
        }
        target.dataset = RwLock::new(dataset);
        Ok(target)
    }

    /// The blocks that a dataset has.
    fn look(&self, dataset: &Dataset) -> Result<FxHashMap<Key, Found>> {
        let mut lists = FxHashMap::<Key, Vec<(u32, u32)>>::default();
        dataset.each(|key, place| {
            if let Some((layer, block)) = self.block_of(key) {
                lists.entry(layer).or_default().push((block, u32::try_from(place.len).unwrap_or(u32::MAX)));
            }
            Ok(())
        })?;
        let found = lists.into_iter().map(|(key, mut list)| {
            list.sort_unstable();
            list.dedup_by_key(|(block, _)| *block);
            (key, Found(Arc::new(list)))
        });
        Ok(found.collect())
    }

    fn chunk_key(&self, layer: Key, block: u32) -> ChunkKey {
        match self.naming {
            Naming::Number(_) => SmallVec::from_slice(&u64::from(block).to_be_bytes()),
            Naming::Layer => layer.0.into_iter().chain(block.to_be_bytes()).collect(),
        }
    }

    fn block_of(&self, key: &[u8]) -> Option<(Key, u32)> {
        match self.naming {
            Naming::Number(layer) => Some((layer, u32::try_from(u64::from_be_bytes(key.try_into().ok()?)).ok()?)),
            Naming::Layer => {
                let (layer, block) = key.split_at_checked(16)?;
                Some((Key(layer.try_into().ok()?), u32::from_be_bytes(block.try_into().ok()?)))
            }
        }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The bytes that what was found takes in memory.
    pub(super) fn bytes(&self) -> u64 {
        self.found.values().map(|found| LIST_BYTES + found.0.len() as u64 * FOUND_BYTES).sum()
    }

    /// The blocks of a layer that were there.
    pub(super) fn found(&self, layer: Key) -> Found {
        self.found.get(&layer).cloned().unwrap_or_default()
    }

    /// The bytes of a block that is there.
    pub(super) fn bytes_of(&self, layer: Key, block: u32) -> Option<u64> {
        let dataset = self.dataset.read();
        let stored = dataset.as_ref()?.header_of(&self.chunk_key(layer, block)).ok()??;
        Some(stored.header.payload_len())
    }

    /// A block that is there.
    pub(super) fn read(&self, layer: Key, block: u32, arena: &Arena) -> Result<Value> {
        let key = self.chunk_key(layer, block);
        let missing = || Error::new(ErrorKind::Corrupt, format!("block {block} has gone from the checkpoint {}", self.name));
        let read = || {
            let dataset = self.dataset.read();
            let dataset = dataset.as_ref().ok_or_else(missing)?;
            Ok(Value::Chunk(dataset.get_in(&key, arena)?.ok_or_else(missing)?))
        };
        patiently(read).map_err(|error| match error.kind() {
            ErrorKind::Corrupt | ErrorKind::Truncated => self.damaged(layer, block, error),
            _ => error,
        })
    }

    /// Notes that a block is of no use, and says in an error what comes of that.
    pub(super) fn damaged(&self, layer: Key, block: u32, error: Error) -> Error {
        self.damaged.lock().push(self.chunk_key(layer, block));
        error.hint("compute the same again: what is damaged was taken out of the checkpoint, and is made again")
    }

    /// Saves a block that was made. Objects of the user's and lists cannot be.
    pub(super) fn save(&self, layer: Key, block: u32, value: &Value) -> Result<()> {
        let Value::Chunk(chunk) = value else { return Ok(()) };
        if matches!(self.naming, Naming::Layer) && !self.existed && self.begun.elapsed() < SHORT {
            return Ok(());
        }
        let Some(writer) = self.writer()? else { return Ok(()) };
        match writer.put_key(&self.chunk_key(layer, block), chunk).map_err(Error::from) {
            // The run can do without.
            Err(error) if error.kind() == ErrorKind::OutOfMemory => {
                self.skipped.fetch_add(1, Relaxed);
                return Ok(());
            }
            put => put.map_err(resumable)?,
        }
        // One thread commits for all; the others go on.
        if let Some(mut commits) = self.commits.try_lock() {
            let began = Instant::now();
            let patience = (began - self.begun) / SHARE;
            if began - commits.last >= patience.clamp(SHORT, LONG).max(commits.took * SHARE) {
                commit(&writer)?;
                (commits.last, commits.took) = (Instant::now(), began.elapsed());
            }
        }
        Ok(())
    }

    /// What writes; nothing after the end.
    fn writer(&self) -> Result<Option<Arc<DatasetWriter>>> {
        let mut open = self.open.lock();
        let Some(Open { store, writer }) = &mut *open else { return Ok(None) };
        if let Some(writer) = writer {
            return Ok(Some(writer.clone()));
        }
        let made = match self.existed {
            true => store.update(&self.name)?,
            false => store.create(&self.name, DatasetKind::new(KIND, self.meta.clone()))?,
        };
        Ok(Some(writer.insert(Arc::new(made)).clone()))
    }

    /// Nothing is read or saved any more.
    fn close(&self) -> Option<Open> {
        *self.dataset.write() = None;
        self.open.lock().take()
    }

    /// Ends it where it has not ended: what was not committed is lost.
    pub(super) fn end(&self) {
        drop(self.close());
    }

    /// Ends it, and keeps what was saved; what was damaged goes.
    pub(super) fn keep(&self) -> Result<()> {
        let damaged = std::mem::take(&mut *self.damaged.lock());
        if !damaged.is_empty() {
            let writer = self.writer()?;
            for key in &damaged {
                writer.as_ref().map(|writer| writer.remove_key(key)).transpose()?;
            }
        }
        self.close().and_then(|open| open.writer).map_or(Ok(()), |writer| commit(&writer))
    }

    /// Ends it, and removes it with all that was saved.
    pub(super) fn remove(&self) -> Result<()> {
        let Some(Open { store, writer }) = self.close() else { return Ok(()) };
        if writer.is_none() && !self.existed {
            return Ok(());
        }
        drop(writer);
        if store.remove(&self.name)? {
            store.gc(false)?;
            store.compact()?;
        }
        Ok(())
    }

    /// Notes that there was no memory to save a block.
    pub(super) fn skip(&self) {
        self.skipped.fetch_add(1, Relaxed);
    }

    /// How many blocks there was no memory to save.
    pub(super) fn skipped(&self) -> u64 {
        self.skipped.load(Relaxed)
    }
}

/// Saves what was put. Where there is no memory for that now, the next one does it.
fn commit(writer: &DatasetWriter) -> Result<()> {
    match writer.flush().map_err(Error::from) {
        Err(error) if error.kind() == ErrorKind::OutOfMemory => Ok(()),
        flushed => flushed.map_err(resumable),
    }
}

/// Says of an error that what was saved before is found again.
fn resumable(error: Error) -> Error {
    match error.kind() {
        ErrorKind::DiskFull => {
            error.hint("make room for the checkpoint folder and compute the same again: what was saved is not made again")
        }
        _ => error,
    }
}
