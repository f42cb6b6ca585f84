//! A lane: where frames are appended, by one thread at a time.

use super::active::{Active, Body, Failure, Frame, PAGE_BYTES};
use super::frame::{corrupt, frame_len};
use super::place::Place;
use super::segments::{FailedSegment, Inner};
use crate::format::{BLOCK_BYTES, LARGE_BYTES};
use crate::{BufferMut, Error, ErrorKind, Result};
use std::sync::atomic::Ordering::Relaxed;

/// The bytes in which a head is made.
const HEAD_BYTES: usize = 128 << 10;

/// Where frames are appended, by one thread at a time.
#[derive(Debug, Default)]
pub(super) struct Lane {
    active: Option<Active>,
    /// Aligned memory for single blocks.
    head: Option<BufferMut>,
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
