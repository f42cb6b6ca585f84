//! What the caller keeps of results counts: this test has a process of its own, since it measures the process.

use chunkstore::array::Array;
use chunkstore::{Engine, ErrorKind, init};

/// The bound, and the bytes of one result.
const BOUND: u64 = 192 << 20;
const RESULT: usize = 8 << 20;

#[test]
fn results_that_are_kept_end_in_an_error_and_not_beyond_the_bound() {
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
