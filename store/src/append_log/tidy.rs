//! What dead writers have left, put in order when a log is opened.
//!
//! Only what is proved to be of no use is removed: files of a writer of which both copies of the index, written before anything that is
//! committed, tell that nothing ever was; and what is beyond the room that the last frame of both names. What one copy has lost comes
//! from the other one.

use super::files::{Part, all_writers, data_path, index_path, mirror_path, remove_rest, remove_writer};
use super::index::{Cursor, IndexHeader, Record, records};
use crate::format::LOG_HEADER_BYTES;
use crate::io::{Backend, BackendFile, Open};
use crate::{Error, ErrorKind, Result};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a copy of an index tells.
#[derive(Debug)]
pub(super) struct Copy {
    pub(super) file: Arc<dyn BackendFile>,
    pub(super) header: IndexHeader,
    /// Behind the last sound frame.
    pub(super) cursor: Cursor,
    /// How far each data file is named.
    pub(super) lengths: Vec<u64>,
    /// Why it ends before its end.
    pub(super) damage: Option<Error>,
}

impl Copy {
    /// A copy of an index; nothing where there is none, or it is shorter than a header.
    ///
    /// # Errors
    /// Corrupt or unsupported where the header is damaged; those of reading.
    pub(super) fn read(backend: &dyn Backend, path: &Path, id: u64) -> Result<Option<Copy>> {
        if backend.len_of(path)?.is_none_or(|len| len < LOG_HEADER_BYTES as u64) {
            return Ok(None);
        }
        let file = backend.open(path, Open::Existing)?;
        let mut bytes = [0; LOG_HEADER_BYTES];
        file.read_at(0, &mut bytes)?;
        let header = IndexHeader::decode(&bytes).map_err(|e| e.at(path).offset(0))?;
        if header.writer != id || header.files > 99 {
            return Err(Error::new(ErrorKind::Corrupt, "the index of another writer has this name").at(path));
        }
        let mut copy = Copy { file, header, cursor: Cursor::start(), lengths: vec![0; header.files as usize], damage: None };
        loop {
            let before = copy.cursor;
            let records = match copy.cursor.next(&*copy.file) {
                Ok(None) => return Ok(Some(copy)),
                Ok(Some(payload)) => records(&payload),
                Err(e) => Err(e),
            };
            match records {
                Ok(records) => records.into_iter().for_each(|record| copy.note(&record)),
                Err(e) if matches!(e.kind(), ErrorKind::Corrupt | ErrorKind::Truncated | ErrorKind::Unsupported) => {
                    copy.cursor = before;
                    copy.damage = Some(e);
                    return Ok(Some(copy));
                }
                Err(e) => return Err(e),
            }
        }
    }

    fn note(&mut self, record: &Record) {
        if let Record::Length(file, len) = record
            && let Some(length) = self.lengths.get_mut(*file as usize)
        {
            *length = (*len).max(*length);
        }
    }

    /// Whether it has any frame.
    pub(super) fn has_frames(&self) -> bool {
        self.cursor.sequence > 1 || self.damage.is_some()
    }

    /// Makes `to` end as this does, from the byte `begin` on.
    pub(super) fn copy_to(&self, to: &dyn BackendFile, begin: u64) -> Result<()> {
        let mut memory = vec![0; 64 << 10];
        let (mut at, end) = (begin, self.cursor.end.min(self.file.len()?));
        to.allocate(end)?;
        while at < end {
            let bytes = memory.get_mut(..(end - at).min(64 << 10) as usize).unwrap_or_default();
            self.file.read_at(at, bytes)?;
            to.write_at(at, bytes)?;
            at += bytes.len() as u64;
        }
        to.sync()
    }
}

/// The error of data files of which no index tells.
fn orphaned(path: &Path) -> Error {
    let message = "the index of this data file is missing or cut, and its second copy too: what was committed cannot be told";
    let hint = "put the index back, or repair the log, which sets the file aside; then repeat the tasks that made it";
    Error::new(ErrorKind::Corrupt, message).at(path).hint(hint)
}

/// Puts in order what dead writers have left. Damage is left as it is: reading reports it.
///
/// # Errors
/// Corrupt where there are data files with anything in them, and nothing that tells of it; those of bringing an index back.
pub(super) fn tidy(backend: &dyn Backend, folder: &Path) -> Result<()> {
    for (id, parts) in all_writers(backend, folder)? {
        if parts.contains(&Part::Gone) {
            remove_rest(backend, folder, id);
            continue;
        }
        let index = index_path(folder, id);
        let missing = !parts.contains(&Part::Index);
        let Ok(Some(lock)) = backend.lock(&index) else { continue };
        // It may be gone meanwhile, with all of its files.
        let result = match all_writers(backend, folder)?.remove(&id) {
            Some(parts) => settle(backend, folder, id, &parts),
            None => Ok(()),
        };
        if missing && backend.len_of(&index)? == Some(0) {
            // It was made by taking the lock.
            backend.remove(&index).ok();
        }
        drop(lock);
        result?;
    }
    Ok(())
}

/// The data files with anything in them.
fn filled(backend: &dyn Backend, folder: &Path, id: u64, parts: &BTreeSet<Part>) -> Result<Option<PathBuf>> {
    for part in parts {
        if let Part::Data(number) = part {
            let path = data_path(folder, id, *number);
            if backend.len_of(&path)?.is_some_and(|len| len > 0) {
                return Ok(Some(path));
            }
        }
    }
    Ok(None)
}

/// As [`tidy`], of one writer whose lock is held.
fn settle(backend: &dyn Backend, folder: &Path, id: u64, parts: &BTreeSet<Part>) -> Result<()> {
    let path = index_path(folder, id);
    // A damaged header is told by who reads it.
    let Ok(index) = Copy::read(backend, &path, id) else { return Ok(()) };
    let mirror = match (Copy::read(backend, &mirror_path(folder, id), id), &index) {
        (Ok(mirror), _) => mirror,
        (Err(_), Some(_)) => return Ok(()),
        (Err(e), None) => return Err(e),
    };
    let (mut index, mirror) = match (index, mirror) {
        (None, None) => {
            return match filled(backend, folder, id, parts)? {
                Some(path) => Err(orphaned(&path)),
                // Killed while it made its files.
                None => remove_writer(backend, folder, id),
            };
        }
        (None, Some(mirror)) if mirror.damage.is_some() => {
            let path = mirror_path(folder, id);
            return Err(mirror.damage.unwrap_or_else(|| orphaned(&path)));
        }
        // A flush that succeeded is in the second copy.
        (None, Some(mirror)) if !mirror.has_frames() => return remove_writer(backend, folder, id),
        (None, Some(mirror)) => {
            let file = backend.open(&path, Open::Create)?;
            file.truncate(0)?;
            mirror.copy_to(&*file, 0)?;
            backend.sync_folder(folder)?;
            let Some(index) = Copy::read(backend, &path, id)? else { return Ok(()) };
            (index, mirror)
        }
        (Some(index), None) => {
            let longer = |(number, length): (usize, &u64)| -> Result<bool> {
                Ok(backend.len_of(&data_path(folder, id, number as u32))?.is_some_and(|len| len > *length))
            };
            let mut known = true;
            for file in index.lengths.iter().enumerate() {
                known &= !longer(file)?;
            }
            if index.damage.is_none() && index.header.mirrored && index.has_frames() && known {
                let file = backend.open(&mirror_path(folder, id), Open::Create)?;
                file.truncate(0)?;
                index.copy_to(&*file, 0)?;
            } else if !index.has_frames() && filled(backend, folder, id, parts)?.is_none() {
                return remove_writer(backend, folder, id);
            }
            // What is beyond the last frame could be what a lost one told of.
            return Ok(());
        }
        (Some(index), Some(mirror)) => (index, mirror),
    };
    if index.damage.is_some() || mirror.damage.is_some() {
        return Ok(());
    }
    if !index.has_frames() && !mirror.has_frames() {
        return remove_writer(backend, folder, id);
    }
    if index.cursor.sequence < mirror.cursor.sequence {
        mirror.copy_to(&*index.file, index.cursor.end)?;
        (index.cursor, index.lengths) = (mirror.cursor, mirror.lengths.clone());
    } else if mirror.cursor.sequence < index.cursor.sequence {
        // It was lost or cut.
        index.copy_to(&*mirror.file, mirror.cursor.end)?;
    }
    for (number, length) in index.lengths.iter().enumerate() {
        let Ok(file) = backend.open(&data_path(folder, id, number as u32), Open::Existing) else { continue };
        if file.len()? > *length {
            file.truncate(*length)?;
        }
    }
    for file in [&index.file, &mirror.file] {
        if file.len()? > index.cursor.end {
            file.truncate(index.cursor.end)?;
        }
    }
    Ok(())
}
