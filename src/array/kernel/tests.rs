//! Kernels against straightforward scalar code, at every CPU level.
#![allow(clippy::unnecessary_cast, clippy::cast_abs_to_unsigned, clippy::bool_comparison, reason = "the types come from macros")]

use super::level::Level;
use super::number::Register;
use super::partial::{combine_at, finish_at};
use super::reduce::reduce_at;
use super::run::evaluate_at;
use super::*;
use crate::{ErrorKind, Result};
use chunkstore_store::{Block, Buffer, DType, Element, Scalar, Shape};
use proptest::prelude::*;
use smallvec::SmallVec;
use std::sync::Arc;

fn block<T: Element>(values: Vec<T>, shape: &[usize]) -> Block {
    assert_eq!(values.len(), shape.iter().product::<usize>());
    Block::new(Buffer::from_vec(Arc::new(values)), 0, T::DTYPE, Shape::from_slice(shape)).unwrap()
}

/// A block of the bytes that a kernel wrote.
fn block_of_bytes(bytes: &[u8], dtype: DType, shape: &[usize]) -> Block {
    let words = bytes.chunks(8).map(|chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(word)
    });
    Block::new(Buffer::from_vec(Arc::new(words.collect::<Vec<u64>>())), 0, dtype, Shape::from_slice(shape)).unwrap()
}

/// Evaluates at every level; the bits must be equal.
fn evaluated(program: &Program, shape: &[usize], arguments: &[Argument<'_>]) -> Result<Block> {
    let bytes = shape.iter().product::<usize>() * program.output().size();
    let mut first: Option<Vec<u8>> = None;
    for level in Level::available() {
        let mut out = Register::new(bytes);
        evaluate_at(level, program, shape, arguments, &mut out.bytes_mut()[..bytes])?;
        let out = out.bytes()[..bytes].to_vec();
        assert!(first.get_or_insert_with(|| out.clone()) == &out, "{level:?} gives other bits for {program:?}");
    }
    Ok(block_of_bytes(&first.unwrap(), program.output(), shape))
}

/// Reduces at every level; the bits must be equal.
fn reduced(op: ReduceOp, program: &Program, shape: &[usize], arguments: &[Argument<'_>], mask: &[bool]) -> Result<Block> {
    let dtype = op.partial_dtype(program.output()).unwrap();
    let mut kept: Vec<usize> = shape.iter().zip(mask).map(|(extent, reduced)| if *reduced { 1 } else { *extent }).collect();
    if let Some(rows) = op.leading() {
        kept.insert(0, rows);
    }
    let bytes = kept.iter().product::<usize>() * dtype.size();
    let mut first: Option<Vec<u8>> = None;
    for level in Level::available() {
        let mut out = Register::new(bytes);
        reduce_at(level, op, program, shape, arguments, mask, &mut out.bytes_mut()[..bytes])?;
        let out = out.bytes()[..bytes].to_vec();
        assert!(
            first.get_or_insert_with(|| out.clone()) == &out,
            "{level:?} gives other bits for {op:?} of {program:?} over {shape:?} {mask:?}"
        );
    }
    Ok(block_of_bytes(&first.unwrap(), dtype, &kept))
}

fn identity(dtype: DType) -> Program {
    let mut builder = Program::builder();
    let x = builder.input(dtype);
    builder.finish(x)
}

fn unary_program(op: UnaryOp, dtype: DType) -> Program {
    let mut builder = Program::builder();
    let x = builder.input(dtype);
    let y = builder.unary(op, x).unwrap();
    builder.finish(y)
}

fn binary_program(op: BinaryOp, dtype: DType) -> Program {
    let mut builder = Program::builder();
    let (x, y) = (builder.input(dtype), builder.input(dtype));
    let z = builder.binary(op, x, y).unwrap();
    builder.finish(z)
}

/// Equality in which NaN equals NaN, within units in the last place for floats.
trait Close: Element {
    fn close(self, other: Self, ulps: u64) -> bool;
}
macro_rules! exact {
    ($($t:ty),*) => { $( impl Close for $t { fn close(self, other: Self, _: u64) -> bool { self == other } } )* };
}
exact!(bool, i8, i16, i32, i64, u8, u16, u32, u64);
impl Close for f64 {
    fn close(self, other: Self, ulps: u64) -> bool {
        let near = self.to_bits().abs_diff(other.to_bits()) <= ulps && self.is_sign_negative() == other.is_sign_negative();
        near || (self.is_nan() && other.is_nan()) || (ulps > 0 && self == other)
    }
}
impl Close for f32 {
    fn close(self, other: Self, ulps: u64) -> bool {
        let near = u64::from(self.to_bits().abs_diff(other.to_bits())) <= ulps && self.is_sign_negative() == other.is_sign_negative();
        near || (self.is_nan() && other.is_nan()) || (ulps > 0 && self == other)
    }
}

/// Some values of each type: the special ones, and a few others.
trait Samples: Close {
    fn samples() -> Vec<Self>;
}
macro_rules! integer_samples {
    ($($t:ident),*) => { $( impl Samples for $t {
        fn samples() -> Vec<$t> {
            let mut values = vec![0, 1, 2, 3, 5, 7, 8, 15, 16, 31, 63, 64, 65, 100, 127, $t::MAX, $t::MAX - 1, $t::MAX / 2, $t::MIN, $t::MIN / 2];
            values.extend([1u8, 2, 3, 4, 7, 8, 9, 64, 100].map(|x| (0 as $t).wrapping_sub(x as $t)));
            values
        }
    } )* };
}
integer_samples!(i8, i16, i32, i64, u8, u16, u32, u64);
impl Samples for bool {
    fn samples() -> Vec<bool> {
        vec![false, true]
    }
}
macro_rules! float_samples {
    ($($t:ident),*) => { $( impl Samples for $t {
        fn samples() -> Vec<$t> {
            let mut values: Vec<$t> = vec![0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 3.3, 7.0, 10.0, 88.0, 89.5, 100.0, 127.5, 128.0, 255.0, 1e4, 32768.0, 3e9, 1e10,
                5e18, 1e19, 1e20, 1e-5, 1e-20, 1e30, $t::MAX, $t::MIN_POSITIVE, $t::MIN_POSITIVE / 8.0, $t::from_bits(1), $t::EPSILON, $t::INFINITY, 0.1, 709.7, 745.0, 2147483648.5];
            values.extend(values.clone().iter().map(|x| -x));
            values.extend([$t::NAN, -$t::NAN]);
            values
        }
    } )* };
}
float_samples!(f32, f64);

fn check_unary<A: Samples, D: Close>(op: UnaryOp, ulps: u64, expected: impl Fn(A) -> D) {
    // Enough for whole vectors and a rest.
    let values: Vec<A> = A::samples().into_iter().cycle().take(333).collect();
    let program = unary_program(op, A::DTYPE);
    assert_eq!((op.output(A::DTYPE), program.output()), (Some(D::DTYPE), D::DTYPE), "{op:?}");
    let got = evaluated(&program, &[333], &[Argument::Block(&block(values.clone(), &[333]))]).unwrap();
    for (x, got) in values.iter().zip(got.as_slice::<D>().unwrap()) {
        let expected = expected(*x);
        assert!(got.close(expected, ulps), "{op:?}({x}) of {} gave {got:?}, not {expected:?}", A::DTYPE);
    }
}

fn check_binary<A: Samples, D: Close>(op: BinaryOp, ulps: u64, expected: impl Fn(A, A) -> D) {
    let samples = A::samples();
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for x in &samples {
        for y in &samples {
            a.push(*x);
            b.push(*y);
        }
    }
    let program = binary_program(op, A::DTYPE);
    assert_eq!((op.output(A::DTYPE, A::DTYPE), program.output()), (Some(D::DTYPE), D::DTYPE), "{op:?}");
    let n = a.len();
    let (left, right) = (block(a.clone(), &[n]), block(b.clone(), &[n]));
    let got = evaluated(&program, &[n], &[Argument::Block(&left), Argument::Block(&right)]).unwrap();
    for ((x, y), got) in a.iter().zip(&b).zip(got.as_slice::<D>().unwrap()) {
        let expected = expected(*x, *y);
        assert!(got.close(expected, ulps), "{op:?}({x}, {y}) of {} gave {got:?}, not {expected:?}", A::DTYPE);
    }
}

macro_rules! for_integers {
    ($t:ident => $body:block) => {{
        type $t = i8;
        $body
    }
    {
        type $t = i16;
        $body
    }
    {
        type $t = i32;
        $body
    }
    {
        type $t = i64;
        $body
    }
    {
        type $t = u8;
        $body
    }
    {
        type $t = u16;
        $body
    }
    {
        type $t = u32;
        $body
    }
    {
        type $t = u64;
        $body
    }};
}
macro_rules! for_floats {
    ($t:ident => $body:block) => {{
        type $t = f32;
        $body
    }
    {
        type $t = f64;
        $body
    }};
}
macro_rules! for_all {
    ($t:ident => $body:block) => {
        for_integers!($t => $body); for_floats!($t => $body); { type $t = bool; $body }
    };
}

#[test]
fn unary_operations_of_integers() {
    use UnaryOp::*;
    for_integers!(T => {
        let wide = |x: T| x as i128;
        check_unary(Negative, 0, |x: T| (-wide(x)) as T);
        check_unary(Absolute, 0, |x: T| wide(x).abs() as T);
        check_unary(Positive, 0, |x: T| x);
        check_unary(Square, 0, |x: T| (wide(x).wrapping_mul(wide(x))) as T);
        check_unary(Reciprocal, 0, |x: T| if x == 0 { 0 } else { (1 / wide(x)) as T });
        for op in [Floor, Ceil, Trunc] {
            check_unary(op, 0, |x: T| x);
        }
        check_unary(Rint, 0, |x: T| x as f64);
        check_unary(Sign, 0, |x: T| wide(x).signum() as T);
        check_unary(IsNan, 0, |_: T| false);
        check_unary(IsInf, 0, |_: T| false);
        check_unary(IsFinite, 0, |_: T| true);
        check_unary(SignBit, 0, |x: T| wide(x) < 0);
        check_unary(LogicalNot, 0, |x: T| x == 0);
        check_unary(Invert, 0, |x: T| !x);
        check_unary(Sqrt, 0, |x: T| (x as f64).sqrt());
        check_unary(Exp, 2, |x: T| libm::exp(x as f64));
    });
}

#[test]
fn unary_operations_of_truth_values() {
    use UnaryOp::*;
    for op in [Negative, Positive, Square, Reciprocal, Sign, Uniform { seed: 0 }] {
        assert_eq!(op.output(DType::Bool), None);
    }
    for op in [Absolute, Floor, Ceil, Trunc] {
        check_unary(op, 0, |x: bool| x);
    }
    check_unary(Invert, 0, |x: bool| !x);
    check_unary(LogicalNot, 0, |x: bool| !x);
    check_unary(IsNan, 0, |_: bool| false);
    check_unary(IsFinite, 0, |_: bool| true);
    check_unary(SignBit, 0, |_: bool| false);
    check_unary(Sqrt, 0, |x: bool| if x { 1.0 } else { 0.0 });
}

#[test]
fn unary_operations_of_floats() {
    use UnaryOp::*;
    for_floats!(T => {
        check_unary(Negative, 0, |x: T| -x);
        check_unary(Absolute, 0, |x: T| x.abs());
        check_unary(Square, 0, |x: T| x * x);
        check_unary(Sqrt, 0, |x: T| x.sqrt());
        check_unary(Reciprocal, 0, |x: T| 1.0 / x);
        check_unary(Floor, 0, |x: T| x.floor());
        check_unary(Ceil, 0, |x: T| x.ceil());
        check_unary(Trunc, 0, |x: T| x.trunc());
        check_unary(Rint, 0, |x: T| x.round_ties_even());
        check_unary(Sign, 0, |x: T| if x.is_nan() { x } else if x > 0.0 { 1.0 } else if x < 0.0 { -1.0 } else { 0.0 });
        check_unary(IsNan, 0, |x: T| x.is_nan());
        check_unary(IsInf, 0, |x: T| x.is_infinite());
        check_unary(IsFinite, 0, |x: T| x.is_finite());
        check_unary(SignBit, 0, |x: T| x.is_sign_negative() && !x.is_nan());
        check_unary(LogicalNot, 0, |x: T| x == 0.0);
        check_unary(Deg2Rad, 1, |x: T| (x as f64 * (std::f64::consts::PI / 180.0)) as T);
        check_unary(Rad2Deg, 1, |x: T| (x as f64 * (180.0 / std::f64::consts::PI)) as T);
        assert_eq!(Invert.output(T::DTYPE), None);
        // Against the functions of the system, which are right within a unit or two.
        check_unary(Exp, 2, |x: T| x.exp());
        check_unary(Log, 2, |x: T| x.ln());
        check_unary(Cbrt, 2, |x: T| x.cbrt());
        check_unary(Exp2, 2, |x: T| x.exp2());
        check_unary(Expm1, 2, |x: T| x.exp_m1());
        check_unary(Log2, 2, |x: T| x.log2());
        check_unary(Log10, 2, |x: T| x.log10());
        check_unary(Log1p, 2, |x: T| x.ln_1p());
        check_unary(Sin, 2, |x: T| x.sin());
        check_unary(Cos, 2, |x: T| x.cos());
        check_unary(Tan, 2, |x: T| x.tan());
        check_unary(Arcsin, 2, |x: T| x.asin());
        check_unary(Arccos, 2, |x: T| x.acos());
        check_unary(Arctan, 2, |x: T| x.atan());
        check_unary(Sinh, 3, |x: T| x.sinh());
        check_unary(Cosh, 3, |x: T| x.cosh());
        check_unary(Tanh, 3, |x: T| x.tanh());
        check_unary(Arcsinh, 0, |x: T| if size_of::<T>() == 8 { libm::asinh(x as f64) as T } else { libm::asinhf(x as f32) as T });
        check_unary(Arccosh, 0, |x: T| if size_of::<T>() == 8 { libm::acosh(x as f64) as T } else { libm::acoshf(x as f32) as T });
        check_unary(Arctanh, 0, |x: T| if size_of::<T>() == 8 { libm::atanh(x as f64) as T } else { libm::atanhf(x as f32) as T });
    });
}

#[test]
fn casts_between_all_types() {
    macro_rules! numbers {
        ($a:ident => $($d:ident),*) => { $( check_unary(UnaryOp::Cast(<$d>::DTYPE), 0, |x: $a| x as $d); )* };
    }
    for_integers!(A => {
        numbers!(A => i8, i16, i32, i64, u8, u16, u32, u64, f32, f64);
        check_unary(UnaryOp::Cast(DType::Bool), 0, |x: A| x != 0);
        check_unary(UnaryOp::Cast(A::DTYPE), 0, |x: bool| A::from(x));
    });
    for_floats!(A => {
        numbers!(A => i8, i16, i32, i64, u8, u16, u32, u64, f32, f64);
        check_unary(UnaryOp::Cast(DType::Bool), 0, |x: A| x != 0.0);
        check_unary(UnaryOp::Cast(A::DTYPE), 0, |x: bool| A::from(u8::from(x)));
    });
    check_unary(UnaryOp::Cast(DType::Bool), 0, |x: bool| x);
}

/// The integer nearest below a / b, wrapped.
fn floor_divided(a: i128, b: i128) -> i128 {
    if b == 0 { 0 } else { a.div_euclid(b) - i128::from(b < 0 && a.rem_euclid(b) != 0) }
}

#[test]
fn binary_operations_of_integers() {
    use BinaryOp::*;
    for_integers!(T => {
        let wide = |x: T| x as i128;
        check_binary(Add, 0, |x: T, y: T| (wide(x) + wide(y)) as T);
        check_binary(Subtract, 0, |x: T, y: T| (wide(x) - wide(y)) as T);
        check_binary(Multiply, 0, |x: T, y: T| wide(x).wrapping_mul(wide(y)) as T);
        check_binary(Divide, 0, |x: T, y: T| x as f64 / y as f64);
        check_binary(FloorDivide, 0, |x: T, y: T| floor_divided(wide(x), wide(y)) as T);
        check_binary(Remainder, 0, |x: T, y: T| if y == 0 { 0 } else { (wide(x) - floor_divided(wide(x), wide(y)) * wide(y)) as T });
        check_binary(Power, 0, |x: T, y: T| {
            let (x, y) = (wide(x), wide(y));
            if y < 0 {
                return match x { 1 => 1, -1 => if y % 2 == 0 { 1 } else { (-1i128) as T }, _ => 0 };
            }
            // Squares modulo 2^64, by another road: bits from the top.
            let mut result = 1u64;
            for bit in (0..64).rev() {
                result = result.wrapping_mul(result);
                if (y >> bit) & 1 == 1 {
                    result = result.wrapping_mul(x as u64);
                }
            }
            result as T
        });
        for op in [Minimum, FMin] {
            check_binary(op, 0, |x: T, y: T| x.min(y));
        }
        for op in [Maximum, FMax] {
            check_binary(op, 0, |x: T, y: T| x.max(y));
        }
        check_binary(Arctan2, 0, |x: T, y: T| libm::atan2(x as f64, y as f64));
        check_binary(Hypot, 0, |x: T, y: T| libm::hypot(x as f64, y as f64));
        check_binary(CopySign, 0, |x: T, y: T| (x as f64).copysign(y as f64));
        check_binary(BitAnd, 0, |x: T, y: T| x & y);
        check_binary(BitOr, 0, |x: T, y: T| x | y);
        check_binary(BitXor, 0, |x: T, y: T| x ^ y);
        let width = i128::from(T::BITS);
        check_binary(LeftShift, 0, |x: T, y: T| if (0..width).contains(&wide(y)) { (wide(x) << y) as T } else { 0 });
        check_binary(RightShift, 0, |x: T, y: T| {
            if (0..width).contains(&wide(y)) { (wide(x) >> y) as T } else if wide(x) < 0 { (-1i128) as T } else { 0 }
        });
    });
}

#[test]
fn comparisons_and_logic_of_all_types() {
    use BinaryOp::*;
    for_all!(T => {
        check_binary(Greater, 0, |x: T, y: T| x > y);
        check_binary(GreaterEqual, 0, |x: T, y: T| x >= y);
        check_binary(Less, 0, |x: T, y: T| x < y);
        check_binary(LessEqual, 0, |x: T, y: T| x <= y);
        check_binary(Equal, 0, |x: T, y: T| x == y);
        check_binary(NotEqual, 0, |x: T, y: T| x != y);
        let truth = |x: T| x != T::default();
        check_binary(LogicalAnd, 0, |x: T, y: T| truth(x) && truth(y));
        check_binary(LogicalOr, 0, |x: T, y: T| truth(x) || truth(y));
        check_binary(LogicalXor, 0, |x: T, y: T| truth(x) != truth(y));
    });
}

#[test]
fn binary_operations_of_truth_values() {
    use BinaryOp::*;
    for op in [Subtract, FloorDivide, Remainder, Power, LeftShift, RightShift] {
        assert_eq!(op.output(DType::Bool, DType::Bool), None);
    }
    for op in [Add, Maximum, FMax, BitOr] {
        check_binary(op, 0, |x: bool, y: bool| x || y);
    }
    for op in [Multiply, Minimum, FMin, BitAnd] {
        check_binary(op, 0, |x: bool, y: bool| x && y);
    }
    check_binary(BitXor, 0, |x: bool, y: bool| x != y);
    check_binary(Divide, 0, |x: bool, y: bool| f64::from(u8::from(x)) / f64::from(u8::from(y)));
    assert_eq!(Add.output(DType::Bool, DType::I8), None);
}

#[test]
fn binary_operations_of_floats() {
    use BinaryOp::*;
    for_floats!(T => {
        check_binary(Add, 0, |x: T, y: T| x + y);
        check_binary(Subtract, 0, |x: T, y: T| x - y);
        check_binary(Multiply, 0, |x: T, y: T| x * y);
        check_binary(Divide, 0, |x: T, y: T| x / y);
        check_binary(Minimum, 0, |x: T, y: T| if x.is_nan() || y.is_nan() { T::NAN } else if x < y { x } else { y });
        check_binary(Maximum, 0, |x: T, y: T| if x.is_nan() || y.is_nan() { T::NAN } else if x > y { x } else { y });
        check_binary(FMin, 0, |x: T, y: T| if y.is_nan() || x <= y { x } else { y });
        check_binary(FMax, 0, |x: T, y: T| if y.is_nan() || x >= y { x } else { y });
        check_binary(Power, 2, |x: T, y: T| x.powf(y));
        check_binary(Arctan2, 2, |x: T, y: T| x.atan2(y));
        check_binary(Hypot, 2, |x: T, y: T| x.hypot(y));
        check_binary(CopySign, 0, |x: T, y: T| if y.is_nan() { x.abs() } else { x.copysign(y) });
        assert_eq!((BitAnd.output(T::DTYPE, T::DTYPE), LeftShift.output(T::DTYPE, T::DTYPE)), (None, None));
    });
}

#[test]
fn floor_division_of_floats_is_pythons() {
    // x, y, x // y, x % y, as CPython 3.13 gives them.
    let inf = f64::INFINITY;
    let cases = [
        (7.0, 2.0, 3.0, 1.0),
        (-7.0, 2.0, -4.0, 1.0),
        (7.0, -2.0, -4.0, -1.0),
        (-7.0, -2.0, 3.0, -1.0),
        (1.0, 0.1, 9.0, 0.09999999999999995),
        (-1.0, 0.1, -10.0, 5.551115123125783e-17),
        (0.0, 3.0, 0.0, 0.0),
        (-0.0, 3.0, -0.0, 0.0),
        (6.0, -3.0, -2.0, -0.0),
        (1.0, inf, 0.0, 1.0),
        (-1.0, inf, -1.0, inf),
        (5.5, 2.5, 2.0, 0.5),
    ];
    let (x, y): (Vec<f64>, Vec<f64>) = cases.iter().map(|case| (case.0, case.1)).unzip();
    let n = cases.len();
    let (x, y) = (block(x, &[n]), block(y, &[n]));
    let arguments = [Argument::Block(&x), Argument::Block(&y)];
    let quotients = evaluated(&binary_program(BinaryOp::FloorDivide, DType::F64), &[n], &arguments).unwrap();
    let rests = evaluated(&binary_program(BinaryOp::Remainder, DType::F64), &[n], &arguments).unwrap();
    for (k, case) in cases.iter().enumerate() {
        let (quotient, rest) = (quotients.as_slice::<f64>().unwrap()[k], rests.as_slice::<f64>().unwrap()[k]);
        assert!(quotient.close(case.2, 0) && rest.close(case.3, 0), "{case:?}: {quotient} {rest}");
    }
    let zero = block(vec![0.0], &[1]);
    let by_zero =
        evaluated(&binary_program(BinaryOp::FloorDivide, DType::F64), &[n], &[Argument::Block(&x), Argument::Block(&zero)]).unwrap();
    assert_eq!(by_zero.as_slice::<f64>().unwrap()[..2], [inf, -inf]);
}

#[test]
fn ternary_operations_of_all_types() {
    for_all!(T => {
        let samples = T::samples();
        let n = samples.len();
        let shape = [n, n, 2];
        let (a, b) = (block(samples.clone(), &[n, 1, 1]), block(samples.clone(), &[n, 1]));
        let choice = block(vec![true, false], &[2]);
        let mut builder = Program::builder();
        let (w, x, y) = (builder.input(DType::Bool), builder.input(T::DTYPE), builder.input(T::DTYPE));
        let z = builder.ternary(TernaryOp::Where, w, x, y).unwrap();
        let got = evaluated(&builder.finish(z), &shape, &[Argument::Block(&choice), Argument::Block(&a), Argument::Block(&b)]).unwrap();
        for (k, got) in got.as_slice::<T>().unwrap().iter().enumerate() {
            let (i, j) = (k / (2 * n), k / 2 % n);
            assert!(got.close(if k % 2 == 0 { samples[i] } else { samples[j] }, 0));
        }
        let mut builder = Program::builder();
        let (x, low, high) = (builder.input(T::DTYPE), builder.input(T::DTYPE), builder.input(T::DTYPE));
        let z = builder.ternary(TernaryOp::Clip, x, low, high).unwrap();
        let high = block(samples.clone(), &[n]);
        let arguments = [Argument::Block(&a), Argument::Block(&b), Argument::Block(&high)];
        let got = evaluated(&builder.finish(z), &[n, n, n], &arguments).unwrap();
        let less = |x: T, y: T| x.partial_cmp(&y) == Some(std::cmp::Ordering::Less);
        for (k, got) in got.as_slice::<T>().unwrap().iter().enumerate() {
            let (x, low, high) = (samples[k / n / n], samples[k / n % n], samples[k % n]);
            let nan = [x, low, high].into_iter().find(|v| v.partial_cmp(v).is_none());
            let raised = if less(x, low) { low } else { x };
            let expected = nan.unwrap_or(if less(high, raised) { high } else { raised });
            assert!(got.close(expected, 1), "clip({x}, {low}, {high}) gave {got}");
        }
    });
    assert_eq!(TernaryOp::Where.output(DType::Bool, DType::I8, DType::I16), None);
}

/// The value at output index `k` of an array broadcast to `shape`.
fn broadcast_index(own: &[usize], shape: &[usize], k: usize) -> usize {
    let (mut rest, mut at, mut stride) = (k, 0, 1);
    for axis in (0..shape.len()).rev() {
        let index = rest % shape[axis];
        rest /= shape[axis];
        if let Some(own_axis) = (axis + own.len()).checked_sub(shape.len()) {
            at += if own[own_axis] == 1 { 0 } else { index * stride };
            stride *= own[own_axis];
        }
    }
    at
}

/// Numbers without pattern.
fn noise(seed: u64, n: usize) -> Vec<f64> {
    (0..n).map(|k| random::normal(seed, k as i64) * 3.0).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn broadcasting_is_numpys(
        shape in prop::collection::vec(prop::sample::select(vec![1usize, 2, 3, 5, 31, 70]), 0..4),
        long in 0usize..5,
        masks in any::<(u8, u8)>(),
        drops in (0usize..4, 0usize..4),
        strides in prop::collection::vec(-9i64..9, 4),
    ) {
        let mut shape = shape;
        if let Some(axis) = shape.get_mut(long) {
            *axis = 5000;
        }
        while shape.iter().product::<usize>() > 400_000 {
            shape.pop();
        }
        let own = |mask: u8, drop: usize| -> Vec<usize> {
            let own: Vec<usize> = shape.iter().enumerate().map(|(k, extent)| if mask >> k & 1 == 1 { 1 } else { *extent }).collect();
            own[drop.min(shape.len())..].to_vec()
        };
        let (left, right) = (own(masks.0, drops.0), own(masks.1, drops.1));
        let a = noise(1, left.iter().product());
        let b: Vec<u8> = (0..right.iter().product::<usize>()).map(|k| (k * 31 % 256) as u8).collect();
        let mut p = Program::builder();
        let (x, y, i) = (p.input(DType::F64), p.input(DType::U8), p.input(DType::I64));
        let y = p.unary(UnaryOp::Cast(DType::F64), y).unwrap();
        let i = p.unary(UnaryOp::Cast(DType::F64), i).unwrap();
        let product = p.binary(BinaryOp::Multiply, x, y).unwrap();
        let sum = p.binary(BinaryOp::Add, product, i).unwrap();
        let program = p.finish(sum);
        let strides: SmallVec<[i64; 4]> = strides[..shape.len()].iter().copied().collect();
        let (left_block, right_block) = (block(a.clone(), &left), block(b.clone(), &right));
        let arguments = [Argument::Block(&left_block), Argument::Block(&right_block), Argument::Index { offset: 1000, strides: strides.clone() }];
        let got = evaluated(&program, &shape, &arguments).unwrap();
        for (k, got) in got.as_slice::<f64>().unwrap().iter().enumerate() {
            let (mut rest, mut index) = (k, 1000);
            for axis in (0..shape.len()).rev() {
                index += (rest % shape[axis]) as i64 * strides[axis];
                rest /= shape[axis];
            }
            let expected = a[broadcast_index(&left, &shape, k)] * f64::from(b[broadcast_index(&right, &shape, k)]) + index as f64;
            prop_assert_eq!(got.to_bits(), expected.to_bits());
        }
    }

    #[test]
    fn reductions_are_those_of_a_loop(
        shape in prop::collection::vec(prop::sample::select(vec![1usize, 2, 3, 5, 16, 33, 65]), 0..4),
        long in 0usize..6,
        extent in prop::sample::select(vec![700usize, 1024, 1025, 2500, 4096, 9000]),
        mask in any::<[bool; 4]>(),
        shift in prop::sample::select(vec![0.0, 1e6]),
    ) {
        let mut shape = shape;
        if let Some(axis) = shape.get_mut(long) {
            *axis = extent;
        }
        while shape.iter().product::<usize>() > 400_000 {
            shape.pop();
        }
        let mask = &mask[..shape.len()];
        let n = shape.iter().product::<usize>();
        let values: Vec<f64> = noise(5, n).into_iter().map(|x| x + shift).collect();
        let kept: Vec<usize> = shape.iter().zip(mask).map(|(extent, reduced)| if *reduced { 1 } else { *extent }).collect();
        let outputs = kept.iter().product::<usize>();
        let mut groups: Vec<Vec<f64>> = vec![Vec::new(); outputs];
        for (k, value) in values.iter().enumerate() {
            groups[broadcast_index(&kept, &shape, k)].push(*value);
        }
        let input = block(values.clone(), &shape);
        let narrow = block(values.iter().map(|x| *x as f32).collect(), &shape);
        let small = block(values.iter().map(|x| *x as i16).collect(), &shape);
        let run = |op, dtype: DType, block: &Block| reduced(op, &identity(dtype), &shape, &[Argument::Block(block)], mask).unwrap();
        let near = |a: f64, b: f64, scale: f64| (a - b).abs() <= 1e-13 * scale.abs().max(b.abs());
        let total = |values: &mut dyn Iterator<Item = f64>| {
            // Neumaier's compensated sum.
            let (mut sum, mut rest) = (0.0f64, 0.0);
            for value in values {
                let next = sum + value;
                rest += if sum.abs() >= value.abs() { (sum - next) + value } else { (value - next) + sum };
                sum = next;
            }
            sum + rest
        };
        let sums = run(ReduceOp::Sum, DType::F64, &input);
        let narrow_sums = run(ReduceOp::Sum, DType::F32, &narrow);
        let small_sums = run(ReduceOp::Sum, DType::I16, &small);
        let products = run(ReduceOp::Prod, DType::I16, &small);
        let least = run(ReduceOp::Min, DType::F64, &input);
        let greatest = run(ReduceOp::Max, DType::I16, &small);
        let any = run(ReduceOp::Any, DType::I16, &small);
        let all = run(ReduceOp::All, DType::I16, &small);
        let moments = run(ReduceOp::Moments { spread: true }, DType::F64, &input);
        let mean_only = run(ReduceOp::Moments { spread: false }, DType::F64, &input);
        let (moments, mean_only) = (moments.as_slice::<f64>().unwrap(), mean_only.as_slice::<f64>().unwrap());
        prop_assert_eq!(&moments[..2 * outputs], &mean_only[..2 * outputs]);
        prop_assert!(mean_only[2 * outputs..].iter().all(|x| *x == 0.0));
        for (k, group) in groups.iter().enumerate() {
            let size: f64 = group.iter().map(|x| x.abs()).sum();
            let sum = total(&mut group.iter().copied());
            prop_assert!(near(sums.as_slice::<f64>().unwrap()[k], sum, size));
            prop_assert!(near(narrow_sums.as_slice::<f64>().unwrap()[k], total(&mut group.iter().map(|x| f64::from(*x as f32))), size));
            prop_assert_eq!(small_sums.as_slice::<i64>().unwrap()[k], group.iter().map(|x| i64::from(*x as i16)).sum::<i64>());
            prop_assert_eq!(products.as_slice::<i64>().unwrap()[k], group.iter().fold(1i64, |p, x| p.wrapping_mul(i64::from(*x as i16))));
            prop_assert_eq!(least.as_slice::<f64>().unwrap()[k], group.iter().copied().fold(f64::INFINITY, f64::min));
            prop_assert_eq!(greatest.as_slice::<i16>().unwrap()[k], group.iter().map(|x| *x as i16).max().unwrap());
            prop_assert_eq!(any.as_slice::<bool>().unwrap()[k], group.iter().any(|x| *x as i16 != 0));
            prop_assert_eq!(all.as_slice::<bool>().unwrap()[k], group.iter().all(|x| *x as i16 != 0));
            let mean = sum / group.len() as f64;
            let spread = total(&mut group.iter().map(|x| (x - mean) * (x - mean)));
            prop_assert_eq!(moments[k], group.len() as f64);
            prop_assert!(near(moments[outputs + k], sum, size));
            // The condition of the problem: the size of the values against their deviation.
            let slack = (1e-12 + 1e-15 * shift) * spread + 1e-24 * group.len() as f64 * shift * shift;
            prop_assert!((moments[2 * outputs + k] - spread).abs() <= slack.max(1e-300), "{} {}", moments[2 * outputs + k], spread);
        }
    }
}

#[test]
fn a_program_gives_the_same_bits_reduced_as_written_and_fused_as_not() {
    let n = 10_000;
    let blocks: [Block; 4] = std::array::from_fn(|k| block(noise(k as u64, n).into_iter().map(f64::abs).collect(), &[n]));
    let arguments = blocks.each_ref().map(Argument::Block);
    let mut p = Program::builder();
    let [a, b, c, d] = std::array::from_fn(|_| p.input(DType::F64));
    let product = p.binary(BinaryOp::Multiply, a, b).unwrap();
    let negative = p.unary(UnaryOp::Negative, c).unwrap();
    let exp = p.unary(UnaryOp::Exp, negative).unwrap();
    let root = p.unary(UnaryOp::Sqrt, d).unwrap();
    let right = p.binary(BinaryOp::Multiply, exp, root).unwrap();
    let sum = p.binary(BinaryOp::Add, product, right).unwrap();
    let fused = p.clone().finish(sum);
    assert_eq!(fused.plan().instructions.len(), 3);
    let got = evaluated(&fused, &[n], &arguments).unwrap();
    let slices = blocks.each_ref().map(|block| block.as_slice::<f64>().unwrap());
    for (k, got) in got.as_slice::<f64>().unwrap().iter().enumerate() {
        let expected = slices[0][k] * slices[1][k] + math::exp(-slices[2][k]) * slices[3][k].sqrt();
        assert_eq!(got.to_bits(), expected.to_bits());
    }
    for op in [ReduceOp::Sum, ReduceOp::Moments { spread: true }] {
        let direct = reduced(op, &fused, &[n], &arguments, &[true]).unwrap();
        let written = reduced(op, &identity(DType::F64), &[n], &[Argument::Block(&got)], &[true]).unwrap();
        assert_eq!(direct.bytes(), written.bytes());
    }
    // Squares of differences, and products less something, step by step.
    let steps = |op: BinaryOp, x: &Block, y: &Block| {
        evaluated(&binary_program(op, DType::F64), &[n], &[Argument::Block(x), Argument::Block(y)]).unwrap()
    };
    let mut p = Program::builder();
    let [a, b, c] = std::array::from_fn(|_| p.input(DType::F64));
    let difference = p.binary(BinaryOp::Subtract, a, b).unwrap();
    let square = p.unary(UnaryOp::Square, difference).unwrap();
    let product = p.binary(BinaryOp::Multiply, square, c).unwrap();
    let less = p.binary(BinaryOp::Subtract, product, a).unwrap();
    let program = p.finish(less);
    assert_eq!(program.plan().instructions.len(), 2);
    let got = evaluated(&program, &[n], &arguments[..3]).unwrap();
    let difference = steps(BinaryOp::Subtract, &blocks[0], &blocks[1]);
    let square = steps(BinaryOp::Multiply, &difference, &difference);
    let expected = steps(BinaryOp::Subtract, &steps(BinaryOp::Multiply, &square, &blocks[2]), &blocks[0]);
    assert_eq!(got.bytes(), expected.bytes());
}

#[test]
fn programs_compose_share_steps_and_encode() {
    let mut p = Program::builder();
    let (x, y) = (p.input(DType::F64), p.input(DType::F64));
    let difference = p.binary(BinaryOp::Subtract, x, y).unwrap();
    let outer = p.finish(difference);
    let mut p = Program::builder();
    let i = p.input(DType::I32);
    let two = p.constant(Scalar::I32(2));
    let double = p.binary(BinaryOp::Multiply, i, two).unwrap();
    let inner_output = p.unary(UnaryOp::Sqrt, double).unwrap();
    let _unused = p.unary(UnaryOp::Negative, double).unwrap();
    let inner = p.finish(inner_output);
    assert_eq!((inner.inputs(), inner.output()), (&[DType::I32][..], DType::F64));

    // sqrt(2 i) - y, then sqrt(2 i) - sqrt(2 j), then with i = j.
    let once = outer.compose(0, &inner).unwrap();
    assert_eq!(once.inputs(), [DType::F64, DType::I32]);
    let twice = once.compose(0, &inner).unwrap();
    assert_eq!(twice.inputs(), [DType::I32, DType::I32]);
    let (i, j) = (block(vec![8i32, 18], &[2]), block(vec![2i32, 2], &[2]));
    let got = evaluated(&twice, &[2], &[Argument::Block(&i), Argument::Block(&j)]).unwrap();
    assert_eq!(got.as_slice::<f64>().unwrap(), [2.0, 4.0]);
    let same = twice.unify(0, 1);
    assert_eq!((same.inputs().len(), same.plan().instructions.len()), (1, 4));
    let got = evaluated(&same, &[2], &[Argument::Block(&i)]).unwrap();
    assert_eq!(got.as_slice::<f64>().unwrap(), [0.0, 0.0]);
    assert_eq!(twice.unify(1, 1), twice);
    assert!(outer.compose(0, &outer).is_some() && outer.compose(2, &outer).is_none() && inner.compose(0, &outer).is_none());

    for program in [&outer, &inner, &once, &twice, &same] {
        let text = serde_json::to_string(program).unwrap();
        assert_eq!(&serde_json::from_str::<Program>(&text).unwrap(), program);
    }
    let text = serde_json::to_string(&outer).unwrap();
    for broken in [text.replace("Subtract", "BitAnd"), text.replace("[0,1]", "[0,7]"), text.replace("\"output\":2", "\"output\":3")] {
        assert!(serde_json::from_str::<Program>(&broken).is_err() || broken == text, "{broken}");
    }
}

#[test]
fn programs_stop_growing_at_a_limit() {
    // 1 + 1 + ... inputs: each composition adds one.
    let outer = binary_program(BinaryOp::Add, DType::F64);
    let mut program = outer.clone();
    let mut inputs = 2;
    while let Some(next) = program.compose(0, &outer) {
        program = next;
        inputs += 1;
        assert!(inputs < 100 && program.scratch_bytes() <= 512 << 10);
    }
    let blocks: Vec<Block> = (0..inputs).map(|k| block(vec![k as f64; 3000], &[3000])).collect();
    let arguments: Vec<_> = blocks.iter().map(Argument::Block).collect();
    let got = evaluated(&program, &[3000], &arguments).unwrap();
    assert!(got.as_slice::<f64>().unwrap().iter().all(|x| *x == (inputs * (inputs - 1) / 2) as f64));
    let sum = reduced(ReduceOp::Sum, &program, &[3000], &arguments, &[true]).unwrap();
    assert_eq!(sum.as_slice::<f64>().unwrap(), [(inputs * (inputs - 1) / 2 * 3000) as f64]);
}

#[test]
fn powers_by_small_constants_are_products_and_roots() {
    let values = vec![3.0, -2.0, 0.5, f64::INFINITY];
    let input = block(values.clone(), &[4]);
    for (exponent, expected) in
        [(2.0, [9.0, 4.0, 0.25, f64::INFINITY]), (1.0, [3.0, -2.0, 0.5, f64::INFINITY]), (-1.0, [1.0 / 3.0, -0.5, 2.0, 0.0])]
    {
        let mut p = Program::builder();
        let x = p.input(DType::F64);
        let e = p.constant(Scalar::F64(exponent));
        let y = p.binary(BinaryOp::Power, x, e).unwrap();
        let got = evaluated(&p.finish(y), &[4], &[Argument::Block(&input)]).unwrap();
        assert_eq!(got.as_slice::<f64>().unwrap(), expected);
    }
}

#[test]
fn nothing_can_be_reduced_too() {
    let empty = block(Vec::<f64>::new(), &[0, 3]);
    let program = identity(DType::F64);
    let run = |op, mask: &[bool]| reduced(op, &program, &[0, 3], &[Argument::Block(&empty)], mask);
    assert_eq!(run(ReduceOp::Sum, &[true, false]).unwrap().as_slice::<f64>().unwrap(), [0.0; 3]);
    assert_eq!(run(ReduceOp::Prod, &[true, true]).unwrap().as_slice::<f64>().unwrap(), [1.0]);
    assert_eq!(run(ReduceOp::Any, &[true, true]).unwrap().as_slice::<bool>().unwrap(), [false]);
    assert_eq!(run(ReduceOp::All, &[true, true]).unwrap().as_slice::<bool>().unwrap(), [true]);
    assert_eq!(run(ReduceOp::Moments { spread: true }, &[true, true]).unwrap().as_slice::<f64>().unwrap(), [0.0; 3]);
    assert_eq!(run(ReduceOp::Min, &[true, false]).unwrap_err().kind(), ErrorKind::Shape);
    assert_eq!(run(ReduceOp::Max, &[false, true]).unwrap().len(), 0);
    assert_eq!(evaluated(&program, &[0, 3], &[Argument::Block(&empty)]).unwrap().len(), 0);
    let scalar = block(vec![2.5], &[]);
    assert_eq!(evaluated(&program, &[], &[Argument::Block(&scalar)]).unwrap().as_slice::<f64>().unwrap(), [2.5]);
    assert_eq!(reduced(ReduceOp::Sum, &program, &[], &[Argument::Block(&scalar)], &[]).unwrap().as_slice::<f64>().unwrap(), [2.5]);
}

#[test]
fn nan_is_handed_on_and_always_the_same() {
    let mut values = noise(3, 5000);
    values[4321] = -f64::NAN;
    values[17] = f64::from_bits(0x7ff8_0000_0000_1234);
    let input = block(values, &[5000]);
    for op in [ReduceOp::Sum, ReduceOp::Min, ReduceOp::Max, ReduceOp::Prod] {
        for (shape, mask) in [(&[5000][..], &[true][..]), (&[50, 100], &[true, false]), (&[50, 100], &[false, true])] {
            let got =
                reduced(op, &identity(DType::F64), shape, &[Argument::Block(&input.reshaped(Shape::from_slice(shape)).unwrap())], mask)
                    .unwrap();
            let nan: Vec<u64> = got.as_slice::<f64>().unwrap().iter().filter(|x| x.is_nan()).map(|x| x.to_bits()).collect();
            assert!((1..=2).contains(&nan.len()) && nan.iter().all(|bits| *bits == f64::NAN.to_bits()), "{op:?} {shape:?}");
        }
    }
}

#[test]
fn wrong_arguments_are_typed_errors() {
    let (a, b) = (block(vec![1.0, 2.0], &[2]), block(vec![1.0, 2.0, 3.0], &[3]));
    let program = binary_program(BinaryOp::Add, DType::F64);
    let kind = |shape: &[usize], arguments: &[Argument<'_>]| evaluated(&program, shape, arguments).unwrap_err().kind();
    assert_eq!(kind(&[2], &[Argument::Block(&a), Argument::Block(&b)]), ErrorKind::Shape);
    assert_eq!(kind(&[], &[Argument::Block(&a), Argument::Block(&a)]), ErrorKind::Shape);
    assert_eq!(kind(&[2], &[Argument::Block(&a)]), ErrorKind::Invalid);
    assert_eq!(kind(&[2], &[Argument::Block(&a), Argument::Index { offset: 0, strides: smallvec::smallvec![1] }]), ErrorKind::Type);
    let mut short = Register::new(64);
    let error =
        evaluate_at(Level::best(), &program, &[2], &[Argument::Block(&a), Argument::Block(&a)], &mut short.bytes_mut()[..8]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[test]
fn partials_merge_to_what_one_block_gives() {
    let n = 30_000;
    let values = noise(9, n);
    let whole = block(values.clone(), &[n]);
    let op = ReduceOp::Moments { spread: true };
    let partials: Vec<Block> = [0..7, 7..11_000, 11_000..11_000, 11_000..n]
        .into_iter()
        .map(|range| {
            let part = block(values[range.clone()].to_vec(), &[range.len()]);
            reduced(op, &identity(DType::F64), &[range.len()], &[Argument::Block(&part)], &[true]).unwrap()
        })
        .collect();
    let mut merged = Register::new(64);
    let mut first: Option<Vec<u8>> = None;
    for level in Level::available() {
        combine_at(level, op, DType::F64, &partials.iter().collect::<Vec<_>>(), merged.bytes_mut()).unwrap();
        assert_eq!(first.get_or_insert_with(|| merged.bytes()[..24].to_vec()), &merged.bytes()[..24]);
    }
    let merged = block_of_bytes(&merged.bytes()[..24], DType::F64, &[3, 1]);
    let direct = reduced(op, &identity(DType::F64), &[n], &[Argument::Block(&whole)], &[true]).unwrap();
    for (a, b) in merged.as_slice::<f64>().unwrap().iter().zip(direct.as_slice::<f64>().unwrap()) {
        assert!((a - b).abs() <= 1e-12 * b.abs().max(1.0));
    }
    let mean = values.iter().sum::<f64>() / n as f64;
    let variance = values.iter().map(|x| (x - mean) * (x - mean)).sum::<f64>() / (n as f64 - 1.0);
    let result = |how: Finish, dtype: DType| {
        let mut out = Register::new(64);
        finish_at(Level::best(), how, op, &merged, dtype, out.bytes_mut()).unwrap();
        block_of_bytes(&out.bytes()[..dtype.size()], dtype, &[1])
    };
    let single = |how| result(how, DType::F64).as_slice::<f64>().unwrap()[0];
    assert!((single(Finish::Mean) - mean).abs() < 1e-14);
    assert!((single(Finish::Var { ddof: 1.0 }) / variance - 1.0).abs() < 1e-12);
    assert!((single(Finish::Std { ddof: 1.0 }) / variance.sqrt() - 1.0).abs() < 1e-12);
    assert!(single(Finish::Var { ddof: 1e9 }).is_infinite());
    assert_eq!(result(Finish::Mean, DType::F32).as_slice::<f32>().unwrap()[0], single(Finish::Mean) as f32);

    let (a, b) = (block(vec![1i64, i64::MAX, -3], &[3]), block(vec![5i64, 1, 2], &[3]));
    for (op, expected) in [
        (ReduceOp::Sum, [6, i64::MIN, -1]),
        (ReduceOp::Prod, [5, i64::MAX, -6]),
        (ReduceOp::Min, [1, 1, -3]),
        (ReduceOp::Max, [5, i64::MAX, 2]),
    ] {
        let mut out = Register::new(24);
        combine_at(Level::best(), op, DType::I64, &[&a, &b], out.bytes_mut()).unwrap();
        assert_eq!(block_of_bytes(&out.bytes()[..24], DType::I64, &[3]).as_slice::<i64>().unwrap(), expected);
        let mut small = Register::new(24);
        finish_at(Level::best(), Finish::Cast(DType::I8), op, &a, DType::I8, small.bytes_mut()).unwrap();
        assert_eq!(small.bytes()[..3], [1, 255, 253]);
    }
    let mut out = Register::new(64);
    let mut kind = |op, dtype, partials: &[&Block]| combine_at(Level::best(), op, dtype, partials, out.bytes_mut()).unwrap_err().kind();
    assert_eq!(kind(ReduceOp::Sum, DType::I64, &[]), ErrorKind::Invalid);
    assert_eq!(kind(ReduceOp::Sum, DType::F64, &[&a]), ErrorKind::Type);
    assert_eq!(kind(ReduceOp::Sum, DType::I64, &[&a, &a.reshaped(Shape::from_slice(&[3, 1])).unwrap()]), ErrorKind::Shape);
    assert_eq!(kind(ReduceOp::Any, DType::I64, &[&a]), ErrorKind::Type);
    assert_eq!(kind(op, DType::F64, &[&whole]), ErrorKind::Shape);
}

#[test]
fn random_blocks_depend_on_position_only() {
    for op in [UnaryOp::Uniform { seed: 42 }, UnaryOp::Normal { seed: 42 }] {
        let program = unary_program(op, DType::I64);
        let index = |offset: i64, strides: &[i64]| Argument::Index { offset, strides: strides.iter().copied().collect() };
        let whole = evaluated(&program, &[100, 90], &[index(0, &[90, 1])]).unwrap();
        let part = evaluated(&program, &[7, 30], &[index(20 * 90 + 40, &[90, 1])]).unwrap();
        let (whole, part) = (whole.as_slice::<f64>().unwrap(), part.as_slice::<f64>().unwrap());
        for r in 0..7 {
            assert_eq!(part[r * 30..r * 30 + 30], whole[(20 + r) * 90 + 40..(20 + r) * 90 + 70]);
        }
    }
}
