//! Saved data: a store is a folder of named datasets, written by one process at a time and read by any number.

mod commit;
mod dataset;
mod filter;
mod gone;
mod info;
mod inner;
mod keyed;
mod layer;
mod lock;
mod name;
mod options;
mod overlay;
mod pending;
mod pins;
mod settle;
#[cfg(test)]
mod speed;
mod stats;
mod store;
#[cfg(test)]
mod tests;
mod value;
mod writer;

pub(crate) use commit::{Change, Outcome, Swap};
pub(crate) use dataset::each_key;
pub use dataset::{Dataset, StoredChunk};
pub use gone::Gone;
pub use info::{DatasetInfo, DatasetKind};
pub(crate) use inner::{Inner, random_id};
#[allow(unused_imports, reason = "for chests at a path")]
pub(crate) use keyed::KeyedWriter;
pub(crate) use layer::Held;
pub(crate) use lock::take as take_lock;
pub(crate) use name::check_name;
pub use options::StoreOptions;
pub(crate) use pins::Pinned;
pub use stats::StoreStats;
pub use store::Store;
pub(crate) use value::leaves;
pub use writer::DatasetWriter;
