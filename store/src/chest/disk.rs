//! Where units go that leave memory: scratch files, or the segments of a store.

use super::index::{Home, Loc};
use super::record::Record;
use super::saved::{Framed, Row, Saved};
use super::state::Write;
use super::unit::{Body, Homes};
use crate::{Buffer, Bytes, Chunk, Error, ErrorKind, Result, Scratch, ScratchStats, Slot};
use std::path::Path;

/// What became of a unit that was written.
pub(super) enum Written {
    /// It is in one slot.
    Slot(Slot),
    /// Its values are in frames of their own.
    Each(Vec<Framed>),
}

/// Where units go that leave memory.
pub(super) enum Disk {
    /// Scratch files, which end with the chest.
    Scratch(Scratch),
    /// The segments of a store.
    Saved(Box<Saved>),
}

impl Disk {
    /// Whether each value is written for itself.
    pub(super) fn writes_each(&self) -> bool {
        matches!(self, Disk::Saved(_))
    }

    pub(super) fn saved(&self) -> Option<&Saved> {
        match self {
            Disk::Scratch(_) => None,
            Disk::Saved(saved) => Some(saved),
        }
    }

    pub(super) fn folder(&self) -> &Path {
        match self {
            Disk::Scratch(scratch) => scratch.folder(),
            Disk::Saved(saved) => saved.store.folder(),
        }
    }

    pub(super) fn stats(&self) -> ScratchStats {
        match self {
            Disk::Scratch(scratch) => scratch.stats(),
            Disk::Saved(_) => ScratchStats::default(),
        }
    }

    pub(super) fn write(&self, write: Write) -> Result<Written> {
        match (self, write.body) {
            (Disk::Saved(saved), body) => saved.write(Write { body, ..write }).map(Written::Each),
            (Disk::Scratch(scratch), Body::Pack(buffer)) => scratch.write_pack(&Chunk::Bytes(Bytes(buffer))).map(Written::Slot),
            (Disk::Scratch(scratch), Body::Alone(chunk)) => scratch.write(&chunk).map(Written::Slot),
            (Disk::Scratch(_), Body::Open(_)) => Err(Error::new(ErrorKind::Invalid, "a pack that is being filled is not written")),
        }
    }

    /// The homes of a value on its own that was read from one.
    pub(super) fn homes_alone(&self, home: Home) -> Homes {
        match self {
            Disk::Scratch(_) => Homes::Place(home.place),
            Disk::Saved(_) => Homes::Each(vec![(0, home)]),
        }
    }

    /// The bytes of a value of which that is not known.
    pub(super) fn payload_len(&self, key: &[u8]) -> Result<u64> {
        match self {
            Disk::Scratch(_) => Err(lost()),
            Disk::Saved(saved) => saved.payload_len(key),
        }
    }

    pub(super) fn read_alone(&self, slot: Option<&Slot>, key: &[u8]) -> Result<Chunk> {
        match (self, slot) {
            (Disk::Saved(saved), _) => saved.read(key),
            (Disk::Scratch(scratch), Some(slot)) => scratch.read(slot),
            (Disk::Scratch(_), None) => Err(lost()),
        }
    }

    pub(super) fn read_pack(&self, slot: &Slot) -> Result<Buffer> {
        match self {
            Disk::Scratch(scratch) => scratch.read(slot).map(super::core::buffer_of),
            Disk::Saved(_) => Err(lost()),
        }
    }

    /// Reads one record, and gives others that were read with it, of at most about `most` bytes.
    pub(super) fn read_small(
        &self,
        slot: Option<&Slot>,
        home: Home,
        loc: Loc,
        key: (&[u8], u64),
        most: usize,
        out: &mut Vec<u8>,
    ) -> Result<Row> {
        let (key, hash) = key;
        let (scratch, slot) = match (self, slot) {
            (Disk::Saved(saved), _) => return saved.read_record(key, hash, most, out),
            (Disk::Scratch(scratch), Some(slot)) => (scratch, slot),
            (Disk::Scratch(_), None) => return Err(lost()),
        };
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
            return Ok(Row::default());
        }
        let message = format!("a spilled value of {} bytes is not what was written: its checksum differs", out.len());
        let hint = "the disk or the memory of this machine may be faulty; run again, with the scratch folder on another disk";
        let error = Error::new(ErrorKind::Corrupt, message).hint(hint);
        Err(match scratch.place_of(slot, begin) {
            Some((path, offset)) => error.at(path).offset(offset),
            None => error,
        })
    }
}

fn lost() -> Error {
    Error::new(ErrorKind::Invalid, "a value of the chest has no place on disk")
}
