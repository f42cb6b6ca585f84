//! `lazyslice`: a corner of a large array of which nothing else is to be made.

use crate::run::{Context, Failure, Work, figures, round};
use chunkstore::array::Array;
use chunkstore::s;
use std::time::Instant;

/// Makes the engine before the clock starts.
pub(crate) fn prepare(context: &Context) -> Result<Work, Failure> {
    let engine = context.engine()?;
    let n = context.size.lazyslice();
    Ok(Box::new(move |context| {
        let ((result, build, compute), _) = context.timed(|| {
            let start = Instant::now();
            let y = Array::<f64>::ones([n, n], 100).exp().slice(s![1..100, 1..100]);
            let built = Instant::now();
            let result = engine.compute(&y);
            (result, built - start, built.elapsed())
        });
        let y = result?;
        context.note("build_s", round(build.as_secs_f64(), 7));
        context.note("compute_s", round(compute.as_secs_f64(), 7));
        context.note_run(&engine);
        if let Some(run) = engine.last_run() {
            let made: u64 = run.forecast.layers.iter().map(|layer| layer.tasks).sum();
            context.note("tasks_made", made);
            if made != run.tasks {
                return Err(format!("{made} tasks were made, and {} were run", run.tasks).into());
            }
        }
        Ok(figures(&[y.sum()]))
    }))
}
