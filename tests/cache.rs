//! The opportunistic cache: what is wanted again is found, gives the same, and goes when memory is needed.

#![allow(clippy::unwrap_used)]

use chunkstore::Engine;
use chunkstore::array::{Array, random};

fn numbers(seed: u64) -> Array<f64> {
    random::normal(1.0, 2.0, [512, 512]).seed(seed).chunks(64).array()
}

fn tasks(engine: &Engine) -> u64 {
    engine.last_run().unwrap().tasks
}

/// One test: memory is the whole process'.
#[test]
fn what_is_wanted_again_is_found_until_memory_is_needed() {
    let plain = Engine::builder().memory("256MiB").threads(2).progress(false).build().unwrap();
    let engine = Engine::builder().memory("256MiB").threads(2).progress(false).cache("4MiB").build().unwrap();
    let x = numbers(1);
    let scaled = || (&x - x.mean(0)) / x.std(0);
    let wanted = plain.compute(&scaled().max(1)).unwrap();
    assert_eq!((plain.cached_bytes(), engine.cached_bytes()), (0, 0));
    assert_eq!(engine.compute(&scaled().max(1)).unwrap(), wanted);
    let first = tasks(&engine);
    let cached = engine.cached_bytes();
    assert!(cached > 0 && cached <= 4 << 20);
    // The same again, and something else that needs a part of it.
    assert_eq!(engine.compute(&scaled().max(1)).unwrap(), wanted);
    assert!(tasks(&engine) < first / 2, "{} of {first}", tasks(&engine));
    assert_eq!(engine.compute(&scaled().min(1)).unwrap(), plain.compute(&scaled().min(1)).unwrap());
    assert!(tasks(&engine) < tasks(&plain), "{} of {}", tasks(&engine), tasks(&plain));
    // Other numbers are other work.
    let other = numbers(2);
    assert_ne!(
        engine.compute(&other.mean(0).sum(..).item_collection()).unwrap(),
        engine.compute(&x.mean(0).sum(..).item_collection()).unwrap()
    );
    // It never holds more than it may, whatever comes.
    for seed in 0..40 {
        let y = numbers(seed);
        let sum = (&y - y.mean(1).reshape([512, 1])).abs().sum(1);
        assert_eq!(engine.compute(&sum).unwrap(), plain.compute(&sum).unwrap());
        assert!(engine.cached_bytes() <= 4 << 20);
    }
    assert!(engine.cached_bytes() > 0);
    // A result for which there is room only without it.
    let room = engine.memory_for_tasks() - (1 << 20) - (engine.cached_bytes() / 2);
    let large = Array::<u8>::ones([room as usize], 1 << 20);
    let _ = engine.compute(&large);
    assert_eq!(engine.cached_bytes(), 0);
    assert_eq!(engine.compute(&scaled().max(1)).unwrap(), wanted);
    engine.clear_cache();
    assert_eq!(engine.cached_bytes(), 0);
    assert_eq!(engine.compute(&scaled().max(1)).unwrap(), wanted);
}
