//! Delayed calls, of which those that took long are saved, each under its own key.
//!
//! A value that is a chunk is saved as block 0 of its key, an object as records in block 1: what comes back is what the call gave.

use super::target::Target;
use crate::graph::{Dependency, Key, LONGEST_RECORD, Layer, LayerRef, NodeLayer, Operator, Size, Sizes, TaskContext, Value};
use crate::{Error, ErrorKind, Result};
use chunkstore_store::Chunk;
use parking_lot::Mutex;
use smallvec::SmallVec;
use std::any::Any;
use std::panic::Location;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Calls that took less are made again rather than saved.
const LONG_ENOUGH: Duration = Duration::from_millis(10);

/// So many bytes are to have taken a second at least: fewer are written and read back in less time.
const BYTES_A_SECOND: u64 = 200 << 20;

/// The block of a key in which a chunk is, and that in which an object is.
const CHUNK: u32 = 0;
const OBJECT: u32 = 1;

/// What is booked for encoding an object: its record twice, to compare, and once more on its way to disk.
pub(super) const ENCODING_BYTES: u64 = 4 * LONGEST_RECORD as u64;

/// Which tasks of a layer have keys that mean the same to another process; `is_known` says it of blocks of the layers that it needs.
pub(super) fn known_calls(tasks: &NodeLayer, is_known: impl Fn(Key, u32) -> bool) -> Vec<bool> {
    let mut known: Vec<bool> = Vec::with_capacity(tasks.blocks() as usize);
    let mut dependencies = Vec::new();
    for block in 0..tasks.blocks() {
        dependencies.clear();
        tasks.dependencies(block, &mut dependencies);
        let all = dependencies.iter().all(|dependency| match tasks.inputs().get(dependency.input as usize) {
            Some(layer) => is_known(layer.key(), dependency.block),
            None => known.get(dependency.block as usize).copied().unwrap_or(false),
        });
        known.push(all && tasks.node(block).is_some_and(|node| node.is_known()));
    }
    known
}

/// The block in which the value of a call is, where it is there.
pub(super) fn place_of(target: &Target, key: Key) -> Option<u8> {
    let found = target.found(key);
    [CHUNK, OBJECT].into_iter().find(|place| found.stored(*place).is_some()).map(|place| place as u8)
}

/// Delayed calls, with those that are saved read, and those that can be known again saved.
pub(super) struct CheckpointedCalls {
    saved: Arc<Saved>,
    layer: LayerRef,
}

struct Saved {
    target: Arc<Target>,
    /// The layer of the calls.
    calls: LayerRef,
    /// Which of them can be known again.
    known: Arc<[bool]>,
    /// Which are there, and in which block of their key.
    found: Vec<Option<u8>>,
    /// Held by whom encodes an object: one at a time does, in memory that is booked for that.
    encoding: Mutex<()>,
}

impl CheckpointedCalls {
    /// `layer`, whose `known` calls are saved in `target`.
    pub(super) fn new(target: Arc<Target>, layer: LayerRef, known: Arc<[bool]>) -> Self {
        let node = |block: usize| NodeLayer::of(&layer)?.node(block as u32);
        let found = known.iter().enumerate().map(|(block, known)| if *known { place_of(&target, node(block)?.key()) } else { None });
        let found = found.collect();
        let saved = Saved { target, calls: layer.clone(), known, found, encoding: Mutex::new(()) };
        CheckpointedCalls { saved: Arc::new(saved), layer }
    }

    /// How many of the calls were there.
    pub(super) fn present(&self) -> u64 {
        self.saved.found.iter().flatten().count() as u64
    }
}

impl Saved {
    /// The key of a call, and its place, if it was there.
    fn place(&self, block: u32) -> Option<(Key, u32)> {
        let place = (*self.found.get(block as usize)?)?;
        Some((NodeLayer::of(&self.calls)?.node(block)?.key(), place.into()))
    }
}

impl Layer for CheckpointedCalls {
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

    fn kind_of(&self, block: u32) -> Option<&str> {
        self.layer.kind_of(block)
    }

    fn priority(&self, block: u32) -> i32 {
        self.layer.priority(block)
    }

    fn dependencies(&self, block: u32, out: &mut Vec<Dependency>) {
        if self.saved.place(block).is_none() {
            self.layer.dependencies(block, out);
        }
    }

    fn sizes(&self, block: u32) -> Sizes {
        let sizes = self.layer.sizes(block);
        let Some((key, place)) = self.saved.place(block) else { return sizes };
        let bytes = self.saved.target.bytes_of(key, place).unwrap_or(0);
        let load = self.saved.target.found(key).stored(place).unwrap_or(0);
        let out = match (sizes.out, place) {
            (Size::Exact(_), _) => sizes.out,
            (_, CHUNK) => Size::Exact(bytes),
            _ => Size::Learned(sizes.out.bytes().max(bytes)),
        };
        // A record is there beside the object that it becomes.
        Sizes { out, scratch: if place == OBJECT { bytes } else { 0 }, load }
    }

    fn operator(&self) -> Arc<dyn Operator> {
        Arc::new(ReadOrCall { saved: self.saved.clone(), operator: self.layer.operator() })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn with_inputs(&self, inputs: Vec<LayerRef>) -> Option<LayerRef> {
        Some(Arc::new(CheckpointedCalls { saved: self.saved.clone(), layer: self.layer.with_inputs(inputs)? }))
    }

    fn location(&self) -> Option<&'static Location<'static>> {
        self.layer.location()
    }
}

struct ReadOrCall {
    saved: Arc<Saved>,
    operator: Arc<dyn Operator>,
}

impl ReadOrCall {
    fn read(&self, (key, place): (Key, u32), task: &TaskContext<'_>) -> Result<Value> {
        let target = &self.saved.target;
        let value = target.read(key, place, task.arena())?;
        if place == CHUNK {
            return Ok(value);
        }
        let codec = NodeLayer::of(&self.saved.calls).and_then(|tasks| tasks.node(task.block())).and_then(|node| node.codec());
        match (value, codec) {
            (Value::Chunk(Chunk::Records(records)), Some(codec)) => codec.decode(&records, task).map_err(|error| match error.kind() {
                ErrorKind::OutOfMemory => error,
                _ => target.damaged(key, place, error),
            }),
            _ => Err(target.damaged(key, place, Error::new(ErrorKind::Corrupt, "a saved value is not of the type that its call gives"))),
        }
    }

    /// Saves what a call gave, where that is worth it and can be done.
    fn save(&self, value: &Value, took: Duration, task: &TaskContext<'_>) -> Result<()> {
        let Saved { target, calls, known, encoding, .. } = &*self.saved;
        let is_known = known.get(task.block() as usize).copied().unwrap_or(false);
        let least = Duration::from_secs_f64(value.nbytes() as f64 / BYTES_A_SECOND as f64).max(LONG_ENOUGH);
        let Some(node) = NodeLayer::of(calls).and_then(|tasks| tasks.node(task.block())) else { return Ok(()) };
        if !is_known || !node.is_call() || took < least {
            return Ok(());
        }
        match (value, node.codec()) {
            (Value::Chunk(_), _) => target.save(node.key(), CHUNK, value),
            (Value::Object(object), Some(codec)) => {
                let _alone = encoding.lock();
                match codec.encode(object, task) {
                    Ok(Some(records)) => target.save(node.key(), OBJECT, &Value::Chunk(Chunk::Records(records))),
                    Ok(None) => Ok(()),
                    Err(_) => {
                        target.skip();
                        Ok(())
                    }
                }
            }
            _ => Ok(()),
        }
    }
}

impl Operator for ReadOrCall {
    fn name(&self) -> &str {
        self.operator.name()
    }

    fn parameters(&self) -> Option<Vec<u8>> {
        None
    }

    fn run(&self, task: &TaskContext<'_>, inputs: &[Value]) -> Result<Value> {
        if let Some(place) = self.saved.place(task.block()) {
            return self.read(place, task);
        }
        let begun = Instant::now();
        let value = self.operator.run(task, inputs)?;
        self.save(&value, begun.elapsed(), task)?;
        Ok(value)
    }

    fn task_name(&self, block: u32) -> Option<String> {
        self.operator.task_name(block)
    }
}
