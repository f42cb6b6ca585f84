//! What delayed calls cost: the microseconds a call takes to build, to compute and to drop, one JSON line for each shape.

#![allow(clippy::unwrap_used)]

use chunkstore::Engine;
use chunkstore::delayed::{Delayed, delayed, value};
use std::time::Instant;

const CALLS: usize = 100_000;

fn measure(name: &str, engine: &Engine, calls: usize, build: impl Fn() -> Delayed<i64>) {
    let (mut best, mut first) = ([f64::MAX; 3], None);
    for _ in 0..5 {
        let start = Instant::now();
        let built = build();
        let built_at = start.elapsed();
        let result = engine.compute(&built).unwrap();
        let computed_at = start.elapsed();
        drop(built);
        let dropped_at = start.elapsed();
        assert_eq!(*first.get_or_insert(result), result);
        for (best, took) in best.iter_mut().zip([built_at, computed_at - built_at, dropped_at - computed_at]) {
            *best = best.min(took.as_secs_f64() * 1e6 / calls as f64);
        }
    }
    let [build, compute, drop] = best;
    println!(r#"{{"shape":"{name}","calls":{calls},"build_us":{build:.3},"compute_us":{compute:.3},"drop_us":{drop:.3}}}"#);
}

fn main() {
    chunkstore::init();
    for threads in [1, 2] {
        let engine = Engine::builder().memory("2GiB").threads(threads).progress(false).build().unwrap();
        let inc = delayed(|x: i64| x + 1);
        let pure = delayed(|x: i64| x + 2).pure(true);
        let total = delayed(|xs: Vec<i64>| xs.iter().sum::<i64>());
        let add = delayed(|a: i64, b: i64| a.wrapping_add(b));
        measure("chain", &engine, CALLS, || (0..CALLS).fold(value(0), |x, _| inc.call((x,))));
        measure("wide", &engine, CALLS, || total.call(((0..CALLS as i64).map(|i| inc.call((i,))).collect::<Vec<_>>(),)));
        measure("wide-pure", &engine, CALLS, || total.call(((0..CALLS as i64).map(|i| pure.call((i,))).collect::<Vec<_>>(),)));
        measure("tree", &engine, CALLS, || {
            let mut level: Vec<Delayed<i64>> = (0..CALLS as i64 / 2).map(|i| inc.call((i,))).collect();
            while level.len() > 1 {
                level = level.chunks(2).map(|pair| add.call((&pair[0], pair.get(1).unwrap_or(&pair[0])))).collect();
            }
            level.remove(0)
        });
    }
    let engine = Engine::builder().memory("2GiB").threads(1).progress(false).build().unwrap();
    let inc = delayed(|x: i64| x + 1);
    measure("chain", &engine, 10 * CALLS, || (0..10 * CALLS).fold(value(0), |x, _| inc.call((x,))));
}
