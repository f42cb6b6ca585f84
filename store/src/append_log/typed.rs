//! The log of records of one type.

use super::attempt::Attempt;
use super::gather::{Gather, LogEntry};
use super::log::ByteLog;
use super::options::LogOptions;
use super::sizes::LogSizes;
use crate::{Error, ErrorKind, Result, serial};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::borrow::Borrow;
use std::cell::RefCell;
use std::marker::PhantomData;
use std::path::Path;

/// The memory for encoding that a thread keeps.
const KEPT_BYTES: usize = 256 << 10;

thread_local! {
    static ENCODED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// An append log of records: as [`ByteLog`], which it is over, of anything that serde can encode.
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
    record: PhantomData<fn(T) -> T>,
}

impl<T> Clone for AppendLog<T> {
    fn clone(&self) -> Self {
        AppendLog { log: self.log.clone(), record: PhantomData }
    }
}

impl<T: Serialize + DeserializeOwned> AppendLog<T> {
    /// As [`ByteLog::open`].
    ///
    /// # Errors
    /// As for [`ByteLog::open_with`].
    pub fn open(folder: impl AsRef<Path>, partitions: u32) -> Result<Self> {
        ByteLog::open(folder, partitions).map(Self::over)
    }

    /// As [`ByteLog::temporary`].
    ///
    /// # Errors
    /// As for [`ByteLog::temporary`].
    pub fn temporary(partitions: u32, options: LogOptions) -> Result<Self> {
        ByteLog::temporary(partitions, options).map(Self::over)
    }

    /// A log whose entries are records of this type.
    pub fn over(log: ByteLog) -> Self {
        AppendLog { log, record: PhantomData }
    }

    /// The log of bytes behind this: for prefetching, statistics, verifying and more.
    pub fn bytes(&self) -> &ByteLog {
        &self.log
    }

    /// Appends records to a partition, all or none.
    ///
    /// # Errors
    /// As for [`ByteLog::append`]; Invalid where a record cannot be encoded.
    pub fn append<R: Borrow<T>>(&self, partition: u32, attempt: impl Into<Attempt>, records: impl IntoIterator<Item = R>) -> Result<()> {
        let attempt = attempt.into();
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
        encoded(records, |count, bytes| self.log.set_records(partition, count, bytes))
    }

    /// The records of a partition, one by one, in the order of task and append.
    ///
    /// # Errors
    /// As for [`ByteLog::gather`].
    pub fn gather(&self, partition: u32) -> Result<LogRecords<T>> {
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
