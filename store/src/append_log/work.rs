//! What background threads do: encode and write blocks, read and decode windows.

use super::block::{Block, Body, Place};
use super::desk::Desk;
use super::encode::{How, encode, finish};
use super::gather::Job;
use super::shared::Shared;
use crate::format::{
    BLOCK_BYTES, LOG_ALIGN, LOG_BLOCK_HEADER_BYTES, LOG_HEAD_BYTES, LOG_PIECE_BYTES, LOG_PIECE_ENTRY_BYTES, LOG_STRETCH_BYTES,
};
use crate::scratch::Room;
use crate::{Encoding, Error, ErrorKind, Result};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// What is to be done.
#[derive(Debug, Default)]
pub(super) struct Work {
    queue: VecDeque<(Arc<Block>, u64)>,
    pub(super) reads: VecDeque<Arc<Job>>,
    /// Blocks whose writing failed; they are as they were.
    stuck: Vec<Arc<Block>>,
    /// The bytes of blocks in the queue or being written.
    flying: u64,
    /// The failed writes so far, and the last of them.
    failures: u64,
    failed: Option<(ErrorKind, String)>,
    pub(super) stop: bool,
}

impl Work {
    /// Asks for a block to be written.
    pub(super) fn push(&mut self, block: Arc<Block>) {
        let weight = block.weight();
        self.flying += weight;
        self.queue.push_back((block, weight));
    }

    pub(super) fn flying(&self) -> u64 {
        self.flying
    }

    /// Tries again what failed.
    pub(super) fn retry(&mut self) -> bool {
        let stuck = std::mem::take(&mut self.stuck);
        let some = !stuck.is_empty();
        stuck.into_iter().for_each(|block| self.push(block));
        some
    }

    /// The error of the last write that failed, where it was after the number `since`.
    pub(super) fn error_since(&self, since: u64) -> Option<Error> {
        let (kind, message) = self.failed.as_ref().filter(|_| self.failures > since)?;
        Some(Error::new(*kind, message.clone()))
    }

    pub(super) fn failures(&self) -> u64 {
        self.failures
    }

    /// Nothing more is to be done.
    pub(super) fn end(&mut self) {
        self.stop = true;
        self.queue.clear();
        self.stuck.clear();
    }

    /// Blocks that go into one stretch.
    fn batch(&mut self) -> Vec<(Arc<Block>, u64)> {
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some((block, _)) = self.queue.front() {
            bytes += most_bytes(block);
            if !batch.is_empty() && bytes > LOG_STRETCH_BYTES - 2 * BLOCK_BYTES {
                break;
            }
            batch.extend(self.queue.pop_front());
        }
        batch
    }
}

/// The most bytes that a block may take on disk.
fn most_bytes(block: &Block) -> usize {
    match block.body() {
        Body::Memory(held) => {
            let raw = block.raw as usize;
            let tables = held.parts.len() * LOG_HEAD_BYTES + raw.div_ceil(LOG_PIECE_BYTES) * LOG_PIECE_ENTRY_BYTES;
            LOG_BLOCK_HEADER_BYTES + tables + raw + LOG_ALIGN
        }
        Body::Disk(_) => 0,
    }
}

/// Who waits for writes; the first failure after it has tried again is its own.
pub(super) struct Patience {
    since: u64,
    tried: bool,
    /// How often in a row it waited with nothing under way.
    idle: u32,
}

/// So often in a row somebody waits for memory that nobody is about to give back.
const IDLE_MOST: u32 = 500;

impl Patience {
    pub(super) fn new(shared: &Shared) -> Self {
        Patience { since: shared.work.lock().failures(), tried: false, idle: 0 }
    }

    /// What failed before is tried again, once; what fails then is the error.
    fn check(&mut self, shared: &Shared) -> Result<()> {
        let mut work = shared.work.lock();
        if let Some(e) = work.error_since(self.since) {
            return Err(e);
        }
        if !self.tried {
            self.tried = true;
            if work.retry() {
                shared.todo.notify_all();
            }
        }
        Ok(())
    }

    /// Waits a while for memory.
    pub(super) fn wait(&mut self, shared: &Shared) -> Result<()> {
        self.check(shared)?;
        self.idle = if shared.work.lock().flying == 0 { self.idle + 1 } else { 0 };
        if self.idle > IDLE_MOST {
            let message = "all of the buffer is in use by partitions that are being gathered";
            return Err(Error::new(ErrorKind::OutOfMemory, message).hint("read or drop the gathers, or give the log more memory"));
        }
        shared.pool.wait();
        Ok(())
    }

    /// Waits a while for a write to end.
    pub(super) fn wait_for_write(&mut self, shared: &Shared) -> Result<()> {
        self.check(shared)?;
        let mut work = shared.work.lock();
        if work.flying > 0 {
            shared.ended.wait_for(&mut work, Duration::from_millis(100));
        }
        Ok(())
    }
}

/// What a background thread does until it is told to stop.
pub(super) fn run(shared: &Shared, mut desk: Desk) {
    let mut work = shared.work.lock();
    loop {
        if let Some(job) = work.reads.pop_front() {
            parking_lot::MutexGuard::unlocked(&mut work, || {
                // Who asked may be gone.
                if Arc::strong_count(&job) > 1 {
                    job.run(shared, &mut desk);
                }
                drop(job);
            });
        } else if !work.queue.is_empty() {
            let batch = work.batch();
            parking_lot::MutexGuard::unlocked(&mut work, || shared.write(batch, &mut desk));
        } else if work.stop {
            return;
        } else {
            shared.todo.wait(&mut work);
        }
    }
}

/// What `f` gives; a panic becomes an error, so that nobody waits for a thread that is gone.
pub(super) fn caught<R>(f: impl FnOnce() -> Result<R>) -> Result<R> {
    let panicked = |_| Err(Error::new(ErrorKind::Io, "a background thread of an append log panicked"));
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(f)).unwrap_or_else(panicked)
}

impl Shared {
    fn write(&self, batch: Vec<(Arc<Block>, u64)>, desk: &mut Desk) {
        let weight: u64 = batch.iter().map(|(_, weight)| weight).sum();
        let mut blocks: Vec<_> =
            batch.into_iter().map(|(block, _)| block).filter(|block| !block.is_gone() && block.is_in_memory()).collect();
        let written = caught(|| match self.write_blocks(&blocks, desk, None) {
            Err(e) if e.kind() == ErrorKind::DiskFull && self.options.encoding.is_none() => {
                // What does not pay in time may still fit.
                self.write_blocks(&blocks, desk, Some(Encoding::ShuffleZstd)).map_err(|_| e)
            }
            other => other,
        });
        let mut work = self.work.lock();
        work.flying -= weight;
        if let Err(e) = written {
            work.failures += 1;
            work.failed = Some((e.kind(), e.to_string()));
            blocks.retain(|block| block.is_in_memory());
            work.stuck.append(&mut blocks);
        }
        drop(work);
        drop(blocks);
        self.ended.notify_all();
        self.pool.wake();
    }

    /// Encodes blocks behind each other, and writes them at once.
    fn write_blocks(&self, blocks: &[Arc<Block>], desk: &mut Desk, encoding: Option<Encoding>) -> Result<()> {
        let dead = Arc::clone(&self.table.lock().attempts.dead);
        let Desk { codec, stretch, joined, .. } = desk;
        let begun = Instant::now();
        let (mut encoded, mut at, mut way) = (Vec::with_capacity(blocks.len()), 0, Encoding::Raw);
        for block in blocks {
            let Body::Memory(held) = block.body() else { continue };
            let sample = held.parts.iter().map(|part| held.bytes(part)).max_by_key(|bytes| bytes.len()).unwrap_or_default();
            // One stretch is written in one way, so that its time tells of that.
            let encoding = match (encoding, encoded.is_empty()) {
                (Some(encoding), _) => encoding,
                (None, true) => self.pace.encoding(codec, sample, self.options.item_size),
                (None, false) => way,
            };
            let how = How { encoding, item_size: self.options.item_size };
            match encode(&held, &dead, (block.partition, how), (codec, joined), stretch, at)? {
                Some(one) => {
                    way = encoding;
                    let end = one.at + one.stored;
                    at = end.next_multiple_of(LOG_ALIGN);
                    stretch.get_mut(end..at).unwrap_or_default().fill(0);
                    encoded.push((block, one));
                }
                None => self.forget(block),
            }
        }
        if encoded.is_empty() {
            return Ok(());
        }
        let end = at.next_multiple_of(BLOCK_BYTES);
        stretch.get_mut(at..end).unwrap_or_default().fill(0);
        self.check_writable()?;
        let (space, id) = self.space()?;
        let mut room = Room::new(&space);
        let pages = (end / BLOCK_BYTES) as u32;
        let extent = room.take(pages, pages)?;
        let (file, begin) = space.place(&extent)?;
        for (_, one) in &encoded {
            finish(stretch, one, id, begin + one.at as u64)?;
        }
        if let Err(e) = file.write_at(begin, stretch.get(..end).unwrap_or_default()) {
            room.retire();
            return Err(e);
        }
        self.pace.written(way, encoded.iter().map(|(_, one)| one.raw).sum(), end as u64, begun.elapsed());
        let room = Arc::new(room);
        let mut table = self.table.lock();
        let lengths = extent.file as usize + 1;
        if table.lengths.len() < lengths {
            table.lengths.resize(lengths, 0);
        }
        if let Some(length) = table.lengths.get_mut(extent.file as usize) {
            *length = (*length).max(begin + end as u64);
        }
        for (block, one) in encoded {
            self.written_raw.fetch_add(one.raw, Relaxed);
            let place = Place {
                file: extent.file,
                offset: begin + one.at as u64,
                stored: one.stored as u32,
                head: one.head as u32,
                room: Some(Arc::clone(&room)),
            };
            block.written(place);
            if self.is_kept() && !block.is_gone() {
                table.unindexed.push(Arc::clone(block));
            }
        }
        drop(table);
        self.written_stored.fetch_add(end as u64, Relaxed);
        Ok(())
    }

    /// A block in which nothing counts.
    fn forget(&self, block: &Arc<Block>) {
        block.forget();
        if let Some(blocks) = self.table.lock().blocks.get_mut(block.partition as usize) {
            blocks.retain(|other| !Arc::ptr_eq(other, block));
        }
    }
}
