//! The room on a disk.

use std::fs::File;

/// The bytes that are free on the disk of a file for who has no privileges; nothing where the file system does not tell.
///
/// ```
/// let file = tempfile::tempfile()?;
/// assert!(chunkstore_store::io::free_bytes(&file).is_none_or(|free| free > 0));
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn free_bytes(file: &File) -> Option<u64> {
    let room = rustix::fs::fstatvfs(file).ok()?;
    (room.f_blocks > 0).then(|| room.f_bavail.saturating_mul(room.f_frsize))
}
