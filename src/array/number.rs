//! What the element types can do, and which types results have.

use chunkstore_store::{Element, Scalar};

/// An element type with the types of what is computed from it.
///
/// Integers and truth values become `f64` in floating point functions, and 64-bit integers in sums, as in NumPy.
pub trait Datum: Element {
    /// The type of a mean, a quotient or a square root of such elements.
    type Float: Float;
    /// The type of a sum or product of such elements.
    type Sum: Number;

    /// The element as a scalar.
    fn scalar(self) -> Scalar;
}

/// An element type with arithmetic: all but `bool`.
pub trait Number: Datum {}

/// `f32` or `f64`.
pub trait Float: Number<Float = Self> {}

/// An element type with operations on bits: integers and `bool`.
pub trait Bits: Datum {}

macro_rules! values {
    ($($t:ty, $scalar:ident, $float:ty, $sum:ty, $($marker:ident)*;)*) => { $(
        impl Datum for $t {
            type Float = $float;
            type Sum = $sum;
            fn scalar(self) -> Scalar {
                Scalar::$scalar(self)
            }
        }
        $(impl $marker for $t {})*
    )* };
}
values! {
    bool, Bool, f64, i64, Bits;
    i8, I8, f64, i64, Number Bits;
    i16, I16, f64, i64, Number Bits;
    i32, I32, f64, i64, Number Bits;
    i64, I64, f64, i64, Number Bits;
    u8, U8, f64, u64, Number Bits;
    u16, U16, f64, u64, Number Bits;
    u32, U32, f64, u64, Number Bits;
    u64, U64, f64, u64, Number Bits;
    f32, F32, f32, f32, Number Float;
    f64, F64, f64, f64, Number Float;
}
