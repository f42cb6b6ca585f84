//! The event log of an engine: each task and each chunk that moves, where the engine was given a folder for it.

use super::run::Plan;
use crate::graph::TaskTable;
use chunkstore_store::{Event, EventKind, EventWriter};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread::ThreadId;

/// Writes events, with layers numbered in the order in which runs brought them. A run goes on where its log cannot be written.
pub(crate) struct Recorder {
    log: EventWriter,
    layers: AtomicU32,
    /// The threads that were seen, in order: their places are the numbers of workers.
    threads: Mutex<Vec<ThreadId>>,
}

impl Recorder {
    pub(crate) fn new(log: EventWriter) -> Self {
        Recorder { log, layers: AtomicU32::new(0), threads: Mutex::default() }
    }

    /// Writes a description, such as how a run ended.
    pub(crate) fn describe(&self, description: &Value) {
        self.log.describe(description).ok();
    }

    /// Describes the layers of a plan; the number of its first is noted in it.
    pub(super) fn plan(&self, plan: &mut Plan, bound: u64) {
        let TaskTable { layers, .. } = &plan.table;
        plan.first_layer = self.layers.fetch_add(layers.len() as u32, Relaxed);
        let layers: Vec<Value> = layers
            .iter()
            .zip(plan.first_layer..)
            .map(|(layer, number)| json!({ "layer": number, "name": layer.name(), "key": layer.key().to_string(), "blocks": layer.blocks() }))
            .collect();
        self.describe(&json!({ "what": "run", "tasks": plan.order.len(), "bound": bound, "layers": layers }));
    }

    /// Records what happened to a task of a plan, or to its chunk.
    pub(super) fn record(&self, kind: EventKind, plan: &Plan, task: u32, bytes: u64) {
        let task = task as usize;
        let layer = plan.first_layer + plan.table.layer.get(task).copied().unwrap_or(0);
        let block = plan.table.block.get(task).copied().unwrap_or(0);
        self.log.record(Event { at_ns: self.log.now_ns(), kind, worker: self.worker(), layer, block, bytes });
    }

    fn worker(&self) -> u8 {
        let own = std::thread::current().id();
        let mut threads = self.threads.lock();
        let at = threads.iter().position(|thread| *thread == own).unwrap_or_else(|| {
            threads.push(own);
            threads.len() - 1
        });
        at.min(255) as u8
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.describe(&json!({ "what": "closed" }));
    }
}
