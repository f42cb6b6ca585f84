//! Reduces a program's output over axes, without materialising it.

use super::program::Program;
use super::run::Argument;
use crate::{Error, ErrorKind, Result};
use chunkstore_store::{Block, BufferMut, DType};
use serde::{Deserialize, Serialize};

/// A reduction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum ReduceOp {
    Sum,
    Prod,
    /// NaN if any is.
    Min,
    /// NaN if any is.
    Max,
    Any,
    All,
    /// Count, sum and sum of squared deviations from the mean (0 where not `spread`).
    Moments {
        spread: bool,
    },
}

/// What is made of the last partial.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Finish {
    Same,
    Cast(DType),
    /// Of [`ReduceOp::Moments`].
    Mean,
    /// Of [`ReduceOp::Moments`]; the divisor is count - ddof.
    Var {
        ddof: f64,
    },
    /// The root of the variance.
    Std {
        ddof: f64,
    },
}

impl ReduceOp {
    /// The type of a partial result for elements of type `input`: Sum and Prod widen to 64 bits, Min and Max keep the
    /// type, Any and All give truth values, Moments F64. `None` where it is not defined.
    pub(crate) fn partial_dtype(self, input: DType) -> Option<DType> {
        Some(match self {
            ReduceOp::Sum | ReduceOp::Prod => match input {
                DType::Bool | DType::I8 | DType::I16 | DType::I32 | DType::I64 => DType::I64,
                DType::U8 | DType::U16 | DType::U32 | DType::U64 => DType::U64,
                DType::F32 | DType::F64 => DType::F64,
            },
            ReduceOp::Min | ReduceOp::Max => input,
            ReduceOp::Any | ReduceOp::All => DType::Bool,
            ReduceOp::Moments { .. } => DType::F64,
        })
    }

    /// The extent of the leading axis that a partial block has before those of the shape; 0 where it has none.
    pub(crate) fn leading(self) -> usize {
        if matches!(self, ReduceOp::Moments { .. }) { 3 } else { 0 }
    }
}

/// Reduces the output of `program` over the axes of `shape` where `mask` is true. `out` gets the partial block in C
/// order: the shape with reduced axes of extent 1 (Moments: with an axis of 3 in front).
///
/// # Errors
/// As [`super::evaluate`]; Shape where Min or Max meets no elements.
pub(crate) fn reduce(
    op: ReduceOp,
    program: &Program,
    shape: &[usize],
    arguments: &[Argument<'_>],
    mask: &[bool],
    out: &mut BufferMut,
) -> Result<()> {
    let _ = (op, program, shape, arguments, mask, out);
    Err(Error::new(ErrorKind::Unsupported, "not built yet"))
}

/// Merges partials of equal shape in the order given; `dtype` is theirs. Moments are merged by the method of Chan, Golub
/// and LeVeque (1979).
///
/// # Errors
/// Type or Shape where the partials differ, Invalid where there are none.
pub(crate) fn combine(op: ReduceOp, dtype: DType, partials: &[&Block], out: &mut BufferMut) -> Result<()> {
    let _ = (op, dtype, partials, out);
    Err(Error::new(ErrorKind::Unsupported, "not built yet"))
}

/// Makes the result, of type `dtype`, out of the last partial.
///
/// # Errors
/// Type where `finish` does not go with `op` or `dtype`.
pub(crate) fn finish(finish: Finish, op: ReduceOp, partial: &Block, dtype: DType, out: &mut BufferMut) -> Result<()> {
    let _ = (finish, op, partial, dtype, out);
    Err(Error::new(ErrorKind::Unsupported, "not built yet"))
}
