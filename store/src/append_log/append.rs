//! Appending: into buckets, and making room.
//!
//! An append takes all the pages that it needs before it changes anything, so that it is done or not done. Where there are none, the
//! largest buckets are written out: closed to blocks, which background threads encode and write. That begins before the buffer
//! is full, so that they have work while others append.

use super::attempt::Attempt;
use super::bucket::Bucket;
use super::head::Head;
use super::pool::{Charge, Page};
use super::shared::Shared;
use super::sizes::LogSizes;
use super::work::Patience;
use crate::format::LOG_BLOCK_BYTES;
use crate::{Buffer, Error, ErrorKind, Result};
use std::sync::atomic::Ordering::Relaxed;

/// Appends of at least this many bytes are kept in buffers of their own.
const LARGE: usize = 1 << 20;

/// An entry that is to be appended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) partition: u32,
    pub(super) attempt: Attempt,
    pub(super) records: u32,
    /// Whether it may become one with the entry before it.
    pub(super) joins: bool,
}

impl Shared {
    /// Copies an entry into its bucket.
    pub(super) fn append(&self, entry: Entry, bytes: &[u8]) -> Result<()> {
        self.check_append(entry)?;
        if bytes.len() >= LARGE || bytes.len() as u64 > self.pool.limit() / 4 {
            return self.append_whole(entry, bytes.len(), || {
                let mut buffer = self.arena.alloc(bytes.len())?;
                buffer.copy_from_slice(bytes);
                Ok(buffer.freeze())
            });
        }
        let Entry { partition, attempt, records, joins } = entry;
        let sizes = LogSizes { records: records.into(), bytes: bytes.len() as u64 };
        let mut bucket = self.bucket(partition)?;
        if joins && !bucket.is_empty() && !bytes.is_empty() {
            let mut table = self.check_sealed(entry)?;
            let instance = table.instance(attempt).instance;
            if bucket.joins(instance, bytes.len(), records) {
                table.note(attempt, partition, sizes, true);
                drop(table);
                bucket.join(bytes);
                return Ok(());
            }
        }
        if bucket.is_full() {
            self.close(partition, &mut bucket);
        }
        let mut pages = self.pages(partition, &mut bucket, bytes.len())?;
        let (instance, seq) = self.check_sealed(entry)?.note(attempt, partition, sizes, false);
        let mut at = 0;
        loop {
            let records = if at == 0 { records } else { 0 };
            let head = Head { attempt, instance, seq, offset: at as u64, total: bytes.len() as u64, len: 0, records };
            at += bucket.copy(&self.pool, head, bytes.get(at..).unwrap_or_default(), &mut pages);
            if bucket.is_full() {
                self.close(partition, &mut bucket);
            }
            if at >= bytes.len() {
                break;
            }
        }
        self.weigh(partition, &bucket);
        drop(bucket);
        self.write_behind();
        Ok(())
    }

    /// Takes an entry as it is.
    pub(super) fn append_shared(&self, entry: Entry, buffer: Buffer) -> Result<()> {
        self.check_append(entry)?;
        self.append_whole(entry, buffer.len(), || Ok(buffer))
    }

    /// Takes an entry of `len` bytes that is in a buffer of its own, which is made once its bytes are counted.
    fn append_whole(&self, entry: Entry, len: usize, buffer: impl FnOnce() -> Result<Buffer>) -> Result<()> {
        let Entry { partition, attempt, records, .. } = entry;
        let sizes = LogSizes { records: records.into(), bytes: len as u64 };
        if len as u64 > self.pool.limit() {
            return Err(self.pool.too_small(len));
        }
        let mut bucket = self.bucket(partition)?;
        let mut whole = self.charge(partition, &mut bucket, len as u64)?;
        let buffer = buffer()?;
        let (instance, seq) = self.check_sealed(entry)?.note(attempt, partition, sizes, false);
        let mut at = 0;
        loop {
            if bucket.is_full() {
                self.close(partition, &mut bucket);
            }
            let records = if at == 0 { records } else { 0 };
            let head = Head { attempt, instance, seq, offset: at as u64, total: buffer.len() as u64, len: 0, records };
            let part = whole.split(bucket.share_bytes(buffer.len() - at) as u64);
            at += bucket.share(&self.pool, head, &buffer, at, part);
            if at >= buffer.len() {
                break;
            }
        }
        self.weigh(partition, &bucket);
        drop(bucket);
        self.write_behind();
        Ok(())
    }

    fn check_append(&self, entry: Entry) -> Result<()> {
        self.check_partition(entry.partition)?;
        self.check_writable()?;
        // The files are made before anything depends on them.
        self.writer_id().map(|_| ())
    }

    /// The table, unless the log is sealed.
    fn check_sealed(&self, _entry: Entry) -> Result<parking_lot::MutexGuard<'_, super::shared::Table>> {
        let table = self.table.lock();
        match table.sealed {
            true => {
                let hint = "open the log again to append more";
                Err(Error::new(ErrorKind::Invalid, "the log is sealed").at(self.folder()).hint(hint))
            }
            false => Ok(table),
        }
    }

    /// The pages for an entry of `len` bytes.
    fn pages(&self, partition: u32, bucket: &mut Bucket, len: usize) -> Result<Vec<Page>> {
        let mut patience = Patience::new(self);
        loop {
            let count = pages_for(bucket, len, self.pool.page());
            if count as u64 * self.pool.page() as u64 > self.pool.limit() {
                return Err(self.pool.too_small(len));
            }
            if let Some(pages) = self.pool.take(count)? {
                return Ok(pages);
            }
            self.make_room(partition, bucket, &mut patience)?;
        }
    }

    /// Counts memory that was handed over.
    fn charge(&self, partition: u32, bucket: &mut Bucket, bytes: u64) -> Result<Charge> {
        let mut patience = Patience::new(self);
        loop {
            if let Some(charge) = self.pool.charge(bytes) {
                return Ok(charge);
            }
            self.make_room(partition, bucket, &mut patience)?;
        }
    }

    /// Has something written out, and waits for some of it.
    fn make_room(&self, partition: u32, bucket: &mut Bucket, patience: &mut Patience) -> Result<()> {
        let flying = self.work.lock().flying();
        let low = self.pool.limit() / 8;
        if flying < low && self.evict(low - flying, Some(partition)) == 0 && flying == 0 {
            // Nothing else is left: what this bucket has goes, too.
            self.close(partition, bucket);
            let mut work = self.work.lock();
            while let Some(block) = bucket.next_closed() {
                work.push(block);
            }
            drop(work);
            self.weigh(partition, bucket);
            self.todo.notify_all();
        }
        patience.wait(self)
    }

    /// Has the largest buckets written out where little room is left.
    fn write_behind(&self) {
        let (used, limit) = (self.pool.used().0, self.pool.limit());
        if used > limit - limit / 8 {
            let flying = self.work.lock().flying();
            if flying < limit / 16 {
                self.evict(limit / 8 - flying, None);
            }
        }
    }

    /// Has the largest buckets, but not that of `except`, written out until that is `bytes`; gives how many bytes it is.
    pub(super) fn evict(&self, bytes: u64, except: Option<u32>) -> u64 {
        let weights = self.weights.iter().enumerate().map(|(p, weight)| (weight.load(Relaxed), p as u32));
        let mut largest: Vec<_> = weights.filter(|(weight, p)| *weight > 0 && Some(*p) != except).collect();
        largest.sort_unstable_by(|a, b| b.cmp(a));
        let mut taken = 0;
        for (_, partition) in largest {
            if taken >= bytes {
                break;
            }
            let Some(mut bucket) = self.buckets.get(partition as usize).and_then(|bucket| bucket.try_lock()) else { continue };
            let mut blocks = Vec::new();
            let mut closed = false;
            while taken < bytes {
                match bucket.next_closed() {
                    Some(block) => {
                        taken += block.weight();
                        blocks.push(block);
                    }
                    None if closed || bucket.is_empty() => break,
                    None => {
                        self.close(partition, &mut bucket);
                        closed = true;
                    }
                }
            }
            self.weigh(partition, &bucket);
            drop(bucket);
            let mut work = self.work.lock();
            blocks.into_iter().for_each(|block| work.push(block));
            drop(work);
            self.todo.notify_all();
        }
        taken
    }
}

/// The pages that an entry of `len` bytes needs beside what is free in its bucket; a block ends where it is full.
fn pages_for(bucket: &Bucket, len: usize, page: usize) -> usize {
    let before = bucket.share_bytes(len);
    let rest = len - before;
    debug_assert!(len <= LOG_BLOCK_BYTES);
    before.saturating_sub(bucket.room()).div_ceil(page) + rest.div_ceil(page)
}
