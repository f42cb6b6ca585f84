//! Lazy chunked arrays.
//!
//! An [`Array`] knows its element type, its shape and how it is cut into blocks; every operation gives a new array and
//! computes nothing. What NumPy and Dask call a function is called the same here.

mod any;
mod argument;
mod assemble;
mod axes;
mod blockwise;
mod body;
mod build;
mod checks;
mod chunking;
mod chunks;
mod collect;
mod create;
mod elementwise;
mod file;
mod inputs;
mod join;
mod kernel;
mod lazy;
mod map_blocks;
mod memory;
mod npy;
mod number;
mod operators;
mod parameters;
mod portable;
pub mod random;
mod reduce;
mod reshape;
mod result;
mod run;
mod saved;
mod shaping;
mod slice;
mod source;
mod stamp;
mod view;

pub use any::AnyArray;
pub use axes::{Axes, keep};
pub use build::{ArrayOr, IntoOperand};
pub use chunking::{Auto, AxisChunks, Chunking};
pub use chunks::{Chunks, Position};
pub use collect::Item;
pub use create::IntoShape;
pub use elementwise::where_;
pub use file::ToNpy;
pub use join::{concatenate, stack};
pub use lazy::Array;
pub use number::{Bits, Datum, Float, Number};
pub use portable::operators;
pub use saved::Save;
pub use slice::{Ellipsis, NewAxis, Slice};

#[cfg(test)]
mod testing;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
