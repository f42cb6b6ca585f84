//! The only user of bincode: records and headers of variable shape to bytes and back.
//!
//! The format is bincode 2's standard configuration (little-endian, integers of variable length) through serde. bincode
//! counts a variable integer as its full size and takes its limit as a constant, so the limit that it is given is the least
//! of a few constants that is 16 times the bytes there are; it keeps a damaged length from asking for much memory.

use crate::{Error, ErrorKind, Result};
use bincode::config::{Configuration, Limit, standard};
use bincode::error::{DecodeError, EncodeError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use whole::Whole;

mod heap;
mod sizes;
mod whole;

pub use heap::{allocated, heap_bytes, is_measured};

/// What types can be.
const PLAIN: &str = "neither names nor types are encoded, so that a type of which serde flattens a part, leaves fields out, or finds out what comes by looking \
                     (untagged and internally tagged enums, `serde_json::Value`) cannot be kept: use plain structs and enums, or text, or, for any JSON, \
                     `bag::Json`";

/// Appends `value` to `out`.
///
/// # Errors
/// Invalid where the type cannot be encoded so that it can be decoded again: where serde flattens a part of it, or leaves fields out of some values.
pub fn encode<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<()> {
    encode_into(value, out)
}

/// As [`encode`], so that values that are equal are so in bytes: `-0.0` is encoded as `0.0` and every NaN alike, and the elements of a `HashSet` or a `HashMap` in an order that their bytes
/// decide. It decodes to an equal value.
///
/// # Errors
/// As for [`encode`].
///
/// ```
/// use chunkstore_store::serial::encode_key;
/// use std::collections::HashSet;
/// let key = |set: HashSet<&str>| {
///     let mut out = Vec::new();
///     encode_key(&(set, -0.0), &mut out).map(|()| out)
/// };
/// assert_eq!(key(HashSet::from(["a", "b", "c"]))?, key(HashSet::from(["c", "b", "a"]))?);
/// # Ok::<(), chunkstore_store::Error>(())
/// ```
pub fn encode_key<T: Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) -> Result<()> {
    encode_as::<true, T>(value, out)
}

/// Writes `value` to `out`, which takes all that it is given.
///
/// # Errors
/// As for [`encode`].
pub(crate) fn encode_into<T: Serialize + ?Sized>(value: &T, out: &mut impl std::io::Write) -> Result<()> {
    encode_as::<false, T>(value, out)
}

fn encode_as<const KEY: bool, T: Serialize + ?Sized>(value: &T, out: &mut impl std::io::Write) -> Result<()> {
    match bincode::serde::encode_into_std_write(Whole::<KEY, T>(value), out, standard()) {
        Ok(_) => Ok(()),
        Err(error) => {
            let why = match error {
                EncodeError::OtherString(why) => why,
                error => error.to_string(),
            };
            let message = format!("a {} cannot be encoded: {why}", std::any::type_name::<T>());
            Err(Error::new(ErrorKind::Invalid, message).hint(PLAIN))
        }
    }
}

/// The value at the beginning of `bytes`, and how many bytes it takes, which are at most `limit`.
///
/// # Errors
/// Corrupt where there is no such value.
pub fn decode<T: DeserializeOwned>(bytes: &[u8], limit: usize) -> Result<(T, usize)> {
    let bytes = bytes.get(..limit).unwrap_or(bytes);
    match bytes.len() {
        0..=0xfff => within::<T, { 1 << 16 }>(bytes),
        0x1000..=0xffff => within::<T, { 1 << 20 }>(bytes),
        0x1_0000..=0xf_ffff => within::<T, { 1 << 24 }>(bytes),
        0x10_0000..=0xff_ffff => within::<T, { 1 << 28 }>(bytes),
        0x100_0000..=0xfff_ffff => within::<T, { 1 << 32 }>(bytes),
        _ => within::<T, { 1 << 40 }>(bytes),
    }
}

/// The text at the beginning of `bytes`, and how many bytes it takes with its length.
///
/// # Errors
/// Corrupt where there is no text.
pub fn decode_str(bytes: &[u8]) -> Result<(&str, usize)> {
    bincode::serde::borrow_decode_from_slice(bytes, standard())
        .map_err(|error| Error::new(ErrorKind::Corrupt, format!("no text can be decoded: {error}")))
}

fn within<T: DeserializeOwned, const LIMIT: usize>(bytes: &[u8]) -> Result<(T, usize)> {
    let config: Configuration<_, _, Limit<LIMIT>> = standard().with_limit::<LIMIT>();
    bincode::serde::decode_from_slice(bytes, config).map_err(|error| {
        let message = format!("no {} can be decoded: {error}", std::any::type_name::<T>());
        match error {
            // Its type asks for what no bytes can tell.
            DecodeError::Serde(_) => Error::new(ErrorKind::Unsupported, message).hint(PLAIN),
            _ => Error::new(ErrorKind::Corrupt, message),
        }
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Record = (String, Vec<u64>, Option<f64>, i16, Vec<u8>, bool);

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn values_come_back(
            text in "\\PC{0,40}", numbers in prop::collection::vec(any::<u64>(), 0..60), some in any::<Option<i32>>(),
            small in any::<i16>(), bytes in prop::collection::vec(any::<u8>(), 0..99), flag in any::<bool>(), cut in 1usize..99,
        ) {
            let record: Record = (text, numbers, some.map(f64::from), small, bytes, flag);
            let mut out = vec![9, 9];
            encode(&record, &mut out).unwrap();
            let (back, n) = decode::<Record>(&out[2..], usize::MAX).unwrap();
            prop_assert_eq!(back, record);
            prop_assert_eq!(n, out.len() - 2);
            prop_assert_eq!(decode::<Record>(&out[2..], n - cut.min(n)).unwrap_err().kind(), ErrorKind::Corrupt);
        }

        #[test]
        fn any_bytes_are_a_value_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode::<Record>(&bytes, usize::MAX);
        }
    }

    #[test]
    fn equal_keys_are_equal_bytes_and_come_back() {
        use std::collections::{BTreeMap, HashMap, HashSet};
        type Key = (f64, Option<f32>, Vec<HashSet<(u8, String)>>, HashMap<String, HashSet<u16>>, BTreeMap<u8, f64>, Vec<u32>);
        let key = |zero: f64, nan: f32, order: &dyn Fn(u16) -> u16| -> Key {
            let numbers = || (0..40).map(order);
            let set = numbers().map(|n| (n as u8, format!("{n}"))).collect();
            let map = numbers().map(|n| (n.to_string(), numbers().filter(|m| m % 3 == n % 3).collect())).collect();
            (zero, Some(nan), vec![set, HashSet::new()], map, BTreeMap::from([(1, zero)]), vec![3, 1, 2])
        };
        let bytes = |key: &Key| {
            let mut out = Vec::new();
            encode_key(key, &mut out).unwrap();
            out
        };
        let (one, two) = (key(0.0, f32::NAN, &|n| n), key(-0.0, -f32::NAN, &|n| 39 - n));
        assert_eq!(bytes(&one), bytes(&two));
        let (back, n) = decode::<Key>(&bytes(&two), usize::MAX).unwrap();
        assert!((back.0.to_bits(), back.1.unwrap().is_nan(), n) == (0, true, bytes(&one).len()));
        assert_eq!((back.2, back.3, back.4, back.5), (one.2, one.3, one.4, one.5));
    }

    #[derive(serde::Serialize, serde::Deserialize, Debug, PartialEq)]
    struct Left {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        a: Option<u8>,
        b: u64,
        #[serde(skip)]
        never: u8,
    }

    #[derive(serde::Serialize, serde::Deserialize, Debug, PartialEq)]
    #[serde(untagged)]
    enum Untagged {
        Number(u64),
        Text(String),
    }

    #[test]
    fn types_that_could_not_come_back_are_refused() {
        let mut out = Vec::new();
        let left = |a| Left { a, b: 7, never: 0 };
        encode(&left(Some(1)), &mut out).unwrap();
        assert_eq!(decode::<Left>(&out, usize::MAX).unwrap().0, left(Some(1)));
        // Also inside others.
        for wrong in
            [encode(&left(None), &mut out), encode(&vec![(1u8, Some(std::collections::BTreeMap::from([(1, left(None))])))], &mut out)]
        {
            let error = wrong.unwrap_err();
            assert!(error.kind() == ErrorKind::Invalid && error.to_string().contains("`a` is left out"), "{error}");
        }
        out.clear();
        encode(&Untagged::Number(1), &mut out).unwrap();
        let error = decode::<Untagged>(&out, usize::MAX).unwrap_err();
        assert!(error.kind() == ErrorKind::Unsupported && error.to_string().contains("untagged"), "{error}");
    }

    #[test]
    fn small_numbers_pass_every_limit() {
        for n in [10, 4_090, 5_000, 65_540, 1 << 20] {
            let (mut out, numbers) = (Vec::new(), vec![1u128; n]);
            encode(&numbers, &mut out).unwrap();
            assert!(out.len() < n + 10);
            assert_eq!(decode::<Vec<u128>>(&out, out.len()).unwrap(), (numbers, out.len()));
        }
    }

    #[test]
    fn a_damaged_length_asks_for_nothing() {
        let mut out = vec![253];
        out.extend_from_slice(&(1u64 << 45).to_le_bytes());
        for padding in [0, 5_000, 1 << 20] {
            out.resize(9 + padding, 0);
            assert_eq!(decode::<String>(&out, usize::MAX).unwrap_err().kind(), ErrorKind::Corrupt);
            assert_eq!(decode::<Vec<u8>>(&out, usize::MAX).unwrap_err().kind(), ErrorKind::Corrupt);
        }
    }
}
