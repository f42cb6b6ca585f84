//! A layer that writes to a log in which some of its tasks are committed.

use crate::graph::{Dependency, Key, Layer, LayerRef, Operator, Sizes};
use smallvec::SmallVec;
use std::any::Any;
use std::panic::Location;
use std::sync::Arc;

/// What a task that only says what it wrote holds.
const SAYING: u64 = 64 << 10;

/// A layer of which some tasks need nothing but the log, which says what they wrote.
pub(super) struct Writes {
    layer: LayerRef,
    /// The layer that opens the log.
    log: Key,
    /// The tasks that are committed, in order.
    found: Arc<[u32]>,
}

impl Writes {
    pub(super) fn new(layer: LayerRef, log: Key, found: Arc<[u32]>) -> Self {
        Writes { layer, log, found }
    }

    fn is_found(&self, block: u32) -> bool {
        self.found.binary_search(&block).is_ok()
    }
}

impl Layer for Writes {
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
        let before = out.len();
        self.layer.dependencies(block, out);
        if self.is_found(block) {
            let own = out.split_off(before);
            let is_log =
                |dependency: &Dependency| self.inputs().get(dependency.input as usize).is_some_and(|input| input.key() == self.log);
            out.extend(own.into_iter().filter(is_log));
        }
    }

    fn sizes(&self, block: u32) -> Sizes {
        let sizes = self.layer.sizes(block);
        if self.is_found(block) { Sizes { scratch: SAYING, load: 0, ..sizes } } else { sizes }
    }

    fn operator(&self) -> Arc<dyn Operator> {
        self.layer.operator()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn with_inputs(&self, inputs: Vec<LayerRef>) -> Option<LayerRef> {
        Some(Arc::new(Writes { layer: self.layer.with_inputs(inputs)?, log: self.log, found: self.found.clone() }))
    }

    fn location(&self) -> Option<&'static Location<'static>> {
        self.layer.location()
    }
}
