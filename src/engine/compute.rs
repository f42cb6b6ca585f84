//! From lazy collections to results.

use super::cache::OwnedReservation;
use super::checkpoint::Saving;
use super::curve::{Again, Booked, Curve, Made, Outside, Source, Tasks};
use super::rates;
use super::roots::{Roots, Values, each_once};
use super::several::{Computable, Persistable};
use super::{Engine, Explain, RunReport, Scheduler};
use crate::exec::{
    Callback, Executed, HeldLayer, Lowered, Plan, Prepared, Progressed, RunInfo, Shared, lower_optimised, optimised, settle_held,
};
use crate::graph::{Key, LayerRef, LinkedLayers, TaskTable};
use crate::plan::{self, SizeRange};
use crate::policy::Class;
use crate::report::Progress;
use crate::{Error, ErrorKind, Kept, Result};
use chunkstore_store::{Arena, Booking};
use serde_json::json;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

/// The bytes that a task takes in tables, apart from its edges.
const BYTES_A_TASK: u64 = 192;

/// The part of it that is there before the run, at the least.
const BYTES_MADE: u64 = 64;

/// What a part of a computation takes while it runs, beside its task, and what its value does.
const BYTES_A_PART: u64 = 256;
const BYTES_A_VALUE: u64 = 96;

/// The process is looked at no more often than this for what it has come to hold.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// Tables of so many tasks are not booked.
const SMALL_GRAPH: usize = 1000;

/// Runs with fewer bytes than this are not worth a forecast that nobody asked for, unless their tasks move so much that the forecast takes nothing beside them.
const SMALL: u64 = 16 << 20;
const HEAVY: u64 = 128 << 10;

/// After a run that took fewer seconds than this nobody looks what the process has taken.
const LOOKED: f64 = 0.01;

/// Runs and results of fewer bytes than this do not have the process measured.
const MEASURED: u64 = 4 << 20;

/// Bytes set aside for as long as this lives.
pub(super) struct Reservation<'a> {
    shared: &'a Shared,
    bytes: u64,
    /// None where what they are for is booked when it is needed.
    _booking: Option<Booking>,
}

impl<'a> Reservation<'a> {
    pub(super) fn new(shared: &'a Shared, bytes: u64) -> Result<Self> {
        let booking = shared.core.arena.ledger().book(bytes)?;
        shared.core.reserve(bytes)?;
        Ok(Reservation { shared, bytes, _booking: Some(booking) })
    }

    /// Bytes that tasks are to leave free.
    fn unbooked(shared: &'a Shared, bytes: u64) -> Result<Self> {
        shared.core.reserve(bytes)?;
        Ok(Reservation { shared, bytes, _booking: None })
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
        self.remeasure(result_bytes + parts.len() as u64 * BYTES_A_PART)?;
        let results = self.or_without_cache(|| self.reserve_results(result_bytes + values_of(parts.len())))?;
        let mut roots = Roots::begin(parts)?;
        let linked = optimised(std::mem::take(&mut roots.layers), |layers| self.cached(self.optimised(layers)))?;
        let (saving, linked) = self.saving(linked, |layers| Saving::new(self.checkpoint.as_ref(), layers, &[]))?;
        let lowered = lower_optimised(&linked)?;
        let wanted = roots.tasks(&lowered.roots)?;
        let tasks = each_once(&wanted);
        let executed = self.run_saving(lowered, &tasks, result_bytes, &saving);
        let mut handed_over = 0;
        let finished = executed.and_then(|executed| {
            let mut values = Values::new(&self.shared, tasks, executed.kept, wanted);
            let output = finish(&mut Kept::new(&mut values))?;
            handed_over = values.handed_over;
            Ok(output)
        });
        let output = saving.conclude(finished)?;
        drop(results);
        self.handed_over.fetch_add(result_bytes + handed_over, Relaxed);
        Ok(output)
    }

    /// Computes one or several collections together and keeps their blocks, in memory while there is room and in the scratch folder otherwise. The
    /// collections that are given back compute from them. With a checkpoint folder they are saved there too, and found there:
    /// see [`super::EngineBuilder::checkpoint`].
    ///
    /// # Errors
    /// As [`Engine::compute`].
    ///
    /// ```
    /// use chunkstore::{Engine, array::Array, delayed::delayed};
    /// let engine = Engine::builder().memory("256MiB").build()?;
    /// let roots = Array::<f64>::linspace(0.0, 1.0, 1001, 100).sqrt();
    /// let half = delayed(|| 0.5f64).call(());
    /// let (x, half) = engine.persist((&roots, &half))?;
    /// // The roots are not taken again.
    /// let (least, most, half) = engine.compute((x.min(..).item_collection(), x.max(..).item_collection(), half))?;
    /// assert_eq!((least, most, half), (0.0, 1.0, 0.5));
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    pub fn persist<C: Persistable>(&self, collections: C) -> Result<C::Output> {
        Shared::refuse_nested()?;
        let mut layers = Vec::new();
        collections.layers(&mut layers)?;
        let keys: Vec<Key> = layers.iter().map(|layer| layer.key()).collect();
        let linked = optimised(layers.clone(), |layers| self.cached(self.optimised(layers)))?;
        let (saving, linked) = self.saving(linked, |layers| Saving::new(self.checkpoint.as_ref(), layers, &keys))?;
        let lowered = lower_optimised(&linked)?;
        let roots = lowered.roots.clone();
        let executed = self.run_saving(lowered, &roots, 0, &saving);
        // What was finished is kept, whatever became of the run.
        let executed = saving.conclude(executed)?;
        if executed.kept.len() != roots.len() {
            return Err(Error::new(ErrorKind::Invalid, "a persisted block is missing; this is a defect of the engine"));
        }
        let mut kept = executed.kept.into_iter();
        let held = |layer: &LayerRef| Arc::new(HeldLayer::new(layer, kept.by_ref().take(layer.blocks() as usize).collect())) as LayerRef;
        let held: Vec<LayerRef> = layers.iter().map(held).collect();
        collections.rebuilt(&mut held.into_iter())
    }

    /// The same collections with their layers as the engine would run them: what is done in one pass over a block is one layer, and slices stand where the
    /// source is read. Nothing is computed. [`Array::graph`](crate::array::Array::graph) shows what has become of them.
    ///
    /// # Errors
    /// The first error of a chain that made a collection.
    ///
    /// ```
    /// use chunkstore::{Engine, array::Array};
    /// let engine = Engine::builder().memory("256MiB").build()?;
    /// let x = (Array::<f64>::ones([100], 10) + 1.0).sqrt().exp();
    /// let y = engine.optimize(&x)?;
    /// assert!(y.graph()?.len() < x.graph()?.len());
    /// assert_eq!(engine.compute(&y)?, engine.compute(&x)?);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    pub fn optimize<C: Persistable>(&self, collections: C) -> Result<C::Output> {
        let mut layers = Vec::new();
        collections.layers(&mut layers)?;
        let optimised = optimised(layers, |layers| self.shared.optimise(layers))?;
        collections.rebuilt(&mut optimised.layers.into_iter())
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
        self.remeasure(result_bytes + parts.len() as u64 * BYTES_A_PART)?;
        let results = self.or_without_cache(|| self.reserve_results(result_bytes + values_of(parts.len())))?;
        let mut roots = Roots::new(parts.into_iter().map(|part| (part.layer, part.keep)).collect());
        let layers = std::mem::take(&mut roots.layers);
        let before = layers.clone();
        let linked = optimised(layers, |layers| self.cached(self.optimised(layers)))?;
        let (saving, linked) = self.saving(linked, |layers| Saving::look(self.checkpoint.as_ref(), layers))?;
        let mut lowered = lower_optimised(&linked)?;
        settle_held(&mut lowered.table, self.shared.core.arena.ledger().limit());
        self.rates.settle_sources(&mut lowered.table, &self.shared.core);
        let keep = each_once(&roots.tasks(&lowered.roots)?);
        let sizes = self.sizes.expect(&lowered.table);
        self.shared.core.recorder.expect(&lowered.table, &self.shared.core);
        let (graph, stages) = (self.reserve_graph(&lowered.table)?, self.reserve_stages(&lowered.table)?);
        let prepared = self.shared.prepare(&lowered.table, &keep, &lowered.barriers, true, sizes.as_deref())?;
        let mut explain = self.explain_plan(&lowered, &prepared, result_bytes);
        if explain.exact && !is_worth(moved(&lowered.table), lowered.table.len()) {
            // It will not be held to a forecast.
            explain.peak_bytes = explain.peak_bytes.max(self.most_of(&prepared, true));
        }
        let outside = self.outside();
        let everything_of = lowered.table.out.iter().chain(&lowered.table.scratch).sum();
        let count = lowered.table.len();
        let situation = prepared.situation;
        drop((prepared.planning, results, saving, graph, stages));
        if let Some(situation) = situation {
            let tables = booked_for_graph(&lowered.table);
            let source = match self.again(before, roots) {
                Some(again) => Some(Source::Again(again)),
                None => book_tables(&self.shared, &lowered.table)
                    .ok()
                    .map(|booked| Source::Kept { table: Box::new(lowered.table), _booked: booked }),
            };
            let tasks = Tasks { tables, everything: everything_of, count };
            explain.curve = source.map(|source| Arc::new(Curve::new(tasks, source, situation, outside)));
        }
        Ok(explain)
    }

    /// What of the bound is not for tasks, as things stand.
    fn outside(&self) -> Outside {
        Outside { shared: self.shared.clone(), reserved: self.shared.core.reserved() }
    }

    /// Makes the tasks of layers again, as they would be with another bound; nothing where more than the bound decides about them.
    fn again(&self, layers: Vec<LayerRef>, roots: Roots) -> Option<Again> {
        if self.cache.is_some() || self.checkpoint.is_some() {
            return None;
        }
        let (shared, rates) = (self.shared.clone(), self.rates.clone());
        Some(Box::new(move |bound| {
            let linked = optimised(layers.clone(), |layers| shared.optimise_within(layers, bound)).ok()?;
            let mut lowered = lower_optimised(&linked).ok()?;
            settle_held(&mut lowered.table, shared.core.arena.ledger().limit());
            rates.settle_sources(&mut lowered.table, &shared.core);
            let keep = each_once(&roots.tasks(&lowered.roots).ok()?);
            let (numbers, keep) = shared.places(&lowered.table, &keep, &lowered.barriers).ok()?;
            let booked = book_tables(&shared, &lowered.table).ok()?;
            Some(Made { table: lowered.table, numbers, keep, _booked: booked })
        }))
    }

    /// The layers with those that are in the cache taken from there.
    fn cached(&self, layers: Vec<LayerRef>) -> Vec<LayerRef> {
        match &self.cache {
            Some(cache) => cache.find(layers),
            None => layers,
        }
    }

    /// Layers that have gone through the optimiser's passes, with those worth saving as ones that find and save blocks.
    fn saving(
        &self,
        linked: LinkedLayers,
        prepare: impl FnOnce(Vec<LayerRef>) -> Result<(Saving, Vec<LayerRef>)>,
    ) -> Result<(Saving, LinkedLayers)> {
        let LinkedLayers { tasks, mut layers } = linked;
        let count = layers.len();
        layers.extend(tasks);
        let (saving, mut layers) = prepare(layers)?;
        let mut tasks = layers.split_off(count);
        if saving.has_found_calls() {
            // What only found calls need is not wanted; the results say what is.
            tasks.clear();
        }
        Ok((saving, LinkedLayers { tasks, layers }))
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

    /// The bytes, about, that go through the append logs of a run, and whether that is known of all from the last time.
    fn shuffled(&self, table: &TaskTable) -> (u64, bool) {
        let shuffles = &self.shared.core.spill.room().shuffles;
        table.layers.iter().filter_map(|layer| layer.shuffles()).fold((0, true), |(sum, known), (log, most)| match shuffles.of(log) {
            Some(bytes) => (sum.saturating_add(bytes), known),
            None => (sum.saturating_add(most), false),
        })
    }

    fn explain_plan(&self, lowered: &Lowered, prepared: &Prepared<'_>, result_bytes: u64) -> Explain {
        let (table, planned) = (&lowered.table, &prepared.planned);
        let expected = self.rates.expect(table);
        let shuffled = self.shuffled(table);
        let mut explain = Explain {
            memory: self.memory(),
            memory_for_tasks: prepared.bound,
            tasks: table.source.iter().filter(|source| !**source).count() as u64,
            sources: table.source.iter().filter(|source| **source).count() as u64,
            result_bytes,
            peak_bytes: 0,
            peak_range: None,
            least_bytes: prepared.least,
            spilled_bytes: 0,
            reread_bytes: 0,
            read_bytes: table.load.iter().sum(),
            shuffled_bytes: shuffled.0,
            shuffles_known: shuffled.1,
            read_again_bytes: 0,
            seconds: 0.0,
            exact: lowered.barriers.is_empty() && table.exact.iter().all(|exact| *exact),
            order: planned.chosen,
            layers: Explain::layers_of(table, &planned.numbered, planned.forecast.as_ref(), &expected.layers),
            curve: None,
        };
        match &planned.forecast {
            Some(forecast) => {
                explain.set_forecast(forecast);
                explain.peak_bytes = match explain.exact {
                    true => self.exact_peak_of(prepared, forecast.booked_bytes, forecast.beside_bytes),
                    false => self.peak_of(prepared, forecast.booked_bytes),
                };
            }
            // Nothing was simulated, as little is moved: no more can be booked than everything at once.
            None => explain.peak_bytes = self.most_of(prepared, explain.exact),
        }
        if !explain.exact {
            let (least, most) = planned.range.unwrap_or((0, None));
            let most = most.filter(|_| lowered.barriers.is_empty());
            // What slabs hold beside the small buffers in them may come on top.
            let slack = Arena::most_slack(self.shared.core.arena.ledger().limit());
            let most = most.map_or(self.memory(), |most| self.peak_of(prepared, most.saturating_add(slack)));
            let least = self.beside(prepared).saturating_add(least).min(most);
            explain.peak_range = Some((least, most));
            explain.peak_bytes = explain.peak_bytes.clamp(least, most);
        }
        let again = explain.read_again_bytes as f64 / explain.read_bytes.max(1) as f64;
        let io = expected.loads * (1.0 + again) + rates::spilling(&self.shared.core, explain.spilled_bytes, explain.reread_bytes);
        let settings = &self.shared.core.settings;
        explain.seconds = (expected.work / self.threads().max(1) as f64).max(io / settings.io_threads.max(1) as f64);
        explain
    }

    /// The most that the ledger will count while a run has `booked` bytes at the most: that, what is booked now beside what such a run begins with, and
    /// what slabs hold beside the small buffers in them. Memory is given back a moment after it is counted as free, so that each thread may have a
    /// chunk more; the ledger's limit holds in any case.
    fn peak_of(&self, prepared: &Prepared<'_>, booked: u64) -> u64 {
        let (arena, batch) = (&self.shared.core.arena, &prepared.planned.numbered.batch);
        let limit = arena.ledger().limit();
        let largest = batch.out.iter().max().copied().unwrap_or(0).max(prepared.largest_kept);
        let moment = largest * self.shared.core.settings.threads_in_all() as u64;
        [booked, moment, self.most_beside(prepared)].into_iter().fold(self.beside(prepared), u64::saturating_add).min(limit)
    }

    /// The most that slabs may hold beside the small buffers in them, and that loads are put together from.
    fn most_beside(&self, prepared: &Prepared<'_>) -> u64 {
        let batch = &prepared.planned.numbered.batch;
        let slabs = plan::slabs(&batch.out, self.shared.core.arena.ledger().limit());
        slabs + self.stages(batch.class.iter().map(|class| *class == Class::Source).zip(batch.scratch.iter().copied()))
    }

    /// The most that the ledger will count where nothing has been simulated: all outputs, and the scratch of the largest tasks.
    fn most_of(&self, prepared: &Prepared<'_>, exact: bool) -> u64 {
        let everything = everything(self, prepared);
        if exact { self.exact_peak_of(prepared, everything, self.most_beside(prepared)) } else { self.peak_of(prepared, everything) }
    }

    /// The same where all sizes are exact: `beside` is what slabs and loads take on top. The ledger keeps what waits to be used again within that.
    fn exact_peak_of(&self, prepared: &Prepared<'_>, booked: u64, beside: u64) -> u64 {
        let arena = &self.shared.core.arena;
        let booked = booked.min(prepared.bound).max(arena.idle() + prepared.resident);
        self.beside(prepared).saturating_add(booked).saturating_add(beside).min(arena.ledger().limit())
    }

    /// What chunks that are being loaded are put together from, beside each: of sources, and the scratch of each task.
    fn stages(&self, tasks: impl Iterator<Item = (bool, u64)>) -> u64 {
        let most = tasks.filter(|(source, _)| *source).map(|(_, stage)| stage).max().unwrap_or(0);
        most.saturating_mul(self.shared.core.settings.io_threads.max(1) as u64)
    }

    /// Sets aside what chunks of sources are put together from, while they are being loaded.
    fn reserve_stages(&self, table: &TaskTable) -> Result<Option<Reservation<'_>>> {
        match self.stages(table.source.iter().copied().zip(table.scratch.iter().copied())) {
            0 => Ok(None),
            bytes => Reservation::unbooked(&self.shared, bytes).map(Some),
        }
    }

    /// What is booked now beside what a run begins with.
    fn beside(&self, prepared: &Prepared<'_>) -> u64 {
        let arena = &self.shared.core.arena;
        arena.ledger().used().saturating_sub(arena.idle()).saturating_sub(prepared.resident)
    }

    /// Runs tasks; `keep` are those whose outputs are wanted.
    pub(super) fn run(&self, lowered: Lowered, keep: &[u32], result_bytes: u64) -> Result<Executed> {
        self.run_saving(lowered, keep, result_bytes, &Saving::default())
    }

    /// The same, where layers are being saved.
    pub(super) fn run_saving(&self, lowered: Lowered, keep: &[u32], result_bytes: u64, saving: &Saving) -> Result<Executed> {
        if let Some(token) = &self.token {
            token.check()?;
        }
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
        mut lowered: Lowered,
        keep: &[u32],
        result_bytes: u64,
        saving: &Saving,
        planned: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<Executed> {
        settle_held(&mut lowered.table, self.shared.core.arena.ledger().limit());
        self.rates.settle_sources(&mut lowered.table, &self.shared.core);
        let table = &lowered.table;
        self.shared.core.recorder.expect(table, &self.shared.core);
        let graph = self.reserve_graph(table)?;
        let moved = moved(table);
        // What tables take already is set aside, and not to be found again as what the process holds.
        let tables = graph.as_ref().and_then(|_| self.shared.core.arena.ledger().try_book(table.len() as u64 * BYTES_MADE));
        self.remeasure(moved)?;
        drop(tables);
        let _stages = self.reserve_stages(table)?;
        let candidates = match &self.cache {
            Some(cache) => cache.candidates(table, &self.rates.expect(table), keep),
            None => Vec::new(),
        };
        let wanted = keep.len();
        let keep: Vec<u32> = keep.iter().chain(candidates.iter().flat_map(|candidate| &candidate.tasks)).copied().collect();
        let keep = keep.as_slice();
        let sizes = self.sizes.expect(table);
        let learned = sizes.iter().flatten().filter(|size| **size != SizeRange::ANY).map(|size| size.most);
        let moved = moved.max(learned.sum());
        let forecast = is_worth(moved, table.len());
        let sizes = sizes.filter(|_| forecast);
        let prepared = self.or_without_cache(|| self.shared.prepare(table, keep, &lowered.barriers, forecast, sizes.as_deref()))?;
        let explain = self.explain_plan(&lowered, &prepared, result_bytes);
        planned(prepared.bound)?;
        let names: Vec<Arc<str>> = table.layers.iter().map(|layer| layer.name().into()).collect();
        let mut plan = Plan::new(lowered.table, prepared.planned.numbered, lowered.barriers);
        plan.callbacks = self.callbacks.clone();
        plan.rewrite = saving.rewrite();
        plan.keeper = saving.keeper();
        plan.most_booked = explain.exact.then_some(explain.peak_bytes);
        let (taken, run) = (plan.taken.clone(), Arc::new(Progressed::default()));
        let progress = Progress::begin(self.progress, &self.shared.core, plan.order.len(), &run, || what(&names));
        let executed = self.shared.execute(plan, keep, self.scheduler() == Scheduler::Sync, run, prepared.planning, self.token.as_deref());
        progress.end();
        self.rates.learn(&names, &taken);
        self.shared.core.recorder.describe(&match &executed {
            Ok(executed) => {
                json!({ "what": "end", "ended": "done", "seconds": executed.facts.seconds, "peak": executed.facts.peak_bytes })
            }
            Err(error) => json!({ "what": "end", "ended": "failed", "error": error.to_string() }),
        });
        let mut executed = executed?;
        // A result may be what a plan's sink holds: nobody else is to have it when it is taken out.
        self.sizes.learn(&std::mem::take(&mut executed.plans));
        executed.notes.extend(saving.notes());
        executed.notes.extend(self.passed(explain.exact, executed.facts.seconds));
        let mut also = executed.kept.split_off(wanted.min(executed.kept.len())).into_iter();
        for candidate in candidates {
            let held: Vec<_> = also.by_ref().take(candidate.tasks.len()).collect();
            if let Some(cache) = self.cache.as_ref().filter(|_| held.len() == candidate.tasks.len()) {
                // What finds no room is not cached.
                let _ = cache.keep(candidate, held, &self.shared);
            }
        }
        *self.last.lock() = Some(RunReport::new(explain, executed.facts, std::mem::take(&mut executed.notes)));
        drop(graph);
        Ok(executed)
    }

    /// Measures what the process holds beside what is booked, where that may matter: before a run that is not small, and when
    /// results have been handed over since the last time.
    fn remeasure(&self, moved: u64) -> Result<()> {
        let handed_over = self.handed_over.load(Relaxed);
        if moved.saturating_add(handed_over) <= MEASURED && !self.has_grown() {
            return Ok(());
        }
        // Where others run, the next one measures; and another thread may have counted the same.
        if self.shared.core.remeasure()? {
            let _ = self.handed_over.fetch_update(Relaxed, Relaxed, |bytes| Some(bytes.saturating_sub(handed_over)));
        }
        Ok(())
    }

    /// Whether the process has come to hold much more beside what is booked than was measured: delayed calls of the user's, as a rule. It is looked
    /// at now and then.
    fn has_grown(&self) -> bool {
        {
            let mut looked = self.looked.lock();
            if looked.elapsed() < BETWEEN_LOOKS {
                return false;
            }
            *looked = Instant::now();
        }
        let lease = &self.shared.core.lease;
        let known = lease.base() + chunkstore_store::external_bytes() + lease.ledger().used() + lease.margin();
        chunkstore_store::resident_bytes() > known
    }

    /// What is to be said where the process has come to take more than the bound, while functions gave values whose sizes nobody knew.
    fn passed(&self, exact: bool, seconds: f64) -> Option<String> {
        if exact || seconds < LOOKED {
            return None;
        }
        let (peak, memory) = (chunkstore_store::peak_resident_bytes(), self.memory());
        if peak <= self.seen_peak.fetch_max(peak, Relaxed).max(memory) {
            return None;
        }
        let mib = super::memory::show_bytes;
        let what = "values of types of your own, or other parts of the program, hold memory that is not counted";
        Some(format!("the process took {}, more than its bound of {}: {what}", mib(peak), mib(memory)))
    }

    /// Sets aside what the tables of a graph take.
    fn reserve_graph(&self, table: &TaskTable) -> Result<Option<Reservation<'_>>> {
        let bytes = booked_for_graph(table);
        if bytes == 0 {
            return Ok(None);
        }
        let left = self.shared.core.bound();
        let refused = || {
            let mib = super::memory::show_bytes;
            let message = format!("a graph of {} tasks takes {}, and the bound leaves {}", table.len(), mib(bytes), mib(left));
            // As much again for the tasks themselves, where their number is what is changed.
            let times = (2 * bytes).div_ceil(left.max(1)).next_power_of_two();
            // Graphs of plain values state no scratch.
            let needs = table.out.iter().enumerate().map(|(task, out)| out.saturating_add(table.scratch.get(task).copied().unwrap_or(0)));
            let need = needs.max().unwrap_or(0);
            let more = bytes.saturating_add(need).saturating_sub(left);
            let hint = format!(
                "use fewer tasks that do more each (of arrays: chunks that are {times} times as large), or give the engine at least {} more",
                mib(more + more / 19)
            );
            Error::new(ErrorKind::OutOfMemory, message).hint(hint)
        };
        if bytes >= left {
            return Err(refused());
        }
        let reserved = Reservation::new(&self.shared, bytes).map_err(|_| refused())?;
        Ok(Some(reserved))
    }
}

/// Books the tables of a graph for as long as somebody plans with them.
fn book_tables(shared: &Arc<Shared>, table: &TaskTable) -> Result<Booked> {
    match booked_for_graph(table) {
        0 => Ok(None),
        bytes => Ok(Some((shared.core.arena.ledger().book(bytes)?, OwnedReservation::new(shared, bytes)?))),
    }
}

/// The bytes that are set aside for the values of so many parts, until they are put together: none where they are few.
fn values_of(parts: usize) -> u64 {
    if parts <= SMALL_GRAPH { 0 } else { parts as u64 * BYTES_A_VALUE }
}

/// The bytes that tasks give and load.
fn moved(table: &TaskTable) -> u64 {
    table.out.iter().sum::<u64>() + table.load.iter().sum::<u64>()
}

/// Whether a run of so many tasks that move so many bytes is worth a forecast that nobody asked for.
fn is_worth(moved: u64, tasks: usize) -> bool {
    moved > SMALL || (moved > MEASURED && moved / tasks.max(1) as u64 >= HEAVY)
}

/// What all outputs take together, with the scratch of the largest tasks.
fn everything(engine: &Engine, prepared: &Prepared<'_>) -> u64 {
    let batch = &prepared.planned.numbered.batch;
    let scratch = batch.scratch.iter().max().copied().unwrap_or(0) * engine.shared.core.settings.threads_in_all() as u64;
    batch.out.iter().sum::<u64>() + scratch
}

/// The bytes that are set aside for the tables of a graph: none where they are few.
pub(super) fn booked_for_graph(table: &TaskTable) -> u64 {
    if table.len() <= SMALL_GRAPH { 0 } else { table.len() as u64 * BYTES_A_TASK + table.inputs.len() as u64 * 16 }
}

/// What a run computes, in a few letters: the name of its last layer that is no sink.
fn what(names: &[Arc<str>]) -> String {
    let named = names.iter().rev().find(|name| !matches!(&***name, "collect" | "to_npy"));
    named.or(names.last()).map_or_else(|| "graph".to_string(), |name| name.chars().take(16).collect())
}
