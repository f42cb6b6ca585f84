//! The loop of a worker: pick, run, report, all decisions under one hold of the lock.

use super::callback::TaskInfo;
use super::core::{Core, Garbage, Io, State};
use super::record::Place;
use super::run::{Job, Outcome, Plan};
use super::taken::Taken;
use super::{io, planning};
use crate::graph::{Allowance, DEEPEST, Grant, TRIMMED, TaskContext, Value};
use crate::policy::RunId;
use crate::{Error, ErrorKind, Result};
use chunkstore_store::{EventKind, trim_heap};
use parking_lot::MutexGuard;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

thread_local! {
    /// Whether this thread runs a task now.
    static IN_TASK: Cell<bool> = const { Cell::new(false) };
}

/// How long a helper dozes before it looks whether the others are held up.
const DOZE: Duration = Duration::from_millis(1);

/// A task of at least so many bytes is worth waking a helper for.
const HEAVY: u64 = 128 << 10;

impl Grant for Core {
    fn grow(&self, task: u32, more: u64) -> bool {
        let mut garbage = Garbage::default();
        let mut state = self.state.lock();
        let granted = state.policy.grow(task, more);
        state.act(self, &mut garbage);
        drop(state);
        granted
    }
}

/// Whether this thread is inside a task's function.
pub(crate) fn in_task() -> bool {
    IN_TASK.get()
}

/// Works on whatever there is to do, until run `until` has ended; a helper (`None`) until the engine shuts down. The tasks of a `solo` run
/// are all for the thread that waits for it, which runs no others.
pub(crate) fn work(core: &Arc<Core>, until: Option<RunId>, solo: bool) {
    let by = until.filter(|_| solo);
    let mut garbage = Garbage::default();
    let mut allowance = Allowance::new(core.clone());
    let mut inputs = Vec::new();
    // The job before, as long as the lock has been held since.
    let mut last = None;
    let mut seen = 0;
    let mut dozed = false;
    let mut state = core.state.lock();
    state.callers_awake += u32::from(until.is_some());
    loop {
        match until {
            Some(run) if state.runs.iter().all(|r| r.id != run || r.ended.is_some()) => {
                state.callers_awake -= 1;
                // Helpers may have left what is light to this thread.
                if state.callers_awake == 0 && !state.runs.iter().all(|r| r.ended.is_some()) {
                    core.work.notify_all();
                }
                return;
            }
            None if state.shutdown => return,
            _ => {}
        }
        // A helper leaves light tasks to the worker that has them, unless that one is held up.
        if until.is_none() {
            let held_up = dozed && seen == state.pace.completed() && !state.runs.is_empty();
            let light = state.pace.is_light();
            seen = state.pace.completed();
            if state.callers_awake > 0 && light != Some(false) && !held_up && !wants_help(&state) {
                dozed = true;
                last = None;
                core.wait(&mut state, Some(Instant::now() + DOZE));
                continue;
            }
            dozed = false;
        }
        if let Some(chunk) = state.at_hand.pop_front() {
            last = None;
            io::perform(core, &mut state, Io::Load(chunk), &mut garbage);
            wake_others(core, &state);
            continue;
        }
        let picked = if state.policy.running() < core.settings.threads as u32 { state.policy.pick(by) } else { None };
        state.act(core, &mut garbage);
        if let Some(id) = picked {
            let Some(job) = state.job(id, &mut inputs, last.take()) else {
                broken(&mut state, core, id, &mut garbage);
                continue;
            };
            let worth = state.pace.is_light() == Some(false) || wants_help(&state);
            let backlog = state.policy.has_backlog();
            // A helper that was woken because others are held up hands the watch on: to who may find a task, or to another helper.
            let hands_on = until.is_none() && !state.watched && (backlog || state.sleeping > state.callers_asleep);
            if state.sleeping > 0 && (worth && backlog || hands_on) {
                core.work.notify_one();
            }
            let measured = state.pace.is_light() == Some(false);
            let mut ran = None;
            let outcome = MutexGuard::unlocked(&mut state, || {
                if core.recorder.is_on() {
                    core.recorder.record(EventKind::Started, Place::of(&job.plan, job.task), job.booked);
                }
                garbage.clear();
                let began = measured.then(Instant::now);
                let outcome = run_booked(core, &job, &inputs, &mut allowance);
                ran = began.map(|began| began.elapsed());
                // Before the policy counts them as dropped.
                inputs.clear();
                outcome
            });
            if let Some(ran) = ran {
                state.pace.ran(ran);
            }
            state.complete(core, &job, outcome, &mut garbage);
            // Given up under the same hold of the lock, or used for the next task: the run still has its plan, so that this is not the last one.
            last = Some(job);
            wake_others(core, &state);
            continue;
        }
        last = None;
        // What was picked may have asked for blocks that a worker loads.
        if !state.at_hand.is_empty() {
            continue;
        }
        if !state.served
            && let Some(io) = state.io_queue.pop_front()
        {
            io::perform(core, &mut state, io, &mut garbage);
            wake_others(core, &state);
            continue;
        }
        if state.refuse_stuck(core, by, &mut garbage) {
            wake_others(core, &state);
            continue;
        }
        if !garbage.is_empty() {
            // The lock is given up for this, so look again before sleeping.
            MutexGuard::unlocked(&mut state, || garbage.clear());
            continue;
        }
        state.callers_awake -= u32::from(until.is_some());
        state.callers_asleep += u32::from(until.is_some());
        // Nobody wakes helpers for tasks that may be light: while a run is under way, one of them looks on whether the others
        // are held up by one that is not.
        let watch = until.is_none() && !state.watched && !state.runs.is_empty();
        state.watched |= watch;
        core.wait(&mut state, watch.then(|| Instant::now() + DOZE));
        if watch {
            (state.watched, dozed) = (false, true);
        }
        state.callers_awake += u32::from(until.is_some());
        state.callers_asleep -= u32::from(until.is_some());
    }
}

/// What has changed may let a task start that only another thread gets: with a solo run under way no thread can start them all.
fn wake_others(core: &Core, state: &State) {
    if state.policy.has_solo() && state.sleeping > 0 {
        core.work.notify_all();
    }
}

/// Whether the next tasks are large enough to be worth a helper, though nothing has been measured yet.
fn wants_help(state: &State) -> bool {
    state.policy.next_ready().is_some_and(|task| state.policy.need_of(task) >= HEAVY)
}

fn broken(state: &mut State, core: &Core, id: u32, garbage: &mut Garbage) {
    let error = Error::new(ErrorKind::Invalid, format!("task {id} was started without its inputs; this is a defect of the engine"));
    if let Some(run) = state.run_of(id) {
        run.error.get_or_insert(error);
    }
    state.policy.finished(id, crate::policy::Finished::Failed);
    state.act(core, garbage);
}

/// Runs a task within what it was booked for. What it asks for beyond that is granted at once or refused; where it was
/// refused, all that it asked for is given beside the outcome.
fn run_booked(core: &Core, job: &Job, inputs: &[Value], allowance: &mut Arc<Allowance>) -> (Outcome, Option<u64>) {
    Allowance::begin(allowance, job.id, job.booked);
    let outcome = run(core, job, inputs, Some(allowance)).and_then(|output| {
        if let Value::List(list) = &output
            && list.depth() > DEEPEST
        {
            let message = format!("a list was returned that is {} lists deep", list.depth());
            return Err(
                Error::new(ErrorKind::Invalid, message).hint(format!("return a flat list; {DEEPEST} inside each other is the most"))
            );
        }
        caught("what a barrier decides", || planning::expand(core, job, &output))?;
        Ok(output)
    });
    let refused = if outcome.is_err() { allowance.refused() } else { None };
    // What it held is free now, but still with the allocator.
    if allowance.claimed() >= TRIMMED {
        trim_heap();
    }
    allowance.end();
    (outcome, refused)
}

/// Runs a task's operator; a panic becomes an error.
pub(super) fn run(core: &Core, job: &Job, inputs: &[Value], allowance: Option<&Arc<Allowance>>) -> Outcome {
    let Some((operator, block)) = job.plan.operator_of(job.task) else {
        return Err(Error::new(ErrorKind::Graph, "a task without an operator"));
    };
    let context =
        TaskContext::new(block, &core.arena, &job.cancelled).in_run(&job.cancelled, core.spill.room()).kept_by(job.plan.keeper.as_deref());
    let run = || match allowance {
        Some(allowance) => operator.run(&context.limited(allowance), inputs),
        None => operator.run(&context, inputs),
    };
    let Plan { callbacks, taken, table, .. } = &*job.plan;
    let run = || caught_as(|| operator.task_name(block).unwrap_or_else(|| operator.name().to_string()), run);
    if callbacks.is_empty() && !Taken::counts(job.moved) {
        return run();
    }
    let info = TaskInfo { table, task: job.task };
    callbacks.tell(|callback| callback.pretask(&info))?;
    let began = Instant::now();
    let outcome = run();
    let time = began.elapsed();
    if outcome.is_ok() {
        taken.add(table.layer.get(job.task as usize).copied().unwrap_or(u32::MAX), job.moved, time);
    }
    if !matches!(&outcome, Err(error) if error.kind() == ErrorKind::OutOfMemory) {
        callbacks.tell(|callback| callback.posttask(&info, outcome.as_ref(), time))?;
    }
    outcome
}

/// Runs code that may be the user's; a panic becomes an error that names `what` panicked, so that the thread and the run end well.
pub(super) fn caught<T>(what: &str, run: impl FnOnce() -> Result<T>) -> Result<T> {
    caught_as(|| what.to_string(), run)
}

/// The same, where the name takes making.
fn caught_as<T>(what: impl FnOnce() -> String, run: impl FnOnce() -> Result<T>) -> Result<T> {
    let outer = IN_TASK.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(run));
    IN_TASK.set(outer);
    match outcome {
        Ok(outcome) => outcome,
        Err(payload) => {
            let text = payload.downcast_ref::<&str>().map(|text| text.to_string());
            let text = text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into());
            let error = Error::new(ErrorKind::Panicked, format!("{} panicked: {text}", what()));
            Err(error.hint("the run has ended and what it held is given back; mend the function, or let it return an error"))
        }
    }
}
