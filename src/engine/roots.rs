//! What several collections want of one run: their layers, and the values that are kept for their results.

use super::compute::Reservation;
use super::several::Part;
use crate::collection::KeptValues;
use crate::exec::{Held, Shared};
use crate::graph::{LayerRef, Picked, Value};
use crate::{Error, ErrorKind, Result};
use std::sync::Arc;

/// Values of fewer bytes than this are not booked anew while they are handed over.
const SMALL: u64 = 64 << 10;

/// The layers of a run, and which of their blocks are kept.
#[derive(Default)]
pub(super) struct Roots {
    pub(super) layers: Vec<LayerRef>,
    /// The places of kept blocks among all blocks of the layers, in the order in which results take them.
    kept: Vec<usize>,
}

impl Roots {
    /// Prepares the parts' results. Delayed values become one layer, so that many cost little.
    pub(super) fn begin(parts: Vec<Part>) -> Result<Self> {
        let mut begun = Vec::with_capacity(parts.len());
        for Part { layer, keep, begin, .. } in parts {
            begin()?;
            begun.push((layer, keep));
        }
        Ok(Roots::new(begun))
    }

    pub(super) fn new(parts: Vec<(LayerRef, bool)>) -> Self {
        let mut roots = Roots::default();
        let (mut blocks, mut nodes, mut of_nodes) = (0, Vec::new(), Vec::new());
        for (layer, keep) in parts {
            if let Some(picked) = Picked::of(&layer).filter(|picked| keep && picked.is_plain() && !picked.is_linked()) {
                for node in picked.nodes() {
                    of_nodes.push(roots.kept.len());
                    roots.kept.push(nodes.len());
                    nodes.push(node.clone());
                }
                continue;
            }
            if keep {
                roots.kept.extend(blocks..blocks + layer.blocks() as usize);
            }
            blocks += layer.blocks() as usize;
            roots.layers.push(layer);
        }
        for place in of_nodes {
            if let Some(kept) = roots.kept.get_mut(place) {
                *kept += blocks;
            }
        }
        if !nodes.is_empty() {
            roots.layers.push(Arc::new(Picked::values(nodes)));
        }
        roots
    }

    /// The tasks of the kept blocks, in the order in which results take them.
    pub(super) fn tasks(&self, roots: &[u32]) -> Result<Vec<u32>> {
        let missing = || Error::new(ErrorKind::Graph, "a block has no task; this is a defect of the engine");
        self.kept.iter().map(|place| roots.get(*place).copied().ok_or_else(missing)).collect()
    }
}

/// Values that a run has kept, by their tasks.
pub(super) struct Values<'a> {
    shared: &'a Arc<Shared>,
    tasks: Vec<u32>,
    held: Vec<Arc<Held>>,
    wanted: std::vec::IntoIter<u32>,
    /// What is set aside for copies of them that the caller is about to get.
    copies: Vec<Reservation<'a>>,
    pub(super) handed_over: u64,
}

/// Each of `tasks` once, in order.
pub(super) fn each_once(tasks: &[u32]) -> Vec<u32> {
    let mut tasks = tasks.to_vec();
    tasks.sort_unstable();
    tasks.dedup();
    tasks
}

impl<'a> Values<'a> {
    /// The values of `wanted`, which stand for `tasks`, each once, whose values are `held`.
    pub(super) fn new(shared: &'a Arc<Shared>, tasks: Vec<u32>, held: Vec<Arc<Held>>, wanted: Vec<u32>) -> Self {
        Values { shared, tasks, held, wanted: wanted.into_iter(), copies: Vec::new(), handed_over: 0 }
    }

    /// The next value, read back if it was spilled.
    pub(super) fn next(&mut self) -> Result<Value> {
        let missing = || Error::new(ErrorKind::Graph, "a result has no value; this is a defect of the engine");
        let task = self.wanted.next().ok_or_else(missing)?;
        let held = self.tasks.binary_search(&task).ok().and_then(|at| self.held.get(at)).ok_or_else(missing)?;
        let value = self.shared.values(std::slice::from_ref(held))?.pop().ok_or_else(missing)?;
        Ok(value)
    }

    /// The next value, of which a copy is to be made.
    pub(super) fn next_copied(&mut self) -> Result<Value> {
        let value = self.next()?;
        let bytes = value.nbytes();
        self.handed_over += bytes;
        if bytes >= SMALL {
            self.copies.push(Reservation::new(self.shared, bytes).map_err(|error| {
                error.hint("the value of a delayed call is copied into the result: reduce it, `persist` it and compute parts of it, or take it by `shared()`")
            })?);
        }
        Ok(value)
    }
}

impl KeptValues for Values<'_> {
    fn next(&mut self) -> Result<Value> {
        self.next_copied()
    }

    fn set_aside(&mut self, bytes: u64) -> Result<()> {
        if bytes >= SMALL {
            let hint = "write it to files instead (`to_textfiles`, `save`), reduce it, or give the engine more memory";
            self.copies.push(Reservation::new(self.shared, bytes).map_err(|error| error.hint(hint))?);
        }
        self.handed_over += bytes;
        Ok(())
    }
}
