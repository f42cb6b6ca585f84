//! The slope of an elevation model, from its shifted slices, beside what NumPy makes of it.
//!
//! The model is 344 x 403 heights in metres (`tests/data/dem`), so that it could be done in memory; nothing here knows.

use chunkstore::array::{AnyArray, Array};
use chunkstore::{Engine, Result, chunks, s};
use serde_json::Value;
use std::path::Path;

/// Rise over run by central differences, without the outermost rows and columns. `dx` and `dy` are the metres between
/// neighbours of a row and of a column.
fn slope(z: &Array<f64>, dx: f64, dy: f64) -> Array<f64> {
    let east = (z.slice(s![1..-1, 2..]) - z.slice(s![1..-1, ..-2])) / (2.0 * dx);
    let north = (z.slice(s![2.., 1..-1]) - z.slice(s![..-2, 1..-1])) / (2.0 * dy);
    (&east * &east + &north * &north).sqrt()
}

fn main() -> Result<()> {
    chunkstore::init();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/dem");
    let numpy: Value =
        std::fs::read(folder.join("slope.json")).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
    let figure = |name: &str| numpy["slope"][name].as_f64().unwrap_or(f64::NAN);
    let metres = |name: &str| numpy[name].as_f64().unwrap_or(f64::NAN);

    // The file holds int16; chunks are small, so that there are some.
    let z = AnyArray::from_npy_chunks(folder.join("elevation.npy"), chunks![100, 150])?.astype::<f64>();
    let slope = slope(&z, metres("dx_metres"), metres("dy_metres"));

    let engine = Engine::builder().memory("128MiB").build()?;
    let item = |array: Array<f64>| array.item_collection();
    let (mean, std, max) = engine.compute(&(item(slope.mean(..)), item(slope.std(..)), item(slope.max(..))))?;
    let steep = engine.compute(&slope.gt(0.5).count_nonzero(..).item_collection())?;

    println!("{:<6} {:>20} {:>20}", "slope", "chunkstore", "NumPy");
    for (name, value) in [("mean", mean), ("std", std), ("max", max)] {
        println!("{name:<6} {value:>20.16} {:>20.16}", figure(name));
        assert!((value - figure(name)).abs() < 1e-12, "{name}");
    }
    println!("steeper than 0.5: {steep} of {} places", slope.size()?);
    Ok(())
}
