//! A codec and an aligned buffer: what one thread needs to encode or decode.

use crate::format::{BLOCK_BYTES, PIECE_BYTES};
use crate::{Arena, Booking, BufferMut, Codec, Result};

/// The bytes of a staging buffer: room for one piece while another is being encoded behind it.
pub(crate) const STAGING_BYTES: usize = 2 * PIECE_BYTES;

/// What one thread needs to encode or decode; booked for as long as it lives.
#[derive(Debug)]
pub(crate) struct Staging {
    pub(crate) codec: Codec,
    buffer: BufferMut,
    begin: usize,
    _working: Booking,
}

impl Staging {
    pub(crate) fn new(arena: &Arena) -> Result<Self> {
        let working = arena.ledger().book(Codec::WORKING_BYTES)?;
        let mut buffer = arena.alloc(STAGING_BYTES + BLOCK_BYTES)?;
        let begin = buffer.as_mut_ptr().addr().next_multiple_of(BLOCK_BYTES) - buffer.as_mut_ptr().addr();
        Ok(Staging { codec: Codec::new(), buffer, begin, _working: working })
    }

    /// What one takes.
    pub(crate) fn bytes() -> u64 {
        Arena::footprint(STAGING_BYTES + BLOCK_BYTES) + Codec::WORKING_BYTES
    }

    /// The codec, and `STAGING_BYTES` of memory aligned to 4096.
    pub(crate) fn parts(&mut self) -> (&mut Codec, &mut [u8]) {
        let end = self.begin + STAGING_BYTES;
        (&mut self.codec, self.buffer.get_mut(self.begin..end).unwrap_or_default())
    }
}
