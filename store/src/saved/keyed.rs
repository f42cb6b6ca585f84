//! Keys and their chunks, written by many threads, committed now and then.
//!
//! ```text
//!   put ---> pending --- roll, when it has its share of memory ---> rolled tables --- commit ---> tables of the dataset
//!            (in memory)                                            (in segments, uncommitted)     (in the manifest)
//! ```
//! A key is looked up from left to right. State:
//! - `pending`: what was put since the last roll. It is booked.
//! - `frozen`: what a roll is writing out; nothing otherwise.
//! - `rolled`: tables that no commit knows, oldest first, with how many segments had failed when their places were settled.
//! - `committed`: the tables of the dataset, as of the last commit that this writer made or saw.
//! - `epoch`: raised whenever keys move to the right, so that who looked in between looks again.

use super::filter::Filter;
use super::inner::{Inner, OpenTables};
use super::layer::{Held, Layer};
use super::pending::{Old, Rolled, State, Sums};
use crate::format::SEGMENTS_NAME;
use crate::manifest::Entry;
use crate::segment::{FrameInfo, FrameKind, Place, Table, TableBuilder};
use crate::{Chunk, Error, ErrorKind, Result};
use parking_lot::{Mutex, RwLock};
use rustc_hash::FxHashSet;
use std::sync::Arc;

/// So many keys are looked up in the tables of a dataset that is gone on with before a filter of its keys is made.
const WITHOUT_FILTER: usize = 1000;

/// Keys and their chunks of one dataset. All calls can come from several threads at once.
///
/// Dropping it without a commit leaves nothing but room in segments that `compact` gives back.
#[derive(Debug)]
pub(crate) struct KeyedWriter {
    pub(super) inner: Arc<Inner>,
    pub(super) id: u64,
    /// Held while keys move to the right.
    pub(super) turn: Mutex<()>,
    pub(super) state: RwLock<State>,
    /// The bytes of `pending` at which it is rolled out.
    pub(super) share: u64,
}

impl KeyedWriter {
    /// A dataset that the first commit makes.
    pub(crate) fn create(inner: &Arc<Inner>, entry: Entry, replace: bool) -> Result<Self> {
        inner.writable()?;
        let committed = OpenTables { tables: Vec::new(), pinned: inner.pins.none() };
        Self::with(inner, entry.id, Some((entry, replace)), committed, Vec::new(), Sums::default())
    }

    /// The dataset `name`, to go on with.
    ///
    /// # Errors
    /// Not found where there is none; locked where it has another writer; those of reading its tables.
    pub(crate) fn update(inner: &Arc<Inner>, name: &str) -> Result<Self> {
        inner.writable()?;
        let (entry, committed) = inner.open_dataset(name)?;
        let total = Sums { chunks: entry.chunks as i64, bytes: entry.bytes as i64, stored: entry.stored as i64 };
        Self::with(inner, entry.id, None, committed, entry.tables, total)
    }

    fn with(
        inner: &Arc<Inner>,
        id: u64,
        new: Option<(Entry, bool)>,
        committed: OpenTables,
        committed_places: Vec<Place>,
        total: Sums,
    ) -> Result<Self> {
        let ledger = inner.arena.ledger();
        let filter = if new.is_some() { Some(Filter::new(ledger)?) } else { None };
        let state = State {
            filter,
            until_filter: WITHOUT_FILTER,
            new,
            pending: Layer::new(ledger)?,
            frozen: None,
            rolled: Vec::new(),
            committed,
            committed_places,
            epoch: 0,
            sums: Sums::default(),
            rolled_sums: Sums::default(),
            total,
            pinned: inner.pins.none(),
            attributes: None,
        };
        if !inner.writers.lock().insert(id) {
            let error = Error::new(ErrorKind::Locked, "the dataset has a writer already").at(&inner.folder);
            return Err(error.hint("share the writer between threads, or wait until it is dropped"));
        }
        let share = (ledger.limit() / 32).clamp(1 << 20, 32 << 20);
        Ok(KeyedWriter { inner: Arc::clone(inner), id, turn: Mutex::new(()), state: RwLock::new(state), share })
    }

    /// The number of the dataset.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// The store.
    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    /// Changes what the first commit will make; nothing where it was made.
    pub(super) fn with_new<R>(&self, change: impl FnOnce(&mut Entry, &mut bool) -> R) -> Option<R> {
        self.state.write().new.as_mut().map(|(entry, replace)| change(entry, replace))
    }

    /// Puts a chunk under a key, in the place of one that it had. It is there to stay after the next commit.
    ///
    /// # Errors
    /// Disk full, after which it can be tried again; those of writing; out of memory where the ledger has no room for the key.
    pub(crate) fn put(&self, key: &[u8], chunk: &Chunk) -> Result<Place> {
        let place = self.append(FrameKind::Chunk, key, chunk)?;
        self.note(key, Some(Held { place, bytes: chunk.nbytes() }))?;
        Ok(place)
    }

    /// Appends a chunk without giving it its key yet; see [`KeyedWriter::note`].
    ///
    /// # Errors
    /// As for [`KeyedWriter::put`].
    pub(crate) fn append(&self, kind: FrameKind, key: &[u8], chunk: &Chunk) -> Result<Place> {
        self.inner.writable()?;
        // Nobody drops a segment between the append and the pin.
        let _layout = self.inner.layout.read();
        let place = self.inner.segments.append(FrameInfo { kind, dataset: self.id, key }, chunk, self.id)?;
        self.pin(place);
        Ok(place)
    }

    /// Takes over the segments of `ids` of another writer's store that are sealed, and gives their numbers; see
    /// [`crate::segment::Segments::link_from`].
    ///
    /// # Errors
    /// Those of linking.
    pub(crate) fn link_from(&self, other: &KeyedWriter, ids: &FxHashSet<u64>) -> Result<FxHashSet<u64>> {
        let (from, to) = (&other.inner, &self.inner);
        let commits: Vec<_> = from.segments.segments().into_iter().filter(|commit| ids.contains(&commit.segment)).collect();
        let _layout = to.layout.read();
        let left = to.segments.link_from(&from.folder.join(SEGMENTS_NAME), &commits)?;
        let linked: FxHashSet<u64> = commits.iter().map(|commit| commit.segment).filter(|id| !left.contains(id)).collect();
        linked.iter().for_each(|segment| self.pin(Place { segment: *segment, offset: 0, len: 0 }));
        Ok(linked)
    }

    /// Copies a frame of another writer, without giving it its key yet.
    ///
    /// # Errors
    /// As for [`KeyedWriter::put`]; those of reading.
    pub(crate) fn copy_from(&self, other: &KeyedWriter, place: Place) -> Result<Place> {
        self.inner.writable()?;
        let _layout = self.inner.layout.read();
        let place = self.inner.segments.copy_from(&other.inner.segments, place)?;
        self.pin(place);
        Ok(place)
    }

    pub(super) fn pin(&self, place: Place) {
        let pinned = self.state.read().pinned.segments().contains(&place.segment);
        if !pinned {
            self.state.write().pinned.add(place.segment);
        }
    }

    /// Gives a key its chunk, appended before by this writer, or takes it away. True where it had one.
    ///
    /// # Errors
    /// Out of memory where the ledger has no room for the key; those of reading a table, and of writing one out.
    pub(crate) fn note(&self, key: &[u8], held: Option<Held>) -> Result<bool> {
        self.make_filter()?;
        let mut rolled = false;
        let (used, there) = loop {
            let (epoch, tables) = {
                let state = self.state.read();
                let known = state.in_memory(key).is_some() || state.filter.as_ref().is_some_and(|filter| !filter.may_have(key));
                (state.epoch, if known { Vec::new() } else { state.tables() })
            };
            let below = look_up(&tables, key)?.flatten();
            let mut state = self.state.write();
            if state.epoch != epoch {
                continue;
            }
            let old = match state.in_memory(key) {
                Some(old) => old.map(Old::Exact),
                None => below.map(Old::InTable),
            };
            if held.is_none() && old.is_none() {
                return Ok(false);
            }
            match state.put(key, held, old) {
                Ok(()) => break (state.pending.used(), old.is_some()),
                Err(error) if rolled || state.pending.is_empty() => return Err(error),
                Err(_) => {}
            }
            // What is pending makes room.
            drop(state);
            self.roll()?;
            rolled = true;
        };
        if used >= self.share && self.turn.try_lock().is_some() {
            // The key is put, whatever comes of this: it is tried again by the next one, and by the commit.
            self.roll().ok();
        }
        Ok(there)
    }

    /// Makes the filter of a dataset that is gone on with, once that pays.
    fn make_filter(&self) -> Result<()> {
        let (tables, epoch) = {
            let state = self.state.read();
            if state.until_filter > 0 || state.filter.is_some() {
                return Ok(());
            }
            (state.tables(), state.epoch)
        };
        let mut filter = Filter::new(self.inner.arena.ledger())?;
        let mut add_all = || -> Result<()> {
            for table in &tables {
                for item in table.iter(&self.inner.segments)? {
                    filter.add(&item?.0)?;
                }
            }
            Ok(())
        };
        let added = add_all();
        let mut state = self.state.write();
        if state.epoch != epoch {
            // Keys moved meanwhile; the next one tries again.
            return Ok(());
        }
        let keys: Vec<&[u8]> = state.pending.iter().map(|(key, _)| key).collect();
        let frozen = state.frozen.iter().flat_map(|layer| layer.iter().map(|(key, _)| key));
        let added = added.and_then(|()| keys.into_iter().chain(frozen).try_for_each(|key| filter.add(key)));
        match added {
            Ok(()) => state.filter = Some(filter),
            Err(_) => state.until_filter = usize::MAX,
        }
        Ok(())
    }

    /// Removes a key. True where it was there.
    ///
    /// # Errors
    /// As for [`KeyedWriter::note`].
    pub(crate) fn remove(&self, key: &[u8]) -> Result<bool> {
        self.note(key, None)
    }

    /// Where the chunk of a key is, committed or not.
    ///
    /// # Errors
    /// Those of reading a table.
    pub(crate) fn place(&self, key: &[u8]) -> Result<Option<Place>> {
        let tables = {
            let state = self.state.read();
            if let Some(held) = state.in_memory(key) {
                return Ok(held.map(|held| held.place));
            }
            state.tables()
        };
        Ok(look_up(&tables, key)?.flatten())
    }

    /// The chunk in a frame of this writer or of the dataset.
    ///
    /// # Errors
    /// Those of reading.
    pub(crate) fn read(&self, place: Place) -> Result<Chunk> {
        self.inner.segments.read(place).map_err(|error| self.inner.explain(error))
    }

    /// The chunk of a key, committed or not.
    ///
    /// # Errors
    /// Those of reading.
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<Chunk>> {
        self.place(key)?.map(|place| self.read(place)).transpose()
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> u64 {
        self.state.read().total.chunks.max(0) as u64
    }

    /// Gives each key and the place of its chunk to `visit`, committed or not, in no order.
    ///
    /// # Errors
    /// Those of reading tables; those of `visit`.
    #[allow(dead_code, reason = "for chests at a path")]
    pub(crate) fn each(&self, mut visit: impl FnMut(&[u8], Place) -> Result<()>) -> Result<()> {
        self.roll()?;
        let tables = self.state.read().tables();
        super::dataset::each_key(&self.inner.segments, &tables, |key, place| visit(key, place))
    }

    /// Sets an attribute of the dataset, as of the next commit.
    pub(super) fn set_attributes(&self, attributes: String) {
        self.state.write().attributes = Some(attributes);
    }

    /// Writes the keys that are in memory out as a table that no commit knows yet.
    ///
    /// # Errors
    /// Those of writing; nothing is changed then.
    pub(crate) fn roll(&self) -> Result<()> {
        let _turn = self.turn.lock();
        self.roll_in_turn()
    }

    pub(super) fn roll_in_turn(&self) -> Result<()> {
        let (layer, sums) = {
            let mut state = self.state.write();
            if state.pending.is_empty() {
                return Ok(());
            }
            let fresh = Layer::new(self.inner.arena.ledger())?;
            let layer = Arc::new(std::mem::replace(&mut state.pending, fresh));
            state.frozen = Some(Arc::clone(&layer));
            state.epoch += 1;
            (layer, std::mem::take(&mut state.sums))
        };
        let written = self.write_layer(&layer);
        let mut state = self.state.write();
        state.epoch += 1;
        state.frozen = None;
        match written {
            Ok(rolled) => {
                state.rolled.push(rolled);
                state.rolled_sums.add(sums);
                Ok(())
            }
            Err(error) => {
                state.sums.add(sums);
                if let Ok(layer) = Arc::try_unwrap(layer) {
                    state.pending.put_below(layer);
                }
                Err(error)
            }
        }
    }

    /// Writes a table of a layer whose places are settled.
    fn write_layer(&self, layer: &Layer) -> Result<Rolled> {
        let failures = self.inner.segments.failures();
        let mut table = TableBuilder::new(self.inner.arena.ledger())?;
        for (key, held) in layer.iter() {
            match held {
                Some(held) => table.put(key, self.settle(held.place)?)?,
                None => table.remove(key)?,
            }
        }
        let place = {
            let _layout = self.inner.layout.read();
            let place = table.write(&self.inner.segments, self.id)?;
            self.pin(place);
            place
        };
        Ok(Rolled { place, table: Arc::new(Table::open(&self.inner.segments, place)?), failures })
    }

    /// Where a frame can be committed.
    pub(super) fn settle(&self, place: Place) -> Result<Place> {
        if self.inner.segments.failures() == 0 {
            return Ok(place);
        }
        let _layout = self.inner.layout.read();
        let settled = self.inner.segments.settle(place)?;
        self.pin(settled);
        Ok(settled)
    }
}

impl Drop for KeyedWriter {
    fn drop(&mut self) {
        self.inner.writers.lock().remove(&self.id);
    }
}

/// What the first of `tables` that knows a key says of it.
fn look_up(tables: &[Arc<Table>], key: &[u8]) -> Result<Option<Option<Place>>> {
    for table in tables {
        if let Some(found) = table.get(key)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}
