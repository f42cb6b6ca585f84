//! Compression in pieces of fixed size.
//!
//! ```text
//!   bytes    | piece of 252 KiB | piece of 252 KiB | rest |     (cut to whole items)
//!   encoded  | n: u32 | n bytes | n: u32 | n bytes | ...        (little-endian)
//! ```
//! A piece is one zstd frame, of the shuffled piece where the encoding says so. Where `n` is the length of the piece itself,
//! it stands as it is, neither shuffled nor compressed. A piece fits in the cache, and working memory stays small.

use super::shuffle::{shuffle, unshuffle};
use crate::{Error, ErrorKind, Result};
use zstd::zstd_safe::{CCtx, CParameter, DCtx, get_error_name};

/// How bytes stand on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[repr(u8)]
pub enum Encoding {
    /// As they are.
    #[default]
    Raw = 0,
    /// Compressed by zstd.
    Zstd = 1,
    /// Shuffled by bytes of equal weight, then compressed by zstd.
    ShuffleZstd = 2,
}

impl Encoding {
    /// The encoding whose number in a header is `code`.
    pub fn from_code(code: u8) -> Option<Encoding> {
        [Encoding::Raw, Encoding::Zstd, Encoding::ShuffleZstd].get(code as usize).copied()
    }
}

/// The zstd level: higher ones take longer to compress than they save in writing.
const LEVEL: i32 = 1;

/// The longest piece. An eighth of it is no power of two, so that the planes of a shuffled piece do not compete for the
/// same lines of the cache.
const PIECE: usize = 252 << 10;

/// zstd's number for an output that is too short.
const TOO_SHORT: usize = 70;

/// Encodes and decodes, with contexts and working memory that are made once. One for each thread that does it.
///
/// ```
/// use chunkstore_store::{Codec, Encoding};
/// let bytes: Vec<u8> = (0..10_000u64).flat_map(u64::to_le_bytes).collect();
/// let (mut codec, mut out) = (Codec::new(), vec![0; bytes.len()]);
/// let n = codec.encode(Encoding::ShuffleZstd, 8, &bytes, &mut out)?.expect("numbers in a row are compressible");
/// assert!(n < bytes.len() / 2);
/// let mut back = vec![0; bytes.len()];
/// codec.decode(Encoding::ShuffleZstd, 8, &out[..n], &mut back)?;
/// assert_eq!(back, bytes);
/// # Ok::<(), chunkstore_store::Error>(())
/// ```
#[derive(Default)]
pub struct Codec {
    compressor: Option<CCtx<'static>>,
    decompressor: Option<DCtx<'static>>,
    /// Empty or [`PIECE`] bytes.
    piece: Vec<u8>,
}

impl std::fmt::Debug for Codec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Codec({} bytes)", self.working_bytes())
    }
}

impl Codec {
    /// The most memory that a codec ever holds. It is not booked here: whoever makes a codec books this much.
    pub const WORKING_BYTES: u64 = 5 << 18;

    /// A codec. Its memory is taken when it is first needed.
    pub fn new() -> Self {
        Codec::default()
    }

    /// The memory that this holds now, at most [`Codec::WORKING_BYTES`].
    pub fn working_bytes(&self) -> u64 {
        let contexts = self.compressor.as_ref().map_or(0, |c| c.sizeof()) + self.decompressor.as_ref().map_or(0, |d| d.sizeof());
        (contexts + self.piece.capacity()) as u64
    }

    /// Encodes `bytes`, items of `item_size` bytes, into `out`, and returns how many bytes that took. Nothing where they do
    /// not fit in `out`, and where compressed they would not be fewer; zstd may want some bytes more of room than it fills.
    ///
    /// # Errors
    /// Out of memory where there is none for the working memory.
    pub fn encode(&mut self, encoding: Encoding, item_size: usize, bytes: &[u8], out: &mut [u8]) -> Result<Option<usize>> {
        if encoding == Encoding::Raw {
            let Some(out) = out.get_mut(..bytes.len()) else { return Ok(None) };
            out.copy_from_slice(bytes);
            return Ok(Some(bytes.len()));
        }
        let room = out.len().min(bytes.len().saturating_sub(1));
        let mut left = out.get_mut(..room).unwrap_or_default();
        for piece in bytes.chunks(piece_len(item_size)) {
            let Some((length, rest)) = left.split_first_chunk_mut::<4>() else { return Ok(None) };
            let n = match self.encode_piece(encoding, item_size, piece, rest)? {
                Some(n) if n < piece.len() => n,
                _ => match rest.get_mut(..piece.len()) {
                    Some(verbatim) => {
                        verbatim.copy_from_slice(piece);
                        piece.len()
                    }
                    None => return Ok(None),
                },
            };
            *length = (n as u32).to_le_bytes();
            left = rest.get_mut(n..).unwrap_or_default();
        }
        let written = room - left.len();
        Ok((written < bytes.len()).then_some(written))
    }

    /// Decodes `bytes` into the whole of `out`, which is as long as what was encoded.
    ///
    /// # Errors
    /// Corrupt where `bytes` do not decode to exactly that; `out` may hold anything then. Out of memory as in encoding.
    pub fn decode(&mut self, encoding: Encoding, item_size: usize, bytes: &[u8], out: &mut [u8]) -> Result<()> {
        if encoding == Encoding::Raw {
            if bytes.len() != out.len() {
                return Err(corrupt(format!("{} bytes where {} were written", bytes.len(), out.len())));
            }
            out.copy_from_slice(bytes);
            return Ok(());
        }
        let mut left = bytes;
        for piece in out.chunks_mut(piece_len(item_size)) {
            left = left.get(self.decode_part(encoding, item_size, left, piece)?..).unwrap_or_default();
        }
        if left.is_empty() { Ok(()) } else { Err(corrupt(format!("{} bytes are left over", left.len()))) }
    }

    /// The bytes of what is encoded that each part but the last has, where it is encoded part by part.
    pub(crate) fn part_len(item_size: usize) -> usize {
        piece_len(item_size)
    }

    /// The most bytes that an encoded part takes.
    pub(crate) const PART_MOST: usize = PIECE + 4;

    /// Encodes the next part, of [`Codec::part_len`] bytes or the rest, into `out`, which has room for [`Codec::PART_MOST`]. The
    /// parts of some bytes one after the other are these bytes encoded, but may be longer than they are.
    pub(crate) fn encode_part(&mut self, encoding: Encoding, item_size: usize, part: &[u8], out: &mut [u8]) -> Result<usize> {
        let no_room = || Error::new(ErrorKind::Invalid, "there is no room for an encoded part");
        let (length, rest) = out.split_first_chunk_mut::<4>().ok_or_else(no_room)?;
        let rest = rest.get_mut(..part.len()).ok_or_else(no_room)?;
        let n = match self.encode_piece(encoding, item_size, part, rest)? {
            Some(n) if n < part.len() => n,
            _ => {
                rest.copy_from_slice(part);
                part.len()
            }
        };
        *length = (n as u32).to_le_bytes();
        Ok(n + 4)
    }

    /// The bytes of the encoded part that `bytes` begin with, where so much of it is there.
    pub(crate) fn encoded_part_len(bytes: &[u8]) -> Option<usize> {
        bytes.first_chunk::<4>().map(|length| (u32::from_le_bytes(*length) as usize).saturating_add(4))
    }

    /// Decodes the part that `bytes` begin with into the whole of `out`, and says how many of them it took.
    pub(crate) fn decode_part(&mut self, encoding: Encoding, item_size: usize, bytes: &[u8], out: &mut [u8]) -> Result<usize> {
        let (length, rest) = bytes.split_first_chunk::<4>().ok_or_else(|| corrupt("a compressed piece is missing"))?;
        let n = u32::from_le_bytes(*length) as usize;
        let encoded = rest.get(..n).ok_or_else(|| corrupt("a compressed piece is cut"))?;
        match n {
            n if n > out.len() => return Err(corrupt("a compressed piece is longer than what it holds")),
            n if n == out.len() => out.copy_from_slice(encoded),
            _ => self.decode_piece(encoding, item_size, encoded, out)?,
        }
        Ok(n + 4)
    }

    /// Compresses one piece; nothing where it does not fit.
    pub(super) fn encode_piece(&mut self, encoding: Encoding, item_size: usize, piece: &[u8], out: &mut [u8]) -> Result<Option<usize>> {
        let Codec { compressor, piece: scratch, .. } = self;
        let source = match encoding {
            Encoding::ShuffleZstd => {
                let shuffled = scratch_of(scratch, piece.len())?;
                shuffle(item_size, piece, shuffled);
                shuffled
            }
            _ => piece,
        };
        let compressor = compressor_of(compressor)?;
        match compressor.compress2(out, source) {
            Ok(n) => Ok(Some(n)),
            Err(code) if code.wrapping_neg() == TOO_SHORT => Ok(None),
            Err(code) => Err(Error::new(ErrorKind::OutOfMemory, format!("zstd cannot compress: {}", get_error_name(code)))),
        }
    }

    fn decode_piece(&mut self, encoding: Encoding, item_size: usize, encoded: &[u8], out: &mut [u8]) -> Result<()> {
        let Codec { decompressor, piece: scratch, .. } = self;
        let decompressor = match decompressor {
            Some(context) => context,
            None => decompressor.insert(DCtx::try_create().ok_or_else(no_memory)?),
        };
        if encoding == Encoding::ShuffleZstd {
            let shuffled = scratch_of(scratch, out.len())?;
            decompress(decompressor, encoded, shuffled)?;
            unshuffle(item_size, shuffled, out);
            return Ok(());
        }
        decompress(decompressor, encoded, out)
    }
}

/// The length of all pieces but the last: whole items.
fn piece_len(item_size: usize) -> usize {
    PIECE - PIECE % item_size.clamp(1, PIECE)
}

fn decompress(context: &mut DCtx<'static>, encoded: &[u8], out: &mut [u8]) -> Result<()> {
    match context.decompress(out, encoded) {
        Ok(n) if n == out.len() => Ok(()),
        Ok(n) => Err(corrupt(format!("a compressed piece holds {n} bytes where {} were written", out.len()))),
        Err(code) => Err(corrupt(format!("a compressed piece is damaged: {}", get_error_name(code)))),
    }
}

fn compressor_of<'a>(context: &'a mut Option<CCtx<'static>>) -> Result<&'a mut CCtx<'static>> {
    if context.is_none() {
        let mut new = CCtx::try_create().ok_or_else(no_memory)?;
        new.set_parameter(CParameter::CompressionLevel(LEVEL)).map_err(|_| no_memory())?;
        *context = Some(new);
    }
    context.as_mut().ok_or_else(no_memory)
}

fn scratch_of(scratch: &mut Vec<u8>, len: usize) -> Result<&mut [u8]> {
    if scratch.is_empty() {
        scratch.try_reserve_exact(PIECE).map_err(|_| no_memory())?;
        scratch.resize(PIECE, 0);
    }
    scratch.get_mut(..len).ok_or_else(no_memory)
}

fn no_memory() -> Error {
    Error::new(ErrorKind::OutOfMemory, "no memory for a codec")
}

fn corrupt(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Corrupt, message)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ALL: [Encoding; 3] = [Encoding::Raw, Encoding::Zstd, Encoding::ShuffleZstd];

    /// Bytes that are compressible here and there.
    fn bytes(len: usize, seed: u64) -> Vec<u8> {
        let mut random = seed;
        let byte = |i: usize| {
            random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            if (i / 50_000).is_multiple_of(2) { (i / 300) as u8 } else { (random >> 56) as u8 }
        };
        (0..len).map(byte).collect()
    }

    #[test]
    fn pieces_come_back_for_all_item_sizes() {
        let mut codec = Codec::new();
        for item_size in [0, 1, 2, 3, 4, 5, 8, 12, 16, PIECE - 1, PIECE, PIECE + 1, usize::MAX] {
            for len in [0, 1, 4, 5, 63, 64, 65, 1000, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 77] {
                let source = bytes(len, 1);
                for encoding in ALL {
                    let mut out = vec![0; len + 100];
                    let Some(n) = codec.encode(encoding, item_size, &source, &mut out).unwrap() else {
                        assert!(encoding != Encoding::Raw && len < 1000);
                        continue;
                    };
                    assert!(encoding == Encoding::Raw || n < len || len == 0);
                    let mut back = vec![1; len];
                    codec.decode(encoding, item_size, &out[..n], &mut back).unwrap();
                    assert_eq!(back, source);
                    if n > 0 {
                        assert_eq!(codec.encode(encoding, item_size, &source, &mut out[..n - 1]).unwrap(), None);
                    }
                }
            }
        }
        // A probe takes two samples beside.
        assert!(codec.working_bytes() + (128 << 10) <= Codec::WORKING_BYTES, "{codec:?}");
    }

    #[test]
    fn noise_is_refused_and_numbers_have_codes() {
        let mut codec = Codec::new();
        let noise: Vec<u8> = bytes(200_000, 9)[50_000..100_000].to_vec();
        let mut out = vec![0; 60_000];
        assert_eq!(codec.encode(Encoding::Zstd, 1, &noise, &mut out).unwrap(), None);
        assert_eq!(ALL.map(|encoding| Encoding::from_code(encoding as u8)), ALL.map(Some));
        assert_eq!(Encoding::from_code(3), None);
    }

    #[test]
    fn what_zstd_says_of_a_short_output_is_known() {
        let code = CCtx::create().compress2(&mut [0u8; 1][..], b"some bytes").unwrap_err();
        assert_eq!((code.wrapping_neg(), get_error_name(code)), (TOO_SHORT, "Destination buffer is too small"));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_come_back(item_size in 0usize..20, source in prop::collection::vec(0u8..4, 0..5000), shuffled in any::<bool>()) {
            let encoding = if shuffled { Encoding::ShuffleZstd } else { Encoding::Zstd };
            let (mut codec, mut out, mut back) = (Codec::new(), vec![0; source.len()], vec![9; source.len()]);
            if let Some(n) = codec.encode(encoding, item_size, &source, &mut out).unwrap() {
                codec.decode(encoding, item_size, &out[..n], &mut back).unwrap();
                prop_assert_eq!(back, source);
            }
        }

        #[test]
        fn damage_never_passes_the_lengths(
            cut in 0usize..3000, at in 0usize..3000, flip in 1u8.., longer in 0usize..50, extra in prop::collection::vec(any::<u8>(), 0..9),
        ) {
            let source = bytes(PIECE + 5000, 3);
            let (mut codec, mut out) = (Codec::new(), vec![0; source.len()]);
            for encoding in [Encoding::Zstd, Encoding::ShuffleZstd] {
                let n = codec.encode(encoding, 8, &source, &mut out).unwrap().unwrap();
                let good = &out[..n];
                let mut back = vec![0; source.len() + longer];
                let mut kind = |bytes: &[u8], len: usize| codec.decode(encoding, 8, bytes, &mut back[..len]).err().map(|error| error.kind());
                let corrupt = Some(ErrorKind::Corrupt);
                prop_assert_eq!(kind(&good[..n - 1 - cut % n], source.len()), corrupt);
                if !extra.is_empty() {
                    prop_assert_eq!(kind(&[good, &extra].concat(), source.len()), corrupt);
                }
                if longer > 0 {
                    prop_assert_eq!(kind(good, source.len() + longer), corrupt);
                    prop_assert_eq!(kind(good, source.len() - longer), corrupt);
                }
                // A flipped byte may go unseen here; that is what the checksum is for.
                let mut garbled = good.to_vec();
                garbled[at % n] ^= flip;
                let _ = kind(&garbled, source.len());
                let _ = kind(&extra, source.len());
            }
        }
    }
}
