//! What a store holds.

/// What a store holds, and how its index is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreStats {
    /// The datasets.
    pub datasets: u64,
    /// The number of the last commit.
    pub sequence: u64,
    /// The segments.
    pub segments: u64,
    /// The bytes of their files.
    pub disk_bytes: u64,
    /// Whether the index of names is on disk (sled). Otherwise it is in memory: to read only, with another backend, where told so, and
    /// where that on disk could not be opened.
    pub catalogue_on_disk: bool,
    /// Whether a sync failed: nothing more is written until the store is opened again.
    pub read_only: bool,
}
