//! A lane: where frames are appended, by one thread at a time.

use super::footer::{FooterEntry, FrameList, Trailer};
use super::frame::{FrameInfo, FrameKind, Head, corrupt, frame_len, payload_at};
use super::header::SegmentHeader;
use super::place::Place;
use super::segments::{FailedSegment, Inner};
use super::shared::Shared;
use crate::format::{BLOCK_BYTES, FOOTER_ENTRY_BYTES, LARGE_BYTES, TRAILER_BYTES};
use crate::io::{BackendFile, Open};
use crate::{BufferMut, ChunkHeader, Encoding, Error, ErrorKind, Result, checksum};
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;
use twox_hash::XxHash3_64;

/// The bytes of a page.
pub(super) const PAGE_BYTES: usize = 512 << 10;
/// What a stream is given room for at a time.
pub(super) const STREAM_ROOM: usize = 512 << 10;
/// The bytes in which a head is made.
const HEAD_BYTES: usize = 128 << 10;
/// The least and the most by which a file grows.
const STEP: std::ops::RangeInclusive<u64> = 1 << 20..=16 << 20;

/// Where frames are appended, by one thread at a time.
#[derive(Debug, Default)]
pub(super) struct Lane {
    active: Option<Active>,
    /// Aligned memory for single blocks.
    head: Option<BufferMut>,
}

/// A segment that is being written.
#[derive(Debug)]
struct Active {
    shared: Arc<Shared>,
    file: Arc<dyn BackendFile>,
    /// Where the next block goes, a multiple of 4096: all before it is written.
    end: u64,
    /// The length of the file.
    room: u64,
    frames: FrameList,
    /// The small frames that are to be written at `end`.
    page: Option<Page>,
}

/// Small frames that are not written yet.
#[derive(Debug)]
pub(super) struct Page {
    buffer: BufferMut,
    filled: usize,
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
enum Failure {
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
    fn head(&self, large: bool, stored: u64, checksum: u64, offset: u64) -> Head<'_> {
        Head { info: self.info, chunk: self.chunk, encoding: self.encoding, large, stored, checksum, offset }
    }

    fn entry(&self, offset: u64, len: u64) -> FooterEntry {
        FooterEntry { offset, len, dataset: self.info.dataset, kind: self.info.kind }
    }

    fn payload_at(&self, large: bool) -> usize {
        payload_at(large, self.info.key.len(), self.chunk.encoded_len())
    }
}

impl Lane {
    /// The segment that is being written.
    pub(super) fn segment(&self) -> Option<u64> {
        self.active.as_ref().map(|active| active.shared.id)
    }

    /// Copies a frame, or its beginning, that is in the page still.
    pub(super) fn copy_unwritten(&self, place: Place, out: &mut [u8]) -> bool {
        let active = self.active.as_ref().filter(|active| active.shared.id == place.segment);
        let bytes = active.and_then(|active| active.page.as_ref()?.get(place.offset.checked_sub(active.end)?, out.len()));
        bytes.map(|bytes| out.copy_from_slice(bytes)).is_some()
    }

    /// Appends a small frame to the page; `checksum` is that of the payload.
    pub(super) fn put_small(&mut self, inner: &Inner, frame: &Frame<'_>, payload: &[u8], checksum: u64) -> Result<Place> {
        let begin = frame.payload_at(false);
        let len = frame_len(false, begin, payload.len() as u64);
        if payload.len() >= LARGE_BYTES || len > PAGE_BYTES as u64 / 2 {
            return Err(Error::new(ErrorKind::Invalid, "a frame is too large for a page"));
        }
        let mut tries = 0;
        loop {
            self.prepare(inner, len)?;
            let Some(active) = &mut self.active else { continue };
            if active.page_has_room(len) {
                active.open_page(inner, active.page.as_ref().map_or(0, |page| page.filled) + len as usize)?;
                let Some(page) = &mut active.page else { continue };
                let offset = active.end + page.filled as u64;
                let out = page.buffer.get_mut(page.filled..page.filled + len as usize).unwrap_or_default();
                let (head, rest) = out.split_at_mut_checked(begin).ok_or_else(|| corrupt("a page is too short"))?;
                frame.head(false, payload.len() as u64, checksum, offset).encode(head)?;
                let (content, zeros) = rest.split_at_mut_checked(payload.len()).ok_or_else(|| corrupt("a page is too short"))?;
                content.copy_from_slice(payload);
                zeros.fill(0);
                page.filled += len as usize;
                active.frames.push(frame.entry(offset, len));
                return Ok(Place { segment: active.shared.id, offset, len });
            }
            // What fails here are the frames before; this one can go to another segment.
            if let Err(error) = self.flush(inner) {
                tries += 1;
                if is_shortage(&error) || tries > 1 {
                    return Err(error);
                }
            }
        }
    }

    /// Writes the page. After an error other than that of a full disk, the segment has failed.
    pub(super) fn flush(&mut self, inner: &Inner) -> Result<()> {
        let Some(active) = &mut self.active else { return Ok(()) };
        match active.write_page(inner) {
            Ok(()) => Ok(()),
            Err(error) => Err(self.failed(inner, error)),
        }
    }

    /// Appends a large frame; nothing is left of it where that fails. `expected` are the stored bytes, about.
    pub(super) fn put_large(&mut self, inner: &Inner, frame: &Frame<'_>, expected: u64, body: Body<'_, '_>) -> Result<Place> {
        self.prepare(inner, frame_len(true, frame.payload_at(true), expected))?;
        let block = block_of(&mut self.head, inner)?;
        let Some(active) = &mut self.active else { return Err(corrupt("a lane has no segment")) };
        debug_assert!(active.page.as_ref().is_none_or(|page| page.filled == 0));
        match active.write_large(inner, frame, body, block) {
            Ok(len) => {
                let place = Place { segment: active.shared.id, offset: active.end, len };
                active.end += len;
                active.shared.wrote(active.end);
                active.frames.push(frame.entry(place.offset, len));
                Ok(place)
            }
            Err(Failure::Source(error)) => Err(error),
            Err(Failure::File(error)) => Err(self.failed(inner, error)),
        }
    }

    /// Sees to it that there is a segment that can take a frame of `len` bytes.
    fn prepare(&mut self, inner: &Inner, len: u64) -> Result<()> {
        if let Some(active) = &mut self.active {
            let footer = active.frames.payload_len() + 2 * BLOCK_BYTES as u64;
            let filled = active.page.as_ref().map_or(0, |page| page.filled as u64);
            let long = active.end + filled + len + footer > inner.options.segment_bytes;
            if (!long || active.frames.is_empty()) && active.frames.reserve() {
                return Ok(());
            }
            if active.frames.is_empty() {
                return Err(
                    Error::new(ErrorKind::OutOfMemory, "there is no room to remember what is in a segment").hint("allow more memory")
                );
            }
            self.seal(inner)?;
        }
        if self.active.is_none() {
            let block = block_of(&mut self.head, inner)?;
            let active = match inner.spare_segment()? {
                Some(active) => active,
                None => inner.new_segment(block)?,
            };
            self.active = Some(active);
            // A spare one may be as good as full.
            return self.prepare(inner, len);
        }
        Ok(())
    }

    /// Seals the segment that is being written, if anything is in it.
    pub(super) fn retire(&mut self, inner: &Inner) -> Result<()> {
        match self.active.as_ref().is_some_and(|active| !active.frames.is_empty()) {
            true => self.seal(inner),
            false => Ok(()),
        }
    }

    /// Writes the footer; the lane has no segment then. Where the segment fails that is no error: what was not synced of it is
    /// copied before the next commit.
    fn seal(&mut self, inner: &Inner) -> Result<()> {
        if let Err(error) = self.flush(inner) {
            return if is_shortage(&error) { Err(error) } else { Ok(()) };
        }
        let Some(active) = &mut self.active else { return Ok(()) };
        match active.write_footer(inner) {
            Ok(len) => {
                let mut state = active.shared.state.lock();
                inner.disk_bytes.fetch_sub(state.allocated.saturating_sub(len), Relaxed);
                state.allocated = len;
                drop(state);
                active.shared.sealed(len);
                self.active = None;
                Ok(())
            }
            Err(error) => match self.failed(inner, error) {
                short if is_shortage(&short) => Err(short),
                _ => Ok(()),
            },
        }
    }

    /// Puts a segment aside that could not be written, unless it only found the disk full or memory short.
    fn failed(&mut self, inner: &Inner, error: Error) -> Error {
        if is_shortage(&error) {
            return error;
        }
        if let Some(active) = self.active.take() {
            active.shared.state.lock().failed = true;
            let page = active.page.filter(|page| page.filled > 0).map(|page| (active.end, page));
            inner.failed.lock().push(FailedSegment { shared: active.shared, page });
            inner.failures.fetch_add(1, Relaxed);
        }
        error
    }
}

impl Active {
    fn page_has_room(&self, len: u64) -> bool {
        self.page.as_ref().is_none_or(|page| page.filled as u64 + len <= PAGE_BYTES as u64)
    }

    /// Makes a page where there is none, and reserves the room for its first `filled` bytes, at best for all of it.
    fn open_page(&mut self, inner: &Inner, filled: usize) -> Result<()> {
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

    fn write_page(&mut self, inner: &Inner) -> Result<()> {
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
    fn write_large(&mut self, inner: &Inner, frame: &Frame<'_>, body: Body<'_, '_>, block: &mut [u8]) -> std::result::Result<u64, Failure> {
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
        let (mut sum, mut at, mut stored) = (XxHash3_64::new(), from, filled as u64);
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
    fn write_footer(&mut self, inner: &Inner) -> Result<u64> {
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

/// Whether an error says that the disk is full or memory short: it can be tried again when there is more.
fn is_shortage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::DiskFull | ErrorKind::OutOfMemory)
}

/// Aligned memory for single blocks, made when it is first needed.
fn block_of<'a>(head: &'a mut Option<BufferMut>, inner: &Inner) -> Result<&'a mut [u8]> {
    let buffer = match head {
        Some(buffer) => buffer,
        None => head.insert(inner.arena.alloc(HEAD_BYTES)?),
    };
    Ok(buffer)
}

impl Inner {
    /// A new segment, whose first block is made in `block`.
    fn new_segment(&self, block: &mut [u8]) -> Result<Active> {
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
    fn spare_segment(&self) -> Result<Option<Active>> {
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
