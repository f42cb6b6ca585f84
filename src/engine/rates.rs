//! How fast layers and disks have been: what an engine has learned for its forecasts of time.

use crate::exec::{Core, Taken};
use crate::graph::{LayerRef, TaskTable};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::sync::Arc;

/// Bytes a second that a worker gets through where nothing is known of a layer: inputs and output together.
const WORK: f64 = 4e9;

/// Bytes a second that a thread reads of a file, or reads or writes of spilled chunks, where nothing is known.
const DISK: f64 = 1.0e9;

/// What was learned counts half with each run that teaches more.
const FADE: f64 = 0.5;

/// Rates by the names of layers.
#[derive(Default)]
pub(super) struct Rates(Mutex<FxHashMap<String, (f64, f64)>>);

/// What the layers of a table move, and the seconds that this is expected to take one thread.
pub(super) struct Expected {
    /// For each layer, seconds; the last is for tasks of user graphs.
    pub(super) layers: Vec<f64>,
    /// Seconds of all tasks.
    pub(super) work: f64,
    /// Seconds of all loads of sources.
    pub(super) loads: f64,
}

impl Rates {
    /// Learns from what the layers of a run have taken.
    pub(super) fn learn(&self, names: &[Arc<str>], taken: &Taken) {
        let mut rates = self.0.lock();
        for (name, (bytes, seconds)) in names.iter().zip(taken.layers()) {
            if bytes > 0 && seconds > 0.0 {
                let (known_bytes, known_seconds) = rates.entry(name.to_string()).or_default();
                *known_bytes = *known_bytes * FADE + bytes as f64;
                *known_seconds = *known_seconds * FADE + seconds;
            }
        }
    }

    /// The seconds that the tasks of a table are expected to take.
    pub(super) fn expect(&self, table: &TaskTable) -> Expected {
        let rates = self.0.lock();
        let learned = |layer: &str| rates.get(layer).map(|(bytes, seconds)| bytes / seconds);
        let mut known: Vec<Option<f64>> = table.layers.iter().map(|layer| learned(layer.name())).collect();
        known.push(None);
        let mut expected = Expected { layers: vec![0.0; known.len()], work: 0.0, loads: 0.0 };
        for task in 0..table.len() {
            let source = table.source.get(task).copied().unwrap_or(false);
            let layer = table.layer.get(task).map_or(usize::MAX, |layer| *layer as usize).min(known.len() - 1);
            let out = |task: u32| table.out.get(task as usize).copied().unwrap_or(0);
            let moved = out(task as u32) + table.inputs_of(task as u32).iter().map(|input| out(*input)).sum::<u64>();
            let usual = if source { DISK } else { WORK };
            let seconds = moved as f64 / known.get(layer).copied().flatten().unwrap_or(usual);
            if let Some(place) = expected.layers.get_mut(layer) {
                *place += seconds;
            }
            *if source { &mut expected.loads } else { &mut expected.work } += seconds;
        }
        expected
    }
}

impl Rates {
    /// Decides for each task without inputs whether its chunk is made again where it was evicted, or spilled: by what either costs, as measured, or at usual
    /// rates. What is made again is a source to the policy. Only functions that give the same each time are called again.
    pub(super) fn settle_sources(&self, table: &mut TaskTable, core: &Core) {
        // Where everything has room, nothing is evicted.
        if table.out.iter().fold(0u64, |sum, out| sum.saturating_add(*out)) <= core.bound() / 2 {
            return;
        }
        let rates = self.0.lock();
        let again = |layer: &LayerRef| {
            let usual = if layer.is_source() { DISK } else { WORK };
            let rate = rates.get(layer.name()).map_or(usual, |(bytes, seconds)| bytes / seconds);
            let portable = layer.is_source() || layer.operator().parameters().is_some();
            // Making a byte again, against writing and reading it.
            portable && 1.0 / rate < 1.0 / rate_of(core.moved.written.get()) + 1.0 / rate_of(core.moved.read.get())
        };
        let again: Vec<bool> = table.layers.iter().map(|layer| layer.inputs().is_empty() && again(layer)).collect();
        for task in 0..table.len() {
            let layer = table.layer.get(task).map_or(usize::MAX, |layer| *layer as usize);
            let at_hand = table.is_at_hand(task as u32);
            // Memory of the user's is no copy, and is not spilled.
            if table.inputs_of(task as u32).is_empty()
                && !at_hand
                && let (Some(source), Some(again)) = (table.source.get_mut(task), again.get(layer))
            {
                *source = *again;
            }
        }
    }
}

/// Bytes a second, as measured, or as usual where nothing was.
fn rate_of((bytes, seconds): (u64, f64)) -> f64 {
    if bytes > 0 && seconds > 0.0 { bytes as f64 / seconds } else { DISK }
}

/// The seconds that one thread is expected to take for writing and for reading back so many bytes of chunks.
pub(super) fn spilling(core: &Core, written: u64, read: u64) -> f64 {
    written as f64 / rate_of(core.moved.written.get()) + read as f64 / rate_of(core.moved.read.get())
}
