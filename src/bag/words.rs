//! Where words are in a text.
//!
//! Text of ASCII is looked at eight bytes at a time, and 64 at a time become a mask with a bit for each byte of white space: where the bit changes, a word begins or ends.

use crate::shuffle::Span;
use crate::{Error, ErrorKind, Result};

/// Every byte of a word.
const fn each(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

/// The upper bit of every byte.
const UPPER: u64 = each(0x80);

/// A bit for each of eight bytes of ASCII that is white space, as `char::is_whitespace` has it: a space, or 9 to 13.
#[inline]
fn white(bytes: u64) -> u64 {
    // No sum of a byte goes into the next, as all are below 0x80.
    let other = (bytes ^ each(b' ')) + each(0x7f);
    let from_tab = bytes + each(0x80 - 9);
    let beyond_return = bytes + each(0x80 - 14);
    let white = (!other | (from_tab & !beyond_return)) & UPPER;
    // The upper bits become the lowest eight.
    (white >> 7).wrapping_mul(0x0102_0408_1020_4080) >> 56
}

/// Appends where the words of `text` are: the longest runs without white space.
///
/// # Errors
/// Unsupported where the text has 4 GiB or more.
pub(super) fn spans(text: &str, out: &mut Vec<Span>) -> Result<()> {
    if u32::try_from(text.len()).is_err() {
        return Err(Error::new(ErrorKind::Unsupported, "an element of 4 GiB of text or more").hint("split it first"));
    }
    match text.is_ascii() {
        true => ascii(text.as_bytes(), out),
        false => {
            let begin = text.as_ptr() as usize;
            out.extend(text.split_whitespace().map(|word| ((word.as_ptr() as usize - begin) as u32, word.len() as u32)));
        }
    }
    Ok(())
}

fn ascii(text: &[u8], out: &mut Vec<Span>) {
    // Whether the byte before was white space, and where the word that is open begins.
    let (mut before, mut open) = (1u64, 0u32);
    let mut edges = |white: u64, base: u32, out: &mut Vec<Span>| {
        let mut edges = white ^ (white << 1 | before);
        before = white >> 63;
        while edges != 0 {
            let at = edges.trailing_zeros();
            edges &= edges - 1;
            match white >> at & 1 {
                0 => open = base + at,
                _ => out.push((open, base + at - open)),
            }
        }
    };
    let (blocks, rest) = text.as_chunks::<64>();
    let mut base = 0;
    for block in blocks {
        let (words, _) = block.as_chunks::<8>();
        let mask = words.iter().rev().fold(0, |mask, word| mask << 8 | white(u64::from_le_bytes(*word)));
        edges(mask, base, out);
        base += 64;
    }
    // The rest, and white space behind it.
    let mut block = [b' '; 64];
    if let Some(to) = block.get_mut(..rest.len()) {
        to.copy_from_slice(rest);
    }
    let (words, _) = block.as_chunks::<8>();
    let mask = words.iter().rev().fold(0, |mask, word| mask << 8 | white(u64::from_le_bytes(*word)));
    edges(mask, base, out);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(text: &str) -> Vec<&str> {
        let mut out = Vec::new();
        spans(text, &mut out).unwrap();
        out.into_iter().map(|(start, len)| &text[start as usize..(start + len) as usize]).collect()
    }

    #[test]
    fn every_byte_of_ascii_is_told() {
        for byte in 0..128u8 {
            for at in [0, 7, 8, 63, 64, 100, 127, 128] {
                let mut text = vec![b'x'; 129];
                text[at] = byte;
                let text = String::from_utf8(text).unwrap();
                assert_eq!(words(&text), text.split_whitespace().collect::<Vec<_>>(), "{byte} at {at}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn words_are_those_of_the_standard_library(text in "[a-c \t\r\n\u{b}\u{0}\u{1f}]{0,300}", other in "[a \u{a0}\u{2003}é]{0,40}") {
            for text in [&text, &other, &format!("{text}{other}")] {
                prop_assert_eq!(words(text), text.split_whitespace().collect::<Vec<_>>());
            }
        }
    }
}
