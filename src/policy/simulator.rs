//! The policy run against sizes instead of data, on a virtual clock.
//!
//! ```text
//! workers     [task 1][task 2 ....][task 4]
//!             [task 3 .......][task 5 ...]
//! disk        [load a][load b][write c][load d]
//!             0 ------------------------------> seconds
//! ```

pub(crate) use self::memory::Spare;

use self::memory::Memory;
use super::machine::{Action, Finished};
use super::{Batch, Class, Eviction, Kept, Policy};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What a simulation takes for given.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    /// The bytes that the policy may use.
    pub(crate) bound: u64,
    /// Virtual workers: as many as will run.
    pub(crate) workers: u32,
    /// Virtual input and output threads.
    pub(crate) io_threads: u32,
    /// Chunks kept from before; the batch's tasks are numbered after them.
    pub(crate) kept: Vec<Kept>,
    /// Bytes a second that a worker gets through, inputs and output taken together.
    pub(crate) work_rate: f64,
    /// Bytes a second that the disk reads or writes, all threads together.
    pub(crate) disk_rate: f64,
    /// What is booked beside buffers in use.
    pub(crate) spare: Spare,
    /// Which chunk leaves memory first.
    pub(crate) eviction: Eviction,
    /// What each task gives, where that is not what it is booked for.
    pub(crate) gives: Vec<u64>,
}

impl Setup {
    /// Usual rates, and nothing kept.
    pub(crate) fn new(bound: u64, workers: u32, io_threads: u32) -> Self {
        Setup {
            bound,
            workers,
            io_threads,
            kept: Vec::new(),
            work_rate: 4e9,
            disk_rate: 1.5e9,
            spare: Spare::default(),
            eviction: Eviction::default(),
            gives: Vec::new(),
        }
    }
}

/// What a run will take, as far as sizes tell.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Forecast {
    /// Tasks that workers run.
    pub(crate) tasks: u64,
    /// The most bytes booked at a time, by the policy: also what tasks will need that have not started.
    pub(crate) peak_bytes: u64,
    /// The most bytes in buffers and waiting to be used again at a time.
    pub(crate) booked_bytes: u64,
    /// The most bytes beside them at a time: what slabs hold beside small buffers, and what loads are put together from.
    pub(crate) beside_bytes: u64,
    /// Bytes written to the spill area, once each chunk.
    pub(crate) spilled_bytes: u64,
    /// Bytes read back from there.
    pub(crate) reread_bytes: u64,
    /// Bytes read from sources for the first time.
    pub(crate) source_bytes: u64,
    /// Bytes read from sources again.
    pub(crate) source_reread_bytes: u64,
    /// Virtual seconds.
    pub(crate) seconds: f64,
    /// The tasks (numbers in the batch) whose output is spilled.
    pub(crate) will_spill: Vec<u32>,
}

/// Runs a batch on a virtual clock; `None` if some task does not fit even alone.
pub(crate) fn simulate(batch: &Batch, setup: &Setup) -> Option<Forecast> {
    let base = setup.kept.len() as u32;
    let kept = |chunk: u32| setup.kept.get(chunk as usize).map_or(0, |kept| kept.bytes);
    if batch.largest_need(base, kept).0 > setup.bound {
        return None;
    }
    let mut policy = Policy::with_kept(setup.bound, setup.workers, setup.io_threads, &setup.kept);
    let (written, read_back) = (policy.totals.written, policy.totals.read_back);
    policy.set_eviction(setup.eviction);
    policy.extend(batch);
    let mut forecast = Forecast::default();
    let mut clock = 0.0f64;
    let mut disk_free = 0.0f64;
    let mut events: BinaryHeap<Reverse<(u64, u64, Event)>> = BinaryHeap::new();
    let mut idle = setup.workers.max(1);
    let mut actions = Vec::new();
    let mut sequence = 0;
    // Which chunks are in memory, or on their way there.
    let mut resident: Vec<bool> = setup.kept.iter().map(|kept| kept.resident).collect();
    resident.resize(resident.len() + batch.len(), false);
    let live = setup.kept.iter().filter(|kept| kept.resident).map(|kept| kept.bytes).sum();
    let mut memory = Memory::new(setup.spare, live);
    // A source is not booked for what it is put together from.
    let stage_of = |chunk: u32| {
        let place = chunk.checked_sub(base).map(|place| place as usize).filter(|place| batch.class.get(*place) == Some(&Class::Source));
        place.and_then(|place| batch.scratch.get(place)).copied().unwrap_or(0)
    };
    let nanoseconds = |seconds: f64| (seconds * 1e9) as u64;
    loop {
        while idle > 0
            && let Some(task) = policy.pick(None)
        {
            idle -= 1;
            forecast.tasks += 1;
            memory.take(policy.bytes_of(task));
            memory.take_scratch(policy.scratch_of(task));
            resident[task as usize] = true;
            let end = clock + policy.need_of(task) as f64 / setup.work_rate + 1e-7;
            events.push(Reverse((nanoseconds(end), sequence, Event::Ran(task))));
            sequence += 1;
        }
        policy.take_actions(&mut actions);
        for action in actions.drain(..) {
            let (chunk, event) = match action {
                Action::Load(chunk) => {
                    memory.take(policy.bytes_of(chunk));
                    memory.begin_load(stage_of(chunk), u64::from(setup.io_threads.max(1)));
                    resident[chunk as usize] = true;
                    (chunk, Event::Loaded(chunk))
                }
                Action::Write(chunk) => {
                    forecast.will_spill.extend(chunk.checked_sub(base));
                    (chunk, Event::Written(chunk))
                }
                Action::Drop(chunk) | Action::Forget(chunk) => {
                    if std::mem::replace(&mut resident[chunk as usize], false) {
                        memory.give(policy.bytes_of(chunk));
                    }
                    continue;
                }
                Action::End(..) => continue,
            };
            disk_free = disk_free.max(clock) + policy.bytes_of(chunk) as f64 / setup.disk_rate + 1e-5;
            events.push(Reverse((nanoseconds(disk_free), sequence, event)));
            sequence += 1;
        }
        let Some(Reverse((time, _, event))) = events.pop() else { break };
        clock = clock.max(time as f64 / 1e9);
        match event {
            Event::Ran(task) => {
                idle += 1;
                memory.give_scratch(policy.scratch_of(task));
                let booked = policy.bytes_of(task);
                let gives = task.checked_sub(base).and_then(|task| setup.gives.get(task as usize)).copied().unwrap_or(booked);
                if gives != booked {
                    memory.give(booked);
                    memory.take(gives);
                }
                policy.finished(task, Finished::Output(gives));
            }
            Event::Loaded(chunk) => {
                memory.end_load();
                policy.loaded(chunk, true);
            }
            Event::Written(chunk) => policy.written(chunk, true),
        }
    }
    if !policy.is_idle() {
        return None;
    }
    forecast.peak_bytes = policy.peak();
    forecast.booked_bytes = memory.peak();
    forecast.beside_bytes = memory.most_beside();
    forecast.spilled_bytes = policy.totals.written - written;
    forecast.reread_bytes = policy.totals.read_back - read_back;
    forecast.source_bytes = policy.totals.source_read;
    forecast.source_reread_bytes = policy.totals.source_reread;
    forecast.seconds = clock;
    Some(forecast)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Ran(u32),
    Loaded(u32),
    Written(u32),
}

mod memory;

#[cfg(test)]
mod tests;
