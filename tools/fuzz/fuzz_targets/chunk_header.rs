//! Headers of chunks: any bytes are a header or an error; a header that was decoded is encoded to the same bytes.
#![no_main]

use chunkstore_store::ChunkHeader;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok((header, n)) = ChunkHeader::decode(bytes) {
        let mut again = Vec::new();
        header.encode(&mut again);
        assert_eq!(again, bytes[..n]);
    }
});
