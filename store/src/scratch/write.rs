//! Writing a chunk to a slot.
//!
//! ```text
//! raw         payload in its own padded mapping  ----------------- O_DIRECT --->  one extent (several if scattered)
//! otherwise   payload -- piece by piece: encode, pad to 4096 -->  staging  --->  extents, the last trimmed
//! ```

use super::open::Scratch;
use super::room::{Room, blocks_of};
use super::slot::{Piece, Slot, piece_range};
use crate::Chunk;
use crate::codec::Staging;
use crate::format::{BLOCK_BYTES, PIECE_BYTES};
use crate::{Encoding, Error, ErrorKind, Result, checksum};
use std::sync::Arc;
use std::time::Instant;

impl Scratch {
    /// Writes a chunk. It takes no memory beside a small [`Slot`] and the staging buffers booked at the opening.
    ///
    /// # Errors
    /// Disk full where the disk or the quota leaves no room; the error of a failed write; Invalid for a scalar, which
    /// is kept where it is. Nothing else that was written is lost, and `chunk` is as good as before.
    pub fn write(&self, chunk: &Chunk) -> Result<Slot> {
        self.write_in_group(0, chunk)
    }

    /// As [`Scratch::write`]; the encoding that pays is found out and remembered for the chunks of each `group`, such
    /// as those of one array.
    ///
    /// # Errors
    /// As for [`Scratch::write`].
    pub fn write_in_group(&self, group: u64, chunk: &Chunk) -> Result<Slot> {
        if let Chunk::Scalar(_) = chunk {
            return Err(Error::new(ErrorKind::Invalid, "a scalar is kept inline and never spilled"));
        }
        let payload = payload_of(chunk);
        let find = || self.staging.with(|staging| self.verdicts.find(group, chunk, payload, staging.parts().0));
        let encoding = self.encoding.or_else(|| self.verdicts.remembered(group, chunk)).unwrap_or_else(find);
        let start = Instant::now();
        let slot = match self.write_as(encoding, chunk) {
            Err(full) if full.kind() == ErrorKind::DiskFull && encoding == Encoding::Raw && self.encoding.is_none() => {
                // What does not pay in time may still fit.
                match self.staging.with(|staging| staging.parts().0.probe_smallest(payload, chunk.item_size())) {
                    Encoding::Raw => return Err(full),
                    tight => self.write_as(tight, chunk).map_err(|_| full)?,
                }
            }
            other => other?,
        };
        if slot.encoding != Encoding::Raw {
            self.verdicts.encoded(group, chunk, slot.nbytes, start.elapsed());
        }
        self.counters.slot_made(&slot);
        Ok(slot)
    }

    pub(super) fn write_as(&self, encoding: Encoding, chunk: &Chunk) -> Result<Slot> {
        let payload = payload_of(chunk);
        let header = chunk.header()?;
        let mut sink = Sink { scratch: self, room: Room::new(&self.space), at: 0 };
        let written = match (encoding, padded_payload(chunk)) {
            (Encoding::Raw, Some(padded)) => sink.put_mapping(payload, padded),
            (Encoding::Raw, None) => self.staging.with(|staging| sink.put_copied(payload, staging)),
            _ => self.staging.with(|staging| sink.put_encoded(encoding, chunk.item_size(), payload, staging)),
        };
        let pieces = match written {
            Ok(pieces) => pieces,
            Err(e) => {
                if e.kind() == ErrorKind::Io {
                    sink.room.retire();
                }
                return Err(e);
            }
        };
        let room = sink.room;
        let (nbytes, item_size, counters) = (payload.len(), chunk.item_size(), Arc::clone(&self.counters));
        Ok(Slot { room, header, encoding, nbytes, item_size, pieces: pieces.into_boxed_slice(), counters })
    }
}

/// The bytes of a chunk.
pub(super) fn payload_of(chunk: &Chunk) -> &[u8] {
    let (buffer, offset, len) = chunk.payload();
    buffer.get(offset..offset + len).unwrap_or_default()
}

/// The payload with what follows it up to a multiple of 4096, where it stands aligned in a mapping of its own.
fn padded_payload(chunk: &Chunk) -> Option<&[u8]> {
    let (buffer, offset, len) = chunk.payload();
    let padded = buffer.padded()?;
    let part = padded.get(offset..offset.checked_add(len.next_multiple_of(BLOCK_BYTES))?)?;
    part.as_ptr().addr().is_multiple_of(BLOCK_BYTES).then_some(part)
}

/// Where the pieces of one payload go.
struct Sink<'a> {
    scratch: &'a Scratch,
    room: Room,
    /// The blocks of the last extent that are filled.
    at: u32,
}

impl Sink<'_> {
    /// Writes a padded payload from where it stands.
    fn put_mapping(&mut self, payload: &[u8], padded: &[u8]) -> Result<Vec<Piece>> {
        self.room.take_all(blocks_of(padded.len()), blocks_of(PIECE_BYTES))?;
        let mut rest = padded;
        for extent in self.room.extents() {
            let (part, after) = rest.split_at_checked(extent.blocks as usize * BLOCK_BYTES).unwrap_or((rest, &[]));
            self.write(extent, 0, part)?;
            rest = after;
        }
        Ok(payload.chunks(PIECE_BYTES).map(raw_piece).collect())
    }

    /// Writes a payload through the staging buffer.
    fn put_copied(&mut self, payload: &[u8], staging: &mut Staging) -> Result<Vec<Piece>> {
        self.room.take_all(blocks_of(payload.len()), blocks_of(PIECE_BYTES))?;
        let (_, memory) = staging.parts();
        let mut rest = payload;
        for extent in self.room.extents() {
            let (part, after) = rest.split_at_checked(extent.blocks as usize * BLOCK_BYTES).unwrap_or((rest, &[]));
            for (number, piece) in part.chunks(memory.len()).enumerate() {
                let padded = pad(memory, 0, piece)?;
                self.write(extent, blocks_of(number * memory.len()), memory.get(..padded).unwrap_or_default())?;
            }
            rest = after;
        }
        Ok(payload.chunks(PIECE_BYTES).map(raw_piece).collect())
    }

    /// Encodes piece after piece into the staging buffer, and writes it whenever it may not take one more.
    fn put_encoded(&mut self, encoding: Encoding, item_size: usize, payload: &[u8], staging: &mut Staging) -> Result<Vec<Piece>> {
        let count = payload.len().div_ceil(PIECE_BYTES);
        let mut pieces = Vec::with_capacity(count);
        let (codec, memory) = staging.parts();
        let (mut filled, mut total) = (0, 0u64);
        for number in 0..count {
            let piece = payload.get(piece_range(payload.len(), number)).unwrap_or_default();
            // A piece that does not shrink by at least a block is stored as it is.
            let most = filled + piece.len().saturating_sub(BLOCK_BYTES);
            let encoded = match memory.get_mut(filled..most).filter(|out| !out.is_empty()) {
                Some(out) => codec.encode(encoding, item_size, piece, out)?.filter(|n| *n < out.len()),
                None => None,
            };
            let (stored, end) = match encoded {
                Some(n) => {
                    let end = filled + n.next_multiple_of(BLOCK_BYTES);
                    memory.get_mut(filled + n..end).unwrap_or_default().fill(0);
                    (n, end)
                }
                None => (piece.len(), filled + pad(memory, filled, piece)?),
            };
            let bytes = memory.get(filled..filled + stored).unwrap_or_default();
            pieces.push(Piece { checksum: checksum(bytes), stored: stored as u32 });
            filled = end;
            if memory.len() - filled < PIECE_BYTES || number + 1 == count {
                let blocks = blocks_of(filled);
                total += u64::from(blocks);
                // What comes is expected to be as compressible as what was.
                let coming = (total * (count - number - 1) as u64).div_ceil(number as u64 + 1);
                self.append(memory.get(..filled).unwrap_or_default(), blocks + u32::try_from(coming).unwrap_or(0))?;
                filled = 0;
            }
        }
        self.room.trim_last(self.at);
        Ok(pieces)
    }

    /// Writes whole blocks after those before; where there is no room, takes some for `expected` blocks in all.
    fn append(&mut self, bytes: &[u8], expected: u32) -> Result<()> {
        let blocks = blocks_of(bytes.len());
        let extent = match self.room.extents().last().copied() {
            Some(extent) if extent.blocks - self.at >= blocks => extent,
            _ => {
                self.room.trim_last(self.at);
                self.at = 0;
                self.room.take(expected, blocks)?
            }
        };
        self.write(&extent, self.at, bytes)?;
        self.at += blocks;
        Ok(())
    }

    fn write(&self, extent: &super::extents::Extent, block: u32, bytes: &[u8]) -> Result<()> {
        let (file, begin) = self.scratch.space.place(extent)?;
        let start = Instant::now();
        file.write_at(begin + u64::from(block) * BLOCK_BYTES as u64, bytes)?;
        self.scratch.verdicts.wrote(bytes.len(), start.elapsed());
        Ok(())
    }
}

fn raw_piece(piece: &[u8]) -> Piece {
    Piece { checksum: checksum(piece), stored: piece.len() as u32 }
}

/// Copies a piece to `at` and fills its last block with zeros; gives the bytes that it takes.
fn pad(memory: &mut [u8], at: usize, piece: &[u8]) -> Result<usize> {
    let padded = piece.len().next_multiple_of(BLOCK_BYTES);
    let too_small = || Error::new(ErrorKind::Invalid, "a piece is larger than the staging buffer");
    let out = memory.get_mut(at..at + padded).ok_or_else(too_small)?;
    let (content, rest) = out.split_at_mut_checked(piece.len()).ok_or_else(too_small)?;
    content.copy_from_slice(piece);
    rest.fill(0);
    Ok(padded)
}
