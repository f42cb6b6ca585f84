//! Kernels against straightforward scalar code, at every CPU level.

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
        let got = evaluated(&builder.finish(z), &[n, n, 1], &[Argument::Block(&a), Argument::Block(&b), Argument::Block(&a)]).unwrap();
        let less = |x: T, y: T| x.partial_cmp(&y) == Some(std::cmp::Ordering::Less);
        for (k, got) in got.as_slice::<T>().unwrap().iter().enumerate() {
            let (x, low) = (samples[k / n], samples[k % n]);
            // With the upper bound equal to x, NaN anywhere gives NaN, and the result is x whatever the lower bound.
            let nan = [x, low].into_iter().find(|v| v.partial_cmp(v).is_none());
            let expected = nan.unwrap_or(if less(x, low) { x } else { x });
            assert!(got.close(expected, 1), "clip({x}, {low}, {x}) gave {got}");
        }
    });
    assert_eq!(TernaryOp::Where.output(DType::Bool, DType::I8, DType::I16), None);
}
