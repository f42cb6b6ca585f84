//! The checksum of everything on disk.

/// The same, of bytes that come one after the other: fed through [`std::hash::Hasher::write`].
pub(crate) use twox_hash::XxHash3_64 as Running;

/// XXH3 with 64 bits and seed 0 of `bytes`, as specified by Yann Collet's xxHash.
///
/// ```
/// assert_eq!(chunkstore_store::checksum(b""), 0x2d06_8005_38d3_94c2);
/// ```
pub fn checksum(bytes: &[u8]) -> u64 {
    #[cfg(fuzzing)]
    if !STRONG.load(std::sync::atomic::Ordering::Relaxed) {
        return 0;
    }
    Running::oneshot(bytes)
}

/// Whether checksums depend on what they are of. When fuzzing they do not, unless asked for: input that was changed would never get past them.
#[cfg(fuzzing)]
static STRONG: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

/// Makes checksums depend on what they are of, as they do when not fuzzing.
#[cfg(fuzzing)]
#[doc(hidden)]
pub fn strong_checksums(strong: bool) {
    STRONG.store(strong, std::sync::atomic::Ordering::Relaxed);
}
