//! Of which type the records of a log are, so that they are not read as others.
//!
//! ```text
//!   first append of records -> `records` in the folder: magic | version, u32 | length, u32 | name of the type | XXH3-64 of all before, u64
//! ```
//! Names of users' types tell nothing of what is in them, and differ between programs: what is compared are the numbers, truth values and
//! characters in them. A log without the file, of bytes or from before there was one, is taken as it is.

#![deny(clippy::indexing_slicing)]

use super::files::Home;
use super::shared::Shared;
use crate::codec::Fields;
use crate::format::{LOG_RECORDS_MAGIC, LOG_RECORDS_NAME, LOG_RECORDS_VERSION};
use crate::io::{Backend, Open};
use crate::saved::leaves;
use crate::{Error, ErrorKind, Result, checksum};
use std::hash::{BuildHasher, Hasher};
use std::path::Path;

/// The most bytes of a name.
const MOST: usize = 64 << 10;

fn encode(type_name: &str) -> Vec<u8> {
    let mut out = LOG_RECORDS_MAGIC.to_vec();
    out.extend_from_slice(&LOG_RECORDS_VERSION.to_le_bytes());
    out.extend_from_slice(&(type_name.len() as u32).to_le_bytes());
    out.extend_from_slice(type_name.as_bytes());
    out.extend_from_slice(&checksum(&out).to_le_bytes());
    out
}

fn decode(bytes: &[u8]) -> Result<String> {
    let damaged = || Error::new(ErrorKind::Corrupt, "the file that names the type of the records is damaged");
    let mut fields = Fields(bytes);
    let (magic, version, len) = (fields.bytes(8)?, fields.u32()?, fields.u32()? as usize);
    if magic != LOG_RECORDS_MAGIC {
        return Err(damaged());
    }
    if version != LOG_RECORDS_VERSION {
        let message = format!("records of version {version}; this program knows {LOG_RECORDS_VERSION}");
        return Err(Error::new(ErrorKind::Unsupported, message).hint("use a newer chunkstore"));
    }
    let name = fields.bytes(len)?;
    let summed = bytes.get(..16usize.saturating_add(len)).ok_or_else(damaged)?;
    if fields.u64()? != checksum(summed) || !fields.0.is_empty() {
        return Err(damaged());
    }
    std::str::from_utf8(name).map(str::to_owned).map_err(|_| damaged())
}

/// The name in the file, where there is one.
///
/// # Errors
/// Corrupt or unsupported where the file is not as it was written.
pub(super) fn read(backend: &dyn Backend, folder: &Path) -> Result<Option<String>> {
    let path = folder.join(LOG_RECORDS_NAME);
    let Some(len) = backend.len_of(&path)? else { return Ok(None) };
    let hint = "remove the file if you know the type of the records";
    if len > MOST as u64 + 24 {
        return Err(Error::new(ErrorKind::Corrupt, "the file that names the type of the records is too long").at(&path).hint(hint));
    }
    let mut bytes = vec![0; len as usize];
    backend.open(&path, Open::Read)?.read_at(0, &mut bytes)?;
    decode(&bytes).map(Some).map_err(|error| match error.kind() {
        ErrorKind::Corrupt => error.at(&path).offset(0).hint(hint),
        _ => error.at(&path),
    })
}

/// Puts the file in the folder, whole or not at all; one that is there stays.
fn write(backend: &dyn Backend, folder: &Path, type_name: &str) -> Result<()> {
    let new = folder.join(format!("{LOG_RECORDS_NAME}.{:016x}", std::hash::RandomState::new().build_hasher().finish()));
    let written = (|| {
        let file = backend.open(&new, Open::New)?;
        file.write_at(0, &encode(type_name))?;
        file.sync()?;
        match backend.hard_link(&new, &folder.join(LOG_RECORDS_NAME)) {
            Err(error) if error.kind() == ErrorKind::Unsupported => return backend.rename(&new, &folder.join(LOG_RECORDS_NAME)),
            Err(_) if backend.exists(&folder.join(LOG_RECORDS_NAME))? => {}
            other => other?,
        }
        backend.remove(&new)
    })();
    if written.is_err() {
        backend.remove(&new).ok();
    }
    written.and_then(|()| backend.sync_folder(folder))
}

/// Removes the file, and what an attempt to write one left.
pub(super) fn remove(backend: &dyn Backend, folder: &Path) {
    for path in backend.list(folder).unwrap_or_default() {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name == LOG_RECORDS_NAME || name.strip_prefix(LOG_RECORDS_NAME).is_some_and(|rest| rest.starts_with('.')) {
            backend.remove(&path).ok();
        }
    }
}

impl Shared {
    /// Compares the type of the records with the one that they were written with, where that is known; whether it is.
    ///
    /// # Errors
    /// Invalid where it is another; corrupt where the file with its name is damaged.
    pub(super) fn check_records(&self, type_name: &str) -> Result<bool> {
        let mut known = self.records.lock();
        if known.is_none()
            && let Home::Kept(folder) = &self.home
        {
            *known = read(&*self.backend, folder)?;
        }
        let Some(known) = &*known else { return Ok(false) };
        if leaves(known) == leaves(type_name) {
            return Ok(true);
        }
        let message = format!("the records of the log were written as {known}, and cannot be read as {type_name}");
        Err(Error::new(ErrorKind::Invalid, message).at(self.folder()).hint("open the log with the type that it was written with"))
    }

    /// As [`Shared::check_records`], and says it of a log of which it was not known.
    ///
    /// # Errors
    /// As there; those of writing.
    pub(super) fn declare_records(&self, type_name: &str) -> Result<()> {
        if self.check_records(type_name)? {
            return Ok(());
        }
        match &self.home {
            Home::Kept(folder) if type_name.len() <= MOST => {
                write(&*self.backend, folder, type_name)?;
                // Another process may have been first.
                self.check_records(type_name).map(|_| ())
            }
            _ => {
                let mut known = self.records.lock();
                known.get_or_insert_with(|| type_name.to_owned());
                drop(known);
                self.check_records(type_name).map(|_| ())
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn every_flip_and_cut_is_found() {
        let bytes = encode("(u64, alloc::string::String)");
        assert_eq!(decode(&bytes).unwrap(), "(u64, alloc::string::String)");
        for at in 0..bytes.len() {
            decode(&bytes[..at]).unwrap_err();
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                decode(&flipped).unwrap_err();
            }
        }
    }
}
