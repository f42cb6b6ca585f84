//! What is known of sizes that are not exact.

/// The least and the most bytes that an output is booked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SizeRange {
    /// The least that the ledger counts for it.
    pub(crate) least: u64,
    /// The most that it takes; the greatest number where that is not known.
    pub(crate) most: u64,
}

impl SizeRange {
    /// Just so many bytes.
    pub(crate) fn exactly(bytes: u64) -> Self {
        SizeRange { least: bytes, most: bytes }
    }

    /// Nothing is known.
    pub(crate) const ANY: SizeRange = SizeRange { least: 0, most: u64::MAX };

    /// Either of two.
    pub(crate) fn join(&mut self, other: SizeRange) {
        self.least = self.least.min(other.least);
        self.most = self.most.max(other.most);
    }
}
