//! How much is held by what a function of the user's makes bigger and bigger.

use super::pipeline::Item;
use crate::Result;
use crate::graph::{Holding, TaskContext};
use chunkstore_store::serial::heap_bytes;

/// The memory of a value that elements are folded into.
///
/// To look at all of it for each element would take long: it is looked at each time that there were an eighth more elements than the last time, or that these held as much as an eighth of it.
pub(super) struct Growth {
    holding: Holding,
    seen: u64,
    next: u64,
    /// What elements held that were folded in since it was looked at, and what they may.
    taken: u64,
    may_take: u64,
}

/// So much is taken in, at the least, before it is looked at for that.
const LEAST: u64 = 256 << 10;

impl Growth {
    pub(super) fn new(task: &TaskContext<'_>) -> Self {
        Growth { holding: task.holding(), seen: 0, next: 1, taken: 0, may_take: LEAST }
    }

    /// An element is to be folded in.
    #[inline]
    pub(super) fn takes<T: Item>(&mut self, item: &T) {
        self.taken += heap_bytes(item);
    }

    /// An element was folded into `value`.
    ///
    /// # Errors
    /// Out of memory where there is no room for what it holds now.
    #[inline]
    pub(super) fn look<A: Item>(&mut self, value: &A) -> Result<()> {
        if !std::mem::needs_drop::<A>() {
            return Ok(());
        }
        self.seen += 1;
        if self.seen < self.next && self.taken < self.may_take {
            return Ok(());
        }
        let held = heap_bytes(value);
        self.next = self.seen + self.seen / 8 + 1;
        (self.taken, self.may_take) = (0, LEAST.max(held / 8));
        // With what it may grow by until then.
        self.holds(held / 8 * 9)
    }

    /// There are so many bytes.
    ///
    /// # Errors
    /// Out of memory where there is no room for them.
    pub(super) fn holds(&mut self, bytes: u64) -> Result<()> {
        self.holding.set(bytes)
    }
}
