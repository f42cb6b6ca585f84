//! How files are compressed, and what decoding them takes.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Compression {
    /// As the end of its name says: `.gz`, `.zst`, `.bz2` or `.xz`; not at all, where it is another.
    #[default]
    Infer,
    /// Not at all, whatever it is called.
    None,
    /// As gzip does: one or more members.
    Gzip,
    /// As Zstandard does: one or more frames.
    Zstd,
    /// As bzip2 does: one or more streams.
    Bz2,
    /// As xz does: one or more streams.
    Xz,
}

/// What decoding a file takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decoding {
    /// The bytes that the decoder holds, at most.
    pub(super) memory: u64,
    /// The bytes that decoding may look back, where the format limits that by memory.
    pub(super) window: u64,
    /// About how many bytes come out of it.
    pub(super) decoded: u64,
}

impl Compression {
    /// How the file of a path is compressed: never [`Compression::Infer`].
    pub(super) fn of(self, path: &Path) -> Compression {
        let suffix = || path.extension().and_then(|suffix| suffix.to_str()).unwrap_or_default().to_ascii_lowercase();
        match self {
            Compression::Infer => match suffix().as_str() {
                "gz" => Compression::Gzip,
                "zst" => Compression::Zstd,
                "bz2" => Compression::Bz2,
                "xz" => Compression::Xz,
                _ => Compression::None,
            },
            known => known,
        }
    }

    /// The name of the format.
    pub(super) fn name(self) -> &'static str {
        match self {
            Compression::Infer | Compression::None => "plain",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
            Compression::Bz2 => "bzip2",
            Compression::Xz => "xz",
        }
    }

    /// What decoding a file takes, by what its headers say. A file that is damaged is found to be so when it is decoded.
    pub(super) fn decoding(self, file: &File, size: u64) -> Decoding {
        let guess = size.saturating_mul(4);
        match self {
            Compression::Infer | Compression::None => Decoding { memory: 0, window: 0, decoded: size },
            // The last member's length modulo 2^32; the others' stand elsewhere.
            Compression::Gzip => {
                let last = read::<4>(file, size.saturating_sub(4)).map_or(0, u32::from_le_bytes).into();
                let decoded = if (size..=size.saturating_mul(1032)).contains(&last) { last } else { guess };
                Decoding { memory: 128 << 10, window: 0, decoded }
            }
            // The largest blocks are of 900 kB, of which each byte takes four and a half.
            Compression::Bz2 => Decoding { memory: 5 << 20, window: 0, decoded: guess },
            Compression::Zstd => {
                let (window, decoded) = zstd_frame(file).unwrap_or((0, None));
                // What the usual levels of compression look back; a frame that needs more than the first and than this is refused.
                let window = window.clamp(8 << 20, 1 << 31).next_power_of_two();
                Decoding { memory: window + (1 << 20), window, decoded: decoded.unwrap_or(guess) }
            }
            Compression::Xz => {
                let (window, decoded) = xz_streams(file, size).unwrap_or((8 << 20, guess));
                Decoding { memory: window + (1 << 20), window: window + (1 << 20), decoded }
            }
        }
    }
}

fn read<const N: usize>(file: &File, offset: u64) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    file.read_exact_at(&mut bytes, offset).ok()?;
    Some(bytes)
}

/// Of the first frame of a Zstandard file, how far it looks back, and how many bytes it holds where it says so (RFC 8878, 3.1.1.1).
fn zstd_frame(file: &File) -> Option<(u64, Option<u64>)> {
    let mut head = [0; 18];
    let n = file.read_at(&mut head, 0).ok()?;
    let head = head.get(..n)?;
    if head.get(..4)? != [0x28, 0xb5, 0x2f, 0xfd] {
        return None;
    }
    let descriptor = *head.get(4)?;
    let single = descriptor & 0x20 != 0;
    let mut at = 5;
    let mut window = 0;
    if !single {
        let byte = u64::from(*head.get(at)?);
        let base = 1u64 << (10 + (byte >> 3));
        window = base + base / 8 * (byte & 7);
        at += 1;
    }
    at += [0, 1, 2, 4][usize::from(descriptor & 3)];
    let len = match descriptor >> 6 {
        0 => usize::from(single),
        flag => 1 << flag,
    };
    let field = head.get(at..at + len)?;
    let number = field.iter().rev().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    let decoded = match len {
        0 => None,
        2 => Some(number + 256),
        _ => Some(number),
    };
    Some((if single { decoded.unwrap_or(0) } else { window }, decoded))
}

/// The most streams and bytes of an index that are looked at.
const MOST_STREAMS: usize = 4096;
const MOST_INDEX: u64 = 4 << 20;

/// How far the streams of an xz file look back at most, and how many bytes they hold in all (The .xz File Format, 1.2.0). They are gone through from the last
/// footer to the first header, and of each stream the first block is asked.
fn xz_streams(file: &File, size: u64) -> Option<(u64, u64)> {
    let (mut end, mut window, mut decoded) = (size, 0, 0u64);
    for _ in 0..MOST_STREAMS {
        while end >= 4 && read::<4>(file, end - 4)? == [0; 4] {
            end -= 4;
        }
        if end == 0 {
            return Some((window, decoded));
        }
        let footer = read::<12>(file, end.checked_sub(12)?)?;
        let [_, _, _, _, a, b, c, d, _, _, y, z] = footer;
        if [y, z] != *b"YZ" {
            return None;
        }
        let index_len = (u64::from(u32::from_le_bytes([a, b, c, d])) + 1) * 4;
        let index_start = (end - 12).checked_sub(index_len).filter(|_| index_len <= MOST_INDEX)?;
        let mut index = vec![0; index_len as usize];
        file.read_exact_at(&mut index, index_start).ok()?;
        let mut rest = index.get(1..)?;
        let records = number(&mut rest)?;
        let mut blocks = 0u64;
        for _ in 0..records {
            let unpadded = number(&mut rest)?;
            blocks = blocks.checked_add(unpadded.checked_next_multiple_of(4)?)?;
            decoded = decoded.checked_add(number(&mut rest)?)?;
        }
        let first = index_start.checked_sub(blocks)?;
        if records > 0 {
            window = window.max(xz_dictionary(file, first)?);
        }
        end = first.checked_sub(12)?;
    }
    None
}

/// The bytes that a block's dictionary takes.
fn xz_dictionary(file: &File, block: u64) -> Option<u64> {
    let [len] = read::<1>(file, block)?;
    let mut header = vec![0; (usize::from(len) + 1) * 4];
    file.read_exact_at(&mut header, block).ok()?;
    let flags = *header.get(1)?;
    let mut rest = header.get(2..)?;
    for bit in [0x40, 0x80] {
        if flags & bit != 0 {
            number(&mut rest)?;
        }
    }
    for _ in 0..=(flags & 3) {
        let (filter, len) = (number(&mut rest)?, number(&mut rest)?);
        let (properties, after) = rest.split_at_checked(usize::try_from(len).ok()?)?;
        if let (0x21, [bits]) = (filter, properties) {
            let bits = u32::from(bits & 0x3f);
            return Some(if bits >= 40 { u32::MAX.into() } else { (2 | u64::from(bits & 1)) << (bits / 2 + 11) });
        }
        rest = after;
    }
    None
}

/// The integer of variable length at the beginning of `bytes`, which then begin behind it.
fn number(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..63).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn headers_say_what_decoding_takes() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/bag_files");
        let of = |name: &str| {
            let path = folder.join(name);
            let file = File::open(&path).unwrap();
            Compression::Infer.of(&path).decoding(&file, file.metadata().unwrap().len())
        };
        let plain = std::fs::metadata(folder.join("mixed.txt")).unwrap().len();
        assert_eq!(of("mixed.txt").decoded, plain);
        // Two streams, of presets 1 and 6.
        assert_eq!(of("mixed.txt.xz"), Decoding { memory: 9 << 20, window: 9 << 20, decoded: plain });
        assert_eq!(of("mixed.txt.zst").window, 8 << 20);
        assert!(of("mixed.txt.bz2").memory >= 9 * 400_000);
        assert_eq!(Compression::Infer.of(Path::new("A.GZ")), Compression::Gzip);
        assert_eq!(Compression::Infer.of(Path::new("gz")), Compression::None);
        assert_eq!(Compression::None.of(Path::new("a.gz")), Compression::None);
    }
}
