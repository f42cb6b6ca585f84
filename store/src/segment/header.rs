//! The first block of a segment, and its name.

#![deny(clippy::indexing_slicing)]

use super::frame::corrupt;
use crate::codec::Fields;
use crate::format::{BLOCK_BYTES, SEGMENT_HEADER_BYTES, SEGMENT_MAGIC, SEGMENT_SUFFIX, SEGMENT_VERSION};
use crate::{Error, ErrorKind, Result, checksum};
use std::path::Path;

/// What the first block of a segment says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    /// Its random number.
    pub(super) id: u64,
    /// The store that made it; those that link to it are others.
    pub(super) store: u64,
    /// When it was made, in seconds since 1970.
    pub(super) seconds: u64,
}

impl SegmentHeader {
    /// A header that is made now.
    pub(super) fn new(id: u64, store: u64) -> Self {
        let seconds = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_secs());
        SegmentHeader { id, store, seconds }
    }

    /// Fills a block.
    pub(super) fn encode(&self, block: &mut [u8]) {
        let mut bytes = Vec::with_capacity(SEGMENT_HEADER_BYTES);
        bytes.extend(SEGMENT_MAGIC);
        bytes.extend(SEGMENT_VERSION.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(self.id.to_le_bytes());
        bytes.extend(self.store.to_le_bytes());
        bytes.extend(self.seconds.to_le_bytes());
        bytes.extend(checksum(&bytes).to_le_bytes());
        bytes.resize(block.len().max(bytes.len()), 0);
        block.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
    }

    /// The header in the first block.
    pub(super) fn decode(block: &[u8]) -> Result<SegmentHeader> {
        let mut fields = Fields(block);
        if fields.take()? != SEGMENT_MAGIC {
            return Err(corrupt("this is not a segment"));
        }
        let (version, zeros) = (fields.u32()?, fields.u32()?);
        let header = SegmentHeader { id: fields.u64()?, store: fields.u64()?, seconds: fields.u64()? };
        let expected = fields.u64()?;
        let found = block.get(..SEGMENT_HEADER_BYTES - 8).map(checksum);
        if found != Some(expected) {
            return Err(corrupt("the checksum of the header of a segment is wrong"));
        }
        if version != SEGMENT_VERSION {
            let message = format!("a segment of version {version}; this program knows {SEGMENT_VERSION}");
            return Err(Error::new(ErrorKind::Unsupported, message));
        }
        if zeros != 0 || block.get(SEGMENT_HEADER_BYTES..BLOCK_BYTES).is_none_or(|rest| rest.iter().any(|byte| *byte != 0)) {
            return Err(corrupt("the zeros in the header of a segment are damaged"));
        }
        Ok(header)
    }
}

/// The name of the file of a segment.
pub(super) fn name_of(id: u64) -> String {
    format!("{id:016x}{SEGMENT_SUFFIX}")
}

/// The segment whose file this is, if it is one.
pub(super) fn id_of(path: &Path) -> Option<u64> {
    let digits = path.file_name()?.to_str()?.strip_suffix(SEGMENT_SUFFIX)?;
    let plain = digits.len() == 16 && digits.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if plain { u64::from_str_radix(digits, 16).ok() } else { None }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ids() {
        for id in [0, 7, u64::MAX, 0x0123_4567_89ab_cdef] {
            assert_eq!(id_of(Path::new("/x").join(name_of(id)).as_path()), Some(id));
        }
        for name in ["7.seg", "000000000000000G.seg", "0000000000000000", "0000000000000000.seg.tmp", "000000000000000A.seg"] {
            assert_eq!(id_of(Path::new(name)), None, "{name}");
        }
    }

    #[test]
    fn every_flip_in_the_header_is_noticed() {
        let header = SegmentHeader::new(5, 6);
        let mut block = [0; BLOCK_BYTES];
        header.encode(&mut block);
        assert_eq!(SegmentHeader::decode(&block).unwrap(), header);
        for bit in 0..8 * BLOCK_BYTES {
            block[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&block).is_err(), "{bit}");
            block[bit / 8] ^= 1 << (bit % 8);
        }
        for cut in 0..BLOCK_BYTES {
            assert!(SegmentHeader::decode(&block[..cut]).is_err());
        }
    }
}
