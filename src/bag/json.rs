//! JSON values as elements.

use super::pluck::Pluck;
use chunkstore_store::serial::is_measured;
use serde::de::{Deserialize, Deserializer, Error};
use serde::ser::{Serialize, Serializer};
use serde_json::Value;
use std::fmt;
use std::ops::{Deref, DerefMut};

/// A JSON value of whatever kind, as an element of bags: what `json.loads` gives in Python.
///
/// Bags keep their elements in a compact form that says nothing of their types; a [`serde_json::Value`] cannot be read back from that. This is kept as JSON text.
///
/// ```
/// use chunkstore::bag::{self, Json};
/// let lines = bag::from_sequence([r#"{"name": "Ada", "born": 1815}"#, r#"{"name": "Emmy"}"#].map(String::from), 2);
/// let people = lines.try_map(|line| line.parse::<Json>());
/// assert_eq!(people.pluck("name").compute()?, [Json::from("Ada"), Json::from("Emmy")]);
/// assert_eq!(people.pluck_or("born", Json::default()).filter(|born| born.is_null()).count().compute()?, 1);
/// # Ok::<(), chunkstore::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Json(pub Value);

impl<V: Into<Value>> From<V> for Json {
    fn from(value: V) -> Self {
        Json(value.into())
    }
}

impl std::str::FromStr for Json {
    type Err = serde_json::Error;

    fn from_str(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text).map(Json)
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Deref for Json {
    type Target = Value;

    fn deref(&self) -> &Value {
        &self.0
    }
}

impl DerefMut for Json {
    fn deref_mut(&mut self) -> &mut Value {
        &mut self.0
    }
}

impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // What it takes in memory is what the tree does.
        match serializer.is_human_readable() || is_measured::<S>() {
            true => self.0.serialize(serializer),
            false => serializer.collect_str(&self.0),
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.is_human_readable() {
            true => Value::deserialize(deserializer).map(Json),
            false => String::deserialize(deserializer)?.parse().map_err(D::Error::custom),
        }
    }
}

impl Pluck<Json> for &'static str {
    type Part = Json;

    fn pluck(&self, item: Json) -> Option<Json> {
        Pluck::<Value>::pluck(self, item.0).map(Json)
    }

    fn name(&self) -> Option<String> {
        Pluck::<Value>::name(self)
    }
}

impl Pluck<Json> for usize {
    type Part = Json;

    fn pluck(&self, item: Json) -> Option<Json> {
        Pluck::<Value>::pluck(self, item.0).map(Json)
    }

    fn name(&self) -> Option<String> {
        Pluck::<Value>::name(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chunkstore_store::serial::{decode, encode, heap_bytes};

    #[test]
    fn it_is_measured_as_a_tree_and_encoded_as_text() {
        let json = Json(serde_json::json!({"words": vec!["a"; 50], "n": [1.5, null]}));
        // 50 values of 32 bytes, and as many texts of a byte.
        assert!((3_200..6_000).contains(&heap_bytes(&json)), "{}", heap_bytes(&json));
        assert!(heap_bytes(&vec![json.clone(); 10]) > 32_000);
        let mut bytes = Vec::new();
        assert!(encode(&json, &mut bytes).is_ok() && bytes.len() < 300);
        assert_eq!(decode::<Json>(&bytes, usize::MAX).ok().map(|(json, _)| json), Some(json));
    }
}
