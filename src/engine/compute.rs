//! From lazy collections to results.

use super::checkpoint::Saving;
use super::curve::Curve;
use super::rates;
use super::several::{Computable, Part};
use super::{Engine, Explain, RunReport, Scheduler};
use crate::exec::{Callback, Executed, HeldLayer, Lowered, Plan, Prepared, Progressed, RunInfo, Shared, lower};
use crate::report::Progress;
use crate::{Error, ErrorKind, Persist, Result};
use chunkstore_store::Booking;
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// The bytes that a task takes in tables, apart from its edges.
const BYTES_A_TASK: u64 = 176;

/// Runs with fewer bytes than this are not worth a forecast that nobody asked for.
const SMALL: u64 = 16 << 20;

/// Runs and results of fewer bytes than this do not have the process measured.
const MEASURED: u64 = 4 << 20;

/// Bytes set aside for as long as this lives.
struct Reservation<'a> {
    shared: &'a Shared,
    bytes: u64,
    _booking: Booking,
}

impl<'a> Reservation<'a> {
    fn new(shared: &'a Shared, bytes: u64) -> Result<Self> {
        let booking = shared.core.arena.ledger().book(bytes)?;
        shared.core.reserve(bytes)?;
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
    ///
    /// ```
    /// use chunkstore::{Engine, array::Array};
    /// let engine = Engine::builder().memory("256MiB").build()?;
    /// let x = Array::<f64>::linspace(0.0, 1.0, 1001, 100);
    /// let (mean, square) = engine.compute((x.mean(..).item_collection(), &x * &x))?;
    /// assert_eq!((mean, square[[1000]]), (0.5, 1.0));
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    pub fn compute<C: Computable>(&self, collections: C) -> Result<C::Output> {
        Shared::refuse_nested()?;
        let mut parts = Vec::new();
        let finish = collections.parts(&mut parts)?;
        let result_bytes: u64 = parts.iter().map(|part| part.bytes).sum();
        self.remeasure(result_bytes)?;
        let results = self.reserve_results(result_bytes)?;
        let mut layers = Vec::with_capacity(parts.len());
        for Part { layer, begin, .. } in parts {
            begin()?;
            layers.push(layer);
        }
        let (saving, layers) = Saving::new(self.checkpoint.as_ref(), self.optimised(layers), &[])?;
        let executed = self.run_saving(lower(layers, |layers| layers)?, &[], result_bytes, &saving);
        let output = saving.conclude(executed.and_then(|_| finish()))?;
        drop(results);
        self.handed_over.fetch_add(result_bytes, Relaxed);
        Ok(output)
    }

    /// Computes a collection and keeps its blocks, in memory while there is room and in the scratch folder otherwise. The
    /// collection that is given back computes from them. With a checkpoint folder they are saved there too, and found there:
    /// see [`super::EngineBuilder::checkpoint`].
    ///
    /// # Errors
    /// As [`Engine::compute`].
    ///
    /// ```
    /// use chunkstore::{Engine, array::Array};
    /// let engine = Engine::builder().memory("256MiB").build()?;
    /// let x = engine.persist(&Array::<f64>::linspace(0.0, 1.0, 1001, 100).sqrt())?;
    /// // The roots are not taken again.
    /// let (least, most) = engine.compute((x.min(..).item_collection(), x.max(..).item_collection()))?;
    /// assert_eq!((least, most), (0.0, 1.0));
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    pub fn persist<C: Persist>(&self, collection: &C) -> Result<C> {
        Shared::refuse_nested()?;
        let layer = collection.layer()?;
        let (saving, layers) = Saving::new(self.checkpoint.as_ref(), self.optimised(vec![layer.clone()]), &[layer.key()])?;
        let lowered = lower(layers, |layers| layers)?;
        let roots = lowered.roots.clone();
        let executed = self.run_saving(lowered, &roots, 0, &saving);
        // What was finished is kept, whatever became of the run.
        let executed = saving.conclude(executed)?;
        if executed.kept.len() != roots.len() {
            return Err(Error::new(ErrorKind::Invalid, "a persisted block is missing; this is a defect of the engine"));
        }
        Ok(collection.with_layer(Arc::new(HeldLayer::new(&layer, executed.kept))))
    }

    /// Forecasts a computation: tasks, peak memory, bytes read, spilled and read back, by running the policy against sizes.
    ///
    /// # Errors
    /// The first error of a chain that made a collection; out of memory where a result or a task does not fit.
    ///
    /// ```
    /// use chunkstore::{Engine, array::Array};
    /// let engine = Engine::builder().memory("256MiB").build()?;
    /// let explain = engine.explain(&Array::<f64>::ones([100_000_000], 1_000_000).sum(..))?;
    /// assert!(explain.exact && explain.spilled_bytes == 0 && explain.peak_bytes < engine.memory());
    /// println!("{explain}");
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    pub fn explain<C: Computable>(&self, collections: C) -> Result<Explain> {
        Shared::refuse_nested()?;
        let mut parts = Vec::new();
        let _ = collections.parts(&mut parts)?;
        let result_bytes: u64 = parts.iter().map(|part| part.bytes).sum();
        let results = self.reserve_results(result_bytes)?;
        let layers = self.optimised(parts.into_iter().map(|part| part.layer).collect());
        let (saving, layers) = Saving::look(self.checkpoint.as_ref(), layers)?;
        let lowered = lower(layers, |layers| layers)?;
        let prepared = self.shared.prepare(&lowered.table, &[], &lowered.barriers, true)?;
        let mut explain = self.explain_plan(&lowered, &prepared, result_bytes);
        let outside = explain.memory.saturating_sub(prepared.bound);
        let situation = prepared.situation;
        drop((prepared.planning, results, saving));
        if let Some(situation) = situation {
            explain.settle(Curve::new(lowered, situation, outside));
        }
        Ok(explain)
    }

    fn reserve_results(&self, bytes: u64) -> Result<Reservation<'_>> {
        Reservation::new(&self.shared, bytes).map_err(|error| {
            let mib = super::memory::show_bytes;
            let message = format!("the result takes {}, and the bound leaves {}", mib(bytes), mib(self.memory_for_tasks()));
            let hint = "write it to a file instead (`to_npy`), compute a part of it (`slice`), reduce it, or give the engine more memory";
            let own = self.shared.core.is_idle();
            if bytes > 0 && own { Error::new(ErrorKind::OutOfMemory, message).hint(hint) } else { error }
        })
    }

    fn explain_plan(&self, lowered: &Lowered, prepared: &Prepared<'_>, result_bytes: u64) -> Explain {
        let (table, planned) = (&lowered.table, &prepared.planned);
        let expected = self.rates.expect(table);
        let mut explain = Explain {
            memory: self.memory(),
            memory_for_tasks: prepared.bound,
            tasks: table.source.iter().filter(|source| !**source).count() as u64,
            sources: table.source.iter().filter(|source| **source).count() as u64,
            result_bytes,
            peak_bytes: planned.numbered.batch.out.iter().sum::<u64>() + result_bytes,
            peak_range: None,
            least_bytes: prepared.least,
            spilled_bytes: 0,
            reread_bytes: 0,
            read_bytes: table.load.iter().sum(),
            read_again_bytes: 0,
            seconds: 0.0,
            exact: lowered.barriers.is_empty() && table.exact.iter().all(|exact| *exact),
            order: planned.chosen,
            layers: Explain::layers_of(table, &planned.numbered, planned.forecast.as_ref(), &expected.layers),
            curve: None,
        };
        if let Some(forecast) = &planned.forecast {
            explain.set_forecast(forecast);
            explain.peak_bytes = self.peak_of(prepared, forecast.booked_bytes);
        }
        let again = explain.read_again_bytes as f64 / explain.read_bytes.max(1) as f64;
        let io = expected.loads * (1.0 + again) + rates::spilling(&self.shared.core, explain.spilled_bytes, explain.reread_bytes);
        let settings = &self.shared.core.settings;
        explain.seconds = (expected.work / self.threads().max(1) as f64).max(io / settings.io_threads.max(1) as f64);
        explain
    }

    /// The most that the ledger will count while a run has `booked` bytes at the most: that, and what is booked now beside what such a run begins
    /// with. Memory is given back a moment after it is counted as free, so that each thread may have a chunk more; the ledger's limit holds
    /// in any case.
    fn peak_of(&self, prepared: &Prepared<'_>, booked: u64) -> u64 {
        let arena = &self.shared.core.arena;
        let late =
            prepared.planned.numbered.batch.out.iter().max().copied().unwrap_or(0) * self.shared.core.settings.threads_in_all() as u64;
        let beside = arena.ledger().used().saturating_sub(arena.idle()).saturating_sub(prepared.resident);
        (beside + booked + late).min(arena.ledger().limit())
    }

    /// Runs tasks; `keep` are those whose outputs are wanted.
    pub(super) fn run(&self, lowered: Lowered, keep: &[u32], result_bytes: u64) -> Result<Executed> {
        self.run_saving(lowered, keep, result_bytes, &Saving::default())
    }

    /// The same, where layers are being saved.
    pub(super) fn run_saving(&self, lowered: Lowered, keep: &[u32], result_bytes: u64, saving: &Saving) -> Result<Executed> {
        let found = saving.bytes();
        let _found = if found > 0 { Some(Reservation::new(&self.shared, found)?) } else { None };
        if self.callbacks.is_empty() {
            return self.run_told(lowered, keep, result_bytes, saving, &mut |_| Ok(()));
        }
        let names: Vec<Arc<str>> = lowered.table.layers.iter().map(|layer| layer.name().into()).collect();
        let tasks = lowered.table.len() as u64;
        let about = |memory_for_tasks: u64, tell: &dyn Fn(&dyn Callback, &RunInfo<'_>)| {
            self.callbacks.tell(|callback| tell(callback, &RunInfo { tasks, layers: &names, memory_for_tasks }))
        };
        about(0, &|callback, run| callback.start(run))?;
        let mut bound = 0;
        let executed = self.run_told(lowered, keep, result_bytes, saving, &mut |memory_for_tasks| {
            bound = memory_for_tasks;
            about(bound, &|callback, run| callback.start_state(run))
        });
        let told = about(bound, &|callback, run| callback.finish(run, executed.as_ref().err()));
        let executed = executed?;
        told?;
        Ok(executed)
    }

    /// Runs tasks, and says when they have been planned.
    fn run_told(
        &self,
        lowered: Lowered,
        keep: &[u32],
        result_bytes: u64,
        saving: &Saving,
        planned: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<Executed> {
        let table = &lowered.table;
        let graph_bytes = table.len() as u64 * BYTES_A_TASK + table.inputs.len() as u64 * 16;
        let graph = if table.len() > 1000 { Some(self.reserve_graph(graph_bytes, table.len())?) } else { None };
        let moved: u64 = table.out.iter().sum::<u64>() + table.load.iter().sum::<u64>();
        self.remeasure(moved)?;
        let prepared = self.shared.prepare(table, keep, &lowered.barriers, moved > SMALL)?;
        let explain = self.explain_plan(&lowered, &prepared, result_bytes);
        planned(prepared.bound)?;
        let names: Vec<Arc<str>> = table.layers.iter().map(|layer| layer.name().into()).collect();
        let mut plan = Plan::new(lowered.table, prepared.planned.numbered, lowered.barriers);
        plan.callbacks = self.callbacks.clone();
        plan.rewrite = saving.rewrite();
        let (taken, run) = (plan.taken.clone(), Arc::new(Progressed::default()));
        let progress = Progress::begin(self.progress, &self.shared.core, plan.order.len(), &run, || what(&names));
        let executed = self.shared.execute(plan, keep, self.scheduler() == Scheduler::Sync, run, prepared.planning);
        progress.end();
        self.rates.learn(&names, &taken);
        self.shared.core.recorder.describe(&match &executed {
            Ok(executed) => {
                json!({ "what": "end", "ended": "done", "seconds": executed.facts.seconds, "peak": executed.facts.peak_bytes })
            }
            Err(error) => json!({ "what": "end", "ended": "failed", "error": error.to_string() }),
        });
        let mut executed = executed?;
        executed.notes.extend(saving.notes());
        *self.last.lock() = Some(RunReport::new(explain, executed.facts, std::mem::take(&mut executed.notes)));
        drop(graph);
        Ok(executed)
    }

    /// Measures what the process holds beside what is booked, where that may matter: before a run that is not small, and when
    /// results have been handed over since the last time.
    fn remeasure(&self, moved: u64) -> Result<()> {
        let handed_over = self.handed_over.load(Relaxed);
        if moved.saturating_add(handed_over) <= MEASURED {
            return Ok(());
        }
        self.shared.core.remeasure()?;
        self.handed_over.fetch_sub(handed_over, Relaxed);
        Ok(())
    }

    fn reserve_graph(&self, bytes: u64, tasks: usize) -> Result<Reservation<'_>> {
        Reservation::new(&self.shared, bytes).map_err(|_| {
            let message = format!("a graph of {tasks} tasks takes {}, more than the bound leaves", super::memory::show_bytes(bytes));
            Error::new(ErrorKind::OutOfMemory, message).hint("use larger chunks, or give the engine more memory")
        })
    }
}

/// What a run computes, in a few letters: the name of its last layer that is no sink.
fn what(names: &[Arc<str>]) -> String {
    let named = names.iter().rev().find(|name| !matches!(&***name, "collect" | "to_npy"));
    named.or(names.last()).map_or_else(|| "graph".to_string(), |name| name.chars().take(16).collect())
}
