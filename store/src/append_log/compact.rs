//! What counts written anew, and the old files removed.
//!
//! A new writer gets all entries that count. One frame of its index makes them known and deletes what all old writers committed, in all
//! partitions; then the old files go. So at every point either the old files count or the new ones, and one that was killed is finished,
//! or taken back, by who opens the log next:
//!
//! ```text
//! lock all writers -> append what counts -> one frame: commits, and deletions of the old -> remove the old files
//! ```

use super::append::Entry;
use super::attempt::Kind;
use super::files::{Part, all_writers, index_path, remove_writer};
use super::index::Record;
use super::log::ByteLog;
use super::options::LogOptions;
use super::tidy::{Copy, tidy};
use crate::format::LOG_COMPACT_NAME;
use crate::io::Backend;
use crate::{Error, ErrorKind, Result};
use std::path::Path;
use std::sync::Arc;

/// What compacting a log has done.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct LogCompacted {
    /// The bytes of all files before.
    pub bytes_before: u64,
    /// The bytes of all files now.
    pub bytes_after: u64,
    /// The entries that were written anew.
    pub copied: u64,
    /// The writers whose files were removed.
    pub dropped: u64,
}

/// The bytes of the files of all writers.
fn bytes(backend: &dyn Backend, folder: &Path) -> Result<u64> {
    let ours = |path: &&std::path::PathBuf| super::files::parse_name(path).is_some();
    backend.list(folder)?.iter().filter(ours).map(|path| Ok(backend.len_of(path)?.unwrap_or(0))).sum()
}

/// Compacts the log in a folder, with two logs of half of the memory each.
pub(super) fn compact(backend: &Arc<dyn Backend>, folder: &Path, options: LogOptions) -> Result<LogCompacted> {
    let guard = folder.join(LOG_COMPACT_NAME);
    if all_writers(&**backend, folder)?.is_empty() {
        return Ok(LogCompacted::default());
    }
    let busy = |what: &str, path: &Path| Error::new(ErrorKind::Unusable, what).at(path).hint("close it in all processes first");
    let lock = backend.lock(&guard)?.ok_or_else(|| busy("the log is being compacted", &guard))?;
    let result = compact_alone(backend, folder, options);
    if result.is_err() {
        // The new writer, if there is one, has made nothing known.
        tidy(&**backend, folder).ok();
    }
    backend.remove(&guard).ok();
    drop(lock);
    result
}

/// As [`compact`], while no writer can be added.
fn compact_alone(backend: &Arc<dyn Backend>, folder: &Path, mut options: LogOptions) -> Result<LogCompacted> {
    let store = &**backend;
    tidy(store, folder)?;
    let mut done = LogCompacted { bytes_before: bytes(store, folder)?, ..LogCompacted::default() };
    let (mut locks, mut partitions) = (Vec::new(), None);
    let old = all_writers(store, folder)?;
    for (id, parts) in &old {
        let path = index_path(folder, *id);
        let busy = || Error::new(ErrorKind::Unusable, "the log is open").at(&path).hint("close it in all processes first");
        locks.push(store.lock(&path)?.ok_or_else(busy)?);
        if parts.contains(&Part::Index)
            && let Some(copy) = Copy::read(store, &path, *id)?
        {
            partitions = Some(copy.header.partitions);
        }
    }
    let Some(partitions) = partitions else { return Ok(done) };
    options.memory = (options.memory / 2).max(ByteLog::LEAST_MEMORY);
    let source = ByteLog::open_on(Arc::clone(backend), folder, partitions, options.clone())?;
    options.compacting = true;
    let new = ByteLog::new_on(Arc::clone(backend), folder, partitions, options)?;
    let (from, to) = (source.shared(), new.shared());
    let id = to.writer_id()?;
    for partition in 0..partitions {
        let mut gather = source.gather(partition)?;
        while let Some(entry) = gather.next().transpose()? {
            let (attempt, records) = (entry.attempt(), entry.records());
            to.append(Entry { partition, attempt, records, joins: false }, &entry)?;
            done.copied += 1;
        }
    }
    let (covered, winners) = {
        let table = from.table.lock();
        let covered: Vec<_> = table.others.iter().map(|(other, last)| (other.header.writer, *last)).collect();
        let seen = |(attempt, _): &(super::attempt::Attempt, u64)| {
            attempt.kind == Kind::Task || u32::try_from(attempt.task).is_ok_and(|partition| table.attempts.is_set(partition))
        };
        (covered, table.attempts.winners().filter(seen).collect::<Vec<_>>())
    };
    let mut table = to.table.lock();
    table.news.extend((0..partitions).map(|partition| Record::Delete(partition, covered.clone())));
    for (attempt, time) in winners {
        let open = match table.open.remove(&attempt) {
            Some(open) => open,
            // What has no entries still replaces earlier attempts.
            None => table.empty_instance(),
        };
        // Later than the old one, and not later than what others may commit.
        table.commit_at(attempt, open, (id, true), time.saturating_add(1))?;
    }
    drop(table);
    new.seal()?;
    drop(source);
    for id in old.keys() {
        remove_writer(store, folder, *id)?;
        done.dropped += 1;
    }
    drop(new);
    done.bytes_after = bytes(store, folder)?;
    Ok(done)
}
