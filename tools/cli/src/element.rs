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

/// An element that can be shown and read.
pub(crate) trait Item: Element {
    /// The element whose bytes these are, in little-endian order.
    fn from_bytes(bytes: &[u8]) -> Self;
    /// The element as a scalar.
    fn scalar(self) -> Scalar;
    /// The element that text names, without blanks around it. An empty text is a number that is missing.
    fn parse(text: &str) -> Option<Self>;
    /// The element that a JSON value is. `null` is a number that is missing.
    fn from_json(value: &Value) -> Option<Self>;
    /// The element's bytes.
    fn append_to(self, bytes: &mut Vec<u8>);
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
            fn parse(text: &str) -> Option<Self> {
                text.parse().ok()
            }
            fn from_json(value: &Value) -> Option<Self> {
                match value.as_i64() {
                    Some(value) => $t::try_from(value).ok(),
                    None => $t::try_from(value.as_u64()?).ok(),
                }
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
            fn parse(text: &str) -> Option<Self> {
                if text.is_empty() { Some($t::NAN) } else { text.parse().ok() }
            }
            fn from_json(value: &Value) -> Option<Self> {
                match value {
                    Value::Null => Some($t::NAN),
                    Value::Number(number) => number.as_f64().map(|number| number as $t),
                    Value::String(text) => match text.as_str() {
                        "NaN" => Some($t::NAN),
                        "Infinity" => Some($t::INFINITY),
                        "-Infinity" => Some($t::NEG_INFINITY),
                        _ => None,
                    },
                    _ => None,
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
    fn parse(text: &str) -> Option<Self> {
        match text {
            "0" | "false" | "False" | "FALSE" => Some(false),
            "1" | "true" | "True" | "TRUE" => Some(true),
            _ => None,
        }
    }
    fn from_json(value: &Value) -> Option<Self> {
        value.as_bool().or_else(|| value.as_u64().filter(|n| *n < 2).map(|n| n == 1))
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
    let _ = match scalar {
        Scalar::Bool(value) => write!(text, "{value}"),
        Scalar::I8(value) => write!(text, "{value}"),
        Scalar::I16(value) => write!(text, "{value}"),
        Scalar::I32(value) => write!(text, "{value}"),
        Scalar::I64(value) => write!(text, "{value}"),
        Scalar::U8(value) => write!(text, "{value}"),
        Scalar::U16(value) => write!(text, "{value}"),
        Scalar::U32(value) => write!(text, "{value}"),
        Scalar::U64(value) => write!(text, "{value}"),
        Scalar::F32(value) => write!(text, "{value:?}"),
        Scalar::F64(value) => write!(text, "{value:?}"),
    };
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
        Scalar::I8(value) => value.into(),
        Scalar::I16(value) => value.into(),
        Scalar::I32(value) => value.into(),
        Scalar::I64(value) => value.into(),
        Scalar::U8(value) => value.into(),
        Scalar::U16(value) => value.into(),
        Scalar::U32(value) => value.into(),
        Scalar::U64(value) => value.into(),
        // The shortest text of a short float, not that of the long one that it would become.
        Scalar::F32(value) => float(value.into(), format!("{value:?}")),
        Scalar::F64(value) => float(value, format!("{value:?}")),
    }
}

/// The type of a scalar.
pub(crate) fn dtype_of(scalar: Scalar) -> DType {
    match scalar {
        Scalar::Bool(_) => DType::Bool,
        Scalar::I8(_) => DType::I8,
        Scalar::I16(_) => DType::I16,
        Scalar::I32(_) => DType::I32,
        Scalar::I64(_) => DType::I64,
        Scalar::U8(_) => DType::U8,
        Scalar::U16(_) => DType::U16,
        Scalar::U32(_) => DType::U32,
        Scalar::U64(_) => DType::U64,
        Scalar::F32(_) => DType::F32,
        Scalar::F64(_) => DType::F64,
    }
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
                    let value = T::parse(text_in).unwrap();
                    assert_eq!(T::from_json(&serde_json::from_str(json_in).unwrap()), Some(value));
                    let mut bytes = Vec::new();
                    value.append_to(&mut bytes);
                    assert_eq!((bytes.len(), T::from_bytes(&bytes)), (dtype.size(), value));
                    assert_eq!(T::parse(&text(value.scalar())), Some(value));
                    assert_eq!(T::from_json(&json(value.scalar())), Some(value));
                    assert_eq!(dtype_of(value.scalar()), dtype);
                }
                assert_eq!(T::parse("x"), None);
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
        assert!(f64::from_json(&Value::Null).unwrap().is_nan());
        assert_eq!(f64::from_json(&Value::from("-Infinity")), Some(f64::NEG_INFINITY));
        assert!(f32::parse("").unwrap().is_nan());
        assert_eq!([i8::parse("128"), i8::parse(""), i8::parse("1.5")], [None; 3]);
        assert_eq!(i8::from_json(&Value::from(200)), None);
        assert_eq!(u64::from_json(&Value::from(u64::MAX)), Some(u64::MAX));
    }
}
