//! Files as memory.

#![allow(unsafe_code)]

use crate::{Error, Result};
use std::fs::File;
use std::ops::Deref;

/// A part of a file that never changes again, as memory; see [`BackendFile::map`](super::BackendFile::map).
#[derive(Debug)]
pub struct FileMap(Bytes);

#[derive(Debug)]
enum Bytes {
    Mapped(memmap2::Mmap),
    Copied(Box<[u8]>),
}

impl FileMap {
    /// A copy of the part, for backends that have no file to map.
    pub fn copied(bytes: Box<[u8]>) -> Self {
        FileMap(Bytes::Copied(bytes))
    }

    /// Maps a part of a file of this store that is sealed and not shorter than that.
    pub(super) fn of_sealed(file: &File, offset: u64, len: usize) -> std::io::Result<FileMap> {
        if len == 0 {
            return Ok(FileMap::copied(Box::default()));
        }
        let mut options = memmap2::MmapOptions::new();
        options.offset(offset).len(len);
        // SAFETY: the bytes of a map must not change while they are borrowed. Only sealed files are mapped, and nothing in this
        // crate writes to a sealed file or shortens it; removing its name leaves the map as it is. What cannot be ruled out is
        // another program that writes to the file, or a medium that fails under the map: that would end this process, as
        // for any mapped file.
        let map = unsafe { options.map(file)? };
        map.advise(memmap2::Advice::Random).ok();
        Ok(FileMap(Bytes::Mapped(map)))
    }

    /// This with one bit wrong, for injected faults.
    pub(super) fn flipped(self) -> Self {
        let mut bytes: Box<[u8]> = (*self).into();
        bytes.iter_mut().take(1).for_each(|byte| *byte ^= 0x10);
        FileMap::copied(bytes)
    }
}

impl Deref for FileMap {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Bytes::Mapped(map) => map,
            Bytes::Copied(bytes) => bytes,
        }
    }
}

/// The error of a map beyond the end of a file.
pub(super) fn beyond(path: &std::path::Path, offset: u64) -> Error {
    Error::io("the file cannot be mapped", std::io::ErrorKind::UnexpectedEof.into()).at(path).offset(offset)
}

/// Checks that a part of a file of `have` bytes is there.
pub(super) fn check_part(path: &std::path::Path, have: u64, offset: u64, len: usize) -> Result<()> {
    match offset.checked_add(len as u64).is_some_and(|end| end <= have) {
        true => Ok(()),
        false => Err(beyond(path, offset)),
    }
}
