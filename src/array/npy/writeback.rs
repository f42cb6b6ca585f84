//! Getting written bytes out of the page cache.
#![allow(unsafe_code)]

use rustix::fs::Advice;
use std::fs::File;
use std::io;
use std::num::NonZeroU64;
use std::os::fd::AsRawFd;

/// Starts writing `len` bytes at `offset` to disk, and does not wait.
pub(super) fn start(file: &File, offset: u64, len: u64) -> io::Result<()> {
    match sync(file, offset, len, libc::SYNC_FILE_RANGE_WRITE) {
        Err(e) if missing(&e) => Ok(()),
        other => other,
    }
}

/// Waits until `len` bytes at `offset` are on their way to disk, and drops them from the page cache. This is no promise that they survive a
/// power failure: that takes an fsync.
///
/// An error is given once, here and not again by a later fsync: the file must not be trusted any more.
pub(super) fn finish(file: &File, offset: u64, len: u64) -> io::Result<()> {
    let all = libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    match sync(file, offset, len, all) {
        Err(e) if missing(&e) => file.sync_data()?,
        other => other?,
    }
    // Only advice: what stays in the cache is clean, and goes when memory is needed.
    let _ = rustix::fs::fadvise(file, offset, NonZeroU64::new(len), Advice::DontNeed);
    Ok(())
}

/// Whether the file system does not know how to write a range.
fn missing(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EINVAL | libc::EOPNOTSUPP | libc::ESPIPE))
}

fn sync(file: &File, offset: u64, len: u64, flags: libc::c_uint) -> io::Result<()> {
    let out_of_range = |_| io::Error::from(io::ErrorKind::InvalidInput);
    let (offset, len) = (offset.try_into().map_err(out_of_range)?, len.try_into().map_err(out_of_range)?);
    // SAFETY: the call takes no pointers, and `file` keeps its descriptor open. No safe crate in use here offers it.
    match unsafe { libc::sync_file_range(file.as_raw_fd(), offset, len, flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
