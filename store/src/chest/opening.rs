//! Opening a chest, for a while or at a path, and ending it.

use super::core::Core;
use super::disk::Disk;
use super::key::ChestKey;
use super::map::Chest;
use super::memory::IntoBytes;
use super::options::ChestOptions;
use super::saved::{STORE_BYTES, Saved};
use super::storable::Storable;
use crate::io::{Backend, FileBackend};
use crate::{Arena, DatasetKind, Ledger, Result, Scratch, Store, StoreOptions};
use std::path::Path;
use std::sync::Arc;

/// Beyond the memory of a chest, what its own ledger lets be booked: slabs of small buffers are counted whole.
pub(super) const SLACK: u64 = 2 << 20;

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

    /// The chest in a folder, with what it had when it was last flushed; it is made where there is none. One process at a time can have it
    /// open. What leaves memory goes to the segments of a [`Store`] in that folder, as the dataset `chest`; it is there to stay after
    /// [`Chest::flush`], and only then.
    ///
    /// ```
    /// use chunkstore_store::Chest;
    /// # let temporary = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
    /// # let folder = temporary.path().join("cache");
    /// let chest = Chest::<(String, u64), Vec<f32>>::open(&folder, "64MiB")?;
    /// chest.put(&("a".to_string(), 1), &vec![0.5; 1000])?;
    /// chest.flush()?; // From here on it survives a loss of power.
    /// chest.put(&("a".to_string(), 2), &vec![1.5; 1000])?;
    /// drop(chest);
    ///
    /// let chest = Chest::<(String, u64), Vec<f32>>::open(&folder, "64MiB")?;
    /// assert_eq!(chest.get(&("a".to_string(), 1))?.expect("it was flushed")[0], 0.5);
    /// assert_eq!(chest.len(), 1);
    /// # Ok::<(), chunkstore_store::Error>(())
    /// ```
    ///
    /// # Errors
    /// Locked where it is open already; unusable where the folder cannot be used; corrupt where the store is damaged; Invalid where a
    /// dataset of another kind is in its place; out of memory where the index of the keys does not fit.
    pub fn open(folder: impl AsRef<Path>, memory: impl IntoBytes) -> Result<Self> {
        Self::open_with(folder, memory, Store::options(), 2)
    }

    /// As [`Chest::open`], in a store that is opened with `options`, with so many threads that write and prefetch in the background. The
    /// memory of the chest comes from the arena of the store; without one there, from one with a ledger whose limit is the memory of the
    /// chest and 32 MiB, for what the store needs.
    ///
    /// # Errors
    /// As for [`Chest::open`].
    pub fn open_with(folder: impl AsRef<Path>, memory: impl IntoBytes, options: StoreOptions, threads: usize) -> Result<Self> {
        let memory = memory.into_bytes()?;
        let threads = threads.clamp(1, 16);
        let own = options.arena.is_none().then(|| Ledger::new(memory.saturating_add(STORE_BYTES)));
        let made = || Arena::with_pool(own.clone().unwrap_or_else(|| Ledger::new(u64::MAX)), (memory / 8).min(32 << 20));
        let arena = options.arena.clone().unwrap_or_else(made);
        let store = options.arena(arena.clone()).threads(threads + 1).open(folder)?;
        let meta = serde_json::json!({ "key": std::any::type_name::<K>(), "value": std::any::type_name::<V>() });
        let saved = Saved::open(store, &DatasetKind::new(super::saved::NAME, meta), own)?;
        let chest = Self::on(Core::open(Disk::Saved(Box::new(saved)), memory, arena, threads)?)?;
        chest.adjust();
        Ok(chest)
    }

    /// The store of a chest at a path, for instance to verify it; nothing for a temporary chest. Versions that were overwritten take room
    /// until [`Store::compact`]; that leaves segments alone that an open chest leads to, so it is best done on the store while the chest is
    /// closed.
    pub fn store(&self) -> Option<&Store> {
        self.shared().disk.saved().map(|saved| &saved.store)
    }

    /// Writes all that is in memory only. At a path, what the chest holds when this begins is committed, and survives a crash and a loss of
    /// power; what others put or remove meanwhile may be part of it or not. Who puts something in the place of a value that was not
    /// written yet when the flush began waits until it is. Of a value that is put by [`Chest::put_reader`] all is committed or nothing. Values
    /// that are in memory stay there.
    ///
    /// # Errors
    /// Those of writes that failed meanwhile; disk full, after which it can be tried again; unusable after a failed sync. The chest has the same values as
    /// before.
    pub fn flush(&self) -> Result<()> {
        let shared = self.shared();
        let one = shared.flushes.lock();
        let Some(saved) = shared.disk.saved() else { return shared.write_all(|| (), |_, ()| ()) };
        let teller = shared.write_all(
            || saved.teller(),
            |state, teller| {
                state.note_heads(saved);
                teller.take();
            },
        )?;
        drop(one);
        // Nobody else tells until that is committed: else a part of what belongs together might be.
        teller.tell_taken()?;
        saved.keyed.commit()?;
        drop(teller);
        self.adjust();
        Ok(())
    }

    pub(super) fn adjust(&self) {
        if let Some(saved) = self.shared().disk.saved() {
            let state = self.shared().state.lock();
            saved.adjust(state.memory, state.total());
        }
    }

    /// Ends the chest, and removes its folder with all that is in it. A temporary chest does so when it is dropped, too.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn destroy(self) -> Result<()> {
        let Some(store) = self.store() else { return Ok(()) };
        let (folder, backend) = (store.folder().to_path_buf(), Arc::clone(&store.inner().backend));
        drop(self);
        backend.remove_folder(&folder)
    }
}

pub(super) fn own_arena(memory: u64, threads: usize) -> Arena {
    let staging = Scratch::staging_bytes() * (threads as u64 + 1);
    Arena::with_pool(Ledger::new(memory.saturating_add(staging + SLACK)), (memory / 8).min(32 << 20))
}
