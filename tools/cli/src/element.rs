//! The types of elements, as the commands treat them: to text, to JSON, and back.

use chunkstore_store::{DType, Element, Scalar};
use serde_json::Value;
use std::fmt::Write;

/// Runs an expression with `$t` standing for the type that a [`DType`] names.
macro_rules! with_dtype {
    ($dtype:expr, $t:ident => $body:expr) => {
        match $dtype {
            chunkstore_store::DType::Bool => {
                type $t = bool;
                $body
            }
            chunkstore_store::DType::I8 => {
                type $t = i8;
                $body
            }
            chunkstore_store::DType::I16 => {
                type $t = i16;
                $body
            }
            chunkstore_store::DType::I32 => {
                type $t = i32;
                $body
            }
            chunkstore_store::DType::I64 => {
                type $t = i64;
                $body
            }
            chunkstore_store::DType::U8 => {
                type $t = u8;
                $body
            }
            chunkstore_store::DType::U16 => {
                type $t = u16;
                $body
            }
            chunkstore_store::DType::U32 => {
                type $t = u32;
                $body
            }
            chunkstore_store::DType::U64 => {
                type $t = u64;
                $body
            }
            chunkstore_store::DType::F32 => {
                type $t = f32;
                $body
            }
            chunkstore_store::DType::F64 => {
                type $t = f64;
                $body
            }
        }
    };
}
pub(crate) use with_dtype;

/// Runs an expression with `$v` standing for the value in a [`Scalar`], of whatever type.
macro_rules! with_scalar {
    ($scalar:expr, $v:ident => $body:expr) => {
        match $scalar {
            Scalar::Bool($v) => $body,
            Scalar::I8($v) => $body,
            Scalar::I16($v) => $body,
            Scalar::I32($v) => $body,
            Scalar::I64($v) => $body,
            Scalar::U8($v) => $body,
            Scalar::U16($v) => $body,
            Scalar::U32($v) => $body,
            Scalar::U64($v) => $body,
            Scalar::F32($v) => $body,
            Scalar::F64($v) => $body,
        }
    };
}

/// An element of any type, without loss.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    Whole(i128),
    Float(f64),
}

/// Why text or JSON is no element of a type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// It is no number, or none of this type.
    Other,
    /// It is beyond the greatest number of the type.
    Large,
    /// It is an integer that the type would round.
    Rounded,
}

/// An element that can be shown and read.
pub(crate) trait Item: Element {
    /// The element whose bytes these are, in little-endian order.
    fn from_bytes(bytes: &[u8]) -> Self;
    /// The element as a scalar.
    fn scalar(self) -> Scalar;
    /// The element as a number.
    fn number(self) -> Number;
    /// The element that has the value of a number: a float may be rounded in another one, an integer may not.
    fn exact(number: Number) -> Option<Self>;
    /// The element that text names, without blanks around it. An empty text is a number that is missing. Where `lossy`, what does not fit wraps or is rounded.
    fn parse(text: &str, lossy: bool) -> Result<Self, Why>;
    /// The element that a JSON value is; otherwise as [`Item::parse`]. `null` is a number that is missing.
    fn from_json(value: &Value, lossy: bool) -> Result<Self, Why>;
    /// The element's bytes.
    fn append_to(self, bytes: &mut Vec<u8>);
}

/// Whether text is an integer in decimal digits.
fn is_integer(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

macro_rules! integers {
    ($($t:ident => $scalar:ident),*) => { $(
        impl Item for $t {
            fn from_bytes(bytes: &[u8]) -> Self {
                bytes.first_chunk().map_or(0, |bytes| $t::from_le_bytes(*bytes))
            }
            fn scalar(self) -> Scalar {
                Scalar::$scalar(self)
            }
            fn number(self) -> Number {
                Number::Whole(self.into())
            }
            fn exact(number: Number) -> Option<Self> {
                match number {
                    Number::Whole(number) => $t::try_from(number).ok(),
                    Number::Float(number) if number.fract() == 0.0 && number.abs() < 1e30 => $t::try_from(number as i128).ok(),
                    Number::Float(_) => None,
                }
            }
            fn parse(text: &str, lossy: bool) -> Result<Self, Why> {
                match text.parse() {
                    Ok(value) => Ok(value),
                    Err(_) if lossy => match text.parse::<i128>() {
                        Ok(number) => Ok(number as $t),
                        Err(_) => text.parse::<f64>().map(|number| number as $t).map_err(|_| Why::Other),
                    },
                    Err(_) => Err(if is_integer(text) { Why::Large } else { Why::Other }),
                }
            }
            fn from_json(value: &Value, lossy: bool) -> Result<Self, Why> {
                $t::parse(&value.as_number().ok_or(Why::Other)?.to_string(), lossy)
            }
            fn append_to(self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_le_bytes());
            }
        }
    )* };
}
integers!(i8 => I8, i16 => I16, i32 => I32, i64 => I64, u8 => U8, u16 => U16, u32 => U32, u64 => U64);

macro_rules! floats {
    ($($t:ident => $scalar:ident),*) => { $(
        impl Item for $t {
            fn from_bytes(bytes: &[u8]) -> Self {
                bytes.first_chunk().map_or(0.0, |bytes| $t::from_le_bytes(*bytes))
            }
            fn scalar(self) -> Scalar {
                Scalar::$scalar(self)
            }
            fn number(self) -> Number {
                Number::Float(self.into())
            }
            fn exact(number: Number) -> Option<Self> {
                match number {
                    Number::Whole(number) => Some(number as $t).filter(|float| *float as i128 == number),
                    Number::Float(number) => Some(number as $t).filter(|float| float.is_infinite() == number.is_infinite()),
                }
            }
            fn parse(text: &str, lossy: bool) -> Result<Self, Why> {
                if text.is_empty() {
                    return Ok($t::NAN);
                }
                let value: $t = text.parse().map_err(|_| Why::Other)?;
                if lossy {
                    return Ok(value);
                }
                // The words for infinity have no digits; integers of few digits are exact.
                if value.is_infinite() && text.bytes().any(|byte| byte.is_ascii_digit()) {
                    return Err(Why::Large);
                }
                let exact = text.len() <= $t::DIGITS as usize || !is_integer(text) || text.parse().is_ok_and(|whole: i128| value as i128 == whole);
                if exact { Ok(value) } else { Err(Why::Rounded) }
            }
            fn from_json(value: &Value, lossy: bool) -> Result<Self, Why> {
                match value {
                    Value::Null => Ok($t::NAN),
                    Value::Number(number) => $t::parse(&number.to_string(), lossy),
                    Value::String(text) => match text.as_str() {
                        "NaN" => Ok($t::NAN),
                        "Infinity" => Ok($t::INFINITY),
                        "-Infinity" => Ok($t::NEG_INFINITY),
                        _ => Err(Why::Other),
                    },
                    _ => Err(Why::Other),
                }
            }
            fn append_to(self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_le_bytes());
            }
        }
    )* };
}
floats!(f32 => F32, f64 => F64);

impl Item for bool {
    fn from_bytes(bytes: &[u8]) -> Self {
        bytes.first().is_some_and(|byte| *byte != 0)
    }
    fn scalar(self) -> Scalar {
        Scalar::Bool(self)
    }
    fn number(self) -> Number {
        Number::Whole(self.into())
    }
    fn exact(number: Number) -> Option<Self> {
        u8::exact(number).filter(|number| *number < 2).map(|number| number == 1)
    }
    fn parse(text: &str, lossy: bool) -> Result<Self, Why> {
        match text {
            "0" | "false" | "False" | "FALSE" => Ok(false),
            "1" | "true" | "True" | "TRUE" => Ok(true),
            _ if lossy => f64::parse(text, true).map(|number| number != 0.0),
            _ => Err(Why::Other),
        }
    }
    fn from_json(value: &Value, lossy: bool) -> Result<Self, Why> {
        match value {
            Value::Bool(value) => Ok(*value),
            Value::Number(number) => bool::parse(&number.to_string(), lossy),
            _ => Err(Why::Other),
        }
    }
    fn append_to(self, bytes: &mut Vec<u8>) {
        bytes.push(self.into());
    }
}

/// The type of NumPy's name.
pub(crate) fn dtype_named(name: &str) -> Option<DType> {
    DType::ALL.into_iter().find(|dtype| dtype.name() == name)
}

/// The elements in `bytes` as scalars.
pub(crate) fn scalars(dtype: DType, bytes: &[u8]) -> Vec<Scalar> {
    with_dtype!(dtype, T => bytes.chunks_exact(dtype.size()).map(|bytes| T::from_bytes(bytes).scalar()).collect())
}

/// A scalar as text: the shortest that gives the same number again.
pub(crate) fn text(scalar: Scalar) -> String {
    let mut text = String::new();
    append_text(scalar, &mut text);
    text
}

/// Appends a scalar as text.
pub(crate) fn append_text(scalar: Scalar, text: &mut String) {
    // Writing to a string cannot fail.
    let _ = with_scalar!(scalar, value => write!(text, "{value:?}"));
}

/// A scalar as a number.
pub(crate) fn number(scalar: Scalar) -> Number {
    with_scalar!(scalar, value => value.number())
}

/// Numbers in the order of their values; what is no number has none.
pub(crate) fn less(a: Number, b: Number) -> bool {
    match (a, b) {
        (Number::Whole(a), Number::Whole(b)) => a < b,
        (Number::Float(a), Number::Float(b)) => a < b,
        _ => false,
    }
}

/// Appends a scalar as JSON: see [`json`].
pub(crate) fn append_json(scalar: Scalar, text: &mut String) {
    match scalar {
        Scalar::F32(value) if !value.is_finite() => *text += &json(scalar).to_string(),
        Scalar::F64(value) if !value.is_finite() => *text += &json(scalar).to_string(),
        finite => append_text(finite, text),
    }
}

/// A scalar as JSON. What is not a number is `null`, and infinity is the text `Infinity` or `-Infinity`.
pub(crate) fn json(scalar: Scalar) -> Value {
    let float = |value: f64, text: String| match value {
        value if value.is_nan() => Value::Null,
        f64::INFINITY => Value::from("Infinity"),
        f64::NEG_INFINITY => Value::from("-Infinity"),
        value => text.parse::<f64>().map_or(Value::from(value), Value::from),
    };
    match scalar {
        Scalar::Bool(value) => value.into(),
        // The shortest text of a short float, not that of the long one that it would become.
        Scalar::F32(value) => float(value.into(), format!("{value:?}")),
        Scalar::F64(value) => float(value, format!("{value:?}")),
        integer => match number(integer) {
            Number::Whole(value) => u64::try_from(value).map_or_else(|_| Value::from(value as i64), Value::from),
            Number::Float(value) => value.into(),
        },
    }
}

/// The type of a scalar.
pub(crate) fn dtype_of(scalar: Scalar) -> DType {
    fn of<T: Element>(_: T) -> DType {
        T::DTYPE
    }
    with_scalar!(scalar, value => of(value))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn every_type_goes_to_text_and_json_and_back() {
        for dtype in DType::ALL {
            with_dtype!(dtype, T => {
                for (text_in, json_in) in [("0", "0"), ("1", "1")] {
                    let value = T::parse(text_in, false).unwrap();
                    assert_eq!(T::from_json(&serde_json::from_str(json_in).unwrap(), false), Ok(value));
                    assert_eq!(T::exact(value.number()), Some(value));
                    let mut bytes = Vec::new();
                    value.append_to(&mut bytes);
                    assert_eq!((bytes.len(), T::from_bytes(&bytes)), (dtype.size(), value));
                    assert_eq!(T::parse(&text(value.scalar()), false), Ok(value));
                    assert_eq!(T::from_json(&json(value.scalar()), false), Ok(value));
                    assert_eq!(dtype_of(value.scalar()), dtype);
                }
                for text in ["x", "0x10", "1_000", "1 000", "--1", "1e", "٣"] {
                    assert_eq!(T::parse(text, false), Err(Why::Other), "{text}");
                }
            });
            assert_eq!(dtype_named(dtype.name()), Some(dtype));
        }
        assert_eq!([dtype_named("complex64"), dtype_named("u8")], [None; 2]);
    }

    #[test]
    fn limits_and_what_is_no_number() {
        assert_eq!(text(Scalar::U64(u64::MAX)), "18446744073709551615");
        assert_eq!(json(Scalar::U64(u64::MAX)).to_string(), "18446744073709551615");
        assert_eq!([text(Scalar::F32(0.1)), json(Scalar::F32(0.1)).to_string()], ["0.1", "0.1"]);
        assert_eq!([text(Scalar::F64(1e300)), text(Scalar::F64(f64::NAN))], ["1e300", "NaN"]);
        assert_eq!(json(Scalar::F64(f64::NAN)), Value::Null);
        assert_eq!(json(Scalar::F32(f32::NEG_INFINITY)), Value::from("-Infinity"));
        assert!(f64::from_json(&Value::Null, false).unwrap().is_nan());
        assert_eq!(f64::from_json(&Value::from("-Infinity"), false), Ok(f64::NEG_INFINITY));
        assert!(f32::parse("", false).unwrap().is_nan());
        assert_eq!([i8::parse("", false), i8::parse("1.5", false)], [Err(Why::Other); 2]);
        assert_eq!([i8::parse("128", false), i8::from_json(&Value::from(200), false)], [Err(Why::Large); 2]);
        assert_eq!(u64::from_json(&Value::from(u64::MAX), false), Ok(u64::MAX));
    }

    #[test]
    fn nothing_is_rounded_or_wraps_unless_that_is_asked_for() {
        assert_eq!([f64::parse("9007199254740992", false), f64::parse("-inf", false)], [Ok(9007199254740992.0), Ok(f64::NEG_INFINITY)]);
        assert_eq!([f64::parse("9007199254740993", false), f64::parse(&"9".repeat(60), false)], [Err(Why::Rounded); 2]);
        assert_eq!([f64::parse("1e400", false), f64::parse("-1e400", false)], [Err(Why::Large); 2]);
        assert_eq!([f32::parse("16777217", false), f32::parse("1e39", false)], [Err(Why::Rounded), Err(Why::Large)]);
        assert_eq!([f32::parse("0.1", false), f32::parse("16777217", true)], [Ok(0.1), Ok(16777216.0)]);
        assert_eq!(f64::parse("9007199254740993", true), Ok(9007199254740992.0));
        assert_eq!([u8::parse("300", true), u8::parse("7.9", true)], [Ok(44), Ok(7)]);
        assert_eq!([u8::exact(Number::Whole(300)), u8::exact(Number::Float(1.5)), u8::exact(Number::Float(f64::NAN))], [None; 3]);
        assert_eq!([u8::exact(Number::Float(255.0)), u8::exact(Number::Float(-0.0))], [Some(255), Some(0)]);
        assert_eq!([f64::exact(Number::Whole(i64::MAX.into())), f64::exact(Number::Whole(1 << 60))], [None, Some((1u64 << 60) as f64)]);
        assert_eq!([f32::exact(Number::Float(1e300)), f32::exact(Number::Float(0.1))], [None, Some(0.1)]);
        assert_eq!(f32::exact(Number::Float(f64::INFINITY)), Some(f32::INFINITY));
        assert_eq!([bool::exact(Number::Whole(2)), bool::exact(Number::Float(1.0))], [None, Some(true)]);
        assert_eq!(json(Scalar::I64(i64::MIN)), Value::from(i64::MIN));
    }
}
