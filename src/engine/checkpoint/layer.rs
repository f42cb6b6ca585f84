//! A layer that reads the blocks that are saved, and saves those that it makes.

use super::target::{Found, Target};
use crate::Result;
use crate::graph::{Barrier, Dependency, Key, Layer, LayerRef, Operator, Size, Sizes, TaskContext, Value};
use smallvec::SmallVec;
use std::any::Any;
use std::panic::Location;
use std::sync::Arc;

/// A layer whose blocks are saved. Those that were there at the beginning are made of nothing.
pub(super) struct Checkpointed {
    saved: Arc<Saved>,
    layer: LayerRef,
    /// Whether all blocks are there, so that no layer behind it is needed.
    whole: bool,
}

/// Where blocks of a layer are saved, and which were there.
struct Saved {
    target: Arc<Target>,
    /// The key under which they are.
    key: Key,
    found: Found,
}

impl Checkpointed {
    /// `layer`, whose blocks are saved in `target` under `key`.
    pub(super) fn new(target: Arc<Target>, key: Key, layer: LayerRef) -> Self {
        let found = target.found(key);
        // What a barrier holds is needed, even if it has decided.
        let whole = layer.barrier().is_none() && found.count(layer.blocks()) == layer.blocks();
        Checkpointed { saved: Arc::new(Saved { target, key, found }), layer, whole }
    }

    /// How many of the blocks were there.
    pub(super) fn present(&self) -> u64 {
        self.saved.found.count(self.layer.blocks()).into()
    }
}

impl Layer for Checkpointed {
    fn key(&self) -> Key {
        self.layer.key()
    }

    fn name(&self) -> &str {
        self.layer.name()
    }

    fn inputs(&self) -> &[LayerRef] {
        if self.whole { &[] } else { self.layer.inputs() }
    }

    fn blocks(&self) -> u32 {
        self.layer.blocks()
    }

    fn position(&self, block: u32) -> SmallVec<[u32; 4]> {
        self.layer.position(block)
    }

    fn dependencies(&self, block: u32, out: &mut Vec<Dependency>) {
        if self.saved.found.stored(block).is_none() {
            self.layer.dependencies(block, out);
        }
    }

    fn sizes(&self, block: u32) -> Sizes {
        let sizes = self.layer.sizes(block);
        let Some(load) = self.saved.found.stored(block) else { return sizes };
        let out = match sizes.out {
            Size::Exact(_) => sizes.out,
            _ => self.saved.target.bytes_of(self.saved.key, block).map_or(sizes.out, Size::Exact),
        };
        Sizes { out, scratch: 0, load }
    }

    fn operator(&self) -> Arc<dyn Operator> {
        Arc::new(ReadOrMake { saved: self.saved.clone(), operator: self.layer.operator() })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn with_inputs(&self, inputs: Vec<LayerRef>) -> Option<LayerRef> {
        Some(Arc::new(Checkpointed { saved: self.saved.clone(), layer: self.layer.with_inputs(inputs)?, whole: self.whole }))
    }

    fn location(&self) -> Option<&'static Location<'static>> {
        self.layer.location()
    }

    fn barrier(&self) -> Option<&dyn Barrier> {
        self.layer.barrier()
    }
}

struct ReadOrMake {
    saved: Arc<Saved>,
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
        let Saved { target, key, found } = &*self.saved;
        if found.stored(task.block()).is_some() {
            return target.read(*key, task.block(), task.arena());
        }
        let value = self.operator.run(task, inputs)?;
        target.save(*key, task.block(), &value)?;
        Ok(value)
    }

    fn task_name(&self, block: u32) -> Option<String> {
        self.operator.task_name(block)
    }
}
