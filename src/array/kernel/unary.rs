//! Operations on one tile, by operation and type.

use super::level::{Level, map1};
use super::math;
use super::number::{Integer, Plain, by_any, by_bits, by_float, by_integer, view, view_mut};
use super::op::{UnaryOp, is_float};
use super::random;
use chunkstore_store::DType;

/// What floats do here, where it differs by width.
pub(super) trait Float: Plain {
    fn exp(self) -> Self;
    fn log(self) -> Self;
    fn sign(self) -> Self;
    fn negative(self) -> bool;
}

impl Float for f64 {
    #[inline(always)]
    fn exp(self) -> Self {
        math::exp(self)
    }
    #[inline(always)]
    fn log(self) -> Self {
        math::log(self)
    }
    #[inline(always)]
    fn sign(self) -> Self {
        let sign = f64::from(u8::from(self > 0.0)) - f64::from(u8::from(self < 0.0));
        if self.is_nan() { self } else { sign }
    }
    #[inline(always)]
    fn negative(self) -> bool {
        (self.to_bits() >> 63 == 1) & !self.is_nan()
    }
}

impl Float for f32 {
    #[inline(always)]
    fn exp(self) -> Self {
        math::exp(f64::from(self)) as f32
    }
    #[inline(always)]
    fn log(self) -> Self {
        math::log(f64::from(self)) as f32
    }
    #[inline(always)]
    fn sign(self) -> Self {
        let sign = f32::from(u8::from(self > 0.0)) - f32::from(u8::from(self < 0.0));
        if self.is_nan() { self } else { sign }
    }
    #[inline(always)]
    fn negative(self) -> bool {
        (self.to_bits() >> 31 == 1) & !self.is_nan()
    }
}

fn map<A: Plain, D: Plain>(level: Level, a: &[u8], to: &mut [u8], f: impl Fn(A) -> D) {
    map1(level, view::<A>(a), view_mut::<D>(to), f);
}

/// A loop around a call is not worth compiling for every level.
fn call<A: Plain, D: Plain>(a: &[u8], to: &mut [u8], f: impl Fn(A) -> D) {
    for (to, a) in view_mut::<D>(to).iter_mut().zip(view::<A>(a)) {
        *to = f(*a);
    }
}

/// `to = op(a)` for a tile; `dtype` is that of `a`, and the builder of programs has seen to it that `op` is defined for it.
pub(super) fn unary(level: Level, op: UnaryOp, dtype: DType, a: &[u8], to: &mut [u8]) {
    use UnaryOp::*;
    match op {
        Negative => {
            by_bits!(dtype, T, map(level, a, to, |x: T| x.wrapping_neg()));
            by_float!(dtype, T, map(level, a, to, |x: T| -x));
        }
        Absolute => match dtype {
            DType::I8 => map(level, a, to, i8::wrapping_abs),
            DType::I16 => map(level, a, to, i16::wrapping_abs),
            DType::I32 => map(level, a, to, i32::wrapping_abs),
            DType::I64 => map(level, a, to, i64::wrapping_abs),
            DType::F32 => map(level, a, to, f32::abs),
            DType::F64 => map(level, a, to, f64::abs),
            _ => to.copy_from_slice(&a[..to.len()]),
        },
        Positive => to.copy_from_slice(&a[..to.len()]),
        Square => {
            by_bits!(dtype, T, map(level, a, to, |x: T| x.wrapping_mul(x)));
            by_float!(dtype, T, map(level, a, to, |x: T| x * x));
        }
        Sqrt => by_float!(dtype, T, map(level, a, to, |x: T| x.sqrt())),
        Reciprocal => {
            by_integer!(dtype, T, map(level, a, to, |x: T| x.reciprocal()));
            by_float!(dtype, T, map(level, a, to, |x: T| 1.0 / x));
        }
        Exp => by_float!(dtype, T, map(level, a, to, |x: T| Float::exp(x))),
        Log => by_float!(dtype, T, map(level, a, to, |x: T| Float::log(x))),
        Floor => by_float!(dtype, T, map(level, a, to, |x: T| x.floor())),
        Ceil => by_float!(dtype, T, map(level, a, to, |x: T| x.ceil())),
        Trunc => by_float!(dtype, T, map(level, a, to, |x: T| x.trunc())),
        Rint => by_float!(dtype, T, map(level, a, to, |x: T| x.round_ties_even())),
        Sign => {
            by_integer!(dtype, T, map(level, a, to, |x: T| Integer::sign(x)));
            by_float!(dtype, T, map(level, a, to, |x: T| Float::sign(x)));
        }
        IsNan if is_float(dtype) => by_float!(dtype, T, map(level, a, to, |x: T| u8::from(x.is_nan()))),
        IsInf if is_float(dtype) => by_float!(dtype, T, map(level, a, to, |x: T| u8::from(x.abs() == T::INFINITY))),
        IsFinite if is_float(dtype) => by_float!(dtype, T, map(level, a, to, |x: T| u8::from(x.abs() < T::INFINITY))),
        IsNan | IsInf => to.fill(0),
        IsFinite => to.fill(1),
        SignBit => {
            by_integer!(dtype, T, map(level, a, to, |x: T| u8::from(x < T::default())));
            by_float!(dtype, T, map(level, a, to, |x: T| u8::from(x.negative())));
            if dtype == DType::Bool {
                to.fill(0);
            }
        }
        LogicalNot => {
            by_bits!(dtype, T, map(level, a, to, |x: T| u8::from(x == 0)));
            by_float!(dtype, T, map(level, a, to, |x: T| u8::from(x == 0.0)));
        }
        Invert if dtype == DType::Bool => map(level, a, to, |x: u8| x ^ 1),
        Invert => by_bits!(dtype, T, map(level, a, to, |x: T| !x)),
        Deg2Rad => by_float!(dtype, T, map(level, a, to, |x: T| x * (std::f64::consts::PI / 180.0) as T)),
        Rad2Deg => by_float!(dtype, T, map(level, a, to, |x: T| x * (180.0 / std::f64::consts::PI) as T)),
        Cast(into) => cast(level, dtype, into, a, to),
        Uniform { seed } => random::uniforms(level, seed, view(a), view_mut(to)),
        Normal { seed } => random::normals(level, seed, view(a), view_mut(to)),
        _ => transcendental(op, dtype, a, to),
    }
}

fn cast(level: Level, from: DType, into: DType, a: &[u8], to: &mut [u8]) {
    if into == DType::Bool {
        by_bits!(from, T, map(level, a, to, |x: T| u8::from(x != 0)));
        by_float!(from, T, map(level, a, to, |x: T| u8::from(x != 0.0)));
        return;
    }
    by_any!(from, A, by_any!(into, D, map(level, a, to, |x: A| x as D)));
}

/// The functions of the crate `libm`.
fn transcendental(op: UnaryOp, dtype: DType, a: &[u8], to: &mut [u8]) {
    macro_rules! functions {
        ($($op:ident $wide:ident $narrow:ident),*) => {
            match (op, dtype) {
                $( (UnaryOp::$op, DType::F64) => call(a, to, libm::$wide), (UnaryOp::$op, DType::F32) => call(a, to, libm::$narrow), )*
                _ => debug_assert!(false, "{op:?} of {dtype}"),
            }
        };
    }
    functions!(
        Cbrt cbrt cbrtf, Exp2 exp2 exp2f, Expm1 expm1 expm1f, Log2 log2 log2f, Log10 log10 log10f, Log1p log1p log1pf,
        Sin sin sinf, Cos cos cosf, Tan tan tanf, Arcsin asin asinf, Arccos acos acosf, Arctan atan atanf,
        Sinh sinh sinhf, Cosh cosh coshf, Tanh tanh tanhf, Arcsinh asinh asinhf, Arccosh acosh acoshf, Arctanh atanh atanhf
    );
}
