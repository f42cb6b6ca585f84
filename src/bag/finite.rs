//! Whether all numbers of a value are finite: JSON has no form for others, and `serde_json` writes `null` in their place.

use serde::de::value::Error;
use serde::ser::{
    Error as _, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple, SerializeTupleStruct,
    SerializeTupleVariant,
};
use serde::{Serialize, Serializer};

/// Looks at each number of a value.
///
/// # Errors
/// That of the first number that is NaN or infinite; those of the value's own encoding.
pub(super) fn all_finite<T: Serialize + ?Sized>(value: &T) -> Result<(), Error> {
    value.serialize(Finite)
}

/// A serializer that writes nothing.
#[derive(Clone, Copy)]
struct Finite;

fn finite(number: f64) -> Result<(), Error> {
    match number.is_finite() {
        true => Ok(()),
        false => Err(Error::custom(format!("it has no form for {number}"))),
    }
}

macro_rules! sound {
    ($($method:ident $type:ty;)*) => {
        $(fn $method(self, _: $type) -> Result<(), Error> {
            Ok(())
        })*
    };
}

impl Serializer for Finite {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Finite;
    type SerializeTuple = Finite;
    type SerializeTupleStruct = Finite;
    type SerializeTupleVariant = Finite;
    type SerializeMap = Finite;
    type SerializeStruct = Finite;
    type SerializeStructVariant = Finite;

    sound! {
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
        serialize_unit_struct &'static str;
    }

    fn serialize_f32(self, number: f32) -> Result<(), Error> {
        finite(number.into())
    }

    fn serialize_f64(self, number: f64) -> Result<(), Error> {
        finite(number)
    }

    fn serialize_none(self) -> Result<(), Error> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<(), Error> {
        Ok(())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(self, _: &'static str, _: u32, _: &'static str, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Finite, Error> {
        Ok(self)
    }

    fn serialize_tuple(self, _: usize) -> Result<Finite, Error> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Finite, Error> {
        Ok(self)
    }

    fn serialize_tuple_variant(self, _: &'static str, _: u32, _: &'static str, _: usize) -> Result<Finite, Error> {
        Ok(self)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Finite, Error> {
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Finite, Error> {
        Ok(self)
    }

    fn serialize_struct_variant(self, _: &'static str, _: u32, _: &'static str, _: usize) -> Result<Finite, Error> {
        Ok(self)
    }
}

macro_rules! parts {
    ($($of:ident $method:ident $(($name:ty))?;)*) => {
        $(impl $of for Finite {
            type Ok = ();
            type Error = Error;

            fn $method<T: Serialize + ?Sized>(&mut self, $(_: $name,)? value: &T) -> Result<(), Error> {
                value.serialize(*self)
            }

            fn end(self) -> Result<(), Error> {
                Ok(())
            }
        })*
    };
}

parts! {
    SerializeSeq serialize_element;
    SerializeTuple serialize_element;
    SerializeTupleStruct serialize_field;
    SerializeTupleVariant serialize_field;
    SerializeStruct serialize_field (&'static str);
    SerializeStructVariant serialize_field (&'static str);
}

impl SerializeMap for Finite {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        key.serialize(*self)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        value.serialize(*self)
    }

    fn end(self) -> Result<(), Error> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::all_finite;
    use std::collections::BTreeMap;

    #[derive(serde::Serialize)]
    enum Shape {
        Point,
        Circle(f32),
        Box { sides: (f64, f64), names: Option<Vec<String>> },
        Other(f64, u8),
    }

    #[test]
    fn a_number_that_json_has_not_is_found_wherever_it_is() {
        let sound = |x: f64| {
            let shapes =
                [Shape::Point, Shape::Circle(x as f32), Shape::Box { sides: (1.0, x), names: Some(vec!["a".into()]) }, Shape::Other(x, 1)];
            let each = shapes.iter().skip(1).map(|shape| all_finite(shape).is_ok()).collect::<Vec<_>>();
            assert!(each.iter().all(|sound| *sound == each[0]) && all_finite(&shapes[0]).is_ok());
            let others = [all_finite(&[Some(x)]), all_finite(&BTreeMap::from([("k", vec![x])])), all_finite(&(1, "two", 'c', ((), x)))];
            assert!(others.iter().all(|other| other.is_ok() == each[0]));
            each[0]
        };
        assert!(sound(1e300 * 0.0) && sound(-2.5));
        assert!(!sound(f64::NAN) && !sound(f64::INFINITY) && !sound(f64::NEG_INFINITY));
        assert_eq!(all_finite(&f64::NAN).map_err(|e| e.to_string()), Err("it has no form for NaN".into()));
    }
}
