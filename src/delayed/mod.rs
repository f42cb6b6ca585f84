//! Functions that are called later: [`delayed()`] makes calls into values that are computed when they are wanted.
//!
//! ```
//! use chunkstore::delayed::{delayed, value};
//! fn load(part: u64) -> Vec<f64> { (0..1000).map(|i| (part * 1000 + i) as f64).collect() }
//! fn total(parts: Vec<Vec<f64>>) -> f64 { parts.iter().flatten().sum() }
//! let load = delayed(load);
//! let parts: Vec<_> = (0..10u64).map(|part| load.call((part,))).collect();
//! let mean = delayed(total).call((parts,)) / value(10_000.0);
//! assert_eq!(mean.compute()?, 4999.5);
//! # Ok::<(), chunkstore::Error>(())
//! ```
//!
//! Arguments are plain values, delayed values, arrays (whose whole value the function is given), nested [`call`](crate::graph::call())s, and lists, maps and tuples of these. What
//! may be inside of an argument is in its type, so that nothing is searched for delayed values when the program runs.

mod arguments;
mod function;
mod operators;
mod parts;
mod run;
mod stamped_path;
mod value;

pub use crate::graph::StampedPath;
pub use function::{DelayedFn, delayed, try_delayed};
pub use value::{Delayed, IntoDelayed, value};
