//! What was appended to one partition and is not yet in a block.
//!
//! ```text
//! pages    | entry 0      | entry 1 |..  ..| entry 1 (rest) | entry 2 | free |     handed-over memory | entry 3 |
//! parts      (0, page 0)    (1, page 0)     (1, page 1)       (2, page 1)                              (3, that)
//! ```
//! A bucket is closed to a block when it has the bytes or the heads of one, when room is needed, and when it is read.

use super::block::Block;
use super::head::Head;
use super::pool::{Charge, Page, Pool};
use crate::Buffer;
use crate::format::{LOG_BLOCK_BYTES, LOG_BLOCK_HEADS};
use std::collections::VecDeque;
use std::sync::Arc;

/// Where entries stand in memory.
#[derive(Debug)]
enum Memory {
    Page(Page),
    Shared { buffer: Buffer, _charge: Charge },
}

impl Memory {
    fn bytes(&self) -> &[u8] {
        match self {
            Memory::Page(page) => page,
            Memory::Shared { buffer, .. } => buffer,
        }
    }
}

/// An entry, or a part of one, and where it stands.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) head: Head,
    pub(super) memory: u32,
    pub(super) begin: u32,
}

/// Room is made for at least so many heads, and for half as many as there are.
const HEADS_STEP: usize = 8;

/// What a page or a buffer takes beside its bytes.
const MEMORY_BYTES: u64 = (size_of::<Memory>() + size_of::<usize>()) as u64;

/// Entries in memory that no longer change, in order.
#[derive(Debug, Default)]
pub(super) struct Held {
    memories: Vec<Memory>,
    pub(super) parts: Vec<Part>,
    _heads: Option<Charge>,
    /// The bytes that this counts for.
    pub(super) weight: u64,
}

impl Held {
    /// The bytes of a part.
    pub(super) fn bytes(&self, part: &Part) -> &[u8] {
        self.run(part.memory, part.begin as usize, part.begin as usize + part.head.len as usize)
    }

    /// The bytes in a part of memory.
    pub(super) fn run(&self, memory: u32, begin: usize, end: usize) -> &[u8] {
        self.memories.get(memory as usize).and_then(|memory| memory.bytes().get(begin..end)).unwrap_or_default()
    }
}

#[derive(Debug, Default)]
pub(super) struct Bucket {
    memories: Vec<Memory>,
    /// The bytes of the last page that are filled.
    filled: usize,
    parts: Vec<Part>,
    raw: usize,
    heads: Option<Charge>,
    weight: u64,
    /// Blocks in memory that nobody has asked to write, and what each counts for.
    closed: VecDeque<(Arc<Block>, u64)>,
    closed_weight: u64,
}

impl Bucket {
    /// The bytes that fit without a new page.
    pub(super) fn room(&self) -> usize {
        match self.memories.last() {
            Some(Memory::Page(page)) => page.len().saturating_sub(self.filled),
            _ => 0,
        }
    }

    /// Whether it has to be closed before more can come.
    pub(super) fn is_full(&self) -> bool {
        self.raw >= LOG_BLOCK_BYTES || self.parts.len() >= LOG_BLOCK_HEADS
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The bytes that this and its closed blocks count for.
    pub(super) fn weight(&self) -> u64 {
        self.weight + self.closed_weight
    }

    /// Keeps a block until somebody asks to write it.
    pub(super) fn keep(&mut self, block: Arc<Block>) {
        let weight = block.weight();
        self.closed_weight += weight;
        self.closed.push_back((block, weight));
    }

    /// The oldest block that is kept and still wanted, to be written.
    pub(super) fn next_closed(&mut self) -> Option<Arc<Block>> {
        while let Some((block, weight)) = self.closed.pop_front() {
            self.closed_weight -= weight;
            if !block.is_gone() {
                return Some(block);
            }
        }
        None
    }

    /// Lets go of kept blocks that nobody wants any more.
    pub(super) fn sweep(&mut self) {
        self.closed.retain(|(block, _)| !block.is_gone());
        self.closed_weight = self.closed.iter().map(|(_, weight)| weight).sum();
    }

    /// The last entry, where what follows could be joined to it.
    pub(super) fn joins(&mut self, instance: u64, len: usize, records: u32) -> bool {
        let room = self.room();
        let Some(last) = self.parts.last_mut() else { return false };
        let head = &mut last.head;
        let whole = head.offset == 0 && head.total == u64::from(head.len) && matches!(self.memories.last(), Some(Memory::Page(_)));
        let at_end = last.memory as usize + 1 == self.memories.len() && last.begin as usize + head.len as usize == self.filled;
        if head.instance != instance || !whole || !at_end || len > room || self.raw + len > LOG_BLOCK_BYTES {
            return false;
        }
        let Some(records) = head.records.checked_add(records) else { return false };
        head.records = records;
        head.len += len as u32;
        head.total += len as u64;
        true
    }

    /// Copies bytes behind those of the last entry, which `joins` has said to be possible.
    pub(super) fn join(&mut self, bytes: &[u8]) {
        let at = self.filled;
        if let Some(Memory::Page(page)) = self.memories.last_mut()
            && let Some(room) = page.get_mut(at..at + bytes.len())
        {
            room.copy_from_slice(bytes);
            self.filled += bytes.len();
            self.raw += bytes.len();
        }
    }

    /// Copies as much of an entry's bytes as fits in one page; gives how many that were.
    pub(super) fn copy(&mut self, pool: &Arc<Pool>, head: Head, bytes: &[u8], pages: &mut Vec<Page>) -> usize {
        if self.room() == 0
            && !bytes.is_empty()
            && let Some(page) = pages.pop()
        {
            self.weight += page.len() as u64;
            self.remember(pool, Memory::Page(page));
            self.filled = 0;
        }
        let n = bytes.len().min(self.room()).min(LOG_BLOCK_BYTES - self.raw.min(LOG_BLOCK_BYTES));
        let begin = self.filled;
        if let Some(Memory::Page(page)) = self.memories.last_mut()
            && let (Some(to), Some(from)) = (page.get_mut(begin..begin + n), bytes.get(..n))
        {
            to.copy_from_slice(from);
        }
        self.filled += n;
        self.note(pool, Head { len: n as u32, ..head }, begin);
        n
    }

    /// Takes as much of a buffer as one block may have; gives how many bytes that were.
    pub(super) fn share(&mut self, pool: &Arc<Pool>, head: Head, buffer: &Buffer, at: usize, charge: Charge) -> usize {
        let n = (buffer.len() - at).min(LOG_BLOCK_BYTES - self.raw.min(LOG_BLOCK_BYTES));
        if let Some(slice) = buffer.slice(at, n) {
            self.weight += n as u64;
            self.remember(pool, Memory::Shared { buffer: slice, _charge: charge });
            self.note(pool, Head { len: n as u32, ..head }, 0);
        }
        n
    }

    /// The bytes of a buffer that the next [`Bucket::share`] takes.
    pub(super) fn share_bytes(&self, left: usize) -> usize {
        left.min(LOG_BLOCK_BYTES - self.raw.min(LOG_BLOCK_BYTES))
    }

    fn note(&mut self, pool: &Arc<Pool>, head: Head, begin: usize) {
        if self.parts.len() == self.parts.capacity() {
            let more = (self.parts.len() / 2).max(HEADS_STEP);
            self.parts.reserve_exact(more);
            self.count(pool, (more * size_of::<Part>()) as u64);
        }
        self.raw += head.len as usize;
        self.parts.push(Part { head, memory: self.memories.len().saturating_sub(1) as u32, begin: begin as u32 });
    }

    /// Counts for bytes beside those of pages and buffers.
    fn count(&mut self, pool: &Arc<Pool>, bytes: u64) {
        let charge = pool.charge_anyway(bytes);
        match &mut self.heads {
            Some(heads) => heads.merge(charge),
            None => self.heads = Some(charge),
        }
        self.weight += bytes;
    }

    /// Counts for one more page or buffer.
    fn remember(&mut self, pool: &Arc<Pool>, memory: Memory) {
        if self.memories.len() == self.memories.capacity() {
            let more = (self.memories.len() / 2).max(1);
            self.memories.reserve_exact(more);
            self.count(pool, more as u64 * MEMORY_BYTES);
        }
        self.memories.push(memory);
    }

    /// All that is here, in order; the bucket is empty then.
    pub(super) fn close(&mut self) -> Held {
        let mut parts = std::mem::take(&mut self.parts);
        if !parts.is_sorted_by_key(|part| part.head.order()) {
            parts.sort_by_key(|part| part.head.order());
        }
        let held = Held {
            memories: std::mem::take(&mut self.memories),
            parts,
            _heads: std::mem::take(&mut self.heads),
            weight: std::mem::take(&mut self.weight),
        };
        (self.filled, self.raw) = (0, 0);
        held
    }
}
