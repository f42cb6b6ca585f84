//! The heap of the process, which is the system's allocator's.

#![allow(unsafe_code)]

/// Has the allocator give back to the system what was freed, wherever in the heap it is. It looks through all that is free, which takes milliseconds where that is much.
pub fn trim_heap() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: `malloc_trim` takes the allocator's own locks, and touches nothing that is in use.
    unsafe {
        libc::malloc_trim(0);
    }
}
