//! Reading JSON lines: a number, a truth value or nested lists of them a line.

use super::infer::{Found, Kinds};
use super::text::{Skipped, Text};
use crate::element::{Item, Why, with_dtype};
use crate::failure::Result;
use chunkstore_store::DType;
use serde_json::Value;

/// A file of values, one a line.
pub(crate) struct Lines {
    pub(crate) text: Text,
    /// Whether what does not fit the type is rounded or wraps.
    pub(crate) lossy: bool,
}

impl Lines {
    /// Reads the file once: its lines, the shape of their values, and which type holds all of them unless `dtype` is given.
    pub(crate) fn scan(&self, dtype: Option<DType>) -> Result<Found> {
        let (mut kinds, mut lines, mut shape) = (Kinds::new(), 0, None);
        let skipped = self.each(|number, value| {
            let found = shape_of(value);
            let before = shape.get_or_insert_with(|| found.clone());
            let mut kind_of = |value: &Value| {
                let text = value.as_str().is_some_and(|_| f64::from_json(value, true).is_err());
                if text || value.is_object() {
                    return false;
                }
                kinds.add(value.is_boolean(), value.is_i64(), value.is_u64());
                true
            };
            if *before != found || !walk(value, &found, &mut kind_of) {
                let hint = "every line needs a number, or lists of numbers nested alike; text and objects cannot be imported";
                return Err(self.text.wrong(format!("line {number}"), format!("is no value of shape {before:?}")).hint(hint));
            }
            lines += 1;
            Ok(())
        })?;
        let shape = [vec![lines], shape.unwrap_or_default()].concat();
        Ok(Found { dtype: dtype.unwrap_or(kinds.dtype()), shape, columns: Vec::new(), skipped })
    }

    /// Reads the lines, and gives the bytes of the elements of each.
    pub(crate) fn rows(&self, dtype: DType, mut each: impl FnMut(&[u8]) -> Result) -> Result {
        let mut bytes = Vec::new();
        self.each(|number, value| {
            bytes.clear();
            let (shape, mut wrong) = (shape_of(value), None);
            let fits = with_dtype!(dtype, T => walk(value, &shape, &mut |value| match T::from_json(value, self.lossy) {
                Ok(value) => { value.append_to(&mut bytes); true }
                Err(why) => { wrong = Some((value.to_string(), why)); false }
            }));
            if !fits {
                let what = match wrong {
                    Some((value, Why::Rounded)) => format!("holds {value}, an integer that {} would round", dtype.name()),
                    Some((value, Why::Large)) => format!("holds {value}, which does not fit {}", dtype.name()),
                    Some((value, Why::Other)) => format!("holds {value}, which is not {}", dtype.name()),
                    None => format!("holds what is not {}", dtype.name()),
                };
                let hint = "--dtype says which type the values are to have; --lossy takes what comes nearest";
                return Err(self.text.wrong(format!("line {number}"), what).hint(hint));
            }
            each(&bytes)
        })?;
        Ok(())
    }

    /// Reads every line that is not blank.
    fn each(&self, mut each: impl FnMut(u64, &Value) -> Result) -> Result<Skipped> {
        self.text.lines(|number, line| {
            let value = serde_json::from_slice(line);
            let value = value.map_err(|error| self.text.wrong(format!("line {number}"), format!("is no JSON: {error}")))?;
            // The decoder rounds integers that no type of 64 bits holds.
            if !self.lossy
                && let Some(integer) = beyond_64_bits(line)
            {
                let hint = "write it with an exponent, or let --lossy round it";
                return Err(self.text.wrong(format!("line {number}"), format!("holds {integer}, an integer beyond 64 bits")).hint(hint));
            }
            each(number, &value)?;
            Ok(false)
        })
    }
}

/// An integer in a line of JSON that no type holds.
fn beyond_64_bits(line: &[u8]) -> Option<&str> {
    let numbers = line.split(|byte| !matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E')).filter(|number| number.len() > 18);
    let mut numbers = numbers.filter_map(|number| std::str::from_utf8(number).ok());
    let integer = |number: &str| number.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit());
    numbers.find(|number| {
        integer(number) && i64::parse(number, false).is_err() && u64::parse(number, false).is_err() && f64::parse(number, false).is_err()
    })
}

/// The shape of nested lists, as their first elements tell.
fn shape_of(value: &Value) -> Vec<usize> {
    let (mut shape, mut value) = (Vec::new(), value);
    while let Some(list) = value.as_array() {
        shape.push(list.len());
        let Some(first) = list.first() else { break };
        value = first;
    }
    shape
}

/// Calls `each` on every value in nested lists of a shape, in order; whether they have that shape and all calls said yes.
fn walk(value: &Value, shape: &[usize], each: &mut dyn FnMut(&Value) -> bool) -> bool {
    match (shape, value) {
        ([], Value::Array(_)) => false,
        ([], value) => each(value),
        ([extent, rest @ ..], Value::Array(list)) => list.len() == *extent && list.iter().all(|value| walk(value, rest, each)),
        _ => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn read(text: &str, dtype: Option<DType>) -> Result<(DType, Vec<usize>, Vec<u8>)> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.jsonl");
        std::fs::write(&path, text).unwrap();
        let lines = Lines { text: Text { path, longest: 100, comment: None }, lossy: false };
        let (found, mut bytes) = (lines.scan(dtype)?, Vec::new());
        lines.rows(found.dtype, |row| {
            bytes.extend_from_slice(row);
            Ok(())
        })?;
        Ok((found.dtype, found.shape, bytes))
    }

    #[test]
    fn values_and_lists_become_arrays() {
        assert_eq!(read("1\n\n2\n", Some(DType::U8)).unwrap(), (DType::U8, vec![2], vec![1, 2]));
        assert_eq!(read("[true,false]\n[true,true]", None).unwrap(), (DType::Bool, vec![2, 2], vec![1, 0, 1, 1]));
        let (dtype, shape, bytes) = read("[[1,2]]\n[[-3,4]]\n", None).unwrap();
        assert_eq!((dtype, shape, bytes.len()), (DType::I64, vec![2, 1, 2], 32));
        let (dtype, shape, bytes) = read("[1,null]\n[\"Infinity\",2.5]", None).unwrap();
        assert_eq!((dtype, shape, f64::from_bytes(&bytes[16..])), (DType::F64, vec![2, 2], f64::INFINITY));
        assert_eq!(read("[]\n[]\n", None).unwrap(), (DType::F64, vec![2, 0], vec![]));
        assert_eq!(read("", None).unwrap().1, [0]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        for (text, dtype, part) in [
            ("1\n[1]\n", None, "line 2 is no value of shape []"),
            ("[1,[2]]", None, "line 1 is no value of shape [2]"),
            ("1\n\"text\"", None, "line 2"),
            ("1.5\n9007199254740993", None, "line 2 holds 9007199254740993, an integer that float64 would round"),
            ("[1.5,18446744073709551617]", None, "line 1 holds 18446744073709551617, an integer beyond"),
            ("1e400", None, "line 1"),
            ("300", Some(DType::U8), "line 1 holds 300, which does not fit uint8"),
            ("{\"a\": 1}", None, "line 1"),
            ("1\nnot json", None, "line 2 is no JSON"),
            ("1.5", Some(DType::I32), "not int32"),
            (
                "[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33,34,35,36,37]",
                None,
                "longer than 100",
            ),
        ] {
            let failure = read(text, dtype).unwrap_err();
            assert!(failure.to_string().contains(part), "{failure}");
        }
    }
}
