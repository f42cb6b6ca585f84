//! Spilled data: a few preallocated files whose extents are reused in place.

mod extents;
mod open;
mod options;
mod owner;
mod part;
mod pool;
mod read;
mod room;
mod slot;
mod staging;
mod stats;
mod verdicts;
mod write;

pub use open::Scratch;
pub use options::ScratchOptions;
pub use slot::Slot;
pub use stats::ScratchStats;
