//! Chunks that stay when their run has ended: those of persisted collections.

use super::Shared;
use super::record::Place;
use crate::graph::{Dependency, Key, Layer, LayerRef, Operator, Size, Sizes, TaskContext, Value};
use crate::{Error, ErrorKind, Result};
use smallvec::SmallVec;
use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

/// One claim of a kept chunk; it is released when this is dropped.
pub(crate) struct Held {
    pub(super) id: Arc<AtomicU32>,
    shared: Arc<Shared>,
}

/// Who holds a kept chunk, as the engine knows it. They stay known until each has released its claim, which is after the last
/// reference to it has gone, so that the number is told anew until then.
pub(super) struct Holders {
    /// The chunk's number, which all holders share.
    pub(super) id: Arc<AtomicU32>,
    /// How many there are.
    pub(super) count: u32,
    /// What the chunk is called in event logs.
    pub(super) recorded: Option<Place>,
}

impl Held {
    pub(super) fn new(id: Arc<AtomicU32>, shared: Arc<Shared>) -> Self {
        Held { id, shared }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.shared.core.release_held(&self.id);
    }
}

/// The error for a kept chunk that cannot be read back.
pub(super) fn lost(error: Error) -> Error {
    error.hint("a block of a persisted collection cannot be read back: persist the collection again")
}

/// The blocks of a persisted collection, where they are kept.
pub(crate) struct HeldLayer {
    key: Key,
    name: String,
    chunks: Vec<Arc<Held>>,
    sizes: Vec<u64>,
    positions: Vec<SmallVec<[u32; 4]>>,
}

impl HeldLayer {
    /// The chunks that the blocks of `layer` became.
    pub(crate) fn new(layer: &LayerRef, chunks: Vec<Arc<Held>>) -> Self {
        let blocks = 0..layer.blocks();
        HeldLayer {
            key: layer.key(),
            name: layer.name().to_string(),
            chunks,
            sizes: blocks.clone().map(|block| layer.sizes(block).out.bytes()).collect(),
            positions: blocks.map(|block| layer.position(block)).collect(),
        }
    }

    /// The policy's number of the chunk that is a block, if it is kept by this engine.
    pub(crate) fn id_of(&self, block: u32, shared: &Arc<Shared>) -> Result<u32> {
        match self.chunks.get(block as usize) {
            Some(held) if Arc::ptr_eq(&held.shared, shared) => Ok(held.id.load(Relaxed)),
            Some(_) => Err(Error::new(ErrorKind::Invalid, "a persisted collection is kept by another engine")
                .hint("compute it on the engine that persisted it")),
            None => Err(Error::new(ErrorKind::Graph, format!("a persisted collection has no block {block}"))),
        }
    }
}

impl Layer for HeldLayer {
    fn key(&self) -> Key {
        self.key
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn inputs(&self) -> &[LayerRef] {
        &[]
    }

    fn blocks(&self) -> u32 {
        self.chunks.len() as u32
    }

    fn position(&self, block: u32) -> SmallVec<[u32; 4]> {
        self.positions.get(block as usize).cloned().unwrap_or_default()
    }

    fn dependencies(&self, _block: u32, _out: &mut Vec<Dependency>) {}

    fn sizes(&self, block: u32) -> Sizes {
        Sizes { out: Size::Exact(self.sizes.get(block as usize).copied().unwrap_or(0)), scratch: 0, load: 0 }
    }

    fn operator(&self) -> Arc<dyn Operator> {
        Arc::new(Keep(self.chunks.clone()))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn with_inputs(&self, _inputs: Vec<LayerRef>) -> Option<LayerRef> {
        None
    }
}

/// Gives a kept chunk. A run on the engine that keeps it does not call this: it takes the chunk itself.
struct Keep(Vec<Arc<Held>>);

impl Operator for Keep {
    fn name(&self) -> &str {
        "persisted"
    }

    fn parameters(&self) -> Option<Vec<u8>> {
        None
    }

    fn run(&self, task: &TaskContext<'_>, _inputs: &[Value]) -> Result<Value> {
        let held = self.0.get(task.block() as usize).ok_or_else(|| Error::new(ErrorKind::Graph, "a persisted block is missing"))?;
        held.shared.core.value_of(&held.id)
    }
}
