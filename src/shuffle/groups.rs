//! The records of a partition of a log, key by key.
//!
//! ```text
//! small       all records in memory, chained by key
//! large       1. the keys that have a large part of what is read first are heavy
//!             2. the records of the others are split into parts by hash; each part is as a partition
//!             3. each heavy key is read out of the whole partition, and never held
//! ```
//! So a key of any size streams, and what is held is bounded by constants, which also decide the order of the keys: the answer is the same for any memory bound.

use super::hash::sub_bucket;
use super::log::ShuffleLog;
use super::record::next;
use super::spread::Spread;
use super::table::{ByteTable, KeyBuffer};
use crate::graph::{Cancellation, SpillRoom, TaskContext};
use crate::{Error, ErrorKind, Result};
use chunkstore_store::{Arena, Buffer, ByteLog, Gather};
use std::rc::Rc;
use std::sync::Arc;

/// Partitions of at most so many bytes are held.
const HELD: u64 = 16 << 20;

/// The most records that are held.
const RECORDS: u64 = 1 << 18;

/// What is held of a record beside its bytes: where it is, and the next of its key.
const BESIDE: u64 = 12;

/// What is read of a large partition to find heavy keys.
const SAMPLE: u64 = 8 << 20;

/// A key is heavy that has this part of what is read first.
const HEAVY: u64 = 8;

/// The bytes of long keys in the table of a partition.
const KEYS: usize = 4 << 20;

/// The slots of the table of a partition of so many records.
fn slots_of(records: u64) -> usize {
    (records as usize + records as usize / 2 + 16).next_power_of_two()
}

/// The end of a chain of records.
const END: u32 = u32::MAX;

/// Records that are held: where each is, and the next of its key.
pub(crate) struct Held {
    entries: Vec<Buffer>,
    records: Vec<(u32, u32)>,
    next: Vec<u32>,
}

/// The records of one key: their values, in the order in which they were written.
pub(crate) struct Values(Inner);

enum Inner {
    Held { held: Rc<Held>, at: u32 },
    Read(Box<Reading>),
}

/// The records of a key, read out of all those of a partition.
struct Reading {
    key: Arc<[u8]>,
    gather: Gather,
    entry: Option<(Buffer, usize)>,
    cancellation: Cancellation,
}

impl Values {
    /// Gives the next value to `take`; none where there is no more.
    ///
    /// # Errors
    /// Those of the log, and of `take`.
    pub(crate) fn next<T>(&mut self, take: impl FnOnce(&[u8]) -> Result<T>) -> Result<Option<T>> {
        match &mut self.0 {
            Inner::Held { held, at } => {
                let Some((entry, offset)) = held.records.get(*at as usize) else { return Ok(None) };
                *at = held.next.get(*at as usize).copied().unwrap_or(END);
                let bytes = held.entries.get(*entry as usize).and_then(|entry| entry.get(*offset as usize..)).unwrap_or_default();
                match next(bytes)? {
                    Some((record, _)) => take(record.value).map(Some),
                    None => Err(lost()),
                }
            }
            Inner::Read(reading) => loop {
                let Reading { key, gather, entry, cancellation } = &mut **reading;
                if let Some((bytes, at)) = entry {
                    let rest = bytes.get(*at..).unwrap_or_default();
                    if let Some((record, more)) = next(rest)? {
                        *at = bytes.len() - more.len();
                        if record.key == &**key {
                            return take(record.value).map(Some);
                        }
                        continue;
                    }
                }
                cancellation.check()?;
                match gather.next().transpose()? {
                    Some(read) => *entry = Some((read.into_bytes(), 0)),
                    None => return Ok(None),
                }
            },
        }
    }
}

fn lost() -> Error {
    Error::new(ErrorKind::Invalid, "a record of a shuffle was lost; this is a defect of the engine")
}

/// The keys of a partition, each with its records.
pub(crate) struct Groups {
    levels: Vec<Level>,
    held: Option<(Rc<Held>, ByteTable, usize)>,
    arena: Arena,
    room: SpillRoom,
    cancellation: Cancellation,
}

/// A large partition: what is left of its heavy keys, and of its parts.
struct Level {
    /// The partition itself.
    log: Arc<ShuffleLog>,
    partition: u32,
    heavy: std::vec::IntoIter<Arc<[u8]>>,
    parts: Arc<ShuffleLog>,
    next: u32,
}

impl Groups {
    /// What is booked before it is known how large a partition is.
    pub(crate) fn bytes() -> u64 {
        1 << 20
    }

    /// The keys of a partition.
    pub(crate) fn new(log: &Arc<ShuffleLog>, partition: u32, task: &TaskContext<'_>) -> Result<Self> {
        let bytes = log.sizes(partition)?.bytes;
        let mut groups =
            Groups { levels: Vec::new(), held: None, arena: task.arena().clone(), room: task.room(), cancellation: task.cancellation() };
        let table = |records| ByteTable::bytes(slots_of(records), KEYS.min(bytes as usize));
        if bytes <= HELD {
            task.reserve(bytes)?;
            if let Some((entries, records)) = groups.gathered(log, partition)? {
                task.reserve(table(records))?;
                task.claim(records * BESIDE)?;
                if groups.hold(entries, records)? {
                    return Ok(groups);
                }
            }
        }
        // Of parts it is not known now how many records they have.
        task.reserve(HELD.saturating_sub(bytes) + table(RECORDS) + ByteLog::LEAST_MEMORY + Spread::bytes(parts_of(bytes)))?;
        task.claim(RECORDS * BESIDE)?;
        groups.divide(log, partition)?;
        Ok(groups)
    }

    /// The next key, as `read` makes something of it, and its records.
    pub(crate) fn next<K>(&mut self, read: impl FnOnce(&[u8]) -> Result<K>) -> Result<Option<(K, Values)>> {
        loop {
            if let Some((held, table, at)) = &mut self.held {
                let mut buffer = KeyBuffer::new();
                while *at < table.slots() {
                    let place = *at;
                    *at += 1;
                    if let Some((key, _, cell)) = table.at(place, &mut buffer) {
                        let values = Values(Inner::Held { held: held.clone(), at: (cell >> 32) as u32 });
                        return Ok(Some((read(key)?, values)));
                    }
                }
                self.held = None;
            }
            let Some(level) = self.levels.last_mut() else { return Ok(None) };
            if let Some(key) = level.heavy.next() {
                let gather = level.log.gather(level.partition)?;
                let read = read(&key)?;
                return Ok(Some((
                    read,
                    Values(Inner::Read(Box::new(Reading { key, gather, entry: None, cancellation: self.cancellation.clone() }))),
                )));
            }
            if level.next < level.parts.partitions() {
                let (parts, part) = (level.parts.clone(), level.next);
                level.next += 1;
                self.open(&parts, part)?;
            } else {
                self.levels.pop();
            }
        }
    }

    fn open(&mut self, log: &Arc<ShuffleLog>, partition: u32) -> Result<()> {
        if log.sizes(partition)?.bytes <= HELD
            && let Some((entries, records)) = self.gathered(log, partition)?
            && self.hold(entries, records)?
        {
            return Ok(());
        }
        self.divide(log, partition)
    }

    /// Takes a partition apart.
    fn divide(&mut self, log: &Arc<ShuffleLog>, partition: u32) -> Result<()> {
        let bytes = log.sizes(partition)?.bytes;
        let heavy = self.heavy(log, partition)?;
        let parts = self.split(log, partition, bytes, &heavy)?;
        self.levels.push(Level { log: log.clone(), partition, heavy: heavy.into_iter(), parts, next: 0 });
        Ok(())
    }

    /// The entries of a partition, and how many records they have; none where these are too many.
    fn gathered(&self, log: &ShuffleLog, partition: u32) -> Result<Option<(Vec<Buffer>, u64)>> {
        let (mut entries, mut records) = (Vec::new(), 0);
        for entry in log.gather(partition)? {
            self.cancellation.check()?;
            let bytes = entry?.into_bytes();
            let mut rest: &[u8] = &bytes;
            while let Some((_, more)) = next(rest)? {
                rest = more;
                records += 1;
            }
            if records > RECORDS {
                return Ok(None);
            }
            entries.push(bytes);
        }
        Ok(Some((entries, records)))
    }

    /// Has the records of a partition key by key; false where their keys do not fit in a table.
    fn hold(&mut self, entries: Vec<Buffer>, records: u64) -> Result<bool> {
        let mut table = ByteTable::within(&self.arena, slots_of(records), KEYS)?;
        let (places, nexts) = (Vec::with_capacity(records as usize), Vec::with_capacity(records as usize));
        let mut held = Held { entries: Vec::with_capacity(entries.len()), records: places, next: nexts };
        for bytes in entries {
            let number = held.entries.len() as u32;
            let mut rest: &[u8] = &bytes;
            while let Some((record, more)) = next(rest)? {
                let offset = (bytes.len() - rest.len()) as u32;
                rest = more;
                let this = held.records.len();
                let Some(found) = table.find(record.key)? else { return Ok(false) };
                let this = this as u32;
                held.records.push((number, offset));
                held.next.push(END);
                // The first and the last record of the key.
                if found.is_new {
                    *found.cell = u64::from(this) << 32 | u64::from(this);
                } else {
                    let last = *found.cell as u32;
                    if let Some(next) = held.next.get_mut(last as usize) {
                        *next = this;
                    }
                    *found.cell = *found.cell >> 32 << 32 | u64::from(this);
                }
            }
            held.entries.push(bytes);
        }
        self.held = Some((Rc::new(held), table, 0));
        Ok(true)
    }

    /// The keys that have a large part of the first records of a partition.
    fn heavy(&self, log: &ShuffleLog, partition: u32) -> Result<Vec<Arc<[u8]>>> {
        let mut table = ByteTable::within(&self.arena, slots_of(RECORDS), KEYS)?;
        let mut seen = 0u64;
        'sample: for entry in log.gather(partition)? {
            self.cancellation.check()?;
            let entry = entry?;
            let mut rest: &[u8] = &entry;
            while let Some((record, more)) = next(rest)? {
                rest = more;
                let Some(found) = table.find(record.key)? else { break 'sample };
                *found.cell += record.whole.len() as u64;
                seen += record.whole.len() as u64;
            }
            if seen >= SAMPLE {
                break;
            }
        }
        let mut buffer = KeyBuffer::new();
        let mut heavy = Vec::new();
        for at in 0..table.slots() {
            if let Some((key, _, bytes)) = table.at(at, &mut buffer)
                && bytes > seen / HEAVY
            {
                heavy.push(Arc::from(key));
            }
        }
        Ok(heavy)
    }

    /// The records of a partition, but those of heavy keys, in parts.
    fn split(&self, log: &ShuffleLog, partition: u32, bytes: u64, heavy: &[Arc<[u8]>]) -> Result<Arc<ShuffleLog>> {
        let depth = self.levels.len() as u32;
        let parts = Arc::new(ShuffleLog::within(&self.arena, &self.room, parts_of(bytes), ByteLog::LEAST_MEMORY)?);
        let mut spread = Spread::new(&parts, 0, &self.arena)?;
        for entry in log.gather(partition)? {
            self.cancellation.check()?;
            let entry = entry?;
            let mut rest: &[u8] = &entry;
            while let Some((record, more)) = next(rest)? {
                rest = more;
                if heavy.iter().all(|key| **key != *record.key) {
                    let part = sub_bucket(record.key, depth, parts.partitions());
                    spread.push(part, &[record.whole])?;
                }
            }
        }
        parts.seal(spread.commit()?)?;
        Ok(parts)
    }
}

/// The parts of a partition of so many bytes.
fn parts_of(bytes: u64) -> u32 {
    (bytes / (HELD / 4)).clamp(16, 1024) as u32
}
