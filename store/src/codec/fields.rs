//! Little-endian numbers and texts to bytes and back: the one decoder of headers, records and entries.

use crate::{Error, ErrorKind, Result};

/// Appends values to bytes.
pub(crate) trait Encode {
    /// A number of 4 bytes.
    fn put_u32(&mut self, value: u32);
    /// A number of 8 bytes.
    fn put_u64(&mut self, value: u64);
    /// The length of `text` in 4 bytes, and its UTF-8 bytes.
    fn put_text(&mut self, text: &str);
    /// A number in groups of 7 bits, the lowest first; all but the last have the highest bit set.
    fn put_varint(&mut self, value: u64);
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

    fn put_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.push(value as u8);
    }
}

/// What is left of encoded bytes. Every call takes from the front, and fails where they end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
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

    /// The next byte.
    pub(crate) fn u8(&mut self) -> Result<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    /// The next number of 32 bits.
    pub(crate) fn u32(&mut self) -> Result<u32> {
        self.take().map(u32::from_le_bytes)
    }

    /// The next number of 64 bits.
    pub(crate) fn u64(&mut self) -> Result<u64> {
        self.take().map(u64::from_le_bytes)
    }

    /// The next number in groups of 7 bits.
    pub(crate) fn varint(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                break;
            }
            value |= part << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Error::new(ErrorKind::Corrupt, "a number is longer than 64 bits"))
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
