//! What the threads of an engine share, and what is done under its one lock.

use super::held::{Held, Holders};
use super::pace::Pace;
use super::record::{Place, Recorder};
use super::run::{Facts, Job, Outcome, Plan, Progressed, Run};
use super::taken::Moved;
use super::{Host, Shared, SpillArea};
use crate::graph::Value;
use crate::plan;
use crate::policy::{Action, Ended, Finished, Policy, RunId};
use crate::{Error, ErrorKind, Result};
use chunkstore_store::{Arena, Chunk, EventKind, Lease, Left, Table};
use parking_lot::{Condvar, Mutex, MutexGuard};
use rustc_hash::FxHashMap;
use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// How an engine runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// Workers, the calling thread included.
    pub(crate) threads: usize,
    /// Threads that load and write; none where the calling thread does everything.
    pub(crate) io_threads: usize,
    /// Whether tasks ahead of their turn may have chunks written to make room for them.
    pub(crate) speculative_spill: bool,
    /// Whether [`crate::init`] has been called.
    pub(crate) prepared: bool,
}

/// What a thread's stack and its allocator's caches may come to hold.
const THREAD_BYTES: u64 = 128 << 10;

/// How long who lowers the bound waits before looking again whether it is kept.
const SETTLING: Duration = Duration::from_millis(5);

/// Left free for what the system's allocator does not give back, where it has not been told to.
const UNPREPARED_BYTES: u64 = 16 << 20;

impl Settings {
    /// What the engine's threads take of the bound, beside what is booked.
    fn outside_bytes(&self) -> u64 {
        let allocator = if self.prepared { 0 } else { UNPREPARED_BYTES };
        self.threads_in_all() as u64 * THREAD_BYTES + allocator
    }

    /// Workers, and threads that load and write.
    pub(crate) fn threads_in_all(&self) -> usize {
        self.threads + self.io_threads
    }
}

/// What the threads of an engine share.
///
/// One lock guards all decisions. It is never held while a task runs, while bytes are read or written, or while memory is
/// given back.
pub(crate) struct Core {
    pub(crate) lease: Lease,
    pub(crate) arena: Arena,
    pub(crate) spill: SpillArea,
    pub(crate) settings: Settings,
    pub(super) host: Host,
    pub(super) state: Mutex<State>,
    /// Workers wait here for tasks, and callers for the end of their run.
    pub(super) work: Condvar,
    /// Input and output threads wait here.
    pub(super) io: Condvar,
    /// The bound that was named last: the lease may keep to less.
    named_memory: AtomicU64,
    /// What reading and writing spilled chunks has taken.
    pub(crate) moved: Moved,
    /// Where events are recorded, if anywhere.
    pub(crate) recorder: Recorder,
    /// What the core is part of, for planning what a barrier decides.
    pub(super) shared: Weak<Shared>,
}

pub(super) struct State {
    pub(super) policy: Policy,
    /// The chest of this engine: values by the policy's numbers. The policy decides, the table obeys.
    pub(super) entries: Table<Value>,
    pub(super) runs: Vec<Run>,
    /// The holders of kept chunks, by the chunks' numbers.
    pub(super) held: FxHashMap<u32, Holders>,
    pub(super) io_queue: VecDeque<Io>,
    /// Sources that need no input or output (memory of the user's): a worker loads them itself.
    pub(super) at_hand: VecDeque<u32>,
    pub(super) pace: Pace,
    pub(super) sleeping: u32,
    /// Whether a helper that found nothing to do looks on now and then.
    pub(super) watched: bool,
    /// Threads that wait for a run of theirs and are not asleep.
    pub(super) callers_awake: u32,
    /// Threads that wait for a run of theirs and are asleep.
    pub(super) callers_asleep: u32,
    pub(super) shutdown: bool,
    /// Whether there are threads for input and output; where there are none, workers do it.
    pub(super) served: bool,
    /// Bytes of the lease that are not the policy's: results, graphs.
    pub(super) reserved: u64,
    /// Why kept chunks could not be written, since a run last began.
    pub(super) unwritten: Option<Error>,
    /// The tasks that found no memory since a task last ended, and when they first did.
    waits: FxHashMap<u32, Instant>,
    actions: Vec<Action>,
}

/// So long tasks that kept to what they were booked for, and found no memory, wait for each other.
const PATIENCE: Duration = Duration::from_secs(60);

/// What an input and output thread is to do.
#[derive(Clone, Copy, Debug)]
pub(super) enum Io {
    Load(u32),
    Write(u32),
}

/// Values and slots to be dropped outside the lock.
#[derive(Default)]
pub(super) struct Garbage(Vec<Left<Value>>);

impl Garbage {
    pub(super) fn push(&mut self, left: Left<Value>) {
        let inline = matches!(left.value, None | Some(Value::None | Value::Chunk(Chunk::Scalar(_))));
        if !(inline && left.slot.is_none()) {
            self.0.push(left);
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Core {
    pub(super) fn new(lease: Lease, arena: Arena, spill: SpillArea, settings: Settings, host: Host, shared: Weak<Shared>) -> Self {
        let (reserved, lease_memory) = (settings.outside_bytes(), lease.memory());
        let bound = plan::policy_bound(&arena, reserved + spill.reserved_bytes());
        let mut policy = Policy::new(bound, settings.threads as u32, settings.io_threads.max(1) as u32);
        policy.set_speculative_spill(settings.speculative_spill);
        let state = State {
            policy,
            entries: Table::new(),
            runs: Vec::new(),
            held: FxHashMap::default(),
            io_queue: VecDeque::new(),
            pace: Pace::new(),
            sleeping: 0,
            watched: false,
            callers_awake: 0,
            callers_asleep: 0,
            at_hand: VecDeque::new(),
            shutdown: false,
            served: false,
            reserved,
            unwritten: None,
            waits: FxHashMap::default(),
            actions: Vec::new(),
        };
        Core {
            lease,
            arena,
            spill,
            settings,
            host,
            state: Mutex::new(state),
            work: Condvar::new(),
            io: Condvar::new(),
            named_memory: lease_memory.into(),
            moved: Moved::default(),
            recorder: Recorder::default(),
            shared,
        }
    }

    /// The bytes of the lease that are set aside for other things than tasks.
    pub(crate) fn reserved(&self) -> u64 {
        self.state.lock().reserved + self.spill.reserved_bytes()
    }

    /// Sets aside `bytes` of the bound for what the policy does not move: results, the graph itself.
    ///
    /// # Errors
    /// Out of memory where that would leave too little for a run that is under way.
    pub(crate) fn reserve(&self, bytes: u64) -> Result<()> {
        let mut state = self.state.lock();
        let largest = state.runs.iter().map(|run| run.largest).max().unwrap_or(0);
        let bound = plan::policy_bound(&self.arena, state.reserved.saturating_add(bytes) + self.spill.reserved_bytes());
        if bytes > 0 && bound < largest {
            let message = format!("{bytes} bytes would leave too little for a computation that is under way on this engine");
            return Err(Error::new(ErrorKind::OutOfMemory, message).hint("compute after it has ended, or give the engine more memory"));
        }
        state.reserved += bytes;
        state.set_bound(self);
        Ok(())
    }

    /// Ends a reservation.
    pub(crate) fn unreserve(&self, bytes: u64) {
        let mut state = self.state.lock();
        state.reserved -= bytes;
        state.set_bound(self);
        drop(state);
        self.work.notify_all();
    }

    /// What the engine takes from the process and the machine.
    pub(crate) fn host(&self) -> &Host {
        &self.host
    }

    /// The bound that was named last.
    pub(crate) fn named_memory(&self) -> u64 {
        self.named_memory.load(Relaxed)
    }

    /// Names another bound of the whole process, and sets it.
    pub(crate) fn name_memory(&self, memory: u64) -> Result<()> {
        self.set_memory(memory)?;
        self.named_memory.store(memory, Relaxed);
        Ok(())
    }

    /// Changes the bound of the whole process. What is held beyond it is evicted, as soon as no task needs it.
    pub(crate) fn set_memory(&self, memory: u64) -> Result<()> {
        let mut garbage = Garbage::default();
        let mut state = self.state.lock();
        let largest = state.runs.iter().filter(|run| run.ended.is_none()).map(|run| run.largest).max().unwrap_or(0);
        let limit = self.lease.limit_with(memory)?;
        let reserved = state.reserved + self.spill.reserved_bytes();
        let bound = plan::bound_within(limit, reserved);
        if reserved >= limit || bound < largest {
            let message = match largest {
                0 => {
                    format!("a bound of {memory} bytes leaves {limit} for the engine, and its buffers, results and graphs take {reserved}")
                }
                _ => format!(
                    "a bound of {memory} bytes leaves {bound} for tasks, and one of a computation that is under way needs {largest}"
                ),
            };
            let hint = "name a larger bound, or lower it once what is under way has ended";
            return Err(Error::new(ErrorKind::OutOfMemory, message).hint(hint));
        }
        self.lease.set_memory(memory)?;
        state.set_bound(self);
        state.act(self, &mut garbage);
        self.work.notify_all();
        // What is being written leaves memory when that has ended. What tasks under way hold leaves it with them.
        while state.served && state.policy.is_over() && state.policy.io_under_way() > 0 {
            MutexGuard::unlocked(&mut state, || garbage.clear());
            self.work.wait_for(&mut state, SETTLING);
        }
        drop(state);
        drop(garbage);
        self.arena.trim();
        Ok(())
    }

    /// Whether no run is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.state.lock().runs.is_empty()
    }

    /// Measures anew what the process takes beside what is booked, and sets the bound by that; whether it did. While runs are under way, as far as
    /// their tasks still fit.
    pub(crate) fn remeasure(&self) -> Result<bool> {
        let mut garbage = Garbage::default();
        let mut state = self.state.lock();
        let measured = match state.runs.iter().filter(|run| run.ended.is_none()).map(|run| run.largest).max() {
            None if state.runs.is_empty() => (self.host.measure)(&self.lease).map(|()| true)?,
            largest => {
                // What is set aside is booked before it is used.
                let reserved = state.reserved + self.spill.reserved_bytes();
                (self.host.measure_under_way)(&self.lease, reserved, plan::limit_for(largest.unwrap_or(0), reserved))?
            }
        };
        if measured {
            state.set_bound(self);
            state.act(self, &mut garbage);
        }
        drop(state);
        Ok(measured)
    }

    /// The bytes that tasks may use.
    pub(crate) fn bound(&self) -> u64 {
        self.state.lock().policy.bound()
    }

    /// Where no run is under way: gives up what is known of tasks of runs before. Not while somebody plans.
    pub(super) fn compact(&self) {
        self.state.lock().compact();
    }

    /// The bytes that tasks may use, and the chunks that are kept, in the order of their numbers.
    pub(crate) fn situation(&self) -> (u64, u32, Vec<(u32, crate::policy::Kept)>) {
        let mut state = self.state.lock();
        state.compact();
        (state.policy.bound(), state.policy.len(), state.policy.kept().collect())
    }

    /// Begins a run that was planned for what [`Core::situation`] said, while the caller kept others from planning.
    ///
    /// The tasks of a `solo` run are for the thread that begins it.
    pub(crate) fn begin(&self, mut plan: Plan, solo: bool, progress: Arc<Progressed>) -> Result<RunId> {
        let mut state = self.state.lock();
        let state = &mut *state;
        let known = state.policy.len();
        if u32::MAX - known < plan.batch.len() as u32 + 1 {
            return Err(Error::new(ErrorKind::Graph, "more than 2^32 tasks on one engine").hint("let a running compute end first"));
        }
        if state.runs.is_empty() {
            state.pace.restart();
            state.policy.reset_peak();
            self.arena.ledger().reset_peak();
            self.arena.ledger().set_mark(plan.most_booked);
        } else {
            self.arena.ledger().set_mark(None);
        }
        let largest = plan.batch.largest_need(known, |chunk| state.policy.bytes_of(chunk));
        if largest.0 > state.policy.bound() {
            let task = plan.order.get(largest.1 as usize).copied().unwrap_or(0);
            return Err(plan::does_not_fit(&plan.table, task, largest.0, state.policy.bound(), &self.arena));
        }
        self.recorder.plan(&mut plan, state.policy.bound());
        progress.tasks.store(plan.batch.tasks(), Relaxed);
        // The policy has its own columns of it.
        let id = state.policy.extend_with(std::mem::take(&mut plan.batch));
        let plan = Arc::new(plan);
        state.unwritten = None;
        if solo {
            state.policy.make_solo(id);
        }
        let helpers = state.sleeping > 0 && plan.order.len() > 1 && !solo;
        state.runs.push(Run {
            id,
            parts: vec![plan],
            cancelled: Arc::default(),
            ended: None,
            error: None,
            done: 0,
            progress,
            largest: largest.0,
        });
        let mut garbage = Garbage::default();
        state.act(self, &mut garbage);
        if helpers {
            self.work.notify_all();
        }
        Ok(id)
    }

    /// A barrier's task has run: adds what it decided to its run, before the task itself is reported as finished.
    pub(super) fn expand(&self, barrier: u32, mut plan: Plan) -> Result<()> {
        let mut state = self.state.lock();
        let state = &mut *state;
        let known = state.policy.len();
        let largest = plan.batch.largest_need(known, |chunk| state.policy.bytes_of(chunk)).0;
        let Some(run) = state.runs.iter_mut().find(|run| run.contains(barrier)) else {
            return Err(Error::new(ErrorKind::Invalid, "a barrier belongs to no run"));
        };
        self.recorder.plan(&mut plan, state.policy.bound());
        self.arena.ledger().set_mark(None);
        let batch = std::mem::take(&mut plan.batch);
        if state.policy.expanded(run.id, &batch) {
            run.largest = run.largest.max(largest);
            run.progress.tasks.fetch_add(batch.tasks(), Relaxed);
            plan.callbacks = run.parts.first().map(|first| first.callbacks.clone()).unwrap_or_default();
            run.parts.push(Arc::new(plan));
        }
        Ok(())
    }

    /// The tasks and the plans of a run that has ended, or its error; called once, after [`super::worker::work`] has come back.
    pub(crate) fn conclude(&self, id: RunId) -> Result<(u64, Vec<Arc<Plan>>)> {
        let mut state = self.state.lock();
        let Some(at) = state.runs.iter().position(|run| run.id == id) else {
            return Err(Error::new(ErrorKind::Invalid, "no such run"));
        };
        let run = state.runs.remove(at);
        if state.runs.is_empty() {
            self.arena.ledger().set_mark(None);
            state.waits.clear();
        }
        drop(state);
        match (run.error, run.ended) {
            (Some(error), _) => Err(error),
            (None, Some(Ended::Done)) => Ok((run.done, run.parts)),
            (None, _) => Err(Error::new(ErrorKind::Cancelled, "the run was cancelled")),
        }
    }

    /// Makes holders of kept chunks, each of which releases one claim when it is dropped: for chunks of a plan, whose numbers count
    /// from `base` on, the claim that the plan made; for chunks from before another one. Where the run has failed there are none.
    pub(super) fn hold(&self, ids: &[u32], base: u32, shared: &Arc<Shared>) -> Vec<Arc<Held>> {
        let mut state = self.state.lock();
        let state = &mut *state;
        let mut held = Vec::with_capacity(ids.len());
        for id in ids.iter().copied() {
            if if id < base { state.policy.claim(id) } else { state.policy.is_kept(id) } {
                let recorded = match self.recorder.is_on() {
                    true => state.runs.iter().find_map(|run| run.find(id)).and_then(|(plan, task)| Place::of(plan, task)),
                    false => None,
                };
                let holders = state.held.entry(id).or_insert_with(|| Holders { id: Arc::new(id.into()), count: 0, recorded });
                holders.count += 1;
                held.push(Arc::new(Held::new(holders.id.clone(), shared.clone())));
            }
        }
        held
    }

    /// Releases the claim of one holder of a kept chunk.
    pub(super) fn release_held(&self, id: &Arc<AtomicU32>) {
        let mut garbage = Garbage::default();
        let mut state = self.state.lock();
        let number = id.load(Relaxed);
        // Where the run has failed the number may be another chunk's.
        let Some(holders) = state.held.get_mut(&number).filter(|holders| Arc::ptr_eq(&holders.id, id)) else { return };
        holders.count -= 1;
        let last = holders.count == 0;
        state.policy.release(number);
        state.act(self, &mut garbage);
        if last {
            state.held.remove(&number);
        }
        drop(state);
    }

    /// Ends the threads once they have nothing under way.
    pub(super) fn shut_down(&self) {
        self.state.lock().shutdown = true;
        self.work.notify_all();
        self.io.notify_all();
    }

    /// The value of a kept chunk, read back if it was spilled.
    ///
    /// The number is looked at under the lock: another thread may number the chunks anew.
    pub(super) fn value_of(&self, id: &AtomicU32) -> Result<Value> {
        let (value, slot) = {
            let state = self.state.lock();
            let id = id.load(Relaxed);
            (state.entries.get(id), state.entries.slot(id))
        };
        match (value, slot) {
            (Some(value), _) => Ok(value),
            (None, Some(slot)) => Ok(Value::Chunk(self.spill.read(&self.arena, &slot).map_err(super::held::lost)?)),
            (None, None) => Err(Error::new(ErrorKind::Invalid, "a kept chunk is gone")),
        }
    }

    /// What was moved so far, by everything that ran on this engine.
    pub(crate) fn facts(&self) -> Facts {
        let state = self.state.lock();
        let (written, read_back, source, source_again) = state.policy.totals();
        Facts {
            tasks: 0,
            spilled_bytes: written,
            reread_bytes: read_back,
            source_bytes: source,
            source_reread_bytes: source_again,
            stored_bytes: self.spill.stored_bytes(),
            shuffled_bytes: self.spill.room().shuffles.bytes(),
            peak_bytes: self.arena.ledger().peak(),
            seconds: 0.0,
        }
    }

    /// Ends one run.
    pub(super) fn cancel(&self, id: RunId) {
        let mut garbage = Garbage::default();
        let mut state = self.state.lock();
        state.fail(id, None);
        state.act(self, &mut garbage);
        drop(state);
        self.work.notify_all();
    }

    /// Ends all runs that are under way.
    pub(crate) fn cancel_all(&self) {
        let mut garbage = Garbage::default();
        let mut state = self.state.lock();
        let runs: Vec<RunId> = state.runs.iter().map(|run| run.id).collect();
        for id in runs {
            state.fail(id, None);
        }
        state.act(self, &mut garbage);
        drop(state);
        self.work.notify_all();
    }

    /// Waits for something to change; helpers only doze while light tasks go by on another worker.
    pub(super) fn wait(&self, state: &mut MutexGuard<'_, State>, until: Option<Instant>) {
        state.sleeping += 1;
        match until {
            Some(until) => {
                self.work.wait_until(state, until);
            }
            None => self.work.wait(state),
        }
        state.sleeping -= 1;
    }
}

impl State {
    fn set_bound(&mut self, core: &Core) {
        let bound = plan::policy_bound(&core.arena, self.reserved + core.spill.reserved_bytes());
        if bound != self.policy.bound() {
            core.recorder.bound(bound);
        }
        self.policy.set_bound(bound);
    }

    pub(super) fn run_of(&mut self, id: u32) -> Option<&mut Run> {
        self.runs.iter_mut().find(|run| run.contains(id))
    }

    /// Where no run is under way: forgets all but the kept chunks, and tells their holders their new numbers.
    pub(super) fn compact(&mut self) {
        if !self.runs.is_empty() || self.policy.len() as usize == self.held.len() {
            return;
        }
        let Some(kept) = self.policy.compact() else { return };
        let left = self.entries.renumber(&kept);
        debug_assert!(left.is_empty(), "{} values belong to nobody", left.len());
        for (old, holders) in std::mem::take(&mut self.held) {
            let new = kept.binary_search(&old).ok().map(|new| new as u32);
            holders.id.store(new.unwrap_or(u32::MAX), Relaxed);
            if let Some(new) = new {
                self.held.insert(new, holders);
            }
        }
    }

    fn is_at_hand(&self, chunk: u32) -> bool {
        let found = self.runs.iter().find_map(|run| run.find(chunk));
        found.is_some_and(|(plan, task)| plan.table.is_at_hand(task))
    }

    /// Records what happened to a chunk of a run that is under way.
    pub(super) fn record(&self, core: &Core, kind: EventKind, chunk: u32) {
        if !core.recorder.is_on() {
            return;
        }
        let place = match self.runs.iter().find_map(|run| run.find(chunk)) {
            Some((plan, task)) => Place::of(plan, task),
            None => self.held.get(&chunk).and_then(|holders| holders.recorded),
        };
        core.recorder.record(kind, place, self.policy.bytes_of(chunk));
    }

    /// Carries out what the policy has decided.
    pub(super) fn act(&mut self, core: &Core, garbage: &mut Garbage) {
        let mut actions = std::mem::take(&mut self.actions);
        self.policy.trim();
        self.policy.take_actions(&mut actions);
        for action in actions.drain(..) {
            if let Action::Drop(chunk) | Action::Forget(chunk) = action {
                let kind = if matches!(action, Action::Drop(_)) { EventKind::Dropped } else { EventKind::Died };
                self.record(core, kind, chunk);
            }
            match action {
                Action::Load(chunk) if self.is_at_hand(chunk) => self.at_hand.push_back(chunk),
                Action::Load(chunk) => {
                    self.io_queue.push_back(Io::Load(chunk));
                    core.io.notify_one();
                }
                Action::Write(chunk) => {
                    self.io_queue.push_back(Io::Write(chunk));
                    core.io.notify_one();
                }
                // A source has no slot: it is read again where it came from.
                Action::Drop(chunk) if self.policy.is_source(chunk) => garbage.push(self.entries.forget(chunk)),
                Action::Drop(chunk) => garbage.push(Left { value: self.entries.drop_resident(chunk), slot: None }),
                Action::Forget(chunk) => garbage.push(self.entries.forget(chunk)),
                Action::End(id, ended) => {
                    if let Some(run) = self.runs.iter_mut().find(|run| run.id == id) {
                        run.ended = Some(ended);
                    }
                    if self.callers_asleep > 0 {
                        core.work.notify_all();
                    }
                }
            }
        }
        self.actions = actions;
    }

    /// The run cannot go on: its first error is kept.
    pub(super) fn fail(&mut self, id: RunId, error: Option<Error>) {
        // What has ended has all that it needs, even where a chunk that it leaves cannot be written.
        if let Some(run) = self.runs.iter_mut().find(|run| run.id == id && run.ended.is_none()) {
            run.cancelled.store(true, Relaxed);
            if run.error.is_none() {
                run.error = error;
            }
            self.policy.cancel(id);
        }
    }

    /// A chunk could not be loaded: ends the runs that cannot do without it. What is kept stays so, in case that it can be read later.
    pub(super) fn fail_users(&mut self, chunk: u32, error: &Error) {
        let kept = !self.runs.iter().any(|run| run.contains(chunk));
        let error = if kept { super::held::lost(error.clone()) } else { error.clone() };
        let users: Vec<u32> = self.policy.users_left(chunk).collect();
        for user in users {
            let found = self.runs.iter().find_map(|run| run.find(user).map(|(plan, task)| (run.id, plan.table.name_of(task))));
            if let Some((id, name)) = found {
                self.fail(id, Some(error.clone().task(name)));
            }
        }
    }

    /// A chunk could not be written: ends its run, which cannot keep its bound without the disk. Others are left to do without the room that
    /// a kept chunk takes; where one cannot, this is why.
    pub(super) fn fail_writer(&mut self, chunk: u32, error: Error) {
        let own = self.runs.iter().find(|run| run.ended.is_none() && run.contains(chunk)).map(|run| run.id);
        match own {
            Some(id) => self.fail(id, Some(error)),
            None => self.unwritten = Some(error),
        }
    }

    /// The job of a task that the policy has picked, with its inputs. `last` is the one before, whose plan it has as a rule.
    pub(super) fn job(&mut self, id: u32, inputs: &mut Vec<Value>, last: Option<Job>) -> Option<Job> {
        let (run, (plan, task)) = self.runs.iter().find_map(|run| Some((run, run.find(id)?)))?;
        let booked = self.policy.bytes_of(id) + self.policy.scratch_of(id);
        inputs.clear();
        let mut moved = self.policy.bytes_of(id);
        for input in plan.table.inputs_of(task) {
            let id = plan.ids.get(*input as usize)?;
            moved += self.policy.bytes_of(*id);
            inputs.push(self.entries.get(*id)?);
        }
        let (plan, cancelled) = match last {
            Some(last) if Arc::ptr_eq(&last.plan, plan) && Arc::ptr_eq(&last.cancelled, &run.cancelled) => (last.plan, last.cancelled),
            _ => (plan.clone(), run.cancelled.clone()),
        };
        Some(Job { id, plan, task, booked, moved, cancelled })
    }

    /// A task has been run.
    pub(super) fn complete(&mut self, core: &Core, job: &Job, (outcome, refused): (Outcome, Option<u64>), garbage: &mut Garbage) {
        let id = job.id;
        let finished = match outcome {
            Ok(value) => {
                self.ends_waits();
                let exact = job.plan.table.exact.get(job.task as usize).copied().unwrap_or(false);
                let bytes = if exact { self.policy.bytes_of(id) } else { plan::booked_bytes(&value) };
                let object = !matches!(value, Value::None | Value::Chunk(_));
                if !exact {
                    job.plan.give(job.task, bytes, !object);
                }
                match self.entries.insert(id, value) {
                    Ok(left) => garbage.push(left),
                    Err(_) => debug_assert!(false, "a task ran while its output was read or written"),
                }
                if object { Finished::Object(bytes) } else { Finished::Output(bytes) }
            }
            Err(error) => match self.more_scratch(id, &error, refused) {
                Some(scratch) => Finished::PutBack(scratch),
                None => {
                    let error = match refused.filter(|_| error.kind() == ErrorKind::OutOfMemory && !error.has_hint()) {
                        Some(asked) => {
                            let need = self.policy.need_of(id).saturating_sub(self.policy.scratch_of(id));
                            let need = need.saturating_add(asked.saturating_sub(self.policy.bytes_of(id)));
                            let held = self.policy.firm().saturating_sub(self.policy.need_of(id));
                            error.hint(plan::asked_for_more(need, self.policy.bound(), held))
                        }
                        None => error,
                    };
                    let table = &job.plan.table;
                    let layer = table.layer_of(job.task);
                    let named = error.task(table.name_of(job.task));
                    let named = match layer.and_then(|layer| layer.location()) {
                        Some(line) => named.from_line(line),
                        None => named,
                    };
                    if let Some(run) = self.run_of(id) {
                        run.cancelled.store(true, Relaxed);
                        run.error.get_or_insert(named);
                    }
                    Finished::Failed
                }
            },
        };
        self.policy.finished(id, finished);
        if core.recorder.is_on() {
            let (kind, bytes) = match finished {
                Finished::PutBack(scratch) => (EventKind::PutBack, scratch),
                Finished::Failed => (EventKind::Failed, 0),
                _ => (EventKind::Finished, self.policy.bytes_of(id)),
            };
            core.recorder.record(kind, Place::of(&job.plan, job.task), bytes);
        }
        if !self.policy.is_resident(id) {
            garbage.push(self.entries.forget(id));
        }
        if !matches!(finished, Finished::PutBack(_))
            && let Some(run) = self.run_of(id)
        {
            run.done += 1;
            run.progress.done.store(run.done, Relaxed);
        }
        self.pace.count();
        self.act(core, garbage);
    }

    /// For a task that ran out of memory: the scratch to run again with; none where the bound has no room for that.
    fn more_scratch(&mut self, id: u32, error: &Error, refused: Option<u64>) -> Option<u64> {
        if error.kind() != ErrorKind::OutOfMemory {
            return None;
        }
        let scratch = match refused {
            // It needs more than it said.
            Some(asked) => {
                let scratch = asked.saturating_sub(self.policy.bytes_of(id)).max(self.policy.scratch_of(id) + 1);
                // It asks in steps, and is not to be run once for each.
                let room = self.policy.bound().saturating_sub(self.policy.need_of(id).saturating_sub(self.policy.scratch_of(id)));
                scratch.max((scratch + scratch / 2).min(room))
            }
            // It kept to what it said, and others did not. It waits for them, unless it is alone.
            None if self.policy.running() > 1 || self.policy.io_under_way() > 0 => {
                if !self.waits_still(id) {
                    return None;
                }
                self.policy.scratch_of(id)
            }
            // Once more with all that is there, but for what cannot be evicted; what the task has itself counts as that now.
            None => {
                let scratch = self.policy.scratch_of(id);
                let all = self.policy.bound().saturating_sub(self.policy.firm().saturating_sub(scratch));
                return (all > scratch).then_some(all);
            }
        };
        let need = (self.policy.need_of(id) - self.policy.scratch_of(id)).saturating_add(scratch);
        (need <= self.policy.bound()).then_some(scratch)
    }

    /// Something has ended well, so that others may find memory now.
    pub(super) fn ends_waits(&mut self) {
        if !self.waits.is_empty() {
            self.waits.clear();
        }
    }

    /// Whether what found no memory, a task or a load, is to wait for others: where all that is under way waits so for each other, none of it ends.
    fn waits_still(&mut self, id: u32) -> bool {
        let since = *self.waits.entry(id).or_insert_with(Instant::now);
        (self.waits.len() as u32) < self.policy.running() + self.policy.io_under_way() || since.elapsed() <= PATIENCE
    }

    /// Whether a load that found no memory is to be tried again: while something else is under way that may give memory back.
    pub(super) fn waits_for_others(&mut self, chunk: u32) -> bool {
        let others = self.policy.running() > 0 || self.policy.io_under_way() > 1;
        others && !self.policy.is_doomed(chunk) && self.waits_still(chunk)
    }

    /// Nothing is under way and nothing may start, though runs have not ended: what is first does not fit. To be found by a thread
    /// that would have got it, which asks by `by`.
    pub(super) fn refuse_stuck(&mut self, core: &Core, by: Option<RunId>, garbage: &mut Garbage) -> bool {
        if self.policy.running() > 0 || self.policy.io_under_way() > 0 || self.policy.is_idle() {
            return false;
        }
        let Some(head) = self.policy.head().filter(|head| self.policy.gives(*head, by).is_ok()) else { return false };
        let (need, bound) = (self.policy.need_of(head), self.policy.bound());
        let Some((id, plan, task)) = self.runs.iter().find_map(|run| run.find(head).map(|(plan, task)| (run.id, plan.clone(), task)))
        else {
            return false;
        };
        // With nothing under way, what cannot be evicted is what cannot be written.
        let error = match (self.policy.firm(), &self.unwritten) {
            (held, Some(error)) if need <= bound => plan::held_unwritten(&plan.table, task, (need, held, bound), error),
            (held, None) if need <= bound => plan::held_by_objects(&plan.table, task, need, bound, held),
            _ => plan::does_not_fit(&plan.table, task, need, bound, &core.arena),
        };
        self.fail(id, Some(error));
        self.act(core, garbage);
        true
    }
}
