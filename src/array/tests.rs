//! Arrays against ndarray and NumPy's rules.

use super::testing::{compute, compute_hooked, values};
use super::*;
use crate::{ErrorKind, Result, chunks, s};
use ndarray::{Array1, Array2, Array3, ArrayD, Axis, IxDyn, arr0, arr1, arr2};

fn counting(shape: &[usize]) -> ArrayD<f64> {
    let n: usize = shape.iter().product();
    ArrayD::from_shape_vec(IxDyn(shape), (0..n).map(|i| (i as f64 * 0.7).sin() * 10.0).collect()).unwrap()
}

fn lazy(array: &ArrayD<f64>, chunks: impl Into<Chunking>) -> Array<f64> {
    Array::from_ndarray(array.clone(), chunks)
}

#[test]
fn creation() {
    assert_eq!(values(&Array::<i16>::zeros([3, 2], 2)), Array2::<i16>::zeros((3, 2)).into_dyn());
    assert_eq!(values(&Array::<u8>::ones([5], 2)), Array1::<u8>::ones(5).into_dyn());
    assert_eq!(values(&Array::full([2], true, 1)), arr1(&[true, true]).into_dyn());
    assert_eq!(values(&Array::arange(5, -4, -2, 2)), arr1(&[5, 3, 1, -1, -3]).into_dyn());
    assert_eq!(values(&Array::<u64>::arange(u64::MAX - 2, u64::MAX, 1, 9)), arr1(&[u64::MAX - 2, u64::MAX - 1]).into_dyn());
    assert_eq!(values(&Array::arange(0f32, 1.0, 0.25, 3)), arr1(&[0.0, 0.25, 0.5, 0.75]).into_dyn());
    assert_eq!(values(&Array::linspace(0.0, 1.0, 5, 2)), arr1(&[0.0, 0.25, 0.5, 0.75, 1.0]).into_dyn());
    assert_eq!(values(&Array::linspace(3.0, 1.0, 1, 2)), arr1(&[3.0]).into_dyn());
    assert_eq!(values(&Array::<i64>::eye(5, 2)), Array2::<i64>::eye(5).into_dyn());
    assert_eq!(values(&Array::<f64>::ones((), 1)), arr0(1.0).into_dyn());
    assert_eq!(values(&Array::<f64>::ones([0, 3], 1)).shape(), [0, 3]);
    assert!(Array::arange(0, 1, 0, 1).check().is_err());
    assert!(Array::arange(0.0, f64::NAN, 1.0, 1).check().is_err());
}

#[test]
fn operators_in_every_pairing() {
    let (a, b) = (counting(&[7, 5]), counting(&[7, 5]).mapv(|v| v + 20.0));
    let (x, y) = (lazy(&a, chunks![3, 2]), lazy(&b, chunks![2, 5]));
    assert_eq!(values(&(&x + &y)), &a + &b);
    assert_eq!(values(&(x.clone() - &y)), &a - &b);
    assert_eq!(values(&(&x * y.clone())), &a * &b);
    assert_eq!(values(&(x.clone() / y.clone())), &a / &b);
    assert_eq!(values(&(1.0 - 2.0 * &x + x.clone() / 3.0)), 1.0 - 2.0 * &a + &a / 3.0);
    assert_eq!(values(&(-&x)), -&a);
    assert_eq!(values(&(&x + &x)), &a + &a);
    let (i, j) = (Array::arange(-6, 6, 1, 5), Array::full([12], 4, 3));
    assert_eq!(values(&(&i % &j)), Array1::from_iter((-6..6).map(|v: i32| v.rem_euclid(4))).into_dyn());
    assert_eq!(values(&(&i / 4)), Array1::from_iter((-6..6).map(|v| v as f64 / 4.0)).into_dyn());
    assert_eq!(values(&i.floor_divide(4)), Array1::from_iter((-6..6).map(|v: i32| v.div_euclid(4))).into_dyn());
    assert_eq!(values(&(7 & &i | 8)), Array1::from_iter((-6..6).map(|v| 7 & v | 8)).into_dyn());
    let even = (&i & 1).eq_(0);
    assert_eq!(values(&!(&even ^ true)), values(&even));
    assert_eq!(values(&even.where_(&i, -1))[[0]], -6);
}

#[test]
fn functions() {
    let a = counting(&[4, 6]);
    let x = lazy(&a, 3);
    assert_eq!(values(&x.abs().sqrt()), a.mapv(|v| v.abs().sqrt()));
    assert_eq!(values(&x.floor()), a.mapv(f64::floor));
    assert_eq!(values(&x.clip(-1.0, 2.0)), a.mapv(|v| v.clamp(-1.0, 2.0)));
    assert_eq!(values(&x.maximum(x.t().t()).minimum(0.5)), a.mapv(|v| v.min(0.5)));
    assert_eq!(values(&x.gt(0.0)), a.mapv(|v| v > 0.0));
    assert_eq!(values(&x.astype::<i32>()), a.mapv(|v| v as i32));
    assert_eq!(values(&where_(&x.lt(0.0), 0.0, &x)), a.mapv(|v| v.max(0.0)));
    assert_eq!(values(&(x.gt(0.0) & x.lt(5.0))), a.mapv(|v| v > 0.0 && v < 5.0));
    assert!(values(&(&x - x.exp().log())).iter().all(|v| v.abs() < 1e-12));
    assert_eq!(values(&Array::arange(0, 4, 1, 2).sqrt()).len(), 4);
}

#[test]
fn shapes_broadcast_as_in_numpy() {
    let a = counting(&[3, 1, 5]);
    let b = counting(&[4, 1]);
    let want = &a.broadcast((3, 4, 5)).unwrap() + &b.broadcast((3, 4, 5)).unwrap();
    assert_eq!(values(&(lazy(&a, chunks![2, 1, 3]) + lazy(&b, chunks![3, 1]))), want.into_dyn());
    assert_eq!(values(&lazy(&b, 2).broadcast_to([2, 4, 3])), b.broadcast((2, 4, 3)).unwrap().to_owned().into_dyn());
    let scalar = lazy(&counting(&[]), 1);
    assert_eq!(values(&(&scalar + lazy(&b, 3))).shape(), [4, 1]);
    let wrong = (lazy(&a, 2) + lazy(&counting(&[2]), 2)).check().unwrap_err();
    assert_eq!((wrong.kind(), wrong.location().unwrap().file()), (ErrorKind::Shape, file!()));
}

#[test]
fn the_first_error_of_a_chain_stays() {
    let x = Array::<f64>::ones([3], 3);
    let line = line!() + 1;
    let bad = x.slice(s![7]);
    let later = (&bad + &x).sum(5).exp();
    let error = later.shape().unwrap_err();
    assert_eq!(error.location().unwrap().line(), line);
    assert!(error.to_string().contains("index 7"), "{error}");
    assert_eq!(compute(&later).unwrap_err().location().unwrap().line(), line);
}

#[test]
fn views() {
    let a = counting(&[5, 4, 6]);
    let x = lazy(&a, chunks![2, 3, 4]);
    assert_eq!(values(&x.t()), a.t().to_owned());
    assert_eq!(values(&x.permute([1, 2, 0])), a.view().permuted_axes(vec![1, 2, 0]).to_owned());
    assert_eq!(values(&(x.t() + &lazy(&counting(&[6, 4, 5]), 4))), &a.t() + &counting(&[6, 4, 5]));
    assert_eq!(values(&x.swapaxes(0, -1).moveaxis(0, -1)), values(&x.permute([1, 0, 2])));
    assert_eq!(values(&x.flip(..)), a.slice(ndarray::s![..;-1, ..;-1, ..;-1]).to_owned().into_dyn());
    assert_eq!(values(&x.flip(1)), a.slice(ndarray::s![.., ..;-1, ..]).to_owned().into_dyn());
    assert_eq!(values(&x.expand_dims(-1).squeeze(..)), a);
    assert_eq!(values(&x.expand_dims(1)).shape(), [5, 1, 4, 6]);
    assert_eq!(values(&x.slice(s![1, .., NewAxis, -2])), a.slice(ndarray::s![1, .., 4]).to_owned().insert_axis(Axis(1)).into_dyn());
    let differences = &a.slice(ndarray::s![.., 1.., ..]) - &a.slice(ndarray::s![.., ..3, ..]);
    assert_eq!(values(&(&x.slice(s![.., 1.., ..]) - &x.slice(s![.., ..-1, ..]))), differences.into_dyn());
    // A diagonal band: one input seen through two views.
    let square = x.slice(s![0..4, .., 0]);
    assert_eq!(values(&(&square + &square.t())), values(&(square.t() + &square)));
}

#[test]
fn joining_and_cutting() {
    let (a, b) = (counting(&[5, 4]), counting(&[3, 4]));
    let (x, y) = (lazy(&a, chunks![2, 3]), lazy(&b, chunks![3, 2]));
    let want = ndarray::concatenate(Axis(0), &[a.view(), b.view(), a.view()]).unwrap();
    let joined = concatenate(&[&x, &y, &x], 0);
    assert_eq!(values(&joined), want);
    assert_eq!(values(&joined.slice(s![3..11;2, ..;-1])), want.slice(ndarray::s![3..11;2, ..;-1]).to_owned().into_dyn());
    for grid in [chunks![4, 1], chunks![-1, -1], chunks![[1, 9, 3], 3]] {
        assert_eq!(values(&joined.rechunk(grid.clone())), want);
        assert_eq!(values(&(&joined + 1.0).t().rechunk(3).t().rechunk(grid)), &want + 1.0);
    }
    let stacked = ndarray::stack(Axis(1), &[a.view(), a.view()]).unwrap();
    assert_eq!(values(&stack(&[&x, &(x.clone() * 1.0)], 1)), stacked);
    assert_eq!(values(&stack(&[&x, &x], -1)).shape(), [5, 4, 2]);
    let nothing = x.slice(s![0..0]);
    assert_eq!(values(&concatenate(&[&nothing, &x, &nothing], 0)), a);
    assert_eq!(values(&concatenate(&[&nothing, &nothing], 0)).shape(), [0, 4]);
    assert_eq!(values(&x.rechunk(1).rechunk(Auto)), a);
    assert!(concatenate::<f64>(&[], 0).check().is_err());
}

#[test]
fn map_blocks_runs_a_closure() {
    let a = counting(&[5, 4]);
    let x = lazy(&a, chunks![2, 4]);
    let doubled = (&x + 0.0).map_blocks(|block| block.mapv(|v| (v * 2.0) as f32)).scratch_blocks(3);
    assert_eq!(values(&doubled), a.mapv(|v| (v * 2.0) as f32));
    let sums = x.map_blocks_with(Chunks::new([vec![1, 1, 1], vec![4]]).unwrap(), |block| block.sum_axis(Axis(0)).insert_axis(Axis(0)));
    assert_eq!(values(&sums).shape(), [3, 4]);
    let wrong = compute(&x.map_blocks(|block| block.t().to_owned())).unwrap_err();
    assert_eq!(wrong.kind(), ErrorKind::Shape);
    assert!(wrong.to_string().contains("[2, 4]"), "{wrong}");
    assert_eq!(x.scratch_blocks(2).check().unwrap_err().kind(), ErrorKind::Invalid);
    let transposed = x.map_blocks_with(Chunks::new([vec![2, 2, 1], vec![4]]).unwrap(), |block| block.t().to_owned().reversed_axes());
    assert_eq!(values(&transposed), a);
}

#[test]
fn arrays_in_memory_are_taken_as_they_are() {
    let a = counting(&[6, 7]);
    for array in [a.clone(), a.t().to_owned().reversed_axes(), a.slice(ndarray::s![..;-1, ..]).to_owned().into_dyn()] {
        assert_eq!(values(&Array::from_ndarray(array.clone(), chunks![4, 3])), array);
    }
    let mut part = Array3::from_shape_fn((4, 5, 6), |(i, j, k)| (i * 100 + j * 10 + k) as i32);
    part.invert_axis(Axis(1));
    part.slice_collapse(ndarray::s![1..;2, .., 2..5]);
    assert_eq!(values(&Array::from_ndarray(part.clone(), 2)), part.into_dyn());
    assert_eq!(values(&Array::from_ndarray(arr2(&[[1u8, 2], [3, 4]]), 2).t()), arr2(&[[1, 3], [2, 4]]).into_dyn());
}

#[test]
fn a_slice_makes_only_the_tasks_that_it_needs() -> Result<()> {
    let y = Array::<f64>::ones([10000, 10000], 100).exp().slice(s![1..100, 1..100]);
    let (result, tasks) = compute_hooked(&y)?;
    assert_eq!((result.shape(), tasks), (&[99, 99][..], 2));
    assert!(result.iter().all(|v| (v - 1f64.exp()).abs() < 1e-15));
    let last = Array::<f64>::ones([10000, 10000], 100).exp().slice(s![-1, ..;-5000]);
    assert_eq!(compute_hooked(&last)?.1, 4);
    Ok(())
}

#[test]
fn keys_follow_from_content() {
    let x = || Array::arange(0, 100, 1, 10);
    let key = |array: Array<i64>| array.key().unwrap();
    let make = |n: i64| (x().astype::<i64>() + n).slice(s![1..5]).sum(..);
    assert_eq!(key(make(1)), key(make(1)));
    assert_ne!(key(make(1)), key(make(2)));
    let f = |block: ndarray::ArrayViewD<'_, i32>| block.to_owned();
    assert_ne!(x().map_blocks(f).key().unwrap(), x().map_blocks(f).key().unwrap());
}

#[test]
fn items_are_plain_values() {
    let x = Array::arange(0, 10, 1, 3);
    assert_eq!(compute(&x.slice(s![7]).item_collection()).unwrap(), 7);
    assert_eq!(compute(&x.slice(s![7..8]).item_collection()).unwrap(), 7);
    assert_eq!(compute(&x.item_collection()).unwrap_err().kind(), ErrorKind::Shape);
}

#[test]
fn random_numbers_depend_on_seed_and_position_alone() {
    let draw = |chunks: Chunking, seed| random::normal(2.0, 3.0, [40, 50]).seed(seed).chunks(chunks).array();
    let whole = values(&draw(Auto.into(), 1));
    assert_eq!(values(&draw(7.into(), 1)), whole);
    assert_eq!(values(&draw(11.into(), 1).slice(s![5..30;3, -1])), whole.slice(ndarray::s![5..30;3, -1]).to_owned().into_dyn());
    assert_ne!(values(&draw(7.into(), 2)), whole);
    let mean = whole.mean().unwrap();
    assert!((mean - 2.0).abs() < 0.3, "{mean}");
    let uniform = values(&random::uniform(-1.0, 1.0, [1000]).seed(3).array());
    assert!(uniform.iter().all(|v| (-1.0..1.0).contains(v)));
}

#[test]
fn other_shapes() {
    let a = counting(&[4, 3, 5]);
    for grid in [chunks![1, 1, 2], chunks![3, -1, -1], chunks![-1, 2, 3]] {
        let x = lazy(&a, grid);
        for shape in [vec![60], vec![5, 12], vec![2, 1, 30], vec![4, 3, 5]] {
            assert_eq!(values(&x.reshape(shape.clone())), a.to_shape(IxDyn(&shape)).unwrap().to_owned());
        }
        assert_eq!(values(&(x + 1.0).ravel().slice(s![7..9])).shape(), [2]);
    }
    assert_eq!(values(&lazy(&counting(&[1, 1]), 1).reshape(())).shape(), [0usize; 0]);
    assert_eq!(values(&Array::<f64>::ones([0, 3], 1).reshape([7, 0])).shape(), [7, 0]);
    assert!(lazy(&a, 2).reshape([61]).check().is_err());
}

mod slices {
    use super::*;
    use proptest::prelude::*;

    /// What Python makes of one entry: `range(n)[start:stop:step]`.
    fn indices(n: i64, start: Option<i64>, stop: Option<i64>, step: i64) -> Vec<usize> {
        let clip = |at: i64, low: i64, high: i64| (if at < 0 { at + n } else { at }).clamp(low, high);
        let (first, last) = match step > 0 {
            true => (start.map_or(0, |at| clip(at, 0, n)), stop.map_or(n, |at| clip(at, 0, n))),
            false => (start.map_or(n - 1, |at| clip(at, -1, n - 1)), stop.map_or(-1, |at| clip(at, -1, n - 1))),
        };
        let mut found = Vec::new();
        let mut at = first;
        while if step > 0 { at < last } else { at > last } {
            found.push(at as usize);
            at += step;
        }
        found
    }

    fn entry() -> impl Strategy<Value = (Option<i64>, Option<i64>, i64)> {
        (prop::option::of(-12..12i64), prop::option::of(-12..12i64), prop_oneof![Just(1i64), -4..=-1i64, 1..=4i64])
    }

    fn cuts() -> impl Strategy<Value = Vec<usize>> {
        prop::collection::vec(1..4usize, 1..5)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn of_slices_are_what_numpy_gives(
            cuts in [cuts(), cuts()],
            entries in prop::collection::vec([entry(), entry()], 1..4),
            transpose in any::<bool>(),
            kind in 0..3u8,
        ) {
            let shape = [cuts[0].iter().sum::<usize>(), cuts[1].iter().sum::<usize>()];
            let array = ndarray::Array::from_shape_fn((shape[0], shape[1]), |(i, j)| (i * 100 + j) as f64);
            let grid = Chunks::new(cuts.to_vec()).unwrap();
            let mut lazy = match kind {
                0 => Array::from_ndarray(array.clone(), &grid),
                1 => (Array::arange(0.0, shape[0] as f64, 1.0, 3) * 100.0).expand_dims(1) + Array::arange(0.0, shape[1] as f64, 1.0, 2),
                _ => concatenate(&[&Array::from_ndarray(array.clone(), &grid)], 1),
            };
            let mut want = array;
            for [a, b] in entries {
                let slice = |(start, stop, step): (Option<i64>, Option<i64>, i64)| Slice::Range { start, stop, inclusive: false, step };
                lazy = lazy.slice([slice(a), slice(b)]);
                let rows = indices(want.nrows() as i64, a.0, a.1, a.2);
                let columns = indices(want.ncols() as i64, b.0, b.1, b.2);
                want = want.select(Axis(0), &rows).select(Axis(1), &columns);
                if transpose {
                    lazy = lazy.t() + 1.0;
                    want = want.reversed_axes() + 1.0;
                }
            }
            prop_assert_eq!(values(&lazy), want.into_dyn());
        }
    }
}

#[test]
fn files_are_read_where_they_are_needed() -> Result<()> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npy");
    let a = counting(&[300, 200]);
    compute(&(lazy(&a, 70) * 1.0).to_npy(&path))?;
    let x = Array::<f64>::from_npy_chunks(&path, chunks![100, -1])?;
    assert_eq!(values(&x), a);
    assert_eq!(values(&x.slice(s![..;-7, 3])), a.slice(ndarray::s![..;-7, 3]).to_owned().into_dyn());
    assert_eq!(values(&(&x - x.mean(0)).slice(s![5..7]).sum(1)).shape(), [2]);
    assert_eq!(values(&x.rechunk(chunks![-1, 30])), a);
    let loads = |array: &Array<f64>| {
        let layer = super::testing::hooked(&crate::Collection::collect(array).unwrap().layer);
        let mut lowering = crate::graph::Lowering::new();
        for block in 0..layer.blocks() {
            lowering.want(&layer, block).unwrap();
        }
        lowering.finish().load.iter().sum::<u64>()
    };
    assert!(loads(&x.exp().slice(s![10..12])) < 16384, "{}", loads(&x.exp().slice(s![10..12])));
    assert!(loads(&(x.slice(s![1..]) - x.slice(s![..-1]))) < 600_000);
    assert_eq!(AnyArray::from_npy(&path)?.astype::<f32>().dtype(), chunkstore_store::DType::F32);
    let wrong = Array::<i32>::from_npy(&path).unwrap_err();
    assert!(wrong.kind() == ErrorKind::Type && wrong.to_string().contains("astype::<i32>"), "{wrong}");
    assert_eq!(wrong.location().unwrap().file(), file!());
    assert!(Array::<f64>::from_npy(folder.path().join("none")).is_err());
    let missing = compute(&x.to_npy(folder.path().join("no/folder.npy"))).unwrap_err();
    assert_eq!(missing.location().unwrap().file(), file!());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    Ok(())
}

#[test]
fn files_in_fortran_order_are_read_along_their_columns() -> Result<()> {
    let data = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/npy");
    let c = values(&Array::<i32>::from_npy(data.join("int32-le-3d.npy"))?);
    let fortran = Array::<i32>::from_npy_chunks(data.join("int32-le-3d-fortran.npy"), chunks![2, 3, -1])?;
    assert_eq!(fortran.shape()?, c.shape());
    assert_eq!(fortran.chunks()?.block_shape(0).as_slice(), [2, 3, c.shape()[2]]);
    assert_eq!(values(&fortran), values(&Array::<i32>::from_npy(data.join("int32-be-3d-fortran.npy"))?));
    assert_eq!(values(&fortran.slice(s![1, ..;-2])), values(&fortran).slice(ndarray::s![1, ..;-2, ..]).to_owned().into_dyn());
    Ok(())
}

#[test]
fn slopes_of_an_elevation_model_are_numpys() -> Result<()> {
    let data = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/dem");
    let golden: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(data.join("slope.json")).unwrap()).unwrap();
    let number = |name: &[&str]| name.iter().fold(&golden, |value, name| &value[*name]).as_f64().unwrap();
    let z = Array::<i16>::from_npy_chunks(data.join("elevation.npy"), 100)?.astype::<f64>();
    let dzdx = (z.slice(s![1..-1, 2..]) - z.slice(s![1..-1, ..-2])) / (2.0 * number(&["dx_metres"]));
    let dzdy = (z.slice(s![2.., 1..-1]) - z.slice(s![..-2, 1..-1])) / (2.0 * number(&["dy_metres"]));
    let slope = (&dzdx * &dzdx + &dzdy * &dzdy).sqrt();
    for (name, found) in
        [("min", slope.min(..)), ("max", slope.max(..)), ("mean", slope.mean(..)), ("std", slope.std(..)), ("sum", slope.sum(..))]
    {
        let (found, want) = (values(&found)[[]], number(&["slope", name]));
        assert!((found - want).abs() <= 1e-12 * want.abs(), "{name}: {found} and not {want}");
    }
    assert_eq!(values(&slope.gt(0.5).sum(..))[[]], golden["slope_steeper_than_0.5"].as_i64().unwrap());
    Ok(())
}

#[test]
fn what_is_standardised_is_one_pass_after_the_moments() -> Result<()> {
    let a = counting(&[60, 40]);
    let x = lazy(&a, chunks![10, -1]);
    let z = (&x - x.mean(0)) / x.std(0);
    let (mean, std) = (a.mean_axis(Axis(0)).unwrap(), a.std_axis(Axis(0), 0.0));
    let want = (&a - &mean) / &std;
    assert!(values(&z).iter().zip(&want).all(|(found, want)| (found - want).abs() < 1e-12));
    // Six blocks: read, moments, two groups of results, and one task a block for the sum of squares.
    let layer = crate::Persist::layer(&z.square().sum(..))?;
    let layers = crate::optimize::optimize(vec![layer]);
    let tasks = super::testing::run(&layers[0])?;
    let names: Vec<String> = (0..tasks.len()).map(|task| tasks.name_of(task as u32)).collect();
    let count = |name: &str| names.iter().filter(|other| other.starts_with(name)).count();
    assert_eq!(
        (count("from_ndarray"), count("moment_chunk"), count("mean"), count("std"), count("sum_chunk"), count("sum-")),
        (6, 6, 1, 1, 6, 1),
        "{names:?}"
    );
    assert_eq!(names.len(), 21);
    Ok(())
}

#[test]
fn tasks_take_the_memory_that_they_state() {
    // Blocks of 2 MiB, against which a slab is little: what is gathered, reduced, mapped or cut anew is stated.
    let a = counting(&[1024, 1024]);
    let x = lazy(&a, chunks![512, 512]);
    let odd = x.slice(s![3..;-1, 5..]);
    for array in [
        x.t() + x.t().exp(),
        odd.flip(..) * 2.0,
        x.rechunk(chunks![300, 400]),
        x.map_blocks(|block| block.to_owned()),
        &x - x.mean(keep(1)),
    ] {
        values(&array);
    }
    values(&(x.t() - 1.0).std(0));
    values(&x.sum(0));
    values(&x.slice(s![..3]).t().var(1));
}
