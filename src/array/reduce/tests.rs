//! Reductions against NumPy's results, and against themselves.

use crate::array::testing::values;
use crate::array::{AnyArray, Array, Axes, Chunking, Datum, keep};
use crate::graph::{Layer, LayerRef};
use crate::{Persist, chunks, s};
use chunkstore_store::{DType, Element};
use ndarray::ArrayD;
use serde_json::Value as Json;
use std::path::Path;

fn number<T: Element>(value: T) -> f64 {
    match format!("{value}").as_str() {
        "true" => 1.0,
        "false" => 0.0,
        text => text.parse().unwrap(),
    }
}

fn golden(value: &Json) -> f64 {
    match value {
        Json::Bool(truth) => f64::from(u8::from(*truth)),
        Json::String(text) => text.parse().unwrap(),
        other => other.as_f64().unwrap(),
    }
}

/// Whether a result has the type, shape and values that NumPy gives. Means and variances in another order of summation
/// differ in the last bits; those of `f32` NumPy sums in `f32` itself.
fn agrees<T: Datum>(array: &Array<T>, entry: &Json, loose: bool) {
    let shape: Vec<usize> = entry["shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect();
    let found = values(array);
    assert_eq!(T::DTYPE.name(), entry["dtype"].as_str().unwrap(), "{entry}");
    assert_eq!(found.shape(), shape, "{entry}");
    for (found, want) in found.iter().zip(entry["values"].as_array().unwrap()) {
        let tolerance = if T::DTYPE == DType::F32 { 2e-6 } else { 1e-14 };
        let exact = format!("{found}") == want.to_string().trim_matches('"');
        let (found, want) = (number(*found), golden(want));
        let near = (found - want).abs() <= tolerance * want.abs().max(if loose { 1.0 } else { 0.0 });
        let is_float = matches!(T::DTYPE, DType::F32 | DType::F64);
        assert!(exact || is_float && near || found.is_nan() && want.is_nan() || is_float && found == want, "{found}: {entry}");
    }
}

fn check<T: Datum>(array: &Array<T>, entry: &Json) {
    let axes = || entry["axis"].as_i64().map_or(Axes::from(..), Axes::from);
    let name = entry["reduction"].as_str().unwrap();
    if entry["error"].is_string() {
        let error = if name == "min" { array.min(axes()).check() } else { array.max(axes()).check() };
        assert!(error.is_err(), "{entry}");
        return;
    }
    match name {
        "sum" => agrees(&array.sum(axes()), entry, true),
        "prod" => agrees(&array.prod(axes()), entry, true),
        "mean" => agrees(&array.mean(axes()), entry, true),
        "var" => agrees(&array.var(axes()), entry, true),
        "std" => agrees(&array.std(axes()), entry, true),
        "min" => agrees(&array.min(axes()), entry, false),
        "max" => agrees(&array.max(axes()), entry, false),
        "any" => agrees(&array.any(axes()), entry, false),
        _ => agrees(&array.all(axes()), entry, false),
    }
    let kept: Vec<usize> = entry["keepdims_shape"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap() as usize).collect();
    assert_eq!(array.any(keep(axes())).shape().unwrap(), kept, "{entry}");
}

#[test]
fn results_are_numpys() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/reduce");
    let golden: Json = serde_json::from_str(&std::fs::read_to_string(folder.join("reduce.json")).unwrap()).unwrap();
    for entry in golden["entries"].as_array().unwrap() {
        for chunks in [Chunking::from(2), Chunking::from(100)] {
            let array = AnyArray::from_npy_chunks(folder.join(entry["file"].as_str().unwrap()), chunks).unwrap();
            macro_rules! by_type {
                ($($d:ident: $t:ty),*) => { match array.dtype() { $(DType::$d => check::<$t>(&array.typed().unwrap(), entry)),* } };
            }
            by_type!(Bool: bool, I8: i8, I16: i16, I32: i32, I64: i64, U8: u8, U16: u16, U32: u32, U64: u64, F32: f32, F64: f64);
        }
    }
}

#[test]
fn every_choice_of_axes_and_chunks() {
    let a = ArrayD::from_shape_fn(vec![5, 4, 7], |i| ((i[0] * 28 + i[1] * 7 + i[2]) as i64 * 7919) % 101);
    for mask in 0..8usize {
        let axes: Vec<i64> = (0..3).filter(|k| mask >> k & 1 == 1).collect();
        let mut want = a.clone();
        for axis in axes.iter().rev() {
            want = want.sum_axis(ndarray::Axis(*axis as usize));
        }
        for chunks in [chunks![1, 1, 1], chunks![2, 3, 4], chunks![-1, 1, -1], chunks![[1, 4], [3, 1], [2, 5]]] {
            let x = Array::from_ndarray(a.clone(), chunks);
            assert_eq!(values(&x.sum(axes.clone())), want);
            let fused = (&x * 2 - &x).astype::<f64>().slice(s![..;-1]).sum(axes.clone());
            let flipped = if mask & 1 == 1 { want.clone() } else { values(&Array::from_ndarray(want.clone(), 9).flip(0)) };
            assert_eq!(values(&fused), flipped.mapv(|v| v as f64));
        }
    }
}

#[test]
fn many_blocks_make_a_tree() {
    let x = Array::arange(0, 100_000, 1, 100);
    let y = x.astype::<f64>().sqrt();
    let (mean, std) = (values(&y.mean(..))[[]], values(&y.std_ddof(0, 1.0))[[]]);
    let exact: Vec<f64> = (0..100_000).map(|v| f64::from(v).sqrt()).collect();
    let m = exact.iter().sum::<f64>() / 1e5;
    let v = exact.iter().map(|v| (v - m) * (v - m)).sum::<f64>() / (1e5 - 1.0);
    assert!((mean / m - 1.0).abs() < 1e-13 && (std / v.sqrt() - 1.0).abs() < 1e-12);
    assert_eq!(values(&x.sum(..)), ndarray::arr0(4_999_950_000i64).into_dyn());
    assert_eq!(values(&x.count_nonzero(..))[[]], 99_999);
    assert_eq!(values(&x.ptp(..))[[]], 99_999);
}

/// The layers under `layer`, it included.
fn below(layer: &LayerRef, found: &mut Vec<LayerRef>) {
    found.push(layer.clone());
    layer.inputs().iter().for_each(|input| below(input, found));
}

#[test]
fn a_mean_comes_with_the_variance() {
    let x = Array::linspace(0.0, 3.0, 1000, 7).reshape([50, 20]).rechunk(3);
    let (mean, std) = (x.mean(0), x.std(0));
    let (mut means, mut stds) = (Vec::new(), Vec::new());
    below(&mean.layer().unwrap(), &mut means);
    below(&std.layer().unwrap(), &mut stds);
    let shared = |layers: &[LayerRef]| layers.iter().filter_map(|layer| Layer::sharing(&**layer)).collect::<Vec<_>>();
    let (low, high) = (shared(&means), shared(&stds));
    assert!(low.len() == 2 && low.iter().zip(&high).all(|(low, high)| low.0 == high.0 && low.1 < high.1));
    // From the partials up, and from the layer above them.
    let partial = |layers: &[LayerRef]| layers.iter().position(|layer| layer.name() == "moment_chunk").unwrap();
    let combined = means[partial(&means) - 1].with_inputs(vec![stds[partial(&stds)].clone()]).unwrap();
    assert_eq!(combined.key(), stds[partial(&stds) - 1].key());
    let last = means[0].with_inputs(vec![combined]).unwrap();
    assert_eq!(values(&mean.with_layer(last)), values(&mean));
}
