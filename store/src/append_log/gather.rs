//! Reading a partition, in order, in bounded memory.
//!
//! Entries go by task, then by their number in the attempt. Blocks have theirs in that order; where the blocks of a partition do not
//! overlap, they are read one after the other. Where they do, since tasks ran at the same time, the heads of those blocks say where
//! each attempt is, and parts of blocks are read in turn:
//!
//! ```text
//! block 1 | task 0 | task 1 ...|            windows: block 1 (tasks 0, 1), block 2 (task 1),
//! block 2          | ... task 1 | task 2 |           block 2 (task 2)
//! ```
//! Windows are read and decoded ahead by background threads, as far as the memory for reading allows.

use super::attempt::Attempt;
use super::attempts::{Live, is_covered};
use super::block::{Block, Body};
use super::decode::{Decoded, Expected};
use super::desk::Desk;
use super::head::{Head, Order};
use super::log::ByteLog;
use super::shared::Shared;
use super::sizes::LogSizes;
use super::work::caught;
use crate::{Buffer, BufferMut, Error, ErrorKind, Result};
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// An entry of a partition: the bytes of one append.
#[derive(Debug, Clone)]
pub struct LogEntry {
    attempt: Attempt,
    records: u32,
    bytes: Buffer,
}

impl LogEntry {
    /// Who appended it.
    pub fn attempt(&self) -> Attempt {
        self.attempt
    }

    /// How many records it is; 1 in a log of bytes.
    pub fn records(&self) -> u32 {
        self.records
    }

    /// The bytes. They are a part of what was decoded with them, up to 4 MiB, and keep all of that in memory.
    pub fn into_bytes(self) -> Buffer {
        self.bytes
    }
}

impl Deref for LogEntry {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The place of an entry among those of all writers: kind, task, when the writer began, its number, instance, number, offset.
type Key = (super::attempt::Kind, u64, u64, u32, u64, u64, u64);

/// Entries of a block, all or those in a range.
#[derive(Debug)]
struct Window {
    block: Arc<Block>,
    range: Option<(Order, Order)>,
}

/// Windows of at most so many bytes together are one job, so that small ones do not cost a change of threads each.
const JOB_BYTES: u64 = 256 << 10;
const JOB_WINDOWS: usize = 256;

/// What was read of windows, and who wrote each.
type Windows = VecDeque<(u32, Result<Decoded>)>;

/// Windows that are read by a background thread.
#[derive(Debug)]
pub(super) struct Job {
    windows: Vec<Window>,
    bytes: u64,
    /// What is in each window, up to the first that cannot be read.
    result: Mutex<Option<Windows>>,
    done: Condvar,
    reading: Arc<AtomicU64>,
}

impl Job {
    pub(super) fn run(&self, shared: &Shared, desk: &mut Desk) {
        let mut all = VecDeque::with_capacity(self.windows.len());
        for window in &self.windows {
            let decoded = caught(|| shared.decode(window, desk));
            let failed = decoded.is_err();
            all.push_back((window.block.writer, decoded));
            if failed {
                break;
            }
        }
        *self.result.lock() = Some(all);
        self.done.notify_all();
    }

    fn wait(&self) -> Windows {
        let mut result = self.result.lock();
        loop {
            match result.take() {
                Some(result) => return result,
                None => self.done.wait(&mut result),
            }
        }
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.reading.fetch_sub(self.bytes, Relaxed);
    }
}

/// Partitions that will be asked for next.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    queue: VecDeque<u32>,
    ready: VecDeque<(u32, u64, Stream)>,
    /// The partition that was asked for last.
    last: Option<u32>,
}

/// So many partitions are read ahead where they are gathered one after the other.
const ROW: u32 = 16;

/// What is left to read of a partition.
#[derive(Debug)]
pub(super) struct Stream {
    partition: u32,
    live: Arc<Live>,
    covered: Vec<(u32, u64)>,
    expected: LogSizes,
    windows: VecDeque<Window>,
    jobs: VecDeque<Arc<Job>>,
}

impl Stream {
    fn counts(&self, writer: u32, instance: u64) -> bool {
        self.live.get(&(writer, instance)).is_some_and(|number| !is_covered(&self.covered, writer, *number))
    }

    /// Asks for windows, as far as there is memory for them; at least for one where none was asked for.
    fn issue(&mut self, shared: &Shared, at_least_one: bool) -> bool {
        let mut issued = false;
        while let Some(window) = self.windows.front() {
            let mut bytes = window.block.raw;
            let first = at_least_one && self.jobs.is_empty();
            if !first && shared.reading.load(Relaxed) + bytes > shared.read_bytes {
                break;
            }
            let mut windows: Vec<_> = self.windows.pop_front().into_iter().collect();
            while windows.len() < JOB_WINDOWS
                && let Some(next) = self.windows.front()
                && bytes + next.block.raw <= JOB_BYTES
            {
                bytes += next.block.raw;
                windows.extend(self.windows.pop_front());
            }
            shared.reading.fetch_add(bytes, Relaxed);
            let reading = Arc::clone(&shared.reading);
            let job = Arc::new(Job { windows, bytes, result: Mutex::new(None), done: Condvar::new(), reading });
            self.jobs.push_back(Arc::clone(&job));
            shared.work.lock().reads.push_back(job);
            issued = true;
        }
        if issued {
            shared.todo.notify_all();
        }
        self.windows.is_empty()
    }
}

/// The entries of a partition, in the order of task and number, whatever order they came in. After an error there are none.
///
/// It shows what was visible when it was made. It takes the memory of one block (4 MiB), what the log has for reading
/// ahead, and that of the entry that it gives, which is copied where it stands in several blocks.
#[derive(Debug)]
pub struct Gather {
    log: ByteLog,
    stream: Stream,
    current: Option<(Decoded, usize, u32)>,
    /// The job whose windows come next, and what it read.
    job: Option<(Arc<Job>, Windows)>,
    partial: Option<(Head, BufferMut, usize)>,
    found: LogSizes,
    ended: bool,
}

impl Gather {
    pub(super) fn new(log: &ByteLog, partition: u32) -> Result<Self> {
        let shared = log.shared();
        shared.check_partition(partition)?;
        let stream = match shared.ready(partition) {
            Some(stream) => stream,
            None => shared.plan(partition)?.0,
        };
        let mut gather =
            Gather { log: log.clone(), stream, current: None, job: None, partial: None, found: LogSizes::default(), ended: false };
        gather.look_ahead();
        Ok(gather)
    }

    /// What this gives in all.
    pub fn sizes(&self) -> LogSizes {
        self.stream.expected
    }

    /// Gives nothing more.
    pub(super) fn stop(&mut self) {
        self.ended = true;
        (self.current, self.job) = (None, None);
    }

    fn look_ahead(&mut self) {
        let shared = self.log.shared();
        if self.stream.issue(shared, true) {
            shared.look_ahead();
        }
    }

    fn entry(&mut self) -> Result<Option<LogEntry>> {
        loop {
            let Some((decoded, at, writer)) = &mut self.current else {
                if let Some((writer, decoded)) = self.job.as_mut().and_then(|(_, read)| read.pop_front()) {
                    self.current = Some((decoded?, 0, writer));
                    continue;
                }
                self.job = None;
                self.look_ahead();
                let Some(job) = self.stream.jobs.pop_front() else { return self.end() };
                let read = job.wait();
                self.job = Some((job, read));
                self.look_ahead();
                continue;
            };
            let Some((head, begin)) = decoded.entries.get(*at).copied() else {
                self.current = None;
                continue;
            };
            *at += 1;
            if !self.stream.counts(*writer, head.instance) {
                continue;
            }
            let (partition, len) = (self.stream.partition, head.len as usize);
            let damaged = |what: &str| {
                let message = format!("partition {partition} is damaged: {what}");
                Error::new(ErrorKind::Corrupt, message).at(self.log.shared().folder()).hint("verify names the damaged blocks")
            };
            let bytes = decoded.bytes.slice(begin, len).ok_or_else(|| damaged("an entry is longer than its block"))?;
            if head.offset == 0 && head.total == u64::from(head.len) {
                if self.partial.is_some() {
                    return Err(damaged("an entry has no end"));
                }
                return Ok(Some(self.found(head, bytes)));
            }
            let shared = self.log.shared();
            let (first, mut buffer, filled) = match self.partial.take() {
                Some(partial) => partial,
                None => {
                    let total = usize::try_from(head.total).map_err(|_| damaged("an entry is longer than this machine allows"))?;
                    if head.total > self.stream.expected.bytes {
                        return Err(damaged("an entry is longer than what was committed"));
                    }
                    (head, shared.arena.alloc(total)?, 0)
                }
            };
            let follows = (first.instance, first.seq, first.total, filled as u64) == (head.instance, head.seq, head.total, head.offset);
            let Some(to) = buffer.get_mut(filled..filled + len).filter(|_| follows) else {
                return Err(damaged("a part of an entry is missing"));
            };
            to.copy_from_slice(&bytes);
            if filled + len < buffer.len() {
                self.partial = Some((first, buffer, filled + len));
                continue;
            }
            return Ok(Some(self.found(first, buffer.freeze())));
        }
    }

    fn found(&mut self, head: Head, bytes: Buffer) -> LogEntry {
        self.found.add(LogSizes { records: head.records.into(), bytes: bytes.len() as u64 });
        LogEntry { attempt: head.attempt, records: head.records, bytes }
    }

    /// Nothing is missing, or an error says what.
    fn end(&self) -> Result<Option<LogEntry>> {
        let (found, expected) = (self.found, self.stream.expected);
        if found == expected && self.partial.is_none() {
            return Ok(None);
        }
        let message = format!(
            "partition {} has {} records of {} bytes, but {} of {} bytes were committed",
            self.stream.partition, found.records, found.bytes, expected.records, expected.bytes
        );
        Err(Error::new(ErrorKind::Corrupt, message)
            .at(self.log.shared().folder())
            .hint("verify the log, and repeat the tasks that made it"))
    }
}

impl Iterator for Gather {
    type Item = Result<LogEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let entry = self.entry().transpose();
        self.ended = !matches!(entry, Some(Ok(_)));
        if self.ended {
            (self.current, self.job) = (None, None);
        }
        entry
    }
}

impl Shared {
    /// Says which partitions will be gathered next.
    pub(super) fn prefetch(&self, partitions: impl Iterator<Item = u32>) {
        let partitions = partitions.filter(|partition| *partition < self.partitions);
        *self.ahead.lock() = Ahead { queue: partitions.collect(), ready: VecDeque::new(), last: None };
        self.look_ahead();
    }

    /// The stream of a partition that was read ahead, if it shows what there is now.
    fn ready(&self, partition: u32) -> Option<Stream> {
        let mut ahead = self.ahead.lock();
        let follows = ahead.last.is_some_and(|last| last.checked_add(1) == Some(partition));
        ahead.last = Some(partition);
        if follows && ahead.queue.is_empty() {
            let begin = ahead.ready.iter().map(|(ready, ..)| ready.saturating_add(1)).fold(partition.saturating_add(1), u32::max);
            ahead.queue = (begin..self.partitions.min(partition.saturating_add(ROW))).collect();
        }
        if let Some(at) = ahead.queue.iter().position(|other| *other == partition) {
            ahead.queue.remove(at);
        }
        let at = ahead.ready.iter().position(|(other, ..)| *other == partition)?;
        let (_, version, stream) = ahead.ready.remove(at)?;
        drop(ahead);
        let bucket = self.bucket(partition).ok()?;
        let now = self.table.lock().version;
        (version == now && bucket.is_empty()).then_some(stream)
    }

    /// Reads ahead of what is asked for, as far as there is memory for it.
    fn look_ahead(&self) {
        // Where another thread is at it, it does the same.
        let Some(mut ahead) = self.ahead.try_lock() else { return };
        loop {
            if let Some((_, _, last)) = ahead.ready.back_mut()
                && !last.issue(self, false)
            {
                return;
            }
            if self.reading.load(Relaxed) >= self.read_bytes {
                return;
            }
            let Some(partition) = ahead.queue.pop_front() else { return };
            // What fails here fails again when it is asked for.
            let Ok((stream, version)) = self.plan(partition) else { continue };
            ahead.ready.push_back((partition, version, stream));
        }
    }

    /// How to read a partition as it is now, and the version of the table.
    fn plan(&self, partition: u32) -> Result<(Stream, u64)> {
        let mut bucket = self.bucket(partition)?;
        self.close(partition, &mut bucket);
        self.weigh(partition, &bucket);
        let table = self.table.lock();
        let mut blocks = table.blocks.get(partition as usize).cloned().unwrap_or_default();
        // Of a writer whose data files were removed nothing counts.
        blocks.retain(|block| !table.is_removed(block.writer));
        let mut stream = Stream {
            partition,
            live: Arc::clone(&table.attempts.live),
            covered: table.attempts.covered(partition).to_vec(),
            expected: table.attempts.totals.get(partition as usize).copied().unwrap_or_default(),
            windows: VecDeque::new(),
            jobs: VecDeque::new(),
        };
        let created: Vec<_> = table.others.iter().map(|(other, _)| other.header.created).collect();
        let version = table.version;
        drop(table);
        drop(bucket);
        let own = self.writer.lock().as_ref().map_or(u64::MAX, |writer| writer.header.created);
        let key = |writer: u32, (kind, task, instance, seq, offset): Order| -> Key {
            let created = writer.checked_sub(1).map_or(own, |at| created.get(at as usize).copied().unwrap_or(0));
            (kind, task, created, writer, instance, seq, offset)
        };
        let mut blocks: Vec<_> =
            blocks.into_iter().map(|block| (key(block.writer, block.first), key(block.writer, block.last), block)).collect();
        blocks.sort_by_key(|block| block.0);
        let mut rest = blocks.as_slice();
        while let Some((first, others)) = rest.split_first() {
            let mut last = first.1;
            let more = others.iter().take_while(|(begin, end, _)| {
                let overlaps = *begin <= last;
                if overlaps {
                    last = last.max(*end);
                }
                overlaps
            });
            let count = 1 + more.count();
            let (cluster, later) = rest.split_at(count);
            rest = later;
            match cluster {
                [(_, _, block)] => stream.windows.push_back(Window { block: Arc::clone(block), range: None }),
                several => self.interleave(several, &key, &mut stream)?,
            }
        }
        Ok((stream, version))
    }

    /// The windows of blocks that overlap.
    fn interleave(&self, blocks: &[(Key, Key, Arc<Block>)], key: &impl Fn(u32, Order) -> Key, stream: &mut Stream) -> Result<()> {
        let mut runs: Vec<(Key, usize, Order, Order)> = Vec::new();
        for (at, (_, _, block)) in blocks.iter().enumerate() {
            let heads = self.heads(block)?;
            for run in heads.chunk_by(|a, b| a.instance == b.instance) {
                if let (Some(first), Some(last)) = (run.first(), run.last())
                    && stream.counts(block.writer, first.instance)
                {
                    runs.push((key(block.writer, first.order()), at, first.order(), last.order()));
                }
            }
        }
        runs.sort_unstable_by_key(|run| run.0);
        for same in runs.chunk_by(|a, b| a.1 == b.1) {
            if let (Some((_, at, first, _)), Some((_, _, _, last))) = (same.first(), same.last())
                && let Some((_, _, block)) = blocks.get(*at)
            {
                let whole = (*first, *last) == (block.first, block.last);
                stream.windows.push_back(Window { block: Arc::clone(block), range: (!whole).then_some((*first, *last)) });
            }
        }
        Ok(())
    }

    /// The heads of a block, in order.
    pub(super) fn heads(&self, block: &Block) -> Result<Vec<Head>> {
        match block.body() {
            Body::Memory(held) => Ok(held.parts.iter().map(|part| part.head).collect()),
            Body::Disk(place) => {
                let (file, writer) = self.data_file(block.writer, place.file)?;
                let (stored, head) = (place.stored as usize, place.head as usize);
                let expected = Expected { file: &*file, partition: block.partition, writer, offset: place.offset, stored, head };
                let mut desk = self.planner.lock();
                let Desk { codec, stretch, .. } = &mut *desk;
                expected.heads(codec, stretch)
            }
        }
    }

    fn decode(&self, window: &Window, desk: &mut Desk) -> Result<Decoded> {
        let block = &window.block;
        match block.body() {
            Body::Memory(held) => {
                let inside = |head: &Head| window.range.is_none_or(|(first, last)| (first..=last).contains(&head.order()));
                let parts = || held.parts.iter().filter(|part| inside(&part.head));
                let mut out = self.arena.alloc(parts().map(|part| part.head.len as usize).sum())?;
                let (mut entries, mut at) = (Vec::new(), 0);
                for part in parts() {
                    let bytes = held.bytes(part);
                    if let Some(to) = out.get_mut(at..at + bytes.len()) {
                        to.copy_from_slice(bytes);
                    }
                    match entries.last_mut() {
                        Some((last, _)) if Head::continued_by(last, &part.head) => last.len += part.head.len,
                        _ => entries.push((part.head, at)),
                    }
                    at += bytes.len();
                }
                Ok(Decoded { bytes: out.freeze(), entries })
            }
            Body::Disk(place) => {
                let (file, writer) = self.data_file(block.writer, place.file)?;
                let (stored, head) = (place.stored as usize, place.head as usize);
                let expected = Expected { file: &*file, partition: block.partition, writer, offset: place.offset, stored, head };
                self.read_stored.fetch_add(stored as u64, Relaxed);
                expected.decode(window.range, &mut desk.codec, &mut desk.stretch, &self.arena)
            }
        }
    }
}
