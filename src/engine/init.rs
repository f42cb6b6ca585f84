//! What a program does first.

#![allow(unsafe_code)]

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

static CALLED: AtomicBool = AtomicBool::new(false);

/// Prepares the process for a memory bound. To be the first line of `main`.
///
/// The system's allocator keeps memory that was freed, and so does more than a bound allows. This has it give back what is large: blocks of
/// 128 KiB and more are mapped for themselves, the rest is trimmed early, and all threads share two arenas. Without this call an
/// [`Engine`](super::Engine) books a larger margin.
///
/// ```
/// chunkstore::init();
/// ```
pub fn init() {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: `mallopt` only sets parameters of the allocator; it takes the allocator's own lock.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, 128 << 10);
            libc::mallopt(libc::M_TRIM_THRESHOLD, 256 << 10);
            libc::mallopt(libc::M_ARENA_MAX, 2);
        }
    }
    CALLED.store(true, Relaxed);
}

/// Whether [`init`] has been called.
pub(crate) fn was_called() -> bool {
    CALLED.load(Relaxed)
}
