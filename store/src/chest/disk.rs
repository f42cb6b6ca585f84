//! Where units go that leave memory: the scratch files.

use super::index::{Home, Loc};
use super::record::Record;
use super::state::Write;
use super::unit::Homes;
use crate::{Buffer, Chunk, Error, ErrorKind, Result, Scratch, ScratchStats, Slot};
use std::path::Path;

/// What became of a unit that was written.
pub(super) enum Written {
    /// It is in one slot.
    Slot(Slot),
    /// Its values have homes of their own.
    #[allow(dead_code)]
    Homes(Homes),
}

/// Where units go that leave memory.
pub(super) enum Disk {
    /// Scratch files, which end with the chest.
    Scratch(Scratch),
}

impl Disk {
    /// Whether each value is written for itself.
    pub(super) fn writes_each(&self) -> bool {
        false
    }

    pub(super) fn folder(&self) -> &Path {
        match self {
            Disk::Scratch(scratch) => scratch.folder(),
        }
    }

    pub(super) fn stats(&self) -> ScratchStats {
        match self {
            Disk::Scratch(scratch) => scratch.stats(),
        }
    }

    /// Takes note of a key that was put or removed, under the lock.
    pub(super) fn changed(&self, _key: &[u8], _removed: bool) {}

    pub(super) fn write(&self, write: Write) -> Result<Written> {
        match self {
            Disk::Scratch(scratch) if write.pack || matches!(write.chunk, Chunk::Scalar(_)) => scratch.write_pack(&write.chunk).map(Written::Slot),
            Disk::Scratch(scratch) => scratch.write(&write.chunk).map(Written::Slot),
        }
    }

    /// The homes of a value on its own that was read from one.
    pub(super) fn homes_alone(&self, home: Home) -> Homes {
        Homes::Place(home.place)
    }

    pub(super) fn read_alone(&self, slot: Option<&Slot>, _home: Home, _loc: Loc) -> Result<Chunk> {
        match (self, slot) {
            (Disk::Scratch(scratch), Some(slot)) => scratch.read(slot),
            (Disk::Scratch(_), None) => Err(Error::new(ErrorKind::Invalid, "a value has no slot")),
        }
    }

    pub(super) fn read_pack(&self, slot: &Slot) -> Result<Buffer> {
        match self {
            Disk::Scratch(scratch) => scratch.read(slot).map(super::core::buffer_of),
        }
    }

    /// Reads one record.
    pub(super) fn read_small(&self, slot: Option<&Slot>, home: Home, loc: Loc, hash: u64, out: &mut Vec<u8>) -> Result<()> {
        match (self, slot) {
            (Disk::Scratch(scratch), Some(slot)) => {
                let begin = home.offset as usize;
                if Scratch::has_parts(slot) {
                    out.resize(loc.bytes() as usize, 0);
                    scratch.read_part(slot, begin, out)?;
                } else {
                    let pack = scratch.read(slot)?;
                    let bytes = super::core::bytes_of(&pack).get(begin..).unwrap_or_default();
                    out.extend_from_slice(bytes.get(..loc.bytes() as usize).unwrap_or(bytes));
                }
                if Record::at(out, 0).is_some_and(|record| record.hash == hash && record.is_sound()) {
                    return Ok(());
                }
                let message = format!("a spilled value of {} bytes is not what was written: its checksum differs", out.len());
                let hint = "the disk or the memory of this machine may be faulty; run again, with the scratch folder on another disk";
                let error = Error::new(ErrorKind::Corrupt, message).hint(hint);
                Err(match scratch.place_of(slot, begin) {
                    Some((path, offset)) => error.at(path).offset(offset),
                    None => error,
                })
            }
            (Disk::Scratch(_), None) => Err(Error::new(ErrorKind::Invalid, "a value has no slot")),
        }
    }
}
