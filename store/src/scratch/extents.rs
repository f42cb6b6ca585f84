//! Which blocks of the scratch files are free.
//!
//! Room is handed out by best fit: the smallest free run that is large enough, the first of those that are equal.
//! What is given back joins its free neighbours, so that no two free runs touch:
//!
//! ```text
//! file 0   | used 8 | free 3 | used 5 | free 16      |      by place: (0, 8) -> 3, (0, 16) -> 16
//! file 1   | free 2 | used 30                 |             by size:  (2, 1, 0), (3, 0, 8), (16, 0, 16)
//! ```
//!
//! Both maps hold the same runs. Every block of a file is in one free run, in one extent handed out, or retired.

use std::collections::{BTreeMap, BTreeSet};

/// A run of blocks in a file, in blocks of 4096 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Extent {
    pub(crate) file: u32,
    pub(crate) start: u32,
    pub(crate) blocks: u32,
}

/// The free runs of all files.
#[derive(Debug, Default)]
pub(super) struct Extents {
    by_place: BTreeMap<(u32, u32), u32>,
    by_size: BTreeSet<(u32, u32, u32)>,
    lengths: Vec<u32>,
    free: u64,
}

impl Extents {
    /// `files` empty files.
    pub(super) fn new(files: usize) -> Self {
        Extents { lengths: vec![0; files], ..Extents::default() }
    }

    /// The blocks of all files.
    pub(super) fn blocks(&self) -> u64 {
        self.lengths.iter().map(|blocks| u64::from(*blocks)).sum()
    }

    /// The blocks that are free.
    pub(super) fn free(&self) -> u64 {
        self.free
    }

    /// The blocks of the largest free run.
    pub(super) fn largest(&self) -> u32 {
        self.by_size.last().map_or(0, |run| run.0)
    }

    /// The length of a file in blocks.
    pub(super) fn length(&self, file: u32) -> u32 {
        self.lengths.get(file as usize).copied().unwrap_or(0)
    }

    /// The free blocks at the end of a file.
    pub(super) fn tail(&self, file: u32) -> u32 {
        let last = self.by_place.range((file, 0)..=(file, u32::MAX)).next_back();
        last.filter(|((_, start), blocks)| start + **blocks == self.length(file)).map_or(0, |(_, blocks)| *blocks)
    }

    /// A run of exactly `blocks` blocks.
    pub(super) fn take(&mut self, blocks: u32) -> Option<Extent> {
        if blocks == 0 {
            return None;
        }
        let &(size, file, start) = self.by_size.range((blocks, 0, 0)..).next()?;
        self.remove(file, start, size);
        if size > blocks {
            self.insert(file, start + blocks, size - blocks);
        }
        Some(Extent { file, start, blocks })
    }

    /// Makes blocks free; they must be in use.
    pub(super) fn give(&mut self, extent: Extent) {
        let Extent { file, mut start, mut blocks } = extent;
        if blocks == 0 {
            return;
        }
        let before = self.by_place.range((file, 0)..(file, start)).next_back().map(|(place, size)| (place.1, *size));
        if let Some((place, size)) = before.filter(|(place, size)| place + size == start) {
            self.remove(file, place, size);
            start = place;
            blocks += size;
        }
        let end = start + blocks;
        if let Some(size) = self.by_place.get(&(file, end)).copied() {
            self.remove(file, end, size);
            blocks += size;
        }
        self.insert(file, start, blocks);
    }

    /// Cuts an extent to its first `blocks` blocks; the others are free.
    pub(super) fn trim(&mut self, extent: &mut Extent, blocks: u32) {
        if blocks < extent.blocks {
            let rest = Extent { file: extent.file, start: extent.start + blocks, blocks: extent.blocks - blocks };
            extent.blocks = blocks;
            self.give(rest);
        }
    }

    /// Says that a file is now `length` blocks long; the new ones are free.
    pub(super) fn grow(&mut self, file: u32, length: u32) {
        if let Some(old) = self.lengths.get_mut(file as usize).filter(|old| **old < length) {
            let start = std::mem::replace(old, length);
            self.give(Extent { file, start, blocks: length - start });
        }
    }

    fn insert(&mut self, file: u32, start: u32, blocks: u32) {
        self.by_place.insert((file, start), blocks);
        self.by_size.insert((blocks, file, start));
        self.free += u64::from(blocks);
    }

    fn remove(&mut self, file: u32, start: u32, blocks: u32) {
        self.by_place.remove(&(file, start));
        self.by_size.remove(&(blocks, file, start));
        self.free -= u64::from(blocks);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn best_fit_and_neighbours() {
        let mut map = Extents::new(1);
        map.grow(0, 100);
        let a = map.take(10).unwrap();
        let b = map.take(20).unwrap();
        let c = map.take(5).unwrap();
        map.give(a);
        assert_eq!(map.take(10).unwrap(), a, "the smallest run that fits");
        map.give(a);
        map.give(c);
        assert_eq!((map.largest(), map.tail(0), map.free()), (70, 70, 80));
        map.give(b);
        assert_eq!((map.largest(), map.by_place.len()), (100, 1));
        assert!(map.take(101).is_none() && map.take(0).is_none());
    }

    /// One operation of the model test.
    #[derive(Debug, Clone)]
    enum Op {
        Take(u32),
        Give(usize),
        Trim(usize, u32),
        Grow(u32, u32),
    }

    fn ops() -> impl Strategy<Value = Vec<Op>> {
        let op = prop_oneof![
            4 => (1u32..20).prop_map(Op::Take),
            3 => any::<usize>().prop_map(Op::Give),
            1 => (any::<usize>(), 0u32..20).prop_map(|(i, n)| Op::Trim(i, n)),
            1 => (0u32..3, 1u32..40).prop_map(|(f, n)| Op::Grow(f, n)),
        ];
        proptest::collection::vec(op, 1..200)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn as_a_map_of_single_blocks(ops in ops()) {
            let mut map = Extents::new(3);
            let mut free = vec![Vec::<bool>::new(); 3];
            let mut held: Vec<Extent> = Vec::new();
            for op in ops {
                match op {
                    Op::Take(n) => {
                        let runs = |free: &Vec<Vec<bool>>| -> Vec<u32> {
                            free.iter().flat_map(|f| f.split(|free| !free).map(|run| run.len() as u32)).filter(|n| *n > 0).collect()
                        };
                        let best = runs(&free).into_iter().filter(|size| *size >= n).min();
                        let got = map.take(n);
                        prop_assert_eq!(got.is_some(), best.is_some());
                        if let Some(e) = got {
                            prop_assert_eq!(e.blocks, n);
                            for at in e.start..e.start + n {
                                prop_assert!(std::mem::replace(&mut free[e.file as usize][at as usize], false));
                            }
                            held.push(e);
                        }
                    }
                    Op::Give(i) if !held.is_empty() => {
                        let e = held.swap_remove(i % held.len());
                        free[e.file as usize][e.start as usize..(e.start + e.blocks) as usize].fill(true);
                        map.give(e);
                    }
                    Op::Trim(i, n) if !held.is_empty() => {
                        let at = i % held.len();
                        let e = &mut held[at];
                        let (end, keep) = (e.start + e.blocks, e.blocks.min(n));
                        free[e.file as usize][(e.start + keep) as usize..end as usize].fill(true);
                        map.trim(e, n);
                        prop_assert_eq!(e.blocks, keep);
                    }
                    Op::Grow(f, n) => {
                        let length = free[f as usize].len() as u32 + n;
                        free[f as usize].resize(length as usize, true);
                        map.grow(f, length);
                    }
                    _ => {}
                }
                let want: BTreeMap<(u32, u32), u32> = free.iter().enumerate().flat_map(|(f, blocks)| {
                    let mut runs = Vec::new();
                    let mut at = 0u32;
                    for run in blocks.chunk_by(|a, b| a == b) {
                        if run[0] { runs.push(((f as u32, at), run.len() as u32)); }
                        at += run.len() as u32;
                    }
                    runs
                }).collect();
                prop_assert_eq!(&map.by_place, &want);
                let by_size: BTreeSet<_> = want.iter().map(|((f, s), n)| (*n, *f, *s)).collect();
                prop_assert_eq!(&map.by_size, &by_size);
                prop_assert_eq!(map.free(), want.values().map(|n| u64::from(*n)).sum::<u64>());
                prop_assert_eq!(map.blocks(), free.iter().map(|f| f.len() as u64).sum::<u64>());
                for f in 0..3u32 {
                    let tail = free[f as usize].iter().rev().take_while(|free| **free).count() as u32;
                    prop_assert_eq!(map.tail(f), tail);
                }
            }
        }
    }
}
