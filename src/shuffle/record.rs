//! Records in the entries of a shuffle's log: a key and a value.
//!
//! ```text
//! | length of the key (LEB128) | length of the value (LEB128) | key | value |
//! ```

use crate::{Error, ErrorKind, Result};

/// The most bytes of the two lengths.
const HEAD: usize = 20;

/// The lengths of a record.
pub(crate) struct Head {
    bytes: [u8; HEAD],
    len: usize,
}

impl Head {
    #[inline]
    pub(crate) fn new(key: usize, value: usize) -> Self {
        let mut head = Head { bytes: [0; HEAD], len: 0 };
        head.push(key as u64);
        head.push(value as u64);
        head
    }

    #[inline]
    fn push(&mut self, mut n: u64) {
        while let Some(byte) = self.bytes.get_mut(self.len) {
            self.len += 1;
            if n < 0x80 {
                *byte = n as u8;
                break;
            }
            *byte = n as u8 | 0x80;
            n >>= 7;
        }
    }

    #[inline]
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

#[inline]
fn length(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    if *first < 0x80 {
        return Some((usize::from(*first), rest));
    }
    let (mut n, mut shift, mut rest) = (u64::from(*first & 0x7f), 7, rest);
    loop {
        let (byte, more) = rest.split_first()?;
        rest = more;
        if shift > 63 {
            return None;
        }
        n |= u64::from(*byte & 0x7f) << shift;
        shift += 7;
        if *byte < 0x80 {
            return Some((usize::try_from(n).ok()?, rest));
        }
    }
}

/// A record, and the bytes behind it.
#[derive(Clone, Copy)]
pub(crate) struct Record<'a> {
    pub(crate) key: &'a [u8],
    pub(crate) value: &'a [u8],
    /// All of it, with its lengths.
    pub(crate) whole: &'a [u8],
}

/// The first record of `bytes`, and what is behind it; none where there are no bytes.
#[inline]
pub(crate) fn next(bytes: &[u8]) -> Result<Option<(Record<'_>, &[u8])>> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let read = || {
        let (key, rest) = length(bytes)?;
        let (value, rest) = length(rest)?;
        let (key, rest) = rest.split_at_checked(key)?;
        let (value, rest) = rest.split_at_checked(value)?;
        let whole = bytes.get(..bytes.len() - rest.len())?;
        Some((Record { key, value, whole }, rest))
    };
    read()
        .map(Some)
        .ok_or_else(|| Error::new(ErrorKind::Corrupt, "a record of a shuffle is cut").hint("run it again: nothing of it was used"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back() {
        let mut bytes = Vec::new();
        let lens = [0usize, 1, 127, 128, 300, 70_000];
        for (i, len) in lens.iter().enumerate() {
            let (key, value) = (vec![i as u8; *len], vec![7u8; lens[lens.len() - 1 - i]]);
            bytes.extend(Head::new(key.len(), value.len()).bytes());
            bytes.extend([key, value].concat());
        }
        let mut rest = &bytes[..];
        for (i, len) in lens.iter().enumerate() {
            let (record, more) = next(rest).unwrap().unwrap();
            assert_eq!((record.key, record.value.len()), (&vec![i as u8; *len][..], lens[lens.len() - 1 - i]));
            assert_eq!(record.whole.len() + more.len(), rest.len());
            rest = more;
        }
        assert!(next(rest).unwrap().is_none());
        for cut in [1, 2, bytes.len() - 1] {
            let mut rest = &bytes[..cut];
            let error = loop {
                match next(rest) {
                    Ok(Some((_, more))) => rest = more,
                    Ok(None) => break None,
                    Err(error) => break Some(error.kind()),
                }
            };
            assert!(cut == 2 || error == Some(ErrorKind::Corrupt), "{cut}");
        }
    }
}
