//! What a value holds on the heap, by what it shows of itself when it is encoded.
//!
//! A serializer that writes nothing. It adds up what strings, sequences and maps take, as an allocator gives it to them. How large the elements of a list are it knows from what
//! they show, or from what [`sizes`](super::sizes) finds where they may show less than they take (options, enums); how large the fields of a struct are from the fields; what shows more than its place has is taken to be behind a pointer. Capacity that is not used is not seen, but for
//! sets and maps, which always have some.

use super::sizes::{begin, look_at, size_of_name, unknown};
use serde::de::DeserializeOwned;
use serde::de::value::Error;
use serde::ser::{
    SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple, SerializeTupleStruct, SerializeTupleVariant,
};
use serde::{Serialize, Serializer};

/// From so many bytes on an allocation is of whole pages.
const LARGE: u64 = 128 << 10;

/// About the bytes that `value` holds on the heap, without its own size.
///
/// ```
/// use chunkstore_store::serial::heap_bytes;
/// assert_eq!(heap_bytes(&(1u8, 2.5)), 0);
/// assert_eq!(heap_bytes(&vec![String::from("a"); 100]), 2_416 + 100 * 32);
/// ```
#[inline]
pub fn heap_bytes<T: Serialize + DeserializeOwned>(value: &T) -> u64 {
    if !std::mem::needs_drop::<T>() {
        return 0;
    }
    begin::<T>();
    let shown = shown(value);
    if shown.is_open { heap_bytes_known(value) } else { shown.heap }
}

/// The same, once it was looked at what the type is made of.
#[cold]
fn heap_bytes_known<T: Serialize + DeserializeOwned>(value: &T) -> u64 {
    look_at::<T>();
    shown(value).heap
}

/// Whether a serializer is that of [`heap_bytes`], to which a type that is encoded as a text shows what it is in memory.
pub fn is_measured<S: Serializer>() -> bool {
    std::any::type_name::<S>() == std::any::type_name::<Measure>()
}

/// What cannot be shown holds what is not known; where it is encoded that is an error.
#[inline]
fn shown<T: Serialize + ?Sized>(value: &T) -> Shown {
    let mut all = Within::default();
    all.part(value).map_or(Shown::default(), |()| all.0)
}

/// What an allocation of so many bytes takes.
#[inline]
pub fn allocated(bytes: u64) -> u64 {
    match bytes {
        0 => 0,
        1..LARGE => (bytes + 8).next_multiple_of(16).max(32),
        _ => bytes.saturating_add(16).next_multiple_of(4096),
    }
}

/// What a value shows: its own size, about, and what it holds beside.
#[derive(Clone, Copy, Default)]
struct Shown {
    size: u64,
    align: u64,
    heap: u64,
    /// Whether its type may be larger: it is an option that is not there, or a variant.
    is_part: bool,
    /// Whether the size of a type in it is not known.
    is_open: bool,
}

impl Shown {
    #[inline]
    fn plain(size: usize) -> Self {
        Shown { size: size as u64, align: size as u64, ..Shown::default() }
    }

    /// A text, a list or a map.
    #[inline]
    fn holding(heap: u64) -> Self {
        Shown { size: size_of::<Vec<u8>>() as u64, align: align_of::<Vec<u8>>() as u64, heap, ..Shown::default() }
    }
}

/// Measures a value of a type of that name.
struct Measure(&'static str);

impl Measure {
    #[inline]
    fn of<T: ?Sized>() -> Self {
        Measure(std::any::type_name::<T>())
    }

    /// What holds so many elements, of which the largest has so many bytes.
    #[inline]
    fn holding(self, count: u64, each: u64, heap: u64) -> Shown {
        let name = self.0.trim_start_matches('&');
        if count == 0 || name.starts_with("alloc::vec::Vec<") {
            return Shown::holding(heap.saturating_add(allocated(count.saturating_mul(each))));
        }
        // Tables and trees may be half full, and have marks beside; a node of a tree has room for 11.
        let least = if name.contains("btree") { 11 } else { 4 };
        let slots = (count.saturating_mul(9) / 4).max(least);
        Shown::holding(heap.saturating_add(allocated((each + 2).saturating_mul(slots) + 16)))
    }
}

/// The parts of a value, which stand in it.
#[derive(Default)]
struct Within(Shown);

impl Within {
    /// Those of a variant.
    #[inline]
    fn variant() -> Self {
        Within(Shown { is_part: true, ..Shown::default() })
    }

    #[inline]
    fn part<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        let shown = value.serialize(Measure::of::<T>())?;
        let (own, heap) = (size_of_val(value) as u64, shown.heap);
        self.0.is_open |= shown.is_open;
        let beside = match boxed(std::any::type_name::<T>()) {
            Some(name) => allocated(self.0.size_of(shown, name).max(1)),
            None if shown.size > own => allocated(shown.size),
            None => 0,
        };
        self.0.size += own;
        self.0.align = self.0.align.max(align_of_val(value) as u64);
        self.0.heap = self.0.heap.saturating_add(heap).saturating_add(beside);
        Ok(())
    }

    #[inline]
    fn shown(self) -> Shown {
        Shown { size: self.0.size.next_multiple_of(self.0.align.max(1)), ..self.0 }
    }
}

impl Shown {
    /// The size of what was shown, of a type of that name.
    #[inline]
    fn size_of(&mut self, shown: Shown, name: &'static str) -> u64 {
        if !shown.is_part {
            return shown.size;
        }
        let known = size_of_name(name);
        if known.is_none() {
            self.is_open = true;
            unknown(name);
        }
        known.unwrap_or(0).max(shown.size)
    }
}

/// The name of the type that one of that name, or what it refers to, is a pointer to, if it is one.
#[inline]
fn boxed(name: &'static str) -> Option<&'static str> {
    let name = name.trim_start_matches('&');
    let inner = ["alloc::boxed::Box<", "alloc::sync::Arc<", "alloc::rc::Rc<"].iter().find_map(|pointer| name.strip_prefix(pointer))?;
    inner.strip_suffix('>')
}

/// The elements of a value, which stand elsewhere.
struct Elsewhere {
    of: Measure,
    count: u64,
    /// The largest, or of maps the largest key with the largest value.
    key: u64,
    value: u64,
    /// What they hold, and whether a size is not known.
    all: Shown,
    /// Whether it was looked how large the type of keys is, and that of elements.
    looked: (bool, bool),
}

impl Elsewhere {
    #[inline]
    fn new(of: Measure) -> Self {
        Elsewhere { of, count: 0, key: 0, value: 0, all: Shown::default(), looked: (false, false) }
    }

    /// The size of an element, or of what a reference to one refers to.
    #[inline]
    fn part<T: Serialize + ?Sized>(&mut self, part: &T, is_key: bool) -> Result<u64, Error> {
        let name = std::any::type_name::<T>();
        let mut shown = part.serialize(Measure(name))?;
        self.all.is_open |= shown.is_open;
        self.all.heap = self.all.heap.saturating_add(shown.heap);
        if let Some(inner) = boxed(name) {
            self.all.heap += allocated(self.all.size_of(shown, inner).max(1));
            return Ok(size_of::<usize>() as u64);
        }
        // Once for all: they are of one type.
        let looked = if is_key { &mut self.looked.0 } else { &mut self.looked.1 };
        shown.is_part &= !*looked;
        *looked |= shown.is_part;
        Ok(self.all.size_of(shown, name.trim_start_matches('&')))
    }

    #[inline]
    fn element<T: Serialize + ?Sized>(&mut self, element: &T) -> Result<(), Error> {
        self.value = self.part(element, false)?.max(self.value);
        self.count += 1;
        Ok(())
    }

    #[inline]
    fn key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.key = self.part(key, true)?.max(self.key);
        Ok(())
    }

    #[inline]
    fn shown(self) -> Shown {
        let shown = self.of.holding(self.count, self.key + self.value, self.all.heap);
        Shown { is_open: self.all.is_open, ..shown }
    }
}

macro_rules! plain {
    ($($name:ident $t:ty;)*) => { $(
        #[inline]
        fn $name(self, _: $t) -> Result<Shown, Error> {
            Ok(Shown::plain(size_of::<$t>()))
        }
    )* };
}

impl Serializer for Measure {
    type Ok = Shown;
    type Error = Error;
    type SerializeSeq = Elsewhere;
    type SerializeTuple = Within;
    type SerializeTupleStruct = Within;
    type SerializeTupleVariant = Within;
    type SerializeMap = Elsewhere;
    type SerializeStruct = Within;
    type SerializeStructVariant = Within;

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
        serialize_f32 f32;
        serialize_f64 f64;
        serialize_char char;
    }

    #[inline]
    fn is_human_readable(&self) -> bool {
        false
    }

    #[inline]
    fn serialize_str(self, text: &str) -> Result<Shown, Error> {
        Ok(Shown::holding(allocated(text.len() as u64)))
    }

    #[inline]
    fn serialize_bytes(self, bytes: &[u8]) -> Result<Shown, Error> {
        Ok(Shown::holding(allocated(bytes.len() as u64)))
    }

    #[inline]
    fn serialize_none(self) -> Result<Shown, Error> {
        Ok(Shown { is_part: true, ..Shown::default() })
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<Shown, Error> {
        let mut within = Within::variant();
        within.part(value)?;
        Ok(within.shown())
    }

    #[inline]
    fn serialize_unit(self) -> Result<Shown, Error> {
        Ok(Shown::default())
    }

    #[inline]
    fn serialize_unit_struct(self, _: &'static str) -> Result<Shown, Error> {
        Ok(Shown::default())
    }

    #[inline]
    fn serialize_unit_variant(self, _: &'static str, _: u32, _: &'static str) -> Result<Shown, Error> {
        Ok(Shown { is_part: true, ..Shown::default() })
    }

    #[inline]
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<Shown, Error> {
        let mut within = Within::default();
        within.part(value)?;
        Ok(within.shown())
    }

    #[inline]
    fn serialize_newtype_variant<T: Serialize + ?Sized>(self, _: &'static str, _: u32, _: &'static str, value: &T) -> Result<Shown, Error> {
        self.serialize_some(value)
    }

    #[inline]
    fn serialize_seq(self, _: Option<usize>) -> Result<Elsewhere, Error> {
        Ok(Elsewhere::new(self))
    }

    #[inline]
    fn serialize_tuple(self, _: usize) -> Result<Within, Error> {
        Ok(Within::default())
    }

    #[inline]
    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Within, Error> {
        Ok(Within::default())
    }

    #[inline]
    fn serialize_tuple_variant(self, _: &'static str, _: u32, _: &'static str, _: usize) -> Result<Within, Error> {
        Ok(Within::variant())
    }

    #[inline]
    fn serialize_map(self, _: Option<usize>) -> Result<Elsewhere, Error> {
        Ok(Elsewhere::new(self))
    }

    #[inline]
    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Within, Error> {
        Ok(Within::default())
    }

    #[inline]
    fn serialize_struct_variant(self, _: &'static str, _: u32, _: &'static str, _: usize) -> Result<Within, Error> {
        Ok(Within::variant())
    }
}

impl SerializeSeq for Elsewhere {
    type Ok = Shown;
    type Error = Error;

    #[inline]
    fn serialize_element<T: Serialize + ?Sized>(&mut self, element: &T) -> Result<(), Error> {
        self.element(element)
    }

    #[inline]
    fn end(self) -> Result<Shown, Error> {
        Ok(self.shown())
    }
}

impl SerializeMap for Elsewhere {
    type Ok = Shown;
    type Error = Error;

    #[inline]
    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.key(key)
    }

    #[inline]
    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.element(value)
    }

    #[inline]
    fn end(self) -> Result<Shown, Error> {
        Ok(self.shown())
    }
}

macro_rules! parts {
    ($($of:ident $method:ident $($key:ident)?;)*) => { $(
        impl $of for Within {
            type Ok = Shown;
            type Error = Error;

            #[inline]
            fn $method<T: Serialize + ?Sized>(&mut self, $($key: &'static str,)? value: &T) -> Result<(), Error> {
                self.part(value)
            }

            #[inline]
            fn end(self) -> Result<Shown, Error> {
                Ok(self.shown())
            }
        }
    )* };
}
parts! {
    SerializeTuple serialize_element;
    SerializeTupleStruct serialize_field;
    SerializeTupleVariant serialize_field;
    SerializeStruct serialize_field _key;
    SerializeStructVariant serialize_field _key;
}
