//! A set of small numbers that finds its first and last member in a few steps: one bit a number, and above it one bit
//! for every word that is not empty, and so on.
//!
//! ```text
//! level 1          . 1 . . 1 .            bit i: word i of level 0 has members
//! level 0   [..] [.1.1] [..] [..] [1...]  bit i: i is a member
//! ```

/// A growing set of `u32`s.
#[derive(Default, Clone)]
pub(crate) struct Bitset {
    levels: Vec<Vec<u64>>,
}

impl Bitset {
    /// Makes room for the numbers below `len`.
    pub(crate) fn grow(&mut self, len: usize) {
        let mut words = len.div_ceil(64).max(1);
        let mut level = 0;
        loop {
            if self.levels.len() == level {
                // A new top: its bits say which words of the level below are not empty.
                let bits = match self.levels.last() {
                    Some(below) => below.iter().enumerate().fold(vec![0u64; words], |mut top, (i, word)| {
                        if *word != 0 {
                            top[i / 64] |= 1 << (i % 64);
                        }
                        top
                    }),
                    None => vec![0; words],
                };
                self.levels.push(bits);
            } else if self.levels[level].len() < words {
                self.levels[level].resize(words, 0);
            }
            if self.levels[level].len() == 1 && self.levels.len() == level + 1 {
                return;
            }
            words = self.levels[level].len().div_ceil(64);
            level += 1;
        }
    }

    pub(crate) fn insert(&mut self, number: u32) {
        let mut at = number as usize;
        for level in &mut self.levels {
            let word = &mut level[at / 64];
            let was_empty = *word == 0;
            *word |= 1 << (at % 64);
            if !was_empty {
                return;
            }
            at /= 64;
        }
    }

    pub(crate) fn remove(&mut self, number: u32) {
        let mut at = number as usize;
        for level in &mut self.levels {
            let Some(word) = level.get_mut(at / 64) else { return };
            *word &= !(1 << (at % 64));
            if *word != 0 {
                return;
            }
            at /= 64;
        }
    }

    #[cfg(test)]
    pub(crate) fn contains(&self, number: u32) -> bool {
        let bit = |word: &u64| word >> (number % 64) & 1 == 1;
        self.levels.first().and_then(|level| level.get(number as usize / 64)).is_some_and(bit)
    }

    /// The least member.
    pub(crate) fn first(&self) -> Option<u32> {
        self.next(0)
    }

    /// The least member that is at least `from`.
    pub(crate) fn next(&self, from: u32) -> Option<u32> {
        let mut at = from as usize;
        for (height, level) in self.levels.iter().enumerate() {
            let word = level.get(at / 64).copied().unwrap_or(0) & (u64::MAX << (at % 64));
            if word != 0 {
                let mut found = at / 64 * 64 + word.trailing_zeros() as usize;
                for below in self.levels[..height].iter().rev() {
                    found = found * 64 + below[found].trailing_zeros() as usize;
                }
                return Some(found as u32);
            }
            at = at / 64 + 1;
        }
        None
    }

    /// The greatest member.
    pub(crate) fn last(&self) -> Option<u32> {
        let top = *self.levels.last()?.first()?;
        if top == 0 {
            return None;
        }
        let highest = |word: u64| 63 - word.leading_zeros() as usize;
        let mut found = highest(top);
        for below in self.levels[..self.levels.len() - 1].iter().rev() {
            found = found * 64 + highest(below[found]);
        }
        Some(found as u32)
    }

    pub(crate) fn clear(&mut self) {
        self.levels.iter_mut().for_each(|level| level.fill(0));
    }
}

#[cfg(test)]
mod tests {
    use super::Bitset;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn agrees_with_a_tree(steps in proptest::collection::vec((any::<bool>(), 0u32..70_000), 1..200), grows in 1usize..70_000) {
            let (mut bits, mut tree) = (Bitset::default(), BTreeSet::new());
            bits.grow(grows);
            for (number, (insert, n)) in steps.iter().enumerate() {
                if number == steps.len() / 2 {
                    bits.grow(70_000);
                }
                let n = if number < steps.len() / 2 { n % grows as u32 } else { *n };
                if *insert { bits.insert(n); tree.insert(n); } else { bits.remove(n); tree.remove(&n); }
                prop_assert_eq!(bits.first(), tree.first().copied());
                prop_assert_eq!(bits.last(), tree.last().copied());
                prop_assert_eq!(bits.next(n), tree.range(n..).next().copied());
                prop_assert_eq!(bits.contains(n), tree.contains(&n));
            }
        }
    }
}
