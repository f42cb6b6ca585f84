//! The keys of user graphs: text, or text and integers.

use std::fmt;
use std::sync::Arc;

/// Begins an integer that is not negative; no byte of UTF-8 is equal to it.
const PLUS: u8 = 0xff;
/// Begins a negative integer, whose size follows.
const MINUS: u8 = 0xfe;
/// The bytes that a key holds without memory of its own.
const INLINE: usize = 22;

/// The key of a task in a [`super::Graph`]: text, or text and integers, as in Dask: `x`, `('x', 0, 3)`.
///
/// A key is held as the bytes of its text, and for each integer a byte that no text has in it and then the integer in
/// base 128, the most significant digit first. So different keys have different bytes.
///
/// ```
/// use chunkstore::graph::{GraphKey, key};
/// assert_eq!(key("x").to_string(), "x");
/// assert_eq!(key(("x", 0, 3)).to_string(), "('x', 0, 3)");
/// assert_eq!(key(("x", 0u64)), GraphKey::from(("x", 0i8)));
/// assert_ne!(key(("x", 1)), key("x1"));
/// ```
#[derive(Clone)]
pub struct GraphKey(Repr);

#[derive(Clone)]
enum Repr {
    Inline(u8, [u8; INLINE]),
    Shared(Arc<[u8]>),
}

/// Names a task of a graph, as an argument or as an alias; a text on its own is a literal.
pub fn key(key: impl Into<GraphKey>) -> GraphKey {
    key.into()
}

impl GraphKey {
    /// The key of `text` and `indices`; an index is whether it is negative, and its size.
    fn build<const N: usize>(text: &str, indices: [(bool, u64); N]) -> Self {
        let mut bytes = [0; INLINE];
        let mut len = 0;
        let mut push = |byte: u8| {
            if let Some(place) = bytes.get_mut(len) {
                *place = byte;
            }
            len += 1;
        };
        if text.len() <= INLINE {
            text.bytes().for_each(&mut push);
            indices.iter().for_each(|index| encode(*index, &mut push));
            if len <= INLINE {
                return GraphKey(Repr::Inline(len as u8, bytes));
            }
        }
        let mut long = text.as_bytes().to_vec();
        indices.iter().for_each(|index| encode(*index, &mut |byte| long.push(byte)));
        GraphKey(Repr::Shared(long.into()))
    }

    /// The key of `text` and any number of integers.
    pub fn with_indices(text: &str, indices: &[u32]) -> Self {
        match *indices {
            [] => Self::build(text, []),
            [i] => Self::build(text, [i.split()]),
            [i, j] => Self::build(text, [i.split(), j.split()]),
            [i, j, k] => Self::build(text, [i.split(), j.split(), k.split()]),
            _ => {
                let mut bytes = text.as_bytes().to_vec();
                indices.iter().for_each(|index| encode(index.split(), &mut |byte| bytes.push(byte)));
                Self::of_bytes(bytes)
            }
        }
    }

    /// The key of `text` and this key's integers.
    pub(crate) fn with_text(&self, text: &str) -> Self {
        let numbers = self.as_bytes().get(self.text().len()..).unwrap_or_default();
        Self::of_bytes([text.as_bytes(), numbers].concat())
    }

    fn of_bytes(bytes: Vec<u8>) -> Self {
        match bytes.len() {
            len if len <= INLINE => {
                let mut inline = [0; INLINE];
                inline.iter_mut().zip(&bytes).for_each(|(to, from)| *to = *from);
                GraphKey(Repr::Inline(len as u8, inline))
            }
            _ => GraphKey(Repr::Shared(bytes.into())),
        }
    }

    /// The bytes that stand for the key; different keys have different bytes.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Repr::Inline(len, bytes) => bytes.get(..*len as usize).unwrap_or(bytes),
            Repr::Shared(bytes) => bytes,
        }
    }

    /// The text, without the integers.
    pub fn text(&self) -> &str {
        let bytes = self.as_bytes();
        let end = bytes.iter().position(|byte| *byte >= MINUS).unwrap_or(bytes.len());
        bytes.get(..end).and_then(|text| std::str::from_utf8(text).ok()).unwrap_or("")
    }

    /// The integers.
    pub fn indices(&self) -> impl Iterator<Item = i128> {
        let mut bytes = self.as_bytes().get(self.text().len()..).unwrap_or_default().iter();
        std::iter::from_fn(move || {
            let sign = if *bytes.next()? == MINUS { -1 } else { 1 };
            let mut size = 0i128;
            for byte in bytes.by_ref() {
                size = size << 7 | i128::from(byte & 127);
                if byte & 128 == 0 {
                    break;
                }
            }
            Some(sign * size)
        })
    }

    /// The key in quotes, as a graph shows it: `'x'`, `('x', 0, 3)`.
    pub(crate) fn quoted(&self) -> String {
        let text = self.text().replace('\\', "\\\\").replace('\'', "\\'");
        let mut indices = self.indices().peekable();
        match indices.peek() {
            None => format!("'{text}'"),
            Some(_) => indices.fold(format!("('{text}'"), |shown, index| format!("{shown}, {index}")) + ")",
        }
    }
}

fn encode((negative, size): (bool, u64), push: &mut impl FnMut(u8)) {
    push(if negative { MINUS } else { PLUS });
    let digits = (64 - size.leading_zeros()).div_ceil(7).max(1);
    for digit in (0..digits).rev() {
        let low = (size >> (7 * digit)) as u8 & 127;
        push(if digit > 0 { low | 128 } else { low });
    }
}

impl PartialEq for GraphKey {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Repr::Inline(a, left), Repr::Inline(b, right)) => a == b && left == right,
            _ => self.as_bytes() == other.as_bytes(),
        }
    }
}

impl Eq for GraphKey {}

impl std::hash::Hash for GraphKey {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl PartialOrd for GraphKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for GraphKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.text().cmp(other.text()).then_with(|| self.indices().cmp(other.indices()))
    }
}

impl fmt::Display for GraphKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.indices().next() {
            None => f.write_str(self.text()),
            Some(_) => f.write_str(&self.quoted()),
        }
    }
}

impl fmt::Debug for GraphKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.quoted())
    }
}

/// An integer in a [`GraphKey`]; integers of different types and equal value are the same.
pub trait KeyIndex: Copy {
    /// Whether it is negative, and its size.
    fn split(self) -> (bool, u64);
}

macro_rules! indices {
    ($($t:ty),*) => { $(
        impl KeyIndex for $t {
            #[allow(unused_comparisons)]
            fn split(self) -> (bool, u64) {
                (self < 0, (self as i128).unsigned_abs() as u64)
            }
        }
    )* };
}
indices!(i8, i16, i32, i64, isize, u8, u16, u32, u64, usize);

impl From<&str> for GraphKey {
    fn from(text: &str) -> Self {
        GraphKey::build(text, [])
    }
}

impl From<String> for GraphKey {
    fn from(text: String) -> Self {
        GraphKey::build(&text, [])
    }
}

impl From<&String> for GraphKey {
    fn from(text: &String) -> Self {
        GraphKey::build(text, [])
    }
}

impl From<&GraphKey> for GraphKey {
    fn from(key: &GraphKey) -> Self {
        key.clone()
    }
}

macro_rules! tuples {
    ($(($($t:ident $i:ident),*))*) => { $(
        impl<Text: AsRef<str>, $($t: KeyIndex),*> From<(Text, $($t),*)> for GraphKey {
            fn from((text, $($i),*): (Text, $($t),*)) -> Self {
                GraphKey::build(text.as_ref(), [$($i.split()),*])
            }
        }
    )* };
}
tuples!((A a) (A a, B b) (A a, B b, C c) (A a, B b, C c, D d) (A a, B b, C c, D d, E e) (A a, B b, C c, D d, E e, F f));

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn keys_come_apart_again(text in ".{0,30}", i in any::<i64>(), j in any::<u64>(), k in any::<i8>()) {
            let key = GraphKey::from((&text, i, j, k));
            prop_assert_eq!(key.text(), &text);
            prop_assert_eq!(key.indices().collect::<Vec<_>>(), vec![i.into(), j.into(), k.into()]);
            prop_assert_eq!(GraphKey::from(&text).indices().count(), 0);
        }

        #[test]
        fn long_and_short_ways_agree(text in "[a-z]{0,24}", indices in prop::collection::vec(any::<u32>(), 0..6)) {
            let key = GraphKey::with_indices(&text, &indices);
            prop_assert_eq!(key.text(), &text);
            prop_assert!(key.indices().eq(indices.iter().map(|i| i128::from(*i))));
            if let [i, j] = indices[..] {
                prop_assert_eq!(key, GraphKey::from((text, i, j)));
            }
        }
    }

    #[test]
    fn different_keys_differ() {
        let keys = [key("x"), key("x1"), key(("x", 1)), key(("x", -1)), key(("x", 1, 0)), key(("x", 128)), key("('x', 1)"), key("")];
        for (i, left) in keys.iter().enumerate() {
            for (j, right) in keys.iter().enumerate() {
                assert_eq!(left == right, i == j, "{left:?} {right:?}");
            }
        }
        assert_eq!(size_of::<GraphKey>(), 24);
    }
}
