//! Spilled data: a few preallocated files whose extents are reused in place.

mod extents;
mod options;
mod owner;
mod pool;
mod read;
mod room;
mod scratch;
mod slot;
mod staging;
mod stats;
mod verdicts;
mod write;

pub use options::ScratchOptions;
pub use scratch::Scratch;
pub use slot::Slot;
pub use stats::ScratchStats;
