//! Spilled data: a few preallocated files whose extents are reused in place.

mod extents;
mod open;
mod options;
mod owner;
mod part;
mod read;
mod room;
mod slot;
mod stats;
mod write;

pub use open::Scratch;
pub use options::ScratchOptions;
pub(crate) use owner::{OwnedFolder, sweep};
pub(crate) use room::{Room, Space};
pub use slot::Slot;
pub use stats::ScratchStats;
