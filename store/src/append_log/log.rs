//! The log of byte entries.

use super::append::Entry;
use super::attempt::{Attempt, Kind};
use super::compact::{LogCompacted, compact};
use super::desk::Desk;
use super::files::{Home, all_writers, index_path, remove_writer};
use super::gather::Gather;
use super::options::LogOptions;
use super::pace::Pace;
use super::pool::Pool;
use super::repair::{self, LogRepaired};
use super::shared::{Shared, Table};
use super::sizes::LogSizes;
use super::stats::LogStats;
use super::tidy::tidy;
use super::verify::LogVerified;
use super::work;
use crate::io::{Backend, FileBackend};
use crate::scratch::{OwnedFolder, sweep};
use crate::{Arena, Buffer, Error, ErrorKind, Ledger, Result};
use parking_lot::{Condvar, Mutex};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;

/// The bytes that a page of the buffer may have: parts of a piece, so that a full page is encoded where it stands.
const PAGES: [usize; 10] = [252 << 10, 84 << 10, 36 << 10, 28 << 10, 12 << 10, 4 << 10, 2 << 10, 1 << 10, 512, LEAST_PAGE];

/// For logs of many partitions and little memory.
const LEAST_PAGE: usize = 256;

/// With a buffer of at least this many bytes, pages share large mappings.
const MANY_PAGES: u64 = 128 << 20;

/// An append log of byte entries, such as blocks of arrays or encoded tables: thousands of partitions, one bounded buffer.
///
/// Entries are appended to partitions from any number of threads and in any order, and are gathered partition by partition in the
/// order of (task, number in the attempt). An append copies into the buffer, or takes a [`Buffer`] as it is; background threads
/// encode and write the largest partitions when the buffer is full. [`AppendLog`](crate::AppendLog) is the same for records of a type.
///
/// *Attempts.* What an attempt of a task appends is visible once it is committed, and replaces what earlier attempts of the task
/// appended, in all partitions; see [`Attempt`]. What is appended by [`Attempt::none`] is visible at once.
///
/// *Temporary or kept.* A temporary log goes with its last clone; what fits in the buffer is never written. One that is kept has a
/// folder, and can be opened again: [`flush`](ByteLog::flush) makes durable what was committed before it, all or nothing. What was
/// not flushed is gone when the process ends, however it ends.
///
/// *Several processes* can have one folder open. Each appends to files of its own; [`refresh`](ByteLog::refresh) shows what others
/// have flushed. Opening shows what is there.
///
/// *A full disk* is an error of [`ErrorKind::DiskFull`]. An append that fails has appended nothing, all that was appended before is
/// kept in memory, and every call tries again, so that one can go on once there is room.
///
/// ```
/// use chunkstore_store::{Attempt, ByteLog, LogOptions};
/// # let folder = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
/// let log = ByteLog::temporary(100, LogOptions::new().memory(32 << 20).folder(folder.path()))?;
/// log.append(7, Attempt::new(1, 0), b"second")?;
/// log.append(7, Attempt::new(0, 0), b"a first attempt that failed")?;
/// log.append(7, Attempt::new(0, 1), b"first")?;
/// log.commit((0, 1))?;
/// log.seal()?;
/// let entries = log.gather(7)?.collect::<Result<Vec<_>, _>>()?;
/// assert_eq!(entries.iter().map(|entry| &**entry).collect::<Vec<_>>(), [&b"first"[..], b"second"]);
/// assert_eq!(log.sizes(7)?.bytes, 11);
/// # Ok::<(), chunkstore_store::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ByteLog(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.work.lock().end();
        self.shared.todo.notify_all();
        self.threads.drain(..).for_each(|thread| {
            thread.join().ok();
        });
    }
}

impl ByteLog {
    /// The least memory of a log.
    pub const LEAST_MEMORY: u64 = 16 << 20;

    /// A log that goes with its last clone.
    ///
    /// # Errors
    /// Unusable where the folder for it cannot be used; Invalid for no partitions or too little memory; out of memory where
    /// the arena has no room for what the threads work on.
    pub fn temporary(partitions: u32, options: LogOptions) -> Result<Self> {
        Self::temporary_on(Arc::new(FileBackend::new()), partitions, options)
    }

    /// As [`ByteLog::temporary`], on another backend.
    ///
    /// # Errors
    /// As for [`ByteLog::temporary`].
    pub fn temporary_on(backend: Arc<dyn Backend>, partitions: u32, options: LogOptions) -> Result<Self> {
        let parent = options.folder.clone().unwrap_or_else(std::env::temp_dir);
        let parent = absolute(&parent)?;
        backend.create_folder(&parent)?;
        backend.check_folder(&parent)?;
        sweep(&*backend, &parent)?;
        let home = Home::Temporary(OwnedFolder::make(&backend, &parent)?);
        Self::with(backend, home, partitions, options)
    }

    /// The log in a folder, which is made where there is none, with the options of [`LogOptions::new`].
    ///
    /// # Errors
    /// As for [`ByteLog::open_with`].
    pub fn open(folder: impl AsRef<Path>, partitions: u32) -> Result<Self> {
        Self::open_with(folder, partitions, LogOptions::new())
    }

    /// The log in a folder, which is made where there is none. What is there is shown.
    ///
    /// # Errors
    /// Unusable where the folder cannot be used; Invalid where the log has another number of partitions, or for too little
    /// memory; Corrupt where an index is damaged.
    pub fn open_with(folder: impl AsRef<Path>, partitions: u32, options: LogOptions) -> Result<Self> {
        Self::open_on(Arc::new(FileBackend::new()), folder, partitions, options)
    }

    /// As [`ByteLog::open_with`], on another backend.
    ///
    /// # Errors
    /// As for [`ByteLog::open_with`].
    pub fn open_on(backend: Arc<dyn Backend>, folder: impl AsRef<Path>, partitions: u32, options: LogOptions) -> Result<Self> {
        let folder = absolute(folder.as_ref())?;
        backend.create_folder(&folder)?;
        tidy(&*backend, &folder)?;
        let log = Self::with(backend, Home::Kept(folder), partitions, options)?;
        log.refresh()?;
        log.shared().reclaim()?;
        Ok(log)
    }

    /// A log that knows of no other writer of its folder.
    pub(super) fn new_on(backend: Arc<dyn Backend>, folder: &Path, partitions: u32, options: LogOptions) -> Result<Self> {
        Self::with(backend, Home::Kept(folder.to_path_buf()), partitions, options)
    }

    fn with(backend: Arc<dyn Backend>, home: Home, partitions: u32, mut options: LogOptions) -> Result<Self> {
        if partitions == 0 {
            return Err(Error::new(ErrorKind::Invalid, "a log of no partitions"));
        }
        if options.memory < Self::LEAST_MEMORY {
            let message = format!("{} bytes of memory are too little for a log", options.memory);
            return Err(Error::new(ErrorKind::Invalid, message).hint(format!("give it at least {} bytes", Self::LEAST_MEMORY)));
        }
        let most = usize::try_from(options.memory / 4 / Desk::bytes()).unwrap_or(usize::MAX).max(1);
        options.threads = options.threads.min(most);
        let read_bytes = (options.memory / 8).clamp(2 << 20, 128 << 20);
        let idle = read_bytes / 2;
        let desks = options.threads as u64 * Desk::bytes() + Desk::bytes_for_heads();
        let limit = options.memory.saturating_sub(desks + read_bytes + idle).max(1 << 20);
        let arena = options.arena.clone().unwrap_or_else(|| match limit >= MANY_PAGES {
            true => Arena::with_slabs(Ledger::new(u64::MAX), idle),
            false => Arena::with_pool(Ledger::new(u64::MAX), idle),
        });
        let fits = limit / 4 / u64::from(partitions);
        let page = PAGES.into_iter().find(|page| *page as u64 <= fits).unwrap_or(LEAST_PAGE);
        let desks = (0..options.threads).map(|_| Desk::new(&arena)).collect::<Result<Vec<_>>>()?;
        let pool = Pool::new(arena.clone(), page, limit);
        let shared = Arc::new(Shared {
            backend,
            home,
            partitions,
            table: Mutex::new(Table::new(partitions, arena.ledger(), pool.charge_anyway(0))?),
            pool,
            pace: Pace::new(options.encoding),
            buckets: (0..partitions).map(|_| Mutex::default()).collect(),
            weights: (0..partitions).map(|_| Default::default()).collect(),
            work: Mutex::default(),
            todo: Condvar::new(),
            ended: Condvar::new(),
            writer: Mutex::new(None),
            flushing: Mutex::new(()),
            broken: false.into(),
            planner: Mutex::new(Desk::for_heads(&arena)?),
            ahead: Mutex::default(),
            read_bytes,
            records: Mutex::default(),
            reading: Arc::default(),
            written_raw: 0.into(),
            written_stored: 0.into(),
            read_stored: 0.into(),
            arena,
            options,
        });
        let mut inner = Inner { shared: Arc::clone(&shared), threads: Vec::new() };
        for (number, desk) in desks.into_iter().enumerate() {
            let shared = Arc::clone(&shared);
            let thread = std::thread::Builder::new().name(format!("append-log-{number}")).spawn(move || work::run(&shared, desk));
            inner.threads.push(thread.map_err(|e| Error::io("no thread can be started for the log", e))?);
        }
        Ok(ByteLog(Arc::new(inner)))
    }

    pub(super) fn shared(&self) -> &Shared {
        &self.0.shared
    }

    /// Appends an entry to a partition, by copying it.
    ///
    /// # Errors
    /// Invalid where there is no such partition, or the log is sealed; out of memory for an entry that is larger than the buffer, which is
    /// about a quarter of the memory of a small log and three quarters of that of a large one; disk full, or the error of a failed write, where there
    /// is no room in memory and none can be made; out of memory. The entry is not appended then.
    pub fn append(&self, partition: u32, attempt: impl Into<Attempt>, bytes: &[u8]) -> Result<()> {
        self.shared().append(Entry { partition, attempt: attempt.into(), records: 1, joins: false }, bytes)
    }

    /// As [`ByteLog::append`], without a copy: the buffer is kept until it is written. For entries of about 64 KiB and more.
    ///
    /// # Errors
    /// As for [`ByteLog::append`].
    pub fn append_buffer(&self, partition: u32, attempt: impl Into<Attempt>, buffer: Buffer) -> Result<()> {
        self.shared().append_shared(Entry { partition, attempt: attempt.into(), records: 1, joins: false }, buffer)
    }

    /// Appends several records, encoded as bytes that can be joined to those before.
    pub(super) fn append_records(&self, partition: u32, attempt: Attempt, records: u32, bytes: &[u8]) -> Result<()> {
        self.shared().append(Entry { partition, attempt, records, joins: true }, bytes)
    }

    /// Appends an entry that a partition has only once, such as its schema; it comes before all others. Whether it was set
    /// now: what is set already stays. Where two processes set it, one of both remains.
    ///
    /// # Errors
    /// As for [`ByteLog::append`].
    pub fn iset(&self, partition: u32, bytes: &[u8]) -> Result<bool> {
        self.set_records(partition, 1, bytes)
    }

    pub(super) fn set_records(&self, partition: u32, records: u32, bytes: &[u8]) -> Result<bool> {
        let shared = self.shared();
        shared.check_partition(partition)?;
        let mut table = shared.table.lock();
        if table.attempts.is_set(partition) || !table.setting.insert(partition) {
            return Ok(false);
        }
        drop(table);
        let attempt = Attempt::set(partition);
        let entry = Entry { partition, attempt, records, joins: false };
        let done = shared.append(entry, bytes).and_then(|()| shared.commit(attempt));
        if done.is_err() {
            shared.abort(attempt);
        }
        shared.table.lock().setting.remove(&partition);
        done.map(|()| true)
    }

    /// Makes visible what an attempt appended, in all partitions at once, in place of what other attempts of its task did. To
    /// commit again what counts already changes nothing. It becomes durable by a [`flush`](ByteLog::flush).
    ///
    /// # Errors
    /// Where the log can no longer be written.
    pub fn commit(&self, attempt: impl Into<Attempt>) -> Result<()> {
        self.shared().commit(attempt.into())
    }

    /// Forgets what an attempt appended that is not committed.
    pub fn abort(&self, attempt: impl Into<Attempt>) {
        self.shared().abort(attempt.into());
    }

    /// Writes what is in memory. In a log that is kept, all that was committed before is durable once this returns, and other
    /// processes see it; a crash before leaves all or nothing of it.
    ///
    /// # Errors
    /// Disk full: everything is as before, and a later flush can succeed. Any other failed write or sync: this handle can append
    /// no more, since nobody knows what is on disk; what was flushed before is safe.
    pub fn flush(&self) -> Result<()> {
        self.shared().flush(false)
    }

    /// Ends the appending by this handle: commits all attempts that are open (of one task, the highest counts), and in a log that is
    /// kept makes all durable, as [`flush`](ByteLog::flush) does. A temporary log writes nothing for it.
    ///
    /// # Errors
    /// As for [`ByteLog::flush`]; then it is not sealed.
    pub fn seal(&self) -> Result<()> {
        self.shared().flush(true)
    }

    /// The entries of a partition that are visible now, in the order of task and number.
    ///
    /// # Errors
    /// Invalid where there is no such partition; the errors of reading heads of blocks. The stream gives Corrupt, naming file
    /// and place, for damage, also where entries are missing; it never gives other bytes than were appended.
    pub fn gather(&self, partition: u32) -> Result<Gather> {
        Gather::new(self, partition)
    }

    /// Says which partitions will be gathered next, in this order: they are read ahead. It replaces what was said before.
    pub fn prefetch(&self, partitions: impl IntoIterator<Item = u32>) {
        self.shared().prefetch(partitions.into_iter());
    }

    /// What a gather of a partition would give, without reading it.
    ///
    /// # Errors
    /// Invalid where there is no such partition.
    pub fn sizes(&self, partition: u32) -> Result<LogSizes> {
        self.shared().check_partition(partition)?;
        Ok(self.shared().table.lock().attempts.totals.get(partition as usize).copied().unwrap_or_default())
    }

    /// As [`ByteLog::sizes`], of all partitions.
    pub fn all_sizes(&self) -> Vec<LogSizes> {
        self.shared().table.lock().attempts.totals.clone()
    }

    /// What the attempt of a task that counts appended, in all partitions together, but for what was deleted since; none where no attempt of it is
    /// committed. So who goes on with a log that was kept knows what need not be done again.
    ///
    /// # Errors
    /// Corrupt where what is known of the commit is damaged.
    ///
    /// ```
    /// use chunkstore_store::{ByteLog, LogOptions, LogSizes};
    /// # let folder = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
    /// let log = ByteLog::temporary(2, LogOptions::new().memory(32 << 20).folder(folder.path()))?;
    /// log.append(0, 7, b"one")?;
    /// log.append(1, 7, b"two")?;
    /// assert_eq!(log.committed(7)?, None);
    /// log.commit(7)?;
    /// assert_eq!(log.committed(7)?, Some(LogSizes { records: 2, bytes: 6 }));
    /// assert_eq!(log.committed_tasks(), [7]);
    /// # Ok::<(), chunkstore_store::Error>(())
    /// ```
    pub fn committed(&self, task: u64) -> Result<Option<LogSizes>> {
        self.shared().table.lock().attempts.of_task(task)
    }

    /// The tasks of which an attempt is committed, in order.
    pub fn committed_tasks(&self) -> Vec<u64> {
        self.shared().table.lock().attempts.tasks()
    }

    /// Deletes what is visible in a partition; what is open stays, and becomes visible when it is committed. In a temporary log
    /// its room on disk is used again.
    ///
    /// # Errors
    /// Invalid where there is no such partition; where the log can no longer be written.
    pub fn delete(&self, partition: u32) -> Result<()> {
        self.shared().delete(partition)
    }

    /// Deletes all that is visible or open; the log goes on, empty.
    ///
    /// # Errors
    /// As for [`ByteLog::delete`].
    pub fn clear(&self) -> Result<()> {
        self.shared().clear()
    }

    /// Removes the log in a folder: all files of it, and the folder where nothing else is in it. Invalid while it is open.
    ///
    /// # Errors
    /// Unusable while some process has it open for appending; those of the operating system.
    pub fn remove(folder: impl AsRef<Path>) -> Result<()> {
        let (backend, folder) = (FileBackend::new(), absolute(folder.as_ref())?);
        let all = all_writers(&backend, &folder)?;
        let mut locks = Vec::new();
        for id in all.keys() {
            let path = index_path(&folder, *id);
            let busy = || Error::new(ErrorKind::Unusable, "the log is open").at(&path).hint("close it in all processes first");
            locks.push(backend.lock(&path)?.ok_or_else(busy)?);
        }
        for id in all.into_keys() {
            remove_writer(&backend, &folder, id)?;
        }
        super::kind::remove(&backend, &folder);
        match std::fs::remove_dir(&folder) {
            Err(e) if e.kind() != std::io::ErrorKind::DirectoryNotEmpty => Err(Error::io("the folder cannot be removed", e).at(folder)),
            _ => Ok(()),
        }
    }

    /// Writes what counts of a log anew, and removes the files that it was in: what was replaced or deleted gives its room back. It can be
    /// killed at any point, and loses nothing. Logs that are open for reading go on to show what they showed, and see the new files when
    /// they are [refreshed](ByteLog::refresh). It takes the memory of the options, and as much room as what counts until it is done.
    ///
    /// Of a writer of which nothing counts any more, the next opening removes the data files without this.
    ///
    /// # Errors
    /// Unusable while some process has it open for appending; Corrupt where something is damaged, and disk full: the log is as it was.
    pub fn compact(folder: impl AsRef<Path>, options: LogOptions) -> Result<LogCompacted> {
        Self::compact_on(Arc::new(FileBackend::new()), folder, options)
    }

    /// As [`ByteLog::compact`], on another backend.
    ///
    /// # Errors
    /// As for [`ByteLog::compact`].
    pub fn compact_on(backend: Arc<dyn Backend>, folder: impl AsRef<Path>, options: LogOptions) -> Result<LogCompacted> {
        compact(&backend, &absolute(folder.as_ref())?, options)
    }

    /// Makes a log that cannot be opened, or of which an index is damaged, usable again: indexes come back from their second copies, or are
    /// cut to their sound beginnings; files of which nothing tells any more are set aside, with `.aside` behind their names.
    ///
    /// # Errors
    /// Unusable while some process has it open for appending; those of the operating system.
    pub fn repair(folder: impl AsRef<Path>) -> Result<LogRepaired> {
        Self::repair_on(&FileBackend::new(), folder)
    }

    /// As [`ByteLog::repair`], on another backend.
    ///
    /// # Errors
    /// As for [`ByteLog::repair`].
    pub fn repair_on(backend: &dyn Backend, folder: impl AsRef<Path>) -> Result<LogRepaired> {
        repair::repair(backend, &absolute(folder.as_ref())?)
    }

    /// Shows what other processes have flushed since this was opened or refreshed. Whether there was anything.
    ///
    /// # Errors
    /// As for [`ByteLog::open_with`].
    pub fn refresh(&self) -> Result<bool> {
        self.shared().refresh()
    }

    /// Reads all blocks that are on disk, and the indexes of a log that is kept, and names what is damaged.
    ///
    /// # Errors
    /// Out of memory; those of reading that are no damage.
    pub fn verify(&self) -> Result<LogVerified> {
        super::verify::verify(self.shared())
    }

    /// The number of partitions.
    pub fn partitions(&self) -> u32 {
        self.shared().partitions
    }

    /// The folder with the files.
    pub fn folder(&self) -> &Path {
        self.shared().folder()
    }

    /// So many bytes fit in one entry, whatever else is in the buffer: it is within a page of what the buffer can take at the most.
    ///
    /// ```
    /// use chunkstore_store::{ByteLog, LogOptions};
    /// let log = ByteLog::temporary(1, LogOptions::new().memory(ByteLog::LEAST_MEMORY))?;
    /// assert!(log.largest_entry() < ByteLog::LEAST_MEMORY);
    /// # Ok::<(), chunkstore_store::Error>(())
    /// ```
    pub fn largest_entry(&self) -> u64 {
        let pool = &self.shared().pool;
        let page = pool.page() as u64;
        (pool.limit() / page).saturating_sub(1) * page
    }

    /// What it holds, and what it did.
    pub fn stats(&self) -> LogStats {
        let shared = self.shared();
        let (held, held_peak) = shared.pool.used();
        LogStats {
            held,
            held_peak,
            written: shared.written_raw.load(Relaxed),
            written_stored: shared.written_stored.load(Relaxed),
            read_stored: shared.read_stored.load(Relaxed),
            blocks: shared.table.lock().blocks.iter().map(|blocks| blocks.len() as u64).sum(),
        }
    }

    /// The attempts that have appended and are neither committed nor aborted.
    pub fn open_attempts(&self) -> Vec<Attempt> {
        let table = self.shared().table.lock();
        let mut open: Vec<_> = table.open.keys().copied().filter(|attempt| attempt.kind == Kind::Task).collect();
        open.sort_unstable_by_key(|attempt| (attempt.task, attempt.attempt));
        open
    }

    /// Gives memory that waits to be used again back to the arena, for instance between appending and reading.
    pub fn trim(&self) {
        self.shared().pool.trim();
    }
}

fn absolute(folder: &Path) -> Result<std::path::PathBuf> {
    std::path::absolute(folder).map_err(|e| Error::io("the folder has no absolute path", e).at(folder))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::Encoding;
    use crate::io::{Fault, FaultyBackend, MemoryBackend};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    const LEAST: u64 = ByteLog::LEAST_MEMORY;

    fn bytes(seed: u64, len: usize) -> Vec<u8> {
        let noise = |i: usize| (seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(i as u64)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40;
        (0..len).map(|i| if seed.is_multiple_of(2) { noise(i) as u8 } else { (noise(i) % 3) as u8 }).collect()
    }

    fn all(log: &ByteLog, partition: u32) -> Vec<Vec<u8>> {
        log.gather(partition).unwrap().map(|entry| entry.unwrap().to_vec()).collect()
    }

    #[test]
    fn what_is_appended_is_gathered_in_order() {
        let folder = crate::testing::folder();
        let log = ByteLog::temporary(3, LogOptions::new().memory(LEAST).folder(folder.path())).unwrap();
        // 40 MiB through a buffer of a few.
        let mut want = vec![Vec::new(); 3];
        for i in 0..640u64 {
            let entry = bytes(i, 64 << 10);
            log.append((i % 3) as u32, i, &entry).unwrap();
            want[(i % 3) as usize].push(entry);
        }
        log.append(1, (), b"").unwrap();
        want[1].push(Vec::new());
        let large = bytes(7, 9 << 19);
        let refused = log.append(2, (), &bytes(7, 12 << 20)).unwrap_err();
        assert!(refused.kind() == ErrorKind::OutOfMemory && refused.to_string().contains("12582912 bytes does not fit"), "{refused}");
        log.append(2, (), &large).unwrap();
        want[2].push(large);
        assert_eq!(all(&log, 0).len(), 0, "nothing is committed");
        log.seal().unwrap();
        log.prefetch(0..3);
        for (partition, want) in want.iter().enumerate() {
            let got = all(&log, partition as u32);
            assert_eq!(got.len(), want.len());
            assert!(got == *want, "{partition}");
            let sizes = LogSizes { records: want.len() as u64, bytes: want.iter().map(|entry| entry.len() as u64).sum() };
            assert_eq!(log.sizes(partition as u32).unwrap(), sizes);
        }
        assert!(log.stats().written > 30 << 20);
        assert!(log.verify().unwrap().is_sound());
        assert_eq!(log.append(0, (), b"x").unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(log.append(3, (), b"x").unwrap_err().kind(), ErrorKind::Invalid);
        drop(log);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_fits_is_never_written() {
        let folder = crate::testing::folder();
        let log = ByteLog::temporary(100, LogOptions::new().memory(LEAST).folder(folder.path())).unwrap();
        for i in 0..1000u32 {
            log.append(i % 100, (), &i.to_le_bytes()).unwrap();
        }
        assert_eq!(all(&log, 7).len(), 10);
        log.seal().unwrap();
        assert_eq!(all(&log, 99).len(), 10);
        assert_eq!(log.stats().written, 0);
    }

    #[test]
    fn attempts_replace_each_other_whatever_the_order() {
        let folder = crate::testing::folder();
        let log = ByteLog::temporary(2, LogOptions::new().memory(LEAST).folder(folder.path())).unwrap();
        let gather = || (0..2).map(|p| all(&log, p).concat()).collect::<Vec<_>>();
        log.append(0, (5, 0), b"a").unwrap();
        log.append(0, (4, 1), b"b").unwrap();
        log.append(1, (4, 1), b"b").unwrap();
        log.commit((5, 0)).unwrap();
        assert_eq!(gather(), [b"a".to_vec(), vec![]]);
        log.commit((4, 1)).unwrap();
        assert_eq!(gather(), [b"ba".to_vec(), b"b".to_vec()]);
        // A lower attempt that comes late does not count, nor does one that is aborted.
        log.append(0, (4, 0), b"c").unwrap();
        log.commit((4, 0)).unwrap();
        log.append(0, (4, 9), b"d").unwrap();
        assert_eq!(log.open_attempts(), [Attempt::new(4, 9)]);
        log.abort((4, 9));
        assert_eq!(gather(), [b"ba".to_vec(), b"b".to_vec()]);
        // The same attempt again replaces itself; to commit it twice changes nothing.
        log.append(1, (4, 1), b"e").unwrap();
        log.commit((4, 1)).unwrap();
        log.commit((4, 1)).unwrap();
        assert_eq!(gather(), [b"a".to_vec(), b"e".to_vec()]);
        // One without entries replaces, too.
        log.commit((5, 1)).unwrap();
        log.append(0, (), b"f").unwrap();
        assert_eq!(gather(), [b"f".to_vec(), b"e".to_vec()]);
        // A gather shows what was there when it was made.
        let before = log.gather(0).unwrap();
        log.append(0, (6, 0), b"g").unwrap();
        log.delete(0).unwrap();
        assert_eq!(before.map(|entry| entry.unwrap().to_vec()).collect::<Vec<_>>(), [b"f"]);
        assert_eq!(gather(), [vec![], b"e".to_vec()]);
        log.commit(6).unwrap();
        assert_eq!(gather(), [b"g".to_vec(), b"e".to_vec()]);
        assert_eq!(log.all_sizes().iter().map(|sizes| sizes.bytes).collect::<Vec<_>>(), [1, 1]);
        assert_eq!(log.committed_tasks(), [4, 5, 6]);
        let of = |task| log.committed(task).unwrap().map(|sizes| (sizes.records, sizes.bytes));
        assert_eq!([of(3), of(4), of(5), of(6)], [None, Some((1, 1)), Some((0, 0)), Some((1, 1))]);
        log.clear().unwrap();
        assert_eq!(of(4), Some((0, 0)), "what was deleted is not counted");
        assert!(gather().iter().all(Vec::is_empty));
    }

    #[test]
    fn tasks_that_run_at_the_same_time_are_told_apart() {
        let folder = crate::testing::folder();
        let log = ByteLog::temporary(1, LogOptions::new().memory(LEAST).folder(folder.path())).unwrap();
        std::thread::scope(|scope| {
            for task in 0..4u64 {
                let log = &log;
                scope.spawn(move || {
                    for i in 0..60u64 {
                        log.append(0, task, &bytes(task * 1000 + i, 70_000)).unwrap();
                    }
                    log.commit(task).unwrap();
                });
            }
        });
        let want: Vec<_> = (0..4u64).flat_map(|task| (0..60).map(move |i| bytes(task * 1000 + i, 70_000))).collect();
        assert!(log.stats().blocks > 3 && log.stats().written > 0);
        assert!(all(&log, 0) == want);
        assert!(log.verify().unwrap().is_sound());
    }

    #[test]
    fn a_full_disk_loses_nothing() {
        let faulty = FaultyBackend::new(Arc::new(MemoryBackend::new(1 << 30)));
        faulty.create_folder(Path::new("/m")).unwrap();
        for kept in [false, true] {
            let backend: Arc<dyn Backend> = Arc::new(faulty.clone());
            let options = LogOptions::new().memory(LEAST).folder("/m");
            let log = match kept {
                true => ByteLog::open_on(backend, "/m/log", 2, options).unwrap(),
                false => ByteLog::temporary_on(backend, 2, options).unwrap(),
            };
            let (mut want, mut failed) = (Vec::new(), 0);
            log.append(0, (), b"x").unwrap();
            want.push(b"x".to_vec());
            faulty.fail(Fault::DiskFull, 0, u64::MAX / 2);
            for i in 0..160 {
                let entry = bytes(i * 2, 100_000);
                if i == 100 {
                    assert_eq!(log.flush().unwrap_err().kind(), ErrorKind::DiskFull);
                    faulty.heal();
                }
                match log.append(0, (), &entry) {
                    Ok(()) => want.push(entry),
                    Err(e) => {
                        assert_eq!(e.kind(), ErrorKind::DiskFull, "{e}");
                        failed += 1;
                    }
                }
            }
            assert!(failed > 10 && want.len() > 60);
            log.seal().unwrap();
            assert!(all(&log, 0) == want);
        }
    }

    #[test]
    fn deleting_makes_room_within_the_quota() {
        let folder = crate::testing::folder();
        let options = LogOptions::new().memory(LEAST).folder(folder.path()).quota(Some(16 << 20)).encoding(Some(Encoding::Raw));
        let log = ByteLog::temporary(4, options).unwrap();
        for round in 0..6u64 {
            for i in 0..100u64 {
                log.append((round % 4) as u32, (), &bytes(2 * i, 100_000)).unwrap();
            }
            log.flush().unwrap();
            log.delete((round % 4) as u32).unwrap();
        }
        let error = (0..1000u64).find_map(|i| log.append(0, (), &bytes(2 * i, 100_000)).err()).unwrap();
        assert!(error.kind() == ErrorKind::DiskFull && error.to_string().contains("quota"), "{error}");
        let held = log.sizes(0).unwrap();
        log.clear().unwrap();
        log.append(0, (), b"again").unwrap();
        assert!(held.bytes > 16 << 20);
        assert_eq!(all(&log, 0), [b"again"]);
    }

    fn small_log(backend: &MemoryBackend) -> Vec<Vec<Vec<u8>>> {
        let log = ByteLog::open_on(Arc::new(backend.clone()), "/m", 2, LogOptions::new().memory(LEAST)).unwrap();
        log.append(0, 1, b"one entry").unwrap();
        log.append(0, (), &[7; 300]).unwrap();
        log.append(1, (2, 3), &bytes(2, 99)).unwrap();
        log.commit(1).unwrap();
        log.flush().unwrap();
        log.append(1, (), b"after the first flush").unwrap();
        log.delete(0).unwrap();
        log.append(0, (), b"after it was deleted").unwrap();
        log.seal().unwrap();
        (0..2).map(|p| all(&log, p)).collect()
    }

    #[test]
    fn every_flipped_bit_is_found_and_no_wrong_byte_given() {
        let backend = MemoryBackend::new(1 << 30);
        backend.create_folder(Path::new("/m")).unwrap();
        let want = small_log(&backend);
        let arc: Arc<dyn Backend> = Arc::new(backend.clone());
        let open = || ByteLog::open_on(Arc::clone(&arc), "/m", 2, LogOptions::new().memory(LEAST).threads(1));
        let mut flips = 0;
        for path in backend.list(Path::new("/m")).unwrap() {
            let file = backend.open(&path, crate::io::Open::Existing).unwrap();
            for at in 0..file.len().unwrap() {
                // Padding is all alike.
                if at > 2048 && !at.is_multiple_of(61) {
                    continue;
                }
                let mut byte = [0];
                file.read_at(at, &mut byte).unwrap();
                file.write_at(at, &[byte[0] ^ 1 << (at % 8)]).unwrap();
                let mut found = false;
                match open() {
                    Err(e) => {
                        assert!(matches!(e.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported), "{e}");
                        assert_eq!(e.path(), Some(&*path));
                        found = true;
                    }
                    Ok(log) => {
                        for (p, want) in want.iter().enumerate() {
                            match log.gather(p as u32).and_then(|entries| entries.map(|e| Ok(e?.to_vec())).collect::<Result<Vec<_>>>()) {
                                Ok(got) => assert_eq!(got, *want, "{} {at}", path.display()),
                                Err(e) => {
                                    assert!(matches!(e.kind(), ErrorKind::Corrupt | ErrorKind::Unsupported), "{e}");
                                    found = true;
                                }
                            }
                        }
                        let damage = log.verify().unwrap().damage;
                        assert!(damage.iter().all(|e| e.path() == Some(&*path)));
                        found |= !damage.is_empty();
                    }
                }
                assert!(found, "{} {at}", path.display());
                file.write_at(at, &byte).unwrap();
                flips += 1;
            }
        }
        assert!(flips > 1000);
        let log = open().unwrap();
        assert!(log.verify().unwrap().is_sound() && (0..2).all(|p| all(&log, p) == want[p as usize]));
    }

    /// One operation of the model test.
    #[derive(Debug, Clone)]
    enum Op {
        Append(u32, Option<(u64, u32)>, usize, bool),
        Commit(u64, u32),
        Abort(u64, u32),
        Delete(u32),
        Flush,
        Gather(u32),
        Reopen,
        Fail(Fault, u64, u64),
    }

    fn ops() -> impl Strategy<Value = Vec<Op>> {
        let task = || (0u64..4, 0u32..3);
        let len = prop_oneof![4 => 0usize..200, 2 => 50_000usize..300_000, 1 => 1_000_000usize..2_500_000];
        let fault = prop::sample::select(vec![Fault::Io, Fault::DiskFull, Fault::Torn]);
        let op = prop_oneof![
            20 => (0u32..3, prop::option::of(task()), len, any::<bool>()).prop_map(|(p, who, len, own)| Op::Append(p, who, len, own)),
            5 => task().prop_map(|(t, a)| Op::Commit(t, a)),
            1 => task().prop_map(|(t, a)| Op::Abort(t, a)),
            1 => (0u32..3).prop_map(Op::Delete),
            2 => Just(Op::Flush),
            4 => (0u32..3).prop_map(Op::Gather),
            1 => Just(Op::Reopen),
            1 => (fault, 0u64..12, 1u64..4).prop_map(|(f, skip, n)| Op::Fail(f, skip, n)),
        ];
        proptest::collection::vec(op, 1..70)
    }

    type Parts = BTreeMap<u32, Vec<Vec<u8>>>;

    /// What is visible: entries of tasks by task, then those of nobody.
    #[derive(Debug, Clone, Default)]
    struct Model {
        tasks: BTreeMap<u64, (u32, Parts)>,
        loose: Parts,
    }

    impl Model {
        fn of(&self, p: u32) -> Vec<Vec<u8>> {
            let tasks = self.tasks.values().filter_map(|(_, parts)| parts.get(&p));
            tasks.chain(self.loose.get(&p)).flatten().cloned().collect()
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_is_a_map_of_what_was_committed(ops in ops(), seed in any::<u64>()) {
            let memory = MemoryBackend::new(1 << 30);
            memory.create_folder(Path::new("/m")).unwrap();
            let backend = FaultyBackend::new(Arc::new(memory.clone()));
            let arc: Arc<dyn Backend> = Arc::new(backend.clone());
            let open = || ByteLog::open_on(Arc::clone(&arc), "/m", 3, LogOptions::new().memory(LEAST).threads(1)).unwrap();
            let mut log = open();
            let mut model = Model::default();
            let mut going: BTreeMap<(u64, u32), Parts> = BTreeMap::new();
            // What the folder may hold: what the last flush made durable, or what a flush that failed may have.
            let mut durable = vec![Model::default()];
            for (i, op) in ops.into_iter().chain([Op::Flush, Op::Reopen]).enumerate() {
                let mut reopen = false;
                match op {
                    Op::Append(p, who, len, own) => {
                        let entry = bytes(seed.wrapping_add(i as u64), len);
                        let attempt = who.map_or(Attempt::none(), Attempt::from);
                        let done = match own {
                            true => log.append_buffer(p, attempt, Buffer::from_vec(Arc::new(entry.clone()))),
                            false => log.append(p, attempt, &entry),
                        };
                        if done.is_ok() {
                            let parts = match who {
                                Some(who) => going.entry(who).or_default(),
                                None => &mut model.loose,
                            };
                            parts.entry(p).or_default().push(entry);
                        }
                    }
                    Op::Commit(t, a) => {
                        let open = going.contains_key(&(t, a));
                        if log.commit((t, a)).is_ok() {
                            let parts = going.remove(&(t, a)).unwrap_or_default();
                            let before = model.tasks.get(&t).map(|task| task.0);
                            if before.is_none_or(|before| before < a || (before == a && open)) {
                                model.tasks.insert(t, (a, parts));
                            }
                        }
                    }
                    Op::Abort(t, a) => {
                        log.abort((t, a));
                        going.remove(&(t, a));
                    }
                    Op::Delete(p) => {
                        if log.delete(p).is_ok() {
                            model.loose.remove(&p);
                            model.tasks.values_mut().for_each(|(_, parts)| { parts.remove(&p); });
                        }
                    }
                    Op::Flush => match log.flush() {
                        Ok(()) => durable = vec![model.clone()],
                        Err(e) if e.kind() == ErrorKind::DiskFull => {}
                        Err(_) => {
                            durable.push(model.clone());
                            reopen = true;
                        }
                    },
                    Op::Gather(p) => {
                        let got = log.gather(p).and_then(|entries| entries.map(|e| Ok(e?.to_vec())).collect::<Result<Vec<_>>>());
                        if let Ok(got) = got {
                            prop_assert!(got == model.of(p));
                            let bytes = got.iter().map(|entry| entry.len() as u64).sum();
                            prop_assert_eq!(log.sizes(p).unwrap(), LogSizes { records: got.len() as u64, bytes });
                        }
                    }
                    Op::Reopen => reopen = true,
                    Op::Fail(fault, skip, count) => backend.fail(fault, skip, count),
                }
                if reopen {
                    backend.heal();
                    drop(log);
                    log = open();
                    let got: Vec<_> = (0..3).map(|p| all(&log, p)).collect();
                    let matches = |model: &&Model| (0..3).all(|p| got[p as usize] == model.of(p));
                    let Some(found) = durable.iter().find(matches).cloned() else {
                        return Err(TestCaseError::fail("what was durable is not there"));
                    };
                    prop_assert!(log.verify().unwrap().is_sound());
                    model = found;
                    durable = vec![model.clone()];
                    going.clear();
                }
            }
        }
    }
}
