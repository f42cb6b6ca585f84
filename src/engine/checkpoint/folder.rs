//! The folder in which blocks are saved.

use super::target::{Naming, Target};
use crate::Result;
use crate::graph::{Key, Layer};
use chunkstore_store::{Arena, Store, StoreOptions};
use parking_lot::Mutex;
use rustc_hash::FxHashSet;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where an engine saves blocks.
pub(in crate::engine) struct Checkpoint {
    store: Store,
    /// The names of the datasets that runs are at.
    active: Mutex<FxHashSet<String>>,
    /// The keys of persisted collections that another process would give the same.
    known: Mutex<FxHashSet<Key>>,
}

impl Checkpoint {
    /// What a checkpoint takes of an engine's memory, beside what each run books.
    pub(in crate::engine) const BYTES: u64 = 8 << 20;

    pub(in crate::engine) fn open(folder: &Path, quota: Option<u64>, arena: &Arena) -> Result<Self> {
        let store = StoreOptions::default().arena(arena.clone()).quota(quota).open(folder)?;
        Ok(Checkpoint { store, active: Mutex::default(), known: Mutex::default() })
    }

    /// Where its event logs are.
    pub(in crate::engine) fn events(&self) -> PathBuf {
        self.store.folder().join("events")
    }

    /// The store that it is.
    pub(in crate::engine) fn store(&self) -> &Store {
        &self.store
    }

    /// Where the blocks of a persisted collection are saved; nothing where it is claimed, and another run has it.
    pub(super) fn persisted(&self, key: Key, layer: &dyn Layer, claim: bool) -> Result<Option<Arc<Target>>> {
        let meta = json!({ "layer": layer.name(), "key": key.to_string(), "blocks": layer.blocks() });
        self.target(format!("checkpoints/{key}"), Naming::Number(key), meta, claim)
    }

    /// Where the blocks of a run are saved, whose layers make up `key`; nothing where it is claimed, and another run has it.
    pub(super) fn run(&self, key: Key, layers: &[&str], claim: bool) -> Result<Option<Arc<Target>>> {
        let meta = json!({ "layers": layers.iter().take(64).collect::<Vec<_>>(), "key": key.to_string() });
        self.target(format!("runs/{key}"), Naming::Layer, meta, claim)
    }

    fn target(&self, name: String, naming: Naming, meta: serde_json::Value, claim: bool) -> Result<Option<Arc<Target>>> {
        if claim && !self.active.lock().insert(name.clone()) {
            return Ok(None);
        }
        let target = Target::new(&self.store, &name, naming, meta);
        if claim && target.is_err() {
            self.leave(&name);
        }
        Ok(Some(Arc::new(target?)))
    }

    /// Says that a run is no longer at a dataset.
    pub(super) fn leave(&self, name: &str) {
        self.active.lock().remove(name);
    }

    /// Remembers that what was persisted under a key can be known again.
    pub(super) fn know(&self, key: Key) {
        self.known.lock().insert(key);
    }

    /// Whether what was persisted under a key can be known again.
    pub(super) fn knows(&self, key: Key) -> bool {
        self.known.lock().contains(&key)
    }
}
