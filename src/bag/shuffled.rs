//! Bags whose elements have gone through a shuffle.

use super::lazy::{Bag, counted};
use super::pipeline::{Item, Pipeline, Upstream};
use super::stored::store_one;
use super::stream::BoxStream;
use super::work::{Act, Extra, Work};
use crate::Result;
use crate::graph::{Dependency, Key, KeyBuilder, LayerRef, Size, Sizes, TaskContext, Value};
use crate::shuffle::{OpenLog, SealLog, ShuffleLog, Written, opened};
use std::panic::Location;
use std::sync::Arc;

/// About the bytes of a partition behind a shuffle.
const PARTITION: u64 = 16 << 20;

/// The most partitions behind a shuffle where the user does not say how many.
const MOST: u64 = 1024;

/// What a task writes of a partition's elements, and says that it wrote.
pub(super) trait Write<S: 'static>: Send + Sync + 'static {
    /// The name of the layer.
    fn name(&self) -> &'static str;

    /// What it holds beside the stream.
    fn scratch(&self, partitions: u32) -> u64;

    /// Writes the elements. `extra` are the blocks of further layers.
    fn write(&self, task: &TaskContext<'_>, log: &Arc<ShuffleLog>, rows: BoxStream<S>, extra: &[Value]) -> Result<Written>;
}

/// Gives the elements of a partition behind the shuffle.
pub(super) trait Read<T: 'static>: Send + Sync + 'static {
    /// The name of the step.
    fn name(&self) -> &'static str;

    /// What the stream holds.
    fn scratch(&self) -> u64;

    fn open(&self, task: &TaskContext<'_>, log: &Arc<ShuffleLog>, partition: u32) -> Result<BoxStream<T>>;
}

/// Whether keys mean the same in another process of the same build: all functions and values are in them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known {
    pub(super) write: bool,
    pub(super) read: bool,
}

impl Known {
    /// The same for both.
    pub(super) fn both(known: bool) -> Self {
        Known { write: known, read: known }
    }
}

/// A shuffle of a bag.
pub(super) struct Shuffle<S, T> {
    pub(super) write: Arc<dyn Write<S>>,
    pub(super) read: Arc<dyn Read<T>>,
    /// What tells its writing from others over the same bag, and the reading from others of the same log; where the writing means the same in another process of the same
    /// build, and where both do.
    pub(super) key: Key,
    pub(super) read_key: Key,
    pub(super) known: Known,
    /// The partitions behind it; where none are said, about as many as before.
    pub(super) npartitions: Option<usize>,
    /// Layers of one block that each write takes beside.
    pub(super) extra: Vec<LayerRef>,
    pub(super) line: &'static Location<'static>,
}

/// The partitions behind a shuffle of elements, where the user does not say how many.
pub(super) fn partitions_behind<S: Item>(upstream: &Upstream<S>) -> u32 {
    let before = upstream.partitions();
    let of = |partition| upstream.estimate(partition).max(upstream.whole(partition));
    let bytes = (0..before).fold(0u64, |bytes, partition| bytes.saturating_add(of(partition)));
    (bytes / PARTITION).max(before.into()).clamp(1, MOST) as u32
}

impl<S: Item, T: Item> Shuffle<S, T> {
    /// The bag behind the shuffle.
    pub(super) fn of(self, bag: &Bag<S>) -> Bag<T> {
        let line = self.line;
        Bag::of(self.pipeline(bag), line)
    }

    fn pipeline(self, bag: &Bag<S>) -> Result<Arc<dyn Pipeline<T>>> {
        let Shuffle { write, read, key, read_key, known, npartitions, extra, line } = self;
        let upstream = bag.upstream()?;
        let partitions = match npartitions {
            Some(n) => counted("npartitions", n as u64, 1)?,
            None => partitions_behind(&upstream),
        };
        let key = KeyBuilder::new("bag.shuffle", 1).input(key).number(partitions.into()).input(upstream.key()).finish();
        let portable = known.write && upstream.is_portable();
        // The line stands where the user's code does.
        let open = OpenLog::new(partitions, key, portable.then_some(&raw const *line as usize));
        let kept = open.kept();
        let open: LayerRef = Arc::new(open);
        let act = Writes { write, key, partitions, line };
        let extra: Vec<Extra> = std::iter::once(open.clone()).chain(extra).map(Extra::Whole).collect();
        let writes: LayerRef = Arc::new(Work::with_extra(upstream, Arc::new(act), extra));
        let seal: LayerRef = Arc::new(SealLog::new(open.clone(), writes.clone(), kept));
        Ok(Arc::new(Gathered { read, key: read_key, portable: portable && known.read, partitions, inputs: [open, seal], line }))
    }
}

/// Writes the elements of a partition.
struct Writes<S> {
    write: Arc<dyn Write<S>>,
    key: Key,
    partitions: u32,
    line: &'static Location<'static>,
}

impl<S: Item> Act<S> for Writes<S> {
    fn name(&self) -> &str {
        self.write.name()
    }

    fn key(&self) -> Key {
        self.key
    }

    fn sizes(&self, _partition: u32, _estimate: u64) -> Sizes {
        Sizes { out: Size::AtMost(64), scratch: self.write.scratch(self.partitions) + (64 << 10), load: 0 }
    }

    fn shuffled(&self, bytes: u64) -> u64 {
        bytes
    }

    fn run(&self, task: &TaskContext<'_>, rows: BoxStream<S>, extra: &[Value]) -> Result<Value> {
        let log = opened(extra.first())?;
        let written = self.write.write(task, &log, rows, extra.get(1..).unwrap_or_default())?;
        store_one(task, &written)
    }

    fn done(&self, task: &TaskContext<'_>, extra: &[Value]) -> Result<Option<Value>> {
        match opened(extra.first())?.written(task.block().into())? {
            Some(written) => store_one(task, &written).map(Some),
            None => Ok(None),
        }
    }

    fn location(&self) -> Option<&'static Location<'static>> {
        Some(self.line)
    }
}

/// Partitions of a sealed log.
struct Gathered<T> {
    read: Arc<dyn Read<T>>,
    key: Key,
    portable: bool,
    partitions: u32,
    /// The log, and what seals it.
    inputs: [LayerRef; 2],
    line: &'static Location<'static>,
}

impl<T: Item> Pipeline<T> for Gathered<T> {
    fn name(&self) -> &str {
        self.read.name()
    }

    fn key(&self) -> Key {
        let [open, seal] = &self.inputs;
        KeyBuilder::new("bag.gathered", 1).input(self.key).input(open.key()).input(seal.key()).finish()
    }

    fn inputs(&self) -> Vec<LayerRef> {
        self.inputs.to_vec()
    }

    fn partitions(&self) -> u32 {
        self.partitions
    }

    fn dependencies(&self, _partition: u32, first: u32, out: &mut Vec<Dependency>) {
        out.extend([Dependency { input: first, block: 0 }, Dependency { input: first + 1, block: 0 }]);
    }

    fn estimate(&self, _partition: u32) -> u64 {
        1 << 20
    }

    fn scratch(&self, _partition: u32) -> u64 {
        self.read.scratch()
    }

    fn open(&self, task: &TaskContext<'_>, partition: u32, inputs: &[Value]) -> Result<BoxStream<T>> {
        self.read.open(task, &opened(inputs.first())?, partition)
    }

    fn with_inputs(&self, inputs: &[LayerRef]) -> Option<Arc<dyn Pipeline<T>>> {
        let [open, seal] = inputs else { return None };
        let Gathered { read, key, portable, partitions, line, .. } = self;
        let inputs = [open.clone(), seal.clone()];
        Some(Arc::new(Gathered { read: read.clone(), key: *key, portable: *portable, partitions: *partitions, inputs, line }))
    }

    fn absorb(&self, _input: usize) -> Option<Arc<dyn Pipeline<T>>> {
        None
    }

    fn is_portable(&self) -> bool {
        self.portable
    }

    fn location(&self) -> Option<&'static Location<'static>> {
        Some(self.line)
    }
}
