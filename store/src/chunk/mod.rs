//! What can live in a chest.

mod block;
mod dtype;
mod header;
mod records;
mod scalar;

pub use block::{Block, Shape};
pub use dtype::{DType, Element};
pub use header::{ChunkHeader, ChunkKind};
pub use records::{Records, RecordsIter, RecordsReader, RecordsWriter};
pub use scalar::Scalar;

use crate::Buffer;

#[cfg(target_endian = "big")]
compile_error!("blocks stand on disk as in memory, which must be little-endian");

/// Opaque bytes.
#[derive(Clone, Debug)]
pub struct Bytes(pub Buffer);

/// What can live in a chest: one array block, records, bytes or a scalar.
#[derive(Clone, Debug)]
pub enum Chunk {
    /// One number or truth value; it is kept inline and never spilled.
    Scalar(Scalar),
    /// A block of an array.
    Block(Block),
    /// Encoded records.
    Records(Records),
    /// Opaque bytes.
    Bytes(Bytes),
}

impl Chunk {
    /// The bytes of the payload.
    pub fn nbytes(&self) -> u64 {
        match self {
            Chunk::Scalar(_) => 0,
            Chunk::Block(block) => block.nbytes() as u64,
            Chunk::Records(records) => records.data.len() as u64,
            Chunk::Bytes(bytes) => bytes.0.len() as u64,
        }
    }
}
