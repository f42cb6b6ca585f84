//! Chunked arrays, bags, frames and task graphs on a disk-backed chunk store, within a memory bound that the whole
//! process keeps.

pub mod graph;
pub mod optimize;

mod collection;
mod error;

pub use chunkstore_store as store;
pub use collection::{Collected, Collection, Persist};
pub use error::{Error, ErrorKind, Result};
