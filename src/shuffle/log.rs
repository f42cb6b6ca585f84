//! The append log of one shuffle, as the output of a task.

use super::pace::Pace;
use crate::graph::{
    Dependency, Keeping, KeptLog, Key, KeyBuilder, Layer, LayerRef, Object, Operator, Size, Sizes, SpillRoom, TaskContext, Value,
};
use crate::{Error, ErrorKind, Result};
use chunkstore_store::{Arena, Attempt, ByteLog, Chunk, Gather, LogOptions, LogSizes};
use serde::{Deserialize, Serialize};
use std::any::Any;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// The most memory that a log takes.
const MOST: u64 = 1 << 30;

/// A log, and the attempts of tasks that write to it.
pub(crate) struct ShuffleLog {
    log: ByteLog,
    attempts: AtomicU32,
    /// Where it stays until the run has succeeded, and when it is flushed for that.
    kept: Option<(Arc<dyn Keeping>, Pace)>,
}

impl ShuffleLog {
    /// A log in the folder for what is spilled, which takes `memory` of `arena`.
    pub(crate) fn within(arena: &Arena, room: &SpillRoom, partitions: u32, memory: u64) -> Result<Self> {
        let folders = match &room.folder {
            Some(folder) => vec![folder.clone()],
            None => vec![std::env::temp_dir(), PathBuf::from("/var/tmp")],
        };
        let mut failed = None;
        for folder in folders {
            let options = LogOptions::new().memory(memory).threads(2).arena(arena.clone()).folder(folder).quota(room.quota);
            match ByteLog::temporary(partitions, options) {
                Ok(log) => return Ok(ShuffleLog { log, attempts: AtomicU32::new(0), kept: None }),
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.map_or_else(|| Error::new(ErrorKind::Unusable, "no folder for a shuffle"), Error::from))
    }

    /// The log that is kept in a folder: what tasks committed there in a run before is there. It takes `memory` of `arena`.
    pub(crate) fn kept(arena: &Arena, keeping: Arc<dyn Keeping>, partitions: u32, memory: u64) -> Result<Self> {
        let options = LogOptions::new().memory(memory).threads(2).arena(arena.clone()).quota(keeping.quota());
        let log = ByteLog::open_with(keeping.folder(), partitions, options)?;
        Ok(ShuffleLog { log, attempts: AtomicU32::new(0), kept: Some((keeping, Pace::new())) })
    }

    /// What a task wrote that is done already, in this run or in one before.
    pub(crate) fn written(&self, task: u64) -> Result<Option<Written>> {
        let found = self.log.committed(task)?;
        if let (Some((keeping, _)), Some(_)) = (&self.kept, found) {
            keeping.found();
        }
        Ok(found.map(|sizes| Written { entries: sizes.records, bytes: sizes.bytes }))
    }

    pub(crate) fn partitions(&self) -> u32 {
        self.log.partitions()
    }

    /// A new attempt of a task: of two that are committed, the later one counts.
    pub(crate) fn attempt(&self, task: u64) -> Attempt {
        Attempt::from((task, self.attempts.fetch_add(1, Relaxed)))
    }

    pub(crate) fn append(&self, partition: u32, attempt: Attempt, bytes: &[u8]) -> Result<()> {
        self.log.append(partition, attempt, bytes).map_err(|error| {
            let never = error.kind() == chunkstore_store::ErrorKind::OutOfMemory && bytes.len() as u64 > self.log.largest_entry();
            if !never {
                return error.into();
            }
            // However often it is tried.
            let message = format!("an element of {} bytes is more than a shuffle takes at once: {error}", bytes.len());
            let hint = "give the engine more memory, of which a quarter is for the buffers of shuffles, or cut such elements into parts";
            Error::new(ErrorKind::Unsupported, message).hint(hint)
        })
    }

    pub(crate) fn commit(&self, attempt: Attempt) -> Result<()> {
        self.log.commit(attempt)?;
        match &self.kept {
            Some((_, pace)) => pace.now_and_then(|| match self.log.flush() {
                // The next one does it.
                Err(error) if error.kind() == chunkstore_store::ErrorKind::OutOfMemory => Ok(()),
                flushed => flushed.map_err(resumable),
            }),
            None => Ok(()),
        }
    }

    pub(crate) fn abort(&self, attempt: Attempt) {
        self.log.abort(attempt);
    }

    /// What a partition holds.
    pub(crate) fn sizes(&self, partition: u32) -> Result<LogSizes> {
        Ok(self.log.sizes(partition)?)
    }

    /// The entries of a partition, in the order of tasks and of their appends.
    pub(crate) fn gather(&self, partition: u32) -> Result<Gather> {
        Ok(self.log.gather(partition)?)
    }

    /// Writes what is in memory, so that it takes little until it is read.
    pub(crate) fn settle(&self) -> Result<()> {
        self.log.flush()?;
        self.log.trim();
        Ok(())
    }

    /// Ends the writing, and checks that just what tasks said they wrote is there.
    pub(crate) fn seal(&self, expected: Written) -> Result<()> {
        self.log.seal().map_err(resumable)?;
        let mut found = Written::default();
        for sizes in self.log.all_sizes() {
            found.entries += sizes.records;
            found.bytes += sizes.bytes;
        }
        if found == expected {
            return Ok(());
        }
        let message = format!(
            "a shuffle has {} entries of {} bytes, and its tasks wrote {} of {} bytes",
            found.entries, found.bytes, expected.entries, expected.bytes
        );
        Err(Error::new(ErrorKind::Corrupt, message).at(self.log.folder()).hint("run it again: nothing of it was used"))
    }
}

impl Drop for ShuffleLog {
    fn drop(&mut self) {
        // What was committed and not flushed is found again, too, where that is possible.
        if self.kept.as_ref().is_some_and(|(keeping, _)| !keeping.is_over()) {
            self.log.flush().ok();
        }
    }
}

/// Says of an error that what was flushed before is found again.
fn resumable(error: chunkstore_store::Error) -> Error {
    let error = Error::from(error);
    match error.kind() {
        ErrorKind::DiskFull => {
            error.hint("make room for the checkpoint folder and compute the same again: what was written is not written again")
        }
        _ => error,
    }
}

/// What was appended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Written {
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
}

impl Written {
    pub(super) fn add(&mut self, bytes: usize) {
        self.entries += 1;
        self.bytes += bytes as u64;
    }
}

pub(super) fn beyond(partition: u32) -> Error {
    Error::new(ErrorKind::Invalid, format!("there is no partition {partition}; this is a defect of the engine"))
}

/// The log that a task's input is.
pub(crate) fn opened(input: Option<&Value>) -> Result<Arc<ShuffleLog>> {
    let log = match input {
        Some(Value::Object(object)) => object.shared::<ShuffleLog>(),
        _ => None,
    };
    log.ok_or_else(|| Error::new(ErrorKind::Graph, "a shuffle has no log; this is a defect of the engine"))
}

/// The layer of one task that opens a log.
pub(crate) struct OpenLog {
    partitions: u32,
    key: Key,
    kept: Option<KeptLog>,
}

impl OpenLog {
    /// The log of the shuffle that `of` names. Where it can be known again, `code` is an address in the user's code that writes it.
    pub(crate) fn new(partitions: u32, of: Key, code: Option<usize>) -> Self {
        let key = KeyBuilder::new("shuffle.open", 1).number(partitions.into()).input(of).finish();
        OpenLog { partitions, key, kept: code.map(|code| KeptLog { key, partitions, code }) }
    }

    /// What it is known again by.
    pub(crate) fn kept(&self) -> Option<KeptLog> {
        self.kept
    }
}

impl Layer for OpenLog {
    fn key(&self) -> Key {
        self.key
    }

    fn name(&self) -> &str {
        "open_log"
    }

    fn inputs(&self) -> &[LayerRef] {
        &[]
    }

    fn blocks(&self) -> u32 {
        1
    }

    fn dependencies(&self, _block: u32, _out: &mut Vec<Dependency>) {}

    fn sizes(&self, _block: u32) -> Sizes {
        Sizes { out: Size::Exact(ByteLog::LEAST_MEMORY), scratch: 0, load: 0 }
    }

    /// The memory of the log is the task's output, and held for as long as the log is.
    fn holds(&self) -> Option<(u64, u64)> {
        Some((ByteLog::LEAST_MEMORY, MOST))
    }

    fn operator(&self) -> Arc<dyn Operator> {
        Arc::new(Open { partitions: self.partitions, kept: self.kept })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn with_inputs(&self, _inputs: Vec<LayerRef>) -> Option<LayerRef> {
        None
    }
}

/// Opens a log.
struct Open {
    partitions: u32,
    kept: Option<KeptLog>,
}

impl Operator for Open {
    fn name(&self) -> &str {
        "open_log"
    }

    fn parameters(&self) -> Option<Vec<u8>> {
        None
    }

    fn run(&self, task: &TaskContext<'_>, _inputs: &[Value]) -> Result<Value> {
        let memory = task.booked().unwrap_or(0).max(ByteLog::LEAST_MEMORY);
        let log = match self.kept.and_then(|log| task.keep(&log)) {
            Some(keeping) => ShuffleLog::kept(task.arena(), keeping, self.partitions, memory)?,
            None => ShuffleLog::within(task.arena(), &task.room(), self.partitions, memory)?,
        };
        Ok(Value::Object(Object::new(Arc::new(log), memory)))
    }
}

/// The layer of one task that ends the writing, and checks that all that was written is there.
pub(crate) struct SealLog {
    inputs: [LayerRef; 2],
    key: Key,
    kept: Option<KeptLog>,
}

impl SealLog {
    /// Seals `log` once all tasks of `writes` are done, whose values say what they wrote. `kept` is what the log is known again by.
    pub(crate) fn new(log: LayerRef, writes: LayerRef, kept: Option<KeptLog>) -> Self {
        let key = KeyBuilder::new("shuffle.seal", 1).input(log.key()).input(writes.key()).finish();
        SealLog { inputs: [log, writes], key, kept }
    }
}

impl Layer for SealLog {
    fn key(&self) -> Key {
        self.key
    }

    fn name(&self) -> &str {
        "seal_log"
    }

    fn inputs(&self) -> &[LayerRef] {
        &self.inputs
    }

    fn blocks(&self) -> u32 {
        1
    }

    fn dependencies(&self, _block: u32, out: &mut Vec<Dependency>) {
        out.push(Dependency { input: 0, block: 0 });
        let [_, writes] = &self.inputs;
        out.extend((0..writes.blocks()).map(|block| Dependency { input: 1, block }));
    }

    fn sizes(&self, _block: u32) -> Sizes {
        Sizes { out: Size::Exact(0), scratch: 0, load: 0 }
    }

    fn operator(&self) -> Arc<dyn Operator> {
        let [log, _] = &self.inputs;
        Arc::new(Seal { log: log.key() })
    }

    fn shuffles(&self) -> Option<(Key, u64)> {
        let [log, writes] = &self.inputs;
        Some((log.key(), writes.shuffled()))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn with_inputs(&self, inputs: Vec<LayerRef>) -> Option<LayerRef> {
        let [log, writes] = <[LayerRef; 2]>::try_from(inputs).ok()?;
        Some(Arc::new(SealLog::new(log, writes, self.kept)))
    }

    fn seals(&self) -> Option<KeptLog> {
        self.kept
    }
}

/// Seals the log of a key.
struct Seal {
    log: Key,
}

impl Operator for Seal {
    fn name(&self) -> &str {
        "seal_log"
    }

    fn parameters(&self) -> Option<Vec<u8>> {
        None
    }

    fn run(&self, task: &TaskContext<'_>, inputs: &[Value]) -> Result<Value> {
        let (log, writes) = inputs.split_first().map_or((None, inputs), |(log, writes)| (Some(log), writes));
        let mut expected = Written::default();
        for write in writes {
            let Value::Chunk(Chunk::Records(records)) = write else {
                return Err(Error::new(ErrorKind::Graph, "a write of a shuffle did not say what it wrote; this is a defect of the engine"));
            };
            for written in records.iter::<Written>() {
                let written = written?;
                expected.entries += written.entries;
                expected.bytes += written.bytes;
            }
        }
        opened(log)?.seal(expected)?;
        task.room().shuffles.note(self.log, expected.bytes);
        Ok(Value::None)
    }
}
