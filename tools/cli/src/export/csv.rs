//! Writing CSV: a line for each row along the last axis.

use crate::element::{Item, append_text, with_dtype};
use chunkstore_store::DType;
use std::io::{self, Write};

/// What is gathered before it is written.
const PIECE: usize = 64 << 10;

/// An array that becomes lines of numbers.
pub(crate) struct Csv {
    dtype: DType,
    /// The numbers of a line: the extent of the last axis, or one where there is but one axis.
    line: usize,
    /// How many of them stand on the line that was begun.
    at: usize,
    delimiter: u8,
    columns: Vec<String>,
    text: String,
}

impl Csv {
    pub(super) fn new(dtype: DType, shape: &[usize], delimiter: u8, columns: Vec<String>) -> Csv {
        let line = if shape.len() < 2 { 1 } else { shape.last().copied().unwrap_or(1) };
        Csv { dtype, line, at: 0, delimiter, columns, text: String::new() }
    }

    /// Writes the names of the columns, if there is one for each.
    pub(super) fn begin(&mut self, out: &mut dyn Write) -> io::Result<()> {
        if self.columns.len() != self.line {
            return Ok(());
        }
        let mut names = csv::WriterBuilder::new().delimiter(self.delimiter).from_writer(Vec::new());
        names.write_record(&self.columns)?;
        out.write_all(&names.into_inner().map_err(|error| error.into_error())?)
    }

    pub(super) fn elements(&mut self, bytes: &[u8], out: &mut dyn Write) -> io::Result<()> {
        with_dtype!(self.dtype, T => {
            for value in bytes.chunks_exact(size_of::<T>()) {
                append_text(T::from_bytes(value).scalar(), &mut self.text);
                self.at += 1;
                if self.at == self.line {
                    self.at = 0;
                    self.text.push('\n');
                } else {
                    self.text.push(char::from(self.delimiter));
                }
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
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn written(shape: &[usize], delimiter: u8, columns: &[&str], parts: &[&[f64]]) -> String {
        let mut csv = Csv::new(DType::F64, shape, delimiter, columns.iter().map(|name| name.to_string()).collect());
        let mut out = Vec::new();
        csv.begin(&mut out).unwrap();
        for part in parts {
            csv.elements(&part.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>(), &mut out).unwrap();
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_row_is_a_line_wherever_the_slabs_end() {
        assert_eq!(written(&[2, 3], b',', &[], &[&[1.0, 2.5], &[f64::NAN, 4.0, 5.0, -1e-9]]), "1.0,2.5,NaN\n4.0,5.0,-1e-9\n");
        assert_eq!(written(&[3], b',', &[], &[&[1.0, 2.0, 3.0]]), "1.0\n2.0\n3.0\n");
        assert_eq!(written(&[], b',', &[], &[&[7.0]]), "7.0\n");
        assert_eq!(written(&[2, 1, 2], b'\t', &["a", "b\tc"], &[&[1.0, 2.0, 3.0, 4.0]]), "a\t\"b\tc\"\n1.0\t2.0\n3.0\t4.0\n");
        assert_eq!(written(&[1, 2], b',', &["only"], &[&[1.0, 2.0]]), "1.0,2.0\n");
    }
}
