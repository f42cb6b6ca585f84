//! An engine's threads, and how a run is carried through on them.

use super::held::Held;
use super::run::{Facts, Plan, Progressed};
use super::{Core, Host, RunToken, Settings, SpillArea, io, planning, worker};
use crate::graph::{LayerRef, Value};
use crate::policy::RunId;
use crate::{Error, ErrorKind, Result};
use chunkstore_store::{Arena, Lease};
use parking_lot::{Mutex, MutexGuard};
use std::cell::OnceCell;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

/// An engine's core and its threads, which end with it.
pub(crate) struct Shared {
    pub(crate) core: Arc<Core>,
    threads: Mutex<Threads>,
    planning: Mutex<()>,
    passes: planning::Passes,
}

/// Threads that have been started.
#[derive(Default)]
struct Threads {
    handles: Vec<JoinHandle<()>>,
    io: usize,
    helpers: usize,
}

thread_local! {
    /// The one-thread pool that this thread is: a kernel that calls rayon stays on it.
    static POOL: OnceCell<Option<rayon::ThreadPool>> = const { OnceCell::new() };
}

/// Makes this thread a rayon pool of its own, so that no wait in a kernel can steal another task and its memory. False
/// where it already belongs to a pool of the user's.
fn adopt_thread() -> bool {
    POOL.with(|pool| {
        let build = || {
            if rayon::current_thread_index().is_some() {
                return None;
            }
            rayon::ThreadPoolBuilder::new().num_threads(1).use_current_thread().build().ok()
        };
        pool.get_or_init(build).is_some()
    })
}

/// What a run gave.
pub(crate) struct Executed {
    /// Kept chunks, in the order asked for.
    pub(crate) kept: Vec<Arc<Held>>,
    pub(crate) facts: Facts,
    /// What it began with, and what barriers added to it.
    pub(crate) plans: Vec<Arc<Plan>>,
    /// What was done without.
    pub(crate) notes: Vec<String>,
}

impl Shared {
    /// An engine's core; `passes` are applied to what it is to run.
    pub(crate) fn new(lease: Lease, arena: Arena, spill: SpillArea, settings: Settings, host: Host, passes: planning::Passes) -> Arc<Self> {
        Arc::new_cyclic(|shared| {
            let core = Core::new(lease, arena, spill, settings, host, shared.clone());
            Shared { core: Arc::new(core), threads: Mutex::default(), planning: Mutex::new(()), passes }
        })
    }

    /// What the optimiser makes of layers here. An eighth of what tasks may use is left for what buffers take beside their payload.
    pub(crate) fn optimise(&self, layers: Vec<LayerRef>) -> Vec<LayerRef> {
        self.optimise_within(layers, self.core.bound())
    }

    /// The same where tasks may use `bound` bytes.
    pub(crate) fn optimise_within(&self, layers: Vec<LayerRef>, bound: u64) -> Vec<LayerRef> {
        (self.passes)(layers, bound - bound / 8)
    }

    /// Keeps other threads from planning: what [`Core::situation`] says then holds until the run has begun.
    pub(crate) fn plan_alone(&self) -> MutexGuard<'_, ()> {
        self.planning.lock()
    }

    /// Refuses to compute inside a task: it would hold the task's memory while it waits for more.
    pub(crate) fn refuse_nested() -> Result<()> {
        if worker::in_task() {
            return Err(Error::new(ErrorKind::Invalid, "compute was called inside a task")
                .hint("return the lazy value from the task and compute it outside, or use a thread of your own"));
        }
        Ok(())
    }

    /// Starts the threads that are missing. Where the system gives no more of them the engine does with fewer, and tries again at the next
    /// run; gives what is to be said of that.
    fn start_threads(&self) -> Option<String> {
        let mut threads = self.threads.lock();
        let Threads { handles, io, helpers } = &mut *threads;
        let settings = self.core.settings;
        let wanted = (settings.io_threads, settings.threads.saturating_sub(1));
        if (*io, *helpers) == wanted {
            return None;
        }
        let spawn = |name: String, body: fn(&Arc<Core>)| {
            let core = self.core.clone();
            (self.core.host.spawn)(name, Box::new(move || body(&core)))
        };
        let mut refused = None;
        // Workers first: they come by arenas of the allocator of their own.
        while *helpers < wanted.1 && refused.is_none() {
            match spawn(format!("chunkstore-{}", *helpers + 1), help) {
                Ok(handle) => {
                    handles.push(handle);
                    *helpers += 1;
                }
                Err(error) => refused = Some(error),
            }
        }
        while *io < wanted.0 && refused.is_none() {
            match spawn(format!("chunkstore-io-{io}"), |core| io::serve(core)) {
                Ok(handle) => {
                    handles.push(handle);
                    *io += 1;
                }
                Err(error) => refused = Some(error),
            }
        }
        // Without any of these, workers load and write.
        self.core.state.lock().served = *io > 0;
        refused.map(|error| {
            let (workers, all) = (*helpers + 1, settings.threads);
            format!(
                "ran on {workers} of {all} workers and {io} of {} threads for input and output, because the system started no more: {error}; \
                 ask for fewer threads, or raise the limit on processes",
                wanted.0
            )
        })
    }

    /// Carries a planned run through, with `planning` held since it was planned. `keep` are tasks of the plan's table.
    /// All tasks of a `solo` run are run by this thread.
    /// `token` cancels this run and no other.
    pub(crate) fn execute(
        self: &Arc<Self>,
        mut plan: Plan,
        keep: &[u32],
        solo: bool,
        progress: Arc<Progressed>,
        planning: MutexGuard<'_, ()>,
        token: Option<&RunToken>,
    ) -> Result<Executed> {
        let needs_threads = !solo && (plan.order.len() > 1 || !plan.barriers.is_empty());
        let ids: Vec<u32> = keep.iter().filter_map(|task| plan.ids.get(*task as usize).copied()).collect();
        let (before, base) = (self.core.facts(), plan.base);
        let mut notes = Vec::new();
        if needs_threads {
            notes.extend(self.start_threads());
        }
        let started = Instant::now();
        let released = planning::release_kept(&mut plan.table);
        let id = self.core.begin(plan, solo, progress)?;
        drop(released);
        drop(planning);
        if let Some(token) = token {
            token.begun(&self.core, id);
        }
        notes.extend(self.work_as_caller(id, solo));
        if let Some(token) = token {
            token.ended();
        }
        let seconds = started.elapsed().as_secs_f64();
        let kept = self.core.hold(&ids, base, self);
        let concluded = self.core.conclude(id);
        // What was known of its tasks is given up, unless somebody plans by their numbers; then the next one does it.
        if let Some(_planning) = self.planning.try_lock() {
            self.core.compact();
        }
        let (tasks, plans) = concluded?;
        let after = self.core.facts();
        let facts = Facts {
            tasks,
            spilled_bytes: after.spilled_bytes - before.spilled_bytes,
            reread_bytes: after.reread_bytes - before.reread_bytes,
            source_bytes: after.source_bytes - before.source_bytes + plans.iter().map(|plan| plan.read_by_tasks()).sum::<u64>(),
            source_reread_bytes: after.source_reread_bytes - before.source_reread_bytes,
            stored_bytes: after.stored_bytes - before.stored_bytes,
            shuffled_bytes: after.shuffled_bytes - before.shuffled_bytes,
            peak_bytes: after.peak_bytes,
            seconds,
        };
        Ok(Executed { kept, facts, plans, notes })
    }

    /// Works until a run has ended, on this thread or, where it belongs to a pool of the user's, on one of its own. Gives what is to
    /// be said where there was none to be had.
    fn work_as_caller(&self, id: RunId, solo: bool) -> Option<String> {
        let work = || worker::work(&self.core, Some(id), solo);
        if adopt_thread() {
            work();
            return None;
        }
        let refused = std::thread::scope(|scope| {
            let body = || {
                adopt_thread();
                work();
            };
            std::thread::Builder::new().spawn_scoped(scope, body).err()
        })?;
        // What a task does on the pool may then start other tasks of the pool, as anywhere else in the user's program.
        work();
        Some(format!("ran on a thread of a pool of yours, because the system started no other: {refused}"))
    }

    /// The values of kept chunks.
    pub(crate) fn values(&self, kept: &[Arc<Held>]) -> Result<Vec<Value>> {
        kept.iter().map(|held| self.core.value_of(&held.id)).collect()
    }
}

fn help(core: &Arc<Core>) {
    adopt_thread();
    worker::work(core, None, false);
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.core.shut_down();
        let own = std::thread::current().id();
        for thread in self.threads.get_mut().handles.drain(..) {
            // The last holder may be a value that one of our own threads drops.
            if thread.thread().id() != own {
                let _ = thread.join();
            }
        }
    }
}
