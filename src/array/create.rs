//! Arrays made from nothing: constants and progressions.

use super::blockwise::Blockwise;
use super::body::{Body, Operand};
use super::kernel::{BinaryOp, Operand as Slot, Program, ProgramBuilder, UnaryOp};
use super::lazy::Raw;
use super::number::{Datum, Number};
use super::{Array, Chunking};
use crate::{Error, ErrorKind, Result};
use chunkstore_store::{DType, Scalar};
use smallvec::SmallVec;
use std::panic::Location;
use std::sync::Arc;

/// What names a shape: a number, an array of numbers, a slice or a vector.
pub trait IntoShape {
    /// The extent of each axis.
    fn into_shape(self) -> Vec<usize>;
}

impl IntoShape for usize {
    fn into_shape(self) -> Vec<usize> {
        vec![self]
    }
}

impl<const N: usize> IntoShape for [usize; N] {
    fn into_shape(self) -> Vec<usize> {
        self.to_vec()
    }
}

impl IntoShape for &[usize] {
    fn into_shape(self) -> Vec<usize> {
        self.to_vec()
    }
}

impl IntoShape for Vec<usize> {
    fn into_shape(self) -> Vec<usize> {
        self
    }
}

impl IntoShape for () {
    fn into_shape(self) -> Vec<usize> {
        Vec::new()
    }
}

/// An array whose elements follow from where they stand: an index with these strides, and what is built on it.
pub(super) fn created(
    name: &'static str,
    steps: u32,
    shape: &[usize],
    chunking: &Chunking,
    index: Option<(i64, SmallVec<[i64; 4]>)>,
    build: impl FnOnce(&mut ProgramBuilder, Option<Slot>) -> Option<Slot>,
) -> Result<Raw> {
    let mut program = Program::builder();
    let input = index.as_ref().map(|_| program.input(DType::I64));
    let output = build(&mut program, input).ok_or_else(|| Error::new(ErrorKind::Type, format!("{name} is not defined for this type")))?;
    let program = program.finish(output);
    let dtype = program.output();
    let chunks = chunking.resolve(shape, dtype)?;
    let operands = index.map(|(offset, strides)| Operand::Index { offset, strides }).into_iter().collect();
    let layer = Blockwise::new(name, steps, Body::new(chunks.clone(), program, operands, Vec::new()));
    Ok(Raw { layer: Arc::new(layer), chunks, dtype })
}

impl<T: Datum> Array<T> {
    /// An array whose every element is `value`.
    ///
    /// ```
    /// use chunkstore::array::Array;
    /// let x = Array::full([2, 3], 7u8, 2);
    /// assert_eq!(x.sum(..).item()?, 42);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn full(shape: impl IntoShape, value: T, chunks: impl Into<Chunking>) -> Self {
        let value = value.scalar();
        let raw = created("full", 0, &shape.into_shape(), &chunks.into(), None, |program, _| Some(program.constant(value)));
        Array::at(raw, Location::caller())
    }

    /// An array of zeros.
    ///
    /// ```
    /// use chunkstore::{array::Array, chunks};
    /// let x = Array::<u8>::zeros([1000, 500], chunks![100, -1]);
    /// assert_eq!(x.numblocks()?, [10, 1]);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn zeros(shape: impl IntoShape, chunks: impl Into<Chunking>) -> Self {
        Array::full(shape, T::default(), chunks)
    }
}

impl<T: Number> Array<T> {
    /// An array of ones.
    ///
    /// ```
    /// use chunkstore::array::Array;
    /// let x = Array::<f32>::ones([1000], 100);
    /// assert_eq!(x.sum(..).item()?, 1000.0);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn ones(shape: impl IntoShape, chunks: impl Into<Chunking>) -> Self {
        let raw = created("ones", 0, &shape.into_shape(), &chunks.into(), None, |program, _| {
            let one = program.constant(Scalar::I64(1));
            program.unary(UnaryOp::Cast(T::DTYPE), one)
        });
        Array::at(raw, Location::caller())
    }

    /// The numbers from `start` up to, but without, `stop`, `step` apart, as NumPy's `arange`: `start + i * step`.
    ///
    /// ```
    /// use chunkstore::array::{Array, Auto};
    /// assert_eq!(Array::arange(0, 10, 3, Auto).shape()?, [4]);
    /// assert_eq!(Array::arange(1.0, 0.0, -0.25, Auto).shape()?, [4]);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn arange(start: T, stop: T, step: T, chunks: impl Into<Chunking>) -> Self {
        let (first, end, by) = (start.scalar(), stop.scalar(), step.scalar());
        let raw = count(first, end, by)
            .and_then(|n| progression("arange", n, &chunks.into(), |program, index| affine(program, index, first, by)));
        Array::at(raw, Location::caller())
    }

    /// The identity matrix of `n` rows: 1 where row and column are equal, else 0.
    ///
    /// ```
    /// use chunkstore::array::Array;
    /// let x = Array::<i32>::eye(3, 2);
    /// assert_eq!(x.sum(0).compute()?, ndarray::arr1(&[1, 1, 1]).into_dyn());
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn eye(n: usize, chunks: impl Into<Chunking>) -> Self {
        let difference = Some((0, SmallVec::from_slice(&[1, -1])));
        let raw = created("eye", 2, &[n, n], &chunks.into(), difference, |program, index| {
            let zero = program.constant(Scalar::I64(0));
            let equal = program.binary(BinaryOp::Equal, index?, zero)?;
            program.unary(UnaryOp::Cast(T::DTYPE), equal)
        });
        Array::at(raw, Location::caller())
    }
}

impl Array<f64> {
    /// `n` numbers from `start` to `stop`, both included, as NumPy's `linspace`: `start + i * step`, and just `stop` at the end.
    ///
    /// ```
    /// use chunkstore::array::Array;
    /// let x = Array::<f64>::linspace(0.0, 1.0, 5, 2);
    /// assert_eq!(x.compute()?, ndarray::arr1(&[0.0, 0.25, 0.5, 0.75, 1.0]).into_dyn());
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn linspace(start: f64, stop: f64, n: usize, chunks: impl Into<Chunking>) -> Self {
        let step = (stop - start) / n.saturating_sub(1) as f64;
        let raw = progression("linspace", n, &chunks.into(), |program, index| {
            if n < 2 {
                return Some(program.constant(Scalar::F64(start)));
            }
            let value = affine(program, index, Scalar::F64(start), Scalar::F64(step))?;
            let (last, stop) = (program.constant(Scalar::I64(n as i64 - 1)), program.constant(Scalar::F64(stop)));
            let is_last = program.binary(BinaryOp::Equal, index, last)?;
            program.ternary(super::kernel::TernaryOp::Where, is_last, stop, value)
        });
        Array::at(raw, Location::caller())
    }
}

fn progression(
    name: &'static str,
    n: usize,
    chunking: &Chunking,
    build: impl FnOnce(&mut ProgramBuilder, Slot) -> Option<Slot>,
) -> Result<Raw> {
    created(name, 2, &[n], chunking, Some((0, SmallVec::from_slice(&[1]))), |program, index| build(program, index?))
}

/// `start + index * step`, in the type of the two.
fn affine(program: &mut ProgramBuilder, index: Slot, start: Scalar, step: Scalar) -> Option<Slot> {
    let (start, step) = (program.constant(start), program.constant(step));
    let dtype = program.dtype(start)?;
    // In F64 for F32, and in 64 bits for smaller integers: as NumPy, which rounds once.
    let wide = match dtype {
        DType::F32 | DType::F64 => DType::F64,
        DType::U64 => DType::U64,
        _ => DType::I64,
    };
    let mut widened = |value| program.unary(UnaryOp::Cast(wide), value);
    let (index, start, step) = (widened(index)?, widened(start)?, widened(step)?);
    let moved = program.binary(BinaryOp::Multiply, index, step)?;
    let value = program.binary(BinaryOp::Add, start, moved)?;
    program.unary(UnaryOp::Cast(dtype), value)
}

/// The number of elements from `start` to `stop`, `step` apart.
fn count(start: Scalar, stop: Scalar, step: Scalar) -> Result<usize> {
    let number = |scalar| match scalar {
        Scalar::Bool(v) => i128::from(v),
        Scalar::I8(v) => v.into(),
        Scalar::I16(v) => v.into(),
        Scalar::I32(v) => v.into(),
        Scalar::I64(v) => v.into(),
        Scalar::U8(v) => v.into(),
        Scalar::U16(v) => v.into(),
        Scalar::U32(v) => v.into(),
        Scalar::U64(v) => v.into(),
        Scalar::F32(_) | Scalar::F64(_) => 0,
    };
    let float = |scalar| match scalar {
        Scalar::F32(v) => Some(f64::from(v)),
        Scalar::F64(v) => Some(v),
        _ => None,
    };
    let wrong =
        |step: &dyn std::fmt::Display| Error::new(ErrorKind::Invalid, format!("arange cannot go from start to stop with step {step}"));
    if let (Some(start), Some(stop), Some(step)) = (float(start), float(stop), float(step)) {
        let n = ((stop - start) / step).ceil();
        return if n.is_nan() || n >= isize::MAX as f64 { Err(wrong(&step)) } else { Ok(n.max(0.0) as usize) };
    }
    let (start, stop, step) = (number(start), number(stop), number(step));
    if step == 0 {
        return Err(wrong(&step));
    }
    let distance = if step > 0 { stop - start } else { start - stop };
    let n = if distance <= 0 { 0 } else { (distance as u128).div_ceil(step.unsigned_abs()) };
    usize::try_from(n).map_err(|_| wrong(&step))
}
