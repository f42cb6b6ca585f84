//! One run and its checkpoints: from the choice of layers to what becomes of them in the end.

use super::Checkpoint;
use super::calls::{CheckpointedCalls, ENCODING_BYTES};
use super::choice::{choose, chosen, is_portable};
use super::layer::Checkpointed;
use super::logs::Logs;
use super::target::Target;
use super::writes::Writes;
use crate::Engine;
use crate::Result;
use crate::exec::Rewrite;
use crate::graph::{Keeper, Key, KeyBuilder, LayerRef, in_order};
use crate::optimize::{optimize_within, replace};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What a run saves and finds; nothing where the engine has no checkpoint folder.
#[derive(Default)]
pub(in crate::engine) struct Saving(Option<Run>);

struct Run {
    checkpoint: Arc<Checkpoint>,
    /// Of the persisted collections.
    persisted: Vec<Arc<Target>>,
    /// Of all else.
    own: Option<Arc<Target>>,
    /// Logs of shuffles.
    logs: Arc<Logs>,
    /// Keys of layers that barriers hold.
    held: FxHashSet<Key>,
    /// Whether it runs, and is not only looked at.
    claimed: bool,
    found: u64,
    /// Blocks that are saved when they are made.
    missing: u64,
    /// Whether delayed calls are saved, and whether they are among what was found.
    has_calls: bool,
    found_calls: bool,
}

/// The bytes that are booked for each block that is put and not committed: its key and its place.
const PENDING_BYTES: u64 = 128;

/// What is pending is written out at the latest when it takes so much.
const MOST_PENDING: u64 = 32 << 20;

impl Saving {
    /// Prepares a run of `layers`, which have gone through the optimiser's passes, and gives them as layers that find and save blocks. `persist`
    /// are keys under which those of the first layers that are to stay are saved.
    pub(in crate::engine) fn new(
        checkpoint: Option<&Arc<Checkpoint>>,
        layers: Vec<LayerRef>,
        persist: &[Key],
    ) -> Result<(Self, Vec<LayerRef>)> {
        Saving::prepare(checkpoint, layers, persist, true)
    }

    /// The same to forecast a run, which another may be at.
    pub(in crate::engine) fn look(checkpoint: Option<&Arc<Checkpoint>>, layers: Vec<LayerRef>) -> Result<(Self, Vec<LayerRef>)> {
        Saving::prepare(checkpoint, layers, &[], false)
    }

    fn prepare(
        checkpoint: Option<&Arc<Checkpoint>>,
        layers: Vec<LayerRef>,
        persist: &[Key],
        claimed: bool,
    ) -> Result<(Self, Vec<LayerRef>)> {
        let Some(checkpoint) = checkpoint else { return Ok((Saving(None), layers)) };
        let mut run = Run {
            checkpoint: checkpoint.clone(),
            persisted: Vec::new(),
            own: None,
            logs: Arc::new(Logs::new(checkpoint.clone())),
            held: FxHashSet::default(),
            claimed,
            found: 0,
            missing: 0,
            has_calls: false,
            found_calls: false,
        };
        let apart: FxHashSet<Key> = layers.iter().take(persist.len()).map(|layer| layer.key()).collect();
        let choice = choose(checkpoint, &layers, &apart, &FxHashSet::default());
        run.held.extend(&choice.held);
        let mut instead = FxHashMap::<Key, LayerRef>::default();
        for (key, layer) in persist.iter().zip(&layers) {
            if layer.is_source() || instead.contains_key(&layer.key()) || !is_portable(checkpoint, layer) {
                continue;
            }
            checkpoint.know(*key);
            if let Some(target) = checkpoint.persisted(*key, &**layer, claimed)? {
                run.persisted.push(target.clone());
                run.wrap(target, *key, layer, &mut instead);
            }
        }
        if !choice.layers.is_empty() || !choice.calls.is_empty() {
            let mut names: BTreeSet<&str> = choice.layers.iter().map(|layer| layer.name()).collect();
            let mut key = KeyBuilder::new("run", 1).inputs(choice.layers.iter().map(|layer| layer.key()));
            for (layer, calls) in &choice.calls {
                names.extend(chosen(layer, calls).filter_map(|call| call.function_name()));
                key = chosen(layer, calls).map(|call| call.key()).fold(key, KeyBuilder::input);
            }
            run.own = checkpoint.run(key.finish(), &names, |target| choice.present(target), claimed)?;
            if let Some(target) = run.own.clone() {
                for layer in &choice.layers {
                    run.wrap(target.clone(), layer.key(), layer, &mut instead);
                }
                for (layer, calls) in &choice.calls {
                    let wrapped = CheckpointedCalls::new(target.clone(), layer.clone(), calls.clone());
                    run.found += wrapped.present();
                    run.missing += (chosen(layer, calls).count() as u64).saturating_sub(wrapped.present());
                    run.has_calls = true;
                    run.found_calls |= wrapped.present() > 0;
                    instead.insert(layer.key(), Arc::new(wrapped));
                }
            }
        }
        for layer in in_order(&layers) {
            let (Some(log), [open, writes]) = (layer.seals(), layer.inputs()) else { continue };
            let found = run.logs.committed(&log, claimed);
            if !found.is_empty() {
                instead.insert(writes.key(), Arc::new(Writes::new(writes.clone(), open.key(), found.into())));
            }
        }
        let layers = if instead.is_empty() { layers } else { replace(&layers, &instead, true) };
        Ok((Saving(Some(run)), layers))
    }

    /// The bytes of memory that it takes: what is known of blocks that were found, and of those that are not committed yet.
    pub(in crate::engine) fn bytes(&self) -> u64 {
        let Some(run) = &self.0 else { return 0 };
        let found: u64 = run.targets().map(|target| target.bytes()).sum();
        let encoding = if run.has_calls { ENCODING_BYTES } else { 0 };
        found + encoding + (run.missing * PENDING_BYTES).min(MOST_PENDING)
    }

    /// Whether delayed calls were found, so that others, which only those need, are not to be run.
    pub(in crate::engine) fn has_found_calls(&self) -> bool {
        self.0.as_ref().is_some_and(|run| run.found_calls)
    }

    /// What makes layers that a barrier brings find and save blocks too.
    pub(in crate::engine) fn rewrite(&self) -> Option<Rewrite> {
        let run = self.0.as_ref().filter(|run| !run.held.is_empty())?;
        let (checkpoint, target, held) = (run.checkpoint.clone(), run.own.clone()?, run.held.clone());
        Some(Arc::new(move |layers: Vec<LayerRef>| {
            let choice = choose(&checkpoint, &layers, &FxHashSet::default(), &held);
            let wrapped = choice.layers.iter().map(|layer| {
                let wrapped: LayerRef = Arc::new(Checkpointed::new(target.clone(), layer.key(), layer.clone()));
                (layer.key(), wrapped)
            });
            replace(&layers, &wrapped.collect(), true)
        }))
    }

    /// Who keeps the logs of shuffles.
    pub(in crate::engine) fn keeper(&self) -> Option<Arc<dyn Keeper>> {
        self.0.as_ref().map(|run| run.logs.clone() as Arc<dyn Keeper>)
    }

    /// What is to be said of it in the report of the run.
    pub(in crate::engine) fn notes(&self) -> Vec<String> {
        let Some(run) = &self.0 else { return Vec::new() };
        let skipped: u64 = run.targets().map(|target| target.skipped()).sum();
        let mut notes = Vec::new();
        if run.found > 0 {
            notes.push(format!("resumed: {} blocks found", run.found));
        }
        if run.logs.found() > 0 {
            notes.push(format!("resumed: {} tasks of shuffles found", run.logs.found()));
        }
        if skipped > 0 {
            notes.push(format!("{skipped} blocks were not saved in the checkpoint folder, because there was no memory for it"));
        }
        notes
    }

    /// Ends it: of a run that has succeeded only what was persisted stays, of another all that it finished.
    ///
    /// # Errors
    /// That of the run; else those of saving what was persisted.
    pub(in crate::engine) fn conclude<T>(self, outcome: Result<T>) -> Result<T> {
        let Some(run) = &self.0 else { return outcome };
        let outcome = run.logs.conclude(outcome);
        let mut saved = Ok(());
        for target in &run.persisted {
            saved = saved.and(target.keep());
        }
        if let Some(own) = &run.own {
            // What cannot be removed or saved now is what the next such run finds.
            let _ = if outcome.is_ok() { own.remove() } else { own.keep() };
        }
        let value = outcome?;
        saved.map(|()| value)
    }
}

impl Engine {
    /// What the optimiser makes of layers. With a checkpoint folder it is told the power of two below what tasks may use, so that another
    /// run with about the same memory gets the same layers.
    pub(in crate::engine) fn optimised(&self, layers: Vec<LayerRef>) -> Vec<LayerRef> {
        match &self.checkpoint {
            None => self.shared.optimise(layers),
            Some(_) => {
                let bound = self.shared.core.bound() / 8 * 7;
                optimize_within(layers, bound.checked_ilog2().map_or(0, |power| 1 << power))
            }
        }
    }
}

impl Run {
    fn targets(&self) -> impl Iterator<Item = &Arc<Target>> {
        self.persisted.iter().chain(&self.own)
    }

    fn wrap(&mut self, target: Arc<Target>, key: Key, layer: &LayerRef, instead: &mut FxHashMap<Key, LayerRef>) {
        let wrapped = Checkpointed::new(target, key, layer.clone());
        self.found += wrapped.present();
        self.missing += u64::from(layer.blocks()) - wrapped.present();
        instead.insert(layer.key(), Arc::new(wrapped));
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        for target in self.targets() {
            target.end();
            if self.claimed {
                self.checkpoint.leave(target.name());
            }
        }
    }
}
