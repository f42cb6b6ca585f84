//! How large the types are that a type is made of.
//!
//! A deserializer that gives any type just something, a list of one element, an option that is there, each variant of an enum in turn, and looks of which types the visitor asks for
//! parts: so the size of an element of a list is known also where all that is seen of it is that it is not there. Types that take nothing from what they are given are left as they are.

use rustc_hash::FxHashMap;
use serde::de::value::{Error, U32Deserializer};
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Types inside each other are looked at so deep, and so many values are given in all.
const DEEPEST: u32 = 24;
const MOST: u32 = 10_000;

thread_local! {
    /// The type of the value that is measured now.
    static WHOLE: Cell<&'static str> = const { Cell::new("") };
    /// Sizes by that type and the one that it is made of: what is known of a type never depends on which others a thread met before.
    static SIZES: RefCell<FxHashMap<(&'static str, &'static str), u64>> = RefCell::default();
}

/// Begins to measure a value of a type.
#[inline]
pub(super) fn begin<T>() {
    WHOLE.set(std::any::type_name::<T>());
}

/// The size of the type of a name, where it was met in the type that is measured.
pub(super) fn size_of_name(name: &'static str) -> Option<u64> {
    SIZES.with_borrow(|sizes| sizes.get(&(WHOLE.get(), name)).copied())
}

/// Notes that nothing is known of a type, so that it is not looked for again.
pub(super) fn unknown(name: &'static str) {
    SIZES.with_borrow_mut(|sizes| _ = sizes.entry((WHOLE.get(), name)).or_insert(0));
}

/// Looks at what a type is made of.
#[cold]
pub(super) fn look_at<T: DeserializeOwned>() {
    let mut seen = Seen::default();
    note::<T>(&mut seen);
    loop {
        seen.steps = 0;
        seen.open = false;
        // Whether there is a value in the end is all the same.
        // It may also panic, where code of the user's takes for granted what it is given.
        let _ = catch_unwind(AssertUnwindSafe(|| T::deserialize(Probe { seen: &mut seen, depth: 0 }).is_ok()));
        if !seen.open || seen.rounds >= 64 {
            break;
        }
        seen.rounds += 1;
    }
    let whole = std::any::type_name::<T>();
    SIZES.with_borrow_mut(|sizes| sizes.extend(seen.sizes.into_iter().map(|(name, size)| ((whole, name), size))));
}

/// What was seen of a type.
#[derive(Default)]
struct Seen {
    sizes: FxHashMap<&'static str, u64>,
    /// For each enum the variant to be given next.
    variants: FxHashMap<&'static str, usize>,
    /// Whether a variant was not given yet.
    open: bool,
    steps: u32,
    rounds: u32,
}

fn note<T>(seen: &mut Seen) {
    let (name, size) = (std::any::type_name::<T>(), size_of::<T>() as u64);
    seen.sizes.insert(name, size);
    // What may be there is no larger.
    if let Some(inner) = name.strip_prefix("core::option::Option<").and_then(|rest| rest.strip_suffix('>')) {
        seen.sizes.entry(inner).or_insert(size);
    }
}

/// Gives a type just something.
struct Probe<'a> {
    seen: &'a mut Seen,
    depth: u32,
}

impl<'a> Probe<'a> {
    fn inner(&mut self) -> Probe<'_> {
        Probe { seen: self.seen, depth: self.depth + 1 }
    }

    /// Whether no more is to be given than has to be.
    fn is_deep(&mut self) -> bool {
        self.seen.steps += 1;
        self.depth >= DEEPEST || self.seen.steps >= MOST
    }
}

macro_rules! plain {
    ($($method:ident $visit:ident $value:expr;)*) => { $(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            visitor.$visit($value)
        }
    )* };
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Error;

    plain! {
        deserialize_bool visit_bool true;
        deserialize_i8 visit_i8 1;
        deserialize_i16 visit_i16 1;
        deserialize_i32 visit_i32 1;
        deserialize_i64 visit_i64 1;
        deserialize_i128 visit_i128 1;
        deserialize_u8 visit_u8 1;
        deserialize_u16 visit_u16 1;
        deserialize_u32 visit_u32 1;
        deserialize_u64 visit_u64 1;
        deserialize_u128 visit_u128 1;
        deserialize_f32 visit_f32 1.0;
        deserialize_f64 visit_f64 1.0;
        deserialize_char visit_char 'a';
        deserialize_str visit_str "";
        deserialize_string visit_str "";
        deserialize_bytes visit_bytes &[];
        deserialize_byte_buf visit_bytes &[];
        deserialize_identifier visit_u64 0;
    }

    fn is_human_readable(&self) -> bool {
        false
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("a type that looks at what comes"))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_option<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        if self.is_deep() { visitor.visit_none() } else { visitor.visit_some(self.inner()) }
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_unit()
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(mut self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        match self.is_deep() && self.depth > 2 * DEEPEST {
            true => Err(Error::custom("a type without an end")),
            false => visitor.visit_newtype_struct(self.inner()),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        let left = if self.is_deep() { 0 } else { 1 };
        visitor.visit_seq(Given { probe: self, left })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Error> {
        self.seen.steps += 1;
        if self.depth > 2 * DEEPEST || self.seen.steps > 2 * MOST {
            return Err(Error::custom("a type without an end"));
        }
        visitor.visit_seq(Given { probe: self, left: len })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(self, _: &'static str, len: usize, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_tuple(len, visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value, Error> {
        let left = if self.is_deep() { 0 } else { 1 };
        visitor.visit_map(Given { probe: self, left })
    }

    fn deserialize_struct<V: Visitor<'de>>(self, _: &'static str, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        self.deserialize_tuple(fields.len(), visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.seen.steps += 1;
        if self.depth > 2 * DEEPEST || self.seen.steps > 2 * MOST {
            return Err(Error::custom("a type without an end"));
        }
        let next = self.seen.variants.entry(name).or_insert(0);
        // Where types are inside themselves, the first variant most often ends it.
        let variant = if self.depth >= DEEPEST { 0 } else { *next % variants.len().max(1) };
        *next += 1;
        let open = *next < variants.len();
        self.seen.open |= open;
        visitor.visit_enum(Variant { probe: self, variant: variant as u32 })
    }
}

/// So many elements, fields or entries.
struct Given<'a> {
    probe: Probe<'a>,
    left: usize,
}

impl<'de> SeqAccess<'de> for Given<'_> {
    type Error = Error;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        note::<S::Value>(self.probe.seen);
        seed.deserialize(self.probe.inner()).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'de> MapAccess<'de> for Given<'_> {
    type Error = Error;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, Error> {
        SeqAccess::next_element_seed(self, seed)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Error> {
        note::<S::Value>(self.probe.seen);
        seed.deserialize(self.probe.inner())
    }
}

/// A variant of an enum.
struct Variant<'a> {
    probe: Probe<'a>,
    variant: u32,
}

impl<'de, 'a> EnumAccess<'de> for Variant<'a> {
    type Error = Error;
    type Variant = Probe<'a>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Probe<'a>), Error> {
        let index: U32Deserializer<Error> = self.variant.into_deserializer();
        Ok((seed.deserialize(index)?, self.probe))
    }
}

impl<'de> VariantAccess<'de> for Probe<'_> {
    type Error = Error;

    fn unit_variant(self) -> Result<(), Error> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(mut self, seed: S) -> Result<S::Value, Error> {
        note::<S::Value>(self.seen);
        seed.deserialize(self.inner())
    }

    fn tuple_variant<V: Visitor<'de>>(mut self, len: usize, visitor: V) -> Result<V::Value, Error> {
        self.inner().deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(mut self, fields: &'static [&'static str], visitor: V) -> Result<V::Value, Error> {
        self.inner().deserialize_tuple(fields.len(), visitor)
    }
}
