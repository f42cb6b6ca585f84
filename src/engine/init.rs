//! What a program does first.

#![allow(unsafe_code)]

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

static CALLED: AtomicBool = AtomicBool::new(false);

/// Threads that share an arena of the allocator wait for each other: there is one for each core, up to so many, and so many more for threads that load and write.
#[cfg(target_env = "gnu")]
const MOST_CORES: usize = 16;
#[cfg(target_env = "gnu")]
const FURTHER: i32 = 2;

/// Prepares the process for a memory bound. To be the first line of `main`.
///
/// The system's allocator keeps memory that was freed, and so does more than a bound allows. This has it give back what is large: blocks of
/// 128 KiB and more are mapped for themselves, the rest is trimmed early, and threads share few arenas. Without this call an
/// [`Engine`](super::Engine) books a larger margin.
///
/// ```
/// chunkstore::init();
/// ```
pub fn init() {
    #[cfg(target_env = "gnu")]
    {
        let arenas = std::thread::available_parallelism().map_or(1, |cores| cores.get().min(MOST_CORES)) as i32 + FURTHER;
        // SAFETY: `mallopt` only sets parameters of the allocator; it takes the allocator's own lock.
        unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, 128 << 10);
            libc::mallopt(libc::M_TRIM_THRESHOLD, 256 << 10);
            libc::mallopt(libc::M_ARENA_MAX, arenas);
        }
    }
    CALLED.store(true, Relaxed);
}

/// Whether [`init`] has been called.
pub(crate) fn was_called() -> bool {
    CALLED.load(Relaxed)
}
