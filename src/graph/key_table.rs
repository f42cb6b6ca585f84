//! Keys to dense numbers, in the order of their first mention.

use super::GraphKey;
use rustc_hash::FxHasher;
use std::hash::Hasher;
use std::sync::Arc;

/// Slots in a cache line of the table; neighbouring keys share a line.
const LINE: usize = 8;

/// An open-addressed table of key numbers.
///
/// A slot is 0 where it is free, else 32 bits of hash above the key's number plus one. The hash leaves out the last three
/// bits of the key, which choose the slot in the line: `('x', 0)` to `('x', 7)` stand side by side, so that graphs
/// which are written and read in order find their keys in the cache.
#[derive(Clone, Default)]
pub(crate) struct KeyTable {
    /// Shared with what names tasks by it.
    keys: Arc<Vec<GraphKey>>,
    slots: Vec<u64>,
}

impl KeyTable {
    /// The number of keys.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// All keys, by number.
    pub(crate) fn keys(&self) -> &[GraphKey] {
        &self.keys
    }

    /// All keys so far, by number, for whoever needs them longer than this table stays as it is.
    pub(crate) fn shared(&self) -> Arc<Vec<GraphKey>> {
        self.keys.clone()
    }

    /// The key with a number.
    pub(crate) fn key(&self, id: u32) -> Option<&GraphKey> {
        self.keys.get(id as usize)
    }

    /// The number of `key`, if it has been seen.
    pub(crate) fn find(&self, key: &GraphKey) -> Option<u32> {
        if self.slots.is_empty() {
            return None;
        }
        let tag = tag(key);
        self.probe(tag, |slot| matches(&self.keys, slot, tag, key)).1
    }

    /// The number of `key`, which it gets now if it has none.
    pub(crate) fn intern(&mut self, key: GraphKey) -> u32 {
        if (self.keys.len() + 1) * 4 > self.slots.len() * 3 {
            self.grow();
        }
        let tag = tag(&key);
        let (place, found) = self.probe(tag, |slot| matches(&self.keys, slot, tag, &key));
        found.unwrap_or_else(|| {
            let id = self.keys.len() as u32;
            self.slots[place] = u64::from(tag) << 32 | (u64::from(id) + 1);
            Arc::make_mut(&mut self.keys).push(key);
            id
        })
    }

    /// The first slot from the tag's home on that is free or `same`, and the number in it.
    fn probe(&self, tag: u32, same: impl Fn(u64) -> bool) -> (usize, Option<u32>) {
        let mask = self.slots.len() - 1;
        let mut place = tag as usize & mask;
        loop {
            match self.slots[place] {
                0 => return (place, None),
                slot if same(slot) => return (place, Some(slot as u32 - 1)),
                _ => place = (place + 1) & mask,
            }
        }
    }

    fn grow(&mut self) {
        let old = std::mem::take(&mut self.slots);
        self.slots = vec![0; (old.len() * 2).max(4 * LINE)];
        for slot in old.into_iter().filter(|slot| *slot != 0) {
            let (place, _) = self.probe((slot >> 32) as u32, |_| false);
            self.slots[place] = slot;
        }
    }
}

fn matches(keys: &[GraphKey], slot: u64, tag: u32, key: &GraphKey) -> bool {
    (slot >> 32) as u32 == tag && keys.get(slot as u32 as usize - 1) == Some(key)
}

/// 29 bits of hash over all but the last three bits of the key, and those three bits.
fn tag(key: &GraphKey) -> u32 {
    let (last, head) = key.as_bytes().split_last().map_or((0, &[][..]), |(last, head)| (*last, head));
    let mut hasher = FxHasher::default();
    hasher.write(head);
    hasher.write_u8(last >> 3);
    let hash = hasher.finish();
    ((hash ^ hash >> 32) as u32) & !7 | u32::from(last & 7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dense_and_found_again() {
        let mut table = KeyTable::default();
        assert_eq!(table.find(&"x".into()), None);
        for i in 0..5000u32 {
            assert_eq!(table.intern(("x", i).into()), 3 * i);
            assert_eq!(table.intern(format!("x{i}").into()), 3 * i + 1);
            assert_eq!(table.intern(("y", i, 8 * i).into()), 3 * i + 2);
        }
        for i in 0..5000u32 {
            assert_eq!(table.intern(("x", i).into()), 3 * i);
            assert_eq!(table.find(&format!("x{i}").into()), Some(3 * i + 1));
            assert_eq!(table.find(&("y", i, 8 * i + 1).into()), None);
        }
        assert_eq!(table.len(), 15000);
    }
}
