//! Putting segments out of use.

use super::segments::Segments;
use crate::Result;

impl Segments {
    /// Sees to it that nothing more is written to the segments that there are: those that are being written are sealed, those that were not
    /// full when the store was opened are left as they are. Any of them can be removed from then on.
    ///
    /// # Errors
    /// Disk full; those of writing.
    pub(crate) fn retire(&self) -> Result<()> {
        self.0.writable()?;
        for lane in std::iter::once(&self.0.small).chain(&self.0.large) {
            lane.lock().retire(&self.0)?;
        }
        self.0.spare.lock().clear();
        Ok(())
    }

    /// The bytes at which a segment is sealed.
    pub(crate) fn segment_bytes(&self) -> u64 {
        self.0.options.segment_bytes
    }
}
