//! `reduce`: the sum of the absolute standardised values of an array on disk.

use crate::run::{Context, Failure, Work, figures};
use chunkstore::array::Array;
use chunkstore::store::InputFile;

/// Makes the engine before the clock starts; opening the file counts.
pub(crate) fn prepare(context: &Context) -> Result<Work, Failure> {
    let engine = context.engine()?;
    Ok(Box::new(move |context| {
        let path = context.cold("big/x.npy")?;
        let before = InputFile::total_bytes();
        let (sum, _) = context.timed(|| {
            let x = Array::<f64>::from_npy(&path)?;
            let z = (&x - x.mean(..)) / x.std(..);
            engine.compute(&z.abs().sum(..).item_collection())
        });
        let sum = sum?;
        let after = InputFile::total_bytes();
        context.note_run(&engine);
        context.note("disk_bytes", after.0 - before.0);
        context.note("cache_bytes", after.1 - before.1);
        Ok(figures(&[sum]))
    }))
}
