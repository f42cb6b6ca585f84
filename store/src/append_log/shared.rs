//! What the threads of a log share.
//!
//! Lock order: a bucket, the table, the work, the writer, the pool. None is held while bytes are encoded, read or written, except a
//! bucket's by who appends to it and waits for room; who looks for something to write out passes over buckets that are locked.

use super::attempt::{Attempt, Kind};
use super::attempts::{Attempts, Commit, OPEN};
use super::block::Block;
use super::bucket::Bucket;
use super::desk::Desk;
use super::files::{Home, Other, Writer, now, remove_writer};
use super::gather::Ahead;
use super::index::Record;
use super::options::LogOptions;
use super::pace::Pace;
use super::pool::{Charge, Pool};
use super::sizes::{Counts, LogSizes};
use super::work::Work;
use crate::format::LOG_COMPACT_NAME;
use crate::io::{Backend, BackendFile};
use crate::scratch::Space;
use crate::{Arena, Booking, Error, ErrorKind, Ledger, Result};
use parking_lot::{Condvar, Mutex, MutexGuard};
use rustc_hash::{FxHashMap, FxHashSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// An instance that is being appended to.
#[derive(Debug, Default)]
pub(super) struct Open {
    pub(super) instance: u64,
    seq: u64,
    pub(super) counts: FxHashMap<u32, LogSizes>,
}

/// What there is, apart from bytes.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) attempts: Attempts,
    pub(super) blocks: Vec<Vec<Arc<Block>>>,
    /// The other writers; the first has the number 1.
    pub(super) others: Vec<(Other, u64)>,
    pub(super) open: FxHashMap<Attempt, Open>,
    /// Partitions that are being set.
    pub(super) setting: FxHashSet<u32>,
    next_instance: u64,
    next_number: u64,
    pub(super) last_time: u64,
    /// For partitions and writers that are not known yet, the last commit that was deleted there.
    pub(super) unknown: FxHashMap<(u64, u32), u64>,
    /// Commits and deletions that are not in the index yet.
    pub(super) news: Vec<Record>,
    /// Blocks on disk that are not in the index yet.
    pub(super) unindexed: Vec<Arc<Block>>,
    /// How far each data file was written.
    pub(super) lengths: Vec<u64>,
    pub(super) sealed: bool,
    /// Changes with every commit and deletion.
    pub(super) version: u64,
    /// How many blocks there are, or a little more.
    pub(super) block_count: u64,
    /// For blocks and commits.
    booking: Booking,
    /// The same as a part of the buffer.
    charge: Charge,
}

/// What is known of a block takes about so much memory; and memory is booked in such steps.
const BLOCK_MEMORY: u64 = 256;
const STEP: u64 = 64 << 10;

pub(super) struct Shared {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) home: Home,
    pub(super) options: LogOptions,
    pub(super) partitions: u32,
    pub(super) arena: Arena,
    pub(super) pool: Arc<Pool>,
    pub(super) pace: Pace,
    pub(super) buckets: Box<[Mutex<Bucket>]>,
    /// The bytes of memory that each bucket could give back.
    pub(super) weights: Box<[AtomicU64]>,
    pub(super) table: Mutex<Table>,
    pub(super) work: Mutex<Work>,
    /// Told when there is work.
    pub(super) todo: Condvar,
    /// Told when a write has ended.
    pub(super) ended: Condvar,
    pub(super) writer: Mutex<Option<Writer>>,
    /// Held by a flush.
    pub(super) flushing: Mutex<()>,
    /// After a failed sync, or a failed write of the index, nothing more is written.
    pub(super) broken: AtomicBool,
    /// What reads the heads of blocks for planning.
    pub(super) planner: Mutex<Desk>,
    pub(super) ahead: Mutex<Ahead>,
    pub(super) read_bytes: u64,
    /// The type of the records, once it is known.
    pub(super) records: Mutex<Option<String>>,
    /// The bytes of windows that are being read, or were and are not consumed.
    pub(super) reading: Arc<AtomicU64>,
    pub(super) written_raw: AtomicU64,
    pub(super) written_stored: AtomicU64,
    pub(super) read_stored: AtomicU64,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("folder", &self.home.path()).field("partitions", &self.partitions).finish()
    }
}

impl Table {
    /// # Errors
    /// None that can be met, as nothing is booked yet.
    pub(super) fn new(partitions: u32, ledger: &Ledger, charge: Charge) -> Result<Self> {
        Ok(Table {
            attempts: Attempts::new(partitions),
            blocks: vec![Vec::new(); partitions as usize],
            others: Vec::new(),
            open: FxHashMap::default(),
            setting: FxHashSet::default(),
            next_instance: 1,
            next_number: 1,
            last_time: 0,
            unknown: FxHashMap::default(),
            news: Vec::new(),
            unindexed: Vec::new(),
            lengths: Vec::new(),
            sealed: false,
            version: 0,
            block_count: 0,
            booking: ledger.book(0)?,
            charge,
        })
    }

    /// Books what is known of blocks and commits.
    ///
    /// # Errors
    /// Out of memory.
    pub(super) fn account(&mut self) -> Result<()> {
        let (need, have) = (BLOCK_MEMORY * self.block_count + self.attempts.bytes, self.booking.bytes());
        self.charge.set_up_to_half(need.next_multiple_of(STEP));
        match need > have {
            true => self.booking.grow((need - have).next_multiple_of(STEP)),
            false => {
                self.booking.shrink(need.next_multiple_of(STEP));
                Ok(())
            }
        }
    }

    /// The instance of an attempt; it is opened where it is not.
    pub(super) fn instance(&mut self, attempt: Attempt) -> &mut Open {
        let Table { open, next_instance, attempts, .. } = self;
        open.entry(attempt).or_insert_with(|| {
            let instance = *next_instance;
            *next_instance += 1;
            if attempt.kind == Kind::Loose {
                Arc::make_mut(&mut attempts.live).insert((0, instance), OPEN);
            }
            Open { instance, ..Open::default() }
        })
    }

    /// Whether the data files of a writer were removed, since nothing of it counted.
    pub(super) fn is_removed(&self, writer: u32) -> bool {
        let number = writer.checked_sub(1).map(|number| number as usize);
        number.and_then(|number| self.others.get(number)).is_some_and(|(other, _)| other.missing.is_some())
    }

    /// Counts an entry of an attempt; gives the instance and the entry's number. One that is joined to the last has no number.
    pub(super) fn note(&mut self, attempt: Attempt, partition: u32, sizes: LogSizes, joined: bool) -> (u64, u64) {
        let open = self.instance(attempt);
        open.counts.entry(partition).or_default().add(sizes);
        let seq = open.seq;
        open.seq += u64::from(!joined);
        let instance = open.instance;
        if attempt.kind == Kind::Loose {
            self.version += 1;
            if let Some(total) = self.attempts.totals.get_mut(partition as usize) {
                total.add(sizes);
            }
        }
        (instance, seq)
    }

    /// Commits an instance that was open.
    pub(super) fn commit(&mut self, attempt: Attempt, open: Open, writer: u64, kept: bool) -> Result<()> {
        self.last_time = now().max(self.last_time + 1);
        self.commit_at(attempt, open, (writer, kept), self.last_time)
    }

    /// As [`Table::commit`], at a time that is given.
    pub(super) fn commit_at(&mut self, attempt: Attempt, open: Open, (writer, kept): (u64, bool), time: u64) -> Result<()> {
        let number = self.next_number;
        self.next_number += 1;
        self.version += 1;
        let counts = Counts::pack(open.counts.into_iter().collect());
        let commit = Commit { attempt, instance: open.instance, number, time, counts };
        let counts = self.attempts.commit((0, writer), &commit, attempt.kind == Kind::Loose)?;
        if counts && kept {
            self.news.push(Record::Commit(commit));
        }
        Ok(())
    }

    /// Commits what belongs to nobody; it was visible all along.
    pub(super) fn commit_loose(&mut self, writer: u64, kept: bool) -> Result<()> {
        match self.open.remove(&Attempt::none()) {
            Some(open) => self.commit(Attempt::none(), open, writer, kept),
            None => Ok(()),
        }
    }

    /// A new instance without entries.
    pub(super) fn empty_instance(&mut self) -> Open {
        let instance = self.next_instance;
        self.next_instance += 1;
        Open { instance, ..Open::default() }
    }

    /// The number of the last commit.
    pub(super) fn last_number(&self) -> u64 {
        self.next_number - 1
    }

    /// What is visible without being committed.
    pub(super) fn open_visible(&self) -> Vec<(u32, LogSizes)> {
        self.open.get(&Attempt::none()).map(|open| open.counts.iter().map(|(p, sizes)| (*p, *sizes)).collect()).unwrap_or_default()
    }
}

impl Shared {
    pub(super) fn folder(&self) -> &Path {
        self.home.path()
    }

    pub(super) fn is_kept(&self) -> bool {
        matches!(self.home, Home::Kept(_))
    }

    /// Says where a partition is that there is not.
    pub(super) fn check_partition(&self, partition: u32) -> Result<()> {
        match partition < self.partitions {
            true => Ok(()),
            false => {
                let message = format!("there is no partition {partition}: the log has {}, numbered from 0", self.partitions);
                Err(Error::new(ErrorKind::Invalid, message).at(self.folder()))
            }
        }
    }

    /// Checks that more can be written.
    pub(super) fn check_writable(&self) -> Result<()> {
        match self.broken.load(Relaxed) {
            true => {
                let hint = "open it again: all that was flushed before is there";
                Err(Error::new(ErrorKind::Io, "an earlier write of this log failed, and its end is not known").at(self.folder()).hint(hint))
            }
            false => Ok(()),
        }
    }

    /// The id of this writer; its files are made where they are not yet. That of a temporary log is 0 until it has any.
    pub(super) fn writer_id(&self) -> Result<u64> {
        if !self.is_kept() {
            return Ok(0);
        }
        Ok(self.writer()?.as_ref().map_or(0, |writer| writer.header.writer))
    }

    /// The files of this writer, which are made where they are not yet.
    pub(super) fn writer(&self) -> Result<MutexGuard<'_, Option<Writer>>> {
        let mut writer = self.writer.lock();
        if writer.is_none() {
            let files = self.options.threads.clamp(1, 4) as u32;
            let made = Writer::make(&*self.backend, &self.home, self.partitions, files, self.options.quota)?;
            // Who compacts looks for writers after it has taken its lock; so one of both sees the other.
            if !self.options.compacting && self.is_kept() && self.is_being_compacted()? {
                remove_writer(&*self.backend, self.folder(), made.header.writer)?;
                let hint = "append when that has ended";
                return Err(Error::new(ErrorKind::Unusable, "the log is being compacted").at(self.folder()).hint(hint));
            }
            *writer = Some(made);
        }
        Ok(writer)
    }

    /// Whether somebody holds the lock for compacting; the file of one who was killed goes.
    fn is_being_compacted(&self) -> Result<bool> {
        let path = self.folder().join(LOG_COMPACT_NAME);
        if !self.backend.exists(&path)? {
            return Ok(false);
        }
        let lock = self.backend.lock(&path)?;
        if lock.is_some() {
            self.backend.remove(&path).ok();
        }
        Ok(lock.is_none())
    }

    /// The room of this writer, and its id.
    pub(super) fn space(&self) -> Result<(Arc<Space>, u64)> {
        let writer = self.writer()?;
        match writer.as_ref() {
            Some(writer) => Ok((Arc::clone(&writer.space), writer.header.writer)),
            None => Err(Error::new(ErrorKind::Io, "the log has no files").at(self.folder())),
        }
    }

    /// A data file, and the id of its writer.
    pub(super) fn data_file(&self, writer: u32, file: u32) -> Result<(Arc<dyn BackendFile>, u64)> {
        let missing = || {
            Error::new(ErrorKind::Corrupt, format!("a block is said to be in the data file {file}, which is not there")).at(self.folder())
        };
        match writer.checked_sub(1) {
            None => {
                let own = self.writer.lock();
                let writer = own.as_ref().ok_or_else(missing)?;
                Ok((writer.data.get(file as usize).cloned().ok_or_else(missing)?, writer.header.writer))
            }
            Some(number) => {
                let table = self.table.lock();
                let (other, _) = table.others.get(number as usize).ok_or_else(missing)?;
                Ok((other.data.get(file as usize).cloned().ok_or_else(missing)?, other.header.writer))
            }
        }
    }

    pub(super) fn bucket(&self, partition: u32) -> Result<MutexGuard<'_, Bucket>> {
        self.check_partition(partition)?;
        let bucket = self.buckets.get(partition as usize);
        bucket.map(Mutex::lock).ok_or_else(|| Error::new(ErrorKind::Invalid, "there is no such partition"))
    }

    /// Makes a block of what a bucket has.
    pub(super) fn close(&self, partition: u32, bucket: &mut Bucket) {
        if bucket.is_empty() {
            return;
        }
        if let Some(block) = Block::held(partition, bucket.close()).map(Arc::new) {
            let mut table = self.table.lock();
            if let Some(blocks) = table.blocks.get_mut(partition as usize) {
                blocks.push(Arc::clone(&block));
                table.block_count += 1;
            }
            // Where it is refused, the next commit or flush is.
            table.account().ok();
            drop(table);
            bucket.keep(block);
        }
    }

    /// Says how many bytes a bucket could give back.
    pub(super) fn weigh(&self, partition: u32, bucket: &Bucket) {
        if let Some(weight) = self.weights.get(partition as usize) {
            weight.store(bucket.weight(), Relaxed);
        }
    }
}
