//! Little-endian numbers and texts to bytes and back.

use crate::{Error, ErrorKind, Result};

/// Appends values to bytes.
pub(crate) trait Encode {
    /// A number of 4 bytes.
    fn put_u32(&mut self, value: u32);
    /// A number of 8 bytes.
    fn put_u64(&mut self, value: u64);
    /// The length of `text` in 4 bytes, and its UTF-8 bytes.
    fn put_text(&mut self, text: &str);
}

impl Encode for Vec<u8> {
    fn put_u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_u64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_text(&mut self, text: &str) {
        self.put_u32(text.len() as u32);
        self.extend_from_slice(text.as_bytes());
    }
}

/// What is left of encoded bytes. Every call takes from the front, and fails where they end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decode<'a>(pub(crate) &'a [u8]);

impl<'a> Decode<'a> {
    /// The next `N` bytes.
    pub(crate) fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk::<N>().ok_or_else(cut)?;
        self.0 = rest;
        Ok(*bytes)
    }

    /// The next `len` bytes.
    pub(crate) fn bytes(&mut self, len: usize) -> Result<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(len).ok_or_else(cut)?;
        self.0 = rest;
        Ok(bytes)
    }

    /// A number of 4 bytes.
    pub(crate) fn u32(&mut self) -> Result<u32> {
        self.take().map(u32::from_le_bytes)
    }

    /// A number of 8 bytes.
    pub(crate) fn u64(&mut self) -> Result<u64> {
        self.take().map(u64::from_le_bytes)
    }

    /// A text with its length before it.
    pub(crate) fn text(&mut self) -> Result<&'a str> {
        let len = self.u32()? as usize;
        std::str::from_utf8(self.bytes(len)?).map_err(|_| Error::new(ErrorKind::Corrupt, "a text is not UTF-8"))
    }

    /// A count of items that take at least `least` bytes each: never more than can be there.
    pub(crate) fn count(&mut self, least: usize) -> Result<usize> {
        let count = self.u32()? as usize;
        if count > self.0.len() / least.max(1) {
            return Err(cut());
        }
        Ok(count)
    }

    /// Checks that nothing is left.
    pub(crate) fn end(&self) -> Result<()> {
        match self.0.len() {
            0 => Ok(()),
            left => Err(Error::new(ErrorKind::Corrupt, format!("{left} bytes are left over"))),
        }
    }
}

fn cut() -> Error {
    Error::new(ErrorKind::Corrupt, "the bytes end before what they should hold")
}
