//! The lock of a store: who holds it is the one that writes.

use crate::codec::{Encode, Fields};
use crate::format::{STORE_LOCK_BYTES, STORE_LOCK_NAME, STORE_MAGIC, STORE_VERSION};
use crate::io::{Backend, Lock, Open};
use crate::manifest::now;
use crate::{Error, ErrorKind, Result};
use std::path::Path;

/// Takes the lock of the store in `folder`, and writes into its file who has it.
///
/// # Errors
/// Locked where another has it; those of the operating system.
pub(crate) fn take(backend: &dyn Backend, folder: &Path) -> Result<Lock> {
    let path = folder.join(STORE_LOCK_NAME);
    let Some(lock) = backend.lock(&path)? else {
        let who = match holder(backend, &path) {
            Some(pid) if pid == std::process::id() => "this process has it open for writing already".to_owned(),
            Some(pid) => format!("process {pid} has it open for writing"),
            None => "another process has it open for writing".to_owned(),
        };
        let hint = "wait until it is closed, or open it to read only, which needs no lock";
        return Err(Error::new(ErrorKind::Locked, format!("the store is in use: {who}")).at(folder).hint(hint));
    };
    let mut bytes = Vec::with_capacity(STORE_LOCK_BYTES);
    bytes.extend_from_slice(&STORE_MAGIC);
    bytes.put_u32(STORE_VERSION);
    bytes.put_u32(std::process::id());
    bytes.put_u64(now());
    backend.open(&path, Open::Existing)?.write_at(0, &bytes)?;
    Ok(lock)
}

/// The process that wrote the lock file last.
fn holder(backend: &dyn Backend, path: &Path) -> Option<u32> {
    let mut bytes = [0; STORE_LOCK_BYTES];
    backend.open(path, Open::Read).ok()?.read_at(0, &mut bytes).ok()?;
    let mut from = Fields(&bytes);
    let magic = from.take::<8>().ok()?;
    let _version = from.u32().ok()?;
    from.u32().ok().filter(|_| magic == STORE_MAGIC)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::io::MemoryBackend;

    #[test]
    fn one_has_it() {
        let backend = MemoryBackend::new(1 << 20);
        backend.create_folder(Path::new("/s")).unwrap();
        let lock = take(&backend, Path::new("/s")).unwrap();
        let error = take(&backend, Path::new("/s")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Locked);
        assert!(error.to_string().contains("this process"), "{error}");
        drop(lock);
        take(&backend, Path::new("/s")).unwrap();
    }
}
