//! Mappings that wait to be used again.

use super::mapping::Mapping;
use std::collections::VecDeque;

/// The least mapping that is worth keeping.
pub(super) const LEAST: usize = 16 << 10;

/// So many wait at most: they are looked through one by one.
const MOST: usize = 1024;

/// Mappings that wait to be used again, the longest waiting first. They stay booked.
#[derive(Debug, Default)]
pub(super) struct Pool {
    waiting: VecDeque<Mapping>,
    bytes: usize,
}

impl Pool {
    /// The bytes that wait.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// A mapping of `len` bytes: one of exactly this size, else one at most an eighth larger, cut to size. The latest
    /// to come is the first to go, because the caches may still hold it.
    pub(super) fn take(&mut self, len: usize) -> Option<Mapping> {
        let exact = self.waiting.iter().rposition(|mapping| mapping.len() == len);
        let near = |mapping: &Mapping| mapping.len() > len && mapping.len() - len <= len / 8 && mapping.can_shrink(len);
        let index = exact.or_else(|| self.waiting.iter().rposition(near))?;
        let mut mapping = self.waiting.remove(index)?;
        self.bytes -= mapping.len();
        mapping.shrink(len);
        Some(mapping)
    }

    /// Takes a mapping in, and returns what has to go so that at most `capacity` bytes wait.
    pub(super) fn put(&mut self, mut mapping: Mapping, capacity: usize) -> Vec<Mapping> {
        if mapping.len() < LEAST || mapping.len() > capacity {
            return vec![mapping];
        }
        mapping.fresh = false;
        self.bytes += mapping.len();
        self.waiting.push_back(mapping);
        let mut out = self.drain(self.bytes.saturating_sub(capacity));
        if self.waiting.len() > MOST {
            out.extend(self.drain(1));
        }
        out
    }

    /// Takes out what has waited longest, until that is at least `bytes`.
    pub(super) fn drain(&mut self, bytes: usize) -> Vec<Mapping> {
        let mut out = Vec::new();
        let mut found = 0;
        while found < bytes {
            let Some(mapping) = self.waiting.pop_front() else { break };
            found += mapping.len();
            self.bytes -= mapping.len();
            out.push(mapping);
        }
        out
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::Ledger;

    fn mapping(ledger: &Ledger, len: usize) -> Mapping {
        Mapping::new(len, ledger.book(len as u64).unwrap()).unwrap()
    }

    #[test]
    fn takes_the_exact_size_before_a_near_one_and_forgets_the_oldest() {
        let ledger = Ledger::new(1 << 30);
        let mut pool = Pool::default();
        for len in [256 << 10, 288 << 10, 512 << 10] {
            assert!(pool.put(mapping(&ledger, len), 2 << 20).is_empty());
        }
        assert!(pool.take(128 << 10).is_none() && pool.take(16 << 10).is_none());
        assert_eq!(pool.take(256 << 10).unwrap().len(), 256 << 10);
        let near = pool.take(256 << 10).unwrap();
        assert_eq!((near.len(), pool.bytes()), (256 << 10, 512 << 10));
        assert_eq!(ledger.used(), 768 << 10, "the cut end of the near one is given back");
        drop(near);
        let out = pool.put(mapping(&ledger, 1 << 20), 1 << 20);
        assert_eq!(out.iter().map(Mapping::len).collect::<Vec<_>>(), [512 << 10]);
        drop(out);
        assert_eq!(pool.put(mapping(&ledger, 4 << 20), 1 << 20).len(), 1, "too large to wait");
        assert_eq!(pool.put(mapping(&ledger, 4096), 1 << 20).len(), 1, "too small to wait");
        drop(pool.drain(1));
        assert_eq!((pool.bytes(), ledger.used()), (0, 0));
    }
}
