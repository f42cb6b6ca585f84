//! The folder in which blocks are saved.

use super::target::{Naming, Target};
use crate::Result;
use crate::graph::{Key, KeyBuilder, Layer};
use chunkstore_store::{Arena, Store, StoreOptions};
use parking_lot::{Condvar, Mutex};
use rustc_hash::{FxHashMap, FxHashSet};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Where logs of shuffles are in the folder, and what the name of one ends in that is being removed.
const LOGS: &str = "shuffles";
const GONE: &str = "gone";

/// So long at most a log is waited for that a run which has ended gives back.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where an engine saves blocks.
pub(in crate::engine) struct Checkpoint {
    store: Store,
    /// The names of the datasets that runs are at.
    active: Mutex<FxHashSet<String>>,
    arena: Arena,
    quota: Option<u64>,
    /// The logs that runs have, and whether their run has ended, so that they are about to be given back.
    logs: Mutex<FxHashMap<Key, bool>>,
    given_back: Condvar,
    /// The keys of persisted collections that another process would give the same.
    known: Mutex<FxHashSet<Key>>,
}

impl Checkpoint {
    /// What a checkpoint takes of an engine's memory, beside what each run books.
    pub(in crate::engine) const BYTES: u64 = 8 << 20;

    pub(in crate::engine) fn open(folder: &Path, quota: Option<u64>, arena: &Arena) -> Result<Self> {
        let store = StoreOptions::default().arena(arena.clone()).quota(quota).open(folder)?;
        let checkpoint = Checkpoint {
            store,
            active: Mutex::default(),
            arena: arena.clone(),
            quota,
            logs: Mutex::default(),
            given_back: Condvar::new(),
            known: Mutex::default(),
        };
        checkpoint.sweep_logs();
        Ok(checkpoint)
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

    /// Where the blocks of a run are saved, whose layers make up `key`; nothing where it is claimed, and another run has it. Where
    /// nothing has that key it is what a run of layers of the same `names` has left with most of the blocks that `present` counts:
    /// the same work, of which some inputs were others.
    pub(super) fn run(
        &self,
        key: Key,
        names: &BTreeSet<&str>,
        present: impl Fn(&Target) -> u64,
        claim: bool,
    ) -> Result<Option<Arc<Target>>> {
        let meta = json!({ "layers": names.iter().take(64).collect::<Vec<_>>(), "key": key.to_string() });
        let alike = format!("runs/{}", names.iter().fold(KeyBuilder::new("runs", 1), |key, name| key.text(name)).finish());
        let name = format!("{alike}-{key}");
        let mut best: Option<(u64, Arc<Target>)> = None;
        if self.store.info(&name)?.is_none() {
            for info in self.store.infos(&format!("{alike}-*"))? {
                // One that another run has, or that cannot be read, is left alone.
                let Ok(Some(target)) = self.target(info.name, Naming::Layer, meta.clone(), claim) else { continue };
                let one = (present(&target), target);
                let most = best.as_ref().map_or(0, |(most, _)| *most);
                let other = if one.0 > most { best.replace(one) } else { Some(one) };
                if let Some((_, target)) = other.filter(|_| claim) {
                    self.leave(target.name());
                }
            }
        }
        best.map_or_else(|| self.target(name, Naming::Layer, meta, claim), |(_, target)| Ok(Some(target)))
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

/// Logs of shuffles.
impl Checkpoint {
    pub(super) fn arena(&self) -> &Arena {
        &self.arena
    }

    /// Where the log of a key is.
    pub(super) fn log_folder(&self, key: Key) -> PathBuf {
        self.store.folder().join(LOGS).join(key.to_string())
    }

    /// Takes a log for a run; false where another run has it.
    pub(super) fn take_log(&self, key: Key) -> bool {
        let mut logs = self.logs.lock();
        let end = Instant::now() + PATIENCE;
        loop {
            match logs.get(&key).copied() {
                None => {
                    logs.insert(key, false);
                    return true;
                }
                Some(false) => return false,
                Some(true) if self.given_back.wait_until(&mut logs, end).timed_out() => return false,
                Some(true) => {}
            }
        }
    }

    /// Whether a run has a log.
    pub(super) fn is_log_taken(&self, key: Key) -> bool {
        self.logs.lock().contains_key(&key)
    }

    /// Says that the run that has a log has ended.
    pub(super) fn ending_log(&self, key: Key) {
        self.logs.lock().entry(key).and_modify(|ended| *ended = true);
    }

    /// Gives a log back.
    pub(super) fn give_back_log(&self, key: Key) {
        self.logs.lock().remove(&key);
        self.given_back.notify_all();
    }

    /// Removes a log: first its name, so that it is there as a whole or not at all. What cannot be removed now is when the folder is opened again.
    pub(super) fn remove_log(&self, key: Key) {
        let folder = self.log_folder(key);
        let gone = folder.with_extension(GONE);
        std::fs::remove_dir_all(&gone).ok();
        if std::fs::rename(&folder, &gone).is_ok() {
            std::fs::remove_dir_all(&gone).ok();
        }
        // The folder of all goes where it is empty, and nobody is about to make another log there.
        let logs = self.logs.lock();
        if let Some(folder) = folder.parent().filter(|_| logs.len() <= 1) {
            std::fs::remove_dir(folder).ok();
        }
    }

    /// Removes what is left of logs that were being removed.
    fn sweep_logs(&self) {
        let Ok(entries) = std::fs::read_dir(self.store.folder().join(LOGS)) else { return };
        for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
            if path.extension().is_some_and(|extension| extension == GONE) {
                std::fs::remove_dir_all(path).ok();
            }
        }
    }

    /// What the quota leaves for another log.
    pub(super) fn quota_left(&self) -> Option<u64> {
        self.quota.map(|quota| quota.saturating_sub(bytes_in(self.store.folder())))
    }
}

/// The bytes of the files in a folder and in those in it.
fn bytes_in(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let sizes = entries.filter_map(|entry| entry.ok()).map(|entry| match entry.metadata() {
        Ok(found) if found.is_dir() => bytes_in(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    });
    sizes.sum()
}
