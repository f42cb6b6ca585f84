//! What becomes of partial results: they are merged, and the last one is made the result.

use super::fold::Fold;
use super::level::{Level, map2};
use super::number::{by_float, view, view_mut};
use super::op::UnaryOp;
use super::reduce::{ReduceOp, Visit, dispatch, totals};
use super::run::one_nan;
use super::unary::unary;
use crate::{Error, ErrorKind, Result};
use chunkstore_store::{Block, BufferMut, DType};
use serde::{Deserialize, Serialize};

/// What is made of the last partial.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Finish {
    Same,
    Cast(DType),
    /// Of [`ReduceOp::Moments`]; NaN where there are no elements.
    Mean,
    /// Of [`ReduceOp::Moments`]; the divisor is count - ddof, or 0 if that is less.
    Var {
        #[serde(with = "bits")]
        ddof: f64,
    },
    /// The root of the variance.
    Std {
        #[serde(with = "bits")]
        ddof: f64,
    },
}

/// A number by its bits: infinities and NaN come back too.
mod bits {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(value.to_bits())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        u64::deserialize(deserializer).map(f64::from_bits)
    }
}

/// Merges partials of equal shape in the order given; `dtype` is theirs. Moments are merged by the method of Chan, Golub
/// and LeVeque (1979).
///
/// # Errors
/// Type or Shape where the partials differ, Invalid where there are none or `out` is too short.
pub(crate) fn combine(op: ReduceOp, dtype: DType, partials: &[&Block], out: &mut BufferMut) -> Result<()> {
    combine_at(Level::best(), op, dtype, partials, out)
}

/// [`combine`] at a CPU level.
pub(super) fn combine_at(level: Level, op: ReduceOp, dtype: DType, partials: &[&Block], out: &mut [u8]) -> Result<()> {
    let Some(first) = partials.first() else {
        return Err(Error::new(ErrorKind::Invalid, format!("{op:?} of no partials")));
    };
    for partial in partials {
        if partial.dtype() != dtype {
            return Err(Error::new(ErrorKind::Type, format!("{op:?}: a partial is of {}, not {dtype}", partial.dtype())));
        }
        if partial.shape() != first.shape() {
            let message = format!("{op:?}: partials of the shapes {:?} and {:?}", first.shape(), partial.shape());
            return Err(Error::new(ErrorKind::Shape, message));
        }
    }
    if let Some(rows) = op.leading()
        && first.shape().first() != Some(&rows)
    {
        return Err(Error::new(ErrorKind::Shape, format!("{op:?}: a partial of shape {:?} has no leading axis of {rows}", first.shape())));
    }
    let bytes = first.nbytes();
    let Some(to) = out.get_mut(..bytes) else {
        return Err(Error::new(ErrorKind::Invalid, format!("the output buffer is too short for partials of {bytes} bytes")));
    };
    to.copy_from_slice(first.bytes());
    dispatch(op, dtype, Combine { level, rest: &partials[1..], outputs: first.len() / op.leading().unwrap_or(1), out: to })?;
    by_float!(dtype, T, one_nan(level, view_mut::<T>(to)));
    Ok(())
}

struct Combine<'a> {
    level: Level,
    rest: &'a [&'a Block],
    outputs: usize,
    out: &'a mut [u8],
}

impl Visit for Combine<'_> {
    fn visit<F: Fold>(self) -> Result<()> {
        let mut totals = totals::<F>(self.out, self.outputs)?;
        for partial in self.rest {
            F::absorb(self.level, view(partial.bytes()), &mut totals);
        }
        Ok(())
    }
}

/// Makes the result, of type `dtype`, out of the last partial, and writes it to the beginning of `out`.
///
/// # Errors
/// Type where `finish` does not go with `op` or `dtype`, Shape where moments have no leading axis of 3, Invalid where
/// `out` is too short.
pub(crate) fn finish(finish: Finish, op: ReduceOp, partial: &Block, dtype: DType, out: &mut BufferMut) -> Result<()> {
    finish_at(Level::best(), finish, op, partial, dtype, out)
}

/// [`finish`] at a CPU level.
pub(super) fn finish_at(level: Level, finish: Finish, op: ReduceOp, partial: &Block, dtype: DType, out: &mut [u8]) -> Result<()> {
    let mismatch =
        || Error::new(ErrorKind::Type, format!("{finish:?} of {op:?} with partials of {} does not give {dtype}", partial.dtype()));
    let count = match finish {
        Finish::Same | Finish::Cast(_) => partial.len(),
        _ => partial.len() / 3,
    };
    let Some(to) = out.get_mut(..count * dtype.size()) else {
        return Err(Error::new(ErrorKind::Invalid, format!("the output buffer is too short for {count} elements of {dtype}")));
    };
    let ddof = match finish {
        Finish::Same if dtype == partial.dtype() => {
            to.copy_from_slice(partial.bytes());
            return Ok(());
        }
        Finish::Cast(into) if into == dtype => {
            unary(level, UnaryOp::Cast(into), partial.dtype(), partial.bytes(), to);
            return Ok(());
        }
        Finish::Same | Finish::Cast(_) => return Err(mismatch()),
        Finish::Mean => None,
        Finish::Var { ddof } | Finish::Std { ddof } => Some(ddof),
    };
    if op.leading().is_none() || partial.dtype() != DType::F64 || !matches!(dtype, DType::F32 | DType::F64) {
        return Err(mismatch());
    }
    if partial.shape().first() != Some(&3) {
        return Err(Error::new(ErrorKind::Shape, format!("moments of shape {:?} have no leading axis of 3", partial.shape())));
    }
    let values = view::<f64>(partial.bytes());
    let (counts, rest) = values.split_at(count);
    let (sums, spreads) = rest.split_at(count);
    by_float!(dtype, T, {
        let to = view_mut::<T>(to);
        match (ddof, matches!(finish, Finish::Std { .. })) {
            (None, _) => map2(level, counts, sums, to, |n, sum| (sum / n) as T),
            (Some(ddof), false) => map2(level, counts, spreads, to, |n, spread| variance(n, spread, ddof) as T),
            (Some(ddof), true) => map2(level, counts, spreads, to, |n, spread| variance(n, spread, ddof).sqrt() as T),
        }
        one_nan(level, to);
    });
    Ok(())
}

#[inline(always)]
fn variance(count: f64, spread: f64, ddof: f64) -> f64 {
    let divisor = count - ddof;
    spread / if divisor > 0.0 { divisor } else { 0.0 }
}
