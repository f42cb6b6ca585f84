//! Chunked arrays and task graphs on a disk-backed chunk store, within a memory bound that the whole process keeps.
//!
//! - [`mod@array`]: lazy n-dimensional arrays of any size, with NumPy's names.
//! - [`mod@bag`]: lazy bags of lines, records and anything else that serde can encode, with Dask's names.
//! - [`mod@delayed`]: calls of functions that are made later, with each other's results, lists, maps and arrays as arguments.
//! - [`macro@task`] registers a function, so that its calls are known again; [`annotate`] says what holds for the calls of a part of a program.
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

/// Registers a function: equal calls of it have equal keys, in another process of the same build too.
///
/// The function stays what it is, a `fn` that is called as any other. Where it is given to [`delayed()`](delayed::delayed), [`graph::call`] or
/// [`graph::op`], it is known by a name and a version instead of by where it is in memory: equal calls are done once, and with a checkpoint folder
/// ([`engine::EngineBuilder::checkpoint`]) what long calls gave is found again after a crash.
///
/// ```
/// use chunkstore::delayed::delayed;
/// #[chunkstore::task]
/// fn slow_square(x: i64) -> i64 { x * x }
/// assert_eq!(slow_square(3), 9);
/// let slow_square = delayed(slow_square);
/// let (a, b) = (slow_square.call((3,)), slow_square.call((3,)));
/// assert_eq!(a.key(), b.key());
/// assert_eq!((a + b).compute()?, 18);
/// # Ok::<(), chunkstore::Error>(())
/// ```
///
/// **Name and version.** `#[task(name = "fit", version = 3)]` sets them; then keys are the same in all programs that have a function of that name and
/// version, and it is for you to raise the version when its meaning changes, or that of what it calls. Without `version` it is the build: a digest of the file
/// that holds the program's code, so that keys are equal in processes of the same build and in no others. The digest is taken when it is first asked for, and takes about as
/// long as reading that file. Code in other shared libraries that the function calls is not in it. Without `name` the name is the function's path. Two functions
/// of one name and version are an error where either is called lazily.
///
/// **What can be registered** is a function that another process finds by its name, with up to sixteen parameters that are
/// [`Argument`](graph::Argument)s. What cannot does not compile:
///
/// ```compile_fail
/// #[chunkstore::task]
/// fn length(text: &str) -> usize { text.len() } // no references
/// ```
/// ```compile_fail
/// #[chunkstore::task]
/// fn first<T>(xs: Vec<T>) -> usize { xs.len() } // no generic parameters
/// ```
/// ```compile_fail
/// struct Mine;
/// #[chunkstore::task]
/// fn take(x: Mine) {} // no `Argument`
/// ```
/// ```compile_fail
/// struct Mine;
/// impl Mine {
///     #[chunkstore::task]
///     fn take(&self) {} // no methods
/// }
/// ```
/// ```compile_fail
/// #[chunkstore::task(retries = 3)]
/// fn take(x: i64) {} // only `name` and `version`
/// ```
/// ```compile_fail
/// #[chunkstore::task]
/// async fn take(x: i64) {}
/// ```
pub use chunkstore_macros::task;
pub use chunkstore_store as store;
pub use chunkstore_store::Store;
pub use collection::{Collected, Collection, Kept, Persist};
pub use engine::{Engine, init, visualize};
pub use error::{Error, ErrorKind, Result};
pub use graph::{Annotations, annotate};

/// What `#[chunkstore::task]` expands to.
#[doc(hidden)]
pub mod __private {
    pub use crate::engine::build_of;
    pub use crate::graph::{Declared, NoCodec, ResultCodec, Returned, SerdeCodec, Task};
    pub use inventory::submit;

    /// Does nothing with a type that a task can take.
    pub fn argument<T: crate::graph::Argument>() {}
}

/// The programs in the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
