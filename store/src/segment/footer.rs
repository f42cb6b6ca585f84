//! The last bytes of a sealed segment: the list of its frames, and the trailer that says where the list is.

#![deny(clippy::indexing_slicing)]

use super::frame::{FrameKind, corrupt};
use crate::codec::Fields;
use crate::format::{FOOTER_ENTRY_BYTES, TRAILER_BYTES, TRAILER_MAGIC};
use crate::{Booking, Error, ErrorKind, Ledger, Result, checksum};

/// A frame in a footer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FooterEntry {
    pub(super) offset: u64,
    pub(super) len: u64,
    pub(super) dataset: u64,
    pub(super) kind: FrameKind,
}

impl FooterEntry {
    pub(super) fn encode(&self) -> [u8; FOOTER_ENTRY_BYTES] {
        let mut bytes = [0; FOOTER_ENTRY_BYTES];
        let fields = [self.offset, self.len, self.dataset, self.kind as u64];
        bytes.iter_mut().zip(fields.iter().flat_map(|field| field.to_le_bytes())).for_each(|(to, from)| *to = from);
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<FooterEntry> {
        let mut fields = Fields(bytes);
        let (offset, len, dataset, kind) = (fields.u64()?, fields.u64()?, fields.u64()?, fields.u64()?);
        let kind = u8::try_from(kind).ok().and_then(FrameKind::from_code).ok_or_else(|| corrupt("a footer names an unknown kind"))?;
        Ok(FooterEntry { offset, len, dataset, kind })
    }
}

/// The last bytes of a sealed segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trailer {
    /// Where the frame of the footer begins.
    pub(super) offset: u64,
    /// The bytes of that frame.
    pub(super) len: u64,
}

impl Trailer {
    pub(super) fn encode(&self) -> [u8; TRAILER_BYTES] {
        let mut bytes = Vec::with_capacity(TRAILER_BYTES);
        bytes.extend(TRAILER_MAGIC);
        bytes.extend(self.offset.to_le_bytes());
        bytes.extend(self.len.to_le_bytes());
        bytes.extend(checksum(&bytes).to_le_bytes());
        let mut out = [0; TRAILER_BYTES];
        out.iter_mut().zip(bytes).for_each(|(to, from)| *to = from);
        out
    }

    /// The trailer of a file of `file_len` bytes.
    pub(super) fn decode(bytes: &[u8], file_len: u64) -> Result<Trailer> {
        let mut fields = Fields(bytes);
        if fields.take()? != TRAILER_MAGIC {
            return Err(corrupt("a sealed segment does not end with its trailer"));
        }
        let trailer = Trailer { offset: fields.u64()?, len: fields.u64()? };
        let expected = fields.u64()?;
        if bytes.get(..TRAILER_BYTES - 8).map(checksum) != Some(expected) {
            return Err(corrupt("the checksum of the trailer of a segment is wrong"));
        }
        let end = trailer.offset.checked_add(trailer.len).and_then(|end| end.checked_add(TRAILER_BYTES as u64));
        if end != Some(file_len) {
            return Err(Error::new(ErrorKind::Truncated, "a sealed segment has another length than when it was sealed"));
        }
        Ok(trailer)
    }
}

/// The frames of a segment that is being written, booked.
#[derive(Debug)]
pub(super) struct FrameList {
    /// All full but the last.
    parts: Vec<Vec<FooterEntry>>,
    booking: Booking,
}

/// The frames in a part of the list.
const PART: usize = 2048;

/// The most frames of a segment: 4 MiB of list.
const MOST: usize = 1 << 17;

impl FrameList {
    pub(super) fn new(ledger: &Ledger) -> Result<Self> {
        Ok(FrameList { parts: Vec::new(), booking: ledger.book(0)? })
    }

    pub(super) fn len(&self) -> usize {
        self.parts.last().map_or(0, |last| (self.parts.len() - 1) * PART + last.len())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes room for one more; false where the list is full, or memory is short.
    pub(super) fn reserve(&mut self) -> bool {
        if self.parts.last().is_some_and(|last| last.len() < PART) {
            return true;
        }
        if self.len() >= MOST || self.booking.grow((PART * size_of::<FooterEntry>()) as u64).is_err() {
            return false;
        }
        self.parts.push(Vec::with_capacity(PART));
        true
    }

    /// Appends a frame for which there is room.
    pub(super) fn push(&mut self, entry: FooterEntry) {
        if let Some(last) = self.parts.last_mut() {
            last.push(entry);
        }
    }

    /// The bytes of the payload of the footer.
    pub(super) fn payload_len(&self) -> u64 {
        (self.len() * FOOTER_ENTRY_BYTES) as u64
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &FooterEntry> {
        self.parts.iter().flatten()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn trailers_know_the_length_of_the_file() {
        let trailer = Trailer { offset: 8192, len: 200 };
        let mut bytes = trailer.encode();
        assert_eq!(Trailer::decode(&bytes, 8424).unwrap(), trailer);
        assert!(Trailer::decode(&bytes, 8425).is_err());
        for bit in 0..8 * TRAILER_BYTES {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(Trailer::decode(&bytes, 8424).is_err());
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn the_list_is_booked_and_has_an_end() {
        let ledger = Ledger::new(100 << 10);
        let mut list = FrameList::new(&ledger).unwrap();
        let entry = FooterEntry { offset: 4096, len: 8, dataset: 1, kind: FrameKind::Chunk };
        let mut n = 0;
        while list.reserve() {
            list.push(entry);
            n += 1;
        }
        assert_eq!((n, list.len(), ledger.used()), (PART, PART, 64 << 10));
        assert_eq!(FooterEntry::decode(&entry.encode()).unwrap(), entry);
        drop(list);
        let mut list = FrameList::new(&Ledger::new(1 << 30)).unwrap();
        while list.reserve() {
            list.push(entry);
        }
        assert_eq!((list.len(), list.iter().count()), (MOST, MOST));
    }
}
