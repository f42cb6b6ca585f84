//! Chunked arrays and task graphs on a disk-backed chunk store, within a memory bound that the whole process keeps.
//!
//! - [`mod@array`]: lazy n-dimensional arrays of any size, with NumPy's names.
//! - [`mod@bag`]: lazy bags of lines, records and anything else that serde can encode, with Dask's names.
//! - [`mod@delayed`]: calls of functions that are made later, with each other's results, lists, maps and arrays as arguments.
//! - [`graph`]: dicts of keys and tasks, and what collections become.
//! - [`Engine`]: a memory bound, threads and a scratch folder; computes collections and graphs, and forecasts what that takes.
//! - [`store`]: counted memory, chunks, and [`store::Chest`], a map that is larger than its memory.
//!
//! ```
//! use chunkstore::{Engine, array::Array};
//! chunkstore::init();
//! let engine = Engine::builder().memory("256MiB").build()?;
//! let x = Array::<f64>::linspace(0.0, 1.0, 1_000_000, 100_000).reshape([1000, 1000]);
//! let z = (&x - x.mean(0)) / x.std(0);
//! let largest = engine.compute(&z.abs().max(..).item_collection())?;
//! assert!((largest - 1.7303).abs() < 1e-3);
//! # Ok::<(), chunkstore::Error>(())
//! ```

pub mod array;
pub mod bag;
pub mod delayed;
pub mod engine;
pub mod graph;
pub mod optimize;
pub mod plan;
mod policy;

mod collection;
mod convert;
mod error;
mod exec;
pub mod report;
mod shuffle;

pub use chunkstore_store as store;
pub use chunkstore_store::Store;
pub use collection::{Collected, Collection, Kept, Persist};
pub use engine::{Engine, init, visualize};
pub use error::{Error, ErrorKind, Result};

/// The programs in the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
