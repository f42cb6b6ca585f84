//! The reductions of an array, by NumPy's names.

use super::super::body::{Body, Operand};
use super::super::kernel::{Finish, Program, ReduceOp};
use super::super::lazy::Raw;
use super::super::number::{Datum, Number};
use super::super::view::View;
use super::super::{Array, Axes, Chunks};
use super::combine::{Combine, Order, Plan};
use super::partial::Partial;
use crate::graph::LayerRef;
use crate::{Error, ErrorKind, Result};
use chunkstore_store::DType;
use smallvec::SmallVec;
use std::panic::Location;
use std::sync::Arc;

/// The most partials that become one in a step.
const GROUP: u64 = 16;
/// The most bytes of them, which lets a step take fewer, but two at least.
const GROUP_BYTES: u64 = 32 << 20;

fn reduced(name: &'static str, raw: &Raw, op: ReduceOp, axes: &Axes, last: Finish, dtype: DType) -> Result<Raw> {
    let chunks = &raw.chunks;
    let mask = axes.mask(chunks.ndim())?;
    let extent: usize = mask.iter().zip(chunks.shape()).filter(|(mask, _)| **mask).map(|(_, extent)| *extent).product();
    let grid = result_grid(chunks, &mask, axes.keeps())?;
    if extent == 0 && grid.size() > 0 && matches!(op, ReduceOp::Min | ReduceOp::Max) {
        let message = format!("{name} of no elements: the shape is {:?}", chunks.shape());
        return Err(Error::new(ErrorKind::Shape, message));
    }
    let mut program = Program::builder();
    let value = program.input(raw.dtype);
    let operands = vec![Operand::Blocks { input: 0, view: View::identity(chunks.ndim()) }];
    let body = Body::new(chunks.clone(), program.finish(value), operands, vec![(raw.layer.clone(), chunks.clone())]);
    let partial = Partial::new(op, mask.clone(), body);
    let not_defined = || Error::new(ErrorKind::Type, format!("{name} is not defined for {}", raw.dtype));
    let mut layer: LayerRef = Arc::new(partial.ok_or_else(not_defined)?);
    let partial_dtype = op.partial_dtype(raw.dtype).ok_or_else(not_defined)?;
    let numblocks = chunks.numblocks();
    let mut count: u32 = mask.iter().zip(&numblocks).filter(|(mask, _)| **mask).map(|(_, n)| *n as u32).product();
    let mut order = Order::Grid(chunks.clone(), mask);
    let largest = (0..grid.ndim()).map(|axis| grid.extents(axis).max().unwrap_or(1)).product::<usize>();
    let bytes = (largest * op.leading().unwrap_or(1) * partial_dtype.size()) as u64;
    let group = (GROUP_BYTES / bytes.max(1)).clamp(2, GROUP) as u32;
    loop {
        let is_last = count <= group;
        let last = is_last.then_some((last, dtype));
        let name = if is_last { name } else { "combine" };
        let plan = Plan { name, op, dtype: partial_dtype, grid: grid.clone(), order, count, group, last };
        layer = Arc::new(Combine::new(plan, layer));
        if is_last {
            return Ok(Raw { layer, chunks: grid, dtype });
        }
        count = count.div_ceil(group);
        order = Order::Runs;
    }
}

/// How the result is cut: as the array on the axes that stay.
fn result_grid(chunks: &Chunks, mask: &SmallVec<[bool; 4]>, keep: bool) -> Result<Chunks> {
    let axes = mask.iter().enumerate().filter(|(_, mask)| keep || !**mask);
    Chunks::from_starts(axes.map(|(axis, mask)| if *mask { Arc::from([0, 1]) } else { chunks.shared_starts(axis) }).collect())
}

impl<T: Datum> Array<T> {
    #[track_caller]
    fn reduce<U: Datum>(&self, name: &'static str, op: ReduceOp, axes: impl Into<Axes>, last: Finish) -> Array<U> {
        let raw = self.raw().and_then(|raw| reduced(name, raw, op, &axes.into(), last, U::DTYPE));
        Array::at(raw, Location::caller())
    }

    /// The sum over axes. Integers and truth values are summed in 64 bits, `f32` in `f64` and rounded at the end.
    ///
    /// ```
    /// use chunkstore::array::{Array, keep};
    /// let x = Array::<i32>::ones([4, 6], 3);
    /// let total: Array<i64> = x.sum(..);
    /// assert_eq!(total.shape()?, [0usize; 0]);
    /// assert_eq!(x.sum(0).shape()?, [6]);
    /// assert_eq!(x.sum(keep([0, -1])).shape()?, [1, 1]);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn sum(&self, axes: impl Into<Axes>) -> Array<T::Sum> {
        self.reduce("sum", ReduceOp::Sum, axes, same_or_cast::<T::Sum>(ReduceOp::Sum, T::DTYPE))
    }

    /// The product over axes, in the types of [`Array::sum`].
    ///
    /// ```
    /// use chunkstore::array::Array;
    /// let x = Array::arange(1i32, 5, 1, 2);
    /// assert_eq!(x.prod(..).item()?, 24i64);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn prod(&self, axes: impl Into<Axes>) -> Array<T::Sum> {
        self.reduce("prod", ReduceOp::Prod, axes, same_or_cast::<T::Sum>(ReduceOp::Prod, T::DTYPE))
    }

    /// The mean over axes. The mean of no elements is NaN.
    ///
    /// ```
    /// use chunkstore::array::Array;
    /// let x = Array::from_ndarray(ndarray::arr2(&[[1i32, 2], [3, 6]]), 1);
    /// assert_eq!(x.mean(0).compute()?, ndarray::arr1(&[2.0, 4.0]).into_dyn());
    /// assert_eq!(x.mean(..).item()?, 3.0);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn mean(&self, axes: impl Into<Axes>) -> Array<T::Float> {
        self.reduce("mean", ReduceOp::Moments { spread: false }, axes, Finish::Mean)
    }

    /// The variance over axes: the mean of the squared distances from the mean.
    ///
    /// The moments of blocks are merged by the method of Chan, Golub and LeVeque (1979). A mean of the same array over
    /// the same axes comes from the same pass.
    ///
    /// ```
    /// use chunkstore::array::Array;
    /// let x = Array::from_ndarray(ndarray::arr1(&[1.0f64, 2.0, 3.0, 4.0]), 2);
    /// assert_eq!(x.var(..).item()?, 1.25);
    /// assert_eq!(x.var_ddof(.., 1.0).item()?, 5.0 / 3.0);
    /// assert_eq!(x.std(..).item()?, 1.25f64.sqrt());
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn var(&self, axes: impl Into<Axes>) -> Array<T::Float> {
        self.var_ddof(axes, 0.0)
    }

    /// The variance over axes, with the sum of squared distances divided by the number of elements less `ddof`: 1 for a
    /// sample's estimate.
    #[track_caller]
    pub fn var_ddof(&self, axes: impl Into<Axes>, ddof: f64) -> Array<T::Float> {
        self.reduce("var", ReduceOp::Moments { spread: true }, axes, Finish::Var { ddof })
    }

    /// The standard deviation over axes: the root of [`Array::var`].
    #[track_caller]
    pub fn std(&self, axes: impl Into<Axes>) -> Array<T::Float> {
        self.std_ddof(axes, 0.0)
    }

    /// The standard deviation over axes: the root of [`Array::var_ddof`].
    #[track_caller]
    pub fn std_ddof(&self, axes: impl Into<Axes>, ddof: f64) -> Array<T::Float> {
        self.reduce("std", ReduceOp::Moments { spread: true }, axes, Finish::Std { ddof })
    }

    /// The least element over axes; NaN if there is one. No elements have none: that is an error.
    ///
    /// ```
    /// use chunkstore::array::Array;
    /// let x = Array::from_ndarray(ndarray::arr2(&[[3, 1], [4, 1]]), 1);
    /// assert_eq!(x.min(1).compute()?, ndarray::arr1(&[1, 1]).into_dyn());
    /// assert_eq!((x.max(..).item()?, x.ptp(..).item()?), (4, 3));
    /// let none = Array::<f64>::zeros([0], 1).min(..);
    /// assert_eq!(none.check().unwrap_err().kind(), chunkstore::ErrorKind::Shape);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn min(&self, axes: impl Into<Axes>) -> Array<T> {
        self.reduce("min", ReduceOp::Min, axes, Finish::Same)
    }

    /// The greatest element over axes; NaN if there is one. No elements have none: that is an error.
    #[track_caller]
    pub fn max(&self, axes: impl Into<Axes>) -> Array<T> {
        self.reduce("max", ReduceOp::Max, axes, Finish::Same)
    }

    /// Whether any element over axes is true, or other than 0.
    ///
    /// ```
    /// use chunkstore::array::Array;
    /// let x = Array::from_ndarray(ndarray::arr2(&[[0, 0], [0, 5]]), 1);
    /// assert_eq!(x.any(0).compute()?, ndarray::arr1(&[false, true]).into_dyn());
    /// assert_eq!((x.all(..).item()?, x.count_nonzero(..).item()?), (false, 1));
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn any(&self, axes: impl Into<Axes>) -> Array<bool> {
        self.reduce("any", ReduceOp::Any, axes, Finish::Same)
    }

    /// Whether all elements over axes are true, or other than 0.
    #[track_caller]
    pub fn all(&self, axes: impl Into<Axes>) -> Array<bool> {
        self.reduce("all", ReduceOp::All, axes, Finish::Same)
    }

    /// The number of elements over axes that are true, or other than 0.
    #[track_caller]
    pub fn count_nonzero(&self, axes: impl Into<Axes>) -> Array<i64> {
        self.ne_(T::default()).sum(axes)
    }
}

impl<T: Number> Array<T> {
    /// The distance from the least to the greatest element over axes.
    #[track_caller]
    pub fn ptp(&self, axes: impl Into<Axes>) -> Array<T> {
        let axes = axes.into();
        self.max(axes.clone()) - self.min(axes)
    }
}

fn same_or_cast<U: Datum>(op: ReduceOp, from: DType) -> Finish {
    if op.partial_dtype(from) == Some(U::DTYPE) { Finish::Same } else { Finish::Cast(U::DTYPE) }
}
