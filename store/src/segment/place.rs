//! Where a frame stands.

/// Where a frame stands: in which segment, from which byte, how many bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The random number of the segment; in 16 hexadecimal digits, it is the name of its file.
    pub segment: u64,
    /// The first byte of the frame in the file, a multiple of 8.
    pub offset: u64,
    /// The bytes of the frame, with its header and padding.
    pub len: u64,
}

impl Place {
    /// Behind the last byte.
    pub(crate) fn end(&self) -> u64 {
        self.offset.saturating_add(self.len)
    }
}
