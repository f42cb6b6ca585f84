//! Many delayed values, and large ones: in a process of their own, because it is the process whose memory is bound.

#![allow(clippy::unwrap_used)]

use chunkstore::Engine;
use chunkstore::delayed::{delayed, value};
use ndarray::Array1;

fn total(xs: Vec<i64>) -> i64 {
    xs.iter().sum()
}

fn a_million_in_a_chain_and_a_hundred_thousand_side_by_side() {
    let engine = Engine::builder().memory("2GiB").threads(2).progress(false).build().unwrap();
    let inc = delayed(|x: i64| x + 1);
    let mut chain = value(0i64);
    for _ in 0..1_000_000 {
        chain = inc.call((chain,));
    }
    assert_eq!(engine.compute(&chain).unwrap(), 1_000_000);
    drop(chain);
    let all: Vec<_> = (0..100_000i64).map(|i| inc.call((i,))).collect();
    assert_eq!(engine.compute(delayed(total).call((&all,))).unwrap(), 100_000 * 100_001 / 2);
    assert_eq!(engine.compute(&all).unwrap(), (1..=100_000).collect::<Vec<i64>>());
}

fn blocks_of_delayed_values_are_spilled_within_the_bound() {
    let engine = Engine::builder().memory("192MiB").threads(2).progress(false).build().unwrap();
    // 400 MB of blocks that are all needed again at the end.
    let blocks: Vec<_> = (0..100u64).map(|i| delayed(|i: u64| Array1::from_elem(500_000, i as f64)).call((i,))).collect();
    let first = delayed(|x: chunkstore::store::Block| x.len()).call((&blocks[0],));
    let mut sum = blocks.iter().fold(value(0.0), |sum, block| sum + block.map(|x: Array1<f64>| x[0]));
    for block in &blocks {
        sum = sum + block.map(|x: Array1<f64>| x[499_999]);
    }
    assert_eq!(engine.compute((sum, first)).unwrap(), (9900.0, 500_000));
    let run = engine.last_run().unwrap();
    assert!(run.peak_bytes <= engine.memory(), "{run}");
}

#[test]
fn scale() {
    blocks_of_delayed_values_are_spilled_within_the_bound();
    a_million_in_a_chain_and_a_hundred_thousand_side_by_side();
}
