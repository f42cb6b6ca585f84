//! How much is held by what a function of the user's makes bigger and bigger.

use crate::Result;
use crate::graph::{Holding, TaskContext};
use chunkstore_store::serial::heap_bytes;
use serde::Serialize;

/// The memory of a value that elements are folded into.
///
/// To look at all of it for each element would take long: it is looked at each time that there were an eighth more elements than the last time.
pub(super) struct Growth {
    holding: Holding,
    seen: u64,
    next: u64,
}

impl Growth {
    pub(super) fn new(task: &TaskContext<'_>) -> Self {
        Growth { holding: task.holding(), seen: 0, next: 1 }
    }

    /// An element was folded into `value`.
    ///
    /// # Errors
    /// Out of memory where there is no room for what it holds now.
    #[inline]
    pub(super) fn look<A: Serialize>(&mut self, value: &A) -> Result<()> {
        if !std::mem::needs_drop::<A>() {
            return Ok(());
        }
        self.seen += 1;
        if self.seen < self.next {
            return Ok(());
        }
        self.next = self.seen + self.seen / 8 + 1;
        // With what it may grow by until then.
        self.holds(heap_bytes(value) / 8 * 9)
    }

    /// There are so many bytes.
    ///
    /// # Errors
    /// Out of memory where there is no room for them.
    pub(super) fn holds(&mut self, bytes: u64) -> Result<()> {
        self.holding.set(bytes)
    }
}
