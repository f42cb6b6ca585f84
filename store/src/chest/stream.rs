//! Values that are larger than the memory of their chest: written and read in parts.
//!
//! A stream is a small value, its *head*, and parts that are values of their own under keys that no user can have. Its parts have one of two
//! generations, so that a stream can be written while the one before is still there; the head of the new one replaces that of
//! the old one, and the parts of the old one are forgotten then.

use super::core::{Got, Shared, Want, bytes_of, part_key};
use super::index::{Loc, hash_of};
use super::key::{ChestKey, EncodeKey};
use super::map::Chest;
use super::record::{self, Draft};
use super::storable::Storable;
use super::unit::Pin;
use crate::{Buffer, Bytes, Chunk, Error, ErrorKind, Records, Result};
use std::borrow::Borrow;
use std::io::Read;
use std::sync::Arc;

/// The number of records that the head of a stream claims, with its generation as the lowest bit; no records are so many.
const HEAD: u64 = u64::MAX - 1;

/// The generation of a stream, if a chunk is its head.
pub(super) fn generation_of(chunk: &Chunk) -> Option<bool> {
    match chunk {
        Chunk::Records(Records { data, count }) if data.is_empty() && count | 1 == u64::MAX => Some(count & 1 == 1),
        _ => None,
    }
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

/// Keeps what a reader gives.
pub(super) fn put(shared: &Shared, key: &[u8], reader: &mut dyn Read) -> Result<u64> {
    let mut state = shared.state.lock();
    while !state.streaming.insert(key.into()) {
        shared.changed.wait(&mut state);
    }
    let old = state.index.find(hash_of(key), key).and_then(|at| state.index.loc(at)).and_then(Loc::generation);
    let generation = !old.unwrap_or(true);
    shared.forget_parts(&mut state, key, generation);
    let most = (state.memory / 8).min(LONGEST_PART);
    shared.leave(state);
    let result = put_parts(shared, key, generation, most, reader);
    let mut state = shared.state.lock();
    if result.is_err() {
        shared.forget_parts(&mut state, key, generation);
    }
    state.streaming.remove(key);
    shared.changed.notify_all();
    shared.leave(state);
    result
}

fn put_parts(shared: &Shared, key: &[u8], generation: bool, most: u64, reader: &mut dyn Read) -> Result<u64> {
    let (mut total, mut number) = (0u64, 0u64);
    loop {
        let cost = shared.reserve_alone(most)?;
        let read = shared.retrying(|| shared.arena.alloc(most as usize)).and_then(|mut buffer| {
            let mut used = 0;
            while let Some(room) = buffer.get_mut(used..).filter(|room| !room.is_empty()) {
                match reader.read(room) {
                    Ok(0) => break,
                    Ok(n) => used += n,
                    Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(e) => return Err(Error::io("what was to be kept cannot be read", e)),
                }
            }
            Ok((buffer, used))
        });
        let (mut buffer, used) = match read {
            Ok(read) => read,
            Err(e) => {
                shared.unreserve(cost);
                return Err(e);
            }
        };
        let last = (used as u64) < most;
        if used > 0 || number == 0 {
            let part = part_key(key, generation, number);
            if last {
                // Less than was reserved; a new, shorter reservation is made for it.
                buffer.truncate(used);
                shared.unreserve(cost);
                shared.put_chunk(&part, &Chunk::Bytes(Bytes(buffer.freeze().slice(0, used).unwrap_or_else(|| Buffer::empty().clone()))))?;
            } else {
                shared.put_reserved(&part, Chunk::Bytes(Bytes(buffer.freeze())), cost)?;
            }
            total += used as u64;
            number += 1;
        } else {
            shared.unreserve(cost);
        }
        if last {
            let payload = Buffer::empty().clone();
            let head = Chunk::Records(Records { data: payload, count: HEAD | u64::from(generation) });
            let mut header = Vec::new();
            let kind = record::header_of(&head, &mut header)?;
            return shared.put_small(key, &Draft { kind, header: &header, payload: &[] }, |loc| loc.stream(generation)).map(|()| total);
        }
    }
}

/// The bytes of a value, a part at a time.
pub struct ChestReader<'a> {
    shared: &'a Shared,
    key: Box<[u8]>,
    /// The generation and the number of the next part, of a stream.
    next: Option<(bool, u64)>,
    part: Option<(Chunk, Arc<Pin>)>,
    at: usize,
}

impl<'a> ChestReader<'a> {
    pub(super) fn open(shared: &'a Shared, key: &[u8]) -> Result<Option<Self>> {
        let (next, part) = match shared.get(key, Want::Share)? {
            Got::Nothing | Got::Copied(_) => return Ok(None),
            Got::Chunk(chunk, pin) => (None, Some((chunk, pin))),
            Got::Stream(generation) => (Some((generation, 0)), None),
        };
        Ok(Some(ChestReader { shared, key: key.into(), next, part, at: 0 }))
    }

    /// Gets the next part, if there is one.
    fn advance(&mut self) -> Result<()> {
        (self.part, self.at) = (None, 0);
        let Some((generation, number)) = self.next.take() else { return Ok(()) };
        match self.shared.get(&part_key(&self.key, generation, number), Want::Share)? {
            Got::Chunk(chunk, pin) => {
                self.part = Some((chunk, pin));
                self.next = Some((generation, number + 1));
                Ok(())
            }
            _ => match self.shared.get(&self.key, Want::Share)? {
                Got::Stream(now) if now == generation => Ok(()),
                _ => Err(Error::new(ErrorKind::Invalid, "the value was replaced or removed while it was read").hint("read it again")),
            },
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
            if self.next.is_none() {
                return Ok(0);
            }
            self.advance().map_err(std::io::Error::other)?;
        }
    }
}

impl std::fmt::Debug for ChestReader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChestReader").field("next", &self.next).finish_non_exhaustive()
    }
}
