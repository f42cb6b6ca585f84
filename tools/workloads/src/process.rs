//! What is asked of the operating system about this process and its files.

use rustix::fs::Advice;
use std::fs::File;
use std::io;
use std::path::Path;

/// The most memory that this process has had resident, in bytes: `VmHWM`.
pub(crate) fn peak_rss_bytes() -> Option<u64> {
    status("VmHWM:")
}

/// The memory that this process has resident, in bytes: `VmRSS`.
pub(crate) fn rss_bytes() -> Option<u64> {
    status("VmRSS:")
}

fn status(name: &str) -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    let kib: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib * 1024)
}

/// Drops a file from the page cache, so that it is read from disk.
pub(crate) fn evict(path: &Path) -> io::Result<()> {
    let file = File::open(path)?;
    file.sync_data()?;
    Ok(rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)?)
}
