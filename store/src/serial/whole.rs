//! An encoder that refuses what could not be decoded again.
//!
//! The encoding has no names of fields. A field that serde is told to leave out where it has no value (`skip_serializing_if`) would be missing
//! without a trace, and what follows would be decoded in its place: other values, and no error. So each value is encoded through one that looks for that.
//!
//! As a key a value is encoded so that those that are equal are so in bytes: both zeros as one, all NaN as one, and the elements of sets and maps of the standard library that are
//! hashed in the order of their bytes.

use serde::ser::{
    SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple, SerializeTupleStruct, SerializeTupleVariant,
};
use serde::{Serialize, Serializer};

/// A value with all its fields; as a key where that is so.
pub(super) struct Whole<'a, const KEY: bool, T: ?Sized>(pub(super) &'a T);

impl<const KEY: bool, T: Serialize + ?Sized> Serialize for Whole<'_, KEY, T> {
    #[inline]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let hashed = KEY && std::any::type_name::<T>().trim_start_matches('&').starts_with("std::collections::hash::");
        self.0.serialize(Checked::<S, KEY> { inner: serializer, hashed })
    }
}

/// A serializer, or a part of one, that is given values with all their fields.
struct Checked<S, const KEY: bool> {
    inner: S,
    /// Whether the elements come in no certain order.
    hashed: bool,
}

impl<S, const KEY: bool> Checked<S, KEY> {
    #[inline]
    fn part(inner: S) -> Self {
        Checked { inner, hashed: false }
    }
}

/// The elements of a list or a map.
struct Elements<S, const KEY: bool> {
    inner: S,
    /// Those that are put in order, encoded: keys, or elements of a set, and values.
    unordered: Option<Vec<(Vec<u8>, Vec<u8>)>>,
}

impl<S, const KEY: bool> Elements<S, KEY> {
    #[inline]
    fn new(inner: S, hashed: bool) -> Self {
        Elements { inner, unordered: (KEY && hashed).then(Vec::new) }
    }
}

/// What is encoded already.
struct Encoded<'a>(&'a [u8]);

impl Serialize for Encoded<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // A tuple has nothing but its elements.
        let mut bytes = serializer.serialize_tuple(self.0.len())?;
        self.0.iter().try_for_each(|byte| bytes.serialize_element(byte))?;
        bytes.end()
    }
}

/// A part of a key, encoded.
fn encoded<T: Serialize + ?Sized, E: serde::ser::Error>(value: &T) -> Result<Vec<u8>, E> {
    let mut bytes = Vec::new();
    super::encode_key(value, &mut bytes).map_err(E::custom)?;
    Ok(bytes)
}

/// That a field is left out.
#[cold]
fn left_out<E: serde::ser::Error>(field: &str) -> E {
    E::custom(format_args!(
        "the field `{field}` is left out of some values (`skip_serializing_if`), and where it was cannot be told when they are decoded; have it encoded always"
    ))
}

macro_rules! plain {
    ($($name:ident $t:ty;)*) => { $(
        #[inline]
        fn $name(self, value: $t) -> Result<S::Ok, S::Error> {
            self.inner.$name(value)
        }
    )* };
}

impl<S: Serializer, const KEY: bool> Serializer for Checked<S, KEY> {
    type Ok = S::Ok;
    type Error = S::Error;
    type SerializeSeq = Elements<S::SerializeSeq, KEY>;
    type SerializeTuple = Checked<S::SerializeTuple, KEY>;
    type SerializeTupleStruct = Checked<S::SerializeTupleStruct, KEY>;
    type SerializeTupleVariant = Checked<S::SerializeTupleVariant, KEY>;
    type SerializeMap = Elements<S::SerializeMap, KEY>;
    type SerializeStruct = Checked<S::SerializeStruct, KEY>;
    type SerializeStructVariant = Checked<S::SerializeStructVariant, KEY>;

    plain! {
        serialize_bool bool;
        serialize_i8 i8;
        serialize_i16 i16;
        serialize_i32 i32;
        serialize_i64 i64;
        serialize_i128 i128;
        serialize_u8 u8;
        serialize_u16 u16;
        serialize_u32 u32;
        serialize_u64 u64;
        serialize_u128 u128;
        serialize_char char;
        serialize_str &str;
        serialize_bytes &[u8];
    }

    #[inline]
    fn serialize_f32(self, value: f32) -> Result<S::Ok, S::Error> {
        self.inner.serialize_f32(match value {
            0.0 if KEY => 0.0,
            value if KEY && value.is_nan() => f32::NAN,
            value => value,
        })
    }

    #[inline]
    fn serialize_f64(self, value: f64) -> Result<S::Ok, S::Error> {
        self.inner.serialize_f64(match value {
            0.0 if KEY => 0.0,
            value if KEY && value.is_nan() => f64::NAN,
            value => value,
        })
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        self.inner.is_human_readable()
    }

    #[inline]
    fn serialize_none(self) -> Result<S::Ok, S::Error> {
        self.inner.serialize_none()
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, S::Error> {
        self.inner.serialize_some(&Whole::<KEY, T>(value))
    }

    #[inline]
    fn serialize_unit(self) -> Result<S::Ok, S::Error> {
        self.inner.serialize_unit()
    }

    #[inline]
    fn serialize_unit_struct(self, name: &'static str) -> Result<S::Ok, S::Error> {
        self.inner.serialize_unit_struct(name)
    }

    #[inline]
    fn serialize_unit_variant(self, name: &'static str, index: u32, variant: &'static str) -> Result<S::Ok, S::Error> {
        self.inner.serialize_unit_variant(name, index, variant)
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, name: &'static str, value: &T) -> Result<S::Ok, S::Error> {
        self.inner.serialize_newtype_struct(name, &Whole::<KEY, T>(value))
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<S::Ok, S::Error> {
        self.inner.serialize_newtype_variant(name, index, variant, &Whole::<KEY, T>(value))
    }

    #[inline]
    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, S::Error> {
        Ok(Elements::new(self.inner.serialize_seq(len)?, self.hashed))
    }

    #[inline]
    fn serialize_tuple(self, len: usize) -> Result<Self::SerializeTuple, S::Error> {
        self.inner.serialize_tuple(len).map(Checked::part)
    }

    #[inline]
    fn serialize_tuple_struct(self, name: &'static str, len: usize) -> Result<Self::SerializeTupleStruct, S::Error> {
        self.inner.serialize_tuple_struct(name, len).map(Checked::part)
    }

    #[inline]
    fn serialize_tuple_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant, S::Error> {
        self.inner.serialize_tuple_variant(name, index, variant, len).map(Checked::part)
    }

    #[inline]
    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, S::Error> {
        Ok(Elements::new(self.inner.serialize_map(len)?, self.hashed))
    }

    #[inline]
    fn serialize_struct(self, name: &'static str, len: usize) -> Result<Self::SerializeStruct, S::Error> {
        self.inner.serialize_struct(name, len).map(Checked::part)
    }

    #[inline]
    fn serialize_struct_variant(
        self,
        name: &'static str,
        index: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant, S::Error> {
        self.inner.serialize_struct_variant(name, index, variant, len).map(Checked::part)
    }
}

macro_rules! parts {
    ($($of:ident $method:ident;)*) => { $(
        impl<S: $of, const KEY: bool> $of for Checked<S, KEY> {
            type Ok = S::Ok;
            type Error = S::Error;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
                self.inner.$method(&Whole::<KEY, T>(value))
            }

            #[inline]
            fn end(self) -> Result<S::Ok, S::Error> {
                self.inner.end()
            }
        }
    )* };
}
parts! {
    SerializeTuple serialize_element;
    SerializeTupleStruct serialize_field;
    SerializeTupleVariant serialize_field;
}

impl<S: SerializeSeq, const KEY: bool> SerializeSeq for Elements<S, KEY> {
    type Ok = S::Ok;
    type Error = S::Error;

    #[inline]
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
        match &mut self.unordered {
            Some(unordered) if KEY => unordered.push((encoded(value)?, Vec::new())),
            _ => self.inner.serialize_element(&Whole::<KEY, T>(value))?,
        }
        Ok(())
    }

    #[inline]
    fn end(mut self) -> Result<S::Ok, S::Error> {
        if KEY && let Some(mut elements) = self.unordered {
            elements.sort_unstable();
            elements.iter().try_for_each(|(element, _)| self.inner.serialize_element(&Encoded(element)))?;
        }
        self.inner.end()
    }
}

impl<S: SerializeMap, const KEY: bool> SerializeMap for Elements<S, KEY> {
    type Ok = S::Ok;
    type Error = S::Error;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), S::Error> {
        match &mut self.unordered {
            Some(unordered) if KEY => unordered.push((encoded(key)?, Vec::new())),
            _ => self.inner.serialize_key(&Whole::<KEY, T>(key))?,
        }
        Ok(())
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), S::Error> {
        match self.unordered.as_mut().map(|unordered| unordered.last_mut()) {
            Some(Some((_, last))) if KEY => *last = encoded(value)?,
            _ => self.inner.serialize_value(&Whole::<KEY, T>(value))?,
        }
        Ok(())
    }

    #[inline]
    fn end(mut self) -> Result<S::Ok, S::Error> {
        if KEY && let Some(mut entries) = self.unordered {
            entries.sort_unstable();
            for (key, value) in &entries {
                self.inner.serialize_key(&Encoded(key))?;
                self.inner.serialize_value(&Encoded(value))?;
            }
        }
        self.inner.end()
    }
}

macro_rules! fields {
    ($($of:ident;)*) => { $(
        impl<S: $of, const KEY: bool> $of for Checked<S, KEY> {
            type Ok = S::Ok;
            type Error = S::Error;

            #[inline]
            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), S::Error> {
                self.inner.serialize_field(key, &Whole::<KEY, T>(value))
            }

            fn skip_field(&mut self, key: &'static str) -> Result<(), S::Error> {
                Err(left_out(key))
            }

            #[inline]
            fn end(self) -> Result<S::Ok, S::Error> {
                self.inner.end()
            }
        }
    )* };
}
fields! {
    SerializeStruct;
    SerializeStructVariant;
}
