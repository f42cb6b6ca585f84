//! Which type numbers in a text have, when nobody says it.

use super::text::Skipped;
use chunkstore_store::DType;

/// What has been found of a file by reading it once.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Found {
    pub(crate) dtype: DType,
    pub(crate) shape: Vec<usize>,
    /// The names of the columns, if the file has them.
    pub(crate) columns: Vec<String>,
    /// The lines that hold no values.
    pub(crate) skipped: Skipped,
}

/// Which types can hold all values so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kinds {
    any: bool,
    truth: bool,
    signed: bool,
    unsigned: bool,
}

impl Kinds {
    pub(super) fn new() -> Self {
        Kinds { any: false, truth: true, signed: true, unsigned: true }
    }

    /// Takes in a value that is a truth value (a word, not a number), fits in an `i64`, fits in a `u64`.
    pub(super) fn add(&mut self, truth: bool, signed: bool, unsigned: bool) {
        *self = Kinds { any: true, truth: self.truth && truth, signed: self.signed && signed, unsigned: self.unsigned && unsigned };
    }

    /// The type: truth values, else integers of 64 bits, else floating point.
    pub(super) fn dtype(self) -> DType {
        match self {
            Kinds { any: false, .. } => DType::F64,
            Kinds { truth: true, .. } => DType::Bool,
            Kinds { signed: true, .. } => DType::I64,
            Kinds { unsigned: true, .. } => DType::U64,
            _ => DType::F64,
        }
    }
}
