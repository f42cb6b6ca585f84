//! A value that stays in memory while it is used.

use super::lru::Shared;
use super::storable::{ChestKey, Storable};
use std::ops::Deref;
use std::sync::Weak;

/// A value of a chest that is not evicted while this lives. A clone of the value inside outlives the pin, but is then
/// no longer counted.
pub struct Pinned<K: ChestKey, V: Storable> {
    // Dropped first, so that its memory is free once the chest counts it as such.
    value: V,
    _pin: Pin<K, V>,
}

struct Pin<K: ChestKey, V: Storable> {
    chest: Weak<Shared<K, V>>,
    id: u32,
}

impl<K: ChestKey, V: Storable> Pinned<K, V> {
    pub(super) fn new(value: V, chest: Weak<Shared<K, V>>, id: u32) -> Self {
        Pinned { value, _pin: Pin { chest, id } }
    }
}

impl<K: ChestKey, V: Storable> Deref for Pinned<K, V> {
    type Target = V;
    fn deref(&self) -> &V {
        &self.value
    }
}

impl<K: ChestKey, V: Storable + std::fmt::Debug> std::fmt::Debug for Pinned<K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.value.fmt(f)
    }
}

impl<K: ChestKey, V: Storable> Drop for Pin<K, V> {
    fn drop(&mut self) {
        if let Some(chest) = self.chest.upgrade() {
            chest.unpin(self.id);
        }
    }
}
