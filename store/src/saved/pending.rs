//! What a writer by keys knows: what is pending, rolled out and committed; see the picture in `keyed`.

use super::filter::Filter;
use super::inner::OpenTables;
use super::layer::{Held, Layer};
use super::pins::Pinned;
use crate::Result;
use crate::manifest::Entry;
use crate::segment::{Place, Table};
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct State {
    /// The keys that may be in tables. Nothing where they are not known: of a dataset that is gone on with, until this many more keys were put, and
    /// where there is no room for it.
    pub(super) filter: Option<Filter>,
    pub(super) until_filter: usize,
    /// The dataset as the first commit will make it; nothing afterwards.
    pub(super) new: Option<(Entry, bool)>,
    pub(super) pending: Layer,
    pub(super) frozen: Option<Arc<Layer>>,
    pub(super) rolled: Vec<Rolled>,
    pub(super) committed: OpenTables,
    pub(super) committed_places: Vec<Place>,
    pub(super) epoch: u64,
    /// What the keys in `pending` change, and those in `rolled`.
    pub(super) sums: Sums,
    pub(super) rolled_sums: Sums,
    /// What the dataset has with all of that.
    pub(super) total: Sums,
    /// The segments with frames that are not committed.
    pub(super) pinned: Pinned,
    pub(super) attributes: Option<String>,
}

#[derive(Debug, Clone)]
pub(super) struct Rolled {
    pub(super) place: Place,
    pub(super) table: Arc<Table>,
    pub(super) failures: u64,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sums {
    pub(super) chunks: i64,
    pub(super) bytes: i64,
    pub(super) stored: i64,
}

impl Sums {
    pub(super) fn add(&mut self, other: Sums) {
        self.chunks += other.chunks;
        self.bytes += other.bytes;
        self.stored += other.stored;
    }

    pub(super) fn take(&mut self, other: Sums) {
        self.add(Sums { chunks: -other.chunks, bytes: -other.bytes, stored: -other.stored });
    }
}

impl State {
    /// The tables from the newest to the oldest.
    pub(super) fn tables(&self) -> Vec<Arc<Table>> {
        let rolled = self.rolled.iter().rev().map(|rolled| &rolled.table);
        rolled.chain(self.committed.tables.iter().rev()).cloned().collect()
    }

    /// What is known of a key without a look into tables.
    pub(super) fn in_memory(&self, key: &[u8]) -> Option<Option<Held>> {
        self.pending.get(key).or_else(|| self.frozen.as_ref()?.get(key))
    }

    /// Takes note of a key, whose chunk was `old` before.
    pub(super) fn put(&mut self, key: &[u8], held: Option<Held>, old: Option<Old>) -> Result<()> {
        self.pending.put(key, held)?;
        // Where there is no room for the filter, tables are looked up as before.
        if self.filter.as_mut().is_some_and(|filter| filter.add(key).is_err()) {
            (self.filter, self.until_filter) = (None, usize::MAX);
        }
        self.until_filter = if self.until_filter == usize::MAX { usize::MAX } else { self.until_filter.saturating_sub(1) };
        let mut change = Sums::default();
        if let Some(held) = held {
            change.add(Sums { chunks: 1, bytes: held.bytes as i64, stored: held.place.len as i64 });
        }
        let ratio = self.total.bytes as f64 / (self.total.stored as f64).max(1.0);
        match old {
            Some(Old::Exact(old)) => change.take(Sums { chunks: 1, bytes: old.bytes as i64, stored: old.place.len as i64 }),
            Some(Old::InTable(place)) => {
                change.take(Sums { chunks: 1, bytes: (ratio * place.len as f64) as i64, stored: place.len as i64 });
            }
            None => {}
        }
        self.sums.add(change);
        self.total.add(change);
        Ok(())
    }
}

/// The chunk that a key had before.
#[derive(Debug, Clone, Copy)]
pub(super) enum Old {
    Exact(Held),
    InTable(Place),
}
