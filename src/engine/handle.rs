//! The engine.

use super::builder::{EngineBuilder, Scheduler};
use super::cache::Cache;
use super::checkpoint::Checkpoint;
use super::explain::RunReport;
use super::future_queue::FutureQueue;
use super::learned::LearnedSizes;
use super::memory::parse_bytes;
use super::pressure::Pressure;
use super::rates::Rates;
use crate::exec::{Callbacks, RunToken, Shared};
use crate::{ErrorKind, Result};
use chunkstore_store::Store;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

/// Computes lazy collections and graphs within a memory bound. Clones are the same engine; its threads end and its scratch goes
/// with the last one, or with the last persisted collection that it keeps, or the last of its futures.
#[derive(Clone)]
pub struct Engine {
    pub(super) shared: Arc<Shared>,
    pub(super) last: Arc<Mutex<Option<RunReport>>>,
    scheduler: Scheduler,
    pub(super) progress: Option<bool>,
    /// Bytes of results that the caller has got since the process was last measured.
    pub(super) handed_over: Arc<AtomicU64>,
    /// When the memory of the process was looked at last.
    pub(super) looked: Arc<Mutex<Instant>>,
    pub(super) checkpoint: Option<Arc<Checkpoint>>,
    /// The threads of futures. What runs on them has an engine without them.
    pub(super) futures: Option<Arc<FutureQueue>>,
    /// What cancels the runs of this handle alone.
    pub(super) token: Option<Arc<RunToken>>,
    /// Who is told of the runs that are asked for through this.
    pub(super) callbacks: Callbacks,
    /// What was learned of the speed of layers.
    pub(super) rates: Arc<Rates>,
    /// What was learned of the sizes of what functions give.
    pub(super) sizes: Arc<LearnedSizes>,
    /// The most bytes of the process that were ever in memory, as far as it was looked.
    pub(super) seen_peak: Arc<AtomicU64>,
    /// What may be wanted again.
    pub(super) cache: Option<Arc<Cache>>,
    /// Who lowers the bound while memory is short.
    pub(super) pressure: Option<Arc<Pressure>>,
}

impl Engine {
    /// Sets up an engine: see [`EngineBuilder`].
    pub fn builder() -> EngineBuilder {
        EngineBuilder::default()
    }

    pub(super) fn new(
        shared: Arc<Shared>,
        scheduler: Scheduler,
        progress: Option<bool>,
        checkpoint: Option<Checkpoint>,
        at_once: usize,
    ) -> Self {
        let checkpoint = checkpoint.map(Arc::new);
        Engine {
            futures: Some(FutureQueue::new(shared.clone(), at_once)),
            token: None,
            shared,
            last: Arc::default(),
            scheduler,
            progress,
            handed_over: Arc::default(),
            looked: Arc::new(Mutex::new(Instant::now())),
            checkpoint,
            callbacks: Callbacks::default(),
            rates: Arc::default(),
            sizes: Arc::default(),
            seen_peak: Arc::new(chunkstore_store::peak_resident_bytes().into()),
            cache: None,
            pressure: None,
        }
    }

    /// The bound on the memory of the whole process, in bytes: as it was named last, or less while the engine follows pressure.
    pub fn memory(&self) -> u64 {
        self.shared.core.lease.memory()
    }

    /// Changes the bound on the memory of the whole process (`"1GiB"`), also while computations are under way: with more, they go on with more; with
    /// less, what no task needs now is spilled or dropped before this returns, and what tasks under way hold goes with them. Forecasts that were made before hold no more.
    ///
    /// # Errors
    /// Invalid where that is no size; out of memory where the bound is too small for the process as it stands, or for a task of a computation
    /// that is under way: the bound stays as it was then.
    ///
    /// ```
    /// let engine = chunkstore::Engine::builder().memory("256MiB").build()?;
    /// engine.set_memory("512MiB")?;
    /// assert_eq!(engine.memory(), 512 << 20);
    /// assert!(engine.set_memory("1MiB").is_err());
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    pub fn set_memory(&self, bound: impl ToString) -> Result<()> {
        let memory = parse_bytes(&bound.to_string())?;
        self.or_without_cache(|| self.shared.core.name_memory(memory))
    }

    /// The bytes of results that the engine's cache holds: see [`EngineBuilder::cache`].
    pub fn cached_bytes(&self) -> u64 {
        self.cache.as_ref().map_or(0, |cache| cache.bytes())
    }

    /// Forgets what the engine's cache holds.
    pub fn clear_cache(&self) {
        if let Some(cache) = &self.cache {
            cache.clear();
        }
    }

    /// Does something that takes memory; where there is none, again without what is cached.
    pub(super) fn or_without_cache<T>(&self, take: impl Fn() -> Result<T>) -> Result<T> {
        match take() {
            Err(error) if error.kind() == ErrorKind::OutOfMemory && self.cache.as_ref().is_some_and(|cache| cache.clear()) => take(),
            taken => taken,
        }
    }

    /// The store in the checkpoint folder, where one was named: for saving results beside what is found again.
    pub fn store(&self) -> Option<&Store> {
        self.checkpoint.as_ref().map(|checkpoint| checkpoint.store())
    }

    /// The part of the bound that tasks, results, graphs and buffers for input and output share, in bytes: the bound less what the
    /// process held when it was last measured (the program, its heap, and arrays of yours), and less a margin of 16 MiB or 5 %.
    ///
    /// It changes when the process is measured anew, before a computation of more than 4 MiB. What of it the tasks of one
    /// computation get is [`Explain::memory_for_tasks`](super::Explain::memory_for_tasks).
    ///
    /// ```
    /// let engine = chunkstore::Engine::builder().memory("256MiB").build()?;
    /// assert!(engine.memory_for_tasks() < engine.memory() - (16 << 20));
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    pub fn memory_for_tasks(&self) -> u64 {
        self.shared.core.arena.ledger().limit()
    }

    /// The number of workers, the calling thread included. A computation for which the system starts fewer says so in its report.
    pub fn threads(&self) -> usize {
        match self.scheduler {
            Scheduler::Sync => 1,
            Scheduler::Threads => self.shared.core.settings.threads,
        }
    }

    /// The same engine, with its memory, its threads and what it keeps, whose tasks another scheduler runs where it is asked through
    /// what this gives: to look at one computation with a debugger, say.
    ///
    /// With [`Scheduler::Sync`] all tasks run on the thread that asks; chunks are loaded and written by the engine's own threads
    /// where these have been started. An engine that was built with `Scheduler::Sync` has no other threads, so that
    /// [`Scheduler::Threads`] changes little there.
    ///
    /// ```
    /// use chunkstore::{Engine, array::Array, engine::Scheduler};
    /// let engine = Engine::builder().memory("256MiB").threads(4).build()?;
    /// let here = std::thread::current().id();
    /// let x = Array::<f64>::ones([1000], 100).map_blocks(move |block| {
    ///     assert_eq!(std::thread::current().id(), here);
    ///     block.to_owned()
    /// });
    /// let sum = engine.with_scheduler(Scheduler::Sync).compute(&x.sum(..).item_collection())?;
    /// assert_eq!(sum, 1000.0);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    pub fn with_scheduler(&self, scheduler: Scheduler) -> Engine {
        Engine { scheduler, ..self.clone() }
    }

    /// The engine as what is submitted has it: it keeps no threads of futures alive, and `token` cancels what it runs.
    pub(super) fn in_background(&self, token: Arc<RunToken>) -> Engine {
        Engine { futures: None, token: Some(token), ..self.clone() }
    }

    /// Which driver runs the tasks.
    pub fn scheduler(&self) -> Scheduler {
        self.scheduler
    }

    /// Ends, from another thread, every computation that is under way on this engine; each gives a [`Cancelled`] error. Tasks that
    /// are running end first; what was kept for the computations is given back.
    ///
    /// [`Cancelled`]: crate::ErrorKind::Cancelled
    pub fn cancel(&self) {
        self.shared.core.cancel_all();
    }

    /// Forecast and fact of the last computation that ended on this engine; none before the first.
    ///
    /// ```
    /// use chunkstore::{Engine, array::Array};
    /// let engine = Engine::builder().memory("256MiB").build()?;
    /// engine.compute(&Array::<f64>::ones([1000], 100).sum(..).item_collection())?;
    /// let run = engine.last_run().unwrap();
    /// assert_eq!((run.spilled_bytes, run.tasks), (0, run.forecast.tasks));
    /// println!("{run}");
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    pub fn last_run(&self) -> Option<RunReport> {
        self.last.lock().clone()
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine")
            .field("memory", &self.memory())
            .field("threads", &self.threads())
            .field("scheduler", &self.scheduler)
            .finish_non_exhaustive()
    }
}
