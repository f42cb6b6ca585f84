//! Entries in memory to the bytes of a block; `FORMAT.md` draws them.

use super::bucket::Held;
use super::head::Head;
use super::wire::put_at;
use crate::format::{LOG_BLOCK_HEADER_BYTES, LOG_BLOCK_MAGIC, LOG_PIECE_BYTES, LOG_PIECE_ENTRY_BYTES, LOG_VERSION};
use crate::{Codec, Encoding, Error, ErrorKind, Result, checksum};
use rustc_hash::FxHashSet;

/// A block that was encoded, and where it begins in the memory that it was encoded to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Encoded {
    pub(super) at: usize,
    /// The bytes of the whole, and of the header with its tables.
    pub(super) stored: usize,
    pub(super) head: usize,
    pub(super) raw: u64,
}

/// How blocks of a log are encoded.
#[derive(Debug, Clone, Copy)]
pub(super) struct How {
    pub(super) encoding: Encoding,
    pub(super) item_size: usize,
}

/// What fails where the caller gave too little memory.
fn no_room() -> Error {
    Error::new(ErrorKind::Invalid, "a block is longer than the memory for a stretch")
}

/// Encodes the entries of `held` whose instance is not `dead` to `out` from `at` on. Nothing where there are none.
///
/// The header is not complete before [`finish`].
pub(super) fn encode(
    held: &Held,
    dead: &FxHashSet<u64>,
    (partition, how): (u32, How),
    (codec, joined): (&mut Codec, &mut [u8]),
    out: &mut [u8],
    at: usize,
) -> Result<Option<Encoded>> {
    let (mut heads, mut runs) = (Vec::<Head>::new(), Vec::<Run>::new());
    for part in held.parts.iter().filter(|part| !dead.contains(&part.head.instance)) {
        match heads.last_mut() {
            Some(last) if last.continued_by(&part.head) => last.len += part.head.len,
            _ => heads.push(part.head),
        }
        let (begin, end) = (part.begin as usize, part.begin as usize + part.head.len as usize);
        match runs.last_mut() {
            Some(run) if (run.memory, run.end) == (part.memory, begin) => run.end = end,
            _ if begin == end => {}
            _ => runs.push(Run { memory: part.memory, begin, end }),
        }
    }
    if heads.is_empty() {
        return Ok(None);
    }
    let raw: usize = runs.iter().map(|run| run.end - run.begin).sum();
    let pieces = raw.div_ceil(LOG_PIECE_BYTES);
    let table: Vec<u8> = heads.iter().flat_map(Head::encode).collect();
    let tables_at = at + LOG_BLOCK_HEADER_BYTES;
    let heads_at = tables_at + pieces * LOG_PIECE_ENTRY_BYTES;
    let room = out.get_mut(heads_at..).ok_or_else(no_room)?;
    let (table_encoding, table_stored) = match codec.encode(Encoding::ShuffleZstd, 8, &table, room)? {
        Some(n) => (Encoding::ShuffleZstd, n),
        None => {
            put_at(room, 0, &table).ok_or_else(no_room)?;
            (Encoding::Raw, table.len())
        }
    };
    let head = heads_at + table_stored - at;
    let mut filled = at + head;
    let mut source = Source { held, runs: runs.into_iter(), rest: &[] };
    for number in 0..pieces {
        let piece = source.next(joined);
        let most = piece.len() - piece.len() / 32;
        let room = out.get_mut(filled..).ok_or_else(no_room)?;
        let encoded = match (how.encoding, room.get_mut(..most)) {
            (Encoding::Raw, _) | (_, None) => None,
            (_, Some(room)) => codec.encode(how.encoding, how.item_size, piece, room)?,
        };
        let stored = match encoded {
            Some(n) => n,
            None => {
                put_at(room, 0, piece).ok_or_else(no_room)?;
                piece.len()
            }
        };
        let sum = checksum(out.get(filled..filled + stored).unwrap_or_default());
        let entry = tables_at + number * LOG_PIECE_ENTRY_BYTES;
        put_at(out, entry, &(stored as u32).to_le_bytes()).ok_or_else(no_room)?;
        put_at(out, entry + 4, &[0; 4]).ok_or_else(no_room)?;
        put_at(out, entry + 8, &sum.to_le_bytes()).ok_or_else(no_room)?;
        filled += stored;
    }
    let stored = filled - at;
    let header = (LOG_BLOCK_MAGIC.into_iter())
        .chain([LOG_VERSION as u8, how.encoding as u8, how.item_size as u8, table_encoding as u8])
        .chain(partition.to_le_bytes())
        .chain((heads.len() as u32).to_le_bytes())
        .chain((raw as u32).to_le_bytes())
        .chain((stored as u32).to_le_bytes())
        .chain((pieces as u32).to_le_bytes())
        .chain((table_stored as u32).to_le_bytes())
        .chain([0; 32]);
    let header: Vec<u8> = header.collect();
    put_at(out, at, &header).ok_or_else(no_room)?;
    Ok(Some(Encoded { at, stored, head, raw: raw as u64 }))
}

/// Completes the header of a block, once it is known where it goes.
pub(super) fn finish(out: &mut [u8], block: &Encoded, writer: u64, offset: u64) -> Result<()> {
    put_at(out, block.at + 32, &writer.to_le_bytes()).ok_or_else(no_room)?;
    put_at(out, block.at + 40, &offset.to_le_bytes()).ok_or_else(no_room)?;
    let sum = checksum(out.get(block.at..block.at + block.head).unwrap_or_default());
    put_at(out, block.at + 56, &sum.to_le_bytes()).ok_or_else(no_room)
}

/// Bytes that stand together in memory.
struct Run {
    memory: u32,
    begin: usize,
    end: usize,
}

/// Pieces of what stands in several runs.
struct Source<'a> {
    held: &'a Held,
    runs: std::vec::IntoIter<Run>,
    rest: &'a [u8],
}

impl<'a> Source<'a> {
    fn next_run(&mut self) -> Option<&'a [u8]> {
        self.runs.next().map(|run| self.held.run(run.memory, run.begin, run.end))
    }

    /// The next piece: where it stands, or joined.
    fn next<'b>(&mut self, joined: &'b mut [u8]) -> &'b [u8]
    where
        'a: 'b,
    {
        if self.rest.is_empty() {
            self.rest = self.next_run().unwrap_or_default();
        }
        if self.rest.len() >= LOG_PIECE_BYTES || self.runs.len() == 0 {
            let (piece, rest) = self.rest.split_at(self.rest.len().min(LOG_PIECE_BYTES));
            self.rest = rest;
            return piece;
        }
        let mut filled = 0;
        while filled < LOG_PIECE_BYTES {
            if self.rest.is_empty() {
                match self.next_run() {
                    Some(run) => self.rest = run,
                    None => break,
                }
            }
            let (now, rest) = self.rest.split_at(self.rest.len().min(LOG_PIECE_BYTES - filled));
            if let Some(to) = joined.get_mut(filled..filled + now.len()) {
                to.copy_from_slice(now);
            }
            filled += now.len();
            self.rest = rest;
        }
        joined.get(..filled).unwrap_or_default()
    }
}
