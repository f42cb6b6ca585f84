//! What can live in a chest.

mod block;
mod dtype;
mod scalar;

pub use block::{Block, Shape};
pub use dtype::{DType, Element};
pub use scalar::Scalar;

use crate::Buffer;

/// Opaque bytes.
#[derive(Clone, Debug)]
pub struct Bytes(pub Buffer);

/// Records of one type, encoded once by the crate's one serialiser, and counted.
#[derive(Clone, Debug)]
pub struct Records {
    /// The encoded records, one after the other.
    pub data: Buffer,
    /// How many there are.
    pub count: u64,
}

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

/// STAND-IN
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum ChunkHeader {
    Block(DType, Shape),
    Records(u64),
    Bytes,
}

#[allow(missing_docs, clippy::missing_errors_doc)]
impl Chunk {
    pub fn header(&self) -> crate::Result<ChunkHeader> {
        Ok(match self {
            Chunk::Block(b) => ChunkHeader::Block(b.dtype(), b.shape().into()),
            Chunk::Records(r) => ChunkHeader::Records(r.count),
            _ => ChunkHeader::Bytes,
        })
    }
    pub fn payload(&self) -> (&Buffer, usize, usize) {
        match self {
            Chunk::Scalar(_) => (Buffer::empty(), 0, 0),
            Chunk::Block(b) => (b.buffer().0, b.buffer().1, b.nbytes()),
            Chunk::Records(r) => (&r.data, 0, r.data.len()),
            Chunk::Bytes(b) => (&b.0, 0, b.0.len()),
        }
    }
    pub fn item_size(&self) -> usize {
        match self {
            Chunk::Block(b) => b.dtype().size(),
            _ => 1,
        }
    }
    pub fn from_parts(header: ChunkHeader, buffer: Buffer, offset: usize) -> crate::Result<Chunk> {
        Ok(match header {
            ChunkHeader::Block(d, s) => Chunk::Block(Block::new(buffer, offset, d, s)?),
            ChunkHeader::Records(count) => Chunk::Records(Records { data: buffer, count }),
            ChunkHeader::Bytes => Chunk::Bytes(Bytes(buffer)),
        })
    }
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
