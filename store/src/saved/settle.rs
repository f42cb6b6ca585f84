//! The commit of a writer by keys: its places are settled, and its tables arranged so that there are not too many.

use super::commit::{Change, Outcome, Swap};
use super::keyed::KeyedWriter;
use super::pending::Rolled;
use crate::manifest::Entry;
use crate::segment::{Place, Table, merge_mapped, merge_tables};
use crate::{Error, ErrorKind, Result};
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// A dataset has at most this many tables after a commit.
const MOST_TABLES: usize = 8;

/// How often a commit is tried again after segments failed.
const ATTEMPTS: usize = 8;

impl KeyedWriter {
    /// Commits all that was put before, together with what others commit, and returns once it survives a loss of power.
    ///
    /// # Errors
    /// Exists where the name of a new dataset is taken; not found where the dataset was removed; disk full, after which it can be tried again;
    /// unusable after a failed sync.
    pub(crate) fn commit(&self) -> Result<Option<Entry>> {
        let _turn = self.turn.lock();
        for _ in 0..ATTEMPTS {
            self.roll_in_turn()?;
            self.refresh()?;
            self.settle_rolled()?;
            if let Some(entry) = self.try_commit()? {
                return Ok(entry);
            }
        }
        Err(Error::new(ErrorKind::Io, "segments fail again and again; the disk may be faulty").at(&self.inner.folder))
    }

    /// Looks whether others gave the dataset other tables.
    fn refresh(&self) -> Result<()> {
        if self.state.read().new.is_some() {
            return Ok(());
        }
        let gone = || Error::new(ErrorKind::NotFound, "the dataset was removed or replaced while it was written to").at(&self.inner.folder);
        let _layout = self.inner.layout.read();
        let entry = self.inner.ask(|index| index.by_id(self.id))?.ok_or_else(gone)?;
        if entry.tables != self.state.read().committed_places {
            let committed = self.inner.open_tables(&entry.tables)?;
            let mut state = self.state.write();
            (state.committed, state.committed_places) = (committed, entry.tables);
            state.epoch += 1;
        }
        Ok(())
    }

    /// Writes rolled tables anew whose frames may be lost, since their segments failed.
    fn settle_rolled(&self) -> Result<()> {
        let failures = self.inner.segments.failures();
        let rolled = self.state.read().rolled.clone();
        for (number, old) in rolled.into_iter().enumerate().filter(|(_, old)| old.failures != failures) {
            let mut moved: FxHashMap<Place, Place> = FxHashMap::default();
            for entry in old.table.iter(&self.inner.segments)? {
                if let Some(place) = entry?.1 {
                    let settled = self.settle(place)?;
                    if settled != place {
                        moved.insert(place, settled);
                    }
                }
            }
            let place = {
                let _layout = self.inner.layout.read();
                let moved = |place: Place| moved.get(&place).copied().unwrap_or(place);
                let place = merge_mapped(&self.inner.segments, self.id, &[&*old.table], false, &moved)?;
                self.pin(place);
                place
            };
            let table = Arc::new(Table::open(&self.inner.segments, place)?);
            let mut state = self.state.write();
            if let Some(rolled) = state.rolled.get_mut(number) {
                *rolled = Rolled { place, table, failures };
            }
        }
        Ok(())
    }

    /// One attempt at a commit; nothing where it is to be tried again.
    fn try_commit(&self) -> Result<Option<Option<Entry>>> {
        let failures = self.inner.segments.failures();
        let (new, rolled, sums, attributes, committed) = {
            let state = self.state.read();
            if state.rolled.iter().any(|rolled| rolled.failures != failures) {
                return Ok(None);
            }
            (state.new.clone(), state.rolled.clone(), state.rolled_sums, state.attributes.clone(), state.committed_places.clone())
        };
        if new.is_none() && rolled.is_empty() && attributes.is_none() {
            return Ok(Some(None));
        }
        let Arranged { old, kept, new: behind } = self.arrange(&committed, &rolled)?;
        let tables: Vec<Place> = behind.iter().map(|(place, _)| *place).collect();
        let change = match new {
            Some((entry, replace)) => {
                let [chunks, bytes, stored] = [sums.chunks, sums.bytes, sums.stored].map(|sum| sum.max(0) as u64);
                let attributes = attributes.clone().unwrap_or(entry.attributes);
                Change::Put { entry: Entry { tables, chunks, bytes, stored, attributes, ..entry }, replace }
            }
            None => {
                let swap = Swap { old, new: tables, chunks: sums.chunks, bytes: sums.bytes, stored: sums.stored };
                Change::Tables { id: self.id, swap, attributes: attributes.clone() }
            }
        };
        let entry = match self.inner.commit(change, Some(failures))? {
            Outcome::Done(entry) => entry,
            _ => return Ok(None),
        };
        let mut state = self.state.write();
        state.new = None;
        state.rolled_sums.take(sums);
        if state.attributes == attributes {
            state.attributes = None;
        }
        state.rolled.clear();
        state.committed.tables.truncate(kept);
        state.committed_places.truncate(kept);
        for (place, table) in behind {
            state.committed.tables.push(table);
            state.committed_places.push(place);
        }
        state.epoch += 1;
        Ok(Some(entry))
    }

    /// The tables of the next commit, so that there are not too many: the newest are merged, and with them older ones that are not
    /// much longer.
    fn arrange(&self, committed: &[Place], rolled: &[Rolled]) -> Result<Arranged> {
        let mut all: Vec<(Place, Arc<Table>)> = committed.iter().copied().zip(self.state.read().committed.tables.iter().cloned()).collect();
        all.extend(rolled.iter().map(|rolled| (rolled.place, Arc::clone(&rolled.table))));
        if all.len() <= MOST_TABLES {
            return Ok(Arranged { old: Vec::new(), kept: committed.len(), new: all.split_off(committed.len().min(all.len())) });
        }
        let mut from = all.len().saturating_sub(2);
        let mut bytes: u64 = all.iter().skip(from).map(|(place, _)| place.len).sum();
        while let Some((before, _)) = from.checked_sub(1).and_then(|at| all.get(at)) {
            if from < MOST_TABLES && before.len >= 2 * bytes {
                break;
            }
            bytes += before.len;
            from -= 1;
        }
        let kept = from.min(committed.len());
        let merged: Vec<&Table> = all.iter().skip(from).map(|(_, table)| &**table).collect();
        let place = {
            let _layout = self.inner.layout.read();
            let place = merge_tables(&self.inner.segments, self.id, &merged, from == 0)?;
            self.pin(place);
            place
        };
        let table = Arc::new(Table::open(&self.inner.segments, place)?);
        all.truncate(from);
        all.push((place, table));
        Ok(Arranged { old: committed.get(kept..).unwrap_or_default().to_vec(), kept, new: all.split_off(kept) })
    }
}

/// The tables of a dataset after a commit: the first `kept` as they are, and `new` in the place of `old`.
struct Arranged {
    old: Vec<Place>,
    kept: usize,
    new: Vec<(Place, Arc<Table>)>,
}
