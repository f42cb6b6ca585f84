//! Functions that are called later: a pipeline of delayed calls over an array, and results as they come.

use chunkstore::array::Array;
use chunkstore::delayed::{delayed, try_delayed};
use chunkstore::engine::as_completed;
use chunkstore::{Engine, Result};
use ndarray::{Array1, ArrayD};

/// The samples of one station, which a program would read from somewhere.
fn load(station: u64) -> Array1<f64> {
    Array1::from_shape_fn(100_000, |i| ((i as u64 * 7919 + station * 104_729) % 1000) as f64)
}

/// A function may say that it failed.
fn highest(samples: Array1<f64>) -> std::result::Result<f64, String> {
    samples.iter().copied().reduce(f64::max).ok_or_else(|| "a station without samples".into())
}

fn main() -> Result<()> {
    chunkstore::init();
    let engine = Engine::builder().memory("256MiB").build()?;

    // Nothing runs yet: these are calls that know what they need.
    let (load, highest) = (delayed(load), try_delayed(highest));
    let stations: Vec<_> = (0..8u64).map(|station| load.call((station,))).collect();
    let peaks: Vec<_> = stations.iter().map(|samples| highest.call((samples,))).collect();
    let range = delayed(|peaks: Vec<f64>| peaks.iter().fold((f64::MAX, f64::MIN), |(a, b), x| (a.min(*x), b.max(*x))));
    let (least, most) = range.call((&peaks,)).split();

    // Delayed values are blocks of an array, and an array is an argument; what both need is loaded once.
    let all = Array::from_delayed_blocks(&stations, Array::<f64>::zeros([800_000], 100_000).chunks()?.clone());
    let mean = all.mean(..);
    let above = delayed(|x: ArrayD<f64>, mean: f64| x.iter().filter(|x| **x > mean).count());
    let above = above.call((&all, mean.item_collection()));
    println!("{}", engine.explain((&least, &most, &above))?);
    let (least, most, above) = engine.compute((least, most, above))?;
    println!("peaks from {least} to {most}; {above} of 800000 samples are above the mean");

    // In the background, and as they come.
    let futures: Vec<_> = peaks.into_iter().map(|peak| engine.submit(peak)).collect();
    for peak in as_completed(futures) {
        assert!(peak.result()? <= most);
    }
    Ok(())
}
