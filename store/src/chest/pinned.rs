//! A value that stays counted while it is used.

use super::unit::Pin;
use std::ops::Deref;
use std::sync::Arc;

/// A value of a chest. Where it shares the memory of the chest, as chunks do, that memory stays and stays counted while this lives; a clone
/// of the value inside outlives that, but is no longer counted by the chest. Other values are decoded, and the memory of the decoded value
/// is the caller's.
pub struct Pinned<V> {
    // Dropped first, so that its memory is free once the chest counts it as such.
    value: V,
    pin: Option<Arc<Pin>>,
}

impl<V> Pinned<V> {
    pub(super) fn new(value: V, pin: Option<Arc<Pin>>) -> Self {
        Pinned { value, pin }
    }

    /// The value, which is no longer counted.
    pub fn into_inner(self) -> V {
        self.value
    }

    /// Whether it shares the memory of the chest.
    pub fn is_shared(&self) -> bool {
        self.pin.is_some()
    }
}

impl<V> Deref for Pinned<V> {
    type Target = V;
    fn deref(&self) -> &V {
        &self.value
    }
}

impl<V> AsRef<V> for Pinned<V> {
    fn as_ref(&self) -> &V {
        &self.value
    }
}

impl<V: std::fmt::Debug> std::fmt::Debug for Pinned<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.value.fmt(f)
    }
}
