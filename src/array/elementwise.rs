//! The elementwise functions, by NumPy's names.

use super::build::Argument;
use super::kernel::{BinaryOp, TernaryOp, UnaryOp};
use super::number::{Bits, Datum, Float, Number};
use super::{Array, IntoOperand};
use std::panic::Location;

macro_rules! unary {
    ($($(#[$doc:meta])* $method:ident $op:ident $steps:literal -> $out:ty;)*) => { $(
        $(#[$doc])*
        #[track_caller]
        pub fn $method(&self) -> Array<$out> {
            self.unary(stringify!($method), $steps, UnaryOp::$op)
        }
    )* };
}

macro_rules! binary {
    ($($(#[$doc:meta])* $method:ident $name:literal $op:ident $steps:literal -> $out:ty;)*) => { $(
        $(#[$doc])*
        #[track_caller]
        pub fn $method(&self, other: impl IntoOperand<T>) -> Array<$out> {
            self.binary($name, $steps, BinaryOp::$op, other)
        }
    )* };
}

/// Functions of floating point: of integers and truth values the result is `f64`.
impl<T: Datum> Array<T> {
    unary! {
        /// e to the power of each element.
        ///
        /// ```
        /// use chunkstore::array::Array;
        /// let x = Array::from_ndarray(ndarray::arr1(&[0.0, 1.0, 2.0]), 2);
        /// assert_eq!(x.exp2().compute()?, ndarray::arr1(&[1.0, 2.0, 4.0]).into_dyn());
        /// assert_eq!(x.isnan().any(..).item()?, false);
        /// // Of integers the result is `f64`.
        /// let roots: Array<f64> = Array::arange(0i32, 10, 1, 5).sqrt();
        /// assert_eq!(roots.sum(..).item()?.floor(), 19.0);
        /// # Ok::<(), chunkstore::Error>(())
        /// ```
        exp Exp 10 -> T::Float;
        /// 2 to the power of each element.
        exp2 Exp2 10 -> T::Float;
        /// `exp(x) - 1`, exact near 0.
        expm1 Expm1 10 -> T::Float;
        /// The natural logarithm.
        log Log 10 -> T::Float;
        /// The logarithm to base 2.
        log2 Log2 10 -> T::Float;
        /// The logarithm to base 10.
        log10 Log10 10 -> T::Float;
        /// `log(1 + x)`, exact near 0.
        log1p Log1p 10 -> T::Float;
        /// The square root.
        sqrt Sqrt 3 -> T::Float;
        /// The cube root.
        cbrt Cbrt 10 -> T::Float;
        /// The sine of angles in radians.
        sin Sin 10 -> T::Float;
        /// The cosine of angles in radians.
        cos Cos 10 -> T::Float;
        /// The tangent of angles in radians.
        tan Tan 10 -> T::Float;
        /// The inverse sine, in radians.
        arcsin Arcsin 10 -> T::Float;
        /// The inverse cosine, in radians.
        arccos Arccos 10 -> T::Float;
        /// The inverse tangent, in radians.
        arctan Arctan 10 -> T::Float;
        /// The hyperbolic sine.
        sinh Sinh 10 -> T::Float;
        /// The hyperbolic cosine.
        cosh Cosh 10 -> T::Float;
        /// The hyperbolic tangent.
        tanh Tanh 10 -> T::Float;
        /// The inverse hyperbolic sine.
        arcsinh Arcsinh 10 -> T::Float;
        /// The inverse hyperbolic cosine.
        arccosh Arccosh 10 -> T::Float;
        /// The inverse hyperbolic tangent.
        arctanh Arctanh 10 -> T::Float;
        /// The nearest whole number, half to even.
        rint Rint 1 -> T::Float;
        /// Degrees to radians.
        deg2rad Deg2Rad 1 -> T::Float;
        /// Radians to degrees.
        rad2deg Rad2Deg 1 -> T::Float;
        /// Whether each element is not a number.
        isnan IsNan 1 -> bool;
        /// Whether each element is neither infinite nor NaN.
        isfinite IsFinite 1 -> bool;
        /// Whether each element is infinite.
        isinf IsInf 1 -> bool;
        /// Whether each element is 0, or false.
        logical_not LogicalNot 1 -> bool;
    }

    binary! {
        /// Whether both are other than 0, or true.
        ///
        /// ```
        /// use chunkstore::array::Array;
        /// let x = Array::from_ndarray(ndarray::arr1(&[1, 0, 3]), 2);
        /// // The other one is an array or a number; shapes are broadcast.
        /// assert_eq!(x.logical_and(&x.gt(1).astype::<i32>()).compute()?, ndarray::arr1(&[false, false, true]).into_dyn());
        /// assert_eq!(x.ge(1).count_nonzero(..).item()?, 2);
        /// # Ok::<(), chunkstore::Error>(())
        /// ```
        logical_and "logical_and" LogicalAnd 1 -> bool;
        /// Whether either is other than 0, or true.
        logical_or "logical_or" LogicalOr 1 -> bool;
        /// Whether just one is other than 0, or true.
        logical_xor "logical_xor" LogicalXor 1 -> bool;
        /// Where the elements are greater.
        gt "greater" Greater 1 -> bool;
        /// Where the elements are greater or equal.
        ge "greater_equal" GreaterEqual 1 -> bool;
        /// Where the elements are less.
        lt "less" Less 1 -> bool;
        /// Where the elements are less or equal.
        le "less_equal" LessEqual 1 -> bool;
        /// Where the elements are equal.
        eq_ "equal" Equal 1 -> bool;
        /// Where the elements are not equal.
        ne_ "not_equal" NotEqual 1 -> bool;
    }

    /// The elements as another type, as NumPy's `astype`. Floating point numbers become integers by truncation; those
    /// beyond the type's ends become its ends, and NaN becomes 0.
    ///
    /// ```
    /// use chunkstore::array::Array;
    /// let x = Array::arange(0, 10, 1, 4).astype::<f32>();
    /// assert_eq!(x.dtype().name(), "float32");
    /// ```
    #[track_caller]
    pub fn astype<U: Datum>(&self) -> Array<U> {
        self.unary("astype", 1, UnaryOp::Cast(U::DTYPE))
    }
}

impl<T: Number> Array<T> {
    unary! {
        /// The distance from 0.
        ///
        /// ```
        /// use chunkstore::array::Array;
        /// let x = Array::from_ndarray(ndarray::arr1(&[-1.5, 0.5, 2.0]), 2);
        /// assert_eq!(x.abs().compute()?, ndarray::arr1(&[1.5, 0.5, 2.0]).into_dyn());
        /// assert_eq!(x.floor().compute()?, ndarray::arr1(&[-2.0, 0.0, 2.0]).into_dyn());
        /// # Ok::<(), chunkstore::Error>(())
        /// ```
        abs Absolute 1 -> T;
        /// The elements times themselves.
        square Square 1 -> T;
        /// -1, 0 or 1.
        sign Sign 1 -> T;
        /// The largest whole number that is not above.
        floor Floor 1 -> T;
        /// The least whole number that is not below.
        ceil Ceil 1 -> T;
        /// The whole part.
        trunc Trunc 1 -> T;
        /// One divided by each element; of integers the whole part.
        reciprocal Reciprocal 1 -> T;
    }

    binary! {
        /// The greater one; NaN if either is.
        ///
        /// ```
        /// use chunkstore::array::Array;
        /// let x = Array::from_ndarray(ndarray::arr1(&[-7, 0, 7]), 2);
        /// assert_eq!(x.maximum(1).compute()?, ndarray::arr1(&[1, 1, 7]).into_dyn());
        /// assert_eq!(x.floor_divide(2).compute()?, ndarray::arr1(&[-4, 0, 3]).into_dyn());
        /// assert_eq!(x.power(&x.abs().minimum(2)).compute()?, ndarray::arr1(&[49, 1, 49]).into_dyn());
        /// # Ok::<(), chunkstore::Error>(())
        /// ```
        maximum "maximum" Maximum 1 -> T;
        /// The lesser one; NaN if either is.
        minimum "minimum" Minimum 1 -> T;
        /// The greater one; the other one if one is NaN.
        fmax "fmax" FMax 1 -> T;
        /// The lesser one; the other one if one is NaN.
        fmin "fmin" FMin 1 -> T;
        /// The elements to the power of the others.
        power "power" Power 10 -> T;
        /// The quotient rounded down; of integers divided by 0 it is 0.
        floor_divide "floor_divide" FloorDivide 1 -> T;
        /// The angle of the point (other, self), in radians.
        arctan2 "arctan2" Arctan2 10 -> T::Float;
        /// The length of the vector (self, other).
        hypot "hypot" Hypot 5 -> T::Float;
        /// The elements with the sign of the others.
        copysign "copysign" CopySign 1 -> T::Float;
    }

    /// The elements cut to the bounds: `minimum(maximum(x, lower), upper)`.
    ///
    /// ```
    /// use chunkstore::array::Array;
    /// let x = Array::arange(0, 6, 1, 4).clip(1, 4);
    /// assert_eq!(x.compute()?, ndarray::arr1(&[1, 1, 2, 3, 4, 4]).into_dyn());
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn clip(&self, lower: impl IntoOperand<T>, upper: impl IntoOperand<T>) -> Array<T> {
        let (lower, upper) = (lower.into_operand(), upper.into_operand());
        let arguments = [Argument::Array(&self.raw), lower.argument(), upper.argument()];
        Array::operation("clip", 2, &arguments, Location::caller(), |program, slots| match slots {
            [x, lower, upper] => program.ternary(TernaryOp::Clip, *x, *lower, *upper),
            _ => None,
        })
    }
}

impl<T: Float> Array<T> {
    /// The elements to the power of a number.
    ///
    /// ```
    /// use chunkstore::array::Array;
    /// let x = Array::from_ndarray(ndarray::arr1(&[1.0, 4.0, 9.0]), 2);
    /// assert_eq!(x.powf(0.5).compute()?, ndarray::arr1(&[1.0, 2.0, 3.0]).into_dyn());
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn powf(&self, exponent: T) -> Array<T> {
        self.power(exponent)
    }
}

impl<T: Bits + Number> Array<T> {
    binary! {
        /// The bits moved up by so many places.
        ///
        /// ```
        /// use chunkstore::array::Array;
        /// let x = Array::arange(0u8, 4, 1, 2);
        /// assert_eq!(x.left_shift(2u8).compute()?, ndarray::arr1(&[0u8, 4, 8, 12]).into_dyn());
        /// assert_eq!(x.right_shift(1u8).compute()?, ndarray::arr1(&[0u8, 0, 1, 1]).into_dyn());
        /// # Ok::<(), chunkstore::Error>(())
        /// ```
        left_shift "left_shift" LeftShift 1 -> T;
        /// The bits moved down by so many places.
        right_shift "right_shift" RightShift 1 -> T;
    }
}

impl Array<bool> {
    /// The elements of `yes` where this array is true, and of `no` elsewhere: see [`where_`].
    ///
    /// ```
    /// use chunkstore::array::Array;
    /// let x = Array::arange(-5.0, 5.0, 1.0, 4);
    /// let positive = x.gt(0.0).where_(&x, 0.0);
    /// assert_eq!(positive.shape()?, [10]);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn where_<T: Datum>(&self, yes: impl IntoOperand<T>, no: impl IntoOperand<T>) -> Array<T> {
        let (yes, no) = (yes.into_operand(), no.into_operand());
        let arguments = [Argument::Array(&self.raw), yes.argument(), no.argument()];
        Array::operation("where", 1, &arguments, Location::caller(), |program, slots| match slots {
            [condition, yes, no] => program.ternary(TernaryOp::Where, *condition, *yes, *no),
            _ => None,
        })
    }
}

/// The elements of `yes` where `condition` is true, and of `no` elsewhere.
///
/// ```
/// use chunkstore::array::{Array, where_};
/// let x = Array::from_ndarray(ndarray::arr1(&[-1, 0, 1]), 2);
/// assert_eq!(where_(&x.lt(0), 0, &x).compute()?, ndarray::arr1(&[0, 0, 1]).into_dyn());
/// # Ok::<(), chunkstore::Error>(())
/// ```
#[track_caller]
pub fn where_<T: Datum>(condition: &Array<bool>, yes: impl IntoOperand<T>, no: impl IntoOperand<T>) -> Array<T> {
    condition.where_(yes, no)
}
