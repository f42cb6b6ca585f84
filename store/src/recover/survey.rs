//! Looking at every byte of the segments.

use crate::segment::{FrameHeader, FrameKind, Place, Segments};
use crate::{Booking, Error, ErrorKind, Ledger, Result};
use rustc_hash::FxHashMap;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// A frame that was found, in few bytes: there can be millions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    /// The first byte, a multiple of 8, and in the lowest bits [`SOUND`] and [`WANTED`].
    offset: u64,
    /// The bytes, a multiple of 8, and in the lowest bits the kind.
    len: u64,
    /// The number of the dataset among those that were met.
    dataset: u32,
    /// The bytes of the payload in memory; [`u32::MAX`] where they are more.
    bytes: u32,
}

const SOUND: u64 = 1;
const WANTED: u64 = 2;
const FLAGS: u64 = 7;

impl Found {
    fn new(offset: u64, header: &FrameHeader, dataset: u32, sound: bool) -> Found {
        let bytes = u32::try_from(header.chunk.payload_len()).unwrap_or(u32::MAX);
        Found { offset: offset | if sound { SOUND } else { 0 }, len: header.frame_len() | header.kind as u64, dataset, bytes }
    }

    /// The first byte.
    pub(super) fn offset(&self) -> u64 {
        self.offset & !FLAGS
    }

    /// The bytes.
    pub(super) fn len(&self) -> u64 {
        self.len & !FLAGS
    }

    pub(super) fn is(&self, kind: FrameKind) -> bool {
        self.len & FLAGS == kind as u64
    }

    /// Whether it is as it was written.
    pub(super) fn is_sound(&self) -> bool {
        self.offset & SOUND != 0
    }

    /// Whether anything leads to it.
    pub(super) fn is_wanted(&self) -> bool {
        self.offset & WANTED != 0
    }

    /// Where it is.
    pub(super) fn place(&self, segment: u64) -> Place {
        Place { segment, offset: self.offset(), len: self.len() }
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

/// What is wrong with a segment whose file is not there.
pub(super) const MISSING: &str = "the file is missing";

/// Says of a verification for which there is no memory what can be done.
fn too_many(error: Error) -> Error {
    error.hint("give it more memory: 32 bytes for each frame, and 16 MiB")
}

/// The frames of all segments, in order, and what is wrong with them.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) frames: FxHashMap<u64, Vec<Found>>,
    /// The datasets of the frames.
    datasets: Vec<u64>,
    numbers: FxHashMap<u64, u32>,
    /// The segments whose files are not there, and whether a dataset was found that lost by it.
    missing: FxHashMap<u64, bool>,
    pub(super) flaws: Vec<Flaw>,
    /// The first flaw at each place.
    places: BTreeMap<(u64, u64), usize>,
    /// The bytes that were looked at.
    pub(super) bytes: u64,
    booking: Booking,
}

/// What a frame, a dataset or a flaw takes in memory; of those that are not frames, about.
const FOUND_BYTES: u64 = size_of::<Found>() as u64;
const DATASET_BYTES: u64 = 48;
const FLAW_BYTES: u64 = 512;

impl Survey {
    pub(super) fn new(ledger: &Ledger) -> Result<Self> {
        let booking = ledger.book(0)?;
        Ok(Survey {
            frames: FxHashMap::default(),
            datasets: Vec::new(),
            numbers: FxHashMap::default(),
            missing: FxHashMap::default(),
            flaws: Vec::new(),
            places: BTreeMap::new(),
            bytes: 0,
            booking,
        })
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
            self.places.retain(|_, number| *number < before);
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
        let mut walk = match segments.frames(segment) {
            Ok(walk) => Some(walk),
            Err(error) => {
                if segments.is_missing(segment) {
                    self.missing.insert(segment, false);
                    note(self, Error::new(ErrorKind::NotFound, MISSING), None, 0)?;
                } else {
                    note(self, error, None, 0)?;
                }
                None
            }
        };
        while let Some((walk, item)) = walk.as_mut().and_then(|walk| walk.next().map(|item| (walk, item))) {
            match item {
                Ok((offset, header)) => {
                    let place = Place { segment, offset, len: header.frame_len() };
                    let checked = walk.check(offset, &header).unwrap_or_else(|| segments.check(place).map(|_| ()));
                    let sound = match checked {
                        Ok(()) => true,
                        Err(error) => {
                            note(self, error, Some((header.dataset, header.key.to_vec())), offset)?;
                            false
                        }
                    };
                    if frames.len() == frames.capacity() {
                        let more = frames.len() / 4 + 256;
                        self.booking.grow(more as u64 * FOUND_BYTES).map_err(too_many)?;
                        frames.reserve_exact(more);
                    }
                    let dataset = self.number(header.dataset)?;
                    frames.push(Found::new(offset, &header, dataset, sound));
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

    /// The number of a dataset among those that were met.
    fn number(&mut self, dataset: u64) -> Result<u32> {
        if let Some(number) = self.numbers.get(&dataset) {
            return Ok(*number);
        }
        self.booking.grow(DATASET_BYTES).map_err(too_many)?;
        let number = self.datasets.len() as u32;
        self.datasets.push(dataset);
        self.numbers.insert(dataset, number);
        Ok(number)
    }

    /// The dataset that a frame was written for.
    pub(super) fn dataset_of(&self, found: &Found) -> u64 {
        self.datasets.get(found.dataset as usize).copied().unwrap_or(0)
    }

    /// The bytes in memory of the payload of a frame.
    ///
    /// # Errors
    /// Those of reading the header of one of 4 GiB and more.
    pub(super) fn payload_len(&mut self, segments: &Segments, place: Place) -> Result<u64> {
        match self.at(place).map_or(0, |found| found.bytes) {
            u32::MAX => Ok(segments.read_header(place)?.chunk.payload_len()),
            bytes => Ok(u64::from(bytes)),
        }
    }

    /// Takes note that a dataset was found that lost by a file that is not there.
    pub(super) fn claim_missing(&mut self, segment: u64) {
        if self.missing.insert(segment, true) == Some(false) {
            self.flaws.iter_mut().filter(|flaw| flaw.segment == segment).for_each(|flaw| flaw.claimed = true);
        }
    }

    /// Whether the file of a segment is not there.
    pub(super) fn is_missing(&self, segment: u64) -> bool {
        self.missing.contains_key(&segment)
    }

    fn flaw(&mut self, segment: u64, file: PathBuf, offset: u64, error: &Error, frame: Option<(u64, Vec<u8>)>) -> Result<()> {
        self.booking.grow(FLAW_BYTES + frame.as_ref().map_or(0, |(_, key)| key.len() as u64))?;
        self.places.entry((segment, offset)).or_insert(self.flaws.len());
        self.flaws.push(Flaw { segment, file, offset, problem: error.problem(), frame, claimed: false });
        Ok(())
    }

    /// The frame at a place, if one of that length is there.
    pub(super) fn at(&mut self, place: Place) -> Option<&mut Found> {
        let frames = self.frames.get_mut(&place.segment)?;
        let number = frames.binary_search_by_key(&place.offset, Found::offset).ok()?;
        frames.get_mut(number).filter(|found| found.len() == place.len)
    }

    /// Takes note that something leads to a place. False where no sound frame is there.
    pub(super) fn want(&mut self, place: Place) -> bool {
        self.at(place).is_some_and(|found| {
            found.offset |= WANTED;
            found.is_sound()
        })
    }

    /// What is wrong at a place.
    pub(super) fn problem(&mut self, place: Place) -> Option<&mut Flaw> {
        let (_, number) = self.places.range((place.segment, place.offset)..(place.segment, place.end())).next()?;
        self.flaws.get_mut(*number)
    }

    /// The segments with anything wrong in them.
    pub(super) fn damaged(&self) -> Vec<u64> {
        let mut segments: Vec<u64> = self.flaws.iter().map(|flaw| flaw.segment).collect();
        segments.sort_unstable();
        segments.dedup();
        segments
    }
}
