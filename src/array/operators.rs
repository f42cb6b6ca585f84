//! The operators of Rust on arrays and numbers, in every pairing of owned and borrowed.

use super::build::Argument;
use super::kernel::{BinaryOp, UnaryOp};
use super::number::{Bits, Datum, Number};
use super::{Array, IntoOperand};
use std::ops::{Add, BitAnd, BitOr, BitXor, Div, Mul, Neg, Not, Rem, Sub};
use std::panic::Location;

impl<T: Datum> Array<T> {
    /// An operation of this array and another, or a number.
    #[track_caller]
    pub(super) fn binary<U: Datum>(&self, name: &'static str, steps: u32, op: BinaryOp, other: impl IntoOperand<T>) -> Array<U> {
        let other = other.into_operand();
        let arguments = [Argument::Array(&self.raw), other.argument()];
        Array::operation(name, steps, &arguments, Location::caller(), |program, slots| program.binary(op, *slots.first()?, *slots.get(1)?))
    }

    /// An operation of a number and this array.
    #[track_caller]
    pub(super) fn binary_from<U: Datum>(&self, name: &'static str, op: BinaryOp, left: T) -> Array<U> {
        let arguments = [Argument::Number(left.scalar()), Argument::Array(&self.raw)];
        Array::operation(name, 1, &arguments, Location::caller(), |program, slots| program.binary(op, *slots.first()?, *slots.get(1)?))
    }

    /// An operation of this array alone.
    #[track_caller]
    pub(super) fn unary<U: Datum>(&self, name: &'static str, steps: u32, op: UnaryOp) -> Array<U> {
        let arguments = [Argument::Array(&self.raw)];
        Array::operation(name, steps, &arguments, Location::caller(), |program, slots| program.unary(op, *slots.first()?))
    }
}

macro_rules! operators {
    ($($trait:ident $method:ident $name:literal $bound:ident $out:ty, [$($t:ty)*];)*) => { $(
        impl<T: $bound, O: IntoOperand<T>> $trait<O> for Array<T> {
            type Output = Array<$out>;
            #[track_caller]
            fn $method(self, other: O) -> Array<$out> {
                self.binary($name, 1, operators!(@op $trait), other)
            }
        }
        impl<T: $bound, O: IntoOperand<T>> $trait<O> for &Array<T> {
            type Output = Array<$out>;
            #[track_caller]
            fn $method(self, other: O) -> Array<$out> {
                self.binary($name, 1, operators!(@op $trait), other)
            }
        }
        operators!(@left $trait $method $name $bound, [$($t)*]);
    )* };
    (@left $trait:ident $method:ident $name:literal $bound:ident, [$($t:ty)*]) => { $(
        impl $trait<Array<$t>> for $t {
            type Output = <Array<$t> as $trait<$t>>::Output;
            #[track_caller]
            fn $method(self, other: Array<$t>) -> Self::Output {
                other.binary_from($name, operators!(@op $trait), self)
            }
        }
        impl $trait<&Array<$t>> for $t {
            type Output = <Array<$t> as $trait<$t>>::Output;
            #[track_caller]
            fn $method(self, other: &Array<$t>) -> Self::Output {
                other.binary_from($name, operators!(@op $trait), self)
            }
        }
    )* };
    (@op Add) => { BinaryOp::Add };
    (@op Sub) => { BinaryOp::Subtract };
    (@op Mul) => { BinaryOp::Multiply };
    (@op Div) => { BinaryOp::Divide };
    (@op Rem) => { BinaryOp::Remainder };
    (@op BitAnd) => { BinaryOp::BitAnd };
    (@op BitOr) => { BinaryOp::BitOr };
    (@op BitXor) => { BinaryOp::BitXor };
}
operators! {
    Add add "add" Number T, [i8 i16 i32 i64 u8 u16 u32 u64 f32 f64];
    Sub sub "subtract" Number T, [i8 i16 i32 i64 u8 u16 u32 u64 f32 f64];
    Mul mul "multiply" Number T, [i8 i16 i32 i64 u8 u16 u32 u64 f32 f64];
    Div div "divide" Number T::Float, [i8 i16 i32 i64 u8 u16 u32 u64 f32 f64];
    Rem rem "remainder" Number T, [i8 i16 i32 i64 u8 u16 u32 u64 f32 f64];
    BitAnd bitand "bitwise_and" Bits T, [bool i8 i16 i32 i64 u8 u16 u32 u64];
    BitOr bitor "bitwise_or" Bits T, [bool i8 i16 i32 i64 u8 u16 u32 u64];
    BitXor bitxor "bitwise_xor" Bits T, [bool i8 i16 i32 i64 u8 u16 u32 u64];
}

macro_rules! unary_operators {
    ($($trait:ident $method:ident $name:literal $bound:ident $op:ident;)*) => { $(
        impl<T: $bound> $trait for Array<T> {
            type Output = Array<T>;
            #[track_caller]
            fn $method(self) -> Array<T> {
                self.unary($name, 1, UnaryOp::$op)
            }
        }
        impl<T: $bound> $trait for &Array<T> {
            type Output = Array<T>;
            #[track_caller]
            fn $method(self) -> Array<T> {
                self.unary($name, 1, UnaryOp::$op)
            }
        }
    )* };
}
unary_operators! {
    Neg neg "negative" Number Negative;
    Not not "invert" Bits Invert;
}
