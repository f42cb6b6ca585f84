//! The header of a `.npy` file: what NumPy writes before the data.
//!
//! ```text
//! 0x93 N U M P Y | major minor | length (2 bytes; 4 from version 2 on) | {'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), } spaces newline
//! ```
//!
//! The format is NumPy's `numpy.lib.format` (NEP 1). The text is a Python dictionary; only what NumPy puts there is read: no nesting, so that a
//! hostile file can neither exhaust the stack nor, by the length that it promises, the memory.

use crate::{Error, ErrorKind, Result};
use chunkstore_store::{DType, InputFile, Shape};

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// The longest text that is read; NumPy itself refuses more than 10,000 characters by default.
const LONGEST: usize = 64 << 10;
/// What is read of a file at first: nearly every header is shorter.
const FIRST: usize = 4096;
/// NumPy's limit on the number of axes.
const MOST_AXES: usize = 64;
/// Data begin at a multiple of this.
const ALIGN: usize = 64;
/// NumPy's sign for the byte order of this machine.
const NATIVE: char = if cfg!(target_endian = "little") { '<' } else { '>' };
/// The digits that NumPy leaves room for in the first extent, so that a file can grow in place.
const GROWTH_DIGITS: usize = 21;

/// What the header of a file says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Header {
    pub(super) dtype: DType,
    /// Whether the bytes of an element stand in the other order than this machine's.
    pub(super) swapped: bool,
    /// Whether the first axis is the fastest.
    pub(super) fortran: bool,
    /// The extents as NumPy shows them.
    pub(super) shape: Shape,
    /// Where the data begin in the file.
    pub(super) data: u64,
}

impl Header {
    /// Reads the header of `file`, and checks that the data that it promises are there.
    pub(super) fn read(file: &InputFile) -> Result<Header> {
        let at = |e: Error| e.at(file.path());
        let size = file.size();
        let mut head = vec![0; FIRST.min(usize::try_from(size).unwrap_or(FIRST))];
        file.read_exact_at(0, &mut head)?;
        let (start, length) = preamble(&head).map_err(at)?;
        let longer = (start + length.min(LONGEST)).min(usize::try_from(size).unwrap_or(usize::MAX));
        if longer > head.len() {
            head.resize(longer, 0);
            file.read_exact_at(0, &mut head)?;
        }
        let header = Header::parse(&head).map_err(at)?;
        let (promised, there) = (header.nbytes(), size.saturating_sub(header.data));
        if there < promised {
            let message = format!(
                "the header promises {promised} bytes of data ({} of shape {}), and the file has {there}",
                header.dtype,
                python_tuple(&header.shape)
            );
            return Err(at(Error::new(ErrorKind::Truncated, message).hint("copy or write the file again")));
        }
        Ok(header)
    }

    /// Reads the header at the start of a file of which `head` is the beginning.
    pub(super) fn parse(head: &[u8]) -> Result<Header> {
        let (start, length) = preamble(head)?;
        let rest = head.get(start..).unwrap_or_default();
        let text = rest.get(..length.min(LONGEST)).unwrap_or(rest);
        let parsed = Text { bytes: text, at: 0 }.dictionary();
        match parsed {
            // A type that is not supported is named even where the header is too long, as it is where a table has many columns.
            Err(e) if e.kind() == ErrorKind::Unsupported => Err(e),
            _ if length > LONGEST => Err(corrupt(format!("the header says that it has {length} bytes; at most {LONGEST} make sense"))),
            _ if rest.len() < length => Err(truncated(head.len(), start + length)),
            Err(e) => Err(e),
            Ok((dtype, swapped, fortran, shape)) => {
                // As in NumPy, extents beside a zero must make sense too.
                let bytes = shape.iter().filter(|n| **n > 0).try_fold(dtype.size(), |bytes, n| bytes.checked_mul(*n));
                if bytes.is_none_or(|bytes| isize::try_from(bytes).is_err()) {
                    return Err(corrupt(format!("the shape {} promises more bytes than any file can have", python_tuple(&shape))));
                }
                Ok(Header { dtype, swapped, fortran, shape, data: (start + length) as u64 })
            }
        }
    }

    /// The bytes of the data.
    pub(super) fn nbytes(&self) -> u64 {
        (self.shape.iter().product::<usize>() * self.dtype.size()) as u64
    }

    /// The header that `numpy.save` writes for an array in C order, byte for byte.
    pub(super) fn write(dtype: DType, shape: &[usize]) -> Vec<u8> {
        let order = if dtype.size() == 1 { '|' } else { NATIVE };
        let kind = match dtype {
            DType::Bool => 'b',
            DType::I8 | DType::I16 | DType::I32 | DType::I64 => 'i',
            DType::U8 | DType::U16 | DType::U32 | DType::U64 => 'u',
            DType::F32 | DType::F64 => 'f',
        };
        let tuple = python_tuple(shape);
        let mut text = format!("{{'descr': '{order}{kind}{}', 'fortran_order': False, 'shape': {tuple}, }}", dtype.size());
        if let Some(first) = shape.first() {
            text.extend(std::iter::repeat_n(' ', GROWTH_DIGITS - first.to_string().len()));
        }
        // NumPy's padding is 64 where none is needed.
        let before = MAGIC.len() + 2 + 2;
        text.extend(std::iter::repeat_n(' ', ALIGN - (before + text.len() + 1) % ALIGN));
        text.push('\n');
        // At most 64 axes of 20 digits: the length fits in version 1 always.
        let mut head = Vec::with_capacity(before + text.len());
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(&[1, 0]);
        head.extend_from_slice(&(text.len() as u16).to_le_bytes());
        head.extend_from_slice(text.as_bytes());
        head
    }
}

/// `shape` as Python writes it: `()`, `(3,)`, `(3, 4)`.
pub(super) fn python_tuple(shape: &[usize]) -> String {
    let extents: Vec<String> = shape.iter().map(usize::to_string).collect();
    format!("({}{})", extents.join(", "), if extents.len() == 1 { "," } else { "" })
}

/// Where the text begins, and how long it says that it is.
fn preamble(head: &[u8]) -> Result<(usize, usize)> {
    if !head.starts_with(MAGIC) {
        if MAGIC.starts_with(head) {
            return Err(truncated(head.len(), 10));
        }
        if head.starts_with(b"PK\x03\x04") {
            let error = Error::new(ErrorKind::Unsupported, "this is a .npz archive, not a .npy file");
            return Err(error.hint("save each array of it with numpy.save: np.save('x.npy', np.load('x.npz')['x'])"));
        }
        return Err(
            corrupt("this is not a .npy file: it does not begin with the bytes \\x93NUMPY").hint("name a file that numpy.save wrote")
        );
    }
    let length = match (head.get(6..8), head.get(8..10), head.get(8..12)) {
        (Some([1, 0]), Some(short), _) => short.iter().rev().fold(0, |n, byte| n << 8 | usize::from(*byte)),
        (Some([2 | 3, 0]), _, Some(long)) => long.iter().rev().fold(0, |n, byte| n << 8 | usize::from(*byte)),
        (None | Some([1..=3, 0]), ..) => return Err(truncated(head.len(), 12)),
        (Some(version), ..) => {
            let version: Vec<String> = version.iter().map(u8::to_string).collect();
            let error = Error::new(ErrorKind::Unsupported, format!("version {} of the .npy format is not known", version.join(".")));
            return Err(error.hint("save the array again with numpy.save, which writes version 1.0"));
        }
    };
    Ok((if head.get(6) == Some(&1) { 10 } else { 12 }, length))
}

fn corrupt(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Corrupt, message)
}

fn truncated(there: usize, promised: usize) -> Error {
    let message = format!("the file has {there} bytes, and its header alone should have {promised}");
    Error::new(ErrorKind::Truncated, message).hint("copy or write the file again")
}

/// The text of a header, and how far it has been read.
struct Text<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Text<'a> {
    /// `{'descr': '...', 'fortran_order': ..., 'shape': (...)}`, in any order of keys.
    fn dictionary(mut self) -> Result<(DType, bool, bool, Shape)> {
        let (mut kind, mut fortran, mut shape) = (None, None, None);
        self.expect(b'{', "a dictionary")?;
        while !self.take(b'}') {
            let key = self.string()?;
            self.expect(b':', "a colon")?;
            let new = match key {
                b"descr" => kind.replace(self.dtype()?).is_none(),
                b"fortran_order" => fortran.replace(self.truth()?).is_none(),
                b"shape" => shape.replace(self.shape()?).is_none(),
                other => return Err(corrupt(format!("the header has an unknown key {:?}", String::from_utf8_lossy(other)))),
            };
            if !new {
                return Err(corrupt(format!("the header has the key {:?} twice", String::from_utf8_lossy(key))));
            }
            if !self.take(b',') {
                self.expect(b'}', "a comma or the end of the dictionary")?;
                break;
            }
        }
        match (kind, fortran, shape) {
            (Some((dtype, swapped)), Some(fortran), Some(shape)) if self.peek().is_none() => Ok((dtype, swapped, fortran, shape)),
            (Some(_), Some(_), Some(_)) => Err(self.unexpected("the end of the header")),
            _ => Err(corrupt("the header lacks one of the keys 'descr', 'fortran_order' and 'shape'")),
        }
    }

    /// The next byte that is not blank.
    fn peek(&mut self) -> Option<u8> {
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let there = self.peek() == Some(byte);
        self.at += usize::from(there);
        there
    }

    fn expect(&mut self, byte: u8, what: &str) -> Result<()> {
        if self.take(byte) { Ok(()) } else { Err(self.unexpected(what)) }
    }

    fn unexpected(&self, what: &str) -> Error {
        corrupt(format!("the header should have {what} at character {} of its text", self.at))
    }

    /// The longest run of bytes of which `belongs` is true.
    fn run(&mut self, belongs: impl Fn(&u8) -> bool) -> &'a [u8] {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let run = rest.split(|byte| !belongs(byte)).next().unwrap_or_default();
        self.at += run.len();
        run
    }

    /// A string in single or double quotes, without escapes: none of the strings that make sense here has any.
    fn string(&mut self) -> Result<&'a [u8]> {
        self.take(b'u');
        let quote = if self.take(b'"') { b'"' } else { b'\'' };
        if quote == b'\'' {
            self.expect(quote, "a string")?;
        }
        let string = self.run(|byte| *byte != quote && *byte != b'\\' && *byte != b'\n');
        if self.bytes.get(self.at) != Some(&quote) {
            return Err(self.unexpected("the end of a string"));
        }
        self.at += 1;
        Ok(string)
    }

    fn truth(&mut self) -> Result<bool> {
        self.peek();
        match self.run(u8::is_ascii_alphabetic) {
            b"True" => Ok(true),
            b"False" => Ok(false),
            _ => Err(self.unexpected("True or False")),
        }
    }

    /// `()`, `(3,)`, `(3, 4)`; Python 2 wrote `3L`.
    fn shape(&mut self) -> Result<Shape> {
        let mut shape = Shape::new();
        self.expect(b'(', "a tuple of extents")?;
        while !self.take(b')') {
            self.peek();
            let digits = std::str::from_utf8(self.run(u8::is_ascii_digit)).unwrap_or_default();
            let Ok(extent) = digits.parse::<usize>() else { return Err(self.unexpected("an extent of the shape")) };
            self.take(b'L');
            if shape.len() == MOST_AXES {
                return Err(corrupt(format!("the shape has more than {MOST_AXES} axes")));
            }
            shape.push(extent);
            if !self.take(b',') {
                // `(3)` is a number in Python, not a shape.
                self.expect(b')', "a comma or the end of the shape")?;
                if shape.len() == 1 {
                    return Err(self.unexpected("a tuple, not a number, as shape"));
                }
                break;
            }
        }
        Ok(shape)
    }

    /// The type of the elements, and whether their bytes are swapped.
    fn dtype(&mut self) -> Result<(DType, bool)> {
        if matches!(self.peek(), Some(b'[' | b'(')) {
            let error = Error::new(ErrorKind::Unsupported, "the elements are structured (records with fields)");
            return Err(error.hint("save each field as an array of its own in NumPy: np.save('a.npy', x['a'])"));
        }
        let name = std::str::from_utf8(self.string()?).map_err(|_| corrupt("the name of the type is not text"))?;
        let (order, code) = match name.as_bytes().first() {
            Some(b'<' | b'>' | b'=' | b'|') => name.split_at(1),
            _ => ("=", name),
        };
        let dtype = match code {
            "b1" | "?" => DType::Bool,
            "i1" => DType::I8,
            "i2" => DType::I16,
            "i4" => DType::I32,
            "i8" => DType::I64,
            "u1" => DType::U8,
            "u2" => DType::U16,
            "u4" => DType::U32,
            "u8" => DType::U64,
            "f4" => DType::F32,
            "f8" => DType::F64,
            _ => return Err(unsupported(name, code)),
        };
        let swapped = matches!(order, "<" | ">") && !order.starts_with(NATIVE) && dtype.size() > 1;
        Ok((dtype, swapped))
    }
}

/// Says what a type is that is not supported, and how to convert it in NumPy.
fn unsupported(name: &str, code: &str) -> Error {
    let (what, hint) = match (code.as_bytes().first(), code) {
        (_, "f2") => ("numbers of 16 bits (float16)", "convert it in NumPy: np.save('x.npy', x.astype(np.float32))"),
        (_, "f12" | "f16") => ("long doubles", "convert it in NumPy: np.save('x.npy', x.astype(np.float64))"),
        (Some(b'c'), _) => (
            "complex numbers",
            "save the parts as two arrays in NumPy, or x.astype(np.float64) if only the real part counts: np.save('re.npy', x.real)",
        ),
        (Some(b'M' | b'm'), _) => ("dates or times (datetime64, timedelta64)", "convert it in NumPy: np.save('x.npy', x.astype(np.int64))"),
        (Some(b'O'), _) => (
            "Python objects, and pickles are never loaded, as they can run any program",
            "convert it in NumPy to a type of numbers: np.save('x.npy', x.astype(np.float64))",
        ),
        (Some(b'S' | b'a' | b'U'), _) => {
            ("text", "convert it in NumPy to a type of numbers if it holds any: np.save('x.npy', x.astype(np.float64))")
        }
        (Some(b'V'), _) => (
            "raw bytes (void)",
            "view it in NumPy as a type of numbers: np.save('x.npy', x.view(np.uint8)), or convert it with x.astype(...)",
        ),
        _ => ("of a type that is not known here", "convert it in NumPy: np.save('x.npy', x.astype(np.float64))"),
    };
    Error::new(ErrorKind::Unsupported, format!("the elements are {what}: type {name:?}")).hint(hint)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn file(text: &str) -> Vec<u8> {
        let mut head = b"\x93NUMPY\x01\x00".to_vec();
        head.extend_from_slice(&(text.len() as u16).to_le_bytes());
        head.extend_from_slice(text.as_bytes());
        head
    }

    fn kind(text: &str) -> ErrorKind {
        Header::parse(&file(text)).unwrap_err().kind()
    }

    #[test]
    fn reads_what_it_writes() {
        for dtype in DType::ALL {
            for shape in [&[][..], &[0], &[7], &[3, 4], &[1; 64], &[1 << 40, 3, 0]] {
                let head = Header::write(dtype, shape);
                assert_eq!(head.len() % 64, 0);
                let header = Header::parse(&head).unwrap();
                assert_eq!(header, Header { dtype, swapped: false, fortran: false, shape: shape.into(), data: head.len() as u64 });
            }
        }
    }

    #[test]
    fn reads_other_spellings() {
        for (text, shape) in [
            ("{'shape': (2L, 3L), 'fortran_order': False, 'descr': '>f8'}", &[2, 3][..]),
            ("  {\"descr\" : \">f8\" ,\n \"fortran_order\":False,\"shape\":(4 ,) , }  \n", &[4]),
            ("{'descr': u'>f8', u'fortran_order': False, 'shape': ( ), }", &[]),
        ] {
            let header = Header::parse(&file(text)).unwrap();
            assert_eq!((header.dtype, header.swapped, &header.shape[..]), (DType::F64, true, shape));
        }
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        for text in [
            "",
            "{}",
            "{'descr': '<f8', 'fortran_order': False}",
            "{'descr': '<f8', 'fortran_order': 0, 'shape': (1,)}",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (3)}",
            "{'descr': '<f8', 'fortran_order': False, 'shape': 3}",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (-3,)}",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999,)}",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (4611686018427387904, 2)}",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (3,)} more",
            "{'descr': '<f8', 'descr': '<f8', 'fortran_order': False, 'shape': (3,)}",
            "{'descr': '<f8', 'fortran_order': False, 'shape': (3,), 'more': 1}",
            "{'descr': '<f8",
        ] {
            assert_eq!(kind(text), ErrorKind::Corrupt, "{text}");
        }
        let many = format!("{{'descr': '<f8', 'fortran_order': False, 'shape': ({})}}", "1, ".repeat(65));
        assert_eq!(kind(&many), ErrorKind::Corrupt);
    }

    #[test]
    fn names_what_is_not_supported_and_what_to_do() {
        for name in
            ["'|O'", "'<f2'", "'<c16'", "'<M8[ns]'", "'<U5'", "'|S3'", "'|V8'", "'<f16'", "'float'", "[('a', '<f8')]", "('<f8', (2,))"]
        {
            let error = Header::parse(&file(&format!("{{'descr': {name}, 'fortran_order': False, 'shape': (1,)}}"))).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.to_string().contains("np.save"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), version in 1u8..4, length in 0u32..400) {
            let _ = Header::parse(&bytes);
            let mut head = vec![0x93, b'N', b'U', b'M', b'P', b'Y', version, 0];
            head.extend_from_slice(&length.to_le_bytes()[..if version == 1 { 2 } else { 4 }]);
            head.extend_from_slice(&bytes);
            let _ = Header::parse(&head);
        }

        #[test]
        fn arbitrary_text_never_panics(text in r#"[ {}()'",:LTrueFals<>|=0-9descrhapfortan_\[\]]{0,80}"#) {
            let _ = Header::parse(&file(&text));
            let _ = Header::parse(&file(&format!("{{'descr': '<f8', 'fortran_order': False, 'shape': {text}")));
        }

        #[test]
        fn a_damaged_header_never_panics(place in 0usize..128, byte: u8, cut in 0usize..129) {
            let mut head = Header::write(DType::F64, &[3, 4]);
            if let Some(there) = head.get_mut(place) {
                *there = byte;
            }
            head.truncate(cut);
            let _ = Header::parse(&head);
        }
    }
}
