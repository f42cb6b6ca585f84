//! Writing a manifest: one record a commit, and the whole state anew now and then.

use super::scan::{Kind, Scan, encode_ack, encode_header, encode_record};
use crate::format::{MANIFEST_HEADER_BYTES, MANIFEST_NAME, MANIFEST_NEW_NAME};
use crate::io::{Backend, BackendFile, Open};
use crate::{Error, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A manifest is written anew when it is this long, and [`GROWTH`] times the state at its beginning.
const LEAST_ROTATED: u64 = 1 << 20;
const GROWTH: u64 = 4;

/// A commit that was not reported.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) error: Error,
    /// Whether it may be found saved all the same: then nothing more may be written before it was read again.
    pub(crate) in_doubt: bool,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure { error, in_doubt: false }
    }
}

/// The manifest of a store whose lock is held.
///
/// After a failed write the file takes no more records: the next commit is published in a new one.
#[derive(Debug)]
pub(crate) struct Manifest {
    backend: Arc<dyn Backend>,
    folder: PathBuf,
    file: Arc<dyn BackendFile>,
    store_id: u64,
    sequence: u64,
    /// Where the next record goes.
    end: u64,
    state_bytes: u64,
    /// Whether `file` ends at `end` with the acknowledgement of `sequence`.
    sound: bool,
    /// Whether the last acknowledgement survives a loss of power.
    synced: bool,
}

impl Manifest {
    /// The manifest that `scan` read, to go on with.
    ///
    /// # Errors
    /// Those of opening the file.
    pub(crate) fn open(backend: &Arc<dyn Backend>, folder: &Path, scan: &Scan) -> Result<Self> {
        let new = folder.join(MANIFEST_NEW_NAME);
        if backend.exists(&new)? {
            backend.remove(&new)?;
        }
        Ok(Manifest {
            file: backend.open(&folder.join(MANIFEST_NAME), Open::Existing)?,
            backend: Arc::clone(backend),
            folder: folder.to_path_buf(),
            store_id: scan.store_id,
            sequence: scan.sequence,
            end: scan.end,
            state_bytes: scan.state_bytes,
            sound: scan.clean,
            synced: true,
        })
    }

    /// Publishes a new manifest in `folder`: a state, given in at least one part, that has the number `sequence`. It takes the place of one
    /// that is there.
    ///
    /// # Errors
    /// Those of writing.
    pub(crate) fn create(
        backend: &Arc<dyn Backend>,
        folder: &Path,
        store_id: u64,
        sequence: u64,
        state: impl IntoIterator<Item = Result<Vec<u8>>>,
    ) -> std::result::Result<Self, Failure> {
        let written = write_new(&**backend, folder, store_id, sequence, &mut state.into_iter(), None)?;
        publish(&**backend, folder)?;
        let Written { file, end, state_bytes } = written;
        let (backend, folder) = (Arc::clone(backend), folder.to_path_buf());
        Ok(Manifest { backend, folder, file, store_id, sequence, end, state_bytes, sound: true, synced: true })
    }

    /// The number of the last commit.
    pub(crate) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Whether a record can be appended; otherwise the next commit must be published with the whole state.
    pub(crate) fn is_sound(&self) -> bool {
        self.sound
    }

    /// Whether it has become long enough to be written anew.
    pub(crate) fn is_long(&self) -> bool {
        self.end > LEAST_ROTATED.max(GROWTH * self.state_bytes)
    }

    /// Appends the record of a commit, and returns once it survives a loss of power.
    ///
    /// # Errors
    /// Those of writing; in doubt where the sync fails.
    pub(crate) fn append(&mut self, changes: &[u8]) -> std::result::Result<u64, Failure> {
        let sequence = self.sequence + 1;
        let mut record = Vec::with_capacity(changes.len() + 64);
        encode_record(Kind::Changes, sequence, changes, &mut record)?;
        self.sound = false;
        self.file.write_at(self.end, &record)?;
        self.file.sync().map_err(|error| Failure { error, in_doubt: true })?;
        self.end += record.len() as u64;
        self.sequence = sequence;
        let mut ack = Vec::new();
        encode_ack(sequence, &mut ack);
        // The commit is saved with or without it; without it, the next one is published anew.
        if self.file.write_at(self.end, &ack).is_ok() {
            self.end += ack.len() as u64;
            (self.sound, self.synced) = (true, false);
        }
        Ok(sequence)
    }

    /// Writes a new manifest with the state as it was after the last commit, given in at least one part, and with `changes` as the next
    /// commit; it takes the place of this one in one step.
    ///
    /// # Errors
    /// Those of writing; in doubt where the step may have been made or not.
    pub(crate) fn rotate(
        &mut self,
        state: impl IntoIterator<Item = Result<Vec<u8>>>,
        changes: Option<&[u8]>,
    ) -> std::result::Result<u64, Failure> {
        let written = write_new(&*self.backend, &self.folder, self.store_id, self.sequence, &mut state.into_iter(), changes)?;
        publish(&*self.backend, &self.folder).inspect_err(|failure| self.sound &= !failure.in_doubt)?;
        self.sequence += u64::from(changes.is_some());
        (self.file, self.end, self.state_bytes) = (written.file, written.end, written.state_bytes);
        (self.sound, self.synced) = (true, true);
        Ok(self.sequence)
    }
}

impl Drop for Manifest {
    fn drop(&mut self) {
        if !self.synced {
            self.file.sync().ok();
        }
    }
}

struct Written {
    file: Arc<dyn BackendFile>,
    end: u64,
    state_bytes: u64,
}

/// Writes and syncs a manifest under the name of one that is not published yet; nothing is left of it after an error.
fn write_new(
    backend: &dyn Backend,
    folder: &Path,
    store_id: u64,
    sequence: u64,
    state: &mut dyn Iterator<Item = Result<Vec<u8>>>,
    changes: Option<&[u8]>,
) -> Result<Written> {
    let path = folder.join(MANIFEST_NEW_NAME);
    if backend.exists(&path)? {
        backend.remove(&path)?;
    }
    let file = backend.open(&path, Open::New)?;
    let written = write_parts(&*file, store_id, sequence, state, changes);
    match written {
        Ok((end, state_bytes)) => Ok(Written { file, end, state_bytes }),
        Err(error) => {
            backend.remove(&path).ok();
            Err(error)
        }
    }
}

fn write_parts(
    file: &dyn BackendFile,
    store_id: u64,
    sequence: u64,
    state: &mut dyn Iterator<Item = Result<Vec<u8>>>,
    changes: Option<&[u8]>,
) -> Result<(u64, u64)> {
    let (mut bytes, mut end) = (encode_header(store_id, now()), 0);
    let flush = |bytes: &mut Vec<u8>, end: &mut u64| -> Result<()> {
        file.write_at(*end, bytes)?;
        *end += bytes.len() as u64;
        bytes.clear();
        Ok(())
    };
    let mut state = state.peekable();
    loop {
        let part = state.next().unwrap_or_else(|| Ok(Vec::new()))?;
        let kind = if state.peek().is_some() { Kind::Part } else { Kind::State };
        encode_record(kind, sequence, &part, &mut bytes)?;
        flush(&mut bytes, &mut end)?;
        if kind == Kind::State {
            break;
        }
    }
    let state_bytes = end - MANIFEST_HEADER_BYTES as u64;
    let mut last = sequence;
    if let Some(changes) = changes {
        last += 1;
        encode_record(Kind::Changes, last, changes, &mut bytes)?;
    }
    encode_ack(last, &mut bytes);
    flush(&mut bytes, &mut end)?;
    file.sync()?;
    Ok((end, state_bytes))
}

/// Gives the new manifest the name of the manifest.
fn publish(backend: &dyn Backend, folder: &Path) -> std::result::Result<(), Failure> {
    let new = folder.join(MANIFEST_NEW_NAME);
    backend.rename(&new, &folder.join(MANIFEST_NAME)).inspect_err(|_| drop(backend.remove(&new)))?;
    backend.sync_folder(folder).map_err(|error| Failure { error, in_doubt: true })
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::scan::scan;
    use super::*;
    use crate::io::{Fault, FaultyBackend, MemoryBackend};

    fn folder() -> PathBuf {
        PathBuf::from("/s")
    }

    fn backend() -> (Arc<dyn Backend>, FaultyBackend) {
        let faulty = FaultyBackend::new(Arc::new(MemoryBackend::new(1 << 30)));
        faulty.create_folder(&folder()).unwrap();
        (Arc::new(faulty.clone()), faulty)
    }

    fn read(backend: &Arc<dyn Backend>) -> (Scan, Vec<String>) {
        let file = backend.open(&folder().join(MANIFEST_NAME), Open::Read).unwrap();
        let mut seen = Vec::new();
        let scan = scan(&*file, &crate::Ledger::new(u64::MAX), |_, _, payload| {
            seen.push(String::from_utf8(payload.to_vec()).unwrap());
            Ok(())
        });
        (scan.unwrap(), seen)
    }

    fn parts(seen: &[String]) -> Vec<Result<Vec<u8>>> {
        seen.iter().map(|part| Ok(part.clone().into_bytes())).collect()
    }

    #[test]
    fn commits_are_appended_and_rotated() {
        let (backend, _) = backend();
        let mut manifest = Manifest::create(&backend, &folder(), 9, 0, [Ok(Vec::new())]).unwrap();
        assert_eq!(manifest.append(b"one").unwrap(), 1);
        assert_eq!(manifest.append(b"two").unwrap(), 2);
        let (scan, seen) = read(&backend);
        assert_eq!((scan.clean, scan.store_id, scan.sequence, seen), (true, 9, 2, vec!["".into(), "one".into(), "two".into()]));
        assert_eq!(manifest.rotate(parts(&["one+".into(), "two".into()]), Some(b"three")).unwrap(), 3);
        assert_eq!(manifest.append(b"four").unwrap(), 4);
        drop(manifest);
        let (scan, seen) = read(&backend);
        assert_eq!((scan.clean, scan.sequence, seen.join(" ")), (true, 4, "one+ two three four".into()));
        let mut manifest = Manifest::open(&backend, &folder(), &scan).unwrap();
        assert!(manifest.is_sound() && !manifest.is_long());
        manifest.append(&vec![b'x'; 2 << 20]).unwrap();
        assert!(manifest.is_long());
        assert_eq!(backend.list(&folder()).unwrap(), [folder().join(MANIFEST_NAME)]);
    }

    #[test]
    fn whatever_fails_the_state_is_the_last_or_the_next() {
        for fault in [Fault::Io, Fault::DiskFull, Fault::Torn] {
            for skip in 0..40 {
                let (backend, faulty) = backend();
                let mut manifest = Manifest::create(&backend, &folder(), 9, 0, [Ok(b"-".to_vec())]).unwrap();
                let mut reported = vec!["-".to_string()];
                faulty.fail(fault, skip, 1);
                for step in 0..6 {
                    let text = step.to_string();
                    let rotate = step % 3 == 2 || !manifest.is_sound();
                    let done = match rotate {
                        true => manifest.rotate(parts(&reported), Some(text.as_bytes())),
                        false => manifest.append(text.as_bytes()),
                    };
                    match done {
                        Ok(_) => reported.push(text),
                        Err(failure) if failure.in_doubt => {
                            let (_, seen) = read(&backend);
                            let mut next = reported.clone();
                            next.push(text);
                            assert!(seen == reported || seen == next, "{fault:?} {skip}: {seen:?} {reported:?}");
                            reported = seen;
                            faulty.heal();
                            manifest = Manifest::open(&backend, &folder(), &read(&backend).0).unwrap();
                        }
                        Err(_) => assert_eq!(read(&backend).1, reported, "{fault:?} {skip}"),
                    }
                }
                faulty.heal();
                assert_eq!(read(&backend).1, reported, "{fault:?} {skip}");
            }
        }
    }
}
