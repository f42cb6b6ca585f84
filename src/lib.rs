//! Chunked arrays, bags, frames and task graphs on a disk-backed chunk store, within a memory bound that the whole
//! process keeps.

pub mod array;
pub mod engine;
pub mod graph;
pub mod optimize;
pub mod plan;
mod policy;

mod collection;
mod error;
mod exec;
mod report;

pub use chunkstore_store as store;
pub use collection::{Collected, Collection, Persist};
pub use engine::{Engine, init};
pub use error::{Error, ErrorKind, Result};

/// The programs in the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
