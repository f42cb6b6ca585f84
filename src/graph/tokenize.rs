//! Keys of values: equal values have equal tokens.

use super::KeyBuilder;
use serde::{Serialize, ser};
use std::fmt::Display;

/// The token of a value: 32 hexadecimal digits that are the same for equal values, in every process and on every machine. It is the first 128 bits
/// of BLAKE3 over the value's parts, each with its type and length; entries of maps and sets that serialise as maps are taken in the order of their keys.
///
/// ```
/// use chunkstore::graph::tokenize;
/// use std::collections::HashMap;
/// let one = HashMap::from([("a", 1), ("b", 2)]);
/// let same = HashMap::from([("b", 2), ("a", 1)]);
/// assert_eq!(tokenize(&one)?, tokenize(&same)?);
/// assert_ne!(tokenize(&1.0f64)?, tokenize(&1i64)?);
/// assert_eq!(tokenize("x")?.len(), 32);
/// # Ok::<(), chunkstore::Error>(())
/// ```
///
/// # Errors
/// Unsupported where the type refuses to be serialised.
pub fn tokenize<T: Serialize + ?Sized>(value: &T) -> crate::Result<String> {
    let mut bytes = Vec::new();
    value.serialize(Parts(&mut bytes)).map_err(|Refused(why)| {
        crate::Error::new(crate::ErrorKind::Unsupported, format!("a value has no token: {why}"))
            .hint("make a token of what tells it from others")
    })?;
    Ok(KeyBuilder::new("token", 1).bytes(&bytes).finish().to_string())
}

/// Writes a value's parts: a byte for the type of each, its length where it has one, and its bytes.
struct Parts<'a>(&'a mut Vec<u8>);

/// Why a type could not be serialised.
#[derive(Debug)]
struct Refused(String);

impl Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::error::Error for Refused {}
impl ser::Error for Refused {
    fn custom<T: Display>(message: T) -> Self {
        Refused(message.to_string())
    }
}

type Done = Result<(), Refused>;

impl Parts<'_> {
    fn part(&mut self, tag: u8, bytes: &[u8]) {
        self.0.push(tag);
        self.0.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        self.0.extend_from_slice(bytes);
    }
}

macro_rules! numbers {
    ($($method:ident $t:ty = $tag:literal;)*) => { $(
        fn $method(mut self, value: $t) -> Done {
            self.part($tag, &value.to_le_bytes());
            Ok(())
        }
    )* };
}

impl<'a> ser::Serializer for Parts<'a> {
    type Ok = ();
    type Error = Refused;
    type SerializeSeq = Many<'a>;
    type SerializeTuple = Many<'a>;
    type SerializeTupleStruct = Many<'a>;
    type SerializeTupleVariant = Many<'a>;
    type SerializeMap = Entries<'a>;
    type SerializeStruct = Many<'a>;
    type SerializeStructVariant = Many<'a>;

    numbers! {
        serialize_i8 i8 = 1;
        serialize_i16 i16 = 2;
        serialize_i32 i32 = 3;
        serialize_i64 i64 = 4;
        serialize_i128 i128 = 5;
        serialize_u8 u8 = 6;
        serialize_u16 u16 = 7;
        serialize_u32 u32 = 8;
        serialize_u64 u64 = 9;
        serialize_u128 u128 = 10;
        serialize_f32 f32 = 11;
        serialize_f64 f64 = 12;
    }

    fn serialize_bool(mut self, value: bool) -> Done {
        self.part(13, &[value.into()]);
        Ok(())
    }
    fn serialize_char(mut self, value: char) -> Done {
        self.part(14, &u32::from(value).to_le_bytes());
        Ok(())
    }
    fn serialize_str(mut self, value: &str) -> Done {
        self.part(15, value.as_bytes());
        Ok(())
    }
    fn serialize_bytes(mut self, value: &[u8]) -> Done {
        self.part(16, value);
        Ok(())
    }
    fn serialize_none(mut self) -> Done {
        self.part(17, &[]);
        Ok(())
    }
    fn serialize_some<T: Serialize + ?Sized>(mut self, value: &T) -> Done {
        self.part(18, &[]);
        value.serialize(self)
    }
    fn serialize_unit(mut self) -> Done {
        self.part(19, &[]);
        Ok(())
    }
    fn serialize_unit_struct(mut self, name: &'static str) -> Done {
        self.part(20, name.as_bytes());
        Ok(())
    }
    fn serialize_unit_variant(mut self, name: &'static str, _: u32, variant: &'static str) -> Done {
        self.part(21, name.as_bytes());
        self.part(21, variant.as_bytes());
        Ok(())
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(mut self, name: &'static str, value: &T) -> Done {
        self.part(22, name.as_bytes());
        value.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(mut self, name: &'static str, _: u32, variant: &'static str, value: &T) -> Done {
        self.part(23, name.as_bytes());
        self.part(23, variant.as_bytes());
        value.serialize(self)
    }
    fn serialize_seq(mut self, _: Option<usize>) -> Result<Many<'a>, Refused> {
        self.part(24, &[]);
        Ok(Many::new(self))
    }
    fn serialize_tuple(mut self, _: usize) -> Result<Many<'a>, Refused> {
        self.part(25, &[]);
        Ok(Many::new(self))
    }
    fn serialize_tuple_struct(mut self, name: &'static str, _: usize) -> Result<Many<'a>, Refused> {
        self.part(26, name.as_bytes());
        Ok(Many::new(self))
    }
    fn serialize_tuple_variant(mut self, name: &'static str, _: u32, variant: &'static str, _: usize) -> Result<Many<'a>, Refused> {
        self.part(27, name.as_bytes());
        self.part(27, variant.as_bytes());
        Ok(Many::new(self))
    }
    fn serialize_map(self, _: Option<usize>) -> Result<Entries<'a>, Refused> {
        Ok(Entries { parts: self, key: Vec::new(), entries: Vec::new() })
    }
    fn serialize_struct(mut self, name: &'static str, _: usize) -> Result<Many<'a>, Refused> {
        self.part(29, name.as_bytes());
        Ok(Many::new(self))
    }
    fn serialize_struct_variant(mut self, name: &'static str, _: u32, variant: &'static str, _: usize) -> Result<Many<'a>, Refused> {
        self.part(30, name.as_bytes());
        self.part(30, variant.as_bytes());
        Ok(Many::new(self))
    }
}

/// Elements or fields, with their number at the end.
struct Many<'a> {
    parts: Parts<'a>,
    count: u64,
}

impl<'a> Many<'a> {
    fn new(parts: Parts<'a>) -> Self {
        Many { parts, count: 0 }
    }

    fn one<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        self.count += 1;
        value.serialize(Parts(self.parts.0))
    }

    fn finish(mut self) -> Done {
        self.parts.part(31, &self.count.to_le_bytes());
        Ok(())
    }
}

macro_rules! many {
    ($($trait:ident $method:ident;)*) => { $(
        impl ser::$trait for Many<'_> {
            type Ok = ();
            type Error = Refused;
            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
                self.one(value)
            }
            fn end(self) -> Done {
                self.finish()
            }
        }
    )* };
}
many! {
    SerializeSeq serialize_element;
    SerializeTuple serialize_element;
    SerializeTupleStruct serialize_field;
    SerializeTupleVariant serialize_field;
}

macro_rules! fields {
    ($($trait:ident;)*) => { $(
        impl ser::$trait for Many<'_> {
            type Ok = ();
            type Error = Refused;
            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Done {
                self.parts.part(32, name.as_bytes());
                self.one(value)
            }
            fn end(self) -> Done {
                self.finish()
            }
        }
    )* };
}
fields! {
    SerializeStruct;
    SerializeStructVariant;
}

/// The entries of a map, which are put into the order of their keys' bytes.
struct Entries<'a> {
    parts: Parts<'a>,
    key: Vec<u8>,
    entries: Vec<(Vec<u8>, Vec<u8>)>,
}

impl ser::SerializeMap for Entries<'_> {
    type Ok = ();
    type Error = Refused;
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Done {
        self.key.clear();
        key.serialize(Parts(&mut self.key))
    }
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        let mut bytes = Vec::new();
        value.serialize(Parts(&mut bytes))?;
        self.entries.push((std::mem::take(&mut self.key), bytes));
        Ok(())
    }
    fn end(mut self) -> Done {
        self.entries.sort();
        self.parts.part(28, &(self.entries.len() as u64).to_le_bytes());
        for (key, value) in &self.entries {
            self.parts.part(33, key);
            self.parts.part(33, value);
        }
        Ok(())
    }
}
