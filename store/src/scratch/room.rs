//! Room in the scratch files: handing it out, growing, the quota.

use super::extents::{Extent, Extents};
use crate::format::BLOCK_BYTES;
use crate::io::BackendFile;
use crate::{Error, ErrorKind, Result};
use parking_lot::Mutex;
use smallvec::SmallVec;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The least and the most by which a file grows, in blocks: 16 MiB and 512 MiB.
const LEAST_STEP: u64 = (16 << 20) / BLOCK_BYTES as u64;
const MOST_STEP: u64 = (512 << 20) / BLOCK_BYTES as u64;

/// The blocks that `bytes` take.
pub(crate) fn blocks_of(bytes: usize) -> u32 {
    bytes.div_ceil(BLOCK_BYTES).try_into().unwrap_or(u32::MAX)
}

/// The files, and what of them is free.
#[derive(Debug)]
pub(crate) struct Space {
    folder: PathBuf,
    quota: Option<u64>,
    files: Vec<Arc<dyn BackendFile>>,
    extents: Mutex<Extents>,
    /// Held while files grow, so that `extents` need not be.
    growing: Mutex<()>,
    /// Blocks that a failed write has touched: never used again.
    retired: AtomicU64,
}

impl Space {
    /// Empty files.
    pub(crate) fn new(folder: PathBuf, quota: Option<u64>, files: Vec<Arc<dyn BackendFile>>) -> Self {
        let extents = Mutex::new(Extents::new(files.len()));
        Space { folder, quota, files, extents, growing: Mutex::new(()), retired: AtomicU64::new(0) }
    }

    /// The file of an extent, and where in it the extent begins, in bytes.
    pub(crate) fn place(&self, extent: &Extent) -> Result<(&dyn BackendFile, u64)> {
        match self.files.get(extent.file as usize) {
            Some(file) => Ok((&**file, u64::from(extent.start) * BLOCK_BYTES as u64)),
            None => Err(Error::new(ErrorKind::Invalid, "there is no such scratch file").at(&self.folder)),
        }
    }

    /// As [`Space::place`], of the extent that begins with block `start`.
    pub(super) fn place_of(&self, file: u32, start: u32) -> Result<(&dyn BackendFile, u64)> {
        self.place(&Extent { file, start, blocks: 0 })
    }

    /// The bytes of the files, and those of them that hold something.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        let extents = self.extents.lock();
        let used = (extents.blocks() - extents.free()).saturating_sub(self.retired.load(Relaxed));
        (extents.blocks() * BLOCK_BYTES as u64, used * BLOCK_BYTES as u64)
    }

    /// A run of blocks, at least one; the files grow where none is free.
    fn take(&self, blocks: u32) -> Result<Extent> {
        let blocks = blocks.max(1);
        loop {
            if let Some(extent) = self.extents.lock().take(blocks) {
                return Ok(extent);
            }
            let _growing = self.growing.lock();
            if let Some(extent) = self.extents.lock().take(blocks) {
                return Ok(extent);
            }
            self.grow(blocks)?;
        }
    }

    /// Makes the shortest file longer, so that a run of `blocks` is free at its end; the one with the longest free end
    /// where the quota is near.
    fn grow(&self, blocks: u32) -> Result<()> {
        let total = self.extents.lock().blocks();
        let left = match self.quota {
            Some(quota) => (quota / BLOCK_BYTES as u64).saturating_sub(total),
            None => u64::MAX,
        };
        let step = (total / 4).clamp(LEAST_STEP, MOST_STEP);
        let mut refusal = None;
        for (by_tail, step) in [(false, step), (true, 0)] {
            let Some((number, length, tail)) = self.candidate(by_tail) else { continue };
            let missing = u64::from(blocks.saturating_sub(tail));
            if missing > left && !by_tail {
                continue;
            }
            let more = step.max(missing).min(left).min(u64::from(u32::MAX - length));
            let longer = length + u32::try_from(more).unwrap_or(0);
            let file = self.files.get(number as usize);
            match file.map_or(Ok(()), |file| file.allocate(u64::from(longer) * BLOCK_BYTES as u64)) {
                Ok(()) => {
                    self.extents.lock().grow(number, longer);
                    // With less than was asked for, the room is there for smaller parts.
                    return if more >= missing { Ok(()) } else { Err(self.full(blocks, None)) };
                }
                Err(e) if e.kind() == ErrorKind::DiskFull => refusal = Some(e),
                Err(e) => return Err(e),
            }
        }
        Err(self.full(blocks, refusal))
    }

    /// The number of the shortest file, or of the one with the longest free end, its length, and that end.
    fn candidate(&self, by_tail: bool) -> Option<(u32, u32, u32)> {
        let extents = self.extents.lock();
        let all = (0..self.files.len() as u32).map(|number| (number, extents.length(number), extents.tail(number)));
        match by_tail {
            true => all.max_by_key(|(_, _, tail)| *tail),
            false => all.min_by_key(|(_, length, _)| *length),
        }
    }

    fn full(&self, blocks: u32, refusal: Option<Error>) -> Error {
        let (files, used) = self.bytes();
        let need = u64::from(blocks) * BLOCK_BYTES as u64;
        let limit = match (self.quota, refusal) {
            (Some(quota), None) => format!("the quota is {quota} bytes"),
            (quota, refusal) => {
                let quota = quota.map_or(String::new(), |quota| format!(" (the quota of {quota} bytes is not reached)"));
                format!("the disk is full{quota}: {}", refusal.map_or(String::new(), |e| e.to_string()))
            }
        };
        let message = format!("no room to spill {need} bytes: the scratch files have {files} bytes, {used} of them in use, and {limit}");
        let hint = "raise the quota, free space on the disk, use a scratch folder on another disk, or raise the memory bound";
        Error::new(ErrorKind::DiskFull, message).at(&self.folder).hint(hint)
    }
}

/// Extents that one value has; they are free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Room {
    space: Arc<Space>,
    extents: SmallVec<[Extent; 1]>,
}

impl Room {
    /// No extents yet.
    pub(crate) fn new(space: &Arc<Space>) -> Self {
        Room { space: Arc::clone(space), extents: SmallVec::new() }
    }

    pub(crate) fn space(&self) -> &Arc<Space> {
        &self.space
    }

    pub(crate) fn extents(&self) -> &[Extent] {
        &self.extents
    }

    pub(crate) fn blocks(&self) -> u64 {
        self.extents.iter().map(|extent| u64::from(extent.blocks)).sum()
    }

    /// One more extent of `blocks`; where there is no such run, one of `at_least`.
    pub(crate) fn take(&mut self, blocks: u32, at_least: u32) -> Result<Extent> {
        let extent = match self.space.take(blocks) {
            Err(e) if e.kind() == ErrorKind::DiskFull && at_least < blocks => self.space.take(at_least)?,
            other => other?,
        };
        self.extents.push(extent);
        Ok(extent)
    }

    /// Extents of `blocks` together: one where possible, else several, each but the last a multiple of `unit`.
    pub(crate) fn take_all(&mut self, mut blocks: u32, unit: u32) -> Result<()> {
        if blocks == 0 {
            return Ok(());
        }
        let full = match self.space.take(blocks) {
            Ok(extent) => {
                self.extents.push(extent);
                return Ok(());
            }
            Err(e) if e.kind() == ErrorKind::DiskFull => e,
            Err(e) => return Err(e),
        };
        while blocks > 0 {
            let part = {
                let mut extents = self.space.extents.lock();
                let largest = extents.largest();
                let size = if largest >= blocks { blocks } else { largest - largest % unit };
                extents.take(size)
            };
            match part {
                Some(extent) => {
                    blocks -= extent.blocks;
                    self.extents.push(extent);
                }
                None => {
                    self.free();
                    return Err(full);
                }
            }
        }
        Ok(())
    }

    /// Cuts the last extent to its first `blocks`.
    pub(crate) fn trim_last(&mut self, blocks: u32) {
        if let Some(extent) = self.extents.last_mut() {
            self.space.extents.lock().trim(extent, blocks);
            if extent.blocks == 0 {
                self.extents.pop();
            }
        }
    }

    /// After a failed write: gives up the extents, and never uses their blocks again.
    pub(crate) fn retire(&mut self) {
        self.space.retired.fetch_add(self.blocks(), Relaxed);
        self.extents.clear();
    }

    fn free(&mut self) {
        if !self.extents.is_empty() {
            let mut extents = self.space.extents.lock();
            self.extents.drain(..).for_each(|extent| extents.give(extent));
        }
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.free();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::io::{Backend, MemoryBackend, Open};
    use std::path::Path;

    const MIB: u32 = 256;

    fn space(disk: u64, quota: Option<u64>) -> Arc<Space> {
        let backend = MemoryBackend::new(disk);
        backend.create_folder(Path::new("/m")).unwrap();
        let files = (0..2).map(|i| backend.open(Path::new(&format!("/m/{i}")), Open::Create).unwrap()).collect();
        Arc::new(Space::new("/m".into(), quota, files))
    }

    #[test]
    fn growth_is_bounded_by_the_quota_and_the_disk() {
        for space in [space(40 << 20, None), space(1 << 40, Some(40 << 20))] {
            let mut rooms = Vec::new();
            let error = loop {
                let mut room = Room::new(&space);
                match room.take_all(3 * MIB, 1) {
                    Ok(()) => rooms.push(room),
                    Err(e) => break e,
                }
            };
            assert_eq!((rooms.len(), error.kind()), (13, ErrorKind::DiskFull));
            assert!(error.to_string().contains("raise the quota"), "{error}");
            let mut small = Room::new(&space);
            small.take_all(MIB, 1).unwrap();
            assert_eq!(space.bytes().1, 40 << 20);
            rooms.clear();
            drop(small);
            assert_eq!(space.bytes().1, 0);
        }
    }

    #[test]
    fn scattered_room_is_used_before_the_disk_is_called_full() {
        let space = space(1 << 40, Some(16 << 20));
        let rooms: Vec<_> = (0..16)
            .map(|_| {
                let mut room = Room::new(&space);
                room.take(MIB, MIB).unwrap();
                room
            })
            .collect();
        let kept: Vec<_> = rooms.into_iter().enumerate().filter(|(i, _)| i % 2 == 0).collect();
        let mut room = Room::new(&space);
        room.take_all(4 * MIB, MIB).unwrap();
        assert_eq!((room.extents().len(), room.blocks()), (4, u64::from(4 * MIB)));
        let mut more = Room::new(&space);
        assert_eq!(more.take_all(5 * MIB, MIB).unwrap_err().kind(), ErrorKind::DiskFull);
        assert!(more.extents().is_empty());
        more.take_all(4 * MIB, MIB).unwrap();
        drop(kept);
    }

    #[test]
    fn retired_blocks_are_not_used_again() {
        let space = space(1 << 40, Some(16 << 20));
        let mut room = Room::new(&space);
        room.take_all(10 * MIB, 1).unwrap();
        room.retire();
        drop(room);
        assert_eq!(space.bytes(), (16 << 20, 0));
        assert!(Room::new(&space).take_all(7 * MIB, 1).is_err());
        Room::new(&space).take_all(6 * MIB, 1).unwrap();
    }
}
