//! The words that tasks are written in.
//!
//! ```text
//! task   = step* expression?      the last step's result where there is no expression
//! step   = STEP f, arity, n, base, n words of arguments             call a function
//!        | BLOCK f, arity, n, base, block, n words of arguments     make a block of a layer
//! expression, argument
//!        = KEY k                  in a graph the number of a key, in a lowered graph that of an input
//!        | LITERAL l              a value
//!        | SCALAR type, 2 words   a number or truth value
//!        | LIST count, n          and n words of elements
//!        | STACK p                the result of an earlier step
//! ```
//! Steps stand in the order in which they run, nested ones first. Each result goes onto a stack; a step cuts the stack
//! back to `base` before its own result goes there, so that results live no longer than they are needed.

use chunkstore_store::Scalar;

/// The largest number that a word holds beside its kind.
pub(crate) const LIMIT: u32 = u32::MAX >> 3;

/// What a word says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Word {
    Key(u32),
    Literal(u32),
    Scalar(u32),
    List(u32),
    Stack(u32),
    Step(u32),
    Block(u32),
}

impl Word {
    pub(crate) fn encode(self) -> u32 {
        match self {
            Word::Key(n) => n << 3,
            Word::Literal(n) => n << 3 | 1,
            Word::Scalar(n) => n << 3 | 2,
            Word::List(n) => n << 3 | 3,
            Word::Stack(n) => n << 3 | 4,
            Word::Step(n) => n << 3 | 5,
            Word::Block(n) => n << 3 | 6,
        }
    }

    pub(crate) fn decode(word: u32) -> Word {
        let n = word >> 3;
        match word & 7 {
            0 => Word::Key(n),
            1 => Word::Literal(n),
            2 => Word::Scalar(n),
            3 => Word::List(n),
            4 => Word::Stack(n),
            5 => Word::Step(n),
            _ => Word::Block(n),
        }
    }

    /// The words before the next one that says something, this one among them: a step's arguments and a list's elements
    /// are words of their own.
    pub(crate) fn len(self) -> usize {
        match self {
            Word::Key(_) | Word::Literal(_) | Word::Stack(_) => 1,
            Word::List(_) => 2,
            Word::Scalar(_) => 3,
            Word::Step(_) => 4,
            Word::Block(_) => 5,
        }
    }
}

/// The number of a scalar's type, and its bits.
pub(crate) fn scalar_bits(scalar: Scalar) -> (u32, u64) {
    match scalar {
        Scalar::Bool(x) => (0, x.into()),
        Scalar::I8(x) => (1, x as u64),
        Scalar::I16(x) => (2, x as u64),
        Scalar::I32(x) => (3, x as u64),
        Scalar::I64(x) => (4, x as u64),
        Scalar::U8(x) => (5, x.into()),
        Scalar::U16(x) => (6, x.into()),
        Scalar::U32(x) => (7, x.into()),
        Scalar::U64(x) => (8, x),
        Scalar::F32(x) => (9, x.to_bits().into()),
        Scalar::F64(x) => (10, x.to_bits()),
    }
}

/// The scalar of a type's number and bits.
pub(crate) fn scalar_from(kind: u32, bits: u64) -> Scalar {
    match kind {
        0 => Scalar::Bool(bits != 0),
        1 => Scalar::I8(bits as i8),
        2 => Scalar::I16(bits as i16),
        3 => Scalar::I32(bits as i32),
        4 => Scalar::I64(bits as i64),
        5 => Scalar::U8(bits as u8),
        6 => Scalar::U16(bits as u16),
        7 => Scalar::U32(bits as u32),
        8 => Scalar::U64(bits),
        9 => Scalar::F32(f32::from_bits(bits as u32)),
        _ => Scalar::F64(f64::from_bits(bits)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_scalars_come_back() {
        for n in [0, 1, 77, LIMIT] {
            for word in [Word::Key(n), Word::Literal(n), Word::Scalar(n), Word::List(n), Word::Stack(n), Word::Step(n), Word::Block(n)] {
                assert_eq!(Word::decode(word.encode()), word);
            }
        }
        for scalar in [
            Scalar::Bool(true),
            Scalar::I8(-1),
            Scalar::I16(-2),
            Scalar::I32(i32::MIN),
            Scalar::I64(i64::MIN),
            Scalar::U8(255),
            Scalar::U16(7),
            Scalar::U32(u32::MAX),
            Scalar::U64(u64::MAX),
            Scalar::F32(-1.5),
            Scalar::F64(1e300),
        ] {
            let (kind, bits) = scalar_bits(scalar);
            assert_eq!(scalar_from(kind, bits), scalar);
        }
    }
}
