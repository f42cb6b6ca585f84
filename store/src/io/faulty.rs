//! A backend whose operations fail when told to.

use super::backend::{Backend, BackendFile, Lock, Open};
use super::map::FileMap;
use crate::{Error, Result};
use parking_lot::Mutex;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How an operation fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The medium reports an error; nothing is done.
    Io,
    /// The disk is full; nothing is done. Reads and removals are not hit.
    DiskFull,
    /// The first half of a write is done, and an error reported. Others fail as by [`Fault::Io`].
    Torn,
    /// One bit of what is read or written is wrong, and nothing is reported. Others are not hit.
    FlippedBit,
    /// One bit of what is read is wrong, and nothing is reported. Others are not hit.
    FlippedRead,
}

/// Passes operations on to another backend, until told that some fail. Clones share the plan and the count.
#[derive(Debug, Clone)]
pub struct FaultyBackend {
    inner: Arc<dyn Backend>,
    plan: Arc<Mutex<Plan>>,
}

#[derive(Debug, Default)]
struct Plan {
    done: u64,
    fault: Option<Fault>,
    from: u64,
    until: u64,
}

/// What an operation does, for the choice of faults that hit it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Does {
    Read,
    Write,
    Room,
    Other,
    Remove,
}

impl FaultyBackend {
    /// Passes all on to `inner`.
    pub fn new(inner: Arc<dyn Backend>) -> Self {
        FaultyBackend { inner, plan: Arc::default() }
    }

    /// The operations so far.
    pub fn operations(&self) -> u64 {
        self.plan.lock().done
    }

    /// Lets the operation after `skip` more fail, and `count - 1` after it.
    pub fn fail(&self, fault: Fault, skip: u64, count: u64) {
        let mut plan = self.plan.lock();
        plan.fault = Some(fault);
        plan.from = plan.done.saturating_add(skip);
        plan.until = plan.from.saturating_add(count);
    }

    /// Lets no more operations fail.
    pub fn heal(&self) {
        self.plan.lock().fault = None;
    }
}

impl Plan {
    /// Counts an operation, and says how it fails if it does.
    fn next(&mut self, does: Does) -> Option<Fault> {
        let at = self.done;
        self.done += 1;
        let fault = self.fault.filter(|_| (self.from..self.until).contains(&at))?;
        match (fault, does) {
            (Fault::DiskFull, Does::Read | Does::Remove) => None,
            (Fault::FlippedRead, does) if does != Does::Read => None,
            (Fault::FlippedBit, Does::Room | Does::Other | Does::Remove) => None,
            (Fault::Torn, does) if does != Does::Write => Some(Fault::Io),
            (fault, _) => Some(fault),
        }
    }
}

/// The error of an operation that fails, or how it is otherwise hit.
fn meet(plan: &Mutex<Plan>, does: Does, path: &Path) -> Result<Option<Fault>> {
    let fault = plan.lock().next(does);
    match fault {
        Some(Fault::Io) => Err(Error::io("an injected fault", std::io::ErrorKind::Other.into()).at(path)),
        Some(Fault::DiskFull) => Err(Error::io("an injected fault", std::io::ErrorKind::StorageFull.into()).at(path)),
        other => Ok(other),
    }
}

impl Backend for FaultyBackend {
    fn create_folder(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        meet(&self.plan, Does::Other, folder)?;
        self.inner.create_folder(folder)
    }

    fn check_folder(&self, folder: &Path) -> Result<()> {
        self.inner.check_folder(folder)
    }

    fn open(&self, path: &Path, how: Open) -> Result<Arc<dyn BackendFile>> {
        meet(&self.plan, Does::Other, path)?;
        Ok(Arc::new(FaultyFile { inner: self.inner.open(path, how)?, plan: Arc::clone(&self.plan) }))
    }

    fn list(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        meet(&self.plan, Does::Other, folder)?;
        self.inner.list(folder)
    }

    fn len_of(&self, path: &Path) -> Result<Option<u64>> {
        self.inner.len_of(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        meet(&self.plan, Does::Other, to)?;
        self.inner.rename(from, to)
    }

    fn hard_link(&self, from: &Path, to: &Path) -> Result<()> {
        meet(&self.plan, Does::Other, to)?;
        self.inner.hard_link(from, to)
    }

    fn sync_folder(&self, folder: &Path) -> Result<()> {
        meet(&self.plan, Does::Other, folder)?;
        self.inner.sync_folder(folder)
    }

    fn remove(&self, path: &Path) -> Result<()> {
        meet(&self.plan, Does::Remove, path)?;
        self.inner.remove(path)
    }

    fn remove_folder(&self, folder: &Path) -> Result<()> {
        meet(&self.plan, Does::Remove, folder)?;
        self.inner.remove_folder(folder)
    }

    fn remove_empty_folder(&self, folder: &Path) -> Result<()> {
        meet(&self.plan, Does::Remove, folder)?;
        self.inner.remove_empty_folder(folder)
    }

    fn lock(&self, path: &Path) -> Result<Option<Lock>> {
        meet(&self.plan, Does::Other, path)?;
        self.inner.lock(path)
    }
}

#[derive(Debug)]
struct FaultyFile {
    inner: Arc<dyn BackendFile>,
    plan: Arc<Mutex<Plan>>,
}

impl BackendFile for FaultyFile {
    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<()> {
        let fault = meet(&self.plan, Does::Read, self.inner.path())?;
        self.inner.read_at(offset, bytes)?;
        if let (Some(Fault::FlippedBit | Fault::FlippedRead), Some(byte)) = (fault, bytes.first_mut()) {
            *byte ^= 0x10;
        }
        Ok(())
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        match meet(&self.plan, Does::Write, self.inner.path())? {
            Some(Fault::Torn) => {
                self.inner.write_at(offset, bytes.get(..bytes.len() / 2).unwrap_or_default())?;
                Err(Error::io("an injected torn write", std::io::ErrorKind::Other.into()).at(self.inner.path()).offset(offset))
            }
            Some(Fault::FlippedBit) => {
                self.inner.write_at(offset, bytes)?;
                match bytes.first() {
                    Some(byte) => self.inner.write_at(offset, &[byte ^ 0x10]),
                    None => Ok(()),
                }
            }
            _ => self.inner.write_at(offset, bytes),
        }
    }

    fn allocate(&self, len: u64) -> Result<()> {
        meet(&self.plan, Does::Room, self.inner.path())?;
        self.inner.allocate(len)
    }

    fn truncate(&self, len: u64) -> Result<()> {
        meet(&self.plan, Does::Room, self.inner.path())?;
        self.inner.truncate(len)
    }

    fn sync(&self) -> Result<()> {
        meet(&self.plan, Does::Other, self.inner.path())?;
        self.inner.sync()
    }

    fn len(&self) -> Result<u64> {
        self.inner.len()
    }

    fn map(&self, offset: u64, len: usize) -> Result<Option<FileMap>> {
        let fault = meet(&self.plan, Does::Read, self.inner.path())?;
        let map = self.inner.map(offset, len)?;
        Ok(if matches!(fault, Some(Fault::FlippedBit | Fault::FlippedRead)) { map.map(FileMap::flipped) } else { map })
    }

    fn path(&self) -> &Path {
        self.inner.path()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::ErrorKind;
    use crate::io::{MemoryBackend, check_backend};

    fn faulty() -> FaultyBackend {
        let backend = FaultyBackend::new(Arc::new(MemoryBackend::new(1 << 30)));
        backend.create_folder(Path::new("/m")).unwrap();
        backend
    }

    #[test]
    fn without_faults_it_conforms() {
        check_backend(&faulty(), Path::new("/m")).unwrap();
    }

    #[test]
    fn faults_come_when_told() {
        let backend = faulty();
        let file = backend.open(Path::new("/m/f"), Open::Create).unwrap();
        backend.fail(Fault::Io, 1, 1);
        file.write_at(0, &[1; 8]).unwrap();
        assert_eq!(file.write_at(0, &[2; 8]).unwrap_err().kind(), ErrorKind::Io);
        backend.fail(Fault::Torn, 0, 1);
        file.write_at(0, &[3; 8]).unwrap_err();
        let mut bytes = [0; 8];
        file.read_at(0, &mut bytes).unwrap();
        assert_eq!(bytes, [3, 3, 3, 3, 1, 1, 1, 1]);
        backend.fail(Fault::DiskFull, 0, 9);
        file.read_at(0, &mut bytes).unwrap();
        assert_eq!(file.allocate(100).unwrap_err().kind(), ErrorKind::DiskFull);
        backend.fail(Fault::FlippedBit, 0, 1);
        file.read_at(0, &mut bytes).unwrap();
        assert_eq!(bytes[0], 3 ^ 0x10);
        backend.fail(Fault::Io, 0, 1);
        backend.heal();
        file.sync().unwrap();
    }
}
