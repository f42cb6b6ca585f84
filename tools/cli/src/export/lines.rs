//! Writing JSON lines: an element of the first axis a line, a number or nested lists.

use crate::element::{Item, append_json, with_dtype};
use chunkstore_store::DType;
use std::io::{self, Write};

/// What is gathered before it is written.
const PIECE: usize = 64 << 10;

/// An array that becomes lines of JSON.
pub(crate) struct Lines {
    dtype: DType,
    shape: Vec<usize>,
    /// The elements of a list at each depth, the outermost first; a line has one of these lists, or one number.
    lists: Vec<u64>,
    /// The elements so far.
    count: u64,
    text: String,
}

impl Lines {
    pub(super) fn new(dtype: DType, shape: Vec<usize>) -> Lines {
        let lists = (1..shape.len()).map(|axis| shape[axis..].iter().map(|extent| *extent as u64).product()).collect();
        Lines { dtype, shape, lists, count: 0, text: String::new() }
    }

    pub(super) fn elements(&mut self, bytes: &[u8], out: &mut dyn Write) -> io::Result<()> {
        let boundaries = |count: u64, lists: &[u64]| lists.iter().filter(|list| count.is_multiple_of(**list)).count();
        with_dtype!(self.dtype, T => {
            for value in bytes.chunks_exact(size_of::<T>()) {
                self.text.extend(std::iter::repeat_n('[', boundaries(self.count, &self.lists)));
                append_json(T::from_bytes(value).scalar(), &mut self.text);
                self.count += 1;
                let closed = boundaries(self.count, &self.lists);
                self.text.extend(std::iter::repeat_n(']', closed));
                self.text.push(if closed == self.lists.len() { '\n' } else { ',' });
                if self.text.len() >= PIECE {
                    out.write_all(self.text.as_bytes())?;
                    self.text.clear();
                }
            }
        });
        out.write_all(self.text.as_bytes())?;
        self.text.clear();
        Ok(())
    }

    /// Where the lines have no elements, they are lists that are empty.
    pub(super) fn end(&mut self, out: &mut dyn Write) -> io::Result<()> {
        let [lines, rest @ ..] = self.shape.as_slice() else { return Ok(()) };
        if rest.contains(&0) {
            let line = empty(rest);
            for _ in 0..*lines {
                writeln!(out, "{line}")?;
            }
        }
        Ok(())
    }
}

/// Nested lists of a shape that has no elements.
fn empty(shape: &[usize]) -> String {
    match shape {
        [] | [0, ..] => "[]".into(),
        [extent, rest @ ..] => format!("[{}]", vec![empty(rest); *extent].join(",")),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn written(shape: &[usize], values: &[f32]) -> String {
        let (mut lines, mut out) = (Lines::new(DType::F32, shape.to_vec()), Vec::new());
        for part in values.chunks(2) {
            lines.elements(&part.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>(), &mut out).unwrap();
        }
        lines.end(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn an_element_of_the_first_axis_is_a_line() {
        assert_eq!(written(&[], &[0.1]), "0.1\n");
        assert_eq!(written(&[3], &[1.0, f32::NAN, f32::INFINITY]), "1.0\nnull\n\"Infinity\"\n");
        assert_eq!(written(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), "[1.0,2.0,3.0]\n[4.0,5.0,6.0]\n");
        assert_eq!(written(&[1, 2, 2], &[1.0, 2.0, 3.0, 4.0]), "[[1.0,2.0],[3.0,4.0]]\n");
        assert_eq!(written(&[2, 1], &[1.0, 2.0]), "[1.0]\n[2.0]\n");
        assert_eq!([written(&[2, 0], &[]), written(&[1, 2, 0], &[]), written(&[0, 2], &[])], ["[]\n[]\n", "[[],[]]\n", ""]);
    }
}
