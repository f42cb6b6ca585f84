//! Bags of binary records of a fixed size.

use super::blocks::{BLOCK, Blocks, ReadBlocks};
use super::files::{Paths, files};
use super::lazy::{Bag, function_key};
use super::pipeline::{Item, Pipeline};
use super::regroup::missing;
use super::stream::{BoxStream, ENOUGH, Flow, MORE, Stream};
use crate::graph::{Cancellation, Dependency, Key, KeyBuilder, LayerRef, Op, TaskContext, Value};
use crate::{Error, Result};
use chunkstore_store::{Buffer, Chunk};
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;

/// A cancelled run is noticed after so many records.
const LOOK: usize = 4096;

/// The records in binary files, each of `record_bytes` bytes, as a function makes elements of them. Files are cut into blocks of about 16 MiB that are whole
/// records; small files share one. A fold over the records of any number of files takes constant memory.
///
/// # Errors
/// NotFound where there is no such file; Truncated where a file ends within a record; Invalid where records have no bytes; those of the file system.
///
/// ```
/// use chunkstore::bag;
/// # let folder = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
/// # let path = folder.path().join("a.bin");
/// std::fs::write(&path, [1u32, 2, 3].map(u32::to_le_bytes).concat())?;
/// let numbers = bag::read_binary(&path, 4, |bytes| u32::from_le_bytes(bytes.try_into().unwrap_or_default()))?;
/// assert_eq!(numbers.fold(0, |sum, n| sum + u64::from(n), |a, b| a + b).compute()?, 6);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[track_caller]
pub fn read_binary<T: Item>(paths: impl Paths, record_bytes: usize, record: impl Fn(&[u8]) -> T + Send + Sync + 'static) -> Result<Bag<T>> {
    let line = Location::caller();
    let key = function_key("read_binary", &[Op::of(&record)]);
    let opened = || {
        let blocks = Arc::new(Blocks::cut_records(&files(&paths)?, BLOCK, record_bytes as u64)?);
        let layer = Arc::new(ReadBlocks(blocks.clone()));
        Ok(Arc::new(Binary { blocks, layer, record_bytes, record: Arc::new(record), key, line, item: PhantomData }) as Arc<dyn Pipeline<T>>)
    };
    Ok(Bag::of(Ok(opened().map_err(|error: Error| error.from_line(line))?), line))
}

struct Binary<T, F> {
    blocks: Arc<Blocks>,
    layer: LayerRef,
    record_bytes: usize,
    record: Arc<F>,
    key: Key,
    line: &'static Location<'static>,
    item: PhantomData<fn() -> T>,
}

impl<T: Item, F: Fn(&[u8]) -> T + Send + Sync + 'static> Pipeline<T> for Binary<T, F> {
    fn name(&self) -> &str {
        "read_binary"
    }

    fn key(&self) -> Key {
        KeyBuilder::new("bag.read_binary", 1).number(self.record_bytes as u64).input(self.key).input(self.blocks.key()).finish()
    }

    fn inputs(&self) -> Vec<LayerRef> {
        vec![self.layer.clone()]
    }

    fn partitions(&self) -> u32 {
        self.blocks.count()
    }

    fn dependencies(&self, partition: u32, first: u32, out: &mut Vec<Dependency>) {
        out.push(Dependency { input: first, block: partition });
    }

    fn estimate(&self, partition: u32) -> u64 {
        self.blocks.bytes(partition)
    }

    fn open(&self, task: &TaskContext<'_>, _partition: u32, inputs: &[Value]) -> Result<BoxStream<T>> {
        let Some(Value::Chunk(Chunk::Bytes(bytes))) = inputs.first() else { return Err(missing()) };
        let (bytes, record, cancellation) = (bytes.0.clone(), self.record.clone(), task.cancellation());
        Ok(Box::new(Records { bytes, at: 0, record_bytes: self.record_bytes, record, cancellation }))
    }

    fn with_inputs(&self, inputs: &[LayerRef]) -> Option<Arc<dyn Pipeline<T>>> {
        let [layer] = inputs else { return None };
        let Binary { blocks, record_bytes, record, key, line, .. } = self;
        let (blocks, layer, record) = (blocks.clone(), layer.clone(), record.clone());
        Some(Arc::new(Binary { blocks, layer, record_bytes: *record_bytes, record, key: *key, line, item: PhantomData }))
    }

    fn absorb(&self, _input: usize) -> Option<Arc<dyn Pipeline<T>>> {
        None
    }

    fn location(&self) -> Option<&'static Location<'static>> {
        Some(self.line)
    }
}

/// What the records of a block become.
struct Records<F> {
    bytes: Buffer,
    at: usize,
    record_bytes: usize,
    record: Arc<F>,
    cancellation: Cancellation,
}

impl<T: 'static, F: Fn(&[u8]) -> T> Stream<T> for Records<F> {
    fn next(&mut self) -> Option<Result<T>> {
        let record = self.bytes.get(self.at..self.at + self.record_bytes)?;
        self.at += self.record_bytes;
        Some(Ok((self.record)(record)))
    }

    fn each(&mut self, take: &mut dyn FnMut(T) -> Result<Flow>) -> Result<Flow> {
        let Records { bytes, at, record_bytes, record, cancellation } = self;
        for (number, bytes) in bytes.get(*at..).unwrap_or_default().chunks_exact(*record_bytes).enumerate() {
            if number % LOOK == 0 {
                cancellation.check()?;
            }
            *at += bytes.len();
            if take(record(bytes))?.is_break() {
                return Ok(ENOUGH);
            }
        }
        Ok(MORE)
    }
}
