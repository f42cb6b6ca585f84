//! Values that are larger than the memory of their chest: written and read in parts.
//!
//! A stream is a small value, its *head*, and parts that are values of their own under keys that no user can have. Each stream has a
//! generation that no other one in the chest ever had, so that it can be written and read while there are others of its key; the head
//! of the new one takes the place of what the key stood for, and the parts of an old one are forgotten then.

use super::core::{Got, Shared, Want, bytes_of, check_key, part_key};
use super::key::{ChestKey, EncodeKey};
use super::map::Chest;
use super::record::{self, Draft};
use super::storable::Storable;
use super::streams::{Head, Stream};
use super::unit::Pin;
use crate::{Buffer, Bytes, Chunk, Error, ErrorKind, Records, Result};
use std::borrow::Borrow;
use std::io::Read;
use std::sync::Arc;

/// The number of records that the head of a stream claims; no records are so many. Its bytes are the generation, the number of parts and
/// their bytes in all, each as a u64, little-endian.
const HEAD: u64 = u64::MAX - 2;

/// As that, in files where there are two generations only, of which the lowest bit tells, and no bytes.
const OLD_HEAD: u64 = u64::MAX - 1;

/// What the head of a stream tells: its generation, and the number of its parts and of their bytes, where it does.
pub(super) fn head_of(chunk: &Chunk) -> Option<(u64, Option<(u64, u64)>)> {
    let Chunk::Records(Records { data, count }) = chunk else { return None };
    match *count {
        HEAD if data.len() == 24 => {
            let mut words = data.chunks_exact(8).filter_map(|word| word.try_into().ok()).map(u64::from_le_bytes);
            Some((words.next()?, Some((words.next()?, words.next()?))))
        }
        OLD_HEAD.. if data.is_empty() => Some((count & 1, None)),
        _ => None,
    }
}

/// Whether a chunk is the head of a stream, sound or not.
pub(super) fn is_head(chunk: &Chunk) -> bool {
    matches!(chunk, Chunk::Records(Records { count: HEAD.., .. }))
}

/// The longest part.
const LONGEST_PART: u64 = 4 << 20;

impl<K: ChestKey, V: Storable> Chest<K, V> {
    /// Keeps all that `reader` gives under a key, as bytes, and returns how many they are. They may be more than the memory of the chest: they
    /// are taken in parts, and read by [`Chest::get_reader`]. Until it returns, the key has the value that it had before.
    ///
    /// ```
    /// use chunkstore_store::{Chest, ChestOptions};
    /// use std::io::Read;
    /// # let folder = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
    /// let chest: Chest<String, Vec<u8>> = Chest::temporary("1MiB", ChestOptions::in_folder(folder.path()))?;
    /// let bytes = chest.put_reader("long", std::io::repeat(7).take(3 << 20))?;
    /// assert_eq!(bytes, 3 << 20);
    /// let mut all = Vec::new();
    /// chest.get_reader("long")?.expect("it was put").read_to_end(&mut all).unwrap();
    /// assert!(all.len() == 3 << 20 && all.iter().all(|byte| *byte == 7));
    /// # Ok::<(), chunkstore_store::Error>(())
    /// ```
    ///
    /// # Errors
    /// The error of the reader as Io; otherwise as for [`Chest::put`]. The key has the value that it had before.
    pub fn put_reader<Q>(&self, key: &Q, mut reader: impl Read) -> Result<u64>
    where
        K: Borrow<Q>,
        Q: EncodeKey + ?Sized,
    {
        let mut bytes = Vec::new();
        key.encode_key(&mut bytes);
        put(self.shared(), &bytes, &mut reader)
    }

    /// Reads the value of a key in parts: what [`Chest::put_reader`] kept, or the encoded bytes of any other value. Nothing where the key has no
    /// value. Where the value is replaced or removed while it is read, reading ends with an error.
    ///
    /// # Errors
    /// As for [`Chest::get`].
    pub fn get_reader<Q>(&self, key: &Q) -> Result<Option<ChestReader<'_>>>
    where
        K: Borrow<Q>,
        Q: EncodeKey + ?Sized,
    {
        let mut bytes = Vec::new();
        key.encode_key(&mut bytes);
        ChestReader::open(self.shared(), &bytes)
    }
}

/// A stream that is being written. Where this is dropped before it is there, its parts are forgotten.
struct Writing<'a> {
    shared: &'a Shared,
    key: &'a [u8],
    stream: Stream,
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        if self.stream.parts > 0 {
            let mut state = self.shared.state.lock();
            state.forget_parts(self.key, &self.stream, self.shared.disk.saved());
            self.shared.changed.notify_all();
            self.shared.leave(state);
        }
    }
}

/// Keeps what a reader gives.
pub(super) fn put(shared: &Shared, key: &[u8], reader: &mut dyn Read) -> Result<u64> {
    check_key(key)?;
    let (generation, most) = {
        let mut state = shared.state.lock();
        (state.streams.next(), (state.memory / 8).min(LONGEST_PART))
    };
    let mut writing = Writing { shared, key, stream: Stream { generation, parts: 0, bytes: None, head: Head::Unwritten } };
    let mut total = 0;
    loop {
        let used = put_part(&mut writing, most, reader)?;
        total += used;
        if used < most {
            break;
        }
    }
    let stream = Stream { bytes: Some(total), ..writing.stream };
    let words: Vec<u8> = [generation, stream.parts, total].into_iter().flat_map(u64::to_le_bytes).collect();
    let data = record::filled(shared.retrying(|| shared.arena.alloc(words.len()))?, &words);
    let head = Chunk::Records(Records { data, count: HEAD });
    let mut header = Vec::new();
    let kind = record::header_of(&head, &mut header)?;
    shared.put_head(key, &Draft { kind, header: &header, payload: &words }, stream)?;
    writing.stream.parts = 0;
    Ok(total)
}

/// Puts a part of what a reader gives, if it gives any or there is none yet; how many bytes of `most` there were.
fn put_part(writing: &mut Writing<'_>, most: u64, reader: &mut dyn Read) -> Result<u64> {
    let (shared, number) = (writing.shared, writing.stream.parts);
    let reserved = shared.reserve_alone(most)?;
    let mut buffer = shared.retrying(|| shared.arena.alloc(most as usize))?;
    let mut used = 0;
    while let Some(room) = buffer.get_mut(used..).filter(|room| !room.is_empty()) {
        match reader.read(room) {
            Ok(0) => break,
            Ok(n) => used += n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
            Err(e) => return Err(Error::io("what was to be kept cannot be read", e)),
        }
    }
    if used == 0 && number > 0 {
        return Ok(0);
    }
    let part = part_key(writing.key, writing.stream.generation, number);
    if used as u64 == most {
        shared.put_reserved(&part, Chunk::Bytes(Bytes(buffer.freeze())), reserved)?;
    } else {
        // Less than was reserved; a new, shorter reservation is made for it.
        buffer.truncate(used);
        drop(reserved);
        shared.put_chunk(&part, &Chunk::Bytes(Bytes(buffer.freeze().slice(0, used).unwrap_or_else(|| Buffer::empty().clone()))))?;
    }
    writing.stream.parts += 1;
    Ok(used as u64)
}

/// The bytes of a value, a part at a time. After an error it goes on where it was.
pub struct ChestReader<'a> {
    shared: &'a Shared,
    key: Box<[u8]>,
    /// What is read part by part, the number of the next part, and the bytes of those before it.
    stream: Option<(Stream, u64, u64)>,
    part: Option<(Chunk, Arc<Pin>)>,
    at: usize,
}

impl<'a> ChestReader<'a> {
    pub(super) fn open(shared: &'a Shared, key: &[u8]) -> Result<Option<Self>> {
        let (stream, part) = match shared.get(key, Want::Share)? {
            Got::Nothing | Got::Copied(_) => return Ok(None),
            Got::Chunk(chunk, _) if is_head(&chunk) => {
                // No part of it was found when the chest was opened.
                let (generation, rest) = head_of(&chunk).unwrap_or((0, None));
                let (parts, bytes) = rest.map_or((1, None), |(parts, bytes)| (parts.max(1), Some(bytes)));
                (Some((Stream { generation, parts, bytes, head: Head::Noted }, 0, 0)), None)
            }
            Got::Chunk(chunk, pin) => (None, Some((chunk, pin))),
            Got::Stream(stream) => (Some((stream, 0, 0)), None),
        };
        Ok(Some(ChestReader { shared, key: key.into(), stream, part, at: 0 }))
    }

    /// Gets the next part; false where there is none.
    fn advance(&mut self) -> Result<bool> {
        let Some((stream, number, before)) = self.stream else { return Ok(false) };
        (self.part, self.at) = (None, 0);
        let damaged = |message: String| {
            let hint = "`chunkstore verify` tells what is damaged; put the value again";
            Err(Error::new(ErrorKind::Corrupt, message).at(self.shared.disk.folder()).hint(hint))
        };
        if number == stream.parts {
            return match stream.bytes {
                Some(bytes) if bytes != before => damaged(format!("the parts of a stream are {before} bytes, not {bytes}")),
                _ => Ok(false),
            };
        }
        let got = self.shared.get(&part_key(&self.key, stream.generation, number), Want::Share)?;
        if let Got::Chunk(chunk, pin) = got {
            self.stream = Some((stream, number + 1, before + bytes_of(&chunk).len() as u64));
            self.part = Some((chunk, pin));
            return Ok(true);
        }
        let there = match self.shared.get(&self.key, Want::Share)? {
            Got::Stream(now) => now.generation == stream.generation,
            Got::Chunk(chunk, _) => head_of(&chunk).is_some_and(|(generation, _)| generation == stream.generation),
            Got::Nothing | Got::Copied(_) => false,
        };
        match there {
            true => damaged(format!("part {number} of the {} parts of a stream is missing", stream.parts)),
            false => Err(Error::new(ErrorKind::Invalid, "the value was replaced or removed while it was read").hint("read it again")),
        }
    }
}

impl Read for ChestReader<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        loop {
            if let Some((chunk, _)) = &self.part {
                let left = bytes_of(chunk).get(self.at..).unwrap_or_default();
                if !left.is_empty() || out.is_empty() {
                    let n = left.len().min(out.len());
                    out.iter_mut().zip(left).for_each(|(to, from)| *to = *from);
                    self.at += n;
                    return Ok(n);
                }
            }
            if out.is_empty() || !self.advance().map_err(std::io::Error::other)? {
                return Ok(0);
            }
        }
    }
}

impl std::fmt::Debug for ChestReader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChestReader").field("stream", &self.stream).finish_non_exhaustive()
    }
}
