//! What a task takes and gives.

use super::values::DEEPEST;
use super::{Argument, Given, Values};
use crate::{Error, ErrorKind, Result};
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
    /// Any other value.
    Object(Object),
    /// A list, as an argument or as a result.
    List(Values),
}

/// A value of the user's, shared, with the bytes that it is counted for and the name of its type.
#[derive(Clone)]
pub struct Object {
    value: Arc<dyn Any + Send + Sync>,
    bytes: u64,
    type_name: &'static str,
}

impl Object {
    /// `value`, counted for `bytes`.
    pub fn new<T: Send + Sync + 'static>(value: Arc<T>, bytes: u64) -> Self {
        Object { value, bytes, type_name: std::any::type_name::<T>() }
    }

    /// The value, shared, if it is a `T`.
    pub fn shared<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.value.clone().downcast().ok()
    }

    /// The value, if it is a `T`.
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.value.downcast_ref()
    }

    /// The bytes that it is counted for.
    pub fn nbytes(&self) -> u64 {
        self.bytes
    }

    /// The name of its type.
    pub fn type_name(&self) -> &'static str {
        self.type_name
    }
}

impl Value {
    /// The bytes that it holds.
    pub fn nbytes(&self) -> u64 {
        match self {
            Value::None => 0,
            Value::Chunk(chunk) => chunk.nbytes(),
            Value::Object(object) => object.bytes,
            Value::List(list) => list.nbytes(),
        }
    }

    /// The array block, if it is one.
    pub fn block(&self) -> Option<&Block> {
        match self {
            Value::Chunk(Chunk::Block(block)) => Some(block),
            _ => None,
        }
    }

    /// The value that stands for `value` in graphs: scalars are held inline, arrays become blocks.
    ///
    /// # Errors
    /// None for the types that are known here.
    pub fn of<T: Argument>(value: T) -> Result<Value> {
        super::result::into_value(value, None)
    }

    /// The value as a `T`, by the rules by which a function's argument is taken: see [`Argument`].
    ///
    /// # Errors
    /// A type error that names both types.
    pub fn get<T: Argument>(&self) -> Result<T> {
        let given = Given::from(self);
        T::take(given).ok_or_else(|| {
            let message = format!("expected a value of type {}, found {}", super::argument::short_name::<T>(), given.describe());
            Error::new(ErrorKind::Type, message)
        })
    }
}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::None => f.write_str("None"),
            Value::Chunk(chunk) => chunk.fmt(f),
            Value::Object(object) => write!(f, "{}({} bytes)", object.type_name, object.bytes),
            Value::List(list) if list.depth() > DEEPEST => write!(f, "[{} lists deep]", list.depth()),
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
