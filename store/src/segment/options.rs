//! How segments are kept.

use crate::Encoding;

/// How long segments become, how much of them there may be, and how they are written.
#[derive(Debug, Clone)]
pub(crate) struct SegmentOptions {
    /// A segment that has this many bytes is sealed; a longer frame has one of its own.
    pub(crate) segment_bytes: u64,
    /// The most bytes that all segments may have together; without one, the disk is the limit.
    pub(crate) quota: Option<u64>,
    /// The encoding of all chunks; by default what pays is found out by probing.
    pub(crate) encoding: Option<Encoding>,
    /// How many threads can encode and decode at once; what they need is booked at the opening.
    pub(crate) threads: usize,
    /// Whether nothing is ever written.
    pub(crate) read_only: bool,
    /// Whether frames are read although the first block of their segment is damaged, to save what is sound.
    pub(crate) any_header: bool,
}

impl Default for SegmentOptions {
    fn default() -> Self {
        SegmentOptions { segment_bytes: 256 << 20, quota: None, encoding: None, threads: 2, read_only: false, any_header: false }
    }
}
