//! What stands before a payload: the header of a frame, its key, and the header of the chunk.
//!
//! ```text
//!    | header: 64 bytes | key | chunk header | zeros | payload | zeros |      small: all to multiples of 8
//!    ^ 4096                                          ^ 4096            ^ 4096    large: to whole blocks
//! ```

#![deny(clippy::indexing_slicing)]

use crate::codec::Fields;
use crate::format::{BLOCK_BYTES, FRAME_ALIGN, FRAME_HEADER_BYTES, FRAME_MAGIC, FRAME_VERSION, KEY_MOST, LARGE_BYTES};
use crate::{ChunkHeader, Encoding, Error, ErrorKind, Result, checksum};
use smallvec::SmallVec;

/// Bytes of a head, short as a rule.
pub(super) type HeadBytes = SmallVec<[u8; 256]>;

/// What a frame holds; the numbers are on disk and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum FrameKind {
    /// A chunk of a dataset.
    Chunk = 1,
    /// Where the chunks of a dataset, or a part of them, are.
    Table = 2,
    /// What a dataset is.
    Dataset = 3,
    /// The frames of a sealed segment.
    Footer = 4,
}

impl FrameKind {
    /// The kind whose number in a header is `code`.
    pub(crate) fn from_code(code: u8) -> Option<FrameKind> {
        [FrameKind::Chunk, FrameKind::Table, FrameKind::Dataset, FrameKind::Footer].into_iter().find(|kind| *kind as u8 == code)
    }
}

/// What a frame is to be, apart from its chunk.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrameInfo<'a> {
    /// What it holds.
    pub(crate) kind: FrameKind,
    /// The dataset that it belongs to.
    pub(crate) dataset: u64,
    /// Its key in the dataset, of at most 64 KiB.
    pub(crate) key: &'a [u8],
}

/// What a frame is, apart from its payload. It is consistent: its lengths agree, whatever it was decoded from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    /// What it holds.
    pub(crate) kind: FrameKind,
    /// How the payload is stored.
    pub(crate) encoding: Encoding,
    /// Whether it is made of whole blocks.
    pub(crate) large: bool,
    /// The dataset that it belongs to.
    pub(crate) dataset: u64,
    /// Its key in the dataset.
    pub(crate) key: SmallVec<[u8; 24]>,
    /// What the chunk is, apart from its bytes.
    pub(crate) chunk: ChunkHeader,
    /// The stored bytes of the payload.
    pub(crate) stored: u64,
    /// The checksum of the stored payload.
    pub(crate) checksum: u64,
    /// Where the frame begins in its file.
    pub(crate) offset: u64,
}

impl FrameHeader {
    /// Where the payload begins, from the beginning of the frame.
    pub(crate) fn payload_at(&self) -> usize {
        payload_at(self.large, self.key.len(), self.chunk.encoded_len())
    }

    /// The bytes of the frame, with its padding.
    pub(crate) fn frame_len(&self) -> u64 {
        frame_len(self.large, self.payload_at(), self.stored)
    }

    /// The bytes of the head without zeros.
    pub(super) fn head_len(&self) -> usize {
        FRAME_HEADER_BYTES + self.key.len() + self.chunk.encoded_len()
    }
}

/// Where a payload begins, from the beginning of its frame.
pub(super) fn payload_at(large: bool, key: usize, chunk: usize) -> usize {
    (FRAME_HEADER_BYTES + key + chunk).next_multiple_of(align(large))
}

/// The bytes of a frame.
pub(super) fn frame_len(large: bool, payload_at: usize, stored: u64) -> u64 {
    let align = align(large) as u64;
    (payload_at as u64).saturating_add(stored).checked_next_multiple_of(align).unwrap_or(u64::MAX)
}

fn align(large: bool) -> usize {
    if large { BLOCK_BYTES } else { FRAME_ALIGN }
}

/// What a head is written from.
pub(super) struct Head<'a> {
    pub(super) info: FrameInfo<'a>,
    pub(super) chunk: &'a ChunkHeader,
    pub(super) encoding: Encoding,
    pub(super) large: bool,
    pub(super) stored: u64,
    pub(super) checksum: u64,
    pub(super) offset: u64,
}

impl Head<'_> {
    /// Where the payload begins, from the beginning of the frame.
    pub(super) fn payload_at(&self) -> usize {
        payload_at(self.large, self.info.key.len(), self.chunk.encoded_len())
    }

    /// The bytes of the frame.
    pub(super) fn frame_len(&self) -> u64 {
        frame_len(self.large, self.payload_at(), self.stored)
    }

    /// Writes header, key, chunk header and zeros to the first [`Head::payload_at`] bytes of `out`.
    pub(super) fn encode(&self, out: &mut [u8]) -> Result<()> {
        let mut chunk = Vec::with_capacity(self.chunk.encoded_len());
        self.chunk.encode(&mut chunk);
        let key = self.info.key;
        let mut bytes = HeadBytes::with_capacity(FRAME_HEADER_BYTES + key.len() + chunk.len());
        bytes.extend_from_slice(&FRAME_MAGIC);
        bytes.extend_from_slice(&[FRAME_VERSION, self.info.kind as u8, self.encoding as u8, u8::from(self.large)]);
        bytes.extend_from_slice(&self.info.dataset.to_le_bytes());
        bytes.extend_from_slice(&(key.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(chunk.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&self.stored.to_le_bytes());
        bytes.extend_from_slice(&self.checksum.to_le_bytes());
        bytes.extend_from_slice(&(self.payload_at() as u32).to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.offset.to_le_bytes());
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(&chunk);
        let checksum = checksum(&bytes).to_le_bytes();
        let no_room = || Error::new(ErrorKind::Invalid, "there is no room for the head of a frame");
        let out = out.get_mut(..self.payload_at()).ok_or_else(no_room)?;
        let (before, behind) = bytes.split_at_checked(FRAME_HEADER_BYTES - 8).ok_or_else(no_room)?;
        let mut rest = out;
        for part in [before, &checksum, behind] {
            let (to, after) = rest.split_at_mut_checked(part.len()).ok_or_else(no_room)?;
            to.copy_from_slice(part);
            rest = after;
        }
        rest.fill(0);
        Ok(())
    }
}

/// The fixed part of a head, from which follows how long the rest is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fixed {
    kind: FrameKind,
    encoding: Encoding,
    large: bool,
    dataset: u64,
    key: usize,
    chunk: usize,
    stored: u64,
    payload_sum: u64,
    offset: u64,
    head_sum: u64,
}

impl Fixed {
    /// The fixed part at the beginning of `bytes`. Its checksum is compared when the rest is decoded.
    pub(super) fn decode(bytes: &[u8]) -> Result<Fixed> {
        let mut fields = Fields(bytes);
        if fields.take()? != FRAME_MAGIC {
            return Err(corrupt("no frame begins here"));
        }
        let [version, kind, encoding, flags] = fields.take()?;
        if version != FRAME_VERSION {
            let message = format!("a frame of version {version}; this program knows {FRAME_VERSION}");
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        let kind = FrameKind::from_code(kind).ok_or_else(|| corrupt(format!("there is no kind {kind} of frames")))?;
        let encoding = Encoding::from_code(encoding).ok_or_else(|| corrupt(format!("there is no encoding {encoding}")))?;
        let dataset = fields.u64()?;
        let (key, chunk) = (fields.u32()? as usize, fields.u32()? as usize);
        let (stored, payload_sum) = (fields.u64()?, fields.u64()?);
        let (payload, zeros) = (fields.u32()? as usize, fields.u32()?);
        let (offset, head_sum) = (fields.u64()?, fields.u64()?);
        let large = flags == 1;
        let most_chunk = ChunkHeader::LEAST_BYTES + 8 * ChunkHeader::MOST_DIMENSIONS;
        let fits = flags <= 1 && zeros == 0 && key <= KEY_MOST && (ChunkHeader::LEAST_BYTES..=most_chunk).contains(&chunk);
        if !fits || payload != payload_at(large, key, chunk) || (!large && stored >= LARGE_BYTES as u64) || stored > u64::MAX / 2 {
            return Err(corrupt("the header of a frame contradicts itself"));
        }
        Ok(Fixed { kind, encoding, large, dataset, key, chunk, stored, payload_sum, offset, head_sum })
    }

    /// The bytes of the whole head, without the zeros behind it.
    pub(super) fn head_len(&self) -> usize {
        FRAME_HEADER_BYTES + self.key + self.chunk
    }

    /// The header of the frame that begins at byte `offset` of its file, from the whole head.
    pub(super) fn header(&self, bytes: &[u8], offset: u64) -> Result<FrameHeader> {
        let mut fields = Fields(bytes);
        let mut summed = HeadBytes::with_capacity(self.head_len());
        summed.extend_from_slice(fields.bytes(FRAME_HEADER_BYTES - 8)?);
        fields.u64()?;
        let key = fields.bytes(self.key)?;
        let chunk = fields.bytes(self.chunk)?;
        summed.extend_from_slice(key);
        summed.extend_from_slice(chunk);
        let found = checksum(&summed);
        if found != self.head_sum {
            return Err(corrupt(format!("the header of a frame has the checksum {found:016x}, expected {:016x}", self.head_sum)));
        }
        if self.offset != offset {
            return Err(corrupt(format!("a frame that was written to byte {} stands at another place", self.offset)));
        }
        let (header, length) = ChunkHeader::decode(chunk)?;
        let raw_fits = self.encoding != Encoding::Raw || header.payload_len() == self.stored;
        if length != chunk.len() || !raw_fits {
            return Err(corrupt("the headers of a frame and of its chunk contradict each other"));
        }
        Ok(FrameHeader {
            kind: self.kind,
            encoding: self.encoding,
            large: self.large,
            dataset: self.dataset,
            key: SmallVec::from_slice(key),
            chunk: header,
            stored: self.stored,
            checksum: self.payload_sum,
            offset,
        })
    }
}

/// The header of the frame that begins at byte `offset` of its file, from bytes that have the whole head.
pub(super) fn decode_head(bytes: &[u8], offset: u64) -> Result<FrameHeader> {
    Fixed::decode(bytes)?.header(bytes, offset)
}

pub(super) fn corrupt(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Corrupt, message)
}
