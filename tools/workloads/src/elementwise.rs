//! `elementwise`: the mean of `a*b + exp(-c)*sqrt(d)`, all four in memory.

use crate::run::{Context, Failure, Work, figures};
use chunkstore::Engine;
use chunkstore::array::Array;

/// The elements of a block.
const CHUNK: usize = 1 << 20;

/// Loads the inputs, which does not count, and makes the engine beside them.
pub(crate) fn prepare(context: &Context) -> Result<Work, Failure> {
    let loader = Engine::builder().progress(false).build()?;
    let load = |name: &str| -> Result<Array<f64>, Failure> {
        let file = Array::<f64>::from_npy(context.input(&format!("elementwise/{name}.npy")))?;
        Ok(Array::from_ndarray(loader.compute(&file)?, CHUNK))
    };
    let (a, b, c, d) = (load("a")?, load("b")?, load("c")?, load("d")?);
    drop(loader);
    let engine = context.engine()?;
    Ok(Box::new(move |context| {
        let (mean, _) = context.timed(|| {
            let y = &a * &b + (-&c).exp() * d.sqrt();
            engine.compute(&y.mean(..).item_collection())
        });
        context.note_run(&engine);
        Ok(figures(&[mean?]))
    }))
}
