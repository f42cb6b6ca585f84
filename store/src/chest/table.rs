//! Values by dense number, for a policy that decides what is in memory.

use super::entry::{Entry, Left, Residence};
use crate::{Chunk, Error, ErrorKind, Result, Slot};
use std::sync::Arc;

/// No entry.
const NONE: u32 = u32::MAX;

/// Values by dense number. It obeys: each call is one transition of one value (see [`Residence`]), none does I/O,
/// takes a lock, or drops a value. A number that has no value costs 4 bytes.
///
/// To write a value: [`Table::take_for_write`] under the caller's lock, the write without it, then
/// [`Table::finish_write`] or [`Table::fail_write`] under it again. To load one, likewise.
///
/// ```
/// use chunkstore_store::{Chunk, Residence, Scalar, Table};
/// let mut table = Table::new();
/// let before = table.insert(3, Chunk::Scalar(Scalar::U8(7)))?;
/// assert!(before.is_nothing());
/// assert_eq!(table.residence(3), Residence::Dirty);
/// assert!(table.get(3).is_some() && table.get(4).is_none());
/// drop(table.forget(3));
/// assert_eq!(table.len(), 0);
/// # Ok::<(), chunkstore_store::Error>(())
/// ```
#[derive(Debug)]
pub struct Table<V = Chunk> {
    index: Vec<u32>,
    live: Vec<Option<Entry<V>>>,
    free: Vec<u32>,
}

impl<V: Clone> Default for Table<V> {
    fn default() -> Self {
        Table { index: Vec::new(), live: Vec::new(), free: Vec::new() }
    }
}

impl<V: Clone> Table<V> {
    /// No values.
    pub fn new() -> Self {
        Self::default()
    }

    /// The number of values, wherever they are; those that are doomed count until their I/O has ended.
    pub fn len(&self) -> usize {
        self.live.len() - self.free.len()
    }

    /// Whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where a value is.
    pub fn residence(&self, id: u32) -> Residence {
        self.entry(id).map_or(Residence::Absent, Entry::residence)
    }

    /// Keeps a value, in memory; gives what had the number before.
    ///
    /// # Errors
    /// Invalid where the number's value is being written or read; nothing is changed then.
    pub fn insert(&mut self, id: u32, value: V) -> Result<Left<V>> {
        let left = match self.residence(id) {
            Residence::Absent => Left::nothing(),
            Residence::Writing | Residence::Loading | Residence::Doomed => {
                return Err(Error::new(ErrorKind::Invalid, format!("value {id} is being written or read and cannot be replaced")));
            }
            _ => self.forget(id),
        };
        let at = match self.free.pop() {
            Some(at) => at,
            None => {
                self.live.push(None);
                (self.live.len() - 1) as u32
            }
        };
        if self.index.len() <= id as usize {
            self.index.resize(id as usize + 1, NONE);
        }
        if let (Some(index), Some(entry)) = (self.index.get_mut(id as usize), self.live.get_mut(at as usize)) {
            *index = at;
            *entry = Some(Entry::Dirty(value));
        }
        Ok(left)
    }

    /// The value, if it is in memory.
    pub fn get(&self, id: u32) -> Option<V> {
        self.entry(id)?.value().cloned()
    }

    /// The slot of a value that is on disk, in whatever other state it is.
    pub fn slot(&self, id: u32) -> Option<Arc<Slot>> {
        self.entry(id)?.slot().cloned()
    }

    /// Numbers the values anew: the value whose number is `kept[i]` gets the number `i`. All values that there are must be
    /// named; those that are not are left over.
    pub fn renumber(&mut self, kept: &[u32]) -> Vec<Left<V>> {
        let places: Vec<u32> = kept.iter().map(|id| self.index.get(*id as usize).copied().unwrap_or(NONE)).collect();
        for id in kept {
            if let Some(index) = self.index.get_mut(*id as usize) {
                *index = NONE;
            }
        }
        let left = match self.len() > places.iter().filter(|at| **at != NONE).count() {
            true => (0..self.index.len() as u32).map(|id| self.forget(id)).filter(|left| !left.is_nothing()).collect(),
            false => Vec::new(),
        };
        self.index = places;
        left
    }

    /// Begins the write of a value that is in memory only; nothing in other states.
    pub fn take_for_write(&mut self, id: u32) -> Option<V> {
        self.attempt(id, Entry::take_for_write)
    }

    /// Ends a write: the value is now on disk too. The slot is left over if the value was forgotten meanwhile.
    pub fn finish_write(&mut self, id: u32, slot: Slot) -> Left<V> {
        match self.take(id) {
            Some(entry) => {
                let (next, left) = entry.finish_write(slot);
                self.put(id, next);
                left
            }
            None => Left { value: None, slot: Some(Arc::new(slot)) },
        }
    }

    /// Ends a write that failed: the value is in memory only, as before.
    pub fn fail_write(&mut self, id: u32) {
        let next = self.take(id).and_then(Entry::fail_write);
        self.put(id, next);
    }

    /// Begins the load of a value that is on disk only; nothing in other states.
    pub fn take_for_load(&mut self, id: u32) -> Option<Arc<Slot>> {
        self.attempt(id, Entry::take_for_load)
    }

    /// Ends a load: the value is now in memory too. It is left over if it was forgotten meanwhile.
    pub fn finish_load(&mut self, id: u32, value: V) -> Left<V> {
        match self.take(id) {
            Some(entry) => {
                let (next, left) = entry.finish_load(value);
                self.put(id, next);
                left
            }
            None => Left { value: Some(value), slot: None },
        }
    }

    /// Ends a load that failed: the value is on disk only, as before.
    pub fn fail_load(&mut self, id: u32) {
        let next = self.take(id).and_then(Entry::fail_load);
        self.put(id, next);
    }

    /// Gives up the memory of a value that is on disk too; nothing in other states.
    pub fn drop_resident(&mut self, id: u32) -> Option<V> {
        self.attempt(id, Entry::drop_resident)
    }

    /// Forgets a value. If it is being written or read, the number is free once that has ended.
    pub fn forget(&mut self, id: u32) -> Left<V> {
        if let Some(value) = self.forget_dirty(id) {
            return Left { value: Some(value), slot: None };
        }
        match self.take(id) {
            Some(entry) => {
                let (next, left) = entry.forget();
                self.put(id, next);
                left
            }
            None => Left::nothing(),
        }
    }

    /// Forgets a value that is in memory only, as most are: nothing in other states.
    fn forget_dirty(&mut self, id: u32) -> Option<V> {
        let index = self.index.get_mut(id as usize).filter(|at| **at != NONE)?;
        let place = self.live.get_mut(*index as usize)?;
        if !matches!(place, Some(Entry::Dirty(_))) {
            return None;
        }
        let Some(Entry::Dirty(value)) = place.take() else { return None };
        self.free.push(std::mem::replace(index, NONE));
        Some(value)
    }

    fn place(&self, id: u32) -> Option<usize> {
        self.index.get(id as usize).filter(|at| **at != NONE).map(|at| *at as usize)
    }

    fn entry(&self, id: u32) -> Option<&Entry<V>> {
        self.live.get(self.place(id)?)?.as_ref()
    }

    /// Takes an entry out; [`Table::put`] must follow.
    fn take(&mut self, id: u32) -> Option<Entry<V>> {
        let at = self.place(id)?;
        self.live.get_mut(at)?.take()
    }

    /// Puts an entry back, or frees its place.
    fn put(&mut self, id: u32, entry: Option<Entry<V>>) {
        let Some(at) = self.place(id) else { return };
        if entry.is_none() {
            self.free.push(at as u32);
            if let Some(index) = self.index.get_mut(id as usize) {
                *index = NONE;
            }
        }
        if let Some(place) = self.live.get_mut(at) {
            *place = entry;
        }
    }

    fn attempt<T>(&mut self, id: u32, step: impl FnOnce(Entry<V>) -> std::result::Result<(Option<Entry<V>>, T), Entry<V>>) -> Option<T> {
        let (next, given) = match step(self.take(id)?) {
            Ok((next, given)) => (next, Some(given)),
            Err(same) => (Some(same), None),
        };
        self.put(id, next);
        given
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::io::MemoryBackend;
    use crate::{Arena, Bytes, Ledger, Scratch, ScratchOptions};
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn scratch() -> (Scratch, Arena) {
        let arena = Arena::new(Ledger::new(64 << 20));
        let backend = Arc::new(MemoryBackend::new(64 << 20));
        (Scratch::open_on(backend, ScratchOptions::new("/m").threads(1), &arena).unwrap(), arena)
    }

    fn chunk(arena: &Arena, byte: u8) -> Chunk {
        let mut buffer = arena.alloc(100).unwrap();
        buffer.fill(byte);
        Chunk::Bytes(Bytes(buffer.freeze()))
    }

    #[test]
    fn a_value_goes_round() {
        let (scratch, arena) = scratch();
        let mut table = Table::new();
        assert!(table.insert(9, chunk(&arena, 1)).unwrap().is_nothing());
        assert!(table.drop_resident(9).is_none(), "what is only in memory stays there");
        let value = table.take_for_write(9).unwrap();
        assert!(table.take_for_write(9).is_none() && table.insert(9, chunk(&arena, 2)).is_err());
        assert!(table.finish_write(9, scratch.write(&value).unwrap()).is_nothing());
        assert!(table.take_for_write(9).is_none(), "written at most once");
        assert!(table.drop_resident(9).is_some() && table.get(9).is_none());
        let slot = table.take_for_load(9).unwrap();
        table.fail_load(9);
        assert!(table.take_for_load(9).is_some());
        assert!(table.finish_load(9, scratch.read(&slot).unwrap()).is_nothing());
        assert_eq!(table.get(9).unwrap().payload().0[..], [1; 100]);
        assert!(table.take_for_write(9).is_none());
        let left = table.insert(9, chunk(&arena, 3)).unwrap();
        assert!(left.value.is_some() && left.slot.is_some());
        drop((left, slot));
        assert_eq!(scratch.stats().slots, 0);
        let value = table.take_for_write(9).unwrap();
        assert!(table.forget(9).value.is_some());
        assert_eq!((table.residence(9), table.len()), (Residence::Doomed, 1));
        assert!(table.finish_write(9, scratch.write(&value).unwrap()).slot.is_some());
        assert_eq!((table.residence(9), table.len(), scratch.stats().slots), (Residence::Absent, 0, 0));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn as_a_map_of_residences(ops in proptest::collection::vec((0u32..6, 0u8..9), 1..150)) {
            use Residence::*;
            let (scratch, arena) = scratch();
            let mut table = Table::new();
            let mut model: BTreeMap<u32, Residence> = BTreeMap::new();
            for (id, op) in ops {
                let was = model.get(&id).copied().unwrap_or(Absent);
                let slot = || scratch.write(&chunk(&arena, id as u8)).unwrap();
                let next = match op {
                    0 => {
                        let done = table.insert(id, chunk(&arena, id as u8)).is_ok();
                        prop_assert_eq!(done, !matches!(was, Writing | Loading | Doomed));
                        if done { Dirty } else { was }
                    }
                    1 => if table.take_for_write(id).is_some() { prop_assert_eq!(was, Dirty); Writing } else { prop_assert!(was != Dirty); was },
                    2 => {
                        let left = table.finish_write(id, slot());
                        prop_assert_eq!(left.slot.is_some(), was != Writing);
                        match was { Writing => Clean, Doomed => Absent, other => other }
                    }
                    3 => { table.fail_write(id); match was { Writing => Dirty, Doomed => Absent, other => other } }
                    4 => if table.take_for_load(id).is_some() { prop_assert_eq!(was, OnDisk); Loading } else { prop_assert!(was != OnDisk); was },
                    5 => {
                        let left = table.finish_load(id, chunk(&arena, id as u8));
                        prop_assert_eq!(left.value.is_some(), was != Loading);
                        match was { Loading => Clean, Doomed => Absent, other => other }
                    }
                    6 => { table.fail_load(id); match was { Loading => OnDisk, Doomed => Absent, other => other } }
                    7 => if table.drop_resident(id).is_some() { prop_assert_eq!(was, Clean); OnDisk } else { prop_assert!(was != Clean); was },
                    _ => {
                        let left = table.forget(id);
                        prop_assert_eq!(left.value.is_some(), was.in_memory());
                        prop_assert_eq!(left.slot.is_some(), matches!(was, Clean | OnDisk | Loading));
                        match was { Writing | Loading | Doomed => Doomed, _ => Absent }
                    }
                };
                model.insert(id, next);
                prop_assert_eq!(table.residence(id), next);
                prop_assert_eq!(table.get(id).map(|c| c.payload().0[0]), next.in_memory().then_some(id as u8));
                prop_assert_eq!(table.len(), model.values().filter(|r| **r != Absent).count());
                let slots = model.values().filter(|r| matches!(r, Clean | OnDisk | Loading)).count() as u64;
                prop_assert_eq!(scratch.stats().slots, slots);
            }
        }
    }
}
