//! The layer of partitions that are in memory of the user's.

use crate::graph::{Dependency, Key, KeyBuilder, Layer, LayerRef, Operator, Size, Sizes, TaskContext, Value};
use crate::{Error, ErrorKind, Result};
use chunkstore_store::{Chunk, Records};
use std::any::Any;
use std::sync::Arc;

/// Encoded partitions that are there already.
pub(super) struct Memory {
    records: Arc<[Records]>,
    key: Key,
}

impl Memory {
    pub(super) fn new(records: Vec<Records>) -> Self {
        let key = records.iter().fold(KeyBuilder::new("bag.memory", 1), |key, records| key.number(records.count).bytes(&records.data));
        Memory { key: key.finish(), records: records.into() }
    }
}

impl Layer for Memory {
    fn key(&self) -> Key {
        self.key
    }

    fn name(&self) -> &str {
        "from_sequence"
    }

    fn inputs(&self) -> &[LayerRef] {
        &[]
    }

    fn blocks(&self) -> u32 {
        self.records.len() as u32
    }

    fn dependencies(&self, _block: u32, _out: &mut Vec<Dependency>) {}

    fn sizes(&self, _block: u32) -> Sizes {
        // The bytes are the user's: they are there whether the task has run or not.
        Sizes { out: Size::Exact(0), scratch: 0, load: 0 }
    }

    fn operator(&self) -> Arc<dyn Operator> {
        Arc::new(Take(self.records.clone()))
    }

    fn is_source(&self) -> bool {
        true
    }

    fn is_portable(&self) -> bool {
        // Its key hashes all of it.
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn with_inputs(&self, _inputs: Vec<LayerRef>) -> Option<LayerRef> {
        None
    }
}

/// Gives a partition.
struct Take(Arc<[Records]>);

impl Operator for Take {
    fn name(&self) -> &str {
        "from_sequence"
    }

    fn parameters(&self) -> Option<Vec<u8>> {
        None
    }

    fn run(&self, task: &TaskContext<'_>, _inputs: &[Value]) -> Result<Value> {
        let missing = || Error::new(ErrorKind::Graph, "a partition of a sequence is missing; this is a defect of the engine");
        self.0.get(task.block() as usize).map(|records| Value::Chunk(Chunk::Records(records.clone()))).ok_or_else(missing)
    }
}
