//! What the caller keeps of results counts: these tests have a process of their own, since they measure the process.

use chunkstore::array::{Array, random};
use chunkstore::{Engine, ErrorKind, init};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The bound, and the bytes of one result.
const BOUND: u64 = 192 << 20;
const RESULT: usize = 8 << 20;

/// What one test holds is not to be measured by another.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

#[test]
fn results_that_are_kept_end_in_an_error_and_not_beyond_the_bound() {
    let _alone = alone();
    init();
    let engine = Engine::builder().memory(BOUND).threads(2).build().expect("an engine");
    let mut kept = Vec::new();
    let error = loop {
        match engine.compute(Array::<f64>::ones([1024, RESULT / 8 / 1024], 256)) {
            Ok(result) => kept.push(result),
            Err(error) => break error,
        }
        assert!(kept.len() * RESULT <= BOUND as usize, "{} results of 8 MiB within {BOUND} bytes", kept.len());
    };
    assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}");
    assert!(kept.len() > 5, "only {} results: {error}", kept.len());
    let peak = chunkstore::store::peak_resident_bytes();
    assert!(peak <= BOUND, "{peak} bytes of {BOUND}");
    // What is given up can be used again.
    kept.clear();
    assert!(engine.compute(Array::<f64>::ones([1024, 1024], 256)).is_ok());
}

#[test]
fn results_that_are_kept_count_while_other_runs_are_always_under_way() {
    let _alone = alone();
    init();
    let engine = Engine::builder().memory(BOUND).threads(2).build().expect("an engine");
    // Each holds as much as there is.
    let job = |seed: u64| {
        let x = random::normal(0.0, 1.0, [12 << 20]).seed(seed).chunks([256 << 10]).array().map_blocks(|block| block.to_owned() + 1.0);
        ((&x - x.mean(..)) / x.std(..)).max(..).item_collection()
    };
    let (stop, begun) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (engine, stop, begun) = (&engine, &stop, &begun);
            scope.spawn(move || {
                let mut seed = thread;
                while !stop.load(Relaxed) {
                    seed += 2;
                    if let Err(error) = engine.compute(&job(seed)) {
                        assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}");
                    }
                    begun.store(true, Relaxed);
                }
            });
        }
        while !begun.load(Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
        let mut kept = Vec::new();
        for _ in 0..10 {
            kept.extend(engine.compute(Array::<f64>::ones([1024, RESULT / 8 / 1024], 256)).ok());
            std::thread::sleep(Duration::from_millis(100));
        }
        stop.store(true, Relaxed);
        assert!(kept.len() > 3, "only {} results", kept.len());
    });
    let peak = chunkstore::store::peak_resident_bytes();
    assert!(peak <= BOUND, "{peak} bytes of {BOUND}");
}
