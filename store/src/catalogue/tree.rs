//! What the index needs of an ordered map.

use crate::Result;
use std::fmt::Debug;

/// Pairs to put and keys to remove, in one step.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// A key, and its new value or nothing. No key is there twice.
    pub(super) steps: Vec<(Vec<u8>, Option<Vec<u8>>)>,
}

/// A key and its value.
pub(super) type Pair = (Vec<u8>, Vec<u8>);

/// An ordered map from bytes to bytes.
pub(super) trait Tree: Send + Sync + Debug {
    /// The value of a key.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>>;

    /// Up to `most` pairs in order of key, of those that begin with `prefix` and come after `after`.
    fn page(&self, prefix: &[u8], after: Option<&[u8]>, most: usize) -> Result<Vec<Pair>>;

    /// Makes all steps, or none.
    fn apply(&self, batch: Batch) -> Result<()>;

    /// Removes everything.
    fn clear(&self) -> Result<()>;

    /// Writes to disk what is only in memory.
    fn flush(&self) -> Result<()>;

    /// Whether it is on disk.
    fn is_on_disk(&self) -> bool;
}
