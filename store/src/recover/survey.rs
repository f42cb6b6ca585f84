//! Looking at every byte of the segments.

use crate::segment::{FrameKind, Place, Segments};
use crate::{Booking, Error, ErrorKind, Ledger, Result};
use rustc_hash::FxHashMap;
use std::path::PathBuf;

/// A frame that was found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) offset: u64,
    pub(super) len: u64,
    pub(super) dataset: u64,
    pub(super) kind: FrameKind,
    /// The bytes of the payload in memory.
    pub(super) bytes: u64,
    pub(super) sound: bool,
    /// Whether anything leads to it.
    pub(super) wanted: bool,
}

impl Found {
    /// Where it is.
    pub(super) fn place(&self, segment: u64) -> Place {
        Place { segment, offset: self.offset, len: self.len }
    }
}

/// What is wrong at a place in a segment.
#[derive(Debug)]
pub(super) struct Flaw {
    pub(super) segment: u64,
    pub(super) file: PathBuf,
    pub(super) offset: u64,
    pub(super) problem: String,
    /// Of a frame whose head is sound: its dataset and key.
    pub(super) frame: Option<(u64, Vec<u8>)>,
    /// Whether a dataset was found that lost by it.
    pub(super) claimed: bool,
}

/// How often a segment is looked at that cannot be read.
const ATTEMPTS: usize = 3;

/// The frames of all segments, in order, and what is wrong with them.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) frames: FxHashMap<u64, Vec<Found>>,
    pub(super) flaws: Vec<Flaw>,
    /// The bytes that were looked at.
    pub(super) bytes: u64,
    booking: Booking,
}

/// What a frame, or a flaw, takes in memory, about.
const FOUND_BYTES: u64 = 64;
const FLAW_BYTES: u64 = 512;

impl Survey {
    pub(super) fn new(ledger: &Ledger) -> Result<Self> {
        Ok(Survey { frames: FxHashMap::default(), flaws: Vec::new(), bytes: 0, booking: ledger.book(0)? })
    }

    /// Reads a segment, known and of `len` bytes, from the first byte to the last; gives `progress` the bytes as they go by. Where the
    /// system cannot read, it is tried again: what is sound must not be given up for a passing failure.
    ///
    /// # Errors
    /// Out of memory. What is wrong with the segment is no error.
    pub(super) fn look(&mut self, segments: &Segments, segment: u64, len: u64, progress: &mut dyn FnMut(u64)) -> Result<()> {
        let before = self.flaws.len();
        let mut readable = self.look_once(segments, segment, len, progress)?;
        for _ in 1..ATTEMPTS {
            if readable {
                break;
            }
            self.flaws.truncate(before);
            readable = self.look_once(segments, segment, len, &mut |_| {})?;
        }
        self.bytes += len;
        Ok(())
    }

    /// One attempt; false where the system could not read something.
    fn look_once(&mut self, segments: &Segments, segment: u64, len: u64, progress: &mut dyn FnMut(u64)) -> Result<bool> {
        let path = segments.path_of(segment);
        let (mut frames, mut readable, mut seen): (Vec<Found>, bool, u64) = (Vec::new(), true, 0);
        let mut note = |survey: &mut Survey, error: Error, frame: Option<(u64, Vec<u8>)>, offset: u64| {
            readable &= error.kind() != ErrorKind::Io;
            if error.kind() == ErrorKind::OutOfMemory {
                return Err(error);
            }
            survey.flaw(segment, path.clone(), offset, &error, frame)
        };
        let walk = match segments.frames(segment) {
            Ok(walk) => Some(walk),
            Err(error) => {
                note(self, error, None, 0)?;
                None
            }
        };
        for item in walk.into_iter().flatten() {
            match item {
                Ok((offset, header)) => {
                    self.booking.grow(FOUND_BYTES)?;
                    let place = Place { segment, offset, len: header.frame_len() };
                    let sound = match segments.check(place) {
                        Ok(_) => true,
                        Err(error) => {
                            note(self, error, Some((header.dataset, header.key.to_vec())), offset)?;
                            false
                        }
                    };
                    let (dataset, kind, bytes) = (header.dataset, header.kind, header.chunk.payload_len());
                    frames.push(Found { offset, len: place.len, dataset, kind, bytes, sound, wanted: false });
                    progress(place.end().min(len).saturating_sub(seen));
                    seen = place.end().min(len);
                }
                Err(error) => {
                    let offset = error.at_byte().unwrap_or(0);
                    note(self, error, None, offset)?;
                }
            }
        }
        progress(len.saturating_sub(seen));
        self.frames.insert(segment, frames);
        Ok(readable)
    }

    fn flaw(&mut self, segment: u64, file: PathBuf, offset: u64, error: &Error, frame: Option<(u64, Vec<u8>)>) -> Result<()> {
        self.booking.grow(FLAW_BYTES + frame.as_ref().map_or(0, |(_, key)| key.len() as u64))?;
        self.flaws.push(Flaw { segment, file, offset, problem: error.problem(), frame, claimed: false });
        Ok(())
    }

    /// The frame at a place, if one of that length is there.
    pub(super) fn at(&mut self, place: Place) -> Option<&mut Found> {
        let frames = self.frames.get_mut(&place.segment)?;
        let number = frames.binary_search_by_key(&place.offset, |found| found.offset).ok()?;
        frames.get_mut(number).filter(|found| found.len == place.len)
    }

    /// Takes note that something leads to a place. False where no sound frame is there.
    pub(super) fn want(&mut self, place: Place) -> bool {
        self.at(place).is_some_and(|found| {
            found.wanted = true;
            found.sound
        })
    }

    /// What is wrong at a place.
    pub(super) fn problem(&mut self, place: Place) -> Option<&mut Flaw> {
        let inside = |flaw: &&mut Flaw| flaw.segment == place.segment && (place.offset..place.end()).contains(&flaw.offset);
        self.flaws.iter_mut().find(inside)
    }

    /// The segments with anything wrong in them.
    pub(super) fn damaged(&self) -> Vec<u64> {
        let mut segments: Vec<u64> = self.flaws.iter().map(|flaw| flaw.segment).collect();
        segments.sort_unstable();
        segments.dedup();
        segments
    }
}
