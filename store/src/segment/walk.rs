//! Going through the frames of a segment, past what is damaged.
//!
//! All that is no payload of a chunk is compared with what it must be: the first block, heads, zeros, the footer and the trailer. So
//! a walk and a read of every frame it finds look at every byte. After damage it goes on with the next frame that the footer
//! names; where there is no footer, with the next place where a sound head stands that was written for this place.

#![deny(clippy::indexing_slicing)]

use super::footer::{FooterEntry, Trailer};
use super::frame::{Fixed, FrameHeader, FrameKind, corrupt};
use super::header::SegmentHeader;
use super::read::wrong_payload;
use super::segments::{Inner, Segments};
use crate::codec::RunningChecksum;
use crate::format::{BLOCK_BYTES, FOOTER_ENTRY_BYTES, FRAME_ALIGN, FRAME_HEADER_BYTES, FRAME_MAGIC, TRAILER_BYTES};
use crate::io::{BackendFile, Open};
use crate::{Arena, BufferMut, Error, ErrorKind, Result, checksum};
use std::hash::Hasher;
use std::path::PathBuf;
use std::sync::Arc;

/// What is read ahead where frames follow each other.
const WINDOW: usize = 1 << 20;
/// What is read where one does not.
const SHORT: usize = 8 << 10;
/// The longest frame whose payload is looked at in what is read ahead.
const MOST_AT_ONCE: usize = 128 << 10;

/// The frames of a segment, in order; see [`Segments::frames`].
#[derive(Debug)]
pub(crate) struct Walk {
    path: PathBuf,
    id: u64,
    window: Window,
    /// What comes next.
    at: u64,
    /// Where the frames end, with the footer.
    end: u64,
    stage: Stage,
    trailer: Option<Trailer>,
    sealed: bool,
    /// Whether the footer can be believed, once that was found out.
    footer_sound: Option<bool>,
    /// What the payload of the footer must be, as far as frames were met.
    listed: Listed,
    /// Whether all was sound so far.
    whole: bool,
    /// A frame that comes next, after what is wrong with its padding was said.
    next: Option<(u64, FrameHeader)>,
}

/// The checksum of the footer that the frames make.
struct Listed(RunningChecksum);

impl std::fmt::Debug for Listed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Listed")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    First,
    Trailer,
    Frames,
    Over,
}

impl Segments {
    /// Goes through the frames of a segment, known or stray, in order: where each begins, and its header. Footers are checked and
    /// not given. What is damaged comes as an error that names the place, and the walk goes on behind it.
    ///
    /// Of a segment that is not sealed, what is written so far is gone through; of a stray one, all of the file.
    ///
    /// # Errors
    /// That of opening the file; out of memory where there is no room for a window of 1 MiB.
    pub(crate) fn frames(&self, segment: u64) -> Result<Walk> {
        self.0.walk(segment)
    }

    /// The store that a segment, known or stray, was written for; nothing where its first block does not tell.
    ///
    /// # Errors
    /// Those of opening and reading the file.
    pub(crate) fn store_of(&self, segment: u64) -> Result<Option<u64>> {
        let file = self.0.backend.open(&self.0.path_of(segment), Open::Read)?;
        if file.len()? < BLOCK_BYTES as u64 {
            return Ok(None);
        }
        let mut block = vec![0; BLOCK_BYTES];
        file.read_at(0, &mut block)?;
        Ok(SegmentHeader::decode(&block).ok().map(|header| header.store))
    }

    /// As [`Segments::frames`], from byte `from` on, where a frame begins or the room of one; 0 stands for all.
    ///
    /// # Errors
    /// As for [`Segments::frames`].
    pub(crate) fn frames_from(&self, segment: u64, from: u64) -> Result<Walk> {
        let walk = self.0.walk(segment)?;
        Ok(if from > 0 { Walk { at: from, stage: Stage::Frames, ..walk } } else { walk })
    }
}

impl Inner {
    pub(super) fn walk(&self, segment: u64) -> Result<Walk> {
        let path = self.path_of(segment);
        let file = self.backend.open(&path, Open::Read)?;
        let file_len = file.len()?;
        let known = self.known.read().get(&segment).cloned();
        let mut window = Window { file, file_len, buffer: self.arena.alloc(WINDOW)?, at: 0, filled: 0 };
        let (end, sealed) = match known {
            Some(shared) => {
                let state = shared.state.lock();
                (state.written, state.sealed && !state.failed)
            }
            None => (file_len, window.trailer().is_ok()),
        };
        Ok(Walk {
            path,
            id: segment,
            window,
            at: BLOCK_BYTES as u64,
            end,
            stage: Stage::First,
            trailer: None,
            sealed,
            footer_sound: None,
            listed: Listed(RunningChecksum::new()),
            whole: true,
            next: None,
        })
    }
}

impl Iterator for Walk {
    type Item = Result<(u64, FrameHeader)>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(frame) = self.next.take() {
            return Some(Ok(frame));
        }
        loop {
            let (at, found) = match self.stage {
                Stage::First => {
                    self.stage = if self.sealed { Stage::Trailer } else { Stage::Frames };
                    (0, self.first_block().map(|()| None))
                }
                Stage::Trailer => {
                    self.stage = Stage::Frames;
                    let at = self.end.saturating_sub(TRAILER_BYTES as u64);
                    let trailer = self.last_bytes();
                    self.end = at;
                    (at, trailer.map(|()| None))
                }
                Stage::Frames if self.at >= self.end => {
                    self.stage = Stage::Over;
                    let behind = self.at > self.end;
                    let missing = self.sealed && self.trailer.is_some();
                    match (behind, missing) {
                        (true, _) => (self.end, Err(corrupt("a frame passes the end of its segment"))),
                        (_, true) => (self.end, Err(corrupt("the footer of a sealed segment is missing"))),
                        _ => return None,
                    }
                }
                Stage::Frames => {
                    let at = self.at;
                    (at, self.step())
                }
                Stage::Over => return None,
            };
            match found {
                Ok(None) => {}
                Ok(Some(header)) => return Some(Ok((at, header))),
                Err(error) => {
                    self.whole &= self.next.is_some();
                    if self.stage == Stage::Frames && at == self.at {
                        match self.next_after(at) {
                            Some(next) => self.at = next,
                            None => self.stage = Stage::Over,
                        }
                    }
                    let named = if error.path().is_none() { error.at(&self.path).offset(at) } else { error };
                    return Some(Err(named));
                }
            }
        }
    }
}

impl Walk {
    fn first_block(&mut self) -> Result<()> {
        let header = SegmentHeader::decode(self.window.get(0, BLOCK_BYTES)?)?;
        match header.id == self.id {
            true => Ok(()),
            false => Err(corrupt(format!("this is the segment {:016x} under the name of another", header.id))),
        }
    }

    fn last_bytes(&mut self) -> Result<()> {
        if self.window.file_len != self.end {
            let message = format!("a sealed segment has {} bytes, and had {} when it was sealed", self.window.file_len, self.end);
            return Err(Error::new(ErrorKind::Truncated, message));
        }
        self.trailer = Some(self.window.trailer()?);
        Ok(())
    }

    /// Looks at what stands at `at`, and goes behind it; nothing where that is no frame of the store's.
    fn step(&mut self) -> Result<Option<FrameHeader>> {
        let at = self.at;
        if at.is_multiple_of(FRAME_ALIGN as u64) && self.window.get(at, FRAME_ALIGN.min((self.end - at) as usize))?.iter().all(|b| *b == 0)
        {
            // Nothing begins here: all up to the next block must be 0.
            let next = (at + 1).next_multiple_of(BLOCK_BYTES as u64).min(self.end);
            zeros(self.window.get(at, (next - at) as usize)?)?;
            self.at = next;
            return Ok(None);
        }
        let header = self.head(at)?;
        let len = header.frame_len();
        if len > self.end - at {
            return Err(corrupt("a frame passes the end of its segment"));
        }
        let padding = self.padding(at, &header)?;
        if header.kind == FrameKind::Footer {
            self.footer(at, &header)?;
            self.stage = Stage::Over;
            return Ok(None);
        }
        let entry = FooterEntry { offset: at, len, dataset: header.dataset, kind: header.kind };
        self.listed.0.write(&entry.encode());
        self.at = at + len;
        match padding {
            None => Ok(Some(header)),
            Some(flipped) => {
                // What is wrong beside the chunk is no reason to give it up.
                self.next = Some((at, header));
                let message = "a byte of the padding of a frame is not 0; the chunk in the frame is not touched by it";
                Err(corrupt(message).at(&self.path).offset(flipped))
            }
        }
    }

    /// The first byte of the padding of a frame that is not 0.
    fn padding(&mut self, at: u64, header: &FrameHeader) -> Result<Option<u64>> {
        let (head, begin, behind) = (header.head_len(), header.payload_at(), header.payload_at() as u64 + header.stored);
        let not_zero = |bytes: &[u8]| bytes.iter().position(|byte| *byte != 0).map(|at| at as u64);
        if let Some(found) = not_zero(self.window.get(at, begin)?.get(head..).unwrap_or_default()) {
            return Ok(Some(at + head as u64 + found));
        }
        // The payload is read ahead of its padding, where it is looked at too.
        if header.frame_len() <= MOST_AT_ONCE as u64 {
            self.window.get(at, header.frame_len() as usize)?;
        }
        let len = (header.frame_len() - behind) as usize;
        Ok(not_zero(self.window.get(at + behind, len)?).map(|found| at + behind + found))
    }

    /// Compares the payload of a frame that this walk gave last with its checksum, where it is short enough to be in what was read anyway; nothing
    /// where it is not.
    pub(crate) fn check(&mut self, at: u64, header: &FrameHeader) -> Option<Result<()>> {
        if header.frame_len() > MOST_AT_ONCE as u64 {
            return None;
        }
        let checked = self.window.get(at + header.payload_at() as u64, header.stored as usize).and_then(|payload| {
            let found = checksum(payload);
            if found == header.checksum { Ok(()) } else { Err(wrong_payload(header, found)) }
        });
        Some(checked.map_err(|error| if error.path().is_none() { error.at(&self.path).offset(at) } else { error }))
    }

    /// The head at `at`, which must have been written for this place.
    fn head(&mut self, at: u64) -> Result<FrameHeader> {
        let there = (self.end - at).min(FRAME_HEADER_BYTES as u64) as usize;
        let fixed = Fixed::decode(self.window.get(at, there)?)?;
        if fixed.head_len() as u64 > self.end - at {
            return Err(corrupt("the head of a frame passes the end of its segment"));
        }
        fixed.header(self.window.get(at, fixed.head_len())?, at)
    }

    /// Checks the footer, whose head is sound, against the trailer and the frames that were met.
    fn footer(&mut self, at: u64, header: &FrameHeader) -> Result<()> {
        if !self.sealed || at + header.frame_len() != self.end {
            return Err(corrupt("a footer stands where none can be"));
        }
        if self.trailer.is_some_and(|trailer| trailer.offset != at) {
            return Err(corrupt("the trailer of a segment names another footer"));
        }
        if self.window.sum(at + header.payload_at() as u64, header.stored)? != header.checksum {
            return Err(corrupt("the footer of a segment is damaged"));
        }
        match self.whole && self.listed.0.finish() != header.checksum {
            true => Err(corrupt("the footer of a segment names other frames than there are")),
            false => Ok(()),
        }
    }

    /// Where to go on after damage.
    fn next_after(&mut self, at: u64) -> Option<u64> {
        if let Some(trailer) = self.trailer {
            let sound = match self.footer_sound {
                Some(sound) => sound,
                None => self.footer_is_sound(trailer),
            };
            self.footer_sound = Some(sound);
            if sound && at < trailer.offset {
                return Some(self.listed_after(trailer, at).unwrap_or(trailer.offset));
            }
        }
        // A damaged manifest can say that a segment is longer than a disk can be.
        let end = self.end.min(self.window.file_len);
        let mut candidate = at.checked_add(1)?.checked_next_multiple_of(FRAME_ALIGN as u64)?;
        while candidate.checked_add(FRAME_HEADER_BYTES as u64)? <= end {
            let there = self.window.get(candidate, FRAME_MAGIC.len()).is_ok_and(|bytes| bytes == FRAME_MAGIC);
            if there && self.head(candidate).is_ok() {
                return Some(candidate);
            }
            candidate += FRAME_ALIGN as u64;
        }
        None
    }

    fn footer_is_sound(&mut self, trailer: Trailer) -> bool {
        let header = self.head(trailer.offset).ok().filter(|header| header.kind == FrameKind::Footer);
        header.is_some_and(|header| {
            let sum = self.window.sum(trailer.offset + header.payload_at() as u64, header.stored);
            header.frame_len() == trailer.len && sum.is_ok_and(|sum| sum == header.checksum)
        })
    }

    /// The first frame behind `at` that the footer names.
    fn listed_after(&mut self, trailer: Trailer, at: u64) -> Option<u64> {
        let header = self.head(trailer.offset).ok()?;
        let from = trailer.offset + header.payload_at() as u64;
        let (mut low, mut high) = (0, header.stored / FOOTER_ENTRY_BYTES as u64);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.entry(from, middle)?.offset > at {
                true => high = middle,
                false => low = middle + 1,
            }
        }
        (low < header.stored / FOOTER_ENTRY_BYTES as u64).then(|| self.entry(from, low)).flatten().map(|entry| entry.offset)
    }

    fn entry(&mut self, from: u64, number: u64) -> Option<FooterEntry> {
        FooterEntry::decode(self.window.get(from + number * FOOTER_ENTRY_BYTES as u64, FOOTER_ENTRY_BYTES).ok()?).ok()
    }
}

fn zeros(bytes: &[u8]) -> Result<()> {
    match bytes.iter().all(|byte| *byte == 0) {
        true => Ok(()),
        false => Err(corrupt("what must be 0 between frames is not")),
    }
}

/// A part of a file that is in memory.
#[derive(Debug)]
struct Window {
    file: Arc<dyn BackendFile>,
    file_len: u64,
    buffer: BufferMut,
    at: u64,
    filled: usize,
}

impl Window {
    /// The `len` bytes at `at`, at most 128 KiB.
    fn get(&mut self, at: u64, len: usize) -> Result<&[u8]> {
        let there = |window: &Window| {
            let from = usize::try_from(at.checked_sub(window.at)?).ok()?;
            (from.checked_add(len)? <= window.filled).then_some(from)
        };
        let from = match there(self) {
            Some(from) => from,
            None => {
                self.fill(at, len)?;
                there(self).ok_or_else(|| Error::new(ErrorKind::Truncated, "a segment ends before its frames do"))?
            }
        };
        Ok(self.buffer.get(from..from + len).unwrap_or_default())
    }

    fn fill(&mut self, at: u64, len: usize) -> Result<()> {
        let begin = at / BLOCK_BYTES as u64 * BLOCK_BYTES as u64;
        let follows = begin >= self.at && begin <= self.at + self.filled as u64;
        let need = (at - begin) as usize + len;
        let want = if follows { WINDOW } else { need.next_multiple_of(BLOCK_BYTES).max(SHORT) };
        let have = self.file_len.saturating_sub(begin).min(want.min(self.buffer.len()) as u64) as usize;
        self.filled = 0;
        let target = self.buffer.get_mut(..have).unwrap_or_default();
        self.file.read_at(begin, target)?;
        (self.at, self.filled) = (begin, have);
        Ok(())
    }

    /// The checksum of a part of the file.
    fn sum(&mut self, at: u64, len: u64) -> Result<u64> {
        let (mut sum, mut done) = (RunningChecksum::new(), 0);
        while done < len {
            let now = (len - done).min(SHORT as u64);
            sum.write(self.get(at + done, now as usize)?);
            done += now;
        }
        Ok(sum.finish())
    }

    fn trailer(&mut self) -> Result<Trailer> {
        let file_len = self.file_len;
        let at = file_len.checked_sub(TRAILER_BYTES as u64).ok_or_else(|| corrupt("a segment has no trailer"))?;
        Trailer::decode(self.get(at, TRAILER_BYTES)?, file_len)
    }
}

/// A walk needs no more than what it holds.
impl Walk {
    /// What a walk takes in memory.
    pub(crate) fn footprint() -> u64 {
        Arena::footprint(WINDOW)
    }
}
