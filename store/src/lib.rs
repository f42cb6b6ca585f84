//! Memory-bounded, disk-backed chunks: bytes and keys, never tasks.
//!
//! The engine in the crate `chunkstore` is built on this one, and it stands alone too: a [`Ledger`] counts
//! memory, an [`Arena`] hands out counted [`BufferMut`]s, a [`Chunk`] is what can be kept, and the chest keeps
//! chunks within a bound by spilling them to scratch files.

mod buffer;
mod chunk;
mod error;
mod io;
mod ledger;

pub use buffer::{Arena, Buffer, BufferMut};
pub use chunk::{Block, Bytes, Chunk, DType, Element, Records, Scalar, Shape};
pub use error::{Error, ErrorKind, Result};
pub use io::{InputFile, Stamp};
pub use ledger::{Booking, Ledger};
mod stub;
pub use stub::*;
