//! Saved data: a store is a folder of named datasets, written by one process at a time and read by any number.

mod commit;
mod dataset;
mod info;
mod inner;
mod keyed;
mod layer;
mod lock;
mod name;
mod options;
mod overlay;
mod pins;
mod stats;
mod store;
mod table;
mod value;
#[cfg(test)]
mod tests;
mod writer;

pub use dataset::{Dataset, StoredChunk};
pub use info::{DatasetInfo, DatasetKind};
pub(crate) use commit::Change;
pub(crate) use inner::{Inner, random_id};
pub(crate) use lock::take as take_lock;
pub(crate) use keyed::KeyedWriter;
pub use options::StoreOptions;
pub use stats::StoreStats;
pub use store::Store;
pub use writer::DatasetWriter;
