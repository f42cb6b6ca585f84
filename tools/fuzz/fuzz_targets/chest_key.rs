//! Keys of chests: any bytes are a key or an error, and a key has one encoding.
#![no_main]

use chunkstore_store::{AnyKey, ChestKey, EncodeKey};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(key) = AnyKey::from_key(bytes) {
        let mut again = Vec::new();
        key.encode_key(&mut again);
        assert_eq!(again, bytes, "{key}");
        let _ = format!("{key:?}");
    }
    <(String, u64)>::from_key(bytes).ok();
    <Vec<(Option<i8>, Vec<u8>)>>::from_key(bytes).ok();
    <(i128, char, bool)>::from_key(bytes).ok();
});
