//! The chunks of a dataset that a repair could not keep.
//!
//! They are remembered in what describes the dataset, as `"gone": {"chunks": [[first, last], ...], "keys": ["hex", ...], "others": n}`: ranges of chunk
//! numbers, other keys, and how many more there are of which no key is known. What does not know of this passes over it.

use super::dataset::chunk_key;
use serde_json::{Map, Value, json};

const NAME: &str = "gone";

/// The most ranges and keys that are remembered one by one.
const MOST: usize = 10_000;

/// The chunks of a dataset that repairs found to be damaged, and could not keep.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Gone {
    /// Ranges of chunk numbers, first and last, in order.
    pub chunks: Vec<(u64, u64)>,
    /// Keys that are no chunk numbers.
    pub keys: Vec<Vec<u8>>,
    /// How many more there were, whose keys are not known.
    pub others: u64,
}

impl Gone {
    /// How many there are.
    pub fn len(&self) -> u64 {
        let chunks = self.chunks.iter().fold(0u64, |sum, (first, last)| sum.saturating_add(last.saturating_sub(*first).saturating_add(1)));
        chunks.saturating_add(self.keys.len() as u64).saturating_add(self.others)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether the chunk of a key is known to be one of them.
    pub fn contains(&self, key: &[u8]) -> bool {
        match key.try_into().map(u64::from_be_bytes) {
            Ok(n) => self.chunks.iter().any(|(first, last)| (*first..=*last).contains(&n)),
            Err(_) => self.keys.iter().any(|gone| gone == key),
        }
    }

    /// Those that metadata tell of.
    pub(crate) fn of(meta: &str) -> Gone {
        if !meta.contains(NAME) {
            return Gone::default();
        }
        serde_json::from_str(meta).map(|meta: Value| Gone::in_meta(&meta)).unwrap_or_default()
    }

    /// As [`Gone::of`].
    pub(crate) fn in_meta(meta: &Value) -> Gone {
        let Some(gone) = meta.get(NAME) else { return Gone::default() };
        let list = |name: &str| gone.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
        let range = |range: &Value| Some((range.get(0)?.as_u64()?, range.get(1)?.as_u64()?));
        Gone {
            chunks: list("chunks").iter().filter_map(range).collect(),
            keys: list("keys").iter().filter_map(|key| unhex(key.as_str()?)).collect(),
            others: gone.get("others").and_then(Value::as_u64).unwrap_or(0),
        }
    }

    /// Adds a key.
    pub(crate) fn add(&mut self, key: &[u8]) {
        if self.contains(key) {
            return;
        }
        match key.try_into().map(u64::from_be_bytes) {
            Ok(n) => {
                let at = self.chunks.partition_point(|(first, _)| *first <= n);
                self.chunks.insert(at, (n, n));
                let joins = |(_, last): (u64, u64), (first, _): (u64, u64)| last.checked_add(1) == Some(first);
                for left in [Some(at), at.checked_sub(1)].into_iter().flatten() {
                    if let (Some(a), Some(b)) = (self.chunks.get(left).copied(), self.chunks.get(left + 1).copied())
                        && joins(a, b)
                    {
                        self.chunks.splice(left..left + 2, [(a.0, b.1)]);
                    }
                }
            }
            Err(_) => self.keys.push(key.to_vec()),
        }
    }

    /// The metadata with these, as JSON; as they were where they are no object.
    pub(crate) fn write(&self, meta: &str) -> String {
        let Ok(mut all) = serde_json::from_str::<Map<String, Value>>(meta) else { return meta.to_owned() };
        let (mut short, before) = (self.clone(), self.len());
        short.chunks.truncate(MOST);
        short.keys.truncate(MOST);
        short.others += before - short.len();
        let keys: Vec<String> = short.keys.iter().map(|key| hex(key)).collect();
        let chunks: Vec<Value> = short.chunks.iter().map(|(first, last)| json!([first, last])).collect();
        all.insert(NAME.to_owned(), json!({ "chunks": chunks, "keys": keys, "others": short.others }));
        Value::Object(all).to_string()
    }

    /// What is said of a chunk that is not there, by its key.
    pub(crate) fn tells_of(&self, key: &[u8], wanted: impl FnOnce() -> Option<u64>) -> bool {
        let of_grid = || wanted().is_some_and(|wanted| <[u8; 8]>::try_from(key).is_ok_and(|key| key < chunk_key(wanted)));
        self.contains(key) || (self.others > 0 && of_grid())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.chars().map(|digit| digit.to_digit(16).map(|digit| digit as u8)).collect::<Option<_>>()?;
    let pairs = digits.chunks_exact(2);
    pairs.remainder().is_empty().then(|| pairs.map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_comes_back() {
        let mut gone = Gone::default();
        for n in [5u64, 9, 7, 6, 5, 8, 0, u64::MAX] {
            gone.add(&n.to_be_bytes());
        }
        gone.add(b"a key");
        gone.add(b"a key");
        gone.others = 3;
        assert_eq!((gone.chunks.as_slice(), gone.len()), (&[(0, 0), (5, 9), (u64::MAX, u64::MAX)][..], 11));
        let meta = gone.write("{\"type\":\"x\"}");
        assert_eq!(Gone::of(&meta), gone);
        assert!(meta.contains("\"type\":\"x\""));
        assert!(gone.contains(&7u64.to_be_bytes()) && gone.contains(b"a key") && !gone.contains(&4u64.to_be_bytes()));
        assert!(gone.tells_of(&4u64.to_be_bytes(), || Some(5)) && !gone.tells_of(&4u64.to_be_bytes(), || Some(4)));
        assert_eq!((Gone::of("{}"), Gone::of("gone"), gone.write("[]")), (Gone::default(), Gone::default(), "[]".to_owned()));
    }
}
