//! Persisted collections that survive their process.
//!
//! With a checkpoint folder, blocks of a persisted collection are saved as they are made, in one dataset for each layer, named by its key, and
//! committed together each second. When a collection with the same key is persisted again, by this process or the next, the blocks that are there
//! are read, and the tasks that they were made of are not made. A key says what was computed from what: from another file, another
//! state of the file or with other parameters it is another. Closures and memory of the user's have no such keys; what depends on them is
//! not saved.

use crate::graph::{Barrier, Dependency, Key, Layer, LayerRef, Operator, Sizes, TaskContext, Value, in_order};
use crate::{Error, ErrorKind, Result};
use chunkstore_store::{Arena, Dataset, DatasetKind, DatasetWriter, Store, StoreOptions};
use parking_lot::Mutex;
use serde_json::json;
use smallvec::SmallVec;
use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long what was saved may wait for its commit.
const INTERVAL: Duration = Duration::from_secs(1);

/// The kind of the datasets here.
const KIND: &str = "checkpoint";

/// Where an engine saves the blocks of persisted collections.
pub(super) struct Checkpoint {
    store: Store,
}

impl Checkpoint {
    /// What a checkpoint takes of an engine's memory.
    pub(super) const BYTES: u64 = 8 << 20;

    pub(super) fn open(folder: &Path, arena: &Arena) -> Result<Self> {
        Ok(Checkpoint { store: StoreOptions::default().arena(arena.clone()).open(folder)? })
    }

    /// Where its event logs are.
    pub(super) fn events(&self) -> PathBuf {
        self.store.folder().join("events")
    }

    /// The store that it is.
    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// `layer`, which gives the blocks of a collection whose key is `key`, as a layer that saves and finds them; nothing where they
    /// cannot be known again.
    pub(super) fn saving(&self, key: Key, layer: &LayerRef) -> Result<Option<Arc<Saving>>> {
        let portable = in_order(std::slice::from_ref(layer)).iter().all(|layer| layer.operator().parameters().is_some());
        if !portable || layer.is_source() {
            return Ok(None);
        }
        let name = format!("checkpoints/{key}");
        let blocks = layer.blocks() as usize;
        let mut present = vec![false; blocks];
        let (writer, dataset) = match self.store.info(&name)? {
            Some(_) => {
                let dataset = self.store.dataset(&name)?;
                for number in dataset.chunk_numbers()? {
                    if let Some(present) = present.get_mut(number as usize) {
                        *present = true;
                    }
                }
                (self.store.update(&name)?, Some(dataset))
            }
            None => {
                let kind = DatasetKind::new(KIND, json!({ "layer": layer.name(), "key": key.to_string(), "blocks": blocks }));
                (self.store.create(&name, kind)?, None)
            }
        };
        let layer = layer.clone();
        Ok(Some(Arc::new(Saving { layer, writer, dataset, present, flushed: Mutex::new(Instant::now()) })))
    }
}

/// A layer whose blocks are being saved.
pub(super) struct Saving {
    layer: LayerRef,
    writer: DatasetWriter,
    /// What was there at the beginning.
    dataset: Option<Dataset>,
    present: Vec<bool>,
    flushed: Mutex<Instant>,
}

impl Saving {
    /// The layer that saves and finds blocks.
    pub(super) fn layer(self: &Arc<Self>) -> LayerRef {
        Arc::new(Checkpointed { saving: self.clone(), layer: self.layer.clone() })
    }

    /// Saves what is not committed yet.
    pub(super) fn flush(&self) -> Result<()> {
        Ok(self.writer.flush()?)
    }

    fn is_present(&self, block: u32) -> bool {
        self.present.get(block as usize).copied().unwrap_or(false)
    }

    fn read(&self, block: u32, arena: &Arena) -> Result<Value> {
        let missing = || {
            let message = format!("block {block} of {} has gone from the checkpoint", self.layer.name());
            Error::new(ErrorKind::Corrupt, message).hint("compute it again without the checkpoint, or with another folder")
        };
        let dataset = self.dataset.as_ref().ok_or_else(missing)?;
        Ok(Value::Chunk(dataset.chunk_in(block.into(), arena)?.ok_or_else(missing)?))
    }

    fn save(&self, block: u32, value: &Value) -> Result<()> {
        let Value::Chunk(chunk) = value else { return Ok(()) };
        self.writer.put(block.into(), chunk)?;
        // One thread commits for all; the others go on.
        if let Some(mut flushed) = self.flushed.try_lock()
            && flushed.elapsed() > INTERVAL
        {
            self.flush()?;
            *flushed = Instant::now();
        }
        Ok(())
    }
}

/// A layer that reads the blocks that are saved, and saves those that it makes.
struct Checkpointed {
    saving: Arc<Saving>,
    layer: LayerRef,
}

impl Layer for Checkpointed {
    fn key(&self) -> Key {
        self.layer.key()
    }

    fn name(&self) -> &str {
        self.layer.name()
    }

    fn inputs(&self) -> &[LayerRef] {
        self.layer.inputs()
    }

    fn blocks(&self) -> u32 {
        self.layer.blocks()
    }

    fn position(&self, block: u32) -> SmallVec<[u32; 4]> {
        self.layer.position(block)
    }

    fn dependencies(&self, block: u32, out: &mut Vec<Dependency>) {
        if !self.saving.is_present(block) {
            self.layer.dependencies(block, out);
        }
    }

    fn sizes(&self, block: u32) -> Sizes {
        let sizes = self.layer.sizes(block);
        if self.saving.is_present(block) { Sizes { scratch: 0, load: 0, ..sizes } } else { sizes }
    }

    fn operator(&self) -> Arc<dyn Operator> {
        Arc::new(ReadOrMake { saving: self.saving.clone(), operator: self.layer.operator() })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn with_inputs(&self, inputs: Vec<LayerRef>) -> Option<LayerRef> {
        Some(Arc::new(Checkpointed { saving: self.saving.clone(), layer: self.layer.with_inputs(inputs)? }))
    }

    fn location(&self) -> Option<&'static std::panic::Location<'static>> {
        self.layer.location()
    }

    fn barrier(&self) -> Option<&dyn Barrier> {
        self.layer.barrier()
    }
}

struct ReadOrMake {
    saving: Arc<Saving>,
    operator: Arc<dyn Operator>,
}

impl Operator for ReadOrMake {
    fn name(&self) -> &str {
        self.operator.name()
    }

    fn parameters(&self) -> Option<Vec<u8>> {
        None
    }

    fn run(&self, task: &TaskContext<'_>, inputs: &[Value]) -> Result<Value> {
        if self.saving.is_present(task.block()) {
            return self.saving.read(task.block(), task.arena());
        }
        let value = self.operator.run(task, inputs)?;
        self.saving.save(task.block(), &value)?;
        Ok(value)
    }

    fn task_name(&self, block: u32) -> Option<String> {
        self.operator.task_name(block)
    }
}
