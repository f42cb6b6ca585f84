//! Results that may be wanted again: an opportunistic cache.
//!
//! After a run, whole layers that took long and are small are kept in memory for as long as there is room in the cache: of what competes, that stays
//! which saves most seconds for its bytes, where a use counts anew and older uses fade (as in Dask's `cachey`, after GreedyDual-Size by Cao and
//! Irani, 1997). Keys say what was computed from what, so that a later computation finds them by itself. What is cached counts in the
//! engine's memory, and goes before a computation is refused for it.

use super::rates::Expected;
use crate::Result;
use crate::exec::{Held, Shared};
use crate::graph::{Dependency, Key, Layer, LayerRef, Operator, Size, Sizes, TaskContext, TaskTable, Value, in_order};
use crate::optimize::replace;
use crate::{Error, ErrorKind};
use parking_lot::Mutex;
use rustc_hash::{FxHashMap, FxHashSet};
use smallvec::SmallVec;
use std::any::Any;
use std::sync::Arc;

/// What a score is multiplied by at each computation: half is gone after some seven hundred.
const FADE: f64 = 0.999;

/// The largest part of the cache that one layer may take.
const PART: u64 = 4;

/// Whole layers in memory, by key.
pub(super) struct Cache {
    budget: u64,
    entries: Mutex<FxHashMap<Key, Entry>>,
}

struct Entry {
    layer: LayerRef,
    bytes: u64,
    seconds: f64,
    /// Seconds for each byte, summed over its uses.
    score: f64,
}

/// A layer of a table whose blocks are to be kept.
pub(super) struct Candidate {
    layer: LayerRef,
    pub(super) tasks: Vec<u32>,
    bytes: u64,
    seconds: f64,
}

impl Cache {
    /// A cache of at most `budget` bytes.
    pub(super) fn new(budget: u64) -> Self {
        Cache { budget, entries: Mutex::default() }
    }

    /// The bytes that are cached.
    pub(super) fn bytes(&self) -> u64 {
        self.entries.lock().values().map(|entry| entry.bytes).sum()
    }

    /// The layers with those that are cached taken from there.
    pub(super) fn find(&self, layers: Vec<LayerRef>) -> Vec<LayerRef> {
        let mut entries = self.entries.lock();
        entries.values_mut().for_each(|entry| entry.score *= FADE);
        let mut instead = FxHashMap::<Key, LayerRef>::default();
        for layer in in_order(&layers) {
            if let Some(entry) = entries.get_mut(&layer.key()) {
                entry.score += entry.seconds / entry.bytes.max(1) as f64;
                instead.insert(layer.key(), entry.layer.clone());
            }
        }
        drop(entries);
        if instead.is_empty() { layers } else { replace(&layers, &instead, true) }
    }

    /// The layers of a table that are worth keeping, those worth most first, as many as the cache could hold. `kept` are tasks that stay in any case.
    pub(super) fn candidates(&self, table: &TaskTable, expected: &Expected, kept: &[u32]) -> Vec<Candidate> {
        let mut tasks: Vec<Vec<u32>> = vec![Vec::new(); table.layers.len()];
        for task in 0..table.len() {
            if let Some(tasks) = table.layer.get(task).and_then(|layer| tasks.get_mut(*layer as usize)) {
                tasks.push(task as u32);
            }
        }
        let own: FxHashMap<Key, f64> = table.layers.iter().map(|layer| layer.key()).zip(expected.layers.iter().copied()).collect();
        let kept: FxHashSet<u32> = kept.iter().copied().collect();
        let known = self.entries.lock();
        let mut candidates = Vec::new();
        for (layer, tasks) in table.layers.iter().zip(tasks) {
            let out = |task: &u32| table.out.get(*task as usize).copied().unwrap_or(0);
            let bytes: u64 = tasks.iter().map(out).sum();
            let whole = tasks.len() == layer.blocks() as usize;
            let pure = layer.operator().parameters().is_some() && !layer.is_source() && layer.barrier().is_none();
            let is_kept = tasks.iter().any(|task| kept.contains(task));
            if !whole || !pure || is_kept || bytes == 0 || bytes > self.budget / PART || known.contains_key(&layer.key()) {
                continue;
            }
            let behind = in_order(std::slice::from_ref(layer));
            let seconds = behind.iter().filter_map(|layer| own.get(&layer.key())).sum();
            candidates.push(Candidate { layer: layer.clone(), tasks, bytes, seconds });
        }
        candidates.sort_by(|a, b| (b.seconds / b.bytes as f64).total_cmp(&(a.seconds / a.bytes as f64)));
        let mut room = self.budget;
        candidates.retain(|candidate| {
            let fits = candidate.bytes <= room;
            room -= if fits { candidate.bytes } else { 0 };
            fits
        });
        candidates
    }

    /// Takes in what a run has kept of a candidate, where that is worth more than what has to go for it.
    pub(super) fn keep(&self, candidate: Candidate, held: Vec<Arc<Held>>, shared: &Arc<Shared>) -> Result<()> {
        let Candidate { layer, bytes, seconds, .. } = candidate;
        let score = seconds / bytes as f64;
        let mut gone = Vec::new();
        {
            let mut entries = self.entries.lock();
            let mut used: u64 = entries.values().map(|entry| entry.bytes).sum();
            while used + bytes > self.budget {
                let least = entries.iter().min_by(|a, b| a.1.score.total_cmp(&b.1.score)).map(|(key, entry)| (*key, entry.score));
                match least {
                    Some((key, least)) if least < score => {
                        let entry = entries.remove(&key);
                        used -= entry.as_ref().map_or(0, |entry| entry.bytes);
                        gone.push(entry);
                    }
                    _ => return Ok(()),
                }
            }
        }
        drop(gone);
        let values = shared.values(&held)?;
        if values.iter().any(|value| !matches!(value, Value::Chunk(_))) {
            return Ok(());
        }
        // What the policy gives up is booked here from now on.
        let reserved = OwnedReservation::new(shared, values.iter().map(Value::nbytes).sum())?;
        drop(held);
        let cached: LayerRef = Arc::new(Cached::new(&layer, values, reserved));
        self.entries.lock().insert(layer.key(), Entry { layer: cached, bytes, seconds, score });
        Ok(())
    }

    /// Forgets everything; whether there was something.
    pub(super) fn clear(&self) -> bool {
        let gone = std::mem::take(&mut *self.entries.lock());
        !gone.is_empty()
    }
}

/// Bytes of the bound that are set aside for as long as this lives.
pub(super) struct OwnedReservation {
    shared: std::sync::Weak<crate::exec::Core>,
    bytes: u64,
}

impl OwnedReservation {
    pub(super) fn new(shared: &Arc<Shared>, bytes: u64) -> Result<Self> {
        shared.core.reserve(bytes)?;
        Ok(OwnedReservation { shared: Arc::downgrade(&shared.core), bytes })
    }
}

impl Drop for OwnedReservation {
    fn drop(&mut self) {
        if let Some(core) = self.shared.upgrade() {
            core.unreserve(self.bytes);
        }
    }
}

/// The blocks of a layer, in memory.
struct Cached {
    key: Key,
    name: String,
    positions: Vec<SmallVec<[u32; 4]>>,
    operator: Arc<Keep>,
}

/// Gives cached blocks.
struct Keep {
    values: Vec<Value>,
    _reserved: OwnedReservation,
}

impl Cached {
    fn new(layer: &LayerRef, values: Vec<Value>, reserved: OwnedReservation) -> Self {
        let positions = (0..layer.blocks()).map(|block| layer.position(block)).collect();
        let operator = Arc::new(Keep { values, _reserved: reserved });
        Cached { key: layer.key(), name: layer.name().to_string(), positions, operator }
    }
}

impl Layer for Cached {
    fn key(&self) -> Key {
        self.key
    }

    fn name(&self) -> &str {
        &self.name
    }

    fn inputs(&self) -> &[LayerRef] {
        &[]
    }

    fn blocks(&self) -> u32 {
        self.positions.len() as u32
    }

    fn position(&self, block: u32) -> SmallVec<[u32; 4]> {
        self.positions.get(block as usize).cloned().unwrap_or_default()
    }

    fn dependencies(&self, _block: u32, _out: &mut Vec<Dependency>) {}

    /// Their memory is booked already: for a run they take none.
    fn sizes(&self, _block: u32) -> Sizes {
        Sizes { out: Size::Exact(0), scratch: 0, load: 0 }
    }

    fn operator(&self) -> Arc<dyn Operator> {
        self.operator.clone()
    }

    fn is_source(&self) -> bool {
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn with_inputs(&self, _inputs: Vec<LayerRef>) -> Option<LayerRef> {
        None
    }
}

impl Operator for Keep {
    fn name(&self) -> &str {
        "cached"
    }

    fn parameters(&self) -> Option<Vec<u8>> {
        None
    }

    fn run(&self, task: &TaskContext<'_>, _inputs: &[Value]) -> Result<Value> {
        let value = self.values.get(task.block() as usize).cloned();
        value.ok_or_else(|| Error::new(ErrorKind::Graph, "a cached block is missing; this is a defect of the engine"))
    }
}
