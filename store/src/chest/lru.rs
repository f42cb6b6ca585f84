//! A map that is larger than its memory.

use super::entry::Residence;
use super::options::{ChestOptions, ChestStats};
use super::pinned::Pinned;
use super::state::State;
use super::storable::{ChestKey, Storable};
use super::work;
use crate::io::{Backend, FileBackend};
use crate::{Arena, Chunk, Error, ErrorKind, Ledger, Result, Scratch};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::sync::Arc;
use std::thread::JoinHandle;

/// A map from keys to values of which at most so many bytes are in memory; the others are in scratch files.
///
/// The values that were not used for longest leave memory first, written by background threads before their room is
/// needed. A value is written at most once: it stays on disk until its key is removed or given another value. All
/// calls can come from several threads at once. The bound counts the values; beside them there are
/// [`Scratch::staging_bytes`] for each I/O thread and one more, and about 500 bytes a key. A block that is a part of
/// a larger buffer keeps all of that in memory, and is counted for itself only: copy such blocks first.
///
/// ```
/// use chunkstore_store::{Arena, Bytes, Chest, ChestOptions, Ledger};
/// # let folder = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
/// let arena = Arena::new(Ledger::new(64 << 20));
/// let chest: Chest<u32, Bytes> = Chest::temporary(4 << 20, ChestOptions::in_folder(folder.path()))?;
/// for k in 0..16u8 {
///     let mut buffer = arena.alloc(1 << 20)?;
///     buffer.fill(k);
///     chest.put(k.into(), Bytes(buffer.freeze()))?;
/// }
/// let first = chest.get(&0)?.expect("it was put");
/// assert!(first.0.iter().all(|byte| *byte == 0));
/// assert!(chest.get(&99)?.is_none());
/// assert!(chest.stats().peak <= 4 << 20);
/// # Ok::<(), chunkstore_store::Error>(())
/// ```
pub struct Chest<K: ChestKey, V: Storable = Chunk> {
    shared: Arc<Shared<K, V>>,
    threads: Vec<JoinHandle<()>>,
}

pub(super) struct Shared<K, V> {
    memory: u64,
    pub(super) state: Mutex<State<K, V>>,
    /// Told when there may be work for the background.
    pub(super) work: Condvar,
    /// Told when a write, a load or a pin has ended.
    pub(super) changed: Condvar,
    pub(super) scratch: Scratch,
}

impl<K: ChestKey, V: Storable> Chest<K, V> {
    /// A chest of at most `memory` bytes of values, whose files end with it.
    ///
    /// # Errors
    /// Unusable where the scratch folder cannot be used; Invalid for no memory; the errors of the operating system.
    pub fn temporary(memory: u64, options: ChestOptions) -> Result<Self> {
        Self::temporary_on(Arc::new(FileBackend::new()), memory, options)
    }

    /// As [`Chest::temporary`], on another backend.
    ///
    /// # Errors
    /// As for [`Chest::temporary`].
    pub fn temporary_on(backend: Arc<dyn Backend>, memory: u64, options: ChestOptions) -> Result<Self> {
        if memory == 0 {
            return Err(Error::new(ErrorKind::Invalid, "a chest needs memory").hint("give it the bytes of a few values at least"));
        }
        let arena = options.arena.unwrap_or_else(|| Arena::new(Ledger::new(u64::MAX)));
        let scratch = Scratch::open_on(backend, options.scratch.threads(options.threads + 1), &arena)?;
        let state = Mutex::new(State::new(memory));
        let shared = Arc::new(Shared { memory, state, work: Condvar::new(), changed: Condvar::new(), scratch });
        let mut chest = Chest { shared, threads: Vec::new() };
        for number in 0..options.threads {
            let shared = Arc::clone(&chest.shared);
            let thread = std::thread::Builder::new().name(format!("chest-io-{number}")).spawn(move || work::run(&shared));
            chest.threads.push(thread.map_err(|e| Error::io("no thread can be started for the chest", e))?);
        }
        Ok(chest)
    }

    /// Keeps a value under a key; what was there before is forgotten.
    ///
    /// # Errors
    /// Out of memory for a value larger than the bound, or where all that is in memory is pinned. Where a write for
    /// making room failed, its error: what could not be written stays in memory. In all these cases the chest has
    /// the same values as before.
    pub fn put(&self, key: K, value: V) -> Result<()> {
        let (bytes, spills) = (value.nbytes(), value.to_chunk().is_some());
        if bytes > self.shared.memory {
            let message = format!("a value of {bytes} bytes does not fit into a chest that holds {} bytes in memory", self.shared.memory);
            return Err(Error::new(ErrorKind::OutOfMemory, message).hint("give the chest more memory, or cut the value into smaller ones"));
        }
        let mut state = self.shared.state.lock();
        let result = match self.shared.make_room(&mut state, bytes) {
            Ok(()) => state.insert(key, value, bytes, spills),
            Err(e) => Err(e),
        };
        self.shared.leave(state);
        result
    }

    /// The value of a key, pinned in memory; nothing where the key has none.
    ///
    /// # Errors
    /// Corrupt, naming file and place, where its bytes on disk are not what was written; out of memory where all that
    /// is in memory is pinned; the error of a failed read, or of a failed write for making room. The value stays.
    pub fn get(&self, key: &K) -> Result<Option<Pinned<K, V>>> {
        let shared = &*self.shared;
        let mut state = shared.state.lock();
        state.asked_for(key);
        let mut missed = false;
        let result = loop {
            let Some(id) = state.number(key) else { break Ok(None) };
            if let Some(value) = state.pin(id) {
                break Ok(Some(Pinned::new(value, Arc::downgrade(&self.shared), id)));
            }
            missed = true;
            if state.table.residence(id) != Residence::OnDisk {
                shared.changed.wait(&mut state);
                continue;
            }
            let bytes = state.bytes(id);
            if let Err(e) = shared.make_room(&mut state, bytes) {
                break Err(e);
            }
            // Others may have been here while room was made.
            let slot = match state.number(key) == Some(id) {
                true => state.begin_load(id),
                false => None,
            };
            let Some(slot) = slot else {
                state.held -= bytes;
                shared.changed.notify_all();
                continue;
            };
            let trash = std::mem::take(&mut state.trash);
            let read = MutexGuard::unlocked(&mut state, || {
                drop(trash);
                let read = shared.scratch.read(&slot).and_then(V::from_chunk);
                drop(slot);
                read
            });
            let (value, error) = match read {
                Ok(value) => (Some(value), None),
                Err(e) => (None, Some(e)),
            };
            state.end_load(id, value);
            shared.changed.notify_all();
            if let Some(e) = error {
                break Err(e);
            }
        };
        match missed {
            true => state.misses += 1,
            false => state.hits += u64::from(matches!(result, Ok(Some(_)))),
        }
        shared.leave(state);
        result
    }

    /// Whether a key has a value.
    pub fn contains(&self, key: &K) -> bool {
        self.shared.state.lock().number(key).is_some()
    }

    /// Forgets the value of a key; whether there was one.
    pub fn remove(&self, key: &K) -> bool {
        let mut state = self.shared.state.lock();
        let was = state.remove(key);
        self.shared.changed.notify_all();
        self.shared.leave(state);
        was
    }

    /// Forgets all values.
    pub fn clear(&self) {
        self.keys().iter().for_each(|key| {
            self.remove(key);
        });
    }

    /// The number of values.
    pub fn len(&self) -> usize {
        self.shared.state.lock().len()
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The keys, in no particular order.
    pub fn keys(&self) -> Vec<K> {
        self.shared.state.lock().keys()
    }

    /// Lets values leave memory until at most `bytes` are there.
    ///
    /// # Errors
    /// Those of failed writes; out of memory where what is pinned is more than that.
    pub fn shrink(&self, bytes: u64) -> Result<()> {
        let room = self.shared.memory.saturating_sub(bytes);
        let mut state = self.shared.state.lock();
        let result = self.shared.make_room(&mut state, room);
        if result.is_ok() {
            state.held -= room;
        }
        self.shared.leave(state);
        result
    }

    /// Says which keys will be asked for next, in order: the background reads them ahead, up to a quarter of the bound
    /// beyond what was asked for since. It replaces what was said before; keys without a value are passed over.
    pub fn prefetch(&self, keys: impl IntoIterator<Item = K>) {
        let keys = keys.into_iter().collect();
        let mut state = self.shared.state.lock();
        state.want(keys);
        self.shared.leave(state);
    }

    /// What is held, and what was done.
    pub fn stats(&self) -> ChestStats {
        let scratch = self.shared.scratch.stats();
        let state = self.shared.state.lock();
        ChestStats { held: state.held, peak: state.peak, hits: state.hits, misses: state.misses, prefetched: state.prefetched, scratch }
    }
}

impl<K: ChestKey, V: Storable> Shared<K, V> {
    /// Reserves bytes, waiting for writes where clean values are not enough.
    fn make_room(&self, state: &mut MutexGuard<'_, State<K, V>>, bytes: u64) -> Result<()> {
        state.failed = None;
        loop {
            if state.reserve(bytes) {
                return Ok(());
            }
            if let Some(e) = state.failed.take() {
                return Err(e);
            }
            if !state.trash.is_empty() {
                let trash = std::mem::take(&mut state.trash);
                MutexGuard::unlocked(state, || drop(trash));
                continue;
            }
            state.write_for(bytes);
            if state.busy == 0 {
                let message = format!("no room for {bytes} bytes: {} of {} bytes are in memory, all of them pinned or of a kind that is never written", state.held, self.memory);
                return Err(Error::new(ErrorKind::OutOfMemory, message).hint("drop pinned values earlier, or give the chest more memory"));
            }
            self.work.notify_all();
            self.changed.wait(state);
        }
    }

    /// Ends a call: what it left over is dropped once the lock is free, and the background told of work.
    fn leave(&self, mut state: MutexGuard<'_, State<K, V>>) {
        let work = state.look_ahead();
        let trash = std::mem::take(&mut state.trash);
        drop(state);
        if work {
            self.work.notify_all();
        }
        drop(trash);
    }

    pub(super) fn unpin(&self, id: u32) {
        let mut state = self.state.lock();
        state.unpin(id);
        self.changed.notify_all();
        self.leave(state);
    }
}

impl<K: ChestKey, V: Storable> std::fmt::Debug for Chest<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chest").field("memory", &self.shared.memory).field("folder", &self.shared.scratch.folder()).finish_non_exhaustive()
    }
}

impl<K: ChestKey, V: Storable> Drop for Chest<K, V> {
    fn drop(&mut self) {
        self.shared.state.lock().closing = true;
        self.shared.work.notify_all();
        for thread in self.threads.drain(..) {
            thread.join().ok();
        }
    }
}
