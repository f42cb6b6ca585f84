//! Keys as bytes, so that different keys are different bytes, and the bytes tell the key.
//!
//! ```text
//! absent        06                                   text     01 | length | UTF-8
//! some key      07 | the key                         bytes    02 | length | bytes
//! false, true   03, 04                               list     05 | number of items | items
//! character     08 | u32, big-endian
//! integer       10 + n | n bytes, big-endian         0 and above: the least n that holds it
//!               30 + n | n bytes, big-endian         below 0: of -1 - integer
//! ```
//! Lengths and numbers of items are in groups of seven bits, the lowest first, without needless groups. A tuple is the list of its
//! items, an integer has the same bytes whatever its type, and text is not the number that it spells. So the bytes of a key do not
//! depend on how it is typed, and a chest of [`AnyKey`] reads what a chest of `(String, u64)` wrote.

use crate::{Error, ErrorKind, Result};
use std::borrow::Cow;
use std::fmt;

const TEXT: u8 = 0x01;
const BYTES: u8 = 0x02;
const FALSE: u8 = 0x03;
const TRUE: u8 = 0x04;
const LIST: u8 = 0x05;
const ABSENT: u8 = 0x06;
const SOME: u8 = 0x07;
const CHARACTER: u8 = 0x08;
const POSITIVE: u8 = 0x10;
const NEGATIVE: u8 = 0x30;

/// How deep lists can be in lists, so that damaged bytes cannot exhaust the stack.
const DEEPEST: u32 = 64;

/// What can be turned into the bytes of a key: every [`ChestKey`], and what is borrowed from one, such as `str`.
pub trait EncodeKey {
    /// Appends the bytes of the key.
    fn encode_key(&self, out: &mut Vec<u8>);

    /// Appends the bytes of a list of such keys.
    #[doc(hidden)]
    fn encode_keys(keys: &[Self], out: &mut Vec<u8>)
    where
        Self: Sized,
    {
        list(keys.len(), out);
        keys.iter().for_each(|key| key.encode_key(out));
    }
}

/// What can be the key of a value in a chest: text, integers, truth values, characters, bytes (`Vec<u8>`), and tuples, vectors and
/// options of these. [`AnyKey`] is for keys of several kinds in one chest.
///
/// Different keys have different bytes, and the bytes tell the key:
///
/// ```
/// use chunkstore_store::{AnyKey, ChestKey, EncodeKey};
/// let bytes = |key: &dyn Fn(&mut Vec<u8>)| { let mut out = Vec::new(); key(&mut out); out };
/// let number = bytes(&|out| 1u64.encode_key(out));
/// let text = bytes(&|out| "1".encode_key(out));
/// assert_ne!(number, text);
/// let pair = bytes(&|out| ("a!b", 7u8).encode_key(out));
/// assert_eq!(<(String, u64)>::from_key(&pair)?, ("a!b".to_string(), 7));
/// assert_eq!(AnyKey::from_key(&pair)?, AnyKey::List(vec!["a!b".into(), 7.into()]));
/// # Ok::<(), chunkstore_store::Error>(())
/// ```
pub trait ChestKey: EncodeKey + Sized + Send + Sync + 'static {
    /// Takes the key off the front of `bytes`; `depth` is how many lists may still be opened.
    ///
    /// # Errors
    /// Corrupt where there is no such key.
    #[doc(hidden)]
    fn take_key(bytes: &mut &[u8], depth: u32) -> Result<Self>;

    /// Takes a list of such keys off the front of `bytes`.
    #[doc(hidden)]
    fn take_keys(bytes: &mut &[u8], depth: u32) -> Result<Vec<Self>> {
        let (n, depth) = take_list(bytes, depth)?;
        (0..n).map(|_| Self::take_key(bytes, depth)).collect()
    }

    /// The key that `bytes` are.
    ///
    /// # Errors
    /// Corrupt where they are not exactly one key of this type.
    fn from_key(mut bytes: &[u8]) -> Result<Self> {
        let key = Self::take_key(&mut bytes, DEEPEST)?;
        if bytes.is_empty() { Ok(key) } else { Err(wrong(format!("{} bytes are left over", bytes.len()))) }
    }
}

/// A key of any kind, for chests whose keys are not all of one type.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AnyKey {
    /// No key, as `None::<T>`.
    Absent,
    /// A key that might have been absent, as `Some(key)`.
    Some(Box<AnyKey>),
    /// A truth value.
    Bool(bool),
    /// A character.
    Char(char),
    /// An integer of any type.
    Int(i128),
    /// An integer above what `Int` can hold.
    Large(u128),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A tuple or a vector.
    List(Vec<AnyKey>),
}

impl fmt::Debug for AnyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for AnyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AnyKey::Absent => f.write_str("None"),
            AnyKey::Some(key) => write!(f, "Some({key})"),
            AnyKey::Bool(key) => write!(f, "{key}"),
            AnyKey::Char(key) => write!(f, "{key:?}"),
            AnyKey::Int(key) => write!(f, "{key}"),
            AnyKey::Large(key) => write!(f, "{key}"),
            AnyKey::Text(key) => write!(f, "{key:?}"),
            AnyKey::Bytes(key) => write!(f, "{key:x?}"),
            AnyKey::List(keys) => {
                f.write_str("(")?;
                for (i, key) in keys.iter().enumerate() {
                    write!(f, "{}{key}", if i == 0 { "" } else { ", " })?;
                }
                f.write_str(")")
            }
        }
    }
}

impl From<&str> for AnyKey {
    fn from(text: &str) -> Self {
        AnyKey::Text(text.to_string())
    }
}

impl From<String> for AnyKey {
    fn from(text: String) -> Self {
        AnyKey::Text(text)
    }
}

impl From<bool> for AnyKey {
    fn from(value: bool) -> Self {
        AnyKey::Bool(value)
    }
}

impl<A: Into<AnyKey>, B: Into<AnyKey>> From<(A, B)> for AnyKey {
    fn from((a, b): (A, B)) -> Self {
        AnyKey::List(vec![a.into(), b.into()])
    }
}

impl EncodeKey for AnyKey {
    fn encode_key(&self, out: &mut Vec<u8>) {
        match self {
            AnyKey::Absent => out.push(ABSENT),
            AnyKey::Some(key) => {
                out.push(SOME);
                key.encode_key(out);
            }
            AnyKey::Bool(key) => key.encode_key(out),
            AnyKey::Char(key) => key.encode_key(out),
            AnyKey::Int(key) => key.encode_key(out),
            AnyKey::Large(key) => key.encode_key(out),
            AnyKey::Text(key) => key.encode_key(out),
            AnyKey::Bytes(key) => key.encode_key(out),
            AnyKey::List(keys) => keys.encode_key(out),
        }
    }
}

impl ChestKey for AnyKey {
    fn take_key(bytes: &mut &[u8], depth: u32) -> Result<Self> {
        Ok(match bytes.first().copied().unwrap_or(0) {
            TEXT => AnyKey::Text(String::take_key(bytes, depth)?),
            BYTES => AnyKey::Bytes(u8::take_keys(bytes, depth)?),
            FALSE | TRUE => AnyKey::Bool(bool::take_key(bytes, depth)?),
            LIST => AnyKey::List(AnyKey::take_keys(bytes, depth)?),
            CHARACTER => AnyKey::Char(char::take_key(bytes, depth)?),
            ABSENT | SOME => match Option::take_key(bytes, depth)? {
                Some(key) => AnyKey::Some(Box::new(key)),
                None => AnyKey::Absent,
            },
            _ => match take_integer(bytes)? {
                (false, size) => i128::try_from(size).map_or(AnyKey::Large(size), AnyKey::Int),
                (true, size) => AnyKey::Int(i128::try_from(size).map(|size| -1 - size).map_err(|_| too_large())?),
            },
        })
    }
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl EncodeKey for $type {
            fn encode_key(&self, out: &mut Vec<u8>) {
                #[allow(unused_comparisons)]
                match *self < 0 {
                    true => put_integer(NEGATIVE, (!*self) as u128, out),
                    false => put_integer(POSITIVE, *self as u128, out),
                }
            }
        }

        impl ChestKey for $type {
            fn take_key(bytes: &mut &[u8], _: u32) -> Result<Self> {
                let (negative, size) = take_integer(bytes)?;
                let key = <$type>::try_from(size).map_err(|_| too_large())?;
                #[allow(unused_comparisons)]
                if negative && <$type>::MIN == 0 {
                    return Err(too_large());
                }
                Ok(if negative { !key } else { key })
            }
        }

        impl From<$type> for AnyKey {
            fn from(value: $type) -> Self {
                i128::try_from(value).map_or(AnyKey::Large(value as u128), AnyKey::Int)
            }
        }
    )*};
}

integers!(u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize);

impl EncodeKey for u8 {
    fn encode_key(&self, out: &mut Vec<u8>) {
        u64::from(*self).encode_key(out);
    }

    fn encode_keys(keys: &[Self], out: &mut Vec<u8>) {
        out.push(BYTES);
        put_length(keys.len(), out);
        out.extend_from_slice(keys);
    }
}

impl ChestKey for u8 {
    fn take_key(bytes: &mut &[u8], depth: u32) -> Result<Self> {
        u8::try_from(u64::take_key(bytes, depth)?).map_err(|_| too_large())
    }

    fn take_keys(bytes: &mut &[u8], _: u32) -> Result<Vec<Self>> {
        take_tag(bytes, BYTES)?;
        take_framed(bytes).map(<[u8]>::to_vec)
    }
}

impl From<u8> for AnyKey {
    fn from(value: u8) -> Self {
        AnyKey::Int(value.into())
    }
}

impl EncodeKey for str {
    fn encode_key(&self, out: &mut Vec<u8>) {
        out.push(TEXT);
        put_length(self.len(), out);
        out.extend_from_slice(self.as_bytes());
    }
}

impl EncodeKey for String {
    fn encode_key(&self, out: &mut Vec<u8>) {
        self.as_str().encode_key(out);
    }
}

impl ChestKey for String {
    fn take_key(bytes: &mut &[u8], _: u32) -> Result<Self> {
        take_tag(bytes, TEXT)?;
        let text = take_framed(bytes)?;
        std::str::from_utf8(text).map(str::to_string).map_err(|_| wrong("its text is not UTF-8"))
    }
}

impl EncodeKey for bool {
    fn encode_key(&self, out: &mut Vec<u8>) {
        out.push(if *self { TRUE } else { FALSE });
    }
}

impl ChestKey for bool {
    fn take_key(bytes: &mut &[u8], _: u32) -> Result<Self> {
        match take_byte(bytes)? {
            FALSE => Ok(false),
            TRUE => Ok(true),
            other => Err(unexpected(other)),
        }
    }
}

impl EncodeKey for char {
    fn encode_key(&self, out: &mut Vec<u8>) {
        out.push(CHARACTER);
        out.extend(u32::from(*self).to_be_bytes());
    }
}

impl ChestKey for char {
    fn take_key(bytes: &mut &[u8], _: u32) -> Result<Self> {
        take_tag(bytes, CHARACTER)?;
        let (code, rest) = bytes.split_first_chunk::<4>().ok_or_else(cut)?;
        *bytes = rest;
        char::from_u32(u32::from_be_bytes(*code)).ok_or_else(|| wrong("there is no such character"))
    }
}

impl<T: EncodeKey> EncodeKey for [T] {
    fn encode_key(&self, out: &mut Vec<u8>) {
        T::encode_keys(self, out);
    }
}

impl<T: EncodeKey> EncodeKey for Vec<T> {
    fn encode_key(&self, out: &mut Vec<u8>) {
        T::encode_keys(self, out);
    }
}

impl<T: ChestKey> ChestKey for Vec<T> {
    fn take_key(bytes: &mut &[u8], depth: u32) -> Result<Self> {
        T::take_keys(bytes, depth)
    }
}

impl<T: EncodeKey> EncodeKey for Option<T> {
    fn encode_key(&self, out: &mut Vec<u8>) {
        match self {
            Some(key) => {
                out.push(SOME);
                key.encode_key(out);
            }
            None => out.push(ABSENT),
        }
    }
}

impl<T: ChestKey> ChestKey for Option<T> {
    fn take_key(bytes: &mut &[u8], depth: u32) -> Result<Self> {
        match take_byte(bytes)? {
            ABSENT => Ok(None),
            SOME => T::take_key(bytes, depth.checked_sub(1).ok_or_else(deep)?).map(Some),
            other => Err(unexpected(other)),
        }
    }
}

impl<T: EncodeKey + ?Sized> EncodeKey for &T {
    fn encode_key(&self, out: &mut Vec<u8>) {
        (**self).encode_key(out);
    }
}

impl<T: EncodeKey + ToOwned + ?Sized> EncodeKey for Cow<'_, T> {
    fn encode_key(&self, out: &mut Vec<u8>) {
        (**self).encode_key(out);
    }
}

macro_rules! tuples {
    ($($n:literal: $($name:ident $at:tt),*;)*) => {$(
        impl<$($name: EncodeKey),*> EncodeKey for ($($name,)*) {
            fn encode_key(&self, out: &mut Vec<u8>) {
                list($n, out);
                $(self.$at.encode_key(out);)*
            }
        }

        impl<$($name: ChestKey),*> ChestKey for ($($name,)*) {
            fn take_key(bytes: &mut &[u8], depth: u32) -> Result<Self> {
                match take_list(bytes, depth)? {
                    ($n, depth) => Ok(($($name::take_key(bytes, depth)?,)*)),
                    (n, _) => Err(wrong(format!("a list of {n} keys where {} are expected", $n))),
                }
            }
        }
    )*};
}

tuples! {
    1: A 0;
    2: A 0, B 1;
    3: A 0, B 1, C 2;
    4: A 0, B 1, C 2, D 3;
    5: A 0, B 1, C 2, D 3, E 4;
    6: A 0, B 1, C 2, D 3, E 4, F 5;
}

impl EncodeKey for () {
    fn encode_key(&self, out: &mut Vec<u8>) {
        list(0, out);
    }
}

impl ChestKey for () {
    fn take_key(bytes: &mut &[u8], depth: u32) -> Result<Self> {
        match take_list(bytes, depth)? {
            (0, _) => Ok(()),
            (n, _) => Err(wrong(format!("a list of {n} keys where none is expected"))),
        }
    }
}

fn list(n: usize, out: &mut Vec<u8>) {
    out.push(LIST);
    put_length(n, out);
}

fn put_length(mut n: usize, out: &mut Vec<u8>) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

fn put_integer(tag: u8, size: u128, out: &mut Vec<u8>) {
    let bytes = size.to_be_bytes();
    let skip = size.leading_zeros() as usize / 8;
    out.push(tag + (bytes.len() - skip) as u8);
    out.extend_from_slice(bytes.get(skip..).unwrap_or_default());
}

/// Whether it is negative, and the integer, or what is missing from it to -1.
fn take_integer(bytes: &mut &[u8]) -> Result<(bool, u128)> {
    let tag = take_byte(bytes)?;
    let (negative, n) = match tag {
        POSITIVE..=0x20 => (false, usize::from(tag - POSITIVE)),
        NEGATIVE..=0x40 => (true, usize::from(tag - NEGATIVE)),
        other => return Err(unexpected(other)),
    };
    let (digits, rest) = bytes.split_at_checked(n).ok_or_else(cut)?;
    if digits.first() == Some(&0) {
        return Err(wrong("an integer has needless zeros"));
    }
    *bytes = rest;
    Ok((negative, digits.iter().fold(0, |size, digit| size << 8 | u128::from(*digit))))
}

fn take_byte(bytes: &mut &[u8]) -> Result<u8> {
    let (first, rest) = bytes.split_first().ok_or_else(cut)?;
    *bytes = rest;
    Ok(*first)
}

fn take_tag(bytes: &mut &[u8], tag: u8) -> Result<()> {
    match take_byte(bytes)? {
        found if found == tag => Ok(()),
        found => Err(unexpected(found)),
    }
}

fn take_length(bytes: &mut &[u8]) -> Result<usize> {
    let mut n = 0u64;
    for shift in (0..63).step_by(7) {
        let byte = take_byte(bytes)?;
        n |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return match byte == 0 && shift > 0 {
                true => Err(wrong("a length has needless zeros")),
                false => usize::try_from(n).map_err(|_| too_large()),
            };
        }
    }
    Err(too_large())
}

fn take_framed<'a>(bytes: &mut &'a [u8]) -> Result<&'a [u8]> {
    let n = take_length(bytes)?;
    let (now, rest) = bytes.split_at_checked(n).ok_or_else(cut)?;
    *bytes = rest;
    Ok(now)
}

fn take_list(bytes: &mut &[u8], depth: u32) -> Result<(usize, u32)> {
    take_tag(bytes, LIST)?;
    let n = take_length(bytes)?;
    // Each item takes a byte at least, so that a damaged number asks for no memory.
    if n > bytes.len() {
        return Err(cut());
    }
    Ok((n, depth.checked_sub(1).ok_or_else(deep)?))
}

/// Refuses the bytes of a key whose lists are deeper than they may be when they are read.
pub(super) fn check_depth(mut bytes: &[u8]) -> Result<()> {
    if !matches!(bytes.first(), Some(&(LIST | SOME))) {
        return Ok(());
    }
    // How many keys are still to come at each depth.
    let mut open = [0usize; DEEPEST as usize + 1];
    let (mut depth, mut left) = (0usize, 1usize);
    loop {
        while left == 0 {
            if depth == 0 {
                return Ok(());
            }
            depth -= 1;
            left = open.get(depth).copied().unwrap_or(0);
        }
        left -= 1;
        let inside = match take_byte(&mut bytes)? {
            LIST => take_length(&mut bytes)?,
            SOME => 1,
            TEXT | BYTES => {
                take_framed(&mut bytes)?;
                continue;
            }
            CHARACTER => {
                bytes = bytes.get(4..).ok_or_else(cut)?;
                continue;
            }
            tag @ POSITIVE..=0x20 => {
                bytes = bytes.get(usize::from(tag - POSITIVE)..).ok_or_else(cut)?;
                continue;
            }
            tag @ NEGATIVE..=0x40 => {
                bytes = bytes.get(usize::from(tag - NEGATIVE)..).ok_or_else(cut)?;
                continue;
            }
            _ => continue,
        };
        match open.get_mut(depth) {
            Some(place) if depth < DEEPEST as usize => *place = left,
            _ => {
                let message = format!("a key whose lists are more than {DEEPEST} deep");
                return Err(Error::new(ErrorKind::Invalid, message).hint("use a flatter key, such as a path in text"));
            }
        }
        (depth, left) = (depth + 1, inside);
    }
}

fn wrong(message: impl fmt::Display) -> Error {
    Error::new(ErrorKind::Corrupt, format!("these bytes are no key of the expected type: {message}"))
        .hint("open the chest with the type of keys that it was made with, or with AnyKey")
}

fn cut() -> Error {
    wrong("they are cut")
}

fn deep() -> Error {
    wrong("its lists are too deep")
}

fn too_large() -> Error {
    wrong("a number is out of range")
}

fn unexpected(tag: u8) -> Error {
    wrong(format!("{tag:#04x} was not expected"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bytes(key: &(impl EncodeKey + ?Sized)) -> Vec<u8> {
        let mut out = Vec::new();
        key.encode_key(&mut out);
        out
    }

    fn any_key() -> impl Strategy<Value = AnyKey> {
        let leaf = prop_oneof![
            Just(AnyKey::Absent),
            any::<bool>().prop_map(AnyKey::Bool),
            any::<char>().prop_map(AnyKey::Char),
            (-300i128..300).prop_map(AnyKey::Int),
            any::<i128>().prop_map(AnyKey::Int),
            (0u128..1 << 100).prop_map(|n| AnyKey::Large(u128::MAX - n)),
            "[ab!/.]{0,4}".prop_map(AnyKey::Text),
            "\\PC{0,200}".prop_map(AnyKey::Text),
            proptest::collection::vec(any::<u8>(), 0..5).prop_map(AnyKey::Bytes),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                inner.clone().prop_map(|key| AnyKey::Some(Box::new(key))),
                proptest::collection::vec(inner, 0..4).prop_map(AnyKey::List),
            ]
        })
    }

    #[test]
    fn keys_that_others_confuse_differ() {
        // partd takes `a!b` and `ab` for one file; chest takes 1 and "1" for one.
        let keys: Vec<AnyKey> = vec![
            "a!b".into(),
            "ab".into(),
            "../x".into(),
            "1".into(),
            1.into(),
            AnyKey::Bool(true),
            AnyKey::List(vec!["a".into(), "b".into()]),
            AnyKey::List(vec!["ab".into()]),
            AnyKey::List(vec![AnyKey::List(vec!["a".into()]), "b".into()]),
            AnyKey::Bytes(b"ab".to_vec()),
            AnyKey::Some(Box::new("ab".into())),
            "".into(),
            AnyKey::Absent,
            AnyKey::Char('1'),
            (-1).into(),
            0.into(),
            255.into(),
            256.into(),
        ];
        let mut seen: Vec<Vec<u8>> = keys.iter().map(bytes).collect();
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), keys.len());
    }

    #[test]
    fn a_key_has_the_same_bytes_however_it_is_typed() {
        assert_eq!(bytes(&7u8), bytes(&7i64));
        assert_eq!(bytes("x"), bytes(&"x".to_string()));
        assert_eq!(bytes(&(1u8, "x")), bytes(&AnyKey::from((1, "x"))));
        assert_eq!(bytes(&vec![1u8, 2]), bytes(&AnyKey::Bytes(vec![1, 2])));
        assert_eq!(bytes(&vec![1u16, 2]), bytes(&(1, 2)));
        assert_eq!(u8::from_key(&bytes(&300)).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(u64::from_key(&bytes(&-1)).unwrap_err().kind(), ErrorKind::Corrupt);
        assert!(String::from_key(&bytes(&1)).is_err() && <(u8, u8)>::from_key(&bytes(&(1, 2, 3))).is_err());
    }

    /// Defect: keys were put that could not be listed.
    #[test]
    fn what_is_too_deep_to_be_read_is_not_put() {
        let nested = |depth: usize, mut key: AnyKey| {
            (0..depth).for_each(|i| {
                key = if i % 2 == 0 { AnyKey::List(vec![0.into(), key.clone()]) } else { AnyKey::Some(Box::new(key.clone())) }
            });
            key
        };
        for (depth, sound) in [(0, true), (1, true), (63, true), (64, true), (65, false), (200, false)] {
            for inner in [AnyKey::from("text"), AnyKey::List(vec![])] {
                let inside = depth + usize::from(matches!(inner, AnyKey::List(_)));
                let encoded = bytes(&nested(depth, inner));
                assert_eq!(AnyKey::from_key(&encoded).is_ok(), inside <= 64);
                assert_eq!(check_depth(&encoded).is_ok(), inside <= 64, "{depth}");
                assert!(sound || check_depth(&encoded).unwrap_err().kind() == ErrorKind::Invalid);
            }
        }
        let folder = crate::testing::folder();
        let chest = crate::Chest::<AnyKey, u8>::temporary("1MiB", crate::ChestOptions::in_folder(folder.path())).unwrap();
        assert_eq!(chest.put(&nested(200, 1.into()), &1).unwrap_err().kind(), ErrorKind::Invalid);
        assert!(chest.put_reader(&nested(200, 1.into()), std::io::empty()).is_err());
        chest.put(&nested(64, 1.into()), &1).unwrap();
        assert_eq!(chest.keys().collect::<Result<Vec<_>>>().unwrap(), [nested(64, 1.into())]);
    }

    #[test]
    fn deep_lists_are_refused() {
        let deep = [LIST, 1].repeat(10_000);
        assert_eq!(AnyKey::from_key(&deep).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(AnyKey::from_key(&[SOME; 10_000]).unwrap_err().kind(), ErrorKind::Corrupt);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn bytes_tell_the_key(a in any_key(), b in any_key()) {
            prop_assert_eq!(AnyKey::from_key(&bytes(&a)).unwrap(), a.clone());
            prop_assert!(check_depth(&bytes(&a)).is_ok());
            prop_assert_eq!(bytes(&a) == bytes(&b), a == b);
        }

        #[test]
        fn typed_keys_come_back(a in any::<i64>(), b in "\\PC{0,20}", c in any::<Option<u8>>(), d in any::<Vec<u8>>(), e in any::<Vec<i16>>(), f in any::<u128>()) {
            let key = (a, b, c, (d, e), f);
            prop_assert_eq!(<(i64, String, Option<u8>, (Vec<u8>, Vec<i16>), u128)>::from_key(&bytes(&key)).unwrap(), key.clone());
            prop_assert_eq!(bytes(&AnyKey::from_key(&bytes(&key)).unwrap()), bytes(&key));
        }

        #[test]
        fn any_bytes_are_one_key_or_an_error(tail in proptest::collection::vec(prop::sample::select(vec![0u8, 1, 2, 3, 5, 6, 7, 8, 0x10, 0x11, 0x12, 0x31, 0x80]), 0..20)) {
            if let Ok(key) = AnyKey::from_key(&tail) {
                prop_assert_eq!(bytes(&key), tail);
            }
        }
    }
}
