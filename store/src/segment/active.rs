//! A segment that is being written, and what is written to it.

use super::footer::{FooterEntry, FrameList, Trailer};
use super::frame::{FrameInfo, FrameKind, Head, corrupt, frame_len, payload_at};
use super::header::SegmentHeader;
use super::segments::Inner;
use super::shared::Shared;
use crate::codec::RunningChecksum;
use crate::format::{BLOCK_BYTES, FOOTER_ENTRY_BYTES, LARGE_BYTES, TRAILER_BYTES};
use crate::io::{BackendFile, Open};
use crate::{BufferMut, ChunkHeader, Encoding, Error, ErrorKind, Result, checksum};
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

/// The bytes of a page.
pub(super) const PAGE_BYTES: usize = 512 << 10;
/// What a stream is given room for at a time.
pub(super) const STREAM_ROOM: usize = 512 << 10;
/// The least and the most by which a file grows.
const STEP: std::ops::RangeInclusive<u64> = 1 << 20..=16 << 20;

/// A segment that is being written.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) shared: Arc<Shared>,
    pub(super) file: Arc<dyn BackendFile>,
    /// Where the next block goes, a multiple of 4096: all before it is written.
    pub(super) end: u64,
    /// The length of the file.
    pub(super) room: u64,
    pub(super) frames: FrameList,
    /// The small frames that are to be written at `end`.
    pub(super) page: Option<Page>,
}

/// Small frames that are not written yet.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) buffer: BufferMut,
    pub(super) filled: usize,
}

impl Page {
    /// The bytes that stand in it from `at` on.
    pub(super) fn get(&self, at: u64, len: usize) -> Option<&[u8]> {
        let at = usize::try_from(at).ok()?;
        self.buffer.get(..self.filled)?.get(at..at.checked_add(len)?)
    }
}

/// Bytes that come part by part: fills some of what it is given, at least 512 KiB, and says how many; 0 at the end.
pub(super) type Source<'a> = &'a mut dyn FnMut(&mut [u8]) -> Result<usize>;

/// The payload of a large frame.
pub(super) enum Body<'a, 'b> {
    /// Bytes that stand aligned in memory, and their checksum.
    Whole(&'a [u8], u64),
    /// Bytes that come part by part.
    Stream(Stream<'a, 'b>),
}

/// Bytes that come part by part.
pub(super) struct Stream<'a, 'b> {
    /// Aligned memory of whole blocks, at least 1 MiB.
    pub(super) memory: &'a mut [u8],
    /// The bytes at the beginning of the memory that came already.
    pub(super) filled: usize,
    /// Whether no more will come.
    pub(super) done: bool,
    pub(super) source: Source<'b>,
}

/// Why a large frame was not written.
pub(super) enum Failure {
    /// The payload did not come.
    Source(Error),
    /// The file did not take it.
    File(Error),
}

/// What is the same for all payloads of a frame.
pub(super) struct Frame<'a> {
    pub(super) info: FrameInfo<'a>,
    pub(super) chunk: &'a ChunkHeader,
    pub(super) encoding: Encoding,
}

impl Frame<'_> {
    pub(super) fn head(&self, large: bool, stored: u64, checksum: u64, offset: u64) -> Head<'_> {
        Head { info: self.info, chunk: self.chunk, encoding: self.encoding, large, stored, checksum, offset }
    }

    pub(super) fn entry(&self, offset: u64, len: u64) -> FooterEntry {
        FooterEntry { offset, len, dataset: self.info.dataset, kind: self.info.kind }
    }

    pub(super) fn payload_at(&self, large: bool) -> usize {
        payload_at(large, self.info.key.len(), self.chunk.encoded_len())
    }
}

impl Active {
    pub(super) fn page_has_room(&self, len: u64) -> bool {
        self.page.as_ref().is_none_or(|page| page.filled as u64 + len <= PAGE_BYTES as u64)
    }

    /// Makes a page where there is none, and reserves the room for its first `filled` bytes, at best for all of it.
    pub(super) fn open_page(&mut self, inner: &Inner, filled: usize) -> Result<()> {
        let need = self.end + filled.next_multiple_of(BLOCK_BYTES) as u64;
        if need > self.room {
            match self.grow(inner, self.end + PAGE_BYTES as u64) {
                Err(full) if full.kind() == ErrorKind::DiskFull => self.grow(inner, need)?,
                other => other?,
            }
        }
        if self.page.is_none() {
            self.page = Some(Page { buffer: inner.arena.alloc(PAGE_BYTES)?, filled: 0 });
        }
        Ok(())
    }

    pub(super) fn write_page(&mut self, inner: &Inner) -> Result<()> {
        let Some(page) = self.page.as_mut().filter(|page| page.filled > 0) else { return Ok(()) };
        let whole = page.filled.next_multiple_of(BLOCK_BYTES);
        page.buffer.get_mut(page.filled..whole).unwrap_or_default().fill(0);
        let start = Instant::now();
        self.file.write_at(self.end, page.buffer.get(..whole).unwrap_or_default())?;
        inner.verdicts.wrote(whole, start.elapsed());
        page.filled = 0;
        self.end += whole as u64;
        self.shared.wrote(self.end);
        Ok(())
    }

    /// Writes payload and head of a frame at the end, and gives its length.
    pub(super) fn write_large(
        &mut self,
        inner: &Inner,
        frame: &Frame<'_>,
        body: Body<'_, '_>,
        block: &mut [u8],
    ) -> std::result::Result<u64, Failure> {
        let begin = frame.payload_at(true);
        let from = self.end + begin as u64;
        let (stored, checksum) = match body {
            Body::Whole(payload, checksum) => {
                self.write_whole(inner, from, payload, block).map_err(Failure::File)?;
                (payload.len() as u64, checksum)
            }
            Body::Stream(stream) => self.write_stream(inner, from, stream)?,
        };
        let head = frame.head(true, stored, checksum, self.end);
        let out = block.get_mut(..begin).ok_or_else(|| Failure::File(Error::new(ErrorKind::Invalid, "a key is too long")))?;
        head.encode(out).map_err(Failure::Source)?;
        self.grow(inner, from).and_then(|()| self.file.write_at(self.end, out)).map_err(Failure::File)?;
        Ok(head.frame_len())
    }

    /// Writes whole blocks from where they are, and the rest with zeros.
    fn write_whole(&mut self, inner: &Inner, from: u64, payload: &[u8], block: &mut [u8]) -> Result<()> {
        self.grow(inner, from + payload.len().next_multiple_of(BLOCK_BYTES) as u64)?;
        let start = Instant::now();
        let (blocks, rest) = payload.split_at_checked(payload.len() / BLOCK_BYTES * BLOCK_BYTES).unwrap_or((payload, &[]));
        if !blocks.is_empty() {
            self.file.write_at(from, blocks)?;
        }
        if let (false, Some(last)) = (rest.is_empty(), block.get_mut(..BLOCK_BYTES)) {
            last.fill(0);
            last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            self.file.write_at(from + blocks.len() as u64, last)?;
        }
        inner.verdicts.wrote(payload.len(), start.elapsed());
        Ok(())
    }

    /// Writes what comes; gives how much that was, and its checksum.
    fn write_stream(&mut self, inner: &Inner, from: u64, stream: Stream<'_, '_>) -> std::result::Result<(u64, u64), Failure> {
        let Stream { memory, mut filled, mut done, source } = stream;
        let (mut sum, mut at, mut stored) = (RunningChecksum::new(), from, filled as u64);
        sum.write(memory.get(..filled).unwrap_or_default());
        loop {
            while let Some(room) = memory.get_mut(filled..).filter(|room| !done && room.len() >= STREAM_ROOM) {
                let more = source(room).map_err(Failure::Source)?;
                sum.write(room.get(..more).unwrap_or_default());
                stored += more as u64;
                filled += more;
                done = more == 0;
            }
            let mut blocks = filled / BLOCK_BYTES * BLOCK_BYTES;
            if done {
                blocks = filled.next_multiple_of(BLOCK_BYTES);
                memory.get_mut(filled..blocks).unwrap_or_default().fill(0);
            }
            if blocks > 0 {
                let bytes = memory.get(..blocks).unwrap_or_default();
                self.grow(inner, at + blocks as u64).map_err(Failure::File)?;
                let start = Instant::now();
                self.file.write_at(at, bytes).map_err(Failure::File)?;
                inner.verdicts.wrote(blocks, start.elapsed());
            }
            if done {
                return Ok((stored, sum.finish()));
            }
            at += blocks as u64;
            memory.copy_within(blocks..filled, 0);
            filled -= blocks;
        }
    }

    /// Writes the footer and the trailer, and cuts the file behind them; gives its length.
    pub(super) fn write_footer(&mut self, inner: &Inner) -> Result<u64> {
        let payload = self.frames.payload_len();
        let chunk = ChunkHeader::of_bytes(payload);
        let frame = Frame { info: FrameInfo { kind: FrameKind::Footer, dataset: 0, key: &[] }, chunk: &chunk, encoding: Encoding::Raw };
        let large = payload >= LARGE_BYTES as u64;
        let begin = frame.payload_at(large);
        let len = frame_len(large, begin, payload) as usize;
        // It is written in whole blocks and cut, so that it can go by direct I/O.
        let total = len + TRAILER_BYTES;
        let mut bytes = inner.arena.alloc_zeroed(total.next_multiple_of(BLOCK_BYTES))?;
        let (head, rest) = bytes.split_at_mut_checked(begin).ok_or_else(|| corrupt("a footer is too short"))?;
        for (out, entry) in rest.chunks_exact_mut(FOOTER_ENTRY_BYTES).zip(self.frames.iter()) {
            out.copy_from_slice(&entry.encode());
        }
        let sum = checksum(rest.get(..payload as usize).unwrap_or_default());
        frame.head(large, payload, sum, self.end).encode(head)?;
        let trailer = Trailer { offset: self.end, len: len as u64 }.encode();
        bytes.iter_mut().skip(len).zip(trailer).for_each(|(to, from)| *to = from);
        self.grow(inner, self.end + bytes.len() as u64)?;
        self.file.write_at(self.end, &bytes)?;
        let end = self.end + total as u64;
        self.file.truncate(end)?;
        Ok(end)
    }

    /// Makes the file at least `len` bytes long, within the quota.
    fn grow(&mut self, inner: &Inner, len: u64) -> Result<()> {
        if len <= self.room {
            return Ok(());
        }
        let most = inner.options.segment_bytes.next_multiple_of(BLOCK_BYTES as u64);
        let step = self.room.clamp(*STEP.start(), *STEP.end());
        let wish = (self.room + step).min(most).max(len);
        let full = match self.grow_to(inner, wish) {
            Err(full) if full.kind() == ErrorKind::DiskFull && wish > len => self.grow_to(inner, len),
            other => other,
        };
        full.map_err(|e| match e.kind() {
            ErrorKind::DiskFull => e.hint("free some room or raise the quota, and go on: what was written so far is kept"),
            _ => e,
        })
    }

    fn grow_to(&mut self, inner: &Inner, len: u64) -> Result<()> {
        let more = len - self.room;
        let before = inner.disk_bytes.fetch_add(more, Relaxed);
        let granted = inner.check_quota(before, more).and_then(|()| self.file.allocate(len));
        match granted {
            Ok(()) => {
                self.room = len;
                self.shared.state.lock().allocated = len;
                Ok(())
            }
            Err(e) => {
                inner.disk_bytes.fetch_sub(more, Relaxed);
                Err(e)
            }
        }
    }
}

impl Inner {
    /// A new segment, whose first block is made in `block`.
    pub(super) fn new_segment(&self, block: &mut [u8]) -> Result<Active> {
        self.writable()?;
        let id = std::hash::RandomState::new().build_hasher().finish();
        let path = self.path_of(id);
        let frames = FrameList::new(self.arena.ledger())?;
        let shared = Arc::new(Shared::new(id, 0, 0, false, self.arena.ledger())?);
        let file = self.backend.open(&path, Open::New)?;
        self.names_changed.store(true, Relaxed);
        let mut active = Active { shared, file, end: 0, room: 0, frames, page: None };
        let first = block.get_mut(..BLOCK_BYTES).unwrap_or_default();
        SegmentHeader::new(id, self.store).encode(first);
        let made = active.grow(self, BLOCK_BYTES as u64).and_then(|()| active.file.write_at(0, first));
        if let Err(error) = made {
            self.disk_bytes.fetch_sub(active.room, Relaxed);
            self.backend.remove(&path).ok();
            return Err(error);
        }
        active.end = BLOCK_BYTES as u64;
        active.shared.wrote(active.end);
        active.shared.state.lock().file = Some(Arc::clone(&active.file));
        self.known.write().insert(id, Arc::clone(&active.shared));
        self.open.lock().insert(id, Arc::clone(&active.shared));
        Ok(active)
    }

    /// A segment that was not full when the store was opened; one with damage is left as it is.
    pub(super) fn spare_segment(&self) -> Result<Option<Active>> {
        self.writable()?;
        loop {
            let Some(id) = self.spare.lock().pop() else { return Ok(None) };
            let Some(shared) = self.known.read().get(&id).cloned() else { continue };
            let committed = shared.readable();
            if committed < BLOCK_BYTES as u64 || !committed.is_multiple_of(BLOCK_BYTES as u64) {
                continue;
            }
            let mut frames = FrameList::new(self.arena.ledger())?;
            let Ok(mut walk) = self.walk(id) else { continue };
            let sound = walk.all(|found| match found {
                Ok((offset, header)) => {
                    let entry = FooterEntry { offset, len: header.frame_len(), dataset: header.dataset, kind: header.kind };
                    let fits = header.kind != FrameKind::Footer && frames.reserve();
                    frames.push(entry);
                    fits
                }
                Err(_) => false,
            });
            if !sound {
                continue;
            }
            let file = self.backend.open(&self.path_of(id), Open::Existing)?;
            shared.state.lock().file = Some(Arc::clone(&file));
            self.open.lock().insert(id, Arc::clone(&shared));
            return Ok(Some(Active { shared, file, end: committed, room: committed, frames, page: None }));
        }
    }
}
