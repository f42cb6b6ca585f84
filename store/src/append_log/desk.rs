//! What one background thread works on: a codec, and memory for one stretch of the file.

use crate::format::{LOG_PIECE_BYTES, LOG_STRETCH_BYTES};
use crate::{Arena, Booking, BufferMut, Codec, Result};

/// More than the head of any block, with the rest of its first and last page.
const HEADS_BYTES: usize = 512 << 10;

/// Booked for as long as it lives.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) codec: Codec,
    /// A stretch of a file, aligned to pages.
    pub(super) stretch: BufferMut,
    /// A piece that stands in several places of memory.
    pub(super) joined: BufferMut,
    _working: Booking,
}

impl Desk {
    pub(super) fn new(arena: &Arena) -> Result<Self> {
        Self::with(arena, LOG_STRETCH_BYTES, LOG_PIECE_BYTES)
    }

    /// One that reads the heads of blocks only.
    pub(super) fn for_heads(arena: &Arena) -> Result<Self> {
        Self::with(arena, HEADS_BYTES, 0)
    }

    fn with(arena: &Arena, stretch: usize, joined: usize) -> Result<Self> {
        let working = arena.ledger().book(Codec::WORKING_BYTES)?;
        Ok(Desk { codec: Codec::new(), stretch: arena.alloc(stretch)?, joined: arena.alloc(joined)?, _working: working })
    }

    /// What one takes.
    pub(super) fn bytes() -> u64 {
        Arena::footprint(LOG_STRETCH_BYTES) + Arena::footprint(LOG_PIECE_BYTES) + Codec::WORKING_BYTES
    }

    /// What one for heads takes.
    pub(super) fn bytes_for_heads() -> u64 {
        Arena::footprint(HEADS_BYTES) + Codec::WORKING_BYTES
    }
}
