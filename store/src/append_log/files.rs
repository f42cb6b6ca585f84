//! The files of a log: those of this writer, and what others left.

use super::index::{Cursor, IndexHeader, IndexWriter, Record, records};
use crate::format::{LOG_DATA_SUFFIX, LOG_GONE_SUFFIX, LOG_HEADER_BYTES, LOG_INDEX_SUFFIX, LOG_MIRROR_SUFFIX};
use crate::io::{Backend, BackendFile, Lock, Open};
use crate::scratch::{OwnedFolder, Room, Space};
use crate::{Error, ErrorKind, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// The most names that are tried before giving up.
const ATTEMPTS: usize = 16;

/// Where the files are.
#[derive(Debug)]
pub(super) enum Home {
    /// In a folder that goes with the log.
    Temporary(OwnedFolder),
    /// In a folder that stays.
    Kept(PathBuf),
}

impl Home {
    pub(super) fn path(&self) -> &Path {
        match self {
            Home::Temporary(folder) => folder.path(),
            Home::Kept(path) => path,
        }
    }
}

/// What this log writes to.
#[derive(Debug)]
pub(super) struct Writer {
    pub(super) header: IndexHeader,
    pub(super) space: Arc<Space>,
    /// The data files; nothing else is in `space`.
    pub(super) data: Vec<Arc<dyn BackendFile>>,
    /// That of a log that is kept, and its path.
    pub(super) index: Option<IndexWriter>,
    /// Room that the index names.
    pub(super) named: Vec<Arc<Room>>,
    _lock: Option<Lock>,
}

/// Nanoseconds since 1970.
pub(super) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64)
}

pub(super) fn index_path(folder: &Path, writer: u64) -> PathBuf {
    folder.join(format!("{writer:016x}{LOG_INDEX_SUFFIX}"))
}

pub(super) fn mirror_path(folder: &Path, writer: u64) -> PathBuf {
    folder.join(format!("{writer:016x}{LOG_MIRROR_SUFFIX}"))
}

fn gone_path(folder: &Path, writer: u64) -> PathBuf {
    folder.join(format!("{writer:016x}{LOG_GONE_SUFFIX}"))
}

pub(super) fn data_path(folder: &Path, writer: u64, file: u32) -> PathBuf {
    folder.join(format!("{writer:016x}-{file:02}{LOG_DATA_SUFFIX}"))
}

/// What a file of a writer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Index,
    Mirror,
    /// What was the index, of a writer whose files are being removed.
    Gone,
    /// A data file, by number.
    Data(u32),
}

/// The writer whose file this is by its name, and what it is.
pub(super) fn parse_name(path: &Path) -> Option<(u64, Part)> {
    let name = path.file_name()?.to_str()?;
    let hex = |text: &str| {
        let plain = text.len() == 16 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        plain.then(|| u64::from_str_radix(text, 16).ok()).flatten()
    };
    for (suffix, part) in [(LOG_INDEX_SUFFIX, Part::Index), (LOG_MIRROR_SUFFIX, Part::Mirror), (LOG_GONE_SUFFIX, Part::Gone)] {
        if let Some(stem) = name.strip_suffix(suffix) {
            return Some((hex(stem)?, part));
        }
    }
    let (writer, number) = name.strip_suffix(LOG_DATA_SUFFIX)?.split_once('-')?;
    let plain = number.len() == 2 && number.bytes().all(|b| b.is_ascii_digit());
    Some((hex(writer)?, Part::Data(number.parse().ok().filter(|_| plain)?)))
}

impl Writer {
    /// Makes the files of a new writer.
    pub(super) fn make(backend: &dyn Backend, home: &Home, partitions: u32, files: u32, quota: Option<u64>) -> Result<Writer> {
        let folder = home.path();
        for _ in 0..ATTEMPTS {
            let id = std::hash::RandomState::new().build_hasher().finish();
            let path = index_path(folder, id);
            let kept = matches!(home, Home::Kept(_));
            if kept && backend.exists(&path)? {
                continue;
            }
            let lock = match kept {
                true => match backend.lock(&path)? {
                    Some(lock) => Some(lock),
                    None => continue,
                },
                false => None,
            };
            let made = Self::fill(backend, folder, id, partitions, files, quota, kept);
            if made.is_err() {
                remove_writer(backend, folder, id).ok();
            }
            return made.map(|writer| Writer { _lock: lock, ..writer });
        }
        Err(Error::new(ErrorKind::Unusable, "others took every name that was tried").at(folder))
    }

    fn fill(backend: &dyn Backend, folder: &Path, id: u64, partitions: u32, files: u32, quota: Option<u64>, kept: bool) -> Result<Writer> {
        let header = IndexHeader { writer: id, created: now(), partitions, files, mirrored: kept };
        let index = match kept {
            true => {
                let index = backend.open(&index_path(folder, id), Open::Existing)?;
                let mirror = backend.open(&mirror_path(folder, id), Open::Create)?;
                Some(IndexWriter::begin(index, mirror, &header)?)
            }
            false => None,
        };
        let data = (0..files).map(|number| backend.open(&data_path(folder, id, number), Open::Create)).collect::<Result<Vec<_>>>()?;
        if kept {
            backend.sync_folder(folder)?;
        }
        let space = Arc::new(Space::new(folder.to_path_buf(), quota, data.clone()));
        Ok(Writer { header, space, data, index, named: Vec::new(), _lock: None })
    }
}

/// Removes the files of a writer. First its index gets a name that says so: one that is interrupted is finished by who opens the log next.
///
/// # Errors
/// Those of giving that name. What cannot be removed then stays, and means nothing.
pub(super) fn remove_writer(backend: &dyn Backend, folder: &Path, id: u64) -> Result<()> {
    let index = index_path(folder, id);
    if backend.exists(&index)? {
        backend.rename(&index, &gone_path(folder, id))?;
        backend.sync_folder(folder)?;
    }
    remove_rest(backend, folder, id);
    Ok(())
}

/// Removes what is left of a writer whose index is gone.
pub(super) fn remove_rest(backend: &dyn Backend, folder: &Path, id: u64) {
    backend.remove(&mirror_path(folder, id)).ok();
    for path in backend.list(folder).unwrap_or_default() {
        if matches!(parse_name(&path), Some((other, Part::Data(_))) if other == id) {
            backend.remove(&path).ok();
        }
    }
    backend.sync_folder(folder).ok();
    backend.remove(&gone_path(folder, id)).ok();
}

/// Another writer of the folder, alive or dead.
#[derive(Debug)]
pub(super) struct Other {
    pub(super) header: IndexHeader,
    pub(super) index: Arc<dyn BackendFile>,
    pub(super) cursor: Cursor,
    /// Its data files, once they were needed.
    pub(super) data: Vec<Arc<dyn BackendFile>>,
    /// Why they cannot be opened: those of a writer of which nothing counts are removed.
    pub(super) missing: Option<Error>,
}

impl Other {
    /// A writer by its index; nothing where that was not finished yet.
    pub(super) fn open(backend: &dyn Backend, path: &Path, id: u64) -> Result<Option<Other>> {
        let index = backend.open(path, Open::Read)?;
        let mut bytes = [0; LOG_HEADER_BYTES];
        if index.len()? < LOG_HEADER_BYTES as u64 {
            return Ok(None);
        }
        index.read_at(0, &mut bytes)?;
        let header = IndexHeader::decode(&bytes).map_err(|e| at(e, path, 0))?;
        if header.writer != id || header.files > 99 {
            return Err(Error::new(ErrorKind::Corrupt, "the index of another writer has this name").at(path));
        }
        // Open files stay when they are compacted away.
        let folder = path.parent().unwrap_or(path);
        let data = Self::open_data(backend, folder, &header).unwrap_or_default();
        Ok(Some(Other { header, index, cursor: Cursor::start(), data, missing: None }))
    }

    fn open_data(backend: &dyn Backend, folder: &Path, header: &IndexHeader) -> Result<Vec<Arc<dyn BackendFile>>> {
        (0..header.files).map(|number| backend.open(&data_path(folder, header.writer, number), Open::Read)).collect()
    }

    /// What the next frame makes known, if there is one.
    pub(super) fn news(&mut self, backend: &dyn Backend, folder: &Path) -> Result<Option<Vec<Record>>> {
        let begin = self.cursor;
        let Some(payload) = self.cursor.next(&*self.index)? else { return Ok(None) };
        let news = records(&payload).map_err(|e| at(e, self.index.path(), begin.end));
        let news = news.inspect(|news| {
            if self.data.is_empty() && self.missing.is_none() && news.iter().any(|record| matches!(record, Record::Block(_))) {
                match Self::open_data(backend, folder, &self.header) {
                    Ok(data) => self.data = data,
                    Err(e) => self.missing = Some(e),
                }
            }
        });
        if news.is_err() {
            // It is an error the next time, too.
            self.cursor = begin;
        }
        news.map(Some)
    }
}

fn at(e: Error, path: &Path, offset: u64) -> Error {
    e.at(path).offset(offset).hint("repeat the tasks that made this log, in a new folder")
}

/// The writers whose indexes are in a folder.
pub(super) fn writers(backend: &dyn Backend, folder: &Path) -> Result<Vec<(u64, PathBuf)>> {
    let indexes = |path: PathBuf| parse_name(&path).filter(|(_, part)| *part == Part::Index).map(|(id, _)| (id, path));
    Ok(backend.list(folder)?.into_iter().filter_map(indexes).collect())
}

/// All writers that have files in a folder, whatever is left of them.
pub(super) fn all_writers(backend: &dyn Backend, folder: &Path) -> Result<BTreeMap<u64, BTreeSet<Part>>> {
    let mut all: BTreeMap<u64, BTreeSet<Part>> = BTreeMap::new();
    for (id, part) in backend.list(folder)?.iter().filter_map(|path| parse_name(path)) {
        all.entry(id).or_default().insert(part);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let folder = Path::new("/m");
        assert_eq!(parse_name(&index_path(folder, 7)), Some((7, Part::Index)));
        assert_eq!(parse_name(&mirror_path(folder, 7)), Some((7, Part::Mirror)));
        assert_eq!(parse_name(&gone_path(folder, 7)), Some((7, Part::Gone)));
        assert_eq!(parse_name(&data_path(folder, u64::MAX, 3)), Some((u64::MAX, Part::Data(3))));
        for name in
            ["0.index", "000000000000000g.index", "0000000000000000-1.data", "0000000000000000-+1.data", "x", "0000000000000000.data"]
        {
            assert_eq!(parse_name(&folder.join(name)), None, "{name}");
        }
    }
}
