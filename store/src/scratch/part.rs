//! Packs: chunks of which parts are read.

use super::open::Scratch;
use super::slot::Slot;
use crate::codec::STAGING_BYTES;
use crate::format::BLOCK_BYTES;
use crate::{Chunk, Encoding, Error, ErrorKind, Result};
use std::sync::atomic::Ordering::Relaxed;

impl Scratch {
    /// As [`Scratch::write`], but as it is, unless an encoding was asked for: parts of what is written so can be read.
    pub(crate) fn write_pack(&self, chunk: &Chunk) -> Result<Slot> {
        let slot = self.write_as(self.encoding.unwrap_or(Encoding::Raw), chunk)?;
        self.counters.slot_made(&slot);
        Ok(slot)
    }

    /// Whether parts of a slot can be read.
    pub(crate) fn has_parts(slot: &Slot) -> bool {
        slot.encoding == Encoding::Raw
    }

    /// Reads the bytes of a payload from byte `begin` on. They are not compared with any checksum: who wrote them has to do that.
    ///
    /// # Errors
    /// Invalid for bytes that there are not, or a slot that is encoded; the error of a failed read.
    pub(crate) fn read_part(&self, slot: &Slot, begin: usize, out: &mut [u8]) -> Result<()> {
        let wrong = || Error::new(ErrorKind::Invalid, "a part of a slot that there is not").at(self.folder());
        let end = begin.checked_add(out.len()).filter(|end| *end <= slot.nbytes).ok_or_else(wrong)?;
        if !Self::has_parts(slot) {
            return Err(wrong());
        }
        let mut stored = 0;
        let read: Result<()> = self.staging.with(|staging| {
            let (_, memory) = staging.parts();
            for run in slot.runs(u32::MAX)? {
                let first = slot.piece_range(run.pieces.start).start;
                let last = first + run.blocks as usize * BLOCK_BYTES;
                let (mut at, until) = (begin.max(first), end.min(last));
                while at < until {
                    let (file, place) = self.space.place_of(run.file, run.start)?;
                    let skip = (at - first) / BLOCK_BYTES * BLOCK_BYTES;
                    let length = (until - first - skip).next_multiple_of(BLOCK_BYTES).min(STAGING_BYTES);
                    let blocks = memory.get_mut(..length).ok_or_else(wrong)?;
                    file.read_at(place + skip as u64, blocks)?;
                    stored += length as u64;
                    let upto = until.min(first + skip + length);
                    let from = blocks.get(at - first - skip..upto - first - skip).ok_or_else(wrong)?;
                    out.get_mut(at - begin..upto - begin).ok_or_else(wrong)?.copy_from_slice(from);
                    at = upto;
                }
            }
            Ok(())
        });
        read?;
        self.counters.read.fetch_add(out.len() as u64, Relaxed);
        self.counters.read_stored.fetch_add(stored, Relaxed);
        Ok(())
    }

    /// Where byte `begin` of the payload of a slot that has parts stands, for messages.
    pub(crate) fn place_of(&self, slot: &Slot, begin: usize) -> Option<(std::path::PathBuf, u64)> {
        let runs = slot.runs(u32::MAX).ok()?;
        let run = runs.iter().rev().find(|run| slot.piece_range(run.pieces.start).start <= begin)?;
        let (file, place) = self.space.place_of(run.file, run.start).ok()?;
        Some((file.path().to_path_buf(), place + (begin - slot.piece_range(run.pieces.start).start) as u64))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::io::MemoryBackend;
    use crate::{Arena, Bytes, Ledger, ScratchOptions};
    use std::sync::Arc;

    #[test]
    fn parts_are_the_bytes_of_the_whole() {
        let arena = Arena::new(Ledger::new(64 << 20));
        let backend = Arc::new(MemoryBackend::new(64 << 20));
        let scratch = Scratch::open_on(backend, ScratchOptions::new("/m").threads(1), &arena).unwrap();
        for len in [5_000usize, 1 << 20, (3 << 20) + 77] {
            let mut buffer = arena.alloc(len).unwrap();
            buffer.iter_mut().enumerate().for_each(|(i, byte)| *byte = (i * 31 + i / 4096) as u8);
            let buffer = buffer.freeze();
            let slot = scratch.write_pack(&Chunk::Bytes(Bytes(buffer.clone()))).unwrap();
            for (begin, n) in [(0, 1), (0, len), (len - 1, 1), (len / 3, len / 2), (4095, 2), (len, 0)] {
                let mut out = vec![0; n];
                scratch.read_part(&slot, begin, &mut out).unwrap();
                assert_eq!(out, buffer[begin..begin + n]);
                assert!(scratch.place_of(&slot, begin).is_some());
            }
            assert!(scratch.read_part(&slot, len, &mut [0]).is_err());
        }
    }
}
