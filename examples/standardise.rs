//! Standardises the columns of an array on disk that is larger than the memory bound.

use chunkstore::array::{Array, random};
use chunkstore::{Engine, Result};

fn main() -> Result<()> {
    chunkstore::init();
    let engine = Engine::builder().memory("128MiB").build()?;

    // A file to work on: 400 MB of normal numbers, written as NumPy writes them.
    let made = random::normal(20.0, 5.0, [100_000, 500]).seed(7).array();
    engine.compute(&made.to_npy("x.npy"))?;

    // Nothing runs here; mean and deviation come from one pass over the file.
    let x = Array::<f64>::from_npy("x.npy")?;
    let z = (&x - x.mean(0)) / x.std(0);

    let job = z.to_npy("z.npy");
    println!("{}\n", engine.explain(&job)?);
    engine.compute(&job)?;
    if let Some(report) = engine.last_run() {
        println!("{report}");
    }
    println!("peak of the process: {} MiB", chunkstore::store::peak_resident_bytes() >> 20);
    Ok(())
}
