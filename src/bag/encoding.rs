//! Text in other encodings than UTF-8, and what becomes of bytes that are no text.

use super::blocks::LineEnd;
use crate::{Error, ErrorKind, Result};
use encoding_rs::{DecoderResult, Encoding, UTF_16BE, UTF_16LE};
use std::borrow::Cow;
use std::sync::Arc;

/// What becomes of bytes that are no text in the encoding of a file, as in Python.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Errors {
    /// They are an error that names the file and the byte.
    #[default]
    Strict,
    /// Each run of them that cannot be a character becomes U+FFFD.
    Replace,
    /// They are left out.
    Ignore,
}

/// How bytes become text.
#[derive(Clone, Debug)]
pub(super) struct Coding {
    /// The name that was asked for.
    pub(super) name: Arc<str>,
    kind: Kind,
    pub(super) errors: Errors,
}

#[derive(Clone)]
enum Kind {
    /// UTF-8; whether a mark at the beginning of a file is left out.
    Utf8 { marked: bool },
    /// What each byte is.
    Single(Arc<[Option<char>; 256]>),
    /// Several bytes for some characters, in which the ends of lines are what they are in ASCII.
    Multiple(&'static Encoding),
    /// Anything else, that is decoded from the beginning of the file on; whether a mark there decides.
    Stateful { encoding: &'static Encoding, marked: bool },
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Kind::Utf8 { .. } => "Utf8",
            Kind::Single(_) => "Single",
            Kind::Multiple(encoding) | Kind::Stateful { encoding, .. } => encoding.name(),
        })
    }
}

/// Bytes that are no text: where they begin in what was to be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) usize);

impl Coding {
    /// The encoding of a name, as Python or the Encoding Standard call it.
    ///
    /// # Errors
    /// Unsupported where there is no such encoding.
    pub(super) fn of(name: &str, errors: Errors) -> Result<Coding> {
        let label = name.trim().to_ascii_lowercase().replace('_', "-");
        let kind = match label.as_str() {
            "utf-8" | "utf8" | "u8" | "cp65001" | "unicode-1-1-utf-8" => Kind::Utf8 { marked: false },
            "utf-8-sig" => Kind::Utf8 { marked: true },
            "utf-16" | "utf16" | "u16" => Kind::Stateful { encoding: UTF_16LE, marked: true },
            "utf-16-le" | "utf-16le" | "utf16le" => Kind::Stateful { encoding: UTF_16LE, marked: false },
            "utf-16-be" | "utf-16be" | "utf16be" => Kind::Stateful { encoding: UTF_16BE, marked: false },
            "ascii" | "us-ascii" | "646" => single(|byte| byte.is_ascii().then(|| byte.into())),
            "latin-1" | "latin1" | "latin" | "l1" | "iso-8859-1" | "iso8859-1" | "iso88591" | "8859" | "cp819" => {
                single(|byte| Some(byte.into()))
            }
            _ => known(&label).ok_or_else(|| {
                Error::new(ErrorKind::Unsupported, format!("there is no encoding {name:?}")).hint(
                    "name one of the Encoding Standard, such as \"utf-8\", \"latin-1\", \"windows-1252\", \"utf-16\" or \"shift_jis\"",
                )
            })?,
        };
        Ok(Coding { name: label.into(), kind, errors })
    }

    /// The encoding of text that has been decoded already.
    pub(super) fn decoded() -> Coding {
        Coding { name: "utf-8".into(), kind: Kind::Utf8 { marked: false }, errors: Errors::Strict }
    }

    /// Whether files can be cut at the ends of lines before they are decoded, and each line decoded by itself.
    pub(super) fn is_cut(&self, end: &LineEnd) -> bool {
        match self.kind {
            Kind::Utf8 { .. } | Kind::Single(_) => true,
            // The second byte of a character can be one of ASCII, but none that ends lines.
            Kind::Multiple(_) => *end == LineEnd::Any,
            Kind::Stateful { .. } => false,
        }
    }

    /// Whether lines are UTF-8 that has to be valid, and nothing else.
    #[inline]
    pub(super) fn is_plain(&self) -> bool {
        matches!(self.kind, Kind::Utf8 { .. }) && self.errors == Errors::Strict
    }

    /// What a text is in the bytes of a file that is cut before it is decoded.
    ///
    /// # Errors
    /// Invalid where the encoding has no such characters.
    pub(super) fn encode(&self, text: &str) -> Result<Vec<u8>> {
        let Kind::Single(table) = &self.kind else { return Ok(text.as_bytes().to_vec()) };
        let byte = |c: char| (0..=255u8).find(|byte| table.get(usize::from(*byte)) == Some(&Some(c)));
        text.chars().map(byte).collect::<Option<_>>().ok_or_else(|| {
            let message = format!("{text:?} cannot be written in the encoding {}, so it ends no lines", self.name);
            Error::new(ErrorKind::Invalid, message)
        })
    }

    /// The length of the mark with which a file begins, that is no part of its text.
    pub(super) fn mark(&self, beginning: &[u8]) -> usize {
        match self.kind {
            Kind::Utf8 { marked: true } if beginning.starts_with(MARK) => MARK.len(),
            _ => 0,
        }
    }

    /// The text that bytes are.
    #[inline]
    pub(super) fn decode<'a>(&self, bytes: &'a [u8]) -> std::result::Result<Cow<'a, str>, Malformed> {
        match &self.kind {
            Kind::Utf8 { .. } => match std::str::from_utf8(bytes) {
                Ok(text) => Ok(Cow::Borrowed(text)),
                Err(e) if self.errors == Errors::Strict => Err(Malformed(e.valid_up_to())),
                Err(_) => Ok(Cow::Owned(self.lossy(bytes))),
            },
            Kind::Single(_) | Kind::Multiple(_) if bytes.is_ascii() => self.ascii(bytes),
            Kind::Single(table) => self.single(bytes, table).map(Cow::Owned),
            Kind::Multiple(encoding) | Kind::Stateful { encoding, .. } => self.multiple(bytes, encoding).map(Cow::Owned),
        }
    }

    fn ascii<'a>(&self, bytes: &'a [u8]) -> std::result::Result<Cow<'a, str>, Malformed> {
        std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|e| Malformed(e.valid_up_to()))
    }

    fn lossy(&self, bytes: &[u8]) -> String {
        let mut text = String::with_capacity(bytes.len());
        for part in bytes.utf8_chunks() {
            text.push_str(part.valid());
            if !part.invalid().is_empty() && self.errors == Errors::Replace {
                text.push(char::REPLACEMENT_CHARACTER);
            }
        }
        text
    }

    fn single(&self, bytes: &[u8], table: &[Option<char>; 256]) -> std::result::Result<String, Malformed> {
        let mut text = String::with_capacity(bytes.len() + bytes.len() / 2);
        for (at, byte) in bytes.iter().enumerate() {
            match (table.get(usize::from(*byte)).copied().flatten(), self.errors) {
                (Some(c), _) => text.push(c),
                (None, Errors::Strict) => return Err(Malformed(at)),
                (None, Errors::Replace) => text.push(char::REPLACEMENT_CHARACTER),
                (None, Errors::Ignore) => {}
            }
        }
        Ok(text)
    }

    fn multiple(&self, bytes: &[u8], encoding: &'static Encoding) -> std::result::Result<String, Malformed> {
        let mut decoder = encoding.new_decoder_without_bom_handling();
        let mut text = String::with_capacity(bytes.len() * 3 / 2 + 16);
        let mut at = 0;
        loop {
            let rest = bytes.get(at..).unwrap_or_default();
            let (result, read) = decoder.decode_to_string_without_replacement(rest, &mut text, true);
            at += read;
            match (result, self.errors) {
                (DecoderResult::InputEmpty, _) => return Ok(text),
                (DecoderResult::OutputFull, _) => text.reserve(rest.len() * 3 + 16),
                (DecoderResult::Malformed(bad, after), Errors::Strict) => {
                    return Err(Malformed(at.saturating_sub(usize::from(bad) + usize::from(after))));
                }
                (DecoderResult::Malformed(..), Errors::Replace) => text.push(char::REPLACEMENT_CHARACTER),
                (DecoderResult::Malformed(..), Errors::Ignore) => {}
            }
        }
    }

    /// What decodes a file from its beginning on, where that is needed.
    pub(super) fn transcoder(&self) -> Option<Transcoder> {
        let decoder = match self.kind {
            Kind::Stateful { encoding, marked: true } => encoding.new_decoder(),
            Kind::Stateful { encoding, marked: false } | Kind::Multiple(encoding) => encoding.new_decoder_without_bom_handling(),
            Kind::Utf8 { .. } | Kind::Single(_) => return None,
        };
        Some(Transcoder { decoder, errors: self.errors, read: 0, replace: false })
    }

    /// That bytes are no text.
    #[cold]
    pub(super) fn error(&self, offset: u64, byte: Option<u8>) -> Error {
        let byte = byte.map(|byte| format!(", 0x{byte:02x},")).unwrap_or_default();
        let name: &str = if matches!(self.kind, Kind::Utf8 { .. }) { "UTF-8" } else { &self.name };
        let hint = "name the encoding, or have what is not text replaced: see `TextFiles::encoding` and `TextFiles::errors`";
        Error::new(ErrorKind::Corrupt, format!("byte {offset} of the file{byte} is no {name}")).hint(hint)
    }
}

/// The byte order mark in UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";

fn single(of: impl Fn(u8) -> Option<char>) -> Kind {
    let mut table = [None; 256];
    table.iter_mut().zip(0..=255u8).for_each(|(entry, byte)| *entry = of(byte));
    Kind::Single(Arc::new(table))
}

/// An encoding of the Encoding Standard, by its labels and by Python's names.
fn known(label: &str) -> Option<Kind> {
    let aliases = [
        ("cp932", "shift_jis"),
        ("cp936", "gbk"),
        ("cp949", "euc-kr"),
        ("cp950", "big5"),
        ("cp874", "windows-874"),
        ("shift-jis", "shift_jis"),
        ("mac-roman", "macintosh"),
        ("mac-cyrillic", "x-mac-cyrillic"),
    ];
    let windows = label.strip_prefix("cp125").map(|rest| format!("windows-125{rest}"));
    let iso = label.strip_prefix("iso8859-").map(|rest| format!("iso-8859-{rest}"));
    let alias = aliases.iter().find(|(name, _)| *name == label).map(|(_, label)| label.to_string());
    let label = alias.or(windows).or(iso).unwrap_or_else(|| label.to_owned());
    let encoding = Encoding::for_label_no_replacement(label.as_bytes())?;
    if encoding == encoding_rs::UTF_8 {
        return Some(Kind::Utf8 { marked: false });
    }
    if encoding.is_single_byte() {
        // The Encoding Standard fills what Windows leaves undefined with control characters, and takes the names of ISO for code pages of
        // Windows, which are theirs but for the control characters.
        let (iso, windows) = (label.starts_with("iso"), encoding.name().starts_with("windows-"));
        return Some(single(|byte| {
            match (label.as_str(), byte) {
                // Of these two bytes the Encoding Standard makes letters of Belarusian.
                ("koi8-u", 0xae) => return Some('\u{255d}'),
                ("koi8-u", 0xbe) => return Some('\u{256c}'),
                _ => {}
            }
            if iso && (0x80..=0x9f).contains(&byte) {
                return Some(byte.into());
            }
            let text = encoding.decode_without_bom_handling_and_without_replacement(std::slice::from_ref(&byte))?;
            text.chars().next().filter(|c| !(windows && ('\u{80}'..='\u{9f}').contains(c)))
        }));
    }
    match encoding.is_ascii_compatible() {
        true => Some(Kind::Multiple(encoding)),
        false => Some(Kind::Stateful { encoding, marked: false }),
    }
}

/// Decodes a file from its beginning on.
pub(super) struct Transcoder {
    decoder: encoding_rs::Decoder,
    errors: Errors,
    /// The bytes that were decoded.
    read: u64,
    /// Whether a replacement is still to be written.
    replace: bool,
}

impl Transcoder {
    /// The least room for text that it is to be given.
    pub(super) const ROOM: usize = 16;

    /// Decodes bytes, which are the `last` or not, into UTF-8. Says how many it has taken, how many it has written, and whether it wants no more room.
    pub(super) fn decode(&mut self, bytes: &[u8], out: &mut [u8], last: bool) -> std::result::Result<(usize, usize, bool), MalformedAt> {
        let (mut taken, mut written) = (0, 0);
        loop {
            let room = out.get_mut(written..).unwrap_or_default();
            if self.replace {
                let Some(room) = room.get_mut(..3) else { return Ok((taken, written, false)) };
                char::REPLACEMENT_CHARACTER.encode_utf8(room);
                written += 3;
                self.replace = false;
                continue;
            }
            if room.len() < Self::ROOM {
                return Ok((taken, written, false));
            }
            let rest = bytes.get(taken..).unwrap_or_default();
            let (result, read, wrote) = self.decoder.decode_to_utf8_without_replacement(rest, room, last);
            taken += read;
            written += wrote;
            self.read += read as u64;
            match result {
                DecoderResult::InputEmpty => return Ok((taken, written, true)),
                DecoderResult::OutputFull => return Ok((taken, written, false)),
                DecoderResult::Malformed(bad, after) => match self.errors {
                    Errors::Strict => return Err(MalformedAt(self.read.saturating_sub(u64::from(bad) + u64::from(after)))),
                    Errors::Replace => self.replace = true,
                    Errors::Ignore => {}
                },
            }
        }
    }
}

/// Where in a file bytes are no text.
#[derive(Clone, Copy, Debug)]
pub(super) struct MalformedAt(pub(super) u64);

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_text_are_found_replaced_or_left_out() {
        let decode = |name: &str, errors, bytes: &[u8]| Coding::of(name, errors).unwrap().decode(bytes).map(Cow::into_owned);
        for (name, bytes, at, replaced, ignored) in [
            ("utf-8", &b"a\xe2\x82b\xffc"[..], 1, "a\u{fffd}b\u{fffd}c", "abc"),
            ("ascii", b"a\xe9", 1, "a\u{fffd}", "a"),
            ("cp1252", b"\x80\x81", 1, "\u{20ac}\u{fffd}", "\u{20ac}"),
            ("shift_jis", b"\x82\xa0a\x82", 3, "\u{3042}a\u{fffd}", "\u{3042}a"),
        ] {
            assert_eq!(decode(name, Errors::Strict, bytes), Err(Malformed(at)), "{name}");
            assert_eq!(decode(name, Errors::Replace, bytes).unwrap(), replaced, "{name}");
            assert_eq!(decode(name, Errors::Ignore, bytes).unwrap(), ignored, "{name}");
        }
        assert_eq!(decode("latin-1", Errors::Strict, b"\x80\xff").unwrap(), "\u{80}\u{ff}");
        assert_eq!(Coding::of("utf-8-sig", Errors::Strict).unwrap().mark(b"\xef\xbb\xbfa"), 3);
        assert_eq!(Coding::of("utf-8", Errors::Strict).unwrap().mark(b"\xef\xbb\xbfa"), 0);
        assert_eq!(Coding::of("no-such", Errors::Strict).unwrap_err().kind(), ErrorKind::Unsupported);
        assert_eq!(Coding::of("latin-1", Errors::Strict).unwrap().encode("\u{e9}").unwrap(), b"\xe9");
        assert_eq!(Coding::of("latin-1", Errors::Strict).unwrap().encode("\u{20ac}").unwrap_err().kind(), ErrorKind::Invalid);
    }
}
