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
        let arena = options.arena.unwrap_or_else(|| Arena::with_pool(Ledger::new(u64::MAX), (memory / 8).min(32 << 20)));
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
            if state.look_ahead() {
                shared.work.notify_all();
            }
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
                let message = format!(
                    "no room for {bytes} bytes: {} of {} bytes are in memory, all of them pinned or of a kind that is never written",
                    state.held, self.memory
                );
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::io::{Fault, FaultyBackend, MemoryBackend};
    use crate::{Bytes, Encoding, Scalar, ScratchOptions};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const KIB: u64 = 1024;

    fn arena() -> Arena {
        Arena::new(Ledger::new(u64::MAX))
    }

    /// Bytes that say which value they are.
    fn value(arena: &Arena, len: usize, seed: u64) -> Bytes {
        let mut buffer = arena.alloc(len).unwrap();
        for (i, byte) in buffer.iter_mut().enumerate() {
            *byte = (seed as usize * 31 + i * (1 + seed as usize % 3)) as u8;
        }
        Bytes(buffer.freeze())
    }

    fn chest_on(disk: u64, memory: u64, threads: usize) -> (FaultyBackend, Chest<u64, Bytes>) {
        let backend = FaultyBackend::new(Arc::new(MemoryBackend::new(disk)));
        let options = ChestOptions::in_folder("/m").scratch(ScratchOptions::new("/m").encoding(Some(Encoding::Raw))).threads(threads);
        (backend.clone(), Chest::temporary_on(Arc::new(backend), memory, options).unwrap())
    }

    fn is(chest: &Chest<u64, Bytes>, key: u64, want: &Bytes) -> bool {
        chest.get(&key).unwrap().is_some_and(|got| got.0[..] == want.0[..])
    }

    #[test]
    fn what_does_not_fit_in_memory_is_on_disk() {
        let (_, chest) = chest_on(1 << 30, 40 * KIB, 2);
        let arena = arena();
        let values: Vec<Bytes> = (0..50).map(|k| value(&arena, 4096, k)).collect();
        for (k, v) in values.iter().enumerate() {
            chest.put(k as u64, v.clone()).unwrap();
        }
        assert_eq!((chest.len(), chest.contains(&49), chest.contains(&50)), (50, true, false));
        for k in (0..50).map(|k| (k * 17 + 3) % 50) {
            assert!(is(&chest, k, &values[k as usize]), "{k}");
        }
        let stats = chest.stats();
        assert!(stats.peak <= 40 * KIB && stats.held <= 40 * KIB);
        assert!(stats.scratch.written <= 50 * 4096, "written at most once");
        assert_eq!(stats.hits + stats.misses, 50);
        assert!(chest.remove(&7) && !chest.remove(&7) && chest.get(&7).unwrap().is_none());
        let mut keys = chest.keys();
        keys.sort_unstable();
        assert_eq!(keys, (0..50).filter(|k| *k != 7).collect::<Vec<_>>());
        chest.clear();
        chest.shrink(0).unwrap();
        assert!(chest.is_empty());
        assert_eq!(chest.stats().held, 0);
    }

    #[test]
    fn the_last_use_decides_what_stays() {
        let (_, chest) = chest_on(1 << 30, 40 * KIB, 1);
        let arena = arena();
        for k in 0..10 {
            chest.put(k, value(&arena, 4096, k)).unwrap();
        }
        chest.shrink(20 * KIB).unwrap();
        let misses = chest.stats().misses;
        for k in 5..10 {
            chest.get(&k).unwrap().unwrap();
        }
        assert_eq!(chest.stats().misses, misses);
        chest.get(&0).unwrap().unwrap();
        assert_eq!(chest.stats().misses, misses + 1);
    }

    #[test]
    fn pinned_values_stay_and_are_never_more_than_fit() {
        let (_, chest) = chest_on(1 << 30, 16 * KIB, 1);
        let arena = arena();
        for k in 0..8 {
            chest.put(k, value(&arena, 4096, k)).unwrap();
        }
        let pins: Vec<_> = (0..4).map(|k| chest.get(&k).unwrap().unwrap()).collect();
        let error = chest.get(&5).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
        assert!(error.to_string().contains("pinned"), "{error}");
        assert_eq!(chest.put(9, value(&arena, 4096, 9)).unwrap_err().kind(), ErrorKind::OutOfMemory);
        assert!(!chest.contains(&9));
        assert!(chest.remove(&2), "a pinned value can be removed");
        assert_eq!(chest.stats().held, 16 * KIB, "but counts while it is used");
        assert_eq!(pins[2].0[..], value(&arena, 4096, 2).0[..]);
        drop(pins);
        assert_eq!(chest.stats().held, 12 * KIB);
        assert!(is(&chest, 5, &value(&arena, 4096, 5)));
    }

    #[test]
    fn what_is_larger_than_the_bound_is_refused() {
        let (_, chest) = chest_on(1 << 30, 16 * KIB, 1);
        let error = chest.put(1, value(&arena(), 20_000, 1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
        assert!(error.to_string().contains("20480 bytes") && error.to_string().contains("16384"), "{error}");
        assert!(chest.is_empty());
    }

    #[test]
    fn overwriting_forgets_what_was_there() {
        let (_, chest) = chest_on(1 << 30, 16 * KIB, 2);
        let arena = arena();
        for round in 0..20 {
            for k in 0..6 {
                chest.put(k, value(&arena, 4000, 10 * round + k)).unwrap();
            }
        }
        for k in 0..6 {
            assert!(is(&chest, k, &value(&arena, 4000, 190 + k)));
        }
        assert_eq!(chest.len(), 6);
        chest.shrink(0).unwrap();
        assert_eq!((chest.stats().held, chest.stats().scratch.slots), (0, 6));
    }

    #[test]
    fn a_full_disk_keeps_values_in_memory_and_says_so() {
        let (_, chest) = chest_on(12 * KIB, 16 * KIB, 2);
        let arena = arena();
        let mut kept = Vec::new();
        let error = (0..20).find_map(|k| match chest.put(k, value(&arena, 4096, k)) {
            Ok(()) => {
                kept.push(k);
                None
            }
            Err(e) => Some(e),
        });
        assert_eq!(error.map(|e| e.kind()), Some(ErrorKind::DiskFull));
        assert!(kept.len() >= 6, "{}", kept.len());
        // What is in memory can be had; what is on disk too, once something has made room.
        assert!(chest.remove(&kept.pop().unwrap()));
        for k in kept {
            assert!(is(&chest, k, &value(&arena, 4096, k)), "{k}");
        }
    }

    #[test]
    fn failed_writes_come_to_who_needs_room() {
        let (backend, chest) = chest_on(1 << 30, 16 * KIB, 2);
        let arena = arena();
        (0..3).for_each(|k| chest.put(k, value(&arena, 4096, k)).unwrap());
        backend.fail(Fault::Io, 0, u64::MAX);
        let error = (3..20).find_map(|k| chest.put(k, value(&arena, 4096, k)).err());
        assert_eq!(error.map(|e| e.kind()), Some(ErrorKind::Io));
        backend.heal();
        for k in 20..30 {
            chest.put(k, value(&arena, 4096, k)).unwrap();
        }
        for k in chest.keys() {
            assert!(is(&chest, k, &value(&arena, 4096, k)), "{k}");
        }
    }

    #[test]
    fn prefetched_values_are_hits() {
        let (_, chest) = chest_on(1 << 30, 64 * KIB, 2);
        let arena = arena();
        for k in 0..40 {
            chest.put(k, value(&arena, 4096, k)).unwrap();
        }
        chest.shrink(0).unwrap();
        chest.prefetch((0..40).chain([999]));
        for k in 0..40 {
            assert!(is(&chest, k, &value(&arena, 4096, k)));
        }
        let stats = chest.stats();
        assert_eq!(stats.scratch.read, 40 * 4096, "nothing is read twice");
        assert!(stats.peak <= 64 * KIB);
    }

    #[test]
    fn scalars_stay() {
        let chest: Chest<u8> = Chest::temporary_on(Arc::new(MemoryBackend::new(1 << 20)), 200, ChestOptions::in_folder("/m")).unwrap();
        for k in 0..3 {
            chest.put(k, Chunk::Scalar(Scalar::U8(k))).unwrap();
        }
        assert_eq!(chest.put(3, Chunk::Scalar(Scalar::U8(3))).unwrap_err().kind(), ErrorKind::OutOfMemory);
        assert!(matches!(**chest.get(&2).unwrap().as_ref().unwrap(), Chunk::Scalar(Scalar::U8(2))));
    }

    #[test]
    fn dropping_removes_the_folder_even_when_pins_outlive_it() {
        let folder = crate::testing::folder();
        let chest: Chest<u64, Bytes> = Chest::temporary(64 * KIB, ChestOptions::in_folder(folder.path())).unwrap();
        let arena = arena();
        for k in 0..100 {
            chest.put(k, value(&arena, 5000, k)).unwrap();
        }
        let pin = chest.get(&3).unwrap().unwrap();
        drop(chest);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert_eq!(pin.0[..], value(&arena, 5000, 3).0[..]);
    }

    #[test]
    fn many_threads_and_a_small_bound() {
        let folder = crate::testing::folder();
        let chest: Chest<(u64, u64), Bytes> = Chest::temporary(512 * KIB, ChestOptions::in_folder(folder.path())).unwrap();
        let arena = arena();
        std::thread::scope(|scope| {
            for thread in 0..4u64 {
                let (chest, arena) = (&chest, &arena);
                scope.spawn(move || {
                    let len = |k: u64| 1000 + (k as usize * 7919) % 40_000;
                    for k in 0..60 {
                        chest.put((thread, k), value(arena, len(k), thread * 1000 + k)).unwrap();
                        if k % 5 == 4 {
                            assert!(chest.remove(&(thread, k)));
                        }
                        let back = (k * 13) % (k + 1);
                        let got = chest.get(&(thread, back)).unwrap();
                        match back % 5 == 4 {
                            true => assert!(got.is_none()),
                            false => assert!(got.unwrap().0[..] == value(arena, len(back), thread * 1000 + back).0[..]),
                        }
                        if k % 10 == 0 {
                            chest.prefetch((0..k).map(|k| ((thread + 1) % 4, k)));
                        }
                        if let Some(other) = chest.get(&((thread + 1) % 4, k)).unwrap() {
                            assert!(other.0[..] == value(arena, len(k), (thread + 1) % 4 * 1000 + k).0[..]);
                        }
                    }
                });
            }
        });
        let stats = chest.stats();
        assert!(stats.peak <= 512 * KIB);
        assert_eq!(chest.len(), 4 * 48);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn as_a_map(
            ops in proptest::collection::vec((0u8..10, 0u64..12, 0usize..9000), 1..120),
            fault in proptest::option::of((prop_oneof![Just(Fault::Io), Just(Fault::DiskFull), Just(Fault::Torn)], 0u64..40, 1u64..4)),
        ) {
            let (backend, chest) = chest_on(1 << 30, 24 * KIB, 2);
            if let Some((fault, skip, count)) = fault {
                backend.fail(fault, skip, count);
            }
            let arena = arena();
            let mut model: BTreeMap<u64, Bytes> = BTreeMap::new();
            for (op, key, n) in ops {
                match op {
                    0..4 => {
                        let new = value(&arena, n, n as u64);
                        if chest.put(key, new.clone()).is_ok() {
                            model.insert(key, new);
                        }
                    }
                    4..8 => if let Ok(got) = chest.get(&key) {
                        prop_assert_eq!(got.is_some(), model.contains_key(&key));
                        if let (Some(got), Some(want)) = (got, model.get(&key)) {
                            prop_assert!(got.0[..] == want.0[..]);
                        }
                    },
                    8 => prop_assert_eq!(chest.remove(&key), model.remove(&key).is_some()),
                    _ => chest.prefetch(key..key + 4),
                }
                prop_assert_eq!(chest.len(), model.len());
            }
            backend.heal();
            // Writes that met their fault before may end now, and their errors come to who needs room.
            prop_assert!((0..4).any(|_| chest.shrink(0).is_ok()));
            prop_assert!(chest.stats().peak <= 24 * KIB);
            for (key, want) in &model {
                prop_assert!(is(&chest, *key, want));
            }
            prop_assert!(chest.shrink(0).is_ok());
            prop_assert_eq!(chest.stats().held, 0);
        }
    }
}
