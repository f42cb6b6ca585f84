//! Folders of scratch: each has one living owner, and those of dead owners are swept.
//!
//! A folder is owned by who holds the lock on the file `owner.lock` in it; a lock ends with its process, however
//! that ends. A new owner first makes the folder, then takes the lock; a sweeper that comes in between gets the lock,
//! and the new owner takes another name.

use crate::format::{SCRATCH_LOCK_BYTES, SCRATCH_LOCK_NAME, SCRATCH_MAGIC, SCRATCH_PREFIX, SCRATCH_VERSION};
use crate::io::{Backend, Lock, Open};
use crate::{Error, ErrorKind, Result};
use std::hash::{BuildHasher, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How many names are tried before giving up.
const ATTEMPTS: usize = 16;

/// A folder that is ours; dropping this removes it.
#[derive(Debug)]
pub(crate) struct OwnedFolder {
    backend: Arc<dyn Backend>,
    path: PathBuf,
    _lock: Lock,
}

impl OwnedFolder {
    /// Makes a folder of our own in `parent`.
    pub(crate) fn make(backend: &Arc<dyn Backend>, parent: &Path) -> Result<Self> {
        let mut last = None;
        for _ in 0..ATTEMPTS {
            let path = parent.join(new_name());
            backend.create_folder(&path)?;
            match backend.lock(&path.join(SCRATCH_LOCK_NAME)) {
                Ok(Some(lock)) => {
                    let owned = OwnedFolder { backend: Arc::clone(backend), path, _lock: lock };
                    backend.open(&owned.path.join(SCRATCH_LOCK_NAME), Open::Existing)?.write_at(0, &lock_content())?;
                    return Ok(owned);
                }
                Ok(None) => {}
                Err(e) => {
                    backend.remove_folder(&path).ok();
                    last = Some(e);
                }
            }
        }
        let busy = || Error::new(ErrorKind::Unusable, "others took the lock of every folder that was made").at(parent);
        Err(last.unwrap_or_else(busy))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for OwnedFolder {
    fn drop(&mut self) {
        remove(&*self.backend, &self.path);
    }
}

/// Removes the folders in `parent` whose owners are dead; gives their number. What cannot be removed stays.
pub(crate) fn sweep(backend: &dyn Backend, parent: &Path) -> Result<usize> {
    let mut swept = 0;
    for path in backend.list(parent)? {
        if path.file_name().and_then(|name| name.to_str()).is_some_and(is_scratch_name)
            && let Ok(Some(_lock)) = backend.lock(&path.join(SCRATCH_LOCK_NAME))
        {
            swept += usize::from(remove(backend, &path));
        }
    }
    Ok(swept)
}

/// Removes a folder whose lock is held: the lock file last, so that no other takes it for a folder without an owner.
fn remove(backend: &dyn Backend, folder: &Path) -> bool {
    for path in backend.list(folder).unwrap_or_default() {
        if path.file_name().is_some_and(|name| name != SCRATCH_LOCK_NAME) {
            backend.remove(&path).ok();
        }
    }
    backend.remove_folder(folder).is_ok()
}

fn new_name() -> String {
    let random = std::hash::RandomState::new().build_hasher().finish();
    format!("{SCRATCH_PREFIX}{}-{random:016x}", std::process::id())
}

/// Whether a name is one that `new_name` gives: nothing else is ever swept.
fn is_scratch_name(name: &str) -> bool {
    let parts = name.strip_prefix(SCRATCH_PREFIX).and_then(|rest| rest.split_once('-'));
    parts.is_some_and(|(pid, random)| {
        let digits = !pid.is_empty() && pid.bytes().all(|b| b.is_ascii_digit());
        digits && random.len() == 16 && random.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
    })
}

fn lock_content() -> [u8; SCRATCH_LOCK_BYTES] {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let mut bytes = [0; SCRATCH_LOCK_BYTES];
    let fields =
        SCRATCH_MAGIC.into_iter().chain(SCRATCH_VERSION.to_le_bytes()).chain(std::process::id().to_le_bytes()).chain(now.to_le_bytes());
    bytes.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
    bytes
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::io::{FileBackend, MemoryBackend};

    #[test]
    fn names() {
        assert!(is_scratch_name(&new_name()));
        for name in
            ["chunkstore-1-0123456789abcdeg", "chunkstore-x-0123456789abcdef", "chunkstore-1-0123", "chunkstore--0123456789abcdef", "other"]
        {
            assert!(!is_scratch_name(name), "{name}");
        }
    }

    #[test]
    fn the_living_are_kept_and_the_dead_swept() {
        let folder = crate::testing::folder();
        let backends: [(Arc<dyn Backend>, PathBuf); 2] =
            [(Arc::new(FileBackend::new()), folder.path().into()), (Arc::new(MemoryBackend::new(1 << 20)), "/m".into())];
        for (backend, parent) in backends {
            backend.create_folder(&parent).unwrap();
            let dead = parent.join("chunkstore-1-0123456789abcdef");
            backend.create_folder(&dead).unwrap();
            backend.open(&dead.join("slots-00"), Open::Create).unwrap();
            let other = parent.join("chunkstore-other");
            backend.create_folder(&other).unwrap();
            let living = OwnedFolder::make(&backend, &parent).unwrap();
            assert_eq!(sweep(&*backend, &parent).unwrap(), 1);
            let mut left = vec![living.path().to_path_buf(), other.clone()];
            left.sort();
            assert_eq!(backend.list(&parent).unwrap(), left);
            drop(living);
            assert_eq!(backend.list(&parent).unwrap(), [other]);
        }
    }
}
