//! A value in a pack: many small values, one after the other, that are written to disk together.
//!
//! ```text
//! byte  0        1        2        3        4        5        6        7
//!    0 | hash of the key: u64                                              |
//!    8 | payload bytes: u32                | zeros           | kind   | words  |
//!   16 | XXH3-64 of the 16 bytes before and all that follows, without the padding |
//!   24 | header of the chunk: 8 bytes times words ...                     |
//!      | payload, and zeros to a multiple of 8                            |
//! ```
//! The header of the chunk is left out where it says nothing: for bytes, and for a single record. Records begin at multiples of 8,
//! so that the elements of a block are aligned. It is never read by another process.

use crate::{Buffer, BufferMut};
use crate::{Bytes, Chunk, ChunkHeader, ChunkKind, Error, ErrorKind, Records, Result, checksum};

/// The bytes before the header of the chunk.
pub(super) const FIXED: usize = 24;

/// A value that is to become a record.
pub(super) struct Draft<'a> {
    pub(super) kind: ChunkKind,
    /// The header of the chunk, or nothing.
    pub(super) header: &'a [u8],
    pub(super) payload: &'a [u8],
}

impl Draft<'_> {
    /// The bytes that the record takes.
    pub(super) fn len(&self) -> usize {
        FIXED + self.header.len().next_multiple_of(8) + self.payload.len().next_multiple_of(8)
    }

    /// Writes the record to the beginning of `out`; `check` is [`Draft::check`].
    pub(super) fn write(&self, hash: u64, check: u64, out: &mut [u8]) {
        let words = self.header.len().div_ceil(8);
        let mut fixed = [0; FIXED];
        let (head, rest) = fixed.split_at_mut(8);
        head.copy_from_slice(&hash.to_le_bytes());
        let (lengths, sum) = rest.split_at_mut(8);
        let packed = u64::from(self.payload.len() as u32) | (self.kind as u64) << 48 | (words as u64) << 56;
        lengths.copy_from_slice(&packed.to_le_bytes());
        sum.copy_from_slice(&mix(check, hash, packed).to_le_bytes());
        let parts: [(&[u8], usize); 3] =
            [(&fixed, FIXED), (self.header, 8 * words), (self.payload, self.payload.len().next_multiple_of(8))];
        let mut left = out;
        for (part, padded) in parts {
            let Some((now, later)) = left.split_at_mut_checked(padded) else { return };
            let (filled, zeros) = now.split_at_mut(part.len());
            filled.copy_from_slice(part);
            zeros.fill(0);
            left = later;
        }
    }

    /// The checksum of header and payload: what takes time, and can be had without any lock.
    pub(super) fn check(&self) -> u64 {
        body_check(self.header, self.payload)
    }
}

fn body_check(header: &[u8], payload: &[u8]) -> u64 {
    let sum = checksum(payload);
    if header.is_empty() { sum } else { sum.rotate_left(32) ^ checksum(header) }
}

/// The checksum of the body with what stands before it.
fn mix(check: u64, hash: u64, packed: u64) -> u64 {
    let mut bytes = [0; 24];
    for (to, word) in bytes.chunks_exact_mut(8).zip([hash, packed, check]) {
        to.copy_from_slice(&word.to_le_bytes());
    }
    checksum(&bytes)
}

/// A record, as found in a pack.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record<'a> {
    pub(super) hash: u64,
    pub(super) kind: ChunkKind,
    pub(super) header: &'a [u8],
    pub(super) payload: &'a [u8],
    /// Where in the pack the payload begins.
    pub(super) begin: usize,
    sum: u64,
    packed: u64,
}

impl<'a> Record<'a> {
    /// The record at byte `offset` of a pack. Nothing where there is none.
    pub(super) fn at(pack: &'a [u8], offset: usize) -> Option<Record<'a>> {
        let (fixed, rest) = pack.get(offset..)?.split_first_chunk::<FIXED>()?;
        let word = |at: usize| fixed.get(at..at + 8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
        let (hash, packed, sum) = (word(0)?, word(8)?, word(16)?);
        let (header, rest) = rest.split_at_checked(8 * (packed >> 56) as usize)?;
        let payload = rest.get(..packed as u32 as usize)?;
        let begin = offset + FIXED + header.len();
        let kind = ChunkKind::from_code((packed >> 48) as u8)?;
        Some(Record { hash, kind, header, payload, begin, sum, packed })
    }

    /// The bytes that it takes.
    pub(super) fn len(&self) -> usize {
        FIXED + self.header.len() + self.payload.len().next_multiple_of(8)
    }

    /// Whether its bytes are those that were written.
    pub(super) fn is_sound(&self) -> bool {
        mix(body_check(self.header, self.payload), self.hash, self.packed) == self.sum
    }

    /// As a chunk that shares the memory of the pack.
    pub(super) fn share(&self, pack: &Buffer) -> Result<Chunk> {
        let payload = pack.slice(self.begin, self.payload.len()).ok_or_else(cut)?;
        chunk_of(self.kind, self.header, payload)
    }

    /// As what it would be written from.
    pub(super) fn draft(&self) -> Draft<'a> {
        Draft { kind: self.kind, header: self.header, payload: self.payload }
    }
}

/// The chunk that a record holds, whose payload is `payload`.
pub(super) fn chunk_of(kind: ChunkKind, header: &[u8], payload: Buffer) -> Result<Chunk> {
    match (kind, header.is_empty()) {
        (ChunkKind::Bytes, true) => Ok(Chunk::Bytes(Bytes(payload))),
        (ChunkKind::Records, true) => Ok(Chunk::Records(Records { data: payload, count: 1 })),
        _ => Chunk::from_parts(ChunkHeader::decode(header)?.0, payload, 0),
    }
}

/// The header that a record of `chunk` needs; empty where it would say nothing.
pub(super) fn header_of(chunk: &Chunk, out: &mut Vec<u8>) -> Result<ChunkKind> {
    out.clear();
    let kind = match chunk {
        Chunk::Bytes(_) => return Ok(ChunkKind::Bytes),
        Chunk::Records(records) if records.count == 1 => return Ok(ChunkKind::Records),
        Chunk::Records(_) => ChunkKind::Records,
        Chunk::Block(_) => ChunkKind::Block,
        Chunk::Scalar(_) => ChunkKind::Scalar,
    };
    chunk.header()?.encode(out);
    Ok(kind)
}

/// A copy of bytes in memory of its own.
pub(super) fn filled(mut buffer: BufferMut, bytes: &[u8]) -> Buffer {
    buffer.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    buffer.freeze()
}

/// The records of the first `used` bytes of a pack, with the byte where each begins.
pub(super) fn records(pack: &[u8], used: usize) -> impl Iterator<Item = (u32, Record<'_>)> {
    let pack = pack.get(..used).unwrap_or(pack);
    let mut at = 0;
    std::iter::from_fn(move || {
        let record = Record::at(pack, at)?;
        let begin = at as u32;
        at += record.len();
        Some((begin, record))
    })
}

fn cut() -> Error {
    Error::new(ErrorKind::Corrupt, "a record of a pack is cut")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{Arena, Block, DType, Ledger, Scalar};
    use std::sync::Arc;

    #[test]
    fn records_come_back_and_flips_are_noticed() {
        let arena = Arena::new(Ledger::new(1 << 20));
        let numbers = Buffer::from_vec(Arc::new(vec![0.5f64, 1.5, 2.5]));
        let chunks = [
            Chunk::Bytes(Bytes(Buffer::empty().clone())),
            Chunk::Bytes(Bytes(Buffer::from_vec(Arc::new(vec![1u8, 2, 3])))),
            Chunk::Scalar(Scalar::F64(0.25)),
            Chunk::Block(Block::new(numbers, 8, DType::F64, [2].as_slice().into()).unwrap()),
            Chunk::Records(Records::encode(&arena, [7u32]).unwrap()),
            Chunk::Records(Records::encode(&arena, [7u32, 8, 9]).unwrap()),
        ];
        let mut pack = arena.alloc_zeroed(4096).unwrap();
        let (mut at, mut header) = (0, Vec::new());
        for (number, chunk) in chunks.iter().enumerate() {
            let kind = header_of(chunk, &mut header).unwrap();
            let (buffer, begin, len) = chunk.payload();
            let draft = Draft { kind, header: &header, payload: &buffer[begin..begin + len] };
            let end = at + draft.len();
            draft.write(number as u64 * 77, draft.check(), &mut pack[at..end]);
            at = end;
        }
        let pack = pack.freeze();
        let found: Vec<_> = records(&pack, at).collect();
        assert_eq!(found.len(), chunks.len());
        for (number, ((_, record), chunk)) in found.iter().zip(&chunks).enumerate() {
            assert_eq!((record.hash, record.is_sound()), (number as u64 * 77, true));
            let back = record.share(&pack).unwrap();
            assert_eq!(back.header().unwrap(), chunk.header().unwrap());
            let (a, b) = (back.payload(), chunk.payload());
            assert_eq!(a.0[a.1..a.1 + a.2], b.0[b.1..b.1 + b.2]);
        }
        let (begin, len) = (found[3].0 as usize, found[3].1.len());
        let sound = pack[begin..begin + len].to_vec();
        for bit in 0..8 * len {
            let mut bytes = sound.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(!Record::at(&bytes, 0).is_some_and(|record| record.is_sound()), "bit {bit}");
        }
    }
}
