//! The checksum of everything on disk.

/// XXH3 with 64 bits and seed 0 of `bytes`, as specified by Yann Collet's xxHash.
///
/// ```
/// assert_eq!(chunkstore_store::checksum(b""), 0x2d06_8005_38d3_94c2);
/// ```
pub fn checksum(bytes: &[u8]) -> u64 {
    twox_hash::XxHash3_64::oneshot(bytes)
}
