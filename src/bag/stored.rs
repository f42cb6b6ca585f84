//! Partitions that are stored: encoded once, and spilled as they are.

use super::pipeline::Item;
use super::stream::{BoxStream, ENOUGH, Flow, MORE, Stream};
use crate::graph::{Cancellation, Holding, TaskContext, Value};
use crate::{Error, ErrorKind, Result};
use chunkstore_store::serial::heap_bytes;
use chunkstore_store::{Buffer, Chunk, Records, RecordsReader, RecordsWriter};
use std::any::TypeId;
use std::marker::PhantomData;
use std::sync::Arc;

/// A cancelled run is noticed after so many elements.
const LOOK: u64 = 1024;

/// Elements that hold more than this are booked for, one at a time.
const LARGE: u64 = 1 << 20;

/// The memory for elements that are large, one at a time: how many times as much one takes in memory as encoded is known from the one before.
struct Large {
    holding: Holding,
    /// About the bytes of one, encoded.
    encoded: u64,
    times: f64,
}

impl Large {
    /// An element is about to be decoded.
    #[inline]
    fn comes(&mut self) -> Result<()> {
        if self.encoded < LARGE / 16 { Ok(()) } else { self.holding.set((self.encoded as f64 * self.times) as u64) }
    }

    /// An element holds so much.
    #[inline]
    fn came(&mut self, bytes: u64) -> Result<()> {
        if bytes < LARGE {
            return Ok(());
        }
        self.times = (bytes as f64 / self.encoded.max(1) as f64).max(1.0);
        self.holding.set(bytes)
    }
}

/// Encodes the elements of a stream into memory of the task's.
pub(crate) fn store<T: Item>(task: &TaskContext<'_>, stream: &mut dyn Stream<T>) -> Result<Value> {
    encoded(task, stream).map_err(|error| match error.kind() {
        ErrorKind::OutOfMemory => error.hint(
            "a partition that is kept is in memory as a whole while it is made: use more of them (repartition, a smaller blocksize, more and smaller files), \
             do not persist it, or give the engine more memory",
        ),
        _ => error,
    })
}

fn encoded<T: Item>(task: &TaskContext<'_>, stream: &mut dyn Stream<T>) -> Result<Value> {
    let mut writer = RecordsWriter::new(|len| task.alloc(len).map_err(into_store));
    if TypeId::of::<T>() == TypeId::of::<String>() {
        stream.each_str(&mut |text| {
            writer.push(text)?;
            Ok(MORE)
        })?;
    } else {
        stream.each(&mut |item| {
            writer.push(&item)?;
            Ok(MORE)
        })?;
    }
    Ok(Value::Chunk(Chunk::Records(writer.finish()?)))
}

/// One element as a stored partition.
pub(crate) fn store_one<T: Item>(task: &TaskContext<'_>, item: &T) -> Result<Value> {
    let mut writer = RecordsWriter::new(|len| task.alloc(len).map_err(into_store));
    writer.push(item)?;
    Ok(Value::Chunk(Chunk::Records(writer.finish()?)))
}

/// An error of the engine where the store asked for memory.
fn into_store(error: Error) -> chunkstore_store::Error {
    chunkstore_store::Error::new(chunkstore_store::ErrorKind::OutOfMemory, error.to_string())
}

/// Elements encoded into memory that is not counted: the user's own, that becomes a bag.
pub(crate) fn encode<T: Item>(items: impl IntoIterator<Item = T>) -> Result<Records> {
    let (mut data, mut count) = (Vec::new(), 0);
    for item in items {
        chunkstore_store::serial::encode(&item, &mut data)?;
        count += 1;
    }
    data.shrink_to_fit();
    Ok(Records { data: Buffer::from_vec(Arc::new(data)), count })
}

/// The records that a value is.
pub(crate) fn records(value: &Value) -> Result<&Records> {
    match value {
        Value::Chunk(Chunk::Records(records)) => Ok(records),
        other => Err(Error::new(ErrorKind::Type, format!("a partition is no records, but {other:?}; this is a defect of the engine"))),
    }
}

/// The elements of the stored partitions that are a task's inputs.
pub(crate) fn read<T: Item>(task: &TaskContext<'_>, inputs: &[Value]) -> Result<BoxStream<T>> {
    let first = inputs.first().ok_or_else(|| Error::new(ErrorKind::Graph, "a partition was read that is not there"))?;
    let records = records(first)?.clone();
    let large = Large { holding: task.holding(), encoded: records.data.len() as u64 / records.count.max(1), times: 1.0 };
    Ok(Box::new(Stored { large: Some(large), ..Stored::new(records, task.cancellation()) }))
}

/// The elements of a stored partition, decoded as they are asked for.
pub(crate) struct Stored<T> {
    reader: RecordsReader,
    cancellation: Cancellation,
    /// The memory for an element that is large.
    large: Option<Large>,
    item: PhantomData<fn() -> T>,
}

impl<T: Item> Stored<T> {
    pub(crate) fn new(records: Records, cancellation: Cancellation) -> Self {
        Stored { reader: records.into_reader(), cancellation, large: None, item: PhantomData }
    }

    fn look(&self) -> Result<()> {
        if self.reader.left().is_multiple_of(LOOK) { self.cancellation.check() } else { Ok(()) }
    }
}

impl<T: Item> Stream<T> for Stored<T> {
    fn next(&mut self) -> Option<Result<T>> {
        if let Err(error) = self.look() {
            return Some(Err(error));
        }
        if let Some(large) = &mut self.large
            && self.reader.left() > 0
            && let Err(error) = large.comes()
        {
            return Some(Err(error));
        }
        match (self.reader.next(), &mut self.large) {
            (Ok(Some(item)), Some(large)) => Some(large.came(heap_bytes(&item)).map(|()| item)),
            (item, _) => item.map_err(Error::from).transpose(),
        }
    }

    fn each_str(&mut self, take: &mut dyn FnMut(&str) -> Result<Flow>) -> Result<Flow> {
        loop {
            self.look()?;
            match self.reader.next_str()? {
                Some(text) if take(text)?.is_break() => return Ok(ENOUGH),
                Some(_) => {}
                None => return Ok(MORE),
            }
        }
    }
}
