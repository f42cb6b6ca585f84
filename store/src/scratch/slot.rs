//! Where a spilled chunk is, and how to get it back.

use super::room::{Room, blocks_of};
use super::stats::Counters;
use crate::ChunkHeader;
use crate::format::{BLOCK_BYTES, PIECE_BYTES};
use crate::{Encoding, Error, ErrorKind, Result};
use std::ops::Range;
use std::sync::Arc;

/// What is stored of one piece of a payload.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    /// The checksum of the stored bytes.
    pub(super) checksum: u64,
    /// How many there are; as many as the piece has where it is stored as it is.
    pub(super) stored: u32,
}

/// A chunk in the scratch files. Dropping it makes the room free for others; it must be given only to the
/// [`Scratch`](crate::Scratch) that it came from.
///
/// It takes about 200 bytes of memory and 32 more for each MiB of payload.
#[derive(Debug)]
pub struct Slot {
    pub(super) room: Room,
    pub(super) header: ChunkHeader,
    pub(super) encoding: Encoding,
    pub(super) nbytes: usize,
    pub(super) item_size: usize,
    pub(super) pieces: Box<[Piece]>,
    pub(super) counters: Arc<Counters>,
}

impl Slot {
    /// The bytes of the payload, as read.
    pub fn nbytes(&self) -> u64 {
        self.nbytes as u64
    }

    /// The bytes that it takes in the scratch files.
    pub fn stored_bytes(&self) -> u64 {
        self.room.blocks() * BLOCK_BYTES as u64
    }

    /// How the payload is encoded.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// The bytes of memory that this takes.
    pub fn memory(&self) -> u64 {
        (size_of::<Self>() + size_of_val(&*self.pieces)) as u64
    }

    /// The bytes of the payload that piece `number` has.
    pub(super) fn piece_range(&self, number: usize) -> Range<usize> {
        piece_range(self.nbytes, number)
    }

    /// Runs of pieces that stand one after the other in one extent, of at most `most` blocks unless a single piece
    /// has more: what one read can take.
    pub(super) fn runs(&self, most: u32) -> Result<Vec<Run>> {
        let mut runs: Vec<Run> = Vec::new();
        let mut extents = self.room.extents().iter();
        let (mut extent, mut at) = (None, 0);
        for (number, piece) in self.pieces.iter().enumerate() {
            let blocks = blocks_of(piece.stored as usize);
            while extent.is_none_or(|e: &super::extents::Extent| e.blocks - at < blocks) {
                extent = extents.next();
                at = 0;
                if extent.is_none() {
                    return Err(Error::new(ErrorKind::Invalid, "a slot has less room than its pieces"));
                }
            }
            let Some(here) = extent else { continue };
            let (file, begin) = (here.file, here.start + at);
            match runs.last_mut().filter(|run| run.file == file && run.start + run.blocks == begin && run.blocks + blocks <= most) {
                Some(run) => {
                    run.blocks += blocks;
                    run.pieces.end = number + 1;
                }
                None => runs.push(Run { file, start: begin, blocks, pieces: number..number + 1 }),
            }
            at += blocks;
        }
        Ok(runs)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.counters.slot_dropped(self);
    }
}

/// Pieces that one read can take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) file: u32,
    pub(super) start: u32,
    pub(super) blocks: u32,
    pub(super) pieces: Range<usize>,
}

/// The bytes of piece `number` of a payload of `nbytes`.
pub(super) fn piece_range(nbytes: usize, number: usize) -> Range<usize> {
    let begin = number.saturating_mul(PIECE_BYTES).min(nbytes);
    begin..nbytes.min(begin + PIECE_BYTES)
}
