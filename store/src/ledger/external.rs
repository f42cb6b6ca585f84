//! Memory that the user owns and has given to us.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

static EXTERNAL: AtomicU64 = AtomicU64::new(0);

/// The bytes that are registered as [`External`] in this process.
pub fn external_bytes() -> u64 {
    EXTERNAL.load(Relaxed)
}

/// Bytes of the user's memory that count against the bound of every engine until this is dropped.
///
/// The arrays given to [`Buffer::from_vec`](crate::Buffer::from_vec) register themselves.
///
/// ```
/// use chunkstore_store::{External, external_bytes};
/// let before = external_bytes();
/// let external = External::register(1 << 20);
/// assert_eq!(external_bytes() - before, 1 << 20);
/// drop(external);
/// ```
#[derive(Debug)]
pub struct External {
    bytes: u64,
}

impl External {
    /// Registers `bytes`.
    pub fn register(bytes: u64) -> Self {
        EXTERNAL.fetch_add(bytes, Relaxed);
        External { bytes }
    }

    /// The bytes that this registers.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for External {
    fn drop(&mut self) {
        EXTERNAL.fetch_sub(self.bytes, Relaxed);
    }
}
