//! The bound is changed while a computation is under way: it goes on within the new one, and gives the same.

#![allow(clippy::unwrap_used)]

use chunkstore::array::Array;
use chunkstore::engine::{Callback, TaskInfo};
use chunkstore::graph::Value;
use chunkstore::store::EventKind;
use chunkstore::{Engine, Error, ErrorKind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const MIB: u64 = 1 << 20;

/// Sets bounds, each after so many tasks.
struct Switch {
    engine: Engine,
    tasks: AtomicU64,
    bounds: Vec<(u64, u64)>,
    /// When each was set, in nanoseconds since 1970, and whether it was refused.
    set: Mutex<Vec<(u64, Option<ErrorKind>)>>,
}

impl Callback for Switch {
    fn posttask(&self, _task: &TaskInfo<'_>, _outcome: Result<&Value, &Error>, _time: Duration) {
        let count = self.tasks.fetch_add(1, Relaxed) + 1;
        for (_, bound) in self.bounds.iter().filter(|(after, _)| *after == count) {
            let refused = self.engine.set_memory(bound).err().map(|error| error.kind());
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
            self.set.lock().unwrap().push((now, refused));
        }
    }
}

/// The mean of 128 MiB that a closure makes once and that are needed twice.
fn work() -> Array<f64> {
    let x = Array::<f64>::linspace(0.0, 1.0, 16 << 20, 1 << 17).map_blocks(|block| block.to_owned() * 2.0);
    (&x - x.mean(..)).abs().sum(..)
}

/// One test: memory is the whole process'.
#[test]
fn the_bound_follows() {
    a_run_goes_on_within_a_bound_that_is_lowered_and_raised();
    what_is_persisted_makes_room_too();
}

fn a_run_goes_on_within_a_bound_that_is_lowered_and_raised() {
    let scratch = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("live_bound");
    for threads in [1, 2] {
        let engine = Engine::builder().memory("640MiB").threads(threads).scratch(&scratch).progress(false).build().unwrap();
        let wanted = engine.compute(&work().item_collection()).unwrap();
        assert_eq!(engine.last_run().unwrap().spilled_bytes, 0);
        let base = engine.memory() - engine.memory_for_tasks();
        let low = base + 48 * MIB;
        let bounds = vec![(250, low), (260, 1), (450, 640 * MIB)];
        let switch = Arc::new(Switch { engine: engine.clone(), tasks: 0.into(), bounds, set: Mutex::default() });
        let recording = engine.record();
        let sum = engine.with_callback(switch.clone()).compute(&work().item_collection()).unwrap();
        assert_eq!(sum.to_bits(), wanted.to_bits());
        let set = switch.set.lock().unwrap().clone();
        let refused: Vec<_> = set.iter().map(|(_, refused)| *refused).collect();
        assert_eq!(refused, [None, Some(ErrorKind::OutOfMemory), None]);
        let run = engine.last_run().unwrap();
        assert!(run.spilled_bytes > 16 * MIB, "{run}");
        assert_eq!(engine.memory(), 640 * MIB);
        // From when what was too much has been written until the bound is raised, no more is held than the lower bound has room for.
        let history = recording.history();
        let at = |moment: u64| moment - history.began_ns;
        let mut held: Vec<(u64, u64)> = history.tasks().flat_map(|task| &task.moments).map(|moment| (moment.at_ns, moment.held)).collect();
        held.sort_unstable();
        let between = |from: u64, to: u64| held.iter().filter(move |(at, _)| (from..to).contains(at)).map(|(_, held)| *held);
        let (lowered, raised) = (at(set[0].0), at(set[2].0));
        assert!(between(0, lowered).max().unwrap() > 60 * MIB);
        let settled = held.iter().find(|(at, held)| *at > lowered && *held <= 48 * MIB).unwrap().0;
        assert!(settled < raised && between(settled, raised).max().unwrap() <= 48 * MIB);
        assert!(history.tasks().flat_map(|task| &task.moments).any(|moment| moment.kind == EventKind::Spilled && moment.at_ns < raised));
    }
}

fn what_is_persisted_makes_room_too() {
    let scratch = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("live_bound_persist");
    let engine = Engine::builder().memory("640MiB").threads(2).scratch(&scratch).progress(false).build().unwrap();
    let x = engine.persist(&Array::<f64>::linspace(0.0, 1.0, 12 << 20, 1 << 17).map_blocks(|block| block.to_owned())).unwrap();
    let before = engine.compute(&x.sum(..).item_collection()).unwrap();
    let recording = engine.record();
    engine.set_memory(engine.memory() - engine.memory_for_tasks() + 32 * MIB).unwrap();
    assert_eq!(engine.compute(&x.sum(..).item_collection()).unwrap().to_bits(), before.to_bits());
    let run = engine.last_run().unwrap();
    assert!(run.reread_bytes > 32 * MIB, "{run}");
    assert!(recording.history().whole);
}
