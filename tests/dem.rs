//! An elevation model that NumPy wrote: its slope by shifted slices, and what is summed up of it, against NumPy's figures.

#![allow(clippy::unwrap_used)]

use chunkstore::array::{AnyArray, Array, Chunking};
use chunkstore::{Engine, chunks, s};
use ndarray::ArrayD;
use serde_json::Value;
use std::path::PathBuf;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/dem")
}

fn golden() -> Value {
    serde_json::from_str(&std::fs::read_to_string(folder().join("slope.json")).unwrap()).unwrap()
}

fn engine(memory: &str, threads: usize) -> Engine {
    Engine::builder().memory(memory).threads(threads).progress(false).build().unwrap()
}

fn elevation(chunks: impl Into<Chunking>) -> Array<i16> {
    Array::from_npy_chunks(folder().join("elevation.npy"), chunks).unwrap()
}

/// Central differences in both directions, without the outermost rows and columns.
fn slope(elevation: &Array<i16>) -> Array<f64> {
    let golden = golden();
    let z = elevation.astype::<f64>();
    let (dx, dy) = (golden["dx_metres"].as_f64().unwrap(), golden["dy_metres"].as_f64().unwrap());
    let east = (z.slice(s![1..-1, 2..]) - z.slice(s![1..-1, ..-2])) / (2.0 * dx);
    let north = (z.slice(s![2.., 1..-1]) - z.slice(s![..-2, 1..-1])) / (2.0 * dy);
    (&east * &east + &north * &north).sqrt()
}

fn close(value: f64, golden: &Value) {
    let golden = golden.as_f64().unwrap();
    assert!((value - golden).abs() <= 1e-9 * golden.abs().max(1e-3), "{value} where NumPy has {golden}");
}

fn all_close(values: &ArrayD<f64>, golden: &Value) {
    for (value, golden) in values.iter().zip(golden.as_array().unwrap()) {
        close(*value, golden);
    }
}

fn bits(values: &ArrayD<f64>) -> Vec<u64> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn cuts() -> Vec<Chunking> {
    vec![chunks![-1, -1], chunks![100, 150], chunks![7, -1], chunks![-1, 31], chunks![64, 64], chunks![[1, 342, 1], [401, 1, 1]]]
}

#[test]
fn the_file_is_as_numpy_says() {
    let (golden, engine) = (golden(), engine("128MiB", 2));
    for cut in cuts() {
        let z = elevation(cut);
        assert_eq!((z.shape().unwrap(), z.dtype().name()), (&[344, 403][..], "int16"));
        let (min, max) = engine.compute(&(z.min(..).item_collection(), z.max(..).item_collection())).unwrap();
        let (sum, mean, std) =
            engine.compute(&(z.sum(..).item_collection(), z.mean(..).item_collection(), z.std(..).item_collection())).unwrap();
        let figures = &golden["elevation"];
        assert_eq!((min as i64, max as i64, sum), {
            let figure = |name: &str| figures[name].as_i64().unwrap();
            (figure("min"), figure("max"), figure("sum"))
        });
        close(mean, &figures["mean"]);
        close(std, &figures["std"]);
        for sample in golden["elevation_samples"].as_array().unwrap() {
            let at = |i: usize| sample[i].as_i64().unwrap();
            assert_eq!(i64::from(engine.compute(&z.slice(s![at(0), at(1)]).item_collection()).unwrap()), at(2));
        }
    }
}

#[test]
fn slope_and_summary_are_as_numpy_says() {
    let (golden, engine) = (golden(), engine("128MiB", 2));
    let figures = &golden["slope"];
    for cut in cuts() {
        let slope = slope(&elevation(cut));
        assert_eq!(slope.shape().unwrap(), [342, 401]);
        let item = |array: Array<f64>| array.item_collection();
        let parts = (item(slope.min(..)), item(slope.max(..)), item(slope.mean(..)), item(slope.std(..)), item(slope.sum(..)));
        let (min, max, mean, std, sum) = engine.compute(&parts).unwrap();
        for (name, value) in [("min", min), ("max", max), ("mean", mean), ("std", std), ("sum", sum)] {
            close(value, &figures[name]);
        }
        let steep = slope.gt(0.5).count_nonzero(..).item_collection();
        let (steep, rows, columns) = engine.compute(&(steep, slope.slice(s![..8, ..]).mean(1), slope.max(0).slice(s![..8]))).unwrap();
        assert_eq!(steep, golden["slope_steeper_than_0.5"].as_i64().unwrap());
        assert_eq!((rows.shape(), columns.shape()), (&[8][..], &[8][..]));
        all_close(&rows, &golden["slope_row_means_first_8"]);
        all_close(&columns, &golden["slope_column_maxima_first_8"]);
        let all = engine.compute(&slope).unwrap();
        for sample in golden["slope_samples"].as_array().unwrap() {
            close(all[[sample[0].as_u64().unwrap() as usize, sample[1].as_u64().unwrap() as usize]], &sample[2]);
        }
    }
}

/// A slice from the first element on was taken for the whole array.
#[test]
fn the_first_rows_and_columns_are_no_more_than_that() {
    let engine = engine("128MiB", 2);
    for cut in cuts() {
        let z = elevation(cut);
        let all = engine.compute(&z).unwrap();
        for (rows, columns) in [(8, 403), (344, 17), (120, 160), (1, 1), (0, 5)] {
            let corner = engine.compute(&z.slice(s![..rows, ..columns])).unwrap();
            assert_eq!(corner, all.slice(ndarray::s![..rows, ..columns]).into_dyn());
        }
    }
}

#[test]
fn the_same_bits_for_any_number_of_threads_and_bound() {
    for cut in cuts() {
        let slope = slope(&elevation(cut.clone()));
        let mut first = None;
        for (memory, threads) in [("96MiB", 1), ("128MiB", 2), ("128MiB", 3), ("1GiB", 4)] {
            let engine = engine(memory, threads);
            let (all, rows, columns, mean, std) =
                engine.compute(&(slope.clone(), slope.mean(1), slope.std(0), slope.mean(..), slope.std(..))).unwrap();
            let found = [bits(&all), bits(&rows), bits(&columns), bits(&mean), bits(&std)];
            assert!(*first.get_or_insert(found.clone()) == found, "{cut:?}: other bits on {threads} threads within {memory}");
        }
    }
    // What is computed element by element does not depend on the chunks either.
    let engine = engine("128MiB", 2);
    let mut all = cuts().into_iter().map(|cut| bits(&engine.compute(&slope(&elevation(cut))).unwrap()));
    let first = all.next().unwrap();
    assert!(all.all(|other| other == first));
}

#[test]
fn a_slope_goes_to_a_file_and_comes_back() {
    let (engine, folder) = (engine("128MiB", 2), tempfile::tempdir().unwrap());
    let (slope, path) = (slope(&elevation(chunks![50, 90])), folder.path().join("slope.npy"));
    engine.compute(&slope.to_npy(&path)).unwrap();
    let back = AnyArray::from_npy(&path).unwrap().typed::<f64>().unwrap();
    let (before, after) = engine.compute(&(slope, back)).unwrap();
    assert_eq!(bits(&before), bits(&after));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left behind");
}
