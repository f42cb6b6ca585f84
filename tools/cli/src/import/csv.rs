//! Reading CSV: rows of numbers.

use super::infer::{Found, Kinds};
use super::text::{Skipped, Text};
use crate::element::{Item, Why, with_dtype};
use crate::failure::{Failure, Result};
use chunkstore_store::DType;
use csv::{ReaderBuilder, StringRecord, Trim};
use std::path::Path;

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
    pub(crate) text: Text,
    pub(crate) delimiter: u8,
    pub(crate) header: Header,
    /// Whether what does not fit the type is rounded or wraps.
    pub(crate) lossy: bool,
}

/// What the columns are called, and where a row stands.
#[derive(Clone, Copy)]
struct Row<'a> {
    line: u64,
    columns: &'a [String],
}

impl Csv {
    /// Reads the file once: how many rows and columns it has, and which type holds all its numbers unless `dtype` is given. A single column is an array of one
    /// axis.
    pub(crate) fn scan(&self, dtype: Option<DType>) -> Result<Found> {
        let (mut kinds, mut rows, mut width) = (Kinds::new(), 0, 0);
        let (columns, skipped) = self.each(|row, fields| {
            (rows, width) = (rows + 1, fields.len());
            if dtype.is_some() {
                return Ok(());
            }
            for (at, text) in fields.iter().enumerate() {
                let truth = bool::parse(text, false).is_ok() && !text.starts_with(['0', '1']);
                let (signed, unsigned) = (i64::parse(text, false).is_ok(), u64::parse(text, false).is_ok());
                if !truth
                    && !signed
                    && !unsigned
                    && let Err(why @ (Why::Other | Why::Large)) = f64::parse(text, self.lossy)
                {
                    return Err(self.wrong(row, at, text, why, None));
                }
                kinds.add(truth, signed, unsigned);
            }
            Ok(())
        })?;
        let width = if rows == 0 { columns.len() } else { width };
        let shape = if width == 1 { vec![rows] } else { vec![rows, width] };
        Ok(Found { dtype: dtype.unwrap_or(kinds.dtype()), shape, columns, skipped })
    }

    /// Reads the rows, and gives the bytes of the elements of each.
    pub(crate) fn rows(&self, dtype: DType, mut each: impl FnMut(&[u8]) -> Result) -> Result {
        let mut bytes = Vec::new();
        self.each(|row, fields| {
            bytes.clear();
            with_dtype!(dtype, T => for (at, text) in fields.iter().enumerate() {
                match T::parse(text, self.lossy) {
                    Ok(value) => value.append_to(&mut bytes),
                    Err(why) => return Err(self.wrong(row, at, text, why, Some(dtype))),
                }
            });
            each(&bytes)
        })?;
        Ok(())
    }

    /// Gives the fields of each row; the names of the columns, and what was skipped.
    fn each(&self, mut each: impl FnMut(Row<'_>, &[&str]) -> Result) -> Result<(Vec<String>, Skipped)> {
        let (mut columns, mut width) = (Vec::new(), None);
        let mut row = |line: u64, fields: &[&str]| {
            let first = width.is_none();
            let expected = *width.get_or_insert(fields.len());
            if fields.len() != expected {
                let place = format!("line {line} has {} fields, and the lines before it", fields.len());
                let hint = "every line needs the same number of fields; --delimiter says what separates them";
                return Err(self.text.wrong(place, expected).hint(hint));
            }
            if first && self.is_header(line, fields)? {
                columns = fields.iter().map(|field| field.to_string()).collect();
                return Ok(());
            }
            each(Row { line, columns: &columns }, fields)
        };
        // A field in quotes may go on over several lines.
        let (mut quoted, mut begun) = (String::new(), None);
        let skipped = self.text.lines(|line, bytes| {
            let text = String::from_utf8_lossy(bytes);
            let Some(begin) = begun.or(text.contains('"').then_some(line)) else {
                let fields: Vec<&str> = text.split(char::from(self.delimiter)).map(str::trim).collect();
                row(line, &fields)?;
                return Ok(false);
            };
            if begun.is_some() {
                quoted.push('\n');
            }
            quoted += &text;
            if quoted.len() > self.text.longest {
                return Err(self.text.wrong(format!("line {begin}"), "has a field in quotes that does not end"));
            }
            begun = Some(begin).filter(|_| !quoted.matches('"').count().is_multiple_of(2));
            if begun.is_none() {
                let record = self.record(begin, &quoted)?;
                quoted.clear();
                row(begin, &record.iter().collect::<Vec<_>>())?;
            }
            Ok(begun.is_some())
        })?;
        match begun {
            Some(line) => Err(self.text.wrong(format!("line {line}"), "has a field in quotes that does not end")),
            None => Ok((columns, skipped)),
        }
    }

    /// The fields of a record that has quotes.
    fn record(&self, line: u64, text: &str) -> Result<StringRecord> {
        let (mut builder, mut record) = (ReaderBuilder::new(), StringRecord::new());
        let mut reader = builder.has_headers(false).delimiter(self.delimiter).trim(Trim::All).from_reader(text.as_bytes());
        reader.read_record(&mut record).map_err(|error| self.text.wrong(format!("line {line}"), format!("is no CSV: {error}")))?;
        Ok(record)
    }

    /// Whether the fields of the first line are names. What begins like a number and is none is more likely a mistake than a name.
    fn is_header(&self, line: u64, fields: &[&str]) -> Result<bool> {
        let no_number = |text: &&&str| f64::parse(text, true).is_err() && bool::parse(text, false).is_err();
        let like_number = |text: &str| text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'));
        match self.header {
            Header::Yes => Ok(true),
            Header::No => Ok(false),
            Header::Auto => {
                let names = fields.iter().filter(no_number);
                let doubtful = fields.iter().enumerate().find(|(_, text)| no_number(text) && like_number(text));
                match (names.clone().any(|text| !like_number(text)), doubtful) {
                    (false, Some((at, text))) => {
                        let failure = self.text.wrong(place(line, at, &[]), format!("is {text:?}, which is not a number"));
                        Err(failure.hint(format!("{DIGITS}; --header yes says that the first line names the columns")))
                    }
                    (names, _) => Ok(names),
                }
            }
        }
    }

    fn wrong(&self, row: Row<'_>, at: usize, text: &str, why: Why, dtype: Option<DType>) -> Failure {
        let name = dtype.unwrap_or(DType::F64);
        let (what, hint) = match why {
            Why::Other if text.starts_with('#') => {
                ("which is not a number".into(), "--comment '#' skips the lines that begin with it".into())
            }
            Why::Other => (format!("which is not {}", dtype.map_or("a number", DType::name)), DIGITS.to_string()),
            Why::Large => (format!("which does not fit {name}"), format!("a wider --dtype may hold it; {LOSSY}")),
            Why::Rounded => (
                format!("an integer that {name} would round"),
                format!("--dtype int64 or uint64 keeps it, where the file has integers only; {LOSSY}"),
            ),
        };
        self.text.wrong(place(row.line, at, row.columns), format!("is {text:?}, {what}")).hint(hint)
    }
}

/// What a number looks like.
const DIGITS: &str = "numbers are decimal digits with a sign, a point and an exponent where needed, or inf and nan";
/// What takes numbers as well as it can.
const LOSSY: &str = "--lossy takes what comes nearest";

/// A field, as people find it.
fn place(line: u64, at: usize, columns: &[String]) -> String {
    let name = columns.get(at).map(|name| format!(" ({name})")).unwrap_or_default();
    format!("line {line}, column {}{name}", at + 1)
}

/// The character between fields: the one that was named, a tab for `.tsv`, else a comma.
pub(crate) fn delimiter(named: Option<u8>, path: &Path) -> u8 {
    let tabs = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("tsv"));
    named.unwrap_or(if tabs { b'\t' } else { b',' })
}

/// Reads the character that comments begin with.
pub(crate) fn comment_named(text: &str) -> std::result::Result<u8, String> {
    match text.as_bytes() {
        [byte] if byte.is_ascii_punctuation() && !b"\"+-.,".contains(byte) => Ok(*byte),
        _ => Err("one character that begins no number, such as '#'".into()),
    }
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
        let text = Text { path, longest: 1 << 20, comment: None };
        let csv = Csv { text, delimiter: b',', header: Header::Auto, lossy: false };
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
        let columns = vec!["a".into(), "b".into()];
        assert_eq!(found, Found { dtype: DType::I64, shape: vec![2, 2], columns, skipped: Skipped::default() });
        assert_eq!(bytes, le(&[1i64, 2, -3, 4]));
        let (found, bytes) = read("1\n2.5\n\n1e3\n", None).unwrap();
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
        let (found, bytes) = read("inf\n-Infinity\nNaN\n", None).unwrap();
        assert_eq!((found.shape, &bytes[..16]), (vec![3], &le(&[f64::INFINITY, f64::NEG_INFINITY])[..]));
        let (found, bytes) = read("\"a\n\nb\", c\n\"1\",2\n", None).unwrap();
        assert_eq!((found.columns, bytes), (vec!["a\n\nb".into(), "c".into()], le(&[1i64, 2])));
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, dtype, parts) in [
            ("1,2\n3\n", None, ["line 2", "1 fields"]),
            ("1,2\n3,x\n", None, ["line 2, column 2", "is \"x\", which is not a number"]),
            ("a,b\n\n1,2\n3,1_000\n", None, ["line 4, column 2 (b)", "\"1_000\""]),
            ("1,2\n300,4\n", Some(DType::I8), ["\"300\"", "does not fit int8"]),
            ("0x10\n", None, ["line 1, column 1 is \"0x10\"", "--header yes"]),
            ("1\n#\n", None, ["line 2, column 1", "--comment"]),
            ("1\n1e400\n", None, ["line 2, column 1", "does not fit float64"]),
            ("1.5\n9007199254740993\n", None, ["line 2, column 1", "would round"]),
            ("1\n18446744073709551617\n", None, ["line 2, column 1", "would round"]),
            ("\"a\nb\",2\n1,x\n", None, ["line 3, column 2", "\"x\""]),
            ("1,\"2\n", None, ["line 1", "quotes"]),
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
