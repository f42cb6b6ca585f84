//! Partitions as values that functions take: lists, and single elements.

use super::lazy::Bag;
use super::pipeline::{Item, Upstream};
use super::stored::store;
use super::stream::BoxStream;
use super::value::{BagValue, Missing};
use super::work::{Act, Work};
use crate::graph::{Key, KeyBuilder, LayerRef, Object, Size, Sizes, TaskContext, Value, into_value};
use crate::{Error, ErrorKind, Result};
use chunkstore_store::serial::heap_bytes;
use std::marker::PhantomData;
use std::sync::Arc;

/// The layer whose blocks are the partitions of a bag as lists.
pub(crate) fn gathered<T: Item + Sync>(bag: &Bag<T>) -> Result<LayerRef> {
    Ok(Arc::new(Work::new(bag.upstream()?, Arc::new(Decode::<T> { one: None, item: PhantomData }))))
}

/// The layer whose block is a value of a bag.
pub(crate) fn decoded<T: Item + Sync>(value: &BagValue<T>) -> Result<LayerRef> {
    let upstream: Upstream<T> = value.bag().upstream()?;
    Ok(Arc::new(Work::new(upstream, Arc::new(Decode::<T> { one: Some(value.missing()), item: PhantomData }))))
}

/// Elements as a value in memory: all of them, or the only one.
struct Decode<T> {
    one: Option<Missing>,
    item: PhantomData<fn() -> T>,
}

impl<T: Item + Sync> Act<T> for Decode<T> {
    fn name(&self) -> &str {
        "to_delayed"
    }

    fn key(&self) -> Key {
        KeyBuilder::new("bag.to_delayed", 1).number(self.one.is_some().into()).finish()
    }

    fn sizes(&self, _partition: u32, estimate: u64) -> Sizes {
        Sizes { out: Size::Learned(2 * estimate + 64), scratch: estimate + (64 << 10), load: 0 }
    }

    fn run(&self, task: &TaskContext<'_>, mut rows: BoxStream<T>, _extra: &[Value]) -> Result<Value> {
        if let Some(missing) = self.one {
            let value = rows.next().unwrap_or_else(|| Err(missing.error()))?;
            let bytes = size_of::<T>() as u64 + heap_bytes(&value);
            task.claim(bytes)?;
            return counted(into_value(value, Some(task))?, bytes, PhantomData::<T>);
        }
        // Encoded first: then it is known how many there are, and about what they hold.
        let stored = store(task, &mut *rows)?;
        let records = super::stored::records(&stored)?;
        let mut holding = task.holding();
        holding.add(records.count.saturating_mul(size_of::<T>() as u64))?;
        let len = usize::try_from(records.count).map_err(|_| Error::new(ErrorKind::OutOfMemory, "a list is larger than memory"))?;
        let mut list = Vec::with_capacity(len);
        for item in records.iter::<T>() {
            let item = item?;
            holding.add(heap_bytes(&item))?;
            list.push(item);
        }
        counted(into_value(list, Some(task))?, holding.held(), PhantomData::<Vec<T>>)
    }
}

/// An object with the bytes that it is known to hold.
fn counted<O: Send + Sync + 'static>(value: Value, bytes: u64, _: PhantomData<O>) -> Result<Value> {
    match value {
        Value::Object(object) if object.nbytes() < bytes => match object.shared::<O>() {
            Some(object) => Ok(Value::Object(Object::new(object, bytes))),
            None => Ok(Value::Object(object)),
        },
        value => Ok(value),
    }
}
