//! Gathering the keys of a table in memory.

use super::super::place::Place;
use super::super::segments::Segments;
use super::write::{Item, write_table};
use crate::format::KEY_MOST;
use crate::{Booking, Error, ErrorKind, Ledger, Result, checksum};
use smallvec::SmallVec;
use std::cmp::Ordering;

/// Gathers keys and places, and writes them as a table; all of it is booked.
#[derive(Debug)]
pub(crate) struct TableBuilder {
    entries: Vec<Gathered>,
    /// The keys, one after the other.
    keys: Vec<u8>,
    sorted: bool,
    booking: Booking,
}

#[derive(Debug, Clone, Copy)]
struct Gathered {
    hash: u64,
    /// Where the key begins; it tells too which of two entries is the newer.
    key_at: u64,
    key_len: u32,
    /// No length means that the key was removed.
    place: Place,
}

/// The place of what was removed: no frame is that short.
const NOWHERE: Place = Place { segment: 0, offset: 0, len: 0 };

impl TableBuilder {
    /// Nothing yet, to be booked in `ledger`.
    ///
    /// # Errors
    /// None so far; later ones are out of memory.
    pub(crate) fn new(ledger: &Ledger) -> Result<Self> {
        Ok(TableBuilder { entries: Vec::new(), keys: Vec::new(), sorted: true, booking: ledger.book(0)? })
    }

    /// Lets a key stand for a frame; what was said of it before counts no more.
    ///
    /// # Errors
    /// Out of memory: write what there is as a table of its own, and go on. Invalid where the key has more than 64 KiB.
    pub(crate) fn put(&mut self, key: &[u8], place: Place) -> Result<()> {
        self.add(key, place)
    }

    /// Takes a key away, also from older tables.
    ///
    /// # Errors
    /// As for [`TableBuilder::put`].
    pub(crate) fn remove(&mut self, key: &[u8]) -> Result<()> {
        self.add(key, NOWHERE)
    }

    /// The number of puts and removals.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing was said.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The memory that this holds.
    pub(crate) fn memory(&self) -> u64 {
        self.booking.bytes()
    }

    /// What was last said of a key: where it is, or that it was removed.
    pub(crate) fn get(&mut self, key: &[u8]) -> Option<Option<Place>> {
        self.sort();
        let hash = checksum(key);
        let behind = self.entries.partition_point(|entry| compare(&self.keys, entry, hash, key) != Ordering::Greater);
        let entry = self.entries.get(behind.checked_sub(1)?)?;
        (compare(&self.keys, entry, hash, key) == Ordering::Equal).then(|| some(entry.place))
    }

    /// Settles all places before a commit; see [`Segments::settle`].
    ///
    /// # Errors
    /// As there.
    pub(crate) fn settle(&mut self, segments: &Segments) -> Result<()> {
        if segments.failures() == 0 {
            return Ok(());
        }
        for entry in self.entries.iter_mut().filter(|entry| entry.place.len > 0) {
            entry.place = segments.settle(entry.place)?;
        }
        Ok(())
    }

    /// Appends the table, and stays as it is; the last that was said of each key is in it.
    ///
    /// # Errors
    /// Those of [`Segments::append`].
    pub(crate) fn write(&mut self, segments: &Segments, dataset: u64) -> Result<Place> {
        self.sort();
        let all = &*self;
        write_table(segments, dataset, || Ok(all.items()))
    }

    /// Forgets all, and gives the memory back.
    pub(crate) fn clear(&mut self) {
        (self.entries, self.keys, self.sorted) = (Vec::new(), Vec::new(), true);
        self.booking.shrink(0);
    }

    fn items(&self) -> impl Iterator<Item = Result<Item>> + '_ {
        let newest = |(number, entry): (usize, &Gathered)| {
            let key = key_of(&self.keys, entry);
            let next = self.entries.get(number + 1);
            let again = next.is_some_and(|next| compare(&self.keys, next, entry.hash, key) == Ordering::Equal);
            (!again).then(|| Ok(Item { hash: entry.hash, key: SmallVec::from_slice(key), place: some(entry.place) }))
        };
        self.entries.iter().enumerate().filter_map(newest)
    }

    fn add(&mut self, key: &[u8], place: Place) -> Result<()> {
        if key.len() > KEY_MOST {
            return Err(Error::new(ErrorKind::Invalid, format!("a key of {} bytes; at most {KEY_MOST} are possible", key.len())));
        }
        // An empty key takes a byte, so that each entry has another beginning.
        let more = key.len().max(1);
        grow(&mut self.entries, 1, &mut self.booking)?;
        grow(&mut self.keys, more, &mut self.booking)?;
        let key_at = self.keys.len() as u64;
        self.keys.extend_from_slice(key);
        self.keys.resize(key_at as usize + more, 0);
        let entry = Gathered { hash: checksum(key), key_at, key_len: key.len() as u32, place };
        self.sorted &= self.entries.last().is_none_or(|last| compare(&self.keys, last, entry.hash, key) == Ordering::Less);
        self.entries.push(entry);
        Ok(())
    }

    fn sort(&mut self) {
        if !self.sorted {
            let keys = &self.keys;
            self.entries.sort_unstable_by(|a, b| compare(keys, a, b.hash, key_of(keys, b)).then(a.key_at.cmp(&b.key_at)));
            self.sorted = true;
        }
    }
}

fn some(place: Place) -> Option<Place> {
    (place.len > 0).then_some(place)
}

fn key_of<'a>(keys: &'a [u8], entry: &Gathered) -> &'a [u8] {
    keys.get(entry.key_at as usize..).and_then(|rest| rest.get(..entry.key_len as usize)).unwrap_or_default()
}

fn compare(keys: &[u8], entry: &Gathered, hash: u64, key: &[u8]) -> Ordering {
    entry.hash.cmp(&hash).then_with(|| key_of(keys, entry).cmp(key))
}

/// Makes room for `more` items, booked first.
fn grow<T>(vec: &mut Vec<T>, more: usize, booking: &mut Booking) -> Result<()> {
    if vec.len() + more > vec.capacity() {
        let wish = (vec.capacity() + vec.capacity() / 2).max(vec.len() + more).max(256);
        booking.grow(((wish - vec.capacity()) * size_of::<T>()) as u64)?;
        vec.reserve_exact(wish - vec.len());
    }
    Ok(())
}
