//! A file of which neighbouring bytes are read at once.

use crate::io::BackendFile;
use crate::{Arena, BufferMut, Error, ErrorKind, Result};
use parking_lot::Mutex;
use std::path::Path;
use std::sync::Arc;

/// The bytes that are read at once.
const NEAR_BYTES: usize = 1 << 20;

/// Reads small parts of a file, one near the other, from memory.
#[derive(Debug)]
pub(super) struct Near {
    file: Arc<dyn BackendFile>,
    state: Mutex<(u64, usize, BufferMut)>,
}

impl Near {
    pub(super) fn new(file: Arc<dyn BackendFile>, arena: &Arena) -> Result<Self> {
        Ok(Near { file, state: Mutex::new((0, 0, arena.alloc(NEAR_BYTES)?)) })
    }
}

/// What is never called.
fn read_only<T>(path: &Path) -> Result<T> {
    Err(Error::new(ErrorKind::Invalid, "the file is only read").at(path))
}

impl BackendFile for Near {
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<()> {
        let mut state = self.state.lock();
        let (begin, len, memory) = &mut *state;
        let inside = |begin: u64, len: usize| offset >= begin && offset + bytes.len() as u64 <= begin + len as u64;
        if !inside(*begin, *len) {
            let there = self.file.len()?.saturating_sub(offset).min(NEAR_BYTES as u64) as usize;
            if there < bytes.len() {
                return self.file.read_at(offset, bytes);
            }
            *len = 0;
            self.file.read_at(offset, memory.get_mut(..there).unwrap_or_default())?;
            (*begin, *len) = (offset, there);
        }
        let at = (offset - *begin) as usize;
        match memory.get(at..at + bytes.len()) {
            Some(from) => bytes.copy_from_slice(from),
            None => return self.file.read_at(offset, bytes),
        }
        Ok(())
    }

    fn write_at(&self, _: u64, _: &[u8]) -> Result<()> {
        read_only(self.path())
    }

    fn allocate(&self, _: u64) -> Result<()> {
        read_only(self.path())
    }

    fn truncate(&self, _: u64) -> Result<()> {
        read_only(self.path())
    }

    fn sync(&self) -> Result<()> {
        read_only(self.path())
    }

    fn len(&self) -> Result<u64> {
        self.file.len()
    }

    fn path(&self) -> &Path {
        self.file.path()
    }
}
