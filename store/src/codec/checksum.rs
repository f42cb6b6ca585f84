//! The checksum of everything on disk.

/// The same, of bytes that come one after the other: fed through [`std::hash::Hasher::write`].
pub(crate) use twox_hash::XxHash3_64 as Running;

/// XXH3 with 64 bits and seed 0 of `bytes`, as specified by Yann Collet's xxHash.
///
/// ```
/// assert_eq!(chunkstore_store::checksum(b""), 0x2d06_8005_38d3_94c2);
/// ```
pub fn checksum(bytes: &[u8]) -> u64 {
    Running::oneshot(bytes)
}
