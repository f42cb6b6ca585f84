//! What is kept of the elements of each key: counted, folded, or the first alone. Tables of it, on both sides of a log.

use super::count::{COUNTED, CountBatch};
use super::hash::{bucket, sub_bucket};
use super::log::{ShuffleLog, Written};
use super::record::{Record, next};
use super::spread::Spread;
use super::table::{ByteTable, Found, KeyBuffer, Span};
use crate::graph::{Cancellation, Holding, SpillRoom, TaskContext};
use crate::{Error, ErrorKind, Result};
use chunkstore_store::{Arena, ByteLog, Gather};
use std::sync::Arc;

/// The slots, and the bytes of long keys, of a table before the log, where keys go through that were often seen just before.
const WRITING: (usize, usize) = (1 << 18, 4 << 20);

/// The same where all that is kept of a key is its cell: those that are rare go through all the same, and a smaller table stays nearer to the processor.
const COUNTING: (usize, usize) = (1 << 17, 2 << 20);

/// The same behind the log, where what is not in the table has to be split off.
const MERGING: (usize, usize) = (1 << 19, 8 << 20);

/// The same where what is kept of keys may hold more on the heap: there are fewer of these in as many bytes.
const WRITING_HEAP: (usize, usize) = (1 << 16, 1 << 20);
const MERGING_HEAP: (usize, usize) = (1 << 17, 2 << 20);

/// The same behind the log where cells only name what is kept, which takes more than a cell.
const MERGING_BESIDE: (usize, usize) = (1 << 18, 4 << 20);

/// About the bytes of a part, where a partition is split since its keys are too many for a table.
const PART: u64 = 2 << 20;

/// A partition of fewer bytes has no more keys than a table takes.
const SMALL: u64 = 2 << 20;

/// The bytes on the heap of what is kept beside tables: where it is half of them, what is in a table makes way, and its bytes are counted again after as many more.
const BESIDE: u64 = 4 << 20;

/// What is kept of the elements of a key. The cells of a table have it, or name its place in `Accs`.
pub(crate) trait Tally: Send + Sync + 'static {
    /// What cells name.
    type Accs: Default;

    /// Takes in what was kept of the same key before, or elsewhere. Gives the bytes that this held on the heap.
    ///
    /// # Errors
    /// Corrupt where `value` is not what [`Tally::encode`] gave.
    fn merge(&self, accs: &mut Self::Accs, found: Found<'_>, value: &[u8]) -> Result<u64>;

    /// Appends what is kept to `out`.
    ///
    /// # Errors
    /// Invalid where it cannot be encoded.
    fn encode(&self, accs: &Self::Accs, cell: u64, out: &mut Vec<u8>) -> Result<()>;

    /// Reads what a cell names, so that the processor has it when it is wanted.
    #[inline]
    fn touch(&self, accs: &Self::Accs, cell: u64) {
        let _ = (accs, cell);
    }

    /// Forgets all.
    fn clear(&self, accs: &mut Self::Accs);

    /// The bytes that are kept of a key outside of its cell, but for what these hold on the heap.
    fn acc_bytes(&self) -> u64;

    /// Whether what is kept of a key may hold more on the heap.
    fn on_heap(&self) -> bool {
        false
    }

    /// The bytes that what a cell names holds on the heap.
    fn heap_bytes(&self, accs: &Self::Accs, cell: u64) -> u64 {
        let _ = (accs, cell);
        0
    }
}

/// What is booked for what a table's keys keep on the heap: twice, for what it grows by.
fn heap_bytes<Y: Tally>(tally: &Y) -> u64 {
    if tally.on_heap() { 2 * BESIDE } else { 0 }
}

/// The bytes on the heap of what is kept.
#[cold]
fn kept<Y: Tally>(tally: &Y, table: &ByteTable, accs: &Y::Accs) -> u64 {
    let (mut buffer, mut bytes) = (KeyBuffer::new(), 0u64);
    for at in 0..table.slots() {
        if let Some((_, _, cell)) = table.at(at, &mut buffer) {
            bytes = bytes.saturating_add(tally.heap_bytes(accs, cell));
        }
    }
    bytes
}

/// The bytes, encoded, of what is kept.
#[cold]
fn encoded<Y: Tally>(tally: &Y, table: &ByteTable, accs: &Y::Accs) -> Result<u64> {
    let (mut buffer, mut value, mut bytes) = (KeyBuffer::new(), Vec::new(), 0);
    for at in 0..table.slots() {
        if let Some((_, _, cell)) = table.at(at, &mut buffer) {
            value.clear();
            tally.encode(accs, cell, &mut value)?;
            bytes += value.len() as u64;
        }
    }
    Ok(bytes)
}

/// The keys of a task's elements, on their way into a log.
pub(crate) struct Writing<'a, Y: Tally> {
    tally: &'a Y,
    table: ByteTable,
    accs: Y::Accs,
    spread: Spread,
    value: Vec<u8>,
    /// The bytes that may be kept beside the table, and the memory for what is beyond those that are booked.
    beside: u64,
    holding: Holding,
}

/// The slots and the bytes of long keys of a table before the log, or behind it.
fn table_of<Y: Tally>(tally: &Y, is_merging: bool) -> (usize, usize) {
    match (is_merging, tally.on_heap()) {
        (false, false) if tally.acc_bytes() == 0 => COUNTING,
        (false, false) => WRITING,
        (false, true) => WRITING_HEAP,
        (true, false) if tally.acc_bytes() > 0 => MERGING_BESIDE,
        (true, false) => MERGING,
        (true, true) => MERGING_HEAP,
    }
}

/// The bytes that a table holds, with what is kept of its keys.
fn table_bytes<Y: Tally>(tally: &Y, is_merging: bool) -> u64 {
    let (slots, keys) = table_of(tally, is_merging);
    // Two of three slots are used at most.
    ByteTable::bytes(slots, keys) + slots as u64 * 2 / 3 * tally.acc_bytes() + heap_bytes(tally)
}

impl<'a, Y: Tally> Writing<'a, Y> {
    /// The bytes that it holds.
    pub(crate) fn bytes(tally: &Y, partitions: u32) -> u64 {
        table_bytes(tally, false) + Spread::bytes(partitions)
    }

    pub(crate) fn new(tally: &'a Y, log: &Arc<ShuffleLog>, task: &TaskContext<'_>) -> Result<Self> {
        let (slots, keys) = table_of(tally, false);
        let table = ByteTable::new(task, slots, keys)?;
        let spread = Spread::new(log, task.block().into(), task.arena())?;
        Ok(Writing { tally, table, accs: Y::Accs::default(), spread, value: Vec::new(), beside: 0, holding: task.holding() })
    }

    /// Has `add` take an element of a key in.
    #[inline]
    pub(crate) fn add(&mut self, key: &[u8], add: impl FnOnce(&mut Y::Accs, Found<'_>) -> Result<()>) -> Result<()> {
        if let Some(found) = self.table.find(key)? {
            return add(&mut self.accs, found);
        }
        self.flush()?;
        match self.table.find(key)? {
            Some(found) => add(&mut self.accs, found),
            None => Err(full()),
        }
    }

    /// As [`Writing::add`], of many keys, which are parts of a text.
    pub(crate) fn add_all(
        &mut self,
        text: &[u8],
        spans: &[Span],
        mut add: impl FnMut(&mut Y::Accs, Found<'_>) -> Result<()>,
    ) -> Result<()> {
        let Writing { tally, table, accs, spread, value, .. } = self;
        let touch = |accs: &Y::Accs, cell| tally.touch(accs, cell);
        table.find_all(accs, text, spans, touch, |table, accs, key, hash, place| {
            if let Some(place) = place {
                return add(accs, Found { cell: table.cell(place), is_new: false });
            }
            if let Some(found) = table.find_hashed(key, hash)? {
                return add(accs, found);
            }
            flush(*tally, table, accs, spread, value)?;
            match table.find_hashed(key, hash)? {
                Some(found) => add(accs, found),
                None => Err(full()),
            }
        })
    }

    /// Elements of about so many bytes in memory were taken in.
    #[inline]
    pub(crate) fn took(&mut self, bytes: u64) -> Result<()> {
        if !self.tally.on_heap() {
            return Ok(());
        }
        self.beside += bytes;
        if self.beside <= BESIDE {
            return Ok(());
        }
        self.beside = kept(self.tally, &self.table, &self.accs);
        if self.beside <= BESIDE / 2 {
            return Ok(());
        }
        // That of one key may be more than is booked.
        self.holding.set(self.beside.saturating_sub(BESIDE))?;
        self.flush()
    }

    fn flush(&mut self) -> Result<()> {
        self.beside = 0;
        let Writing { tally, table, accs, spread, value, .. } = self;
        flush(*tally, table, accs, spread, value)
    }

    /// Gives all to the log, and makes it count.
    pub(crate) fn commit(mut self) -> Result<Written> {
        self.flush()?;
        self.spread.commit()
    }
}

impl<Y: Tally<Accs = ()>> Writing<'_, Y> {
    /// Adds one to the cells of many keys, which are parts of a text.
    pub(crate) fn count_all(&mut self, text: &[u8], spans: &[Span], batch: &mut CountBatch) -> Result<()> {
        let Writing { tally, table, accs, spread, value, .. } = self;
        for spans in spans.chunks(COUNTED) {
            table.count(text, spans, batch);
            for ((start, len), hash) in batch.missed() {
                let key = text.get(*start as usize..(*start + *len) as usize).unwrap_or_default();
                if let Some(found) = table.find_hashed(key, *hash)? {
                    *found.cell += 1;
                    continue;
                }
                flush(*tally, table, accs, spread, value)?;
                match table.find_hashed(key, *hash)? {
                    Some(found) => *found.cell += 1,
                    None => return Err(full()),
                }
            }
        }
        Ok(())
    }
}

/// Gives all that is kept to the log, and begins anew.
#[cold]
fn flush<Y: Tally>(tally: &Y, table: &mut ByteTable, accs: &mut Y::Accs, spread: &mut Spread, value: &mut Vec<u8>) -> Result<()> {
    let mut buffer = KeyBuffer::new();
    let partitions = spread.partitions();
    for at in 0..table.slots() {
        table.fetch_ahead(at);
        if let Some((key, hash, cell)) = table.at(at, &mut buffer) {
            value.clear();
            tally.encode(accs, cell, value)?;
            spread.push_record(bucket(hash, partitions), key, value)?;
        }
    }
    table.clear();
    tally.clear(accs);
    Ok(())
}

fn too_large() -> Error {
    Error::new(ErrorKind::Unsupported, "a key of 4 GiB or more")
}

fn full() -> Error {
    Error::new(ErrorKind::Invalid, "an empty table has no room for a key; this is a defect of the engine")
}

/// The keys of a partition, each with all that was kept of it.
///
/// Keys come in the order of the table's slots; where they are too many for a table, the partition is split, and its parts come one after the other. Both follow from what was
/// written alone.
pub(crate) struct Merging<Y: Tally> {
    tally: Arc<Y>,
    table: ByteTable,
    accs: Y::Accs,
    at: usize,
    key: KeyBuffer,
    parts: Vec<Parts>,
    arena: Arena,
    room: SpillRoom,
    cancellation: Cancellation,
    /// The bytes that may be kept beside the table, how many there are when they are counted again, and the memory for what is beyond those that are booked.
    beside: u64,
    count_at: u64,
    holding: Holding,
}

/// Records of an entry that are looked for together.
const RECORDS: usize = 256;

/// A partition that is being split.
struct Split {
    spread: Spread,
    log: Arc<ShuffleLog>,
}

impl Split {
    /// Gives what is in a table to the parts of a partition of so many bytes, split for so many-th time.
    #[cold]
    fn begin<Y: Tally>(
        tally: &Y,
        table: &mut ByteTable,
        accs: &mut Y::Accs,
        (arena, room): (&Arena, &SpillRoom),
        (bytes, depth): (u64, u32),
    ) -> Result<Split> {
        let log = Arc::new(ShuffleLog::within(arena, room, parts_of(bytes), ByteLog::LEAST_MEMORY)?);
        let mut spread = Spread::new(&log, 0, arena)?;
        let (mut buffer, mut value) = (KeyBuffer::new(), Vec::new());
        for at in 0..table.slots() {
            table.fetch_ahead(at);
            if let Some((key, _, cell)) = table.at(at, &mut buffer) {
                value.clear();
                tally.encode(accs, cell, &mut value)?;
                spread.push_record(sub_bucket(key, depth, log.partitions()), key, &value)?;
            }
        }
        table.clear();
        tally.clear(accs);
        Ok(Split { spread, log })
    }
}

/// Parts of a partition that was split, of which some are left.
struct Parts {
    log: Arc<ShuffleLog>,
    next: u32,
}

impl<Y: Tally> Merging<Y> {
    /// The bytes that it holds, but where a partition has to be split: then it asks for more.
    pub(crate) fn bytes(tally: &Y) -> u64 {
        table_bytes(tally, true)
    }

    /// The keys of a partition.
    pub(crate) fn new(tally: Arc<Y>, log: &ShuffleLog, partition: u32, task: &TaskContext<'_>) -> Result<Self> {
        let bytes = log.sizes(partition)?.bytes;
        if bytes > SMALL {
            task.reserve(ByteLog::LEAST_MEMORY + Spread::bytes(parts_of(bytes)))?;
        }
        let (slots, keys) = table_of(&*tally, true);
        let table = ByteTable::new(task, slots, keys)?;
        let mut merging = Merging {
            tally,
            table,
            accs: Y::Accs::default(),
            at: 0,
            key: KeyBuffer::new(),
            parts: Vec::new(),
            arena: task.arena().clone(),
            room: task.room(),
            cancellation: task.cancellation(),
            beside: 0,
            count_at: BESIDE,
            holding: task.holding(),
        };
        merging.fill(log.gather(partition)?, bytes)?;
        Ok(merging)
    }

    fn fill(&mut self, gather: Gather, bytes: u64) -> Result<()> {
        let mut split: Option<Split> = None;
        (self.beside, self.count_at) = (0, BESIDE);
        self.holding.set(0)?;
        let depth = self.parts.len() as u32;
        let mut keys = Vec::with_capacity(RECORDS);
        for entry in gather {
            self.cancellation.check()?;
            let entry = entry?;
            let mut values = Vec::with_capacity(RECORDS);
            let mut rest: &[u8] = &entry;
            while !rest.is_empty() {
                // Records by the places of their keys in the entry, so that many are looked for at a time.
                keys.clear();
                values.clear();
                let window = rest;
                while keys.len() < RECORDS
                    && let Some((record, more)) = next(rest)?
                {
                    let behind = window.len() - more.len();
                    let begin = behind - record.value.len() - record.key.len();
                    let span = (u32::try_from(begin), u32::try_from(record.key.len()));
                    let (Ok(begin), Ok(len)) = span else { return Err(too_large()) };
                    keys.push((begin, len));
                    values.push(record);
                    rest = more;
                }
                self.beside += self.merge(window, &keys, &values, (bytes, depth), &mut split)?;
                if self.beside > self.count_at && split.is_none() {
                    self.make_way(bytes, depth, &mut split)?;
                }
            }
        }
        if let Some(Split { spread, log }) = split {
            log.seal(spread.commit()?)?;
            self.parts.push(Parts { log, next: 0 });
        }
        self.at = 0;
        Ok(())
    }

    /// Takes records into the table, or, once it was full, gives them to the parts. Gives the bytes on the heap of what was taken in.
    fn merge(
        &mut self,
        text: &[u8],
        keys: &[Span],
        records: &[Record<'_>],
        (bytes, depth): (u64, u32),
        split: &mut Option<Split>,
    ) -> Result<u64> {
        let Merging { tally, table, accs, arena, room, .. } = self;
        let (mut records, mut taken) = (records.iter(), 0);
        let touch = |accs: &Y::Accs, cell| tally.touch(accs, cell);
        table.find_all(accs, text, keys, touch, |table, accs, key, hash, place| {
            let record = records.next().ok_or_else(full)?;
            if let Some(Split { spread, log }) = split {
                return spread.push(sub_bucket(key, depth, log.partitions()), &[record.whole]);
            }
            if let Some(place) = place {
                taken += tally.merge(accs, Found { cell: table.cell(place), is_new: false }, record.value)?;
                return Ok(());
            }
            if let Some(found) = table.find_hashed(key, hash)? {
                taken += tally.merge(accs, found, record.value)?;
                return Ok(());
            }
            let (spread, log) = {
                let split = split.insert(Split::begin(&**tally, table, accs, (arena, room), (bytes, depth))?);
                (&mut split.spread, &split.log)
            };
            spread.push(sub_bucket(key, depth, log.partitions()), &[record.whole])
        })?;
        Ok(taken)
    }

    /// Splits the partition where more may be kept of its keys than is held.
    fn make_way(&mut self, bytes: u64, depth: u32, split: &mut Option<Split>) -> Result<()> {
        let Merging { tally, table, accs, arena, room, .. } = self;
        let held = kept(&**tally, table, accs);
        // What is kept of a key is an element of what comes of it: where much is left in a part, it is that of few keys, which are held as they are.
        if depth == 0 && held > BESIDE / 2 {
            // Parts are of as many bytes in memory.
            let times = held as f64 / encoded(&**tally, table, accs)?.max(1) as f64;
            let bytes = (bytes as f64 * times.max(1.0)) as u64;
            *split = Some(Split::begin(&**tally, table, accs, (arena, room), (bytes, depth))?);
            return Ok(());
        }
        self.beside = held;
        self.count_at = held + (held / 4).max(BESIDE);
        self.holding.set(self.count_at.saturating_sub(2 * BESIDE))
    }

    /// The next key, as `item` makes an element of it.
    pub(crate) fn next<T>(&mut self, item: impl FnOnce(&mut Y::Accs, &[u8], u64) -> Result<T>) -> Result<Option<T>> {
        loop {
            while self.at < self.table.slots() {
                let at = self.at;
                self.at += 1;
                self.table.fetch_ahead(at);
                if let Some((key, _, cell)) = self.table.at(at, &mut self.key) {
                    return item(&mut self.accs, key, cell).map(Some);
                }
            }
            let Some(parts) = self.parts.last_mut() else { return Ok(None) };
            if parts.next == parts.log.partitions() {
                self.parts.pop();
                continue;
            }
            let (log, part) = (parts.log.clone(), parts.next);
            parts.next += 1;
            self.table.clear();
            self.tally.clear(&mut self.accs);
            let bytes = log.sizes(part)?.bytes;
            self.fill(log.gather(part)?, bytes)?;
        }
    }
}

/// The parts of a partition of so many bytes.
fn parts_of(bytes: u64) -> u32 {
    (bytes / PART).clamp(16, 1024) as u32
}
