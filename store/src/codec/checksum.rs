//! The checksum of everything on disk.

/// The same, of bytes that come one after the other: fed through [`std::hash::Hasher::write`].
#[cfg(not(fuzzing))]
pub(crate) use twox_hash::XxHash3_64 as Running;

#[cfg(fuzzing)]
pub(crate) use fuzzed::Running;
#[cfg(fuzzing)]
pub use fuzzed::strong_checksums;

/// XXH3 with 64 bits and seed 0 of `bytes`, as specified by Yann Collet's xxHash.
///
/// ```
/// assert_eq!(chunkstore_store::checksum(b""), 0x2d06_8005_38d3_94c2);
/// ```
pub fn checksum(bytes: &[u8]) -> u64 {
    Running::oneshot(bytes)
}

/// When fuzzing, all checksums are 0 unless asked for: input that was changed would never get past them.
#[cfg(fuzzing)]
mod fuzzed {
    use std::hash::Hasher;
    use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
    use twox_hash::XxHash3_64;

    static STRONG: AtomicBool = AtomicBool::new(false);

    /// Makes checksums depend on what they are of, as they do when not fuzzing.
    #[doc(hidden)]
    pub fn strong_checksums(strong: bool) {
        STRONG.store(strong, Relaxed);
    }

    pub(crate) struct Running(XxHash3_64);

    impl Running {
        pub(crate) fn new() -> Self {
            Running(XxHash3_64::new())
        }

        pub(crate) fn oneshot(bytes: &[u8]) -> u64 {
            if STRONG.load(Relaxed) { XxHash3_64::oneshot(bytes) } else { 0 }
        }
    }

    impl Hasher for Running {
        fn write(&mut self, bytes: &[u8]) {
            self.0.write(bytes);
        }

        fn finish(&self) -> u64 {
            if STRONG.load(Relaxed) { self.0.finish() } else { 0 }
        }
    }
}
