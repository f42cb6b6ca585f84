//! What a task takes and gives.

use chunkstore_store::{Block, Chunk, Scalar};
use std::any::Any;
use std::sync::Arc;

/// What a task takes and gives: a chunk, which can be spilled, or an object of the user's, which cannot.
#[derive(Clone)]
pub enum Value {
    /// No value: a task that is run for its effect.
    None,
    /// A chunk.
    Chunk(Chunk),
    /// Any other value, with the bytes that it is counted for.
    Object(Arc<dyn Any + Send + Sync>, u64),
    /// A list, as an argument or as a result.
    List(Arc<[Value]>),
}

impl Value {
    /// The bytes that it holds.
    pub fn nbytes(&self) -> u64 {
        match self {
            Value::None => 0,
            Value::Chunk(chunk) => chunk.nbytes(),
            Value::Object(_, bytes) => *bytes,
            Value::List(list) => list.iter().map(Value::nbytes).sum(),
        }
    }

    /// The array block, if it is one.
    pub fn block(&self) -> Option<&Block> {
        match self {
            Value::Chunk(Chunk::Block(block)) => Some(block),
            _ => None,
        }
    }
}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::None => f.write_str("None"),
            Value::Chunk(chunk) => chunk.fmt(f),
            Value::Object(_, bytes) => write!(f, "Object({bytes} bytes)"),
            Value::List(list) => f.debug_list().entries(list.iter()).finish(),
        }
    }
}

impl From<Block> for Value {
    fn from(block: Block) -> Self {
        Value::Chunk(Chunk::Block(block))
    }
}

impl From<Scalar> for Value {
    fn from(scalar: Scalar) -> Self {
        Value::Chunk(Chunk::Scalar(scalar))
    }
}
