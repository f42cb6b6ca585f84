//! What a log has done.

/// What a log holds, and what it did since it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogStats {
    /// The bytes of the buffer that are in use.
    pub held: u64,
    /// The most that there were.
    pub held_peak: u64,
    /// The bytes of the entries that were written to disk.
    pub written: u64,
    /// What they take there, with heads and padding.
    pub written_stored: u64,
    /// The bytes that were read from disk.
    pub read_stored: u64,
    /// The blocks that there are, on disk and in memory.
    pub blocks: u64,
}
