//! From lazy collections to results.

use super::several::{Computable, Part};
use super::{Engine, Explain, RunReport};
use crate::exec::{Executed, HeldLayer, Plan, Shared};
use crate::graph::{LayerRef, Lowering, TaskTable};
use crate::plan::{self, NOT_KEPT, Planned, Situation};
use crate::report::Progress;
use crate::{Error, ErrorKind, Persist, Result};
use chunkstore_store::Booking;
use parking_lot::MutexGuard;
use std::sync::Arc;

/// The bytes that a task takes in tables, apart from its edges.
const BYTES_A_TASK: u64 = 176;

/// Runs with fewer bytes than this are not worth a forecast that nobody asked for.
const SMALL: u64 = 16 << 20;

/// Bytes set aside for as long as this lives.
struct Reservation<'a> {
    shared: &'a Shared,
    bytes: u64,
    _booking: Booking,
}

impl<'a> Reservation<'a> {
    fn new(shared: &'a Shared, bytes: u64) -> Result<Self> {
        let booking = shared.core.arena.ledger().book(bytes)?;
        shared.core.reserve(bytes);
        Ok(Reservation { shared, bytes, _booking: booking })
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        self.shared.core.unreserve(self.bytes);
    }
}

impl Engine {
    /// Computes one or several collections together; work that they share is done once.
    ///
    /// The results are booked before anything runs, and belong to the caller when this returns.
    ///
    /// # Errors
    /// The first error of a chain that made a collection; out of memory where a result or a task does not fit, with what
    /// to do about it; whatever a task meets. An error ends the run, and nothing of it is left behind.
    pub fn compute<C: Computable + ?Sized>(&self, collections: &C) -> Result<C::Output> {
        Shared::refuse_nested()?;
        let mut parts = Vec::new();
        let finish = collections.parts(&mut parts)?;
        let result_bytes: u64 = parts.iter().map(|part| part.bytes).sum();
        let results = self.reserve_results(result_bytes)?;
        let mut layers = Vec::with_capacity(parts.len());
        for Part { layer, begin, .. } in parts {
            begin()?;
            layers.push(layer);
        }
        let (table, _) = lower(layers)?;
        self.run(table, &[], result_bytes)?;
        let output = finish()?;
        drop(results);
        Ok(output)
    }

    /// Computes a collection and keeps its blocks, in memory while there is room and in the scratch folder otherwise. The
    /// collection that is given back computes from them.
    ///
    /// # Errors
    /// As [`Engine::compute`].
    pub fn persist<C: Persist>(&self, collection: &C) -> Result<C> {
        Shared::refuse_nested()?;
        let layer = collection.layer()?;
        let (table, roots) = lower(vec![layer.clone()])?;
        let executed = self.run(table, &roots, 0)?;
        if executed.kept.len() != roots.len() {
            return Err(Error::new(ErrorKind::Invalid, "a persisted block is missing; this is a defect of the engine"));
        }
        Ok(collection.with_layer(Arc::new(HeldLayer::new(&layer, executed.kept))))
    }

    /// Forecasts a computation: tasks, peak memory, bytes read, spilled and read back, by running the policy against sizes.
    ///
    /// # Errors
    /// The first error of a chain that made a collection; out of memory where a result or a task does not fit.
    pub fn explain<C: Computable + ?Sized>(&self, collections: &C) -> Result<Explain> {
        let mut parts = Vec::new();
        let _ = collections.parts(&mut parts)?;
        let result_bytes: u64 = parts.iter().map(|part| part.bytes).sum();
        let results = self.reserve_results(result_bytes)?;
        let (table, _) = lower(parts.into_iter().map(|part| part.layer).collect())?;
        let (explain, _, planning) = self.plan(&table, &[], result_bytes, true)?;
        drop(planning);
        drop(results);
        Ok(explain)
    }

    fn reserve_results(&self, bytes: u64) -> Result<Reservation<'_>> {
        Reservation::new(&self.shared, bytes).map_err(|error| {
            let mib = super::memory::show_bytes;
            let message = format!("the result takes {}, and the bound leaves {}", mib(bytes), mib(self.memory_for_tasks()));
            let hint = "write it to a file instead (`to_npy`), compute a part of it (`slice`), reduce it, or give the engine more memory";
            if bytes > 0 { Error::new(ErrorKind::OutOfMemory, message).hint(hint) } else { error }
        })
    }

    /// Plans a table on this engine as it stands; the guard keeps others from planning until the run has begun.
    fn plan(&self, table: &TaskTable, keep: &[u32], result_bytes: u64, forecast: bool) -> Result<(Explain, Planned, MutexGuard<'_, ()>)> {
        let planning = self.shared.plan_alone();
        let (bound, base, kept_chunks) = self.shared.core.situation();
        let kept = self.kept_numbers(table)?;
        let settings = self.shared.core.settings;
        let situation = Situation {
            bound,
            base,
            kept: &kept_chunks,
            workers: settings.threads as u32,
            io_threads: settings.io_threads.max(1) as u32,
            forecast,
        };
        let planned = plan::plan(table, &kept, keep, &situation);
        let bytes_of = |chunk: u32| kept_chunks.binary_search_by_key(&chunk, |(id, _)| *id).map_or(0, |at| kept_chunks[at].1.bytes);
        let (least, largest) = planned.numbered.batch.largest_need(base, bytes_of);
        if least > bound {
            let task = planned.numbered.order.get(largest as usize).copied().unwrap_or(0);
            return Err(plan::does_not_fit(table, task, least, bound, &self.shared.core.arena));
        }
        let mut explain = Explain {
            memory: self.memory(),
            memory_for_tasks: bound,
            tasks: table.source.iter().filter(|source| !**source).count() as u64,
            sources: table.source.iter().filter(|source| **source).count() as u64,
            result_bytes,
            peak_bytes: planned.numbered.batch.out.iter().sum::<u64>() + result_bytes,
            least_bytes: least,
            spilled_bytes: 0,
            reread_bytes: 0,
            read_bytes: table.load.iter().sum(),
            read_again_bytes: 0,
            seconds: 0.0,
            exact: table.exact.iter().all(|exact| *exact),
            order: planned.chosen,
            layers: Explain::layers_of(table),
        };
        if let Some(forecast) = &planned.forecast {
            explain.set_forecast(forecast);
        }
        Ok((explain, planned, planning))
    }

    /// For each task that stands for a chunk of a persisted collection, the chunk's number; empty where there are none.
    fn kept_numbers(&self, table: &TaskTable) -> Result<Vec<u32>> {
        let held: Vec<Option<&HeldLayer>> = table.layers.iter().map(|layer| layer.as_any().downcast_ref()).collect();
        if held.iter().all(Option::is_none) {
            return Ok(Vec::new());
        }
        let number = |task: usize| match held.get(table.layer[task] as usize) {
            Some(Some(layer)) => layer.id_of(table.block[task], &self.shared),
            _ => Ok(NOT_KEPT),
        };
        (0..table.len()).map(number).collect()
    }

    /// Runs a table; `keep` are the tasks whose outputs are wanted.
    pub(super) fn run(&self, table: TaskTable, keep: &[u32], result_bytes: u64) -> Result<Executed> {
        let graph_bytes = table.len() as u64 * BYTES_A_TASK + table.inputs.len() as u64 * 16;
        let graph = if table.len() > 1000 { Some(self.reserve_graph(graph_bytes, table.len())?) } else { None };
        let moved: u64 = table.out.iter().sum::<u64>() + table.load.iter().sum::<u64>();
        // Unit tests share a process: each would take the others' memory for the program's own.
        if moved > SMALL && !cfg!(test) {
            self.shared.core.remeasure()?;
        }
        let (explain, planned, planning) = self.plan(&table, keep, result_bytes, moved > SMALL)?;
        let plan = Plan::new(table, planned.numbered);
        let progress = Progress::begin(self.progress, &self.shared.core, plan.order.len() as u64);
        let executed = self.shared.execute(plan, keep, planning);
        progress.end();
        let executed = executed?;
        *self.last.lock() = Some(RunReport::new(explain, executed.facts));
        drop(graph);
        Ok(executed)
    }

    fn reserve_graph(&self, bytes: u64, tasks: usize) -> Result<Reservation<'_>> {
        Reservation::new(&self.shared, bytes).map_err(|_| {
            let message = format!("a graph of {tasks} tasks takes {}, more than the bound leaves", super::memory::show_bytes(bytes));
            Error::new(ErrorKind::OutOfMemory, message).hint("use larger chunks, or give the engine more memory")
        })
    }
}

/// The tasks for every block of some layers, after the optimiser's passes, and the numbers of those blocks.
fn lower(layers: Vec<LayerRef>) -> Result<(TaskTable, Vec<u32>)> {
    let layers = crate::optimize::optimize(layers);
    let mut lowering = Lowering::new();
    let mut roots = Vec::new();
    for layer in &layers {
        for block in 0..layer.blocks() {
            roots.push(lowering.want(layer, block)?);
        }
    }
    Ok((lowering.finish(), roots))
}
