//! What a chest can keep.

use crate::{Arena, Block, Bytes, Chunk, Error, ErrorKind, Records, Result};
use std::hash::Hash;

/// What can be the key of a value in a chest: all that hashes, compares and clones.
pub trait ChestKey: Hash + Eq + Clone + Send + 'static {}

impl<K: Hash + Eq + Clone + Send + 'static> ChestKey for K {}

/// A value that a chest can keep. A clone must be cheap and share its memory, as clones of chunks do.
pub trait Storable: Clone + Send + Sync + 'static {
    /// The bytes of memory that it is counted for.
    fn nbytes(&self) -> u64;

    /// It as a chunk, without a copy; nothing for a value that is always kept in memory.
    fn to_chunk(&self) -> Option<Chunk>;

    /// It from the chunk that `to_chunk` gave, as read back.
    ///
    /// # Errors
    /// Corrupt where the chunk is of another kind.
    fn from_chunk(chunk: Chunk) -> Result<Self>;
}

fn other_kind<T>() -> Result<T> {
    Err(Error::new(ErrorKind::Corrupt, "a chunk was read back as one of another kind"))
}

/// The bytes counted for a payload: never none, as the number of values is bounded too.
fn counted(payload: usize) -> u64 {
    Arena::footprint(payload).max(64)
}

impl Storable for Chunk {
    fn nbytes(&self) -> u64 {
        counted(self.payload().2)
    }

    fn to_chunk(&self) -> Option<Chunk> {
        match self {
            Chunk::Scalar(_) => None,
            other => Some(other.clone()),
        }
    }

    fn from_chunk(chunk: Chunk) -> Result<Self> {
        Ok(chunk)
    }
}

impl Storable for Block {
    fn nbytes(&self) -> u64 {
        counted(self.bytes().len())
    }

    fn to_chunk(&self) -> Option<Chunk> {
        Some(Chunk::Block(self.clone()))
    }

    fn from_chunk(chunk: Chunk) -> Result<Self> {
        match chunk {
            Chunk::Block(block) => Ok(block),
            _ => other_kind(),
        }
    }
}

impl Storable for Bytes {
    fn nbytes(&self) -> u64 {
        counted(self.0.len())
    }

    fn to_chunk(&self) -> Option<Chunk> {
        Some(Chunk::Bytes(self.clone()))
    }

    fn from_chunk(chunk: Chunk) -> Result<Self> {
        match chunk {
            Chunk::Bytes(bytes) => Ok(bytes),
            _ => other_kind(),
        }
    }
}

impl Storable for Records {
    fn nbytes(&self) -> u64 {
        counted(self.data.len())
    }

    fn to_chunk(&self) -> Option<Chunk> {
        Some(Chunk::Records(self.clone()))
    }

    fn from_chunk(chunk: Chunk) -> Result<Self> {
        match chunk {
            Chunk::Records(records) => Ok(records),
            _ => other_kind(),
        }
    }
}
