//! The elementwise operations and the types that they give.

use chunkstore_store::DType;
use serde::{Deserialize, Serialize};

/// An operation on one value. Semantics are NumPy's for the type; exceptions are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum UnaryOp {
    /// Wraps on integers.
    Negative,
    /// Wraps on integers: the least value stays what it is.
    Absolute,
    Positive,
    Square,
    Sqrt,
    Cbrt,
    /// On integers the integer quotient, 0 for 0.
    Reciprocal,
    Exp,
    Exp2,
    Expm1,
    Log,
    Log2,
    Log10,
    Log1p,
    Sin,
    Cos,
    Tan,
    Arcsin,
    Arccos,
    Arctan,
    Sinh,
    Cosh,
    Tanh,
    Arcsinh,
    Arccosh,
    Arctanh,
    Floor,
    Ceil,
    Trunc,
    /// Half to even.
    Rint,
    /// -1, 0 or 1; NaN stays NaN.
    Sign,
    IsNan,
    IsInf,
    IsFinite,
    /// False for every NaN: the sign of a computed NaN is not defined.
    SignBit,
    LogicalNot,
    Invert,
    Deg2Rad,
    Rad2Deg,
    /// As NumPy's `astype`; floats become integers by truncation, saturating at the ends, and NaN becomes 0.
    Cast(DType),
    /// A position (I64) becomes a random number in [0, 1) with 53 bits that depends on seed and position only.
    Uniform {
        seed: u64,
    },
    /// A position (I64) becomes a normal random number that depends on seed and position only.
    Normal {
        seed: u64,
    },
}

/// An operation on two values of one type. Semantics are NumPy's for the type; exceptions are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum BinaryOp {
    Add,
    Subtract,
    Multiply,
    /// True division: F64 for integers and truth values.
    Divide,
    /// Rounds down; an integer divided by zero is 0.
    FloorDivide,
    /// Has the sign of the divisor; 0 where an integer is divided by zero.
    Remainder,
    /// Wraps on integers. A negative integer exponent gives the truncated reciprocal (NumPy raises an error), 0 for base 0.
    Power,
    /// NaN if either is.
    Minimum,
    /// NaN if either is.
    Maximum,
    /// The other one if one is NaN.
    FMin,
    /// The other one if one is NaN.
    FMax,
    Arctan2,
    Hypot,
    /// A NaN has a positive sign here: that of a computed NaN is not defined.
    CopySign,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
    Equal,
    NotEqual,
    LogicalAnd,
    LogicalOr,
    LogicalXor,
    BitAnd,
    BitOr,
    BitXor,
    /// 0 where the distance is negative or not below the width.
    LeftShift,
    /// Arithmetic on signed types; all sign bits where the distance is negative or not below the width.
    RightShift,
}

/// An operation on three values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum TernaryOp {
    /// Truth value, T, T: the second where the first is true, else the third.
    Where,
    /// T, lower bound, upper bound: `minimum(maximum(x, lower), upper)`.
    Clip,
}

/// Whether the type is F32 or F64.
pub(super) fn is_float(dtype: DType) -> bool {
    matches!(dtype, DType::F32 | DType::F64)
}

impl UnaryOp {
    /// Whether it is computed in floating point: integers and truth values are first cast to F64.
    pub(super) fn in_float(self) -> bool {
        use UnaryOp::*;
        match self {
            Sqrt | Cbrt | Exp | Exp2 | Expm1 | Log | Log2 | Log10 | Log1p | Sin | Cos | Tan | Arcsin | Arccos | Arctan | Sinh | Cosh
            | Tanh | Arcsinh | Arccosh | Arctanh | Rint | Deg2Rad | Rad2Deg => true,
            Negative
            | Absolute
            | Positive
            | Square
            | Reciprocal
            | Floor
            | Ceil
            | Trunc
            | Sign
            | IsNan
            | IsInf
            | IsFinite
            | SignBit
            | LogicalNot
            | Invert
            | Cast(_)
            | Uniform { .. }
            | Normal { .. } => false,
        }
    }

    /// The type of the result for a value of type `dtype`; `None` where the operation is not defined for it.
    pub(crate) fn output(self, dtype: DType) -> Option<DType> {
        use UnaryOp::*;
        match self {
            op if op.in_float() => Some(if is_float(dtype) { dtype } else { DType::F64 }),
            Negative | Positive | Square | Reciprocal | Sign => (dtype != DType::Bool).then_some(dtype),
            Invert => (!is_float(dtype)).then_some(dtype),
            IsNan | IsInf | IsFinite | SignBit | LogicalNot => Some(DType::Bool),
            Cast(to) => Some(to),
            Uniform { .. } | Normal { .. } => (dtype == DType::I64).then_some(DType::F64),
            _ => Some(dtype),
        }
    }
}

impl BinaryOp {
    /// Whether it is computed in floating point: integers and truth values are first cast to F64.
    pub(super) fn in_float(self) -> bool {
        matches!(self, BinaryOp::Divide | BinaryOp::Arctan2 | BinaryOp::Hypot | BinaryOp::CopySign)
    }

    /// The type of the result for values of the types `a` and `b`; `None` where they differ or the operation is not
    /// defined for them.
    pub(crate) fn output(self, a: DType, b: DType) -> Option<DType> {
        use BinaryOp::*;
        if a != b {
            return None;
        }
        match self {
            op if op.in_float() => Some(if is_float(a) { a } else { DType::F64 }),
            Greater | GreaterEqual | Less | LessEqual | Equal | NotEqual | LogicalAnd | LogicalOr | LogicalXor => Some(DType::Bool),
            Subtract | FloorDivide | Remainder | Power => (a != DType::Bool).then_some(a),
            BitAnd | BitOr | BitXor => (!is_float(a)).then_some(a),
            LeftShift | RightShift => (!is_float(a) && a != DType::Bool).then_some(a),
            _ => Some(a),
        }
    }
}

impl TernaryOp {
    /// The type of the result for values of the types `a`, `b` and `c`; `None` where it is not defined for them.
    pub(crate) fn output(self, a: DType, b: DType, c: DType) -> Option<DType> {
        match self {
            TernaryOp::Where => (a == DType::Bool && b == c).then_some(b),
            TernaryOp::Clip => (a == b && b == c).then_some(a),
        }
    }
}
