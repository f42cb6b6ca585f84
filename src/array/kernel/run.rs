//! Runs a program over a block, tile by tile.

use super::program::Program;
use crate::{Error, ErrorKind, Result};
use chunkstore_store::{Block, BufferMut};
use smallvec::SmallVec;

/// What an input of a program is bound to.
#[derive(Clone, Debug)]
pub(crate) enum Argument<'a> {
    /// A block, broadcast against the output's shape as NumPy does: axes are aligned right, an extent of 1 is repeated.
    Block(&'a Block),
    /// An I64 whose value at output index `i` is `offset + sum(i[k] * strides[k])`; one stride per axis of the output.
    Index { offset: i64, strides: SmallVec<[i64; 4]> },
}

/// Runs `program` for every element of `shape` and writes the results to the beginning of `out`, in C order.
///
/// # Errors
/// Shape where an argument cannot be broadcast, Type where its type is not the input's, Invalid where the number of
/// arguments is wrong or `out` is too short.
pub(crate) fn evaluate(program: &Program, shape: &[usize], arguments: &[Argument<'_>], out: &mut BufferMut) -> Result<()> {
    let _ = (program, shape, arguments, out);
    Err(Error::new(ErrorKind::Unsupported, "not built yet"))
}
