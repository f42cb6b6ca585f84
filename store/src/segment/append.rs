//! Appending chunks.
//!
//! ```text
//!   raw, in aligned memory   payload ------------------------ direct I/O ---->  large frame
//!   raw, elsewhere           payload -- copied --> staging -- direct I/O ---->  large frame
//!   encoded                  payload -- part by part ---> staging ----------->  large frame
//!   short in the end         payload or staging ---> page ------------------->  small frame
//! ```

use super::active::{Body, Frame, STREAM_ROOM, Source, Stream};
use super::frame::FrameInfo;
use super::lane::Lane;
use super::place::Place;
use super::segments::{Inner, Segments};
use crate::codec::Staging;
use crate::format::{BLOCK_BYTES, KEY_MOST, LARGE_BYTES};
use crate::{Chunk, ChunkHeader, Codec, Encoding, Error, ErrorKind, Result, checksum};
use std::time::Instant;

impl Segments {
    /// Appends a frame, in the encoding that pays for the chunks of its `group`, such as those of one array. It can be read at
    /// once, and is there to stay after the next commit that settled its place.
    ///
    /// # Errors
    /// Disk full where the disk or the quota leaves no room; the error of a failed write, after which the chunk can be appended
    /// again; Invalid where the key has more than 64 KiB.
    pub(crate) fn append(&self, info: FrameInfo<'_>, chunk: &Chunk, group: u64) -> Result<Place> {
        let inner = &*self.0;
        let header = chunk.header()?;
        check(info)?;
        let (buffer, begin, len) = chunk.payload();
        let payload = buffer.get(begin..begin + len).unwrap_or_default();
        let find = || inner.staging.with(|staging| inner.verdicts.find(group, chunk, payload, staging.parts().0));
        let encoding = match inner.options.encoding {
            _ if payload.len() < BLOCK_BYTES => Encoding::Raw,
            Some(encoding) => encoding,
            None => inner.verdicts.remembered(group, chunk).unwrap_or_else(find),
        };
        let start = Instant::now();
        let place = match inner.append_as(encoding, info, &header, chunk, payload) {
            Err(full) if full.kind() == ErrorKind::DiskFull && encoding == Encoding::Raw && inner.options.encoding.is_none() => {
                // What does not pay in time may still fit.
                match inner.staging.with(|staging| staging.parts().0.probe_smallest(payload, chunk.item_size())) {
                    Encoding::Raw => return Err(full),
                    tight => inner.append_as(tight, info, &header, chunk, payload).map_err(|_| full)?,
                }
            }
            other => other?,
        };
        if encoding != Encoding::Raw {
            inner.verdicts.encoded(group, chunk, payload.len(), start.elapsed());
        }
        Ok(place)
    }

    /// Appends a frame of opaque bytes that come part by part, `payload` of them, as they are.
    ///
    /// # Errors
    /// As for [`Segments::append`]; that of the source; Invalid where another number of bytes comes.
    pub(super) fn append_stream(&self, info: FrameInfo<'_>, payload: u64, source: Source<'_>) -> Result<Place> {
        check(info)?;
        let chunk = ChunkHeader::of_bytes(payload);
        let frame = Frame { info, chunk: &chunk, encoding: Encoding::Raw };
        let mut came = 0;
        let mut counted = |out: &mut [u8]| {
            let n = source(out)?;
            came += n as u64;
            match n == 0 && came != payload || came > payload {
                true => Err(Error::new(ErrorKind::Invalid, format!("{came} bytes came where {payload} were announced"))),
                false => Ok(n),
            }
        };
        self.0.staging.with(|staging| self.0.put_stream(&frame, payload, staging.parts().1, &mut counted))
    }
}

/// Refuses keys that are too long.
fn check(info: FrameInfo<'_>) -> Result<()> {
    match info.key.len() {
        0..=KEY_MOST => Ok(()),
        more => Err(Error::new(ErrorKind::Invalid, format!("a key of {more} bytes; at most {KEY_MOST} are possible"))),
    }
}

impl Inner {
    fn append_as(&self, encoding: Encoding, info: FrameInfo<'_>, header: &ChunkHeader, chunk: &Chunk, payload: &[u8]) -> Result<Place> {
        self.writable()?;
        let frame = Frame { info, chunk: header, encoding };
        match encoding {
            Encoding::Raw if payload.len() < LARGE_BYTES => self.put_small(&frame, payload),
            Encoding::Raw if is_aligned(payload) => {
                let sum = checksum(payload);
                self.with_lane(|lane| lane.put_large(self, &frame, payload.len() as u64, Body::Whole(payload, sum)))
            }
            Encoding::Raw => self.staging.with(|staging| {
                let mut left = payload;
                let mut copy = |out: &mut [u8]| {
                    let (now, later) = left.split_at(left.len().min(STREAM_ROOM).min(out.len()));
                    out.iter_mut().zip(now).for_each(|(to, from)| *to = *from);
                    left = later;
                    Ok(now.len())
                };
                self.put_stream(&frame, payload.len() as u64, staging.parts().1, &mut copy)
            }),
            _ => self.staging.with(|staging| self.put_encoded(&frame, chunk.item_size(), payload, staging)),
        }
    }

    /// Encodes part after part.
    fn put_encoded(&self, frame: &Frame<'_>, item_size: usize, payload: &[u8], staging: &mut Staging) -> Result<Place> {
        let (codec, memory) = staging.parts();
        let mut parts = payload.chunks(Codec::part_len(item_size));
        let encoding = frame.encoding;
        let mut encode = |out: &mut [u8]| match parts.next() {
            Some(part) => codec.encode_part(encoding, item_size, part, out),
            None => Ok(0),
        };
        self.put_stream(frame, payload.len() as u64 / 2, memory, &mut encode)
    }

    /// Appends what comes part by part, as a large or a small frame.
    pub(super) fn put_stream(&self, frame: &Frame<'_>, expected: u64, memory: &mut [u8], source: Source<'_>) -> Result<Place> {
        self.writable()?;
        let (mut filled, mut done) = (0, false);
        while let Some(room) = memory.get_mut(filled..).filter(|_| !done && filled < LARGE_BYTES) {
            let n = source(room)?;
            filled += n;
            done = n == 0;
        }
        match memory.get(..filled).filter(|_| done && filled < LARGE_BYTES) {
            Some(short) => self.put_small(frame, short),
            None => self.with_lane(|lane| lane.put_large(self, frame, expected, Body::Stream(Stream { memory, filled, done, source }))),
        }
    }

    /// Appends a frame whose payload is short, and stored as it is to be.
    pub(super) fn put_stored(&self, frame: &Frame<'_>, payload: &[u8]) -> Result<Place> {
        self.writable()?;
        self.put_small(frame, payload)
    }

    fn put_small(&self, frame: &Frame<'_>, payload: &[u8]) -> Result<Place> {
        let sum = checksum(payload);
        self.small.lock().put_small(self, frame, payload, sum)
    }

    /// Runs `work` in a lane for large frames: the first that is free, or else one after the other.
    fn with_lane(&self, work: impl FnOnce(&mut Lane) -> Result<Place>) -> Result<Place> {
        for lane in &self.large {
            if let Some(mut lane) = lane.try_lock() {
                return work(&mut lane);
            }
        }
        let turn = self.turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed) as usize;
        match self.large.get(turn % self.large.len().max(1)) {
            Some(lane) => work(&mut lane.lock()),
            None => Err(Error::new(ErrorKind::Invalid, "there are no lanes")),
        }
    }
}

/// Whether bytes can go by direct I/O from where they are.
fn is_aligned(payload: &[u8]) -> bool {
    payload.as_ptr().addr().is_multiple_of(BLOCK_BYTES)
}
