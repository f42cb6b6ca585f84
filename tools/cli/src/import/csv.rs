//! Reading CSV: rows of numbers.

use super::infer::{Found, Kinds};
use crate::element::{Item, with_dtype};
use crate::failure::{Exit, Failure, Result};
use chunkstore_store::DType;
use csv::{ByteRecord, Reader, ReaderBuilder, Trim};
use std::fs::File;
use std::path::{Path, PathBuf};

/// Whether the first line names the columns.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Header {
    /// Where one of its fields is no number
    Auto,
    /// It does
    Yes,
    /// It does not
    No,
}

/// A file of rows of numbers.
pub(crate) struct Csv {
    pub(crate) path: PathBuf,
    pub(crate) delimiter: u8,
    pub(crate) header: Header,
}

impl Csv {
    /// Reads the file once: how many rows and columns it has, and which type holds all its numbers unless `dtype` is given. A single column is an array of one
    /// axis.
    pub(crate) fn scan(&self, dtype: Option<DType>) -> Result<Found> {
        let (mut reader, mut kinds, mut rows, mut width, mut columns) = (self.open()?, Kinds::new(), 0, 0, Vec::new());
        let mut record = ByteRecord::new();
        let mut first = true;
        while self.next(&mut reader, &mut record)? {
            width = record.len();
            if std::mem::take(&mut first) && self.is_header(&record) {
                columns = record.iter().map(|field| String::from_utf8_lossy(field).into_owned()).collect();
                continue;
            }
            rows += 1;
            if dtype.is_some() {
                continue;
            }
            for (at, field) in record.iter().enumerate() {
                let text = std::str::from_utf8(field).unwrap_or("?");
                let truth = bool::parse(text).is_some() && !text.starts_with(['0', '1']);
                let (signed, unsigned) = (i64::parse(text).is_some(), u64::parse(text).is_some());
                if !truth && !signed && !unsigned && f64::parse(text).is_none() {
                    return Err(self.wrong(&record, at, text, "a number"));
                }
                kinds.add(truth, signed, unsigned);
            }
        }
        let shape = if width == 1 { vec![rows] } else { vec![rows, width] };
        Ok(Found { dtype: dtype.unwrap_or(kinds.dtype()), shape, columns })
    }

    /// Reads the rows, and gives the bytes of the elements of each.
    pub(crate) fn rows(&self, dtype: DType, mut each: impl FnMut(&[u8]) -> Result) -> Result {
        let (mut reader, mut record, mut bytes, mut first) = (self.open()?, ByteRecord::new(), Vec::new(), true);
        while self.next(&mut reader, &mut record)? {
            if std::mem::take(&mut first) && self.is_header(&record) {
                continue;
            }
            bytes.clear();
            with_dtype!(dtype, T => for (at, field) in record.iter().enumerate() {
                let text = std::str::from_utf8(field).unwrap_or("?");
                match T::parse(text) {
                    Some(value) => value.append_to(&mut bytes),
                    None => return Err(self.wrong(&record, at, text, dtype.name())),
                }
            });
            each(&bytes)?;
        }
        Ok(())
    }

    fn open(&self) -> Result<Reader<File>> {
        let file = File::open(&self.path).map_err(|error| Failure::io("the file cannot be opened", &self.path, &error))?;
        let mut builder = ReaderBuilder::new();
        builder.has_headers(false).delimiter(self.delimiter).trim(Trim::All).comment(Some(b'#')).buffer_capacity(1 << 20);
        Ok(builder.from_reader(file))
    }

    fn next(&self, reader: &mut Reader<File>, record: &mut ByteRecord) -> Result<bool> {
        reader.read_byte_record(record).map_err(|error| match error.kind() {
            csv::ErrorKind::UnequalLengths { pos, expected_len, len } => {
                let line = pos.as_ref().map_or(0, csv::Position::line);
                let message = format!("line {line} has {len} fields, and the lines before it {expected_len} [{}]", self.path.display());
                Failure::new(Exit::No, message).hint("every line needs the same number of fields; --delimiter says what separates them")
            }
            _ => Failure::new(Exit::Failed, format!("the file cannot be read [{}]: {error}", self.path.display())),
        })
    }

    fn is_header(&self, record: &ByteRecord) -> bool {
        let number = |field: &[u8]| std::str::from_utf8(field).is_ok_and(|text| f64::parse(text).is_some() || bool::parse(text).is_some());
        match self.header {
            Header::Yes => true,
            Header::No => false,
            Header::Auto => !record.iter().all(number),
        }
    }

    fn wrong(&self, record: &ByteRecord, at: usize, text: &str, wanted: &str) -> Failure {
        let line = record.position().map_or(0, csv::Position::line);
        let message = format!("field {} of line {line} is {text:?}, which is not {wanted} [{}]", at + 1, self.path.display());
        Failure::new(Exit::No, message).hint("only numbers and truth values can be imported; --dtype says which type they are to have")
    }
}

/// The character between fields: the one that was named, a tab for `.tsv`, else a comma.
pub(crate) fn delimiter(named: Option<u8>, path: &Path) -> u8 {
    let tabs = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("tsv"));
    named.unwrap_or(if tabs { b'\t' } else { b',' })
}

/// Reads a delimiter: one character, or the word `tab`.
pub(crate) fn delimiter_named(text: &str) -> std::result::Result<u8, String> {
    match text.as_bytes() {
        b"tab" | b"\\t" => Ok(b'\t'),
        [byte] if byte.is_ascii() && !byte.is_ascii_alphanumeric() && !b"\n\r\"+-.".contains(byte) => Ok(*byte),
        _ => Err("one character that is no part of a number, or `tab`".into()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(text: &str, dtype: Option<DType>) -> Result<(Found, Vec<u8>)> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.csv");
        std::fs::write(&path, text).unwrap();
        let csv = Csv { path, delimiter: b',', header: Header::Auto };
        let found = csv.scan(dtype)?;
        let mut bytes = Vec::new();
        csv.rows(found.dtype, |row| {
            bytes.extend_from_slice(row);
            Ok(())
        })?;
        Ok((found, bytes))
    }

    fn le<T: Item>(values: &[T]) -> Vec<u8> {
        let mut bytes = Vec::new();
        values.iter().for_each(|value| value.append_to(&mut bytes));
        bytes
    }

    #[test]
    fn the_type_follows_from_the_numbers() {
        let (found, bytes) = read("a, b\n1,2\n-3 ,4\n", None).unwrap();
        assert_eq!(found, Found { dtype: DType::I64, shape: vec![2, 2], columns: vec!["a".into(), "b".into()] });
        assert_eq!(bytes, le(&[1i64, 2, -3, 4]));
        let (found, bytes) = read("1\n2.5\n# a remark\n1e3\n", None).unwrap();
        assert_eq!((found.dtype, found.shape, bytes), (DType::F64, vec![3], le(&[1.0, 2.5, 1e3])));
        let (found, bytes) = read("18446744073709551615,0\n", None).unwrap();
        assert_eq!((found.dtype, bytes), (DType::U64, le(&[u64::MAX, 0])));
        let (found, bytes) = read("true,False\n", None).unwrap();
        assert_eq!((found.dtype, bytes), (DType::Bool, vec![1, 0]));
        let (found, bytes) = read("1,\n2,nan\n", None).unwrap();
        assert_eq!(found.dtype, DType::F64);
        assert!(f64::from_bytes(&bytes[8..]).is_nan());
        let (found, bytes) = read("1,2\n", Some(DType::F32)).unwrap();
        assert_eq!((found.dtype, bytes), (DType::F32, le(&[1f32, 2.0])));
        assert_eq!(read("", None).unwrap().0.shape, [0, 0]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, dtype, parts) in [
            ("1,2\n3\n", None, ["line 2", "1 fields"]),
            ("1,2\n3,x\n", None, ["line 2", "field 2"]),
            ("1,2\n300,4\n", Some(DType::I8), ["\"300\"", "int8"]),
        ] {
            let failure = read(text, dtype).unwrap_err();
            assert!(parts.iter().all(|part| failure.to_string().contains(part)), "{failure}");
            assert!(failure.is_damage());
        }
    }

    #[test]
    fn delimiters() {
        assert_eq!(
            [delimiter(None, Path::new("x.TSV")), delimiter(None, Path::new("x")), delimiter(Some(b';'), Path::new("x"))],
            [b'\t', b',', b';']
        );
        assert_eq!([delimiter_named("tab"), delimiter_named(";")], [Ok(b'\t'), Ok(b';')]);
        assert!(delimiter_named("1").is_err() && delimiter_named("ab").is_err());
    }
}
