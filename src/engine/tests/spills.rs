//! What real runs spill within half of the memory that they would take, against the policy's own forecast, against the
//! eviction of what is needed furthest in the future, and against that of what was used least recently.

#![allow(clippy::unwrap_used)]

use super::*;
use crate::exec::{lower_optimised, optimised};
use crate::policy::{Batch, Eviction, Setup, simulate};

/// What an engine would run, as the policy gets it, and the bytes that its tasks may use.
fn planned(engine: &Engine, job: &Sums) -> (Batch, u64) {
    let layer = job.collect().unwrap().layer;
    let linked = optimised(vec![layer], |layers| engine.shared.optimise(layers)).unwrap();
    let lowered = lower_optimised(&linked).unwrap();
    let prepared = engine.shared.prepare(&lowered.table, &[], &[], true, None).unwrap();
    (prepared.planned.numbered.batch, prepared.bound)
}

/// Blocks of the sums over pairs of a square of blocks, taken by rows and by columns.
fn square(side: u32) -> Made {
    let blocks = side * side;
    let edges = move |block: u32, out: &mut Vec<Dependency>| {
        let (row, column) = (block / side, block % side);
        out.extend([Dependency { input: 0, block }, Dependency { input: 0, block: column * side + row }]);
    };
    let body = |task: &TaskContext<'_>, inputs: &[Value]| {
        let (x, y) = (inputs[0].block().unwrap().as_slice::<f64>()?, inputs.last().unwrap().block().unwrap().as_slice::<f64>()?);
        block(task, |i| x[i] + y[i])
    };
    layer("square", vec![Arc::new(plus_one(Arc::new(made(blocks))))], blocks, Arc::new(edges), Arc::new(body))
}

#[test]
fn runs_spill_little_more_than_they_must() {
    let jobs = [
        ("all twice", Sums(Arc::new(plus_all(Arc::new(plus_one(Arc::new(read(60, 1 << 20)))))))),
        ("folded", Sums(Arc::new(fold_over(Arc::new(plus_one(Arc::new(made(60)))))))),
        ("square", Sums(Arc::new(square(9)))),
    ];
    for (name, job) in jobs {
        let (batch, _) = planned(&engine(400, 1), &job);
        let free = simulate(&batch, &Setup::new(u64::MAX / 4, 1, 1)).unwrap().peak_bytes;
        for threads in [0, 1, 2] {
            let engine = engine((free / 2) >> 20, threads);
            let outside = engine.memory_for_tasks() - planned(&engine, &job).1;
            let memory = engine.memory();
            engine.set_memory(memory - engine.memory_for_tasks() + outside + free / 2).unwrap();
            let (batch, bound) = planned(&engine, &job);
            let spilled = |eviction| simulate(&batch, &Setup { eviction, ..Setup::new(bound, 1, 1) }).unwrap().spilled_bytes;
            let (clairvoyant, recent) = (spilled(Eviction::Furthest), spilled(Eviction::LeastRecent));
            engine.compute(&job).unwrap();
            let run = engine.last_run().unwrap();
            let mib = |bytes: u64| bytes as f64 / (1u64 << 20) as f64;
            println!(
                "{name:<10} {threads} {:>5.1} of {:>5.1}: {:>5.1} of {:>5.1} forecast, {:>5.1} clairvoyant, {:>5.1} recent; back {:>5.1} of {:>5.1}",
                mib(bound),
                mib(free),
                mib(run.spilled_bytes),
                mib(run.forecast.spilled_bytes),
                mib(clairvoyant),
                mib(recent),
                mib(run.reread_bytes),
                mib(run.forecast.reread_bytes),
            );
            assert!(run.spilled_bytes as f64 <= 1.15 * clairvoyant as f64, "{name} on {threads} threads: {run}");
            assert!(run.spilled_bytes <= recent, "{name} on {threads} threads: {run}");
        }
    }
}
