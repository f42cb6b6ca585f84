//! The logs of shuffles in the checkpoint folder: kept until their run has succeeded.
//!
//! A log is in `shuffles/KEY`, by its own key and that of the build. One run at a time has it; another that computes the same meanwhile writes to a temporary one.

use super::Checkpoint;
use crate::engine::build::build_of;
use crate::graph::{Keeper, Keeping, KeptLog, Key, KeyBuilder};
use crate::{Error, ErrorKind, Result};
use chunkstore_store::{ByteLog, LogOptions};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// The logs of a run.
pub(super) struct Logs {
    checkpoint: Arc<Checkpoint>,
    kept: Mutex<FxHashMap<Key, Arc<Log>>>,
    found: Arc<AtomicU64>,
}

/// A log. With the last reference it is given back, or removed where nobody needs it any more.
struct Log {
    checkpoint: Arc<Checkpoint>,
    key: Key,
    folder: PathBuf,
    quota: Option<u64>,
    over: AtomicBool,
    found: Arc<AtomicU64>,
}

impl Logs {
    pub(super) fn new(checkpoint: Arc<Checkpoint>) -> Self {
        Logs { checkpoint, kept: Mutex::default(), found: Arc::default() }
    }

    /// The tasks that are committed in a log that is there, in order. Damage is told when it is opened to be used.
    pub(super) fn committed(&self, log: &KeptLog, claim: bool) -> Vec<u32> {
        let Some(key) = key_of(log) else { return Vec::new() };
        let folder = self.checkpoint.log_folder(key);
        let free = || claim || !self.checkpoint.is_log_taken(key);
        if !folder.is_dir() || !free() {
            return Vec::new();
        }
        let _taken = match claim {
            true => match self.keep(log) {
                Some(taken) => Some(taken),
                None => return Vec::new(),
            },
            false => None,
        };
        let options = LogOptions::new().memory(ByteLog::LEAST_MEMORY).threads(1).arena(self.checkpoint.arena().clone());
        let tasks = ByteLog::open_with(folder, log.partitions, options).map(|log| log.committed_tasks()).unwrap_or_default();
        tasks.into_iter().filter_map(|task| u32::try_from(task).ok()).collect()
    }

    /// How many tasks were found done.
    pub(super) fn found(&self) -> u64 {
        self.found.load(Relaxed)
    }

    /// Ends it. The logs of a run that has succeeded go, and one that is damaged; the error says so then.
    pub(super) fn conclude<T>(&self, outcome: Result<T>) -> Result<T> {
        let kept = std::mem::take(&mut *self.kept.lock());
        let mut outcome = outcome;
        for log in kept.into_values() {
            let is_damage = |error: &Error| {
                matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Truncated)
                    && error.path().is_some_and(|path| path.starts_with(&log.folder))
            };
            match outcome {
                Ok(_) => log.over.store(true, Relaxed),
                Err(error) if is_damage(&error) => {
                    log.over.store(true, Relaxed);
                    outcome = Err(error.hint("compute the same again: the log of the shuffle was removed, and is made anew"));
                }
                Err(_) => {}
            }
            self.checkpoint.ending_log(log.key);
        }
        outcome
    }
}

impl Drop for Logs {
    fn drop(&mut self) {
        for log in std::mem::take(self.kept.get_mut()).into_values() {
            self.checkpoint.ending_log(log.key);
        }
    }
}

impl Keeper for Logs {
    fn keep(&self, log: &KeptLog) -> Option<Arc<dyn Keeping>> {
        let key = key_of(log)?;
        if let Some(log) = self.kept.lock().get(&key) {
            // A log is open once.
            return if Arc::strong_count(log) == 1 { Some(log.clone()) } else { None };
        }
        if !self.checkpoint.take_log(key) {
            return None;
        }
        let log = Arc::new(Log {
            checkpoint: self.checkpoint.clone(),
            key,
            folder: self.checkpoint.log_folder(key),
            quota: self.checkpoint.quota_left(),
            over: AtomicBool::new(false),
            found: self.found.clone(),
        });
        self.kept.lock().insert(key, log.clone());
        Some(log)
    }
}

/// The key of a log in the folder; none where the build cannot be known.
fn key_of(log: &KeptLog) -> Option<Key> {
    let build = build_of(log.code)?;
    let key = KeyBuilder::new("shuffle.kept", 1).input(log.key).number(log.partitions.into());
    Some(key.bytes(&build.to_be_bytes()).finish())
}

impl Keeping for Log {
    fn folder(&self) -> &Path {
        &self.folder
    }

    fn quota(&self) -> Option<u64> {
        self.quota
    }

    fn found(&self) {
        self.found.fetch_add(1, Relaxed);
    }

    fn is_over(&self) -> bool {
        self.over.load(Relaxed)
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        if self.over.load(Relaxed) {
            self.checkpoint.remove_log(self.key);
        }
        self.checkpoint.give_back_log(self.key);
    }
}
