//! The log of records of one type.

use super::attempt::Attempt;
use super::compact::LogCompacted;
use super::gather::{Gather, LogEntry};
use super::log::ByteLog;
use super::options::LogOptions;
use super::sizes::LogSizes;
use super::stats::LogStats;
use super::verify::LogVerified;
use crate::{Error, ErrorKind, Result, serial};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::borrow::Borrow;
use std::cell::RefCell;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// The memory for encoding that a thread keeps.
const KEPT_BYTES: usize = 256 << 10;

thread_local! {
    static ENCODED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// An append log of records: as [`ByteLog`], which it is over, of anything that serde can encode.
///
/// The first append says of which type the records are. A log that is opened as another type is refused where numbers, truth values or characters in the
/// names of the two differ (`u64` and `i64`, say); the names of users' types tell nothing of what is in them. The records of a log from before this
/// was written down, and entries that were appended as bytes, are taken as they are.
///
/// ```
/// use chunkstore_store::AppendLog;
/// # let folder = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
/// # let path = folder.path().join("shuffle");
/// let log = AppendLog::<(String, u64)>::open(&path, 1024)?;
/// for task in 0..3u64 {
///     log.append(7, task, &[("one".to_string(), task)])?;
///     log.commit(task)?;
/// }
/// log.seal()?;
/// assert_eq!(log.sizes(7)?.records, 3);
///
/// let again = AppendLog::<(String, u64)>::open(&path, 1024)?;
/// for (task, record) in again.gather(7)?.enumerate() {
///     assert_eq!(record?, ("one".to_string(), task as u64));
/// }
/// # Ok::<(), chunkstore_store::Error>(())
/// ```
#[derive(Debug)]
pub struct AppendLog<T> {
    log: ByteLog,
    /// Whether the type was compared, and written down.
    declared: Arc<AtomicBool>,
    record: PhantomData<fn(T) -> T>,
}

impl<T> Clone for AppendLog<T> {
    fn clone(&self) -> Self {
        AppendLog { log: self.log.clone(), declared: Arc::clone(&self.declared), record: PhantomData }
    }
}

impl<T: Serialize + DeserializeOwned> AppendLog<T> {
    /// As [`ByteLog::open`].
    ///
    /// # Errors
    /// As for [`AppendLog::open_with`].
    pub fn open(folder: impl AsRef<Path>, partitions: u32) -> Result<Self> {
        Self::open_with(folder, partitions, LogOptions::new())
    }

    /// As [`ByteLog::open_with`].
    ///
    /// # Errors
    /// As for [`ByteLog::open_with`]; Invalid where the log has records of another type.
    pub fn open_with(folder: impl AsRef<Path>, partitions: u32, options: LogOptions) -> Result<Self> {
        let log = ByteLog::open_with(folder, partitions, options).map(Self::over)?;
        log.check()?;
        Ok(log)
    }

    /// As [`ByteLog::temporary`].
    ///
    /// # Errors
    /// As for [`ByteLog::temporary`].
    pub fn temporary(partitions: u32, options: LogOptions) -> Result<Self> {
        ByteLog::temporary(partitions, options).map(Self::over)
    }

    /// A log whose entries are records of this type. That they are not of another is looked at when it is used.
    pub fn over(log: ByteLog) -> Self {
        AppendLog { log, declared: Arc::default(), record: PhantomData }
    }

    /// Compares the type of the records, where it is known.
    fn check(&self) -> Result<()> {
        if !self.declared.load(Relaxed) {
            self.log.shared().check_records(std::any::type_name::<T>())?;
        }
        Ok(())
    }

    /// As [`AppendLog::check`], and says of which type they are where that is not known.
    fn declare(&self) -> Result<()> {
        if !self.declared.load(Relaxed) {
            self.log.shared().declare_records(std::any::type_name::<T>())?;
            self.declared.store(true, Relaxed);
        }
        Ok(())
    }

    /// As [`ByteLog::compact`].
    ///
    /// # Errors
    /// As for [`ByteLog::compact`].
    pub fn compact(folder: impl AsRef<Path>, options: LogOptions) -> Result<LogCompacted> {
        ByteLog::compact(folder, options)
    }

    /// The log of bytes behind this: for prefetching, statistics, verifying and more.
    pub fn bytes(&self) -> &ByteLog {
        &self.log
    }

    /// Appends records to a partition, all or none.
    ///
    /// # Errors
    /// As for [`ByteLog::append`]; Invalid where a record cannot be encoded, or the log has records of another type.
    pub fn append<R: Borrow<T>>(&self, partition: u32, attempt: impl Into<Attempt>, records: impl IntoIterator<Item = R>) -> Result<()> {
        let attempt = attempt.into();
        self.declare()?;
        encoded(records, |count, bytes| match count {
            0 => Ok(()),
            _ => self.log.append_records(partition, attempt, count, bytes),
        })
    }

    /// Appends records that a partition has only once; see [`ByteLog::iset`].
    ///
    /// # Errors
    /// As for [`AppendLog::append`].
    pub fn iset<R: Borrow<T>>(&self, partition: u32, records: impl IntoIterator<Item = R>) -> Result<bool> {
        self.declare()?;
        encoded(records, |count, bytes| self.log.set_records(partition, count, bytes))
    }

    /// The records of a partition, one by one, in the order of task and append.
    ///
    /// # Errors
    /// As for [`ByteLog::gather`]; Invalid where the log has records of another type.
    pub fn gather(&self, partition: u32) -> Result<LogRecords<T>> {
        self.check()?;
        Ok(LogRecords { gather: self.log.gather(partition)?, entry: None, record: PhantomData })
    }

    /// As [`ByteLog::commit`].
    ///
    /// # Errors
    /// As for [`ByteLog::commit`].
    pub fn commit(&self, attempt: impl Into<Attempt>) -> Result<()> {
        self.log.commit(attempt)
    }

    /// As [`ByteLog::abort`].
    pub fn abort(&self, attempt: impl Into<Attempt>) {
        self.log.abort(attempt);
    }

    /// As [`ByteLog::flush`].
    ///
    /// # Errors
    /// As for [`ByteLog::flush`].
    pub fn flush(&self) -> Result<()> {
        self.log.flush()
    }

    /// As [`ByteLog::seal`].
    ///
    /// # Errors
    /// As for [`ByteLog::seal`].
    pub fn seal(&self) -> Result<()> {
        self.log.seal()
    }

    /// As [`ByteLog::delete`].
    ///
    /// # Errors
    /// As for [`ByteLog::delete`].
    pub fn delete(&self, partition: u32) -> Result<()> {
        self.log.delete(partition)
    }

    /// As [`ByteLog::clear`].
    ///
    /// # Errors
    /// As for [`ByteLog::clear`].
    pub fn clear(&self) -> Result<()> {
        self.log.clear()
    }

    /// As [`ByteLog::sizes`].
    ///
    /// # Errors
    /// As for [`ByteLog::sizes`].
    pub fn sizes(&self, partition: u32) -> Result<LogSizes> {
        self.log.sizes(partition)
    }

    /// As [`ByteLog::prefetch`].
    pub fn prefetch(&self, partitions: impl IntoIterator<Item = u32>) {
        self.log.prefetch(partitions);
    }

    /// As [`ByteLog::refresh`].
    ///
    /// # Errors
    /// As for [`ByteLog::refresh`].
    pub fn refresh(&self) -> Result<bool> {
        self.log.refresh()
    }

    /// As [`ByteLog::verify`], with the file that names the type of the records.
    ///
    /// # Errors
    /// As for [`ByteLog::verify`].
    pub fn verify(&self) -> Result<LogVerified> {
        self.log.verify()
    }

    /// As [`ByteLog::stats`].
    pub fn stats(&self) -> LogStats {
        self.log.stats()
    }

    /// As [`ByteLog::remove`].
    ///
    /// # Errors
    /// As for [`ByteLog::remove`].
    pub fn remove(folder: impl AsRef<Path>) -> Result<()> {
        ByteLog::remove(folder)
    }
}

/// Encodes records, and uses their number and bytes.
fn encoded<T: Serialize, R: Borrow<T>, O>(records: impl IntoIterator<Item = R>, f: impl FnOnce(u32, &[u8]) -> Result<O>) -> Result<O> {
    // The memory is taken out, since encoding and iterating are the user's code, which may append to a log itself.
    let mut bytes = ENCODED.with(RefCell::take);
    bytes.clear();
    let mut count = 0u32;
    for record in records {
        serial::encode(record.borrow(), &mut bytes)?;
        let many = || Error::new(ErrorKind::Invalid, "more than 2^32 records in one append").hint("append them in several parts");
        count = count.checked_add(1).ok_or_else(many)?;
    }
    let result = f(count, &bytes);
    if bytes.capacity() <= KEPT_BYTES {
        ENCODED.with(|kept| kept.replace(bytes));
    }
    result
}

/// The records of a partition. After an error there are none.
#[derive(Debug)]
pub struct LogRecords<T> {
    gather: Gather,
    /// An entry, how much of it is decoded, and the records that are left.
    entry: Option<(LogEntry, usize, u32)>,
    record: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> LogRecords<T> {
    fn record(&mut self) -> Result<Option<T>> {
        loop {
            if let Some((entry, at, left)) = &mut self.entry {
                let rest = entry.get(*at..).unwrap_or_default();
                if *left > 0 {
                    let (record, n) = serial::decode(rest, usize::MAX)?;
                    *at += n;
                    *left -= 1;
                    return Ok(Some(record));
                }
                if !rest.is_empty() {
                    let message = format!("{} bytes are left over after the last record of an entry", rest.len());
                    return Err(Error::new(ErrorKind::Corrupt, message).hint("open the log with the type that it was written with"));
                }
            }
            self.entry = match self.gather.next().transpose()? {
                Some(entry) => {
                    let records = entry.records();
                    Some((entry, 0, records))
                }
                None => return Ok(None),
            };
        }
    }
}

impl<T: DeserializeOwned> Iterator for LogRecords<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        let record = self.record();
        if record.is_err() {
            self.entry = None;
            self.gather.stop();
        }
        record.transpose()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn records_are_not_read_as_other_numbers() {
        let folder = crate::testing::folder();
        let path = folder.path().join("log");
        let options = || LogOptions::new().memory(ByteLog::LEAST_MEMORY);
        // Open before the type is known; it is seen when it is used.
        let early = AppendLog::<i64>::over(ByteLog::open_with(&path, 4, options()).unwrap());
        let log = AppendLog::<u64>::open_with(&path, 4, options()).unwrap();
        log.append(1, (), [u64::MAX, 1]).unwrap();
        log.flush().unwrap();
        early.refresh().unwrap();
        for error in [
            AppendLog::<i64>::open_with(&path, 4, options()).unwrap_err(),
            early.gather(1).unwrap_err(),
            early.append(1, (), [7]).unwrap_err(),
            early.iset(1, [7]).unwrap_err(),
            AppendLog::<(u64, f32)>::open(&path, 4).unwrap_err(),
        ] {
            assert_eq!(error.kind(), ErrorKind::Invalid);
            assert!(error.to_string().contains("written as u64"), "{error}");
        }
        let again = AppendLog::<u64>::open_with(&path, 4, options()).unwrap();
        assert_eq!(again.gather(1).unwrap().collect::<Result<Vec<_>>>().unwrap(), [u64::MAX, 1]);
        // Damage to the name is no other type, and is named.
        let name = path.join(crate::format::LOG_RECORDS_NAME);
        let sound = std::fs::read(&name).unwrap();
        let mut bytes = sound.clone();
        *bytes.last_mut().unwrap() ^= 1;
        std::fs::write(&name, &bytes).unwrap();
        let error = AppendLog::<u64>::open_with(&path, 4, options()).unwrap_err();
        assert_eq!((error.kind(), error.path()), (ErrorKind::Corrupt, Some(&*name)));
        assert_eq!(again.verify().unwrap().damage.len(), 1);
        // A log from before the type was written down.
        std::fs::remove_file(&name).unwrap();
        assert_eq!(AppendLog::<u64>::open_with(&path, 4, options()).unwrap().gather(1).unwrap().count(), 2);
        drop((early, log, again));
        std::fs::write(&name, sound).unwrap();
        AppendLog::<u64>::remove(&path).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_temporary_log_has_one_type_too() {
        let folder = crate::testing::folder();
        let bytes = ByteLog::temporary(2, LogOptions::new().memory(ByteLog::LEAST_MEMORY).folder(folder.path())).unwrap();
        let log = AppendLog::<f64>::over(bytes.clone());
        log.append(0, (), [1.5]).unwrap();
        log.prefetch([0, 1]);
        assert_eq!(log.gather(0).unwrap().next().unwrap().unwrap(), 1.5);
        assert_eq!((log.stats().written, log.refresh().unwrap(), log.verify().unwrap().is_sound()), (0, false, true));
        assert_eq!(AppendLog::<u64>::over(bytes).gather(0).unwrap_err().kind(), ErrorKind::Invalid);
    }
}
