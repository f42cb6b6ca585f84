//! Which values are streams, and which of their heads and parts may be committed.
//!
//! ```text
//!   put_reader -> parts, written at any time -> head in memory -> head written -> head noted, once all its parts are
//!                 the stream before stays in the store until what took its place is noted <-+
//! ```
//! What a flush commits is what was noted until then. So that it never is a part of a stream:
//! - a head is noted only once all its parts are;
//! - that the parts of a stream are gone is noted only once its head is no longer what is noted for its key.

use super::core::part_key;
use super::index::hash_of;
use super::saved::Saved;
use super::state::State;
use crate::saved::Held;
use rustc_hash::{FxHashMap, FxHashSet};

/// The memory that a stream takes here beside its key, which is counted three times.
const STREAM_BYTES: u64 = 256;

/// The generations of streams that have none in their heads but a bit.
pub(super) const OLD_GENERATIONS: u64 = 2;

/// A value in parts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stream {
    /// What tells its parts from those of any other value of the same key.
    pub(super) generation: u64,
    pub(super) parts: u64,
    /// The bytes of all parts, where its head tells.
    pub(super) bytes: Option<u64>,
    pub(super) head: Head,
}

/// Where the head of a stream is, beside the memory of the chest.
#[derive(Debug, Clone, Copy)]
pub(super) enum Head {
    Unwritten,
    Written(Held),
    Noted,
}

#[derive(Debug)]
pub(super) struct Streams {
    /// What the keys of streams stand for.
    now: FxHashMap<Box<[u8]>, Stream>,
    /// Streams whose heads are noted for keys that stand for something else by now.
    outlived: FxHashMap<Box<[u8]>, Stream>,
    /// Keys of streams whose heads are written but not noted.
    late: FxHashSet<Box<[u8]>>,
    /// The generation of the next stream.
    next: u64,
    bytes: u64,
}

impl Default for Streams {
    fn default() -> Self {
        let (now, outlived) = Default::default();
        Streams { now, outlived, late: FxHashSet::default(), next: OLD_GENERATIONS, bytes: 0 }
    }
}

impl Streams {
    /// The memory that one more stream takes.
    pub(super) fn cost(key: &[u8]) -> u64 {
        STREAM_BYTES + 3 * key.len() as u64
    }

    /// The memory that all of this takes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn get(&self, key: &[u8]) -> Option<Stream> {
        self.now.get(key).copied()
    }

    pub(super) fn insert(&mut self, key: &[u8], stream: Stream) {
        self.used(stream.generation);
        if self.now.insert(key.into(), stream).is_none() {
            self.bytes += Self::cost(key);
        }
    }

    /// A generation that no stream had before.
    pub(super) fn next(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// Takes note that there are parts of a generation.
    pub(super) fn used(&mut self, generation: u64) {
        self.next = self.next.max(generation.saturating_add(1));
    }

    /// Takes away what a key stands for.
    fn take(&mut self, key: &[u8]) -> Option<Stream> {
        let stream = self.now.remove(key)?;
        self.late.remove(key);
        self.bytes = self.bytes.saturating_sub(Self::cost(key));
        Some(stream)
    }

    fn outlive(&mut self, key: &[u8], stream: Stream) {
        if self.outlived.insert(key.into(), stream).is_none() {
            self.bytes += Self::cost(key);
        }
    }

    fn take_outlived(&mut self, key: &[u8]) -> Option<Stream> {
        if self.outlived.is_empty() {
            return None;
        }
        let stream = self.outlived.remove(key)?;
        self.bytes = self.bytes.saturating_sub(Self::cost(key));
        Some(stream)
    }
}

impl State {
    /// Forgets the parts of what a key stood for, if that was a stream. That they are gone is noted now, or else once
    /// something else is noted for the key.
    pub(super) fn end_stream(&mut self, key: &[u8], saved: Option<&Saved>) {
        let Some(stream) = self.streams.take(key) else { return };
        let outlives = saved.is_some() && matches!(stream.head, Head::Noted);
        self.forget_parts(key, &stream, saved.filter(|_| !outlives));
        if outlives {
            self.streams.outlive(key, stream);
        }
    }

    /// Forgets the parts of a stream, and notes that they are gone.
    pub(super) fn forget_parts(&mut self, key: &[u8], stream: &Stream, saved: Option<&Saved>) {
        for number in 0..stream.parts {
            let part = part_key(key, stream.generation, number);
            if let Some(saved) = saved {
                saved.note(&part, None);
            }
            if let Some(at) = self.index.find(hash_of(&part), &part) {
                self.remove(at);
                self.hidden -= 1;
            }
        }
    }

    /// Notes what is written for a key, or that it is gone, and that the parts are gone of the stream that was noted before.
    pub(super) fn note(&mut self, saved: &Saved, key: &[u8], held: Option<Held>) {
        saved.note(key, held);
        if let Some(stream) = self.streams.take_outlived(key) {
            (0..stream.parts).for_each(|number| saved.note(&part_key(key, stream.generation, number), None));
        }
    }

    /// Takes note that the head of a stream is written; it is noted by [`State::note_heads`].
    pub(super) fn head_is_written(&mut self, key: &[u8], held: Held) {
        if let Some(stream) = self.streams.now.get_mut(key) {
            stream.head = Head::Written(held);
            self.streams.late.insert(key.into());
        }
    }

    /// Notes the heads that are written and whose parts all are.
    pub(super) fn note_heads(&mut self, saved: &Saved) {
        for key in std::mem::take(&mut self.streams.late) {
            let Some(stream) = self.streams.get(&key) else { continue };
            let Head::Written(held) = stream.head else { continue };
            if (0..stream.parts).any(|number| self.is_unwritten_part(&part_key(&key, stream.generation, number))) {
                self.streams.late.insert(key);
                continue;
            }
            self.note(saved, &key, Some(held));
            self.streams.insert(&key, Stream { head: Head::Noted, ..stream });
        }
    }

    fn is_unwritten_part(&self, part: &[u8]) -> bool {
        let loc = self.index.find(hash_of(part), part).and_then(|at| self.index.loc(at));
        let unit = loc.and_then(|loc| loc.memory()).and_then(|(id, _)| self.units.get(id));
        unit.is_some_and(|unit| !unit.is_clean())
    }
}
