//! Scratch timing.
use chunkstore::{Engine, array::Array, graph::*, s};
use std::time::Instant;
fn inc(x: i64) -> i64 {
    x + 1
}
fn total(xs: Vec<i64>) -> i64 {
    xs.iter().sum()
}
fn main() {
    chunkstore::init();
    let engine = Engine::builder().memory("2GiB").threads(2).build().unwrap();
    for n in [100_000u32] {
        let mut g = Graph::new();
        for i in 0..n {
            g.set(("inc", i), call(inc, (i64::from(i),)));
        }
        let mut keys: Vec<GraphKey> = (0..n).map(|i| key(("inc", i))).collect();
        let mut level = 0;
        while keys.len() > 1 {
            let groups: Vec<Vec<GraphKey>> = keys.chunks(16).map(|c| c.to_vec()).collect();
            keys = (0..groups.len() as u32).map(|i| key(("sum", level, i))).collect();
            for (k, grp) in keys.iter().zip(groups) {
                g.set(k, call(total, (list(grp),)));
            }
            level += 1;
        }
        for _ in 0..1 {
            let t = Instant::now();
            let v: i64 = engine.get(&g, &keys[0]).unwrap();
            let dt = t.elapsed().as_secs_f64();
            println!("tree {n}: {v} {:.3} us/task", dt / g.len() as f64 * 1e6);
        }
        let mut g = Graph::new();
        g.set(("c", 0u32), call(inc, (0i64,)));
        for i in 1..n {
            g.set(("c", i), call(inc, (key(("c", i - 1)),)));
        }
        let t = Instant::now();
        let v: i64 = engine.get(&g, ("c", n - 1)).unwrap();
        println!("chain {n}: {v} {:.3} us/task", t.elapsed().as_secs_f64() / g.len() as f64 * 1e6);
    }
    for _ in 0..10 {
        let mut g = Graph::new();
        g.set("x", call(inc, (1i64,)));
        let t = Instant::now();
        let _: i64 = engine.get(&g, "x").unwrap();
        println!("one {:?}", t.elapsed());
    }
    for _ in 0..0 {
        let t = Instant::now();
        let y = Array::<f64>::ones([10000, 10000], 100).exp().slice(s![1..100, 1..100]);
        let b = t.elapsed();
        let r = engine.compute(&y).unwrap();
        println!("lazyslice build {b:?} all {:?} {} tasks {}", t.elapsed(), r.sum(), engine.last_run().unwrap().tasks);
    }
}
