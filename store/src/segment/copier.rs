//! Copying many frames of other segments, which stand in a row as a rule: they are read through a window, not one by one.

#![deny(clippy::indexing_slicing)]

use super::active::Frame;
use super::frame::{FrameInfo, decode_head};
use super::place::Place;
use super::read::{check_len, wrong_payload};
use super::segments::Segments;
use crate::{BufferMut, Result, checksum};

/// What is read at a time.
const WINDOW: usize = 1 << 20;
/// Frames up to this length are taken from the window.
const SHORT: u64 = 64 << 10;

/// Copies frames from one folder of segments to another, or to the same.
#[derive(Debug)]
pub(crate) struct Copier<'a> {
    from: &'a Segments,
    to: &'a Segments,
    window: BufferMut,
    /// Which bytes of which segment are in the window.
    segment: u64,
    at: u64,
    filled: usize,
}

impl<'a> Copier<'a> {
    /// Nothing is copied yet.
    ///
    /// # Errors
    /// Out of memory where there is no room for a window of 1 MiB.
    pub(crate) fn new(from: &'a Segments, to: &'a Segments) -> Result<Self> {
        Ok(Copier { from, to, window: to.arena().alloc(WINDOW)?, segment: 0, at: 0, filled: 0 })
    }

    /// As [`Segments::copy_from`]. It is fast where the places come in order.
    ///
    /// # Errors
    /// As there.
    pub(crate) fn copy(&mut self, place: Place) -> Result<Place> {
        if place.len > SHORT || !self.has(place)? {
            return self.to.copy_from(self.from, place);
        }
        let begin = (place.offset - self.at) as usize;
        let bytes = self.window.get(begin..begin + place.len as usize).unwrap_or_default();
        let copied = decode_head(bytes, place.offset).and_then(|header| {
            check_len(&header, place)?;
            let payload = bytes.get(header.payload_at()..).and_then(|rest| rest.get(..header.stored as usize)).unwrap_or_default();
            let found = checksum(payload);
            if found != header.checksum {
                return Err(wrong_payload(&header, found));
            }
            let info = FrameInfo { kind: header.kind, dataset: header.dataset, key: &header.key };
            self.to.0.put_stored(&Frame { info, chunk: &header.chunk, encoding: header.encoding }, payload)
        });
        copied.map_err(|error| if error.path().is_none() { self.from.0.name(error, place) } else { error })
    }

    /// Brings the bytes of a frame into the window; false where they cannot be had with what follows them.
    fn has(&mut self, place: Place) -> Result<bool> {
        let inside = |copier: &Self| {
            let end = copier.at + copier.filled as u64;
            copier.segment == place.segment && copier.at <= place.offset && place.end() <= end
        };
        if inside(self) {
            return Ok(true);
        }
        let Some((file, readable)) = self.from.readable_of(place)? else { return Ok(false) };
        let len = (readable - place.offset).min(self.window.len() as u64) as usize;
        self.filled = 0;
        // The file may have lost its end, and still have this frame.
        if file.read_at(place.offset, self.window.get_mut(..len).unwrap_or_default()).is_err() {
            return Ok(false);
        }
        (self.segment, self.at, self.filled) = (place.segment, place.offset, len);
        Ok(inside(self))
    }
}
