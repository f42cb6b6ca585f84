//! Going through the keys of a chest.

use super::core::{Shared, is_part};
use super::key::ChestKey;
use super::map::Chest;
use super::pinned::Pinned;
use super::storable::Storable;
use crate::Result;

impl<K: ChestKey, V: Storable> Chest<K, V> {
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
