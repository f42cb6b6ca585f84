//! Where the chunks of a dataset are: a sorted map from keys to frames, in a frame.
//!
//! ```text
//!   | count, segments | segment ids | entries: 40 bytes each, by (hash, key) | keys, in the order of the entries |
//! ```
//! A dataset has one table or several, each of a part of its keys; what a newer table says of a key wins.

mod build;
mod cursor;
mod lookup;
mod merge;
#[cfg(test)]
mod tests;
mod write;

pub(crate) use build::TableBuilder;
pub(crate) use cursor::TableIter;
pub(crate) use lookup::Table;
pub(crate) use merge::{each_merged, merge_mapped, merge_tables};
