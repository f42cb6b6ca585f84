//! Keeping what is written through the page cache from filling it.

#![allow(unsafe_code)]

use std::fs::File;
use std::os::fd::AsRawFd;

/// Starts writing the dirty pages of a range, without waiting. Advice: errors are of no consequence here, and those
/// of the medium come back from the write or sync that meets them.
pub(super) fn start(file: &File, offset: u64, len: u64) {
    sync_range(file, offset, len, libc::SYNC_FILE_RANGE_WRITE);
}

/// Waits until the pages of a range are written, and drops them from the page cache.
pub(super) fn finish_and_drop(file: &File, offset: u64, len: u64) {
    let flags = libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    sync_range(file, offset, len, flags);
    drop_cached(file, offset, len);
}

/// Drops the clean pages of a range from the page cache.
pub(super) fn drop_cached(file: &File, offset: u64, len: u64) {
    if let Some(len) = std::num::NonZeroU64::new(len) {
        rustix::fs::fadvise(file, offset, Some(len), rustix::fs::Advice::DontNeed).ok();
    }
}

fn sync_range(file: &File, offset: u64, len: u64, flags: libc::c_uint) {
    // SAFETY: the call takes numbers only, and the descriptor is open as long as `file` is borrowed.
    unsafe {
        libc::sync_file_range(file.as_raw_fd(), offset as i64, len as i64, flags);
    }
}
