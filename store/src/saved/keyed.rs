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

use super::commit::{Change, Outcome, Swap};
use super::filter::Filter;
use super::inner::{Inner, OpenTables};
use super::layer::{Held, Layer};
use super::pins::Pinned;
use crate::format::SEGMENTS_NAME;
use crate::manifest::Entry;
use crate::segment::{FrameInfo, FrameKind, Place, Table, TableBuilder, merge_mapped, merge_tables};
use crate::{Chunk, Error, ErrorKind, Result};
use parking_lot::{Mutex, RwLock};
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::Arc;

/// A dataset has at most this many tables after a commit.
const MOST_TABLES: usize = 8;

/// So many keys are looked up in the tables of a dataset that is gone on with before a filter of its keys is made.
const WITHOUT_FILTER: usize = 1000;

/// How often a commit is tried again after segments failed.
const ATTEMPTS: usize = 8;

/// Keys and their chunks of one dataset. All calls can come from several threads at once.
///
/// Dropping it without a commit leaves nothing but room in segments that `compact` gives back.
#[derive(Debug)]
pub(crate) struct KeyedWriter {
    inner: Arc<Inner>,
    id: u64,
    /// Held while keys move to the right.
    turn: Mutex<()>,
    state: RwLock<State>,
    /// The bytes of `pending` at which it is rolled out.
    share: u64,
}

#[derive(Debug)]
struct State {
    /// The keys that may be in tables. Nothing where they are not known: of a dataset that is gone on with, until this many more keys were put, and
    /// where there is no room for it.
    filter: Option<Filter>,
    until_filter: usize,
    /// The dataset as the first commit will make it; nothing afterwards.
    new: Option<(Entry, bool)>,
    pending: Layer,
    frozen: Option<Arc<Layer>>,
    rolled: Vec<Rolled>,
    committed: OpenTables,
    committed_places: Vec<Place>,
    epoch: u64,
    /// What the keys in `pending` change, and those in `rolled`.
    sums: Sums,
    rolled_sums: Sums,
    /// What the dataset has with all of that.
    total: Sums,
    /// The segments with frames that are not committed.
    pinned: Pinned,
    attributes: Option<String>,
}

#[derive(Debug, Clone)]
struct Rolled {
    place: Place,
    table: Arc<Table>,
    failures: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    chunks: i64,
    bytes: i64,
    stored: i64,
}

impl Sums {
    fn add(&mut self, other: Sums) {
        self.chunks += other.chunks;
        self.bytes += other.bytes;
        self.stored += other.stored;
    }

    fn take(&mut self, other: Sums) {
        self.add(Sums { chunks: -other.chunks, bytes: -other.bytes, stored: -other.stored });
    }
}

impl State {
    /// The tables from the newest to the oldest.
    fn tables(&self) -> Vec<Arc<Table>> {
        let rolled = self.rolled.iter().rev().map(|rolled| &rolled.table);
        rolled.chain(self.committed.tables.iter().rev()).cloned().collect()
    }

    /// What is known of a key without a look into tables.
    fn in_memory(&self, key: &[u8]) -> Option<Option<Held>> {
        self.pending.get(key).or_else(|| self.frozen.as_ref()?.get(key))
    }

    /// Takes note of a key, whose chunk was `old` before.
    fn put(&mut self, key: &[u8], held: Option<Held>, old: Option<Old>) -> Result<()> {
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
enum Old {
    Exact(Held),
    InTable(Place),
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

    fn pin(&self, place: Place) {
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

    fn roll_in_turn(&self) -> Result<()> {
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
    fn settle(&self, place: Place) -> Result<Place> {
        if self.inner.segments.failures() == 0 {
            return Ok(place);
        }
        let _layout = self.inner.layout.read();
        let settled = self.inner.segments.settle(place)?;
        self.pin(settled);
        Ok(settled)
    }

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
