//! Values whose type is known by its name only: decoded as the name says, where it is one of Rust's own types.
//!
//! A value is saved in an encoding that does not describe itself, with the name of its type beside it. The decoder wants a type at compile time; [`Decoded`] is one
//! that asks, when it is decoded, which type the name stands for.

use chunkstore_store::Records;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use std::cell::RefCell;
use std::fmt;

/// A type of Rust's own.
#[derive(Clone, Debug, PartialEq)]
enum Type {
    Bool,
    Signed(u32),
    Unsigned(u32),
    F32,
    F64,
    Char,
    Text,
    Unit,
    Option(Box<Type>),
    List(Box<Type>),
    Map(Box<Type>, Box<Type>),
    Tuple(Vec<Type>),
}

/// The most types within each other, and the most elements of a tuple or a fixed array.
const DEEPEST: usize = 16;
const LONGEST: usize = 4096;

/// The value that is the only record, if its type has a name that is known here.
pub(crate) fn value(type_name: &str, records: &Records) -> Option<Value> {
    let mut all = values(type_name, records)?;
    let value = all.pop();
    value.filter(|_| all.is_empty())
}

/// The values that the records are, if their type has a name that is known here.
pub(crate) fn values(type_name: &str, records: &Records) -> Option<Vec<Value>> {
    let mut rest = type_name;
    let wanted = parse(&mut rest, 0).filter(|_| rest.is_empty())?;
    TYPE.with_borrow_mut(|slot| *slot = Some(wanted));
    // Bytes that are left over tell that the type is another one.
    let decoded: Vec<Value> = records.iter::<Decoded>().map(|value| value.map(|value| value.0).ok()).collect::<Option<_>>()?;
    (decoded.len() == records.count as usize).then_some(decoded)
}

/// Reads a type's name as `std::any::type_name` gives it.
fn parse(text: &mut &str, depth: usize) -> Option<Type> {
    if depth == DEEPEST {
        return None;
    }
    if take(text, "(") {
        let mut parts = Vec::new();
        while !take(text, ")") {
            parts.push(parse(text, depth + 1)?);
            take(text, ",");
            take(text, " ");
        }
        return Some(if parts.is_empty() { Type::Unit } else { Type::Tuple(parts) });
    }
    if take(text, "[") {
        let item = parse(text, depth + 1)?;
        let fixed = take(text, "; ");
        let (count, rest) = text.split_once(']')?;
        *text = rest;
        return match fixed {
            // An array of fixed length has no length before it.
            true => Some(Type::Tuple(vec![item; count.parse().ok().filter(|count| *count <= LONGEST)?])),
            false => Some(Type::List(Box::new(item))),
        };
    }
    if take(text, "&") {
        return parse(text, depth + 1);
    }
    let end = text.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == ':')).unwrap_or(text.len());
    let (path, rest) = text.split_at(end);
    *text = rest;
    let found = match path.rsplit("::").next()? {
        "bool" => Type::Bool,
        "char" => Type::Char,
        "f32" => Type::F32,
        "f64" => Type::F64,
        "str" | "String" => Type::Text,
        "isize" => Type::Signed(64),
        "usize" => Type::Unsigned(64),
        name @ ("i8" | "i16" | "i32" | "i64") => Type::Signed(name.get(1..)?.parse().ok()?),
        name @ ("u8" | "u16" | "u32" | "u64") => Type::Unsigned(name.get(1..)?.parse().ok()?),
        "Option" => Type::Option(Box::new(argument(text, depth)?)),
        "Vec" | "VecDeque" | "HashSet" | "BTreeSet" => Type::List(Box::new(argument(text, depth)?)),
        "Box" | "Arc" | "Rc" => argument(text, depth)?,
        "HashMap" | "BTreeMap" => {
            take(text, "<").then_some(())?;
            let key = parse(text, depth + 1)?;
            take(text, ", ").then_some(())?;
            let value = parse(text, depth + 1)?;
            take(text, ">").then_some(())?;
            Type::Map(Box::new(key), Box::new(value))
        }
        _ => return None,
    };
    Some(found)
}

fn argument(text: &mut &str, depth: usize) -> Option<Type> {
    take(text, "<").then_some(())?;
    let found = parse(text, depth + 1)?;
    take(text, ">").then_some(found)
}

fn take(text: &mut &str, what: &str) -> bool {
    match text.strip_prefix(what) {
        Some(rest) => {
            *text = rest;
            true
        }
        None => false,
    }
}

thread_local! {
    /// The type that the next [`Decoded`] is decoded as.
    static TYPE: RefCell<Option<Type>> = const { RefCell::new(None) };
}

/// A value of the type that was asked for last on this thread.
struct Decoded(Value);

impl<'de> Deserialize<'de> for Decoded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match TYPE.with_borrow(Clone::clone) {
            Some(wanted) => Wanted(&wanted).deserialize(deserializer).map(Decoded),
            None => Err(serde::de::Error::custom("no type was asked for")),
        }
    }
}

/// Decodes a value of a type.
#[derive(Clone, Copy)]
struct Wanted<'a>(&'a Type);

impl<'de> DeserializeSeed<'de> for Wanted<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.0 {
            Type::Bool => deserializer.deserialize_bool(self),
            Type::Signed(8) => deserializer.deserialize_i8(self),
            Type::Signed(16) => deserializer.deserialize_i16(self),
            Type::Signed(32) => deserializer.deserialize_i32(self),
            Type::Signed(_) => deserializer.deserialize_i64(self),
            Type::Unsigned(8) => deserializer.deserialize_u8(self),
            Type::Unsigned(16) => deserializer.deserialize_u16(self),
            Type::Unsigned(32) => deserializer.deserialize_u32(self),
            Type::Unsigned(_) => deserializer.deserialize_u64(self),
            Type::F32 => deserializer.deserialize_f32(self),
            Type::F64 => deserializer.deserialize_f64(self),
            Type::Char => deserializer.deserialize_char(self),
            Type::Text => deserializer.deserialize_string(self),
            Type::Unit => deserializer.deserialize_unit(self),
            Type::Option(_) => deserializer.deserialize_option(self),
            Type::List(_) => deserializer.deserialize_seq(self),
            Type::Map(..) => deserializer.deserialize_map(self),
            Type::Tuple(parts) => deserializer.deserialize_tuple(parts.len(), self),
        }
    }
}

impl<'de> Visitor<'de> for Wanted<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a value of type {:?}", self.0)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f32<E>(self, value: f32) -> Result<Value, E> {
        Ok(crate::element::json(chunkstore_store::Scalar::F32(value)))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or_else(|| crate::element::json(chunkstore_store::Scalar::F64(value)), Value::Number))
    }

    fn visit_char<E>(self, value: char) -> Result<Value, E> {
        Ok(value.to_string().into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.0 {
            Type::Option(inner) => Wanted(inner).deserialize(deserializer),
            _ => Err(serde::de::Error::custom("an option that was not asked for")),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        match self.0 {
            Type::Tuple(parts) => {
                for part in parts {
                    values.extend(list.next_element_seed(Wanted(part))?);
                }
            }
            Type::List(item) => {
                while let Some(value) = list.next_element_seed(Wanted(item))? {
                    values.push(value);
                }
            }
            _ => return Err(serde::de::Error::custom("a list that was not asked for")),
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let Type::Map(key, value) = self.0 else { return Err(serde::de::Error::custom("a map that was not asked for")) };
        let mut values = Map::new();
        while let Some(key) = map.next_key_seed(Wanted(key))? {
            let key = key.as_str().map_or_else(|| key.to_string(), String::from);
            values.insert(key, map.next_value_seed(Wanted(value))?);
        }
        Ok(Value::Object(values))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use chunkstore_store::{Arena, Ledger};
    use serde::Serialize;
    use serde_json::json;
    use std::collections::BTreeMap;

    fn through<T: Serialize>(saved: T) -> Option<Value> {
        let records = Records::encode(&Arena::new(Ledger::new(1 << 20)), [saved]).unwrap();
        value(std::any::type_name::<T>(), &records)
    }

    #[test]
    fn values_of_rusts_own_types_are_shown() {
        assert_eq!(through((180.0f64, -3i8, "text".to_string())), Some(json!([180.0, -3, "text"])));
        assert_eq!(through(vec![Some(1u64), None]), Some(json!([1, null])));
        assert_eq!(through([true, false]), Some(json!([true, false])));
        assert_eq!(through("word"), Some(json!("word")));
        assert_eq!(through(BTreeMap::from([(7u16, vec!['x'])])), Some(json!({ "7": ["x"] })));
        assert_eq!(
            [through(()), through(0.1f32), through(f64::NAN), through(Box::new(5usize))],
            [Some(Value::Null), Some(json!(0.1)), Some(Value::Null), Some(json!(5))]
        );
    }

    #[test]
    fn others_are_not() {
        #[derive(Serialize)]
        struct Own(u8);
        assert_eq!(through(Own(1)), None);
        assert_eq!(through(vec![Own(1)]), None);
        let records = Records::encode(&Arena::new(Ledger::new(1 << 20)), ["text"]).unwrap();
        for name in ["bool", "u8", "(u8, u8)", "alloc::vec::Vec<f64>", "", "(", "[u8; 99999]", "f64>", &"(".repeat(1000)] {
            assert_eq!(value(name, &records), None, "{name}");
        }
    }
}
