//! Records on their way into the partitions of a log: gathered for each partition, and appended in batches.

use super::log::{ShuffleLog, Written, beyond};
use super::record::Head;
use crate::Result;
use chunkstore_store::{Arena, Attempt, BufferMut};
use std::sync::Arc;

/// The bytes gathered for all partitions together: they stay in the processor's second cache.
const BATCHES: usize = 768 << 10;

/// The least and the most bytes gathered for a partition.
const BATCH: (usize, usize) = (1 << 10, 64 << 10);

/// What one task writes. What is dropped before it is committed does not count.
pub(crate) struct Spread {
    log: Arc<ShuffleLog>,
    attempt: Attempt,
    batch: usize,
    memory: BufferMut,
    filled: Vec<usize>,
    written: Written,
    committed: bool,
}

impl Spread {
    /// The bytes that it holds.
    pub(crate) fn bytes(partitions: u32) -> u64 {
        Arena::footprint(Self::batch(partitions) * partitions as usize) + u64::from(partitions) * 8
    }

    fn batch(partitions: u32) -> usize {
        (BATCHES / partitions.max(1) as usize).clamp(BATCH.0, BATCH.1)
    }

    /// Begins the writing of a task.
    pub(crate) fn new(log: &Arc<ShuffleLog>, task: u64, arena: &Arena) -> Result<Self> {
        let partitions = log.partitions();
        let batch = Self::batch(partitions);
        let memory = crate::graph::patiently(|| Ok(arena.alloc(batch * partitions as usize)?))?;
        let attempt = log.attempt(task);
        Ok(Spread {
            log: log.clone(),
            attempt,
            batch,
            memory,
            filled: vec![0; partitions as usize],
            written: Written::default(),
            committed: false,
        })
    }

    /// The number of partitions.
    pub(crate) fn partitions(&self) -> u32 {
        self.filled.len() as u32
    }

    /// Gives a key and a value to a partition.
    #[inline]
    pub(crate) fn push_record(&mut self, partition: u32, key: &[u8], value: &[u8]) -> Result<()> {
        match (u8::try_from(key.len()), u8::try_from(value.len())) {
            (Ok(keys @ ..0x80), Ok(values @ ..0x80)) => self.push(partition, &[&[keys, values], key, value]),
            _ => self.push(partition, &[Head::new(key.len(), value.len()).bytes(), key, value]),
        }
    }

    /// Gives a record, in parts, to a partition.
    #[inline]
    pub(crate) fn push(&mut self, partition: u32, parts: &[&[u8]]) -> Result<()> {
        let len = parts.iter().map(|part| part.len()).sum::<usize>();
        let place = partition as usize;
        let mut filled = self.filled.get(place).copied().ok_or_else(|| beyond(partition))?;
        if filled + len > self.batch {
            self.append(partition)?;
            if len > self.batch {
                return self.append_large(partition, &parts.concat());
            }
            filled = 0;
        }
        let begin = place * self.batch + filled;
        let mut to = self.memory.get_mut(begin..).ok_or_else(|| beyond(partition))?;
        for part in parts {
            to = copy(part, to).ok_or_else(|| beyond(partition))?;
        }
        if let Some(place) = self.filled.get_mut(place) {
            *place = filled + len;
        }
        Ok(())
    }

    fn append(&mut self, partition: u32) -> Result<()> {
        let place = partition as usize;
        let Some(filled) = self.filled.get_mut(place).filter(|filled| **filled > 0) else { return Ok(()) };
        let len = std::mem::take(filled);
        let bytes = self.memory.get(place * self.batch..place * self.batch + len).unwrap_or_default();
        self.log.append(partition, self.attempt, bytes)?;
        self.written.add(len);
        Ok(())
    }

    fn append_large(&mut self, partition: u32, bytes: &[u8]) -> Result<()> {
        self.log.append(partition, self.attempt, bytes)?;
        self.written.add(bytes.len());
        Ok(())
    }

    /// Appends what is left, and makes all count.
    pub(crate) fn commit(mut self) -> Result<Written> {
        for partition in 0..self.filled.len() as u32 {
            self.append(partition)?;
        }
        self.log.commit(self.attempt)?;
        self.committed = true;
        Ok(self.written)
    }
}

/// Copies bytes to the beginning of `to`, and gives what is behind them. Few are copied as two words, which may overlap and cost no call.
#[inline]
fn copy<'a>(from: &[u8], to: &'a mut [u8]) -> Option<&'a mut [u8]> {
    let len = from.len();
    match (from, to.first_chunk_mut::<16>()) {
        ([only], Some(wide)) => wide[0] = *only,
        (_, Some(wide)) if len <= 16 => match (from.first_chunk::<8>(), from.last_chunk::<8>()) {
            (Some(first), Some(last)) => {
                wide.get_mut(..8)?.copy_from_slice(first);
                wide.get_mut(len - 8..len)?.copy_from_slice(last);
            }
            _ => match (from.first_chunk::<4>(), from.last_chunk::<4>()) {
                (Some(first), Some(last)) => {
                    wide.get_mut(..4)?.copy_from_slice(first);
                    wide.get_mut(len - 4..len)?.copy_from_slice(last);
                }
                _ => from.iter().zip(wide).for_each(|(from, to)| *to = *from),
            },
        },
        _ => to.get_mut(..len)?.copy_from_slice(from),
    }
    to.get_mut(len..)
}

impl Drop for Spread {
    fn drop(&mut self) {
        if !self.committed {
            self.log.abort(self.attempt);
        }
    }
}
