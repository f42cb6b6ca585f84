//! Reading frames back, and checking that they are what was written.

#![deny(clippy::indexing_slicing)]

use super::active::{Frame, STREAM_ROOM};
use super::frame::{Fixed, FrameHeader, FrameInfo, corrupt, decode_head};
use super::place::Place;
use super::segments::{Inner, Segments};
use crate::codec::RunningChecksum;
use crate::format::{BLOCK_BYTES, LARGE_BYTES, PIECE_BYTES};
use crate::io::BackendFile;
use crate::{Arena, Buffer, Chunk, Codec, Encoding, Error, ErrorKind, Result, checksum};
use std::hash::Hasher;
use std::sync::Arc;

/// Frames up to this length are read whole, at once.
const WHOLE_BYTES: u64 = 192 << 10;

/// Where the bytes of a frame are.
enum Origin {
    /// In the page of a lane, or of a failed segment.
    Memory(Buffer),
    File(Arc<dyn BackendFile>),
}

impl Segments {
    /// The chunk in a frame, also where it is not committed or not even written yet.
    ///
    /// # Errors
    /// Corrupt or truncated, naming file and place, where it is not what was written; out of memory where the arena has no
    /// room; the error of a failed read.
    pub(crate) fn read(&self, place: Place) -> Result<Chunk> {
        Ok(self.read_frame(place)?.1)
    }

    /// The header of a frame and the chunk in it; otherwise as [`Segments::read`].
    ///
    /// # Errors
    /// As for [`Segments::read`].
    pub(crate) fn read_frame(&self, place: Place) -> Result<(FrameHeader, Chunk)> {
        self.read_frame_in(place, self.arena())
    }

    /// As [`Segments::read_frame`], into memory of another arena.
    ///
    /// # Errors
    /// As for [`Segments::read`].
    pub(crate) fn read_frame_in(&self, place: Place, arena: &Arena) -> Result<(FrameHeader, Chunk)> {
        let inner = &*self.0;
        inner.read_frame(place, arena).map_err(|e| inner.name(e, place))
    }

    /// Gives the sound chunks that stand in a row from a short frame on in its file, as far as they can be read at once, until
    /// `visit` says no. There is none where the frame is not in a file yet.
    ///
    /// # Errors
    /// Those of reading.
    pub(crate) fn read_row(&self, place: Place, mut visit: impl FnMut(FrameHeader, Place, Chunk) -> bool) -> Result<()> {
        let inner = &*self.0;
        let Some((file, readable)) = self.readable_of(place)? else { return Ok(()) };
        let len = readable.saturating_sub(place.offset).min(WHOLE_BYTES);
        let mut bytes = self.arena().alloc(len as usize)?;
        file.read_at(place.offset, &mut bytes)?;
        let bytes = bytes.freeze();
        let mut at = 0u64;
        while at < len {
            // Where nothing sound follows, the row ends.
            let rest = bytes.get(at as usize..).unwrap_or_default();
            let Ok(header) = decode_head(rest, place.offset + at) else { break };
            let here = Place { segment: place.segment, offset: place.offset + at, len: header.frame_len() };
            let Some(frame) = bytes.slice(at as usize, here.len as usize).filter(|_| here.len > 0) else { break };
            let Ok((header, chunk)) = inner.read_whole(&Origin::Memory(frame), here, self.arena()) else { break };
            if !visit(header, here, chunk) {
                break;
            }
            at += here.len;
        }
        Ok(())
    }

    /// The header of a frame; its payload is not looked at.
    ///
    /// # Errors
    /// As for [`Segments::read`].
    pub(crate) fn read_header(&self, place: Place) -> Result<FrameHeader> {
        let inner = &*self.0;
        let header = inner.origin(place).and_then(|origin| origin.header(place));
        header.map_err(|e| inner.name(e, place))
    }

    /// The header of a frame, after the checksum of its payload was compared; it takes no memory, whatever the size.
    ///
    /// # Errors
    /// As for [`Segments::read`].
    pub(crate) fn check(&self, place: Place) -> Result<FrameHeader> {
        let inner = &*self.0;
        let checked = inner.origin(place).and_then(|origin| {
            let header = origin.header(place)?;
            let found = inner.staging.with(|staging| origin.sum(place, &header, staging.parts().1))?;
            if found == header.checksum { Ok(header) } else { Err(wrong_payload(&header, found)) }
        });
        checked.map_err(|e| inner.name(e, place))
    }

    /// Appends a frame again, as it is stored, and gives the place of the copy. It is checked on the way.
    ///
    /// # Errors
    /// Those of reading and of appending; nothing is appended then.
    pub(crate) fn copy(&self, place: Place) -> Result<Place> {
        self.copy_from(self, place)
    }

    /// As [`Segments::copy`], from a frame of other segments.
    ///
    /// # Errors
    /// As for [`Segments::copy`].
    pub(crate) fn copy_from(&self, other: &Segments, place: Place) -> Result<Place> {
        let name = |e| other.0.name(e, place);
        let origin = other.0.origin(place).map_err(name)?;
        let header = origin.header(place).map_err(name)?;
        let info = FrameInfo { kind: header.kind, dataset: header.dataset, key: &header.key };
        let frame = Frame { info, chunk: &header.chunk, encoding: header.encoding };
        let begin = header.payload_at() as u64;
        let (mut at, mut sum) = (0, RunningChecksum::new());
        let mut source = |out: &mut [u8]| {
            let len = (header.stored - at).min(STREAM_ROOM as u64).min(out.len() as u64) as usize;
            let out = out.get_mut(..len).unwrap_or_default();
            origin.read(place, begin + at, out).map_err(name)?;
            sum.write(out);
            at += len as u64;
            match at == header.stored && sum.finish() != header.checksum {
                true => Err(name(wrong_payload(&header, sum.finish()))),
                false => Ok(len),
            }
        };
        self.0.staging.with(|staging| self.0.put_stream(&frame, header.stored, staging.parts().1, &mut source))
    }

    /// The file that a written frame is in, and how much of it can be read.
    pub(super) fn readable_of(&self, place: Place) -> Result<Option<(Arc<dyn BackendFile>, u64)>> {
        let readable = self.0.shared(place)?.readable();
        Ok(if place.end() <= readable { Some((self.0.file(place.segment)?, readable)) } else { None })
    }

    /// The file that a written frame is in, and whether it is sealed.
    pub(super) fn file_of(&self, place: Place) -> Result<Option<(Arc<dyn BackendFile>, bool)>> {
        let shared = self.0.shared(place)?;
        if place.end() > shared.readable() {
            return Ok(None);
        }
        let sealed = shared.state.lock().sealed_acknowledged;
        Ok(Some((self.0.file(place.segment)?, sealed)))
    }
}

impl Inner {
    /// Names file and place in an error that does not.
    pub(super) fn name(&self, error: Error, place: Place) -> Error {
        let error = if error.path().is_none() { error.at(self.path_of(place.segment)).offset(place.offset) } else { error };
        match error.kind() {
            ErrorKind::Corrupt | ErrorKind::Truncated => error.hint("verify the store, and repair it to keep what is sound"),
            _ => error,
        }
    }

    /// Where the bytes of a frame are.
    fn origin(&self, place: Place) -> Result<Origin> {
        let shared = self.shared(place)?;
        for _ in 0..3 {
            if place.end() <= shared.readable() {
                return self.file(place.segment).map(Origin::File);
            }
            // What is not in the file is small, and in a page.
            let mut copy = self.arena.alloc(place.len.min(WHOLE_BYTES) as usize)?;
            if self.small.lock().copy_unwritten(place, &mut copy) || self.copy_failed(place, &mut copy) {
                return Ok(Origin::Memory(copy.freeze()));
            }
            // It may have been written just now.
        }
        Err(Error::new(ErrorKind::Truncated, "a segment ends before this frame does"))
    }

    fn copy_failed(&self, place: Place, out: &mut [u8]) -> bool {
        let failed = self.failed.lock();
        let pages = failed.iter().filter(|failed| failed.shared.id == place.segment).filter_map(|failed| failed.page.as_ref());
        let mut bytes = pages.filter_map(|(base, page)| page.get(place.offset.checked_sub(*base)?, out.len()));
        bytes.next().map(|bytes| out.copy_from_slice(bytes)).is_some()
    }

    fn read_frame(&self, place: Place, arena: &Arena) -> Result<(FrameHeader, Chunk)> {
        let origin = self.origin(place)?;
        if place.len <= WHOLE_BYTES {
            return self.read_whole(&origin, place, arena);
        }
        let header = origin.header(place)?;
        let stored = header.stored as usize;
        let mut out = arena.alloc(usize::try_from(header.chunk.payload_len()).map_err(|_| corrupt("a chunk is too long"))?)?;
        let from = header.payload_at() as u64;
        let sum = match header.encoding {
            Encoding::Raw => {
                let padded = stored.next_multiple_of(BLOCK_BYTES);
                let aligned = out.as_ptr().addr().is_multiple_of(BLOCK_BYTES) && out.padded_mut().len() >= padded;
                let target = if aligned { out.padded_mut().get_mut(..padded).unwrap_or_default() } else { &mut *out };
                origin.read(place, from, target)?;
                checksum(&out)
            }
            encoding => self.staging.with(|staging| {
                let (codec, memory) = staging.parts();
                decode_stream(&origin, place, &header, encoding, codec, memory, &mut out)
            })?,
        };
        if sum != header.checksum {
            return Err(wrong_payload(&header, sum));
        }
        let chunk = Chunk::from_parts(header.chunk.clone(), out.freeze(), 0)?;
        Ok((header, chunk))
    }

    /// A short frame, which is read at once.
    fn read_whole(&self, origin: &Origin, place: Place, arena: &Arena) -> Result<(FrameHeader, Chunk)> {
        let bytes = match origin {
            Origin::Memory(bytes) => bytes.clone(),
            Origin::File(file) => {
                let mut bytes = arena.alloc(place.len as usize)?;
                file.read_at(place.offset, &mut bytes)?;
                bytes.freeze()
            }
        };
        let header = decode_head(&bytes, place.offset)?;
        check_len(&header, place)?;
        let begin = header.payload_at();
        let payload = bytes.get(begin..).and_then(|rest| rest.get(..header.stored as usize)).ok_or_else(|| corrupt("a frame is cut"))?;
        let sum = checksum(payload);
        if sum != header.checksum {
            return Err(wrong_payload(&header, sum));
        }
        let chunk = match header.encoding {
            Encoding::Raw => Chunk::from_parts(header.chunk.clone(), bytes, begin)?,
            encoding => {
                let len = usize::try_from(header.chunk.payload_len()).map_err(|_| corrupt("a chunk is too long"))?;
                let mut out = arena.alloc(len)?;
                self.staging.with(|staging| staging.codec.decode(encoding, header.chunk.item_size(), payload, &mut out))?;
                Chunk::from_parts(header.chunk.clone(), out.freeze(), 0)?
            }
        };
        Ok((header, chunk))
    }
}

impl Origin {
    /// Fills `out` with the bytes from byte `at` of the frame on.
    fn read(&self, place: Place, at: u64, out: &mut [u8]) -> Result<()> {
        match self {
            Origin::File(file) => file.read_at(place.offset.saturating_add(at), out),
            Origin::Memory(bytes) => {
                let from = bytes.get(at as usize..).and_then(|rest| rest.get(..out.len())).ok_or_else(|| corrupt("a frame is cut"))?;
                out.copy_from_slice(from);
                Ok(())
            }
        }
    }

    /// The checksum of the stored payload.
    fn sum(&self, place: Place, header: &FrameHeader, memory: &mut [u8]) -> Result<u64> {
        let (mut sum, mut done) = (RunningChecksum::new(), 0);
        while done < header.stored {
            let now = (header.stored - done).min(memory.len() as u64) as usize;
            // The padding of a large frame is read with the last part.
            let read = if header.large { now.next_multiple_of(BLOCK_BYTES) } else { now };
            self.read(place, header.payload_at() as u64 + done, memory.get_mut(..read).unwrap_or_default())?;
            sum.write(memory.get(..now).unwrap_or_default());
            done += now as u64;
        }
        Ok(sum.finish())
    }

    /// The header of the frame.
    fn header(&self, place: Place) -> Result<FrameHeader> {
        read_header(place.offset, place.len, |at, out| self.read(place, at, out)).and_then(|header| {
            check_len(&header, place)?;
            Ok(header)
        })
    }
}

/// The header of the frame at byte `offset` of its file, of which at most `len` bytes are read.
fn read_header(offset: u64, len: u64, read: impl Fn(u64, &mut [u8]) -> Result<()>) -> Result<FrameHeader> {
    let mut first = [0; 512];
    let first = first.get_mut(..len.min(512) as usize).unwrap_or_default();
    read(0, first)?;
    let fixed = Fixed::decode(first)?;
    if fixed.head_len() <= first.len() {
        return fixed.header(first, offset);
    }
    if fixed.head_len() as u64 > len {
        return Err(corrupt("a frame is shorter than its header"));
    }
    let mut whole = vec![0; fixed.head_len()];
    read(0, &mut whole)?;
    fixed.header(&whole, offset)
}

pub(super) fn check_len(header: &FrameHeader, place: Place) -> Result<()> {
    match header.frame_len() == place.len {
        true => Ok(()),
        false => Err(corrupt(format!("a frame of {} bytes where one of {} was written", header.frame_len(), place.len))),
    }
}

/// That a payload is not what was written.
pub(super) fn wrong_payload(header: &FrameHeader, found: u64) -> Error {
    corrupt(format!(
        "{} stored bytes are not those that were written: checksum {found:016x}, expected {:016x}",
        header.stored, header.checksum
    ))
}

/// Reads and decodes part after part; gives the checksum of what was read.
fn decode_stream(
    origin: &Origin,
    place: Place,
    header: &FrameHeader,
    encoding: Encoding,
    codec: &mut Codec,
    memory: &mut [u8],
    out: &mut [u8],
) -> Result<u64> {
    // What is left of a part stands before the middle of the memory, and what is read behind it, aligned.
    let (middle, item) = (PIECE_BYTES, header.chunk.item_size());
    let (mut sum, mut begin, mut end, mut at) = (RunningChecksum::new(), middle, middle, 0u64);
    for part in out.chunks_mut(Codec::part_len(item)) {
        loop {
            let have = memory.get(begin..end).unwrap_or_default();
            if Codec::encoded_part_len(have).is_some_and(|len| len <= have.len()) {
                begin += codec.decode_part(encoding, item, have, part)?;
                break;
            }
            if at == header.stored || have.len() > Codec::PART_MOST {
                return Err(corrupt("a compressed piece is cut"));
            }
            let kept = end - begin;
            memory.copy_within(begin..end, middle - kept);
            begin = middle - kept;
            let more = (header.stored - at).min(PIECE_BYTES as u64) as usize;
            // The padding of the frame is read with the last part.
            let target = memory.get_mut(middle..middle + more.next_multiple_of(BLOCK_BYTES)).unwrap_or_default();
            origin.read(place, header.payload_at() as u64 + at, target)?;
            end = middle + more;
            sum.write(memory.get(middle..end).unwrap_or_default());
            at += more as u64;
        }
    }
    match begin == end && at == header.stored {
        true => Ok(sum.finish()),
        false => Err(corrupt("bytes are left over behind a payload")),
    }
}

/// The segment layer keeps small frames whole in memory: what is read whole is at least as long as any of them.
const _: () = assert!(WHOLE_BYTES >= 2 * LARGE_BYTES as u64 + 8192);
