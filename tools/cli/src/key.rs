//! Keys of chunks as text.

use crate::hex::hex;
use chunkstore_store::{AnyKey, ChestKey, Store};
use std::collections::HashMap;

/// The number of a chunk, where a key has the length of one.
pub(crate) fn number(key: &[u8]) -> Option<u64> {
    key.try_into().ok().map(u64::from_be_bytes)
}

/// A key in a dataset of that kind: `chunk 7`, `key ("a", 1)` in a chest, else digits.
pub(crate) fn text(kind: &str, key: &[u8]) -> String {
    match (kind, number(key)) {
        ("chest", _) => format!("key {}", in_chest(key).unwrap_or_else(|| hex(key, 32))),
        (_, Some(number)) => format!("chunk {number}"),
        _ => format!("key {}", hex(key, 32)),
    }
}

/// The key of a chest that these bytes are; none where they are another, such as that of a part of a long value.
pub(crate) fn in_chest(key: &[u8]) -> Option<String> {
    AnyKey::from_key(key).ok().map(|key| key.to_string())
}

/// The kinds of the datasets of a store, by name, as far as they can be read.
pub(crate) fn kinds(store: &Store) -> HashMap<String, String> {
    store.infos("").unwrap_or_default().into_iter().map(|info| (info.name, info.kind)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chunkstore_store::EncodeKey;

    #[test]
    fn keys_are_shown_as_what_they_are() {
        let mut key = Vec::new();
        ("a", 1).encode_key(&mut key);
        assert_eq!(text("chest", &key), "key (\"a\", 1)");
        assert_eq!(text("chest", &[255]), "key ff");
        assert_eq!([text("array", &7u64.to_be_bytes()), text("blob", b"ab")], ["chunk 7", "key 6162"]);
    }
}
