//! A map that is larger than its memory.

use super::core::{Core, Got, Hook, Hooks, Shared, Want, is_part};
use super::disk::Disk;
use super::key::{ChestKey, EncodeKey};
use super::memory::IntoBytes;
use super::options::{ChestOptions, ChestStats};
use super::pinned::Pinned;
use super::record::Draft;
use super::storable::{Encoder, Storable};
use crate::io::{Backend, FileBackend};
use crate::{Arena, Chunk, ChunkKind, Error, ErrorKind, Ledger, Result, Scratch};
use std::borrow::Borrow;
use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Beyond the memory of a chest, what its own ledger lets be booked: slabs of small buffers are counted whole.
const SLACK: u64 = 2 << 20;

/// A map from keys to values of which at most so many bytes are in memory; the others are on disk.
///
/// The values that were not used for longest leave memory first, written by background threads before their room is needed; a value is
/// written at most once, unless it is moved because most of what was written beside it is gone. Values below 64 KiB are kept and written
/// together in packs, so that a million of them take a few files and about 60 bytes each beside their own. All calls can come
/// from several threads at once; a value has no more than one version, and who gets it while it is put sees the old or the new one.
///
/// The bound counts the values in memory, the index of the keys, and what is pinned. Beside it there are [`Scratch::staging_bytes`] for each
/// I/O thread and one more. A chunk that is a part of a larger buffer keeps all of that in memory, and is counted for itself only: copy
/// such chunks first.
///
/// ```
/// use chunkstore_store::{Chest, ChestOptions};
/// # let folder = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
/// let chest: Chest<(String, u64), Vec<f64>> = Chest::temporary("4MiB", ChestOptions::in_folder(folder.path()))?;
/// for k in 0..1000 {
///     chest.put(&("series".to_string(), k), &vec![k as f64; 2000])?;
/// }
/// let some = chest.get(&("series".to_string(), 7))?.expect("it was put");
/// assert_eq!(some[0], 7.0);
/// assert!(chest.get(&("other".to_string(), 7))?.is_none());
/// assert_eq!(chest.len(), 1000);
/// assert!(chest.stats().peak <= 4 << 20);
/// # Ok::<(), chunkstore_store::Error>(())
/// ```
///
/// Keys of another type do not compile:
///
/// ```compile_fail
/// use chunkstore_store::{Chest, ChestOptions};
/// let chest: Chest<u64, String> = Chest::temporary("1MiB", ChestOptions::default()).unwrap();
/// chest.put("text", &"value".to_string()).unwrap();
/// ```
pub struct Chest<K, V = Chunk> {
    pub(super) core: Core,
    types: PhantomData<fn(K) -> V>,
}

/// What a thread needs for a call.
pub(super) struct Work {
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
    pub(super) encoder: Encoder,
}

thread_local! {
    static WORK: Cell<Option<Box<Work>>> = const { Cell::new(None) };
}

/// Lends what a thread keeps for its calls; a call within a call has its own.
pub(super) fn with_work<R>(run: impl FnOnce(&mut Work) -> R) -> R {
    let kept = WORK.try_with(Cell::take).ok().flatten();
    let mut work = kept.unwrap_or_else(|| Box::new(Work { key: Vec::new(), value: Vec::new(), encoder: Encoder::new(64 << 10) }));
    let result = run(&mut work);
    WORK.try_with(|place| place.set(Some(work))).ok();
    result
}

impl<K: ChestKey, V: Storable> Chest<K, V> {
    /// A chest of at most `memory` bytes, such as `"256MiB"` or `256 << 20`, whose files end with it.
    ///
    /// # Errors
    /// Unusable where the scratch folder cannot be used; Invalid for less than 8 KiB of memory; the errors of the operating system.
    pub fn temporary(memory: impl IntoBytes, options: ChestOptions) -> Result<Self> {
        Self::temporary_on(Arc::new(FileBackend::new()), memory, options)
    }

    /// As [`Chest::temporary`], on another backend.
    ///
    /// # Errors
    /// As for [`Chest::temporary`].
    pub fn temporary_on(backend: Arc<dyn Backend>, memory: impl IntoBytes, options: ChestOptions) -> Result<Self> {
        let memory = memory.into_bytes()?;
        let arena = options.arena.unwrap_or_else(|| own_arena(memory, options.threads));
        let scratch = Scratch::open_on(backend, options.scratch.threads(options.threads + 1), &arena)?;
        Self::on(Core::open(Disk::Scratch(scratch), memory, arena, options.threads)?)
    }

    pub(super) fn on(core: Core) -> Result<Self> {
        Ok(Chest { core, types: PhantomData })
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.core.shared
    }

    /// Keeps a value under a key; what was there before is forgotten.
    ///
    /// # Errors
    /// Out of memory for a value larger than the bound, which [`Chest::put_reader`] can keep, or where all that is in memory is pinned. Where
    /// a write for making room failed, its error: what could not be written stays in memory. Invalid where the value cannot be encoded, or
    /// its key takes more than 64 KiB. In all these cases the chest has the same values as before.
    pub fn put<Q>(&self, key: &Q, value: &V) -> Result<()>
    where
        K: Borrow<Q>,
        Q: EncodeKey + ?Sized,
    {
        with_work(|work| {
            work.key.clear();
            key.encode_key(&mut work.key);
            self.put_at(work, value)
        })
    }

    fn put_at(&self, work: &mut Work, value: &V) -> Result<()> {
        let shared = self.shared();
        if let Some(chunk) = value.as_chunk() {
            return shared.put_chunk(&work.key, &chunk);
        }
        let mut cost = 0;
        let encoded = work.encoder.run(value, shared.small, &shared.arena, |bytes| {
            cost = shared.reserve_alone(bytes)?;
            Ok(())
        });
        match encoded {
            Ok(Some(chunk)) => shared.put_reserved(&work.key, chunk, cost),
            Ok(None) => {
                let kind = if V::is_bytes() { ChunkKind::Bytes } else { ChunkKind::Records };
                shared.put_small(&work.key, &Draft { kind, header: &[], payload: work.encoder.bytes() }, |loc| loc)
            }
            Err(e) => {
                if cost > 0 {
                    shared.unreserve(cost);
                }
                Err(e)
            }
        }
    }

    /// The value of a key; nothing where the key has none. A value that shares the memory of the chest, as chunks do, is pinned there.
    ///
    /// # Errors
    /// Corrupt, naming file and place, where its bytes on disk are not what was written; Invalid where it is of another type, or was put
    /// by [`Chest::put_reader`]; out of memory where all that is in memory is pinned; the error of a failed read, or of a failed
    /// write for making room. The value stays.
    pub fn get<Q>(&self, key: &Q) -> Result<Option<Pinned<V>>>
    where
        K: Borrow<Q>,
        Q: EncodeKey + ?Sized,
    {
        with_work(|work| {
            work.key.clear();
            key.encode_key(&mut work.key);
            self.get_at(work)
        })
    }

    fn get_at(&self, work: &mut Work) -> Result<Option<Pinned<V>>> {
        let want = if V::SHARES { Want::Share } else { Want::Copy(&mut work.value) };
        match self.shared().get(&work.key, want)? {
            Got::Nothing => Ok(None),
            Got::Copied(ChunkKind::Bytes | ChunkKind::Records) => V::decode(&work.value).map(|value| Some(Pinned::new(value, None))),
            Got::Copied(_) => Err(Error::new(ErrorKind::Invalid, "the value is an array block or a scalar, not one of the values of this chest")),
            Got::Chunk(chunk, pin) => V::from_chunk(chunk).map(|value| Some(Pinned::new(value, V::SHARES.then_some(pin)))),
            Got::Stream(_) => {
                Err(Error::new(ErrorKind::Invalid, "the value was put as a stream").hint("read it by get_reader"))
            }
        }
    }

    /// The values of several keys, in their order; they are read in the order in which they are on disk. Those that share the memory of
    /// the chest are pinned all at once.
    ///
    /// # Errors
    /// As for [`Chest::get`].
    pub fn get_many<Q>(&self, keys: impl IntoIterator<Item = Q>) -> Result<Vec<Option<Pinned<V>>>>
    where
        Q: Borrow<K>,
    {
        let mut order: Vec<(Option<(u32, u32)>, usize, Vec<u8>)> = Vec::new();
        for (i, key) in keys.into_iter().enumerate() {
            let mut bytes = Vec::new();
            key.borrow().encode_key(&mut bytes);
            let home = self.shared().home_of(&bytes).map(|home| (home.place, home.offset));
            order.push((home, i, bytes));
        }
        order.sort_unstable();
        let mut found: Vec<Option<Pinned<V>>> = Vec::new();
        found.resize_with(order.len(), || None);
        with_work(|work| {
            for (_, i, key) in order {
                work.key = key;
                if let Some(place) = found.get_mut(i) {
                    *place = self.get_at(work)?;
                }
            }
            Ok(found)
        })
    }

    /// Whether a key has a value.
    pub fn contains<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: EncodeKey + ?Sized,
    {
        with_work(|work| {
            work.key.clear();
            key.encode_key(&mut work.key);
            self.shared().contains(&work.key)
        })
    }

    /// Forgets the value of a key; whether there was one.
    pub fn remove<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: EncodeKey + ?Sized,
    {
        with_work(|work| {
            work.key.clear();
            key.encode_key(&mut work.key);
            self.shared().remove(&work.key)
        })
    }

    /// Forgets all values.
    pub fn clear(&self) {
        let shared = self.shared();
        for shard in 0..shared.shards() {
            for key in shared.keys_of(shard) {
                shared.remove(&key);
            }
        }
    }

    /// The number of values.
    pub fn len(&self) -> usize {
        let state = self.shared().state.lock();
        state.index.len() - state.hidden
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Lets values leave memory until at most `bytes` of them are there.
    ///
    /// # Errors
    /// Those of failed writes; out of memory where what is pinned is more than that.
    pub fn shrink(&self, bytes: impl IntoBytes) -> Result<()> {
        self.shared().shrink(bytes.into_bytes()?)
    }

    /// Says which keys will be asked for next, in order: the background reads them ahead, up to a quarter of the bound beyond what was
    /// asked for since. It replaces what was said before; keys without a value are passed over.
    pub fn prefetch<Q: Borrow<K>>(&self, keys: impl IntoIterator<Item = Q>) {
        let encode = |key: Q| {
            let mut bytes = Vec::new();
            key.borrow().encode_key(&mut bytes);
            bytes.into_boxed_slice()
        };
        let keys: Vec<Box<[u8]>> = keys.into_iter().map(encode).collect();
        let mut state = self.shared().state.lock();
        state.wanted = keys.iter().cloned().collect();
        state.ahead = keys.into();
        self.shared().leave(state);
    }

    /// Calls `hook` with each key whose value is not in memory when it is asked for, before it is read.
    ///
    /// ```
    /// use chunkstore_store::{Chest, ChestOptions};
    /// use std::sync::atomic::{AtomicU64, Ordering};
    /// use std::sync::Arc;
    /// # let folder = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
    /// let chest: Chest<u64, String> = Chest::temporary("1MiB", ChestOptions::in_folder(folder.path()))?;
    /// let (missed, gone) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    /// let (m, g) = (missed.clone(), gone.clone());
    /// chest.on_miss(move |key| { m.fetch_add(key, Ordering::Relaxed); });
    /// chest.on_overflow(move |key| { g.fetch_add(key, Ordering::Relaxed); });
    /// chest.put(&5, &"five".to_string())?;
    /// chest.shrink(0)?;
    /// assert_eq!(chest.get(&5)?.as_deref().map(String::as_str), Some("five"));
    /// assert_eq!((missed.load(Ordering::Relaxed), gone.load(Ordering::Relaxed)), (5, 5));
    /// # Ok::<(), chunkstore_store::Error>(())
    /// ```
    pub fn on_miss(&self, hook: impl Fn(K) + Send + Sync + 'static) {
        self.watch(|hooks, wrapped| hooks.on_miss = Some(wrapped), hook);
    }

    /// Calls `hook` with each key whose value has left memory. It is called by the thread that needed room, or by one in the background, and
    /// must not wait for another call of the chest.
    pub fn on_overflow(&self, hook: impl Fn(K) + Send + Sync + 'static) {
        self.watch(|hooks, wrapped| hooks.on_overflow = Some(wrapped), hook);
        self.shared().state.lock().overflowed.get_or_insert_default();
    }

    fn watch(&self, place: impl FnOnce(&mut Hooks, Hook), hook: impl Fn(K) + Send + Sync + 'static) {
        let wrapped = move |bytes: &[u8]| {
            if let Ok(key) = K::from_key(bytes) {
                hook(key);
            }
        };
        place(&mut self.shared().hooks.lock(), Arc::new(wrapped));
        self.shared().watched.store(true, Relaxed);
    }

    /// What is held, and what was done.
    pub fn stats(&self) -> ChestStats {
        let scratch = self.shared().disk.stats();
        let state = self.shared().state.lock();
        ChestStats {
            keys: (state.index.len() - state.hidden) as u64,
            held: state.held,
            index: state.fixed(),
            lent: state.lent.load(Relaxed),
            peak: state.peak,
            hits: state.hits,
            misses: state.misses,
            prefetched: state.prefetched,
            overflowed: state.evicted,
            repacked: state.repacked,
            scratch,
        }
    }

    /// The keys, in no particular order. Keys that are put or removed while this goes on may be among them or not; all others are given
    /// exactly once.
    ///
    /// ```
    /// use chunkstore_store::{Chest, ChestOptions};
    /// # let folder = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
    /// let chest: Chest<String, u64> = Chest::temporary("1MiB", ChestOptions::in_folder(folder.path()))?;
    /// chest.put("one", &1)?;
    /// chest.put("two", &2)?;
    /// let mut keys: Vec<String> = chest.keys().collect::<Result<_, _>>()?;
    /// keys.sort();
    /// assert_eq!(keys, ["one", "two"]);
    /// # Ok::<(), chunkstore_store::Error>(())
    /// ```
    pub fn keys(&self) -> Keys<'_, K, V> {
        Keys { chest: self, shard: 0, keys: Vec::new() }
    }

    /// Keys and values, in no particular order, as [`Chest::keys`].
    pub fn iter(&self) -> impl Iterator<Item = Result<(K, Pinned<V>)>> {
        self.keys().filter_map(|key| match key {
            Ok(key) => self.get(&key).transpose().map(|value| value.map(|value| (key, value))),
            Err(e) => Some(Err(e)),
        })
    }

    /// Puts all values of another chest, whatever this one has under their keys, and gives their number. Large values that are in memory
    /// are shared, not copied.
    ///
    /// # Errors
    /// As for [`Chest::get`] and [`Chest::put`]; what was put until then stays.
    pub fn update(&self, other: &Chest<K, V>) -> Result<u64> {
        let (from, to) = (other.shared(), self.shared());
        let mut count = 0;
        for shard in 0..from.shards() {
            for key in from.keys_of(shard) {
                match from.get(&key, Want::Share)? {
                    Got::Nothing | Got::Copied(_) => continue,
                    Got::Chunk(chunk, _pin) => to.put_chunk(&key, &chunk)?,
                    Got::Stream(_) => {
                        if let Some(mut reader) = super::stream::ChestReader::open(from, &key)? {
                            super::stream::put(to, &key, &mut reader)?;
                        }
                    }
                }
                count += 1;
            }
        }
        Ok(count)
    }
}

/// The arena of a chest that is given none.
pub(super) fn own_arena(memory: u64, threads: usize) -> Arena {
    let staging = Scratch::staging_bytes() * (threads as u64 + 1);
    Arena::with_pool(Ledger::new(memory.saturating_add(staging + SLACK)), (memory / 8).min(32 << 20))
}

impl<K, V> std::fmt::Debug for Chest<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shared = &self.core.shared;
        let memory = shared.state.lock().memory;
        f.debug_struct("Chest").field("memory", &memory).field("folder", &shared.disk.folder()).finish_non_exhaustive()
    }
}

/// The keys of [`Chest::keys`].
pub struct Keys<'a, K, V> {
    chest: &'a Chest<K, V>,
    shard: usize,
    keys: Vec<Box<[u8]>>,
}

impl<K: ChestKey, V: Storable> Iterator for Keys<'_, K, V> {
    type Item = Result<K>;

    fn next(&mut self) -> Option<Result<K>> {
        let shared = self.chest.shared();
        while self.keys.is_empty() && self.shard < shared.shards() {
            self.keys = shared.keys_of(self.shard);
            self.shard += 1;
        }
        self.keys.pop().map(|key| K::from_key(&key))
    }
}

impl<K, V> std::fmt::Debug for Keys<'_, K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys").field("shard", &self.shard).finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn shards(&self) -> usize {
        self.state.lock().index.shards()
    }

    /// The keys of a shard of the index that are no parts of streams.
    pub(super) fn keys_of(&self, shard: usize) -> Vec<Box<[u8]>> {
        let state = self.state.lock();
        state.index.entries(shard).filter(|(key, _)| !is_part(key)).map(|(key, _)| key.into()).collect()
    }
}
