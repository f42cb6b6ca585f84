//! The bytes of a block back to entries. Nothing here trusts what was read.

use super::head::{Head, Order};
use crate::codec::Fields;
use crate::format::{
    BLOCK_BYTES, LOG_BLOCK_BYTES, LOG_BLOCK_HEADER_BYTES, LOG_BLOCK_HEADS, LOG_BLOCK_MAGIC, LOG_HEAD_BYTES, LOG_PIECE_BYTES,
    LOG_STRETCH_BYTES, LOG_VERSION,
};
use crate::io::BackendFile;
use crate::{Arena, Buffer, Codec, Encoding, Error, ErrorKind, Result, checksum};

/// So few bytes are read through the cache of the system.
const FEW_BYTES: usize = 64 << 10;

/// What the head of a block says, checked.
#[derive(Debug)]
pub(super) struct BlockHead {
    encoding: Encoding,
    item_size: usize,
    pub(super) heads: Vec<Head>,
    pub(super) raw: usize,
    /// Stored length and checksum of each piece.
    pieces: Vec<(usize, u64)>,
}

/// Which block is expected, and where.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected<'a> {
    pub(super) file: &'a dyn BackendFile,
    pub(super) partition: u32,
    pub(super) writer: u64,
    pub(super) offset: u64,
    pub(super) stored: usize,
    pub(super) head: usize,
}

/// Entries of a block, decoded.
#[derive(Debug)]
pub(super) struct Decoded {
    pub(super) bytes: Buffer,
    /// The entries, and where in `bytes` each begins.
    pub(super) entries: Vec<(Head, usize)>,
}

impl Expected<'_> {
    /// The error of damage at a byte of the block.
    fn damaged(&self, at: usize, message: impl Into<String>) -> Error {
        let hint = "what this partition holds is incomplete; delete it, or repeat the tasks that made the log";
        Error::new(ErrorKind::Corrupt, format!("a block of partition {} is damaged: {}", self.partition, message.into()))
            .at(self.file.path())
            .offset(self.offset + at as u64)
            .hint(hint)
    }

    /// Reads bytes of the block to the beginning of `memory`; gives where they begin there. Many are read as whole pages of the file,
    /// past the cache of the system. Few are not, so that the system reads what is near, which is of the next partitions.
    fn read(&self, begin: usize, end: usize, memory: &mut [u8]) -> Result<usize> {
        if end - begin <= FEW_BYTES {
            let memory = memory.get_mut(..end - begin).ok_or_else(|| self.damaged(begin, "it is longer than any block"))?;
            self.file.read_at(self.offset + begin as u64, memory)?;
            return Ok(0);
        }
        let page = BLOCK_BYTES as u64;
        let first = (self.offset + begin as u64) / page * page;
        let last = (self.offset + end as u64).next_multiple_of(page);
        let memory = memory.get_mut(..(last - first) as usize).ok_or_else(|| self.damaged(begin, "it is longer than any block"))?;
        self.file.read_at(first, memory)?;
        Ok((self.offset + begin as u64 - first) as usize)
    }

    /// Reads and checks header and tables; where the whole is asked for, the pieces are in memory too, behind them.
    fn read_head(&self, whole: bool, codec: &mut Codec, memory: &mut [u8]) -> Result<(BlockHead, usize)> {
        if self.head < LOG_BLOCK_HEADER_BYTES || self.stored < self.head || self.stored > LOG_STRETCH_BYTES {
            return Err(self.damaged(0, "its lengths make no sense"));
        }
        let begin = self.read(0, if whole { self.stored } else { self.head }, memory)?;
        let bytes = memory.get_mut(begin..begin + self.head).unwrap_or_default();
        self.parse(bytes, codec).map(|head| (head, begin))
    }

    /// The header and tables in `bytes`; the checksum in them is set to 0.
    fn parse(&self, bytes: &mut [u8], codec: &mut Codec) -> Result<BlockHead> {
        let sum = bytes.get_mut(56..64).ok_or_else(|| self.damaged(0, "it is cut"))?;
        let mut expected = [0; 8];
        expected.swap_with_slice(sum);
        if checksum(bytes) != u64::from_le_bytes(expected) {
            return Err(self.damaged(0, "the checksum of its header is wrong"));
        }
        let mut reader = Fields(bytes);
        let magic = reader.take::<4>()?;
        let [version, encoding, item_size, table_encoding] = reader.take()?;
        let (partition, entries, raw, stored) = (reader.u32()?, reader.u32()? as usize, reader.u32()? as usize, reader.u32()? as usize);
        let (pieces, table_stored) = (reader.u32()? as usize, reader.u32()? as usize);
        let (writer, offset, _zeros, _sum) = (reader.u64()?, reader.u64()?, reader.u64()?, reader.u64()?);
        if magic != LOG_BLOCK_MAGIC {
            return Err(self.damaged(0, "it does not begin as a block does"));
        }
        if u32::from(version) != LOG_VERSION {
            let message = format!("a block of version {version}; this program knows {LOG_VERSION}");
            return Err(Error::new(ErrorKind::Unsupported, message).at(self.file.path()).offset(self.offset));
        }
        if (partition, writer, offset, stored) != (self.partition, self.writer, self.offset, self.stored) {
            return Err(self.damaged(0, "another block stands in its place"));
        }
        let coding = |code| Encoding::from_code(code).ok_or_else(|| self.damaged(0, format!("there is no encoding {code}")));
        let (encoding, table_encoding) = (coding(encoding)?, coding(table_encoding)?);
        if raw > LOG_BLOCK_BYTES || entries > LOG_BLOCK_HEADS || pieces != raw.div_ceil(LOG_PIECE_BYTES) {
            return Err(self.damaged(0, "its header contradicts itself"));
        }
        let mut lengths = Vec::with_capacity(pieces);
        for _ in 0..pieces {
            let (stored, _zeros) = (reader.u32()? as usize, reader.u32()?);
            lengths.push((stored, reader.u64()?));
        }
        let table = reader.bytes(table_stored)?;
        let mut plain = vec![0; entries * LOG_HEAD_BYTES];
        codec.decode(table_encoding, 8, table, &mut plain).map_err(|e| self.damaged(0, e.to_string()))?;
        let mut plain = Fields(&plain);
        let heads =
            (0..entries).map(|_| Head::decode(&mut plain)).collect::<Result<Vec<_>>>().map_err(|e| self.damaged(0, e.to_string()))?;
        let sum: usize = heads.iter().map(|head| head.len as usize).sum();
        let end = lengths.iter().fold(self.head, |end, (stored, _)| end.saturating_add(*stored));
        if !reader.0.is_empty() || sum != raw || end != stored {
            return Err(self.damaged(0, "its tables contradict its header"));
        }
        Ok(BlockHead { encoding, item_size: item_size.into(), heads, raw, pieces: lengths })
    }

    /// The heads of the entries only.
    pub(super) fn heads(&self, codec: &mut Codec, memory: &mut [u8]) -> Result<Vec<Head>> {
        Ok(self.read_head(false, codec, memory)?.0.heads)
    }

    /// The entries of the block in the range of orders, or all of them, in memory of the arena.
    pub(super) fn decode(&self, range: Option<(Order, Order)>, codec: &mut Codec, memory: &mut [u8], arena: &Arena) -> Result<Decoded> {
        let (head, begin) = self.read_head(range.is_none(), codec, memory)?;
        let (mut from, mut to, mut at) = (usize::MAX, 0, 0);
        let mut entries = Vec::new();
        for entry in head.heads {
            if range.is_none_or(|(first, last)| (first..=last).contains(&entry.order())) {
                from = from.min(at);
                to = to.max(at + entry.len as usize);
                entries.push((entry, at));
            }
            at += entry.len as usize;
        }
        let from = from.min(to) / LOG_PIECE_BYTES;
        let until = to.div_ceil(LOG_PIECE_BYTES);
        entries.iter_mut().for_each(|(_, at)| *at -= from * LOG_PIECE_BYTES);
        let lengths = |range: std::ops::Range<usize>| head.pieces.get(range).unwrap_or_default().iter().map(|piece| piece.0).sum::<usize>();
        let begin_stored = self.head + lengths(0..from);
        let mut at = match range {
            None => begin + begin_stored,
            Some(_) => self.read(begin_stored, begin_stored + lengths(from..until), memory)?,
        };
        let end = head.raw.min(until * LOG_PIECE_BYTES);
        let mut out = arena.alloc(end.saturating_sub(from * LOG_PIECE_BYTES))?;
        let (mut place, pieces) = (begin_stored, head.pieces.get(from..until).unwrap_or_default());
        for ((stored, sum), piece) in pieces.iter().zip(out.chunks_mut(LOG_PIECE_BYTES)) {
            let bytes = memory.get(at..at + stored).ok_or_else(|| self.damaged(place, "a piece is longer than the block"))?;
            if checksum(bytes) != *sum {
                return Err(self.damaged(place, "the checksum of its bytes is wrong"));
            }
            match *stored == piece.len() {
                true => piece.copy_from_slice(bytes),
                false => codec.decode(head.encoding, head.item_size, bytes, piece).map_err(|e| self.damaged(place, e.to_string()))?,
            }
            at += stored;
            place += stored;
        }
        Ok(Decoded { bytes: out.freeze(), entries })
    }
}
