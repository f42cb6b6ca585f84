//! How scratch is kept.

use crate::Encoding;
use std::path::{Path, PathBuf};

/// Where scratch is, how much of it there may be, and how many threads use it.
///
/// ```
/// use chunkstore_store::ScratchOptions;
/// let options = ScratchOptions::new("/var/tmp").quota(Some(10 << 30)).threads(2);
/// assert_eq!(options.folder(), std::path::Path::new("/var/tmp"));
/// ```
#[derive(Debug, Clone)]
pub struct ScratchOptions {
    pub(super) folder: PathBuf,
    pub(super) quota: Option<u64>,
    pub(super) threads: usize,
    pub(super) encoding: Option<Encoding>,
}

impl ScratchOptions {
    /// Scratch in a folder of its own inside `folder`, without a quota, for two threads.
    pub fn new(folder: impl AsRef<Path>) -> Self {
        ScratchOptions { folder: folder.as_ref().to_path_buf(), quota: None, threads: 2, encoding: None }
    }

    /// The most bytes that the scratch files may have together; without one, the disk is the limit.
    pub fn quota(mut self, bytes: Option<u64>) -> Self {
        self.quota = bytes;
        self
    }

    /// How many threads can encode and decode at once. For each, staging buffers of
    /// [`Scratch::staging_bytes`](crate::Scratch::staging_bytes) are booked when scratch is opened; more threads than
    /// that wait for each other.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.clamp(1, 64);
        self
    }

    /// Encodes all that is written in one way; by default what pays is found out by probing.
    pub fn encoding(mut self, encoding: Option<Encoding>) -> Self {
        self.encoding = encoding;
        self
    }

    /// The folder in which scratch makes its own.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}
