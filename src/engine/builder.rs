//! How an engine is set up.

use super::Engine;
use super::cache::Cache;
use super::checkpoint::Checkpoint;
use super::event_log::event_log;
use super::memory::parse_bytes;
use super::pressure::Pressure;
use crate::exec::{Host, Settings, Shared, Sink, SpillArea};
use crate::{Error, ErrorKind, Result};
use chunkstore_store::{Arena, Ledger, memory_limit_of_machine};
use serde_json::json;
use std::path::PathBuf;
use std::sync::Arc;

/// Which driver runs the tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Scheduler {
    /// All tasks on the calling thread, one after the other: for debugging.
    Sync,
    /// The calling thread and helpers; loads and writes on threads of their own.
    #[default]
    Threads,
}

/// Where the process and the margin leave so many bytes or more of the bound, further threads load and write: each has buffers of its own.
const ROOMY: u64 = 192 << 20;

/// Sets up an [`Engine`]; made by [`Engine::builder`].
///
/// ```
/// use chunkstore::{Engine, engine::Scheduler};
/// let engine = Engine::builder().memory("256MiB").threads(2).scheduler(Scheduler::Threads).build()?;
/// assert_eq!(engine.memory(), 256 << 20);
/// # Ok::<(), chunkstore::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct EngineBuilder {
    memory: Option<String>,
    threads: Option<usize>,
    scratch: Option<PathBuf>,
    quota: Option<String>,
    checkpoint: Option<PathBuf>,
    checkpoint_quota: Option<String>,
    events: Option<PathBuf>,
    scheduler: Scheduler,
    progress: Option<bool>,
    speculative_spill: bool,
    follow_pressure: bool,
    cache: Option<String>,
    futures: Option<usize>,
    host: Host,
}

impl EngineBuilder {
    /// The bound on the memory of the whole process: `"2GiB"`, or a number of bytes as text. The default is 60 % of
    /// what the machine or the control group has.
    pub fn memory(mut self, bound: impl ToString) -> Self {
        self.memory = Some(bound.to_string());
        self
    }

    /// The number of workers, the calling thread included. The default is the number of processors.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// The folder for spilled chunks. It is made where it is missing; what the engine puts there goes with the engine.
    /// The default is the system's folder for temporary files; it is used only when something has to be spilled.
    pub fn scratch(mut self, folder: impl Into<PathBuf>) -> Self {
        self.scratch = Some(folder.into());
        self
    }

    /// The most bytes that spilled chunks may take on disk: `"100GiB"`. The default is all there is.
    pub fn quota(mut self, quota: impl ToString) -> Self {
        self.quota = Some(quota.to_string());
        self
    }

    /// A folder by which a run that was killed, was cancelled, failed or found the disk full goes on where it was, when the same is computed again,
    /// by this process or another. It is a store (see [`crate::Store`]), which `chunkstore ls` and the other commands show, and is used
    /// by one engine at a time.
    ///
    /// Saved as they are made, and committed together at least each second or so, are
    ///
    /// - the blocks of persisted collections, as `checkpoints/KEY`. They stay, and are found whenever the same is persisted;
    /// - of each `compute` and `persist`, as `runs/KEY`, what decides what comes next and what is held for that, and the blocks of layers that
    ///   shrink what goes into them to an eighth or less: the partial results of reductions, as a rule; and what delayed calls of registered functions
    ///   ([`macro@crate::task`]) gave that took 10 ms and more, and longer than it takes to write that. They go when the run has succeeded,
    ///   and stay until then: `chunkstore rm 'FOLDER/runs/*'` removes what is left of runs that nobody will go on with. A run that ends within a tenth
    ///   of a second leaves nothing.
    ///
    /// The logs of a bag's shuffles (`group_by`, `foldby`, `frequencies`, `sort_by` and the like) are kept there too, as `shuffles/KEY`: what tasks have written is not read or
    /// written again. That holds for bags of files, ranges and sequences, through functions that have no captures or are registered; it is known by the build
    /// of the program, so that another build begins anew. A log goes when its run has succeeded; what is left of others can be removed while no engine has the folder.
    ///
    /// What is found is read, and what it was made of is neither read nor computed; the report of the run says how many blocks were found. A key
    /// says what was computed from what: with a file of another path, size or time of its last write (in nanoseconds), another parameter, other
    /// chunks, or another version of a function nothing is found of what depends on that, and what was saved of the old is not used. What depends on the
    /// other inputs of the run is: a run that finds what another of the same functions has left, and has not the same inputs, goes on in its place, and
    /// the rest of what that had left goes with it. Of a path that is the argument of a delayed call only the text
    /// counts; a [`StampedPath`](crate::delayed::StampedPath) has the state of the file too.
    ///
    /// Not saved are blocks of other layers: a run that writes a file (`to_npy`, `save`) finds its reductions, but begins the file anew. Nor is what
    /// depends on closures, on functions that are not registered, or on arrays in memory or made of delayed values, which have nothing by which they could be known again, user's graphs
    /// ([`Engine::get`]), and values that are neither arrays, numbers, bytes nor records; of registered functions also those whose types serde can neither write nor read,
    /// or that take more than 1 MiB then. A persisted delayed value is saved for its run only. Blocks are found with any number of
    /// threads; with a bound of another size the optimiser may make other layers of chunks that are nearly as large as the bound, which are
    /// not found then.
    ///
    /// ```
    /// use chunkstore::{Engine, array::Array};
    /// # let folder = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
    /// # let folder = folder.path().join("run");
    /// let x = Array::<f64>::linspace(0.0, 1.0, 1001, 100).exp();
    /// for run in 0..2 {
    ///     let engine = Engine::builder().memory("256MiB").checkpoint(&folder).build()?;
    ///     let y = engine.persist(&x)?;
    ///     assert!(engine.compute(&y.max(..).item_collection())? > 2.7);
    ///     // The second time, the blocks are read.
    ///     assert_eq!(engine.store().expect("it was named").names()?.len(), 1);
    /// }
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    pub fn checkpoint(mut self, folder: impl Into<PathBuf>) -> Self {
        self.checkpoint = Some(folder.into());
        self
    }

    /// The most bytes that the segments of the checkpoint folder may take on disk, and that a log of a shuffle may take beside what was there when it was opened: `"100GiB"`. The default is all there is. A run for which it is
    /// too little ends in a [`DiskFull`](ErrorKind::DiskFull) error, and goes on where it was when there is more.
    pub fn checkpoint_quota(mut self, quota: impl ToString) -> Self {
        self.checkpoint_quota = Some(quota.to_string());
        self
    }

    /// A folder for an event log of the engine's runs, which `chunkstore why`, `timeline`, `profile` and `map` show, also while a run goes on. It is
    /// made where it is missing; the oldest of more than 64 logs go. An engine with a checkpoint folder logs there in any case, in `events`.
    ///
    /// ```
    /// use chunkstore::{Engine, array::Array, report::History, store};
    /// # let folder = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
    /// # let folder = folder.path().join("logs");
    /// let engine = Engine::builder().memory("256MiB").events(&folder).build()?;
    /// engine.compute(&Array::<f64>::ones([1000], 100).sum(..).item_collection())?;
    /// drop(engine);
    /// let log = std::fs::read_dir(&folder).unwrap().next().unwrap().unwrap().path();
    /// let history = History::of(&store::read_events(&store::io::FileBackend::new(), &log)?);
    /// println!("{}", history.profile());
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    pub fn events(mut self, folder: impl Into<PathBuf>) -> Self {
        self.events = Some(folder.into());
        self
    }

    /// Which driver runs the tasks, where [`Engine::with_scheduler`] names no other. An engine built with [`Scheduler::Sync`] starts no
    /// threads at all.
    pub fn scheduler(mut self, scheduler: Scheduler) -> Self {
        self.scheduler = scheduler;
        self
    }

    /// Whether a progress bar is shown. The default is to show one where standard error is a terminal.
    pub fn progress(mut self, show: bool) -> Self {
        self.progress = Some(show);
        self
    }

    /// Whether tasks ahead of their turn may have chunks written to make room for them: more work at once, for more
    /// bytes written. The default is that only the first task in order may.
    pub fn speculative_spill(mut self, allowed: bool) -> Self {
        self.speculative_spill = allowed;
        self
    }

    /// An opportunistic cache of at most so many bytes (`"64MiB"`): results on the way that took long for their size are kept in memory, and later computations that
    /// need the same (equal keys: the same work on the same inputs) find them. It counts in the engine's memory, and is emptied before a computation
    /// is refused for want of memory. The default is none.
    ///
    /// ```
    /// use chunkstore::{Engine, array::random};
    /// let engine = Engine::builder().memory("256MiB").cache("16MiB").build()?;
    /// let x = random::random([1000, 1000]).seed(7).chunks(250).array();
    /// let spread = engine.compute(&x.std(0).max(..).item_collection())?;
    /// let tasks = engine.last_run().expect("one ran").tasks;
    /// assert!(engine.cached_bytes() > 0);
    /// assert_eq!(engine.compute(&x.std(0).max(..).item_collection())?, spread);
    /// assert!(engine.last_run().expect("one ran").tasks < tasks);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    pub fn cache(mut self, bytes: impl ToString) -> Self {
        self.cache = Some(bytes.to_string());
        self
    }

    /// Whether the engine lowers its bound while memory is short in the control group, or on the machine, that it runs in: where tasks of the group
    /// wait for memory more than a tenth of the time, or less than a twentieth of its limit is free. It is lowered by a tenth twice a second, as far as
    /// computations under way allow, and raised again, up to what was named, when memory has been plentiful for three seconds. It is looked at ten times a
    /// second that the bound is no more than what the process has and most of what is free (all but an eighth and 16 MiB), for others may take that. The
    /// default is to keep to the bound alone, so that a forecast holds.
    ///
    /// ```
    /// use chunkstore::{Engine, array::Array};
    /// let engine = Engine::builder().memory("256MiB").follow_pressure(true).build()?;
    /// assert_eq!(engine.compute(&Array::<f64>::ones([1000], 100).sum(..).item_collection())?, 1000.0);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    pub fn follow_pressure(mut self, follow: bool) -> Self {
        self.follow_pressure = follow;
        self
    }

    /// How many computations of [`Engine::submit`] are under way at a time; others wait for their turn. The default is 4. All of them share the engine's
    /// memory and its workers.
    pub fn futures(mut self, at_once: usize) -> Self {
        self.futures = Some(at_once);
        self
    }

    /// What the engine takes from the process and the machine.
    #[cfg(test)]
    pub(super) fn host(mut self, host: Host) -> Self {
        self.host = host;
        self
    }

    /// Makes the engine.
    ///
    /// # Errors
    /// Invalid where a size is not one, there are no threads or futures, or the scratch folder has no name; out of memory where the bound is too small for the
    /// process as it stands; unusable where the scratch folder that was named cannot be used; locked where another engine has the checkpoint folder.
    pub fn build(self) -> Result<Engine> {
        let memory = match &self.memory {
            Some(text) => parse_bytes(text)?,
            None => memory_limit_of_machine() / 10 * 6,
        };
        let quota = self.quota.as_deref().map(parse_bytes).transpose()?;
        let threads = self.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
        if threads == 0 {
            return Err(
                Error::new(ErrorKind::Invalid, "an engine needs at least one thread").hint("leave `threads` out for one a processor")
            );
        }
        if self.futures == Some(0) {
            let error = Error::new(ErrorKind::Invalid, "an engine is to have at least one computation under way");
            return Err(error.hint("leave `futures` out for four"));
        }
        let speculative_spill = self.speculative_spill;
        let lease = Ledger::lease(memory)?;
        let io_threads = if lease.ledger().limit() < ROOMY { 2 } else { 4 };
        let prepared = super::init::was_called();
        let settings = match self.scheduler {
            Scheduler::Sync => Settings { threads: 1, io_threads: 0, speculative_spill, prepared },
            Scheduler::Threads => Settings { threads, io_threads, speculative_spill, prepared },
        };
        let arena = Arena::new(lease.ledger().clone());
        let named = self.scratch.is_some();
        let spill = SpillArea::new(self.host.files.clone(), self.scratch, quota, settings.io_threads.max(1), &arena)?;
        if named {
            spill.open(&arena)?;
        }
        let room = self.checkpoint_quota.as_deref().map(parse_bytes).transpose()?;
        let checkpoint = self.checkpoint.map(|folder| Checkpoint::open(&folder, room, &arena)).transpose()?;
        let shared = Shared::new(lease, arena, spill, settings, self.host, crate::optimize::optimize_within);
        if checkpoint.is_some() {
            shared.core.reserve(Checkpoint::BYTES)?;
        }
        let checkpoint_events = checkpoint.as_ref().map(Checkpoint::events);
        for folder in checkpoint_events.iter().chain(&self.events) {
            shared.core.recorder.add(Arc::new(Sink::File(event_log(folder)?)));
        }
        if shared.core.recorder.is_on() {
            shared.core.recorder.describe(&json!({ "what": "engine", "memory": memory, "threads": settings.threads }));
        }
        let pressure = if self.follow_pressure { Some(Pressure::follow(&shared, memory)) } else { None };
        let cache = self.cache.as_deref().map(parse_bytes).transpose()?;
        let mut engine = Engine::new(shared, self.scheduler, self.progress, checkpoint, self.futures.unwrap_or(4).max(1));
        engine.cache = cache.map(|bytes| Arc::new(Cache::new(bytes)));
        engine.pressure = pressure.transpose().map_err(no_thread)?.map(Arc::new);
        Ok(engine)
    }
}

/// The error where the system starts no thread for looking at the pressure.
fn no_thread(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("the system started no thread to follow the pressure on memory: {error}"))
        .hint("raise the limit on processes, or leave `follow_pressure` out")
}
