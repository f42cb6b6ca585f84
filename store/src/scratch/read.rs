//! Reading a slot back, and checking that it is what was written.

use super::extents::Extent;
use super::open::Scratch;
use super::slot::{Run, Slot};
use crate::Chunk;
use crate::codec::{STAGING_BYTES, Staging};
use crate::format::BLOCK_BYTES;
use crate::{BufferMut, Encoding, Error, ErrorKind, Result, checksum};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

impl Scratch {
    /// Reads a chunk into a new buffer of the arena.
    ///
    /// # Errors
    /// Corrupt, naming file and place, where the bytes are not those that were written; out of memory where the arena
    /// has no room; the error of a failed read. The slot stays as it is.
    pub fn read(&self, slot: &Slot) -> Result<Chunk> {
        self.read_into(slot, self.arena.alloc(slot.nbytes)?)
    }

    /// As [`Scratch::read`], into a buffer of exactly [`Slot::nbytes`].
    ///
    /// # Errors
    /// As for [`Scratch::read`]; Invalid for a buffer of another length or a slot of another scratch.
    pub fn read_into(&self, slot: &Slot, mut buffer: BufferMut) -> Result<Chunk> {
        if !Arc::ptr_eq(slot.room.space(), &self.space) {
            return Err(Error::new(ErrorKind::Invalid, "the slot is of another scratch").at(self.folder()));
        }
        if buffer.len() != slot.nbytes {
            let message = format!("a slot of {} bytes cannot be read into a buffer of {}", slot.nbytes, buffer.len());
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let stored = match padded_target(slot, &mut buffer) {
            Some(target) => self.read_mapping(slot, target)?,
            None => self.staging.with(|staging| self.read_staged(slot, &mut buffer, staging))?,
        };
        self.counters.read.fetch_add(slot.nbytes(), Relaxed);
        self.counters.read_stored.fetch_add(stored, Relaxed);
        Chunk::from_parts(slot.header.clone(), buffer.freeze(), 0)
    }

    /// Reads raw pieces to where they belong.
    fn read_mapping(&self, slot: &Slot, target: &mut [u8]) -> Result<u64> {
        let mut stored = 0;
        for run in slot.runs(u32::MAX)? {
            let begin = slot.piece_range(run.pieces.start).start;
            let end = begin + run.blocks as usize * BLOCK_BYTES;
            let part = target.get_mut(begin..end).ok_or_else(|| Error::new(ErrorKind::Invalid, "a run is longer than its chunk"))?;
            stored += self.read_run(&run, part)?;
            for number in run.pieces.clone() {
                let range = slot.piece_range(number);
                let piece = part.get(range.start - begin..range.end - begin).unwrap_or_default();
                self.check(slot, &run, number, piece, range.start - begin)?;
            }
        }
        Ok(stored)
    }

    /// Reads runs into the staging buffer, and decodes them from there.
    fn read_staged(&self, slot: &Slot, buffer: &mut BufferMut, staging: &mut Staging) -> Result<u64> {
        let wrong = || Error::new(ErrorKind::Invalid, "a piece is longer than its chunk");
        let mut stored = 0;
        for run in slot.runs((STAGING_BYTES / BLOCK_BYTES) as u32)? {
            let (codec, memory) = staging.parts();
            let memory = memory.get_mut(..run.blocks as usize * BLOCK_BYTES).ok_or_else(wrong)?;
            stored += self.read_run(&run, memory)?;
            let mut at = 0;
            for number in run.pieces.clone() {
                let length = slot.pieces.get(number).map_or(0, |piece| piece.stored as usize);
                let bytes = memory.get(at..at + length).ok_or_else(wrong)?;
                self.check(slot, &run, number, bytes, at)?;
                let out = buffer.get_mut(slot.piece_range(number)).ok_or_else(wrong)?;
                match out.len() == length {
                    true => out.copy_from_slice(bytes),
                    false => codec.decode(slot.encoding, slot.item_size, bytes, out)?,
                }
                at += length.next_multiple_of(BLOCK_BYTES);
            }
        }
        Ok(stored)
    }

    fn read_run(&self, run: &Run, out: &mut [u8]) -> Result<u64> {
        let (file, begin) = self.space.place(&Extent { file: run.file, start: run.start, blocks: run.blocks })?;
        file.read_at(begin, out)?;
        Ok(out.len() as u64)
    }

    /// Compares the checksum of a stored piece, which begins at byte `at` of its run.
    fn check(&self, slot: &Slot, run: &Run, number: usize, bytes: &[u8], at: usize) -> Result<()> {
        let expected = slot.pieces.get(number).map(|piece| piece.checksum);
        let found = checksum(bytes);
        if expected == Some(found) {
            return Ok(());
        }
        let (file, begin) = self.space.place(&Extent { file: run.file, start: run.start, blocks: run.blocks })?;
        let message = format!(
            "{} spilled bytes are not those that were written: checksum {found:016x}, expected {:016x}",
            bytes.len(),
            expected.unwrap_or(0)
        );
        let hint = "the disk or the memory of this machine may be faulty; run again, with the scratch folder on another disk";
        Err(Error::new(ErrorKind::Corrupt, message).at(file.path()).offset(begin + at as u64).hint(hint))
    }
}

/// Where raw pieces can be read to without a copy: memory that is aligned, and long enough for whole blocks.
fn padded_target<'a>(slot: &Slot, buffer: &'a mut BufferMut) -> Option<&'a mut [u8]> {
    if slot.encoding != Encoding::Raw {
        return None;
    }
    let padded = buffer.padded_mut();
    let fits = padded.as_ptr().addr().is_multiple_of(BLOCK_BYTES) && padded.len() >= slot.nbytes.next_multiple_of(BLOCK_BYTES);
    fits.then_some(padded)
}
