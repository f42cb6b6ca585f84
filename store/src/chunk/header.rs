//! What a chunk is, apart from its bytes: the header under which it is spilled.
//!
//! ```text
//!    0        1      2        3            4               8
//!    +--------+------+--------+------------+---------------+
//!    | version| kind | dtype  | dimensions | 0 (4 bytes)   |
//!    +--------+------+--------+------------+---------------+
//!    | count: of the records; the bits of a scalar; else 0 |   u64
//!    +-----------------------------------------------------+
//!    | bytes of the payload                                |   u64
//!    +-----------------------------------------------------+
//!    | extent of each axis                                 |   u64 each
//!    +-----------------------------------------------------+
//! ```
//! Everything is little-endian. The type is 255 where there is none. The bits of a scalar stand as in memory,
//! widened with zeros.

use super::{Block, Bytes, Chunk, DType, Records, Scalar, Shape};
use crate::{Buffer, Error, ErrorKind, Result};

/// The version of the header.
const VERSION: u8 = 1;

/// The type of what has none.
const NO_DTYPE: u8 = 255;

/// The kinds of chunks; the numbers are on disk and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ChunkKind {
    /// One number or truth value, which is in the header.
    Scalar = 0,
    /// A block of an array.
    Block = 1,
    /// Encoded records.
    Records = 2,
    /// Opaque bytes.
    Bytes = 3,
}

impl ChunkKind {
    /// The kind whose number in a header is `code`.
    pub fn from_code(code: u8) -> Option<ChunkKind> {
        [ChunkKind::Scalar, ChunkKind::Block, ChunkKind::Records, ChunkKind::Bytes].get(code as usize).copied()
    }
}

/// What a chunk is, apart from its bytes. A header is consistent: its lengths agree, whatever it was decoded from.
///
/// ```
/// use chunkstore_store::{Chunk, ChunkHeader, Scalar};
/// let chunk = Chunk::Scalar(Scalar::F64(0.5));
/// let mut bytes = Vec::new();
/// chunk.header()?.encode(&mut bytes);
/// let (header, length) = ChunkHeader::decode(&bytes)?;
/// assert_eq!((header.payload_len(), length), (0, bytes.len()));
/// # Ok::<(), chunkstore_store::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChunkHeader {
    kind: ChunkKind,
    dtype: Option<DType>,
    shape: Shape,
    count: u64,
    payload: u64,
}

impl ChunkHeader {
    /// The bytes of a header of no dimensions.
    pub const LEAST_BYTES: usize = 24;

    /// The most dimensions that a block can have on disk.
    pub const MOST_DIMENSIONS: usize = 64;

    /// The header of [`Bytes`](crate::Bytes) of `payload` bytes.
    pub(crate) fn of_bytes(payload: u64) -> Self {
        ChunkHeader { kind: ChunkKind::Bytes, dtype: None, shape: Shape::new(), count: 0, payload }
    }

    /// The kind of the chunk.
    pub fn kind(&self) -> ChunkKind {
        self.kind
    }

    /// The type of the elements of a block, or of a scalar.
    pub fn dtype(&self) -> Option<DType> {
        self.dtype
    }

    /// The extents of a block.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The bytes of the payload.
    pub fn payload_len(&self) -> u64 {
        self.payload
    }

    /// The bytes of an item of the payload, for the codec.
    pub fn item_size(&self) -> usize {
        if self.kind == ChunkKind::Block { self.dtype.map_or(1, DType::size) } else { 1 }
    }

    /// The bytes of the header itself.
    pub fn encoded_len(&self) -> usize {
        Self::LEAST_BYTES + 8 * self.shape.len()
    }

    /// Appends the header to `out`.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend([VERSION, self.kind as u8, self.dtype.map_or(NO_DTYPE, |dtype| dtype as u8), self.shape.len() as u8]);
        out.extend([0; 4]);
        out.extend(self.count.to_le_bytes());
        out.extend(self.payload.to_le_bytes());
        for extent in &self.shape {
            out.extend((*extent as u64).to_le_bytes());
        }
    }

    /// The header at the beginning of `bytes`, and how many of them it takes.
    ///
    /// # Errors
    /// Truncated where `bytes` end before it does; unsupported where it is of another version; corrupt where it
    /// contradicts itself.
    pub fn decode(bytes: &[u8]) -> Result<(ChunkHeader, usize)> {
        let mut reader = Reader(bytes);
        let [version, kind, dtype, dimensions, zeros @ ..] = reader.take::<8>()?;
        if version != VERSION {
            return Err(Error::new(ErrorKind::Unsupported, format!("a chunk header of version {version}; this program knows {VERSION}")));
        }
        if zeros != [0; 4] {
            return Err(corrupt("reserved bytes are not 0"));
        }
        let kind = ChunkKind::from_code(kind).ok_or_else(|| corrupt(format!("there is no kind {kind}")))?;
        let known = DType::from_code(dtype);
        if known.is_none() && dtype != NO_DTYPE {
            return Err(corrupt(format!("there is no element type {dtype}")));
        }
        let (count, payload) = (reader.u64()?, reader.u64()?);
        if usize::from(dimensions) > Self::MOST_DIMENSIONS {
            return Err(corrupt(format!("{dimensions} dimensions")));
        }
        let extent = |_| reader.u64().and_then(|extent| usize::try_from(extent).map_err(|_| corrupt("an extent is too large")));
        let shape = (0..dimensions).map(extent).collect::<Result<Shape>>()?;
        let header = ChunkHeader { kind, dtype: known, shape, count, payload };
        header.check()?;
        let length = header.encoded_len();
        Ok((header, length))
    }

    fn check(&self) -> Result<()> {
        let blank = self.dtype.is_none() && self.shape.is_empty();
        let fits = match self.kind {
            ChunkKind::Scalar => self.shape.is_empty() && self.payload == 0 && self.scalar().is_some(),
            ChunkKind::Block => self.count == 0 && self.block_len() == Some(self.payload),
            ChunkKind::Records => blank,
            ChunkKind::Bytes => blank && self.count == 0,
        };
        if fits { Ok(()) } else { Err(corrupt(format!("it contradicts itself: {self:?}"))) }
    }

    /// The bytes of the elements.
    fn block_len(&self) -> Option<u64> {
        let size = self.dtype?.size() as u64;
        // As for a block itself, the extents are multiplied in order, and no product may overflow.
        let elements = self.shape.iter().try_fold(1u64, |n, extent| n.checked_mul(*extent as u64))?;
        elements.checked_mul(size)
    }

    /// The scalar whose bits are the count, if they are those of one.
    fn scalar(&self) -> Option<Scalar> {
        let dtype = self.dtype?;
        let bits = self.count;
        if dtype.size() < 8 && bits >> (8 * dtype.size()) != 0 {
            return None;
        }
        Some(match dtype {
            DType::Bool if bits > 1 => return None,
            DType::Bool => Scalar::Bool(bits == 1),
            DType::I8 => Scalar::I8(bits as i8),
            DType::I16 => Scalar::I16(bits as i16),
            DType::I32 => Scalar::I32(bits as i32),
            DType::I64 => Scalar::I64(bits as i64),
            DType::U8 => Scalar::U8(bits as u8),
            DType::U16 => Scalar::U16(bits as u16),
            DType::U32 => Scalar::U32(bits as u32),
            DType::U64 => Scalar::U64(bits),
            DType::F32 => Scalar::F32(f32::from_bits(bits as u32)),
            DType::F64 => Scalar::F64(f64::from_bits(bits)),
        })
    }
}

/// The type of a scalar, and its bits widened with zeros.
fn bits(scalar: Scalar) -> (DType, u64) {
    match scalar {
        Scalar::Bool(value) => (DType::Bool, value.into()),
        Scalar::I8(value) => (DType::I8, (value as u8).into()),
        Scalar::I16(value) => (DType::I16, (value as u16).into()),
        Scalar::I32(value) => (DType::I32, (value as u32).into()),
        Scalar::I64(value) => (DType::I64, value as u64),
        Scalar::U8(value) => (DType::U8, value.into()),
        Scalar::U16(value) => (DType::U16, value.into()),
        Scalar::U32(value) => (DType::U32, value.into()),
        Scalar::U64(value) => (DType::U64, value),
        Scalar::F32(value) => (DType::F32, value.to_bits().into()),
        Scalar::F64(value) => (DType::F64, value.to_bits()),
    }
}

impl Chunk {
    /// What this is, apart from its bytes.
    ///
    /// # Errors
    /// Unsupported where a block has more than 64 dimensions.
    pub fn header(&self) -> Result<ChunkHeader> {
        let header = |kind, dtype, shape, count, payload| ChunkHeader { kind, dtype, shape, count, payload };
        Ok(match self {
            Chunk::Scalar(scalar) => {
                let (dtype, bits) = bits(*scalar);
                header(ChunkKind::Scalar, Some(dtype), Shape::new(), bits, 0)
            }
            Chunk::Block(block) if block.shape().len() > ChunkHeader::MOST_DIMENSIONS => {
                let message = format!("a block of {} dimensions cannot be written", block.shape().len());
                return Err(Error::new(ErrorKind::Unsupported, message).hint("64 are the most"));
            }
            Chunk::Block(block) => {
                header(ChunkKind::Block, Some(block.dtype()), Shape::from_slice(block.shape()), 0, block.nbytes() as u64)
            }
            Chunk::Records(records) => header(ChunkKind::Records, None, Shape::new(), records.count, records.data.len() as u64),
            Chunk::Bytes(bytes) => header(ChunkKind::Bytes, None, Shape::new(), 0, bytes.0.len() as u64),
        })
    }

    /// Where the bytes are: a buffer, where in it they begin, and how many they are. None for a scalar.
    pub fn payload(&self) -> (&Buffer, usize, usize) {
        match self {
            Chunk::Scalar(_) => (Buffer::empty(), 0, 0),
            Chunk::Block(block) => {
                let (buffer, offset) = block.buffer();
                (buffer, offset, block.nbytes())
            }
            Chunk::Records(records) => (&records.data, 0, records.data.len()),
            Chunk::Bytes(bytes) => (&bytes.0, 0, bytes.0.len()),
        }
    }

    /// The bytes of an item of the payload, for the codec.
    pub fn item_size(&self) -> usize {
        match self {
            Chunk::Block(block) => block.dtype().size(),
            _ => 1,
        }
    }

    /// The chunk that `header` describes, whose bytes begin at byte `offset` of `buffer`. The buffer may be longer
    /// than that.
    ///
    /// # Errors
    /// Corrupt where the buffer does not hold what the header says, or a truth value is neither 0 nor 1; invalid where the
    /// elements of a block are not aligned.
    pub fn from_parts(header: ChunkHeader, buffer: Buffer, offset: usize) -> Result<Chunk> {
        header.check()?;
        let there = buffer.len().checked_sub(offset).map(|len| len as u64);
        if there.is_none_or(|len| len < header.payload) {
            let message = format!("a payload of {} bytes at byte {offset} of a buffer of {}", header.payload, buffer.len());
            return Err(Error::new(ErrorKind::Corrupt, message));
        }
        // The cast loses nothing: it is less than a length in memory.
        let slice = || buffer.slice(offset, header.payload as usize).ok_or_else(|| corrupt("its payload is cut"));
        match (header.kind, header.dtype) {
            (ChunkKind::Block, Some(dtype)) => Block::new(buffer, offset, dtype, header.shape).map(Chunk::Block),
            (ChunkKind::Records, _) => Ok(Chunk::Records(Records { data: slice()?, count: header.count })),
            (ChunkKind::Bytes, _) => Ok(Chunk::Bytes(Bytes(slice()?))),
            _ => header.scalar().map(Chunk::Scalar).ok_or_else(|| corrupt("it holds no scalar")),
        }
    }
}

/// What is left of a header.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk::<N>().ok_or_else(|| Error::new(ErrorKind::Truncated, "a chunk header is cut"))?;
        self.0 = rest;
        Ok(*bytes)
    }

    fn u64(&mut self) -> Result<u64> {
        self.take().map(u64::from_le_bytes)
    }
}

fn corrupt(message: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Corrupt, format!("a chunk header is damaged: {message}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::{Arena, Ledger};
    use proptest::prelude::*;
    use std::sync::Arc;

    fn through_bytes(chunk: &Chunk, offset: usize) -> Chunk {
        let mut bytes = Vec::new();
        let header = chunk.header().unwrap();
        header.encode(&mut bytes);
        assert_eq!(bytes.len(), header.encoded_len());
        let (decoded, n) = ChunkHeader::decode(&[bytes.as_slice(), &[1, 2, 3]].concat()).unwrap();
        assert_eq!((&decoded, n), (&header, bytes.len()));
        for cut in 0..n {
            assert_eq!(ChunkHeader::decode(&bytes[..cut]).unwrap_err().kind(), ErrorKind::Truncated);
        }
        let (buffer, begin, len) = chunk.payload();
        assert_eq!((len as u64, header.item_size()), (chunk.nbytes(), chunk.item_size()));
        let mut moved = Arena::new(Ledger::new(1 << 20)).alloc(offset + len + 5).unwrap();
        moved[offset..offset + len].copy_from_slice(&buffer[begin..begin + len]);
        Chunk::from_parts(decoded, moved.freeze(), offset).unwrap()
    }

    #[test]
    fn scalars_are_in_the_header() {
        let scalars = [
            Scalar::Bool(true),
            Scalar::I8(-1),
            Scalar::I16(i16::MIN),
            Scalar::I32(-7),
            Scalar::I64(i64::MIN),
            Scalar::U8(255),
            Scalar::U16(9),
            Scalar::U32(u32::MAX),
            Scalar::U64(u64::MAX),
            Scalar::F32(-0.5),
            Scalar::F64(f64::INFINITY),
        ];
        for scalar in scalars {
            match through_bytes(&Chunk::Scalar(scalar), 0) {
                Chunk::Scalar(back) => assert_eq!(back, scalar),
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn records_and_bytes_come_back() {
        let arena = Arena::new(Ledger::new(1 << 20));
        let records = Records::encode(&arena, 0..1000u32).unwrap();
        match through_bytes(&Chunk::Records(records), 64) {
            Chunk::Records(back) => assert!(back.iter::<u32>().map(|item| item.unwrap()).eq(0..1000)),
            other => panic!("{other:?}"),
        }
        match through_bytes(&Chunk::Bytes(Bytes(Buffer::from_vec(Arc::new(vec![1u8, 2, 3])))), 1) {
            Chunk::Bytes(back) => assert_eq!(&*back.0, [1, 2, 3]),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let values = Buffer::from_vec(Arc::new(vec![2.0f64; 10]));
        let block = Chunk::Block(Block::new(values.clone(), 0, DType::F64, Shape::from_slice(&[10])).unwrap());
        let header = block.header().unwrap();
        let kind = |offset| Chunk::from_parts(header.clone(), values.clone(), offset).map_err(|error| error.kind()).err();
        assert_eq!([kind(0), kind(8), kind(usize::MAX)], [None, Some(ErrorKind::Corrupt), Some(ErrorKind::Corrupt)]);
        let truth = ChunkHeader { dtype: Some(DType::Bool), payload: 10, ..header.clone() };
        assert_eq!(Chunk::from_parts(truth, values.clone(), 0).unwrap_err().kind(), ErrorKind::Corrupt);
        let more = Block::new(values, 0, DType::F64, std::iter::repeat_n(1, 65).collect()).unwrap();
        assert_eq!(Chunk::Block(more).header().unwrap_err().kind(), ErrorKind::Unsupported);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn blocks_come_back(shape in prop::collection::vec(0usize..6, 0..5), code in 0u8..11, skip in 0usize..4) {
            let dtype = DType::from_code(code).unwrap();
            let len = shape.iter().product::<usize>() * dtype.size();
            let values: Vec<u64> = (0..len as u64).map(|i| i % 2 * 0x0100_0101_0001_0001).collect();
            let buffer = Buffer::from_vec(Arc::new(values));
            let block = Block::new(buffer, 8 * skip.min(len / 8), dtype, Shape::from_slice(&shape)).unwrap();
            match through_bytes(&Chunk::Block(block.clone()), 64 * skip) {
                Chunk::Block(back) => {
                    prop_assert_eq!((back.dtype(), back.shape()), (dtype, block.shape()));
                    prop_assert_eq!(back.bytes(), block.bytes());
                }
                other => panic!("{other:?}"),
            }
        }

        #[test]
        fn any_bytes_are_a_header_or_an_error(
            version in 0u8..3, kind in 0u8..5, dtype in prop::sample::select(vec![0u8, 1, 4, 10, 11, 255]), dimensions in 0u8..4,
            tail in prop::collection::vec(prop::sample::select(vec![0u8, 0, 0, 1, 8, 255]), 0..60), offset in 0usize..100,
        ) {
            let mut bytes = vec![version, kind, dtype, dimensions];
            bytes.extend(tail);
            if let Ok((header, n)) = ChunkHeader::decode(&bytes) {
                let mut again = Vec::new();
                header.encode(&mut again);
                prop_assert_eq!(&again, &bytes[..n]);
                if let Ok(chunk) = Chunk::from_parts(header.clone(), Buffer::from_vec(Arc::new(vec![1u64; 20])), offset) {
                    prop_assert_eq!(chunk.header().unwrap(), header);
                }
            }
        }
    }
}
