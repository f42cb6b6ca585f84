//! Encoded bytes: any bytes decode to something or are an error; what was encoded comes back.
#![no_main]

use chunkstore_store::{Codec, Encoding};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, u8, u16, Vec<u8>)| {
    let (encoding, item_size, len, bytes) = input;
    let Some(encoding) = Encoding::from_code(encoding % 3) else { return };
    let item_size = usize::from(item_size % 17).max(1);
    let mut codec = Codec::new();
    let mut out = vec![0; usize::from(len)];
    codec.decode(encoding, item_size, &bytes, &mut out).ok();

    let mut encoded = vec![0; bytes.len() + 64];
    if let Ok(Some(n)) = codec.encode(encoding, item_size, &bytes, &mut encoded) {
        let mut back = vec![0; bytes.len()];
        codec.decode(encoding, item_size, &encoded[..n], &mut back).expect("what was encoded can be decoded");
        assert_eq!(back, bytes);
    }
});
