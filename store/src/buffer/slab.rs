//! Small buffers: equal parts of a mapping.
//!
//! Size classes step by a quarter of a power of two, so that at most a fifth of a part beyond 256 bytes is unused:
//! 64, 128, 192, 256, 320, 384, 448, 512, 640, 768, 896, 1024, 1280 ...

use super::mapping::Mapping;
use super::pool;
use std::ptr::NonNull;

/// The classes for buffers that never have a mapping of their own.
pub(super) const SMALL: usize = 28;

/// All classes; those beyond [`SMALL`] serve when there are too many mappings.
pub(super) const CLASSES: usize = 56;

/// The largest part.
pub(super) const LARGEST: usize = 2 << 20;

/// The class for a buffer of `len` bytes, 1 to [`LARGEST`].
pub(super) fn class_of(len: usize) -> usize {
    let last = len.max(1) - 1;
    if last < 256 {
        return last / 64;
    }
    let power = last.ilog2() as usize;
    4 * (power - 8) + (last >> (power - 2))
}

/// The bytes of a part of `class`.
pub(super) const fn class_size(class: usize) -> usize {
    if class < 4 {
        return (class + 1) * 64;
    }
    let (power, quarter) = (class / 4 + 7, class % 4);
    (5 + quarter) << (power - 2)
}

/// The bytes of a slab of `class`.
pub(super) const fn slab_size(class: usize) -> usize {
    if class < SMALL {
        128 << 10
    } else if class_size(class) <= 128 << 10 {
        512 << 10
    } else {
        16 << 20
    }
}

const _: () = assert!(class_size(SMALL - 1) == pool::LEAST && class_size(CLASSES - 1) == LARGEST);

/// One part of a slab of a class.
#[derive(Debug, Clone, Copy)]
pub(super) struct Part {
    slab: u32,
    part: u32,
}

/// The slabs of one size class.
#[derive(Debug, Default)]
pub(super) struct Class {
    /// A slab keeps its place while a part of it is in use.
    slabs: Vec<Option<Slab>>,
    /// Places of slabs that have room.
    open: Vec<u32>,
    /// Places without a slab.
    vacant: Vec<u32>,
}

#[derive(Debug)]
struct Slab {
    mapping: Mapping,
    used: usize,
    total: usize,
    /// A set bit for every part that is free; no word before `hint` has any.
    free: Vec<u64>,
    hint: usize,
}

impl Class {
    /// A part of a slab that has room, and its index where that is within the mapping.
    pub(super) fn take(&mut self, size: usize) -> Option<(Part, NonNull<u8>)> {
        let place = *self.open.last()?;
        let slab = self.slabs.get_mut(place as usize)?.as_mut()?;
        let part = slab.take()?;
        if slab.used == slab.total {
            self.open.pop();
        }
        let begin = part * size;
        let address = slab.mapping.ptr().as_ptr().wrapping_add(begin);
        Some((Part { slab: place, part: part as u32 }, NonNull::new(address)?))
    }

    /// Adds a slab of parts of `size` bytes.
    pub(super) fn add(&mut self, mapping: Mapping, size: usize) {
        let slab = Slab::new(mapping, size);
        let place = self.vacant.pop().unwrap_or(self.slabs.len() as u32);
        match self.slabs.get_mut(place as usize) {
            Some(vacant) => *vacant = Some(slab),
            None => self.slabs.push(Some(slab)),
        }
        self.open.push(place);
    }

    /// Takes a part back; returns the mapping of its slab where that was the last one in use.
    pub(super) fn give(&mut self, part: Part) -> Option<Mapping> {
        let place = self.slabs.get_mut(part.slab as usize)?;
        let slab = place.as_mut()?;
        let was_full = slab.used == slab.total;
        slab.give(part.part as usize);
        if slab.used > 0 {
            if was_full {
                self.open.push(part.slab);
            }
            return None;
        }
        let slab = place.take()?;
        self.open.retain(|open| *open != part.slab);
        self.vacant.push(part.slab);
        Some(slab.mapping)
    }

    /// The bytes of the slabs that are in no part in use, for parts of `size` bytes.
    pub(super) fn slack(&self, size: usize) -> usize {
        self.slabs.iter().flatten().map(|slab| slab.mapping.len() - slab.used * size).sum()
    }
}

impl Slab {
    fn new(mapping: Mapping, size: usize) -> Self {
        let total = mapping.len() / size;
        let mut free = vec![u64::MAX; total.div_ceil(64)];
        if let Some(last) = free.last_mut().filter(|_| !total.is_multiple_of(64)) {
            *last = (1 << (total % 64)) - 1;
        }
        Slab { mapping, used: 0, total, free, hint: 0 }
    }

    fn take(&mut self) -> Option<usize> {
        let (index, word) = self.free.iter_mut().enumerate().skip(self.hint).find(|(_, word)| **word != 0)?;
        let bit = word.trailing_zeros() as usize;
        *word &= *word - 1;
        self.hint = index;
        self.used += 1;
        Some(index * 64 + bit)
    }

    fn give(&mut self, part: usize) {
        if let Some(word) = self.free.get_mut(part / 64) {
            debug_assert_eq!(*word >> (part % 64) & 1, 0, "a part is given back once");
            *word |= 1 << (part % 64);
            self.hint = self.hint.min(part / 64);
            self.used -= 1;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::Ledger;

    #[test]
    fn every_length_has_the_least_class_that_holds_it() {
        for class in 0..CLASSES {
            let size = class_size(class);
            assert!(size.is_multiple_of(64));
            assert_eq!(class_of(size), class);
            if class + 1 < CLASSES {
                assert_eq!(class_of(size + 1), class + 1);
            }
            assert!(slab_size(class) / size >= 4);
        }
        assert_eq!((class_of(0), class_of(1), class_of(LARGEST)), (0, 0, CLASSES - 1));
    }

    #[test]
    fn parts_do_not_overlap_and_empty_slabs_come_back() {
        let ledger = Ledger::new(1 << 30);
        let class = class_of(7000);
        let (size, len) = (class_size(class), slab_size(class));
        let mut slabs = Class::default();
        assert!(slabs.take(size).is_none());
        let mut parts = Vec::new();
        for _ in 0..2 {
            slabs.add(Mapping::new(len, ledger.book(len as u64).unwrap()).unwrap(), size);
            parts.extend(std::iter::from_fn(|| slabs.take(size)));
        }
        assert_eq!(parts.len(), 2 * (len / size));
        assert_eq!(slabs.slack(size), 2 * (len % size));
        let mut begins: Vec<_> = parts.iter().map(|(_, ptr)| ptr.as_ptr() as usize).collect();
        begins.sort_unstable();
        assert!(begins.windows(2).all(|pair| pair[1] - pair[0] >= size && pair[0].is_multiple_of(64)));
        let emptied = parts.into_iter().rev().filter_map(|(part, _)| slabs.give(part)).count();
        assert_eq!((emptied, ledger.used()), (2, 0));
        assert!(slabs.open.is_empty() && slabs.vacant.len() == 2);
    }
}
