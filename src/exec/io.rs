//! Loads and writes: what input and output threads do, and the calling thread where there are none.

use super::core::{Core, Garbage, Io, State};
use super::run::Job;
use super::worker;
use crate::graph::{Value, patiently};
use crate::{Error, ErrorKind, Result};
use chunkstore_store::{EventKind, Slot};
use parking_lot::MutexGuard;
use std::time::Instant;

/// The loop of an input and output thread.
pub(super) fn serve(core: &Core) {
    let mut garbage = Garbage::default();
    let mut state = core.state.lock();
    loop {
        if let Some(io) = state.io_queue.pop_front() {
            perform(core, &mut state, io, &mut garbage);
            core.work.notify_all();
        } else if !garbage.is_empty() {
            MutexGuard::unlocked(&mut state, || garbage.clear());
        } else if state.shutdown {
            return;
        } else {
            core.io.wait(&mut state);
        }
    }
}

/// Does one load or write, without the lock, and reports it.
pub(super) fn perform(core: &Core, state: &mut MutexGuard<'_, State>, io: Io, garbage: &mut Garbage) {
    match io {
        Io::Load(chunk) => {
            let slot = state.entries.take_for_load(chunk);
            let loaded = match slot {
                Some(slot) => MutexGuard::unlocked(state, || {
                    garbage.clear();
                    let began = Instant::now();
                    let read = worker::caught("reading a spilled chunk", || core.spill.read(&core.arena, &slot))?;
                    core.moved.read.add(read.nbytes(), began.elapsed());
                    Ok(Value::Chunk(read))
                }),
                None => match state.job(chunk, &mut Vec::new(), None) {
                    Some(job) => MutexGuard::unlocked(state, || {
                        garbage.clear();
                        source(core, &job)
                    }),
                    None => Err(Error::new(ErrorKind::Invalid, format!("chunk {chunk} cannot be loaded; this is a defect of the engine"))),
                },
            };
            match loaded {
                // Others are about to give memory back, which may be what waits behind this.
                Err(error) if error.kind() == ErrorKind::OutOfMemory && state.waits_for_others(chunk) => {
                    state.entries.fail_load(chunk);
                    state.io_queue.push_back(Io::Load(chunk));
                }
                loaded => end_load(core, state, chunk, loaded, garbage),
            }
        }
        Io::Write(chunk) => {
            let value = state.entries.take_for_write(chunk);
            let written: Result<Slot> = match value {
                Some(Value::Chunk(value)) => MutexGuard::unlocked(state, || {
                    garbage.clear();
                    let began = Instant::now();
                    let slot = worker::caught("writing a chunk to the scratch folder", || core.spill.write(&core.arena, &value))?;
                    core.moved.written.add(value.nbytes(), began.elapsed());
                    Ok(slot)
                }),
                _ => Err(Error::new(ErrorKind::Invalid, format!("chunk {chunk} cannot be written; this is a defect of the engine"))),
            };
            end_write(core, state, chunk, written, garbage);
        }
    }
    state.act(core, garbage);
}

/// Reads a source: its operator is run.
fn source(core: &Core, job: &Job) -> Result<Value> {
    patiently(|| worker::run(core, job, &[], None)).map_err(|error| error.task(job.plan.table.name_of(job.task)))
}

fn end_load(core: &Core, state: &mut State, chunk: u32, loaded: Result<Value>, garbage: &mut Garbage) {
    match loaded {
        Ok(value) => {
            if state.policy.is_source(chunk) {
                match state.entries.insert(chunk, value) {
                    Ok(left) => garbage.push(left),
                    Err(_) => debug_assert!(false, "a source was loaded twice at once"),
                }
            } else {
                garbage.push(state.entries.finish_load(chunk, value));
            }
            state.ends_waits();
            state.policy.loaded(chunk, true);
            state.record(core, EventKind::Loaded, chunk);
        }
        Err(error) => {
            state.entries.fail_load(chunk);
            state.policy.loaded(chunk, false);
            state.fail_users(chunk, &error);
        }
    }
    if state.runs.iter().all(|run| run.ended.is_some()) {
        core.work.notify_all();
    }
}

fn end_write(core: &Core, state: &mut State, chunk: u32, written: Result<Slot>, garbage: &mut Garbage) {
    match written {
        Ok(slot) => {
            garbage.push(state.entries.finish_write(chunk, slot));
            state.policy.written(chunk, true);
            state.record(core, EventKind::Spilled, chunk);
        }
        // The value stays in memory.
        Err(error) => {
            state.entries.fail_write(chunk);
            state.policy.written(chunk, false);
            state.fail_writer(chunk, error);
        }
    }
}
