//! Operations on two or three tiles, by operation and type.

use super::level::{Level, map2, map3};
use super::number::{Integer, Plain, by_any, by_bits, by_float, by_integer, view, view_mut};
use super::op::{BinaryOp, TernaryOp};
use super::plan::Code;
use super::unary::{Float, unary};
use chunkstore_store::DType;

fn map<A: Plain, D: Plain>(level: Level, a: &[u8], b: &[u8], to: &mut [u8], f: impl Fn(A, A) -> D) {
    map2(level, view::<A>(a), view::<A>(b), view_mut::<D>(to), f);
}

/// A loop around a call or a division is not worth compiling for every level.
fn call<A: Plain, D: Plain>(a: &[u8], b: &[u8], to: &mut [u8], f: impl Fn(A, A) -> D) {
    for ((to, a), b) in view_mut::<D>(to).iter_mut().zip(view::<A>(a)).zip(view::<A>(b)) {
        *to = f(*a, *b);
    }
}

/// The lesser of two; NaN if either is.
#[inline(always)]
#[expect(clippy::eq_op, reason = "that is how NaN is told")]
pub(super) fn minimum<T: Plain>(a: T, b: T) -> T {
    if (a < b) | (a != a) { a } else { b }
}

/// The greater of two; NaN if either is.
#[inline(always)]
#[expect(clippy::eq_op, reason = "that is how NaN is told")]
pub(super) fn maximum<T: Plain>(a: T, b: T) -> T {
    if (a > b) | (a != a) { a } else { b }
}

#[inline(always)]
#[expect(clippy::eq_op, reason = "that is how NaN is told")]
fn fmin<T: Plain>(a: T, b: T) -> T {
    if (a <= b) | (b != b) { a } else { b }
}

#[inline(always)]
#[expect(clippy::eq_op, reason = "that is how NaN is told")]
fn fmax<T: Plain>(a: T, b: T) -> T {
    if (a >= b) | (b != b) { a } else { b }
}

macro_rules! divisions {
    ($floor:ident $remainder:ident $t:ident) => {
        /// As Python divides: rounded down, of the remainder that has the divisor's sign.
        fn $floor(a: $t, b: $t) -> $t {
            if b == 0.0 {
                return a / b;
            }
            let rest = a % b;
            let quotient = (a - rest) / b;
            let quotient = if rest != 0.0 && (b < 0.0) != (rest < 0.0) { quotient - 1.0 } else { quotient };
            if quotient == 0.0 {
                return (0.0 as $t).copysign(a / b);
            }
            let floor = quotient.floor();
            if quotient - floor > 0.5 { floor + 1.0 } else { floor }
        }

        fn $remainder(a: $t, b: $t) -> $t {
            let rest = a % b;
            if rest == 0.0 {
                (0.0 as $t).copysign(b)
            } else if (b < 0.0) != (rest < 0.0) {
                rest + b
            } else {
                rest
            }
        }
    };
}
divisions!(floor_divide_f32 remainder_f32 f32);
divisions!(floor_divide_f64 remainder_f64 f64);

/// `to = op(a, b)` for a tile; `dtype` is that of `a` and `b`, and the builder of programs has seen to it that `op` is
/// defined for it.
pub(super) fn binary(level: Level, op: BinaryOp, dtype: DType, a: &[u8], b: &[u8], to: &mut [u8]) {
    use BinaryOp::*;
    let truth = dtype == DType::Bool;
    match op {
        Add if truth => map(level, a, b, to, |x: u8, y: u8| x | y),
        Multiply if truth => map(level, a, b, to, |x: u8, y: u8| x & y),
        Add => {
            by_bits!(dtype, T, map(level, a, b, to, |x: T, y: T| x.wrapping_add(y)));
            by_float!(dtype, T, map(level, a, b, to, |x: T, y: T| x + y));
        }
        Subtract => {
            by_bits!(dtype, T, map(level, a, b, to, |x: T, y: T| x.wrapping_sub(y)));
            by_float!(dtype, T, map(level, a, b, to, |x: T, y: T| x - y));
        }
        Multiply => {
            by_bits!(dtype, T, map(level, a, b, to, |x: T, y: T| x.wrapping_mul(y)));
            by_float!(dtype, T, map(level, a, b, to, |x: T, y: T| x * y));
        }
        Divide => by_float!(dtype, T, map(level, a, b, to, |x: T, y: T| x / y)),
        FloorDivide => match dtype {
            DType::F32 => call(a, b, to, floor_divide_f32),
            DType::F64 => call(a, b, to, floor_divide_f64),
            _ => by_integer!(dtype, T, call(a, b, to, |x: T, y: T| x.floor_divide(y))),
        },
        Remainder => match dtype {
            DType::F32 => call(a, b, to, remainder_f32),
            DType::F64 => call(a, b, to, remainder_f64),
            _ => by_integer!(dtype, T, call(a, b, to, |x: T, y: T| x.remainder(y))),
        },
        Power => match dtype {
            DType::F32 => call(a, b, to, libm::powf),
            DType::F64 => call(a, b, to, libm::pow),
            _ => by_integer!(dtype, T, call(a, b, to, |x: T, y: T| x.power(y))),
        },
        Minimum => by_any!(dtype, T, map(level, a, b, to, minimum::<T>)),
        Maximum => by_any!(dtype, T, map(level, a, b, to, maximum::<T>)),
        FMin => by_any!(dtype, T, map(level, a, b, to, fmin::<T>)),
        FMax => by_any!(dtype, T, map(level, a, b, to, fmax::<T>)),
        Arctan2 => match dtype {
            DType::F32 => call(a, b, to, libm::atan2f),
            _ => call(a, b, to, libm::atan2),
        },
        Hypot => match dtype {
            DType::F32 => call(a, b, to, libm::hypotf),
            _ => call(a, b, to, libm::hypot),
        },
        CopySign => {
            by_float!(dtype, T, map(level, a, b, to, |x: T, y: T| if Float::negative(y) { -x.abs() } else { x.abs() }));
        }
        Greater => by_any!(dtype, T, map(level, a, b, to, |x: T, y: T| u8::from(x > y))),
        GreaterEqual => by_any!(dtype, T, map(level, a, b, to, |x: T, y: T| u8::from(x >= y))),
        Less => binary(level, Greater, dtype, b, a, to),
        LessEqual => binary(level, GreaterEqual, dtype, b, a, to),
        Equal => {
            by_bits!(dtype, T, map(level, a, b, to, |x: T, y: T| u8::from(x == y)));
            by_float!(dtype, T, map(level, a, b, to, |x: T, y: T| u8::from(x == y)));
        }
        NotEqual => {
            by_bits!(dtype, T, map(level, a, b, to, |x: T, y: T| u8::from(x != y)));
            by_float!(dtype, T, map(level, a, b, to, |x: T, y: T| u8::from(x != y)));
        }
        LogicalAnd => {
            by_bits!(dtype, T, map(level, a, b, to, |x: T, y: T| u8::from(x != 0) & u8::from(y != 0)));
            by_float!(dtype, T, map(level, a, b, to, |x: T, y: T| u8::from(x != 0.0) & u8::from(y != 0.0)));
        }
        LogicalOr => {
            by_bits!(dtype, T, map(level, a, b, to, |x: T, y: T| u8::from(x != 0) | u8::from(y != 0)));
            by_float!(dtype, T, map(level, a, b, to, |x: T, y: T| u8::from(x != 0.0) | u8::from(y != 0.0)));
        }
        LogicalXor => {
            by_bits!(dtype, T, map(level, a, b, to, |x: T, y: T| u8::from(x != 0) ^ u8::from(y != 0)));
            by_float!(dtype, T, map(level, a, b, to, |x: T, y: T| u8::from(x != 0.0) ^ u8::from(y != 0.0)));
        }
        BitAnd => by_bits!(dtype, T, map(level, a, b, to, |x: T, y: T| x & y)),
        BitOr => by_bits!(dtype, T, map(level, a, b, to, |x: T, y: T| x | y)),
        BitXor => by_bits!(dtype, T, map(level, a, b, to, |x: T, y: T| x ^ y)),
        LeftShift => by_bits!(dtype, T, map(level, a, b, to, |x: T, y: T| x.shift_left(y))),
        RightShift => by_integer!(dtype, T, map(level, a, b, to, |x: T, y: T| x.shift_right(y))),
    }
}

/// `to = op(a, b, c)` for a tile; `dtype` is that of `c`.
fn ternary(level: Level, op: TernaryOp, dtype: DType, [a, b, c]: [&[u8]; 3], to: &mut [u8]) {
    match op {
        // Moved as bits: choosing does not look at the values.
        TernaryOp::Where => match dtype.size() {
            1 => map3(level, a, b, c, to, |w: u8, x: u8, y: u8| if w != 0 { x } else { y }),
            2 => map3(level, a, view::<u16>(b), view::<u16>(c), view_mut::<u16>(to), |w: u8, x, y| if w != 0 { x } else { y }),
            4 => map3(level, a, view::<u32>(b), view::<u32>(c), view_mut::<u32>(to), |w: u8, x, y| if w != 0 { x } else { y }),
            _ => map3(level, a, view::<u64>(b), view::<u64>(c), view_mut::<u64>(to), |w: u8, x, y| if w != 0 { x } else { y }),
        },
        TernaryOp::Clip => {
            by_any!(dtype, T, {
                let (a, b, c) = (view::<T>(a), view::<T>(b), view::<T>(c));
                map3(level, a, b, c, view_mut::<T>(to), |x: T, low: T, high: T| minimum(maximum(x, low), high));
            });
        }
    }
}

/// Runs one instruction over a tile.
pub(super) fn execute(level: Level, code: Code, dtype: DType, [a, b, c]: [&[u8]; 3], to: &mut [u8]) {
    match code {
        Code::Unary(op) => unary(level, op, dtype, a, to),
        Code::Binary(op) => binary(level, op, dtype, a, b, to),
        Code::Ternary(op) => ternary(level, op, dtype, [a, b, c], to),
        Code::ExpNegative => by_float!(dtype, T, super::level::map1(level, view::<T>(a), view_mut::<T>(to), |x: T| Float::exp(-x))),
        Code::MultiplySqrt => by_float!(dtype, T, map(level, a, b, to, |x: T, y: T| x * y.sqrt())),
        Code::SquareDifference => by_float!(dtype, T, map(level, a, b, to, |x: T, y: T| (x - y) * (x - y))),
        Code::MultiplyAdd => {
            by_float!(dtype, T, map3(level, view::<T>(a), view::<T>(b), view::<T>(c), view_mut::<T>(to), |x: T, y: T, z: T| x * y + z));
        }
        Code::MultiplySubtract => {
            by_float!(dtype, T, map3(level, view::<T>(a), view::<T>(b), view::<T>(c), view_mut::<T>(to), |x: T, y: T, z: T| x * y - z));
        }
    }
}
