//! Functions of the user's that are called as a run goes on.

use super::worker::caught;
use crate::graph::{TaskTable, Value};
use crate::{Error, Result};
use std::sync::Arc;
use std::time::Duration;

/// Is told of the runs of an engine as they go on: see [`Engine::with_callback`](crate::Engine::with_callback).
///
/// A run calls `start`, `start_state`, then `pretask` and `posttask` around each task, and `finish`, as Dask's callbacks are called. Tasks run on
/// several threads, so that several may call at a time; the calls take the time of the thread that runs the task. A callback that panics ends the
/// run with an error; one that computes is refused, as a task is.
///
/// ```
/// use chunkstore::engine::{Callback, TaskInfo};
/// use chunkstore::{Engine, array::Array};
/// use std::sync::{Arc, atomic::{AtomicU64, Ordering::Relaxed}};
/// #[derive(Default)]
/// struct Count(AtomicU64);
/// impl Callback for Count {
///     fn pretask(&self, task: &TaskInfo<'_>) {
///         assert!(!task.name().is_empty());
///         self.0.fetch_add(1, Relaxed);
///     }
/// }
/// let count = Arc::new(Count::default());
/// let engine = Engine::builder().memory("256MiB").build()?;
/// let ones = Array::<f64>::ones([1000], 100);
/// engine.with_callback(count.clone()).compute(&(&ones * 2.0).sum(..).item_collection())?;
/// assert_eq!(count.0.load(Relaxed), engine.last_run().expect("one ran").tasks);
/// # Ok::<(), chunkstore::Error>(())
/// ```
pub trait Callback: Send + Sync {
    /// A run is about to be planned.
    fn start(&self, run: &RunInfo<'_>) {
        let _ = run;
    }

    /// A run has been planned, and its first task is about to start.
    fn start_state(&self, run: &RunInfo<'_>) {
        let _ = run;
    }

    /// A task, or the load of a block of a source, is about to run on this thread. One that finds that it needs more memory runs
    /// again later, and is announced again.
    fn pretask(&self, task: &TaskInfo<'_>) {
        let _ = task;
    }

    /// A task has run on this thread, and gave `outcome` in `time`.
    fn posttask(&self, task: &TaskInfo<'_>, outcome: std::result::Result<&Value, &Error>, time: Duration) {
        let _ = (task, outcome, time);
    }

    /// A run has ended: well, or with an error.
    fn finish(&self, run: &RunInfo<'_>, error: Option<&Error>) {
        let _ = (run, error);
    }
}

/// A run, as callbacks see it.
#[derive(Clone, Debug)]
pub struct RunInfo<'a> {
    /// Its tasks, loads of sources included, as far as they are known: a barrier may bring more.
    pub tasks: u64,
    /// The names of the layers that it computes, inputs before their users.
    pub layers: &'a [Arc<str>],
    /// The bytes that its tasks share; 0 before it is planned.
    pub memory_for_tasks: u64,
}

/// A task, as callbacks see it.
#[derive(Clone, Copy)]
pub struct TaskInfo<'a> {
    pub(super) table: &'a TaskTable,
    pub(super) task: u32,
}

impl<'a> TaskInfo<'a> {
    /// Its readable name: `mean-1f2e3d4c[0, 3]`, or the key that the user's graph gives it.
    pub fn name(&self) -> String {
        self.table.name_of(self.task)
    }

    /// The name of its layer; of a task of a user's graph that of its operator.
    pub fn layer(&self) -> &'a str {
        let (layer, operator) = (self.table.layer_of(self.task), || self.table.operator_of(self.task));
        layer.map(|layer| layer.name()).or_else(|| operator().map(|operator| operator.name())).unwrap_or("")
    }

    /// The number of its block in its layer.
    pub fn block(&self) -> u32 {
        self.table.block_of(self.task)
    }

    /// The bytes that its output was expected to take.
    pub fn bytes(&self) -> u64 {
        self.table.out.get(self.task as usize).copied().unwrap_or(0)
    }

    /// Whether it loads a block of a source.
    pub fn is_source(&self) -> bool {
        self.table.source.get(self.task as usize).copied().unwrap_or(false)
    }
}

/// All who are to be told of a run.
#[derive(Clone, Default)]
pub(crate) struct Callbacks(Option<Arc<[Arc<dyn Callback>]>>);

impl Callbacks {
    /// The same, and one more.
    pub(crate) fn with(&self, callback: Arc<dyn Callback>) -> Self {
        let known = self.0.iter().flat_map(|all| all.iter().cloned());
        Callbacks(Some(known.chain([callback]).collect()))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn for_each(&self, tell: impl Fn(&dyn Callback)) {
        self.0.iter().flat_map(|all| all.iter()).for_each(|callback| tell(&**callback));
    }

    /// Tells all of something that happens on a caller's thread; a panic becomes an error.
    pub(crate) fn tell(&self, tell: impl Fn(&dyn Callback)) -> Result<()> {
        if self.is_empty() {
            return Ok(());
        }
        caught("a callback", || {
            self.for_each(tell);
            Ok(())
        })
    }
}
