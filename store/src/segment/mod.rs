//! Saved data: framed, checksummed, append-only files.

mod active;
mod append;
mod commit;
mod copier;
mod footer;
mod frame;
mod header;
mod lane;
mod link;
mod options;
mod place;
mod read;
mod retire;
mod segments;
mod shared;
#[cfg(test)]
mod speed;
mod table;
#[cfg(test)]
mod tests;
mod walk;

pub(crate) use copier::Copier;
pub(crate) use frame::{FrameHeader, FrameInfo, FrameKind};
pub(crate) use options::SegmentOptions;
pub use place::Place;
pub(crate) use segments::Segments;
pub(crate) use shared::Commit;
pub(crate) use table::{Table, TableBuilder, TableIter, each_merged, merge_mapped, merge_tables};
pub(crate) use walk::Walk;
