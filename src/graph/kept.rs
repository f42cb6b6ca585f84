//! Logs that outlive a run that was interrupted: which they are, and who keeps them.

use super::Key;
use std::path::Path;
use std::sync::Arc;

/// A log that can be known again by another process of the same build: what its tasks write follows from its key and from the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptLog {
    /// The key of the layer that opens it.
    pub key: Key,
    /// Its partitions.
    pub partitions: u32,
    /// An address in the user's code that writes it, by which the build is known.
    pub code: usize,
}

/// Who keeps the logs of a run until it has succeeded.
pub(crate) trait Keeper: Send + Sync {
    /// Hands a log out, to one at a time; none where it cannot be kept, or another run has it.
    fn keep(&self, log: &KeptLog) -> Option<Arc<dyn Keeping>>;
}

/// A log that is kept, for as long as somebody has this.
pub(crate) trait Keeping: Send + Sync {
    /// Its folder.
    fn folder(&self) -> &Path;

    /// The most bytes that may be written there.
    fn quota(&self) -> Option<u64>;

    /// Notes that a task was found done.
    fn found(&self);

    /// Whether the run has succeeded, so that nobody needs it any more.
    fn is_over(&self) -> bool;
}
