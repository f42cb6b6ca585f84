//! A path with the state of the file that it leads to.

use super::Plain;
use std::path::{Path, PathBuf};

/// A path with the size of its file and the time at which that was last written, as an argument of a delayed call: calls with one state of a file have other keys
/// than calls with another, so that what was made of the old file is not taken for what the new one gives. Of a plain path only the text counts.
///
/// Made by [`StampedPath::of`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StampedPath {
    path: PathBuf,
    size: u64,
    mtime_ns: i128,
}

impl Plain for StampedPath {}

impl StampedPath {
    pub(crate) fn new(path: PathBuf, size: u64, mtime_ns: i128) -> Self {
        StampedPath { path, size, mtime_ns }
    }

    /// The path, absolute and without symbolic links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The size of the file in bytes.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// When the file was last written, in nanoseconds since 1970.
    pub fn mtime_ns(&self) -> i128 {
        self.mtime_ns
    }
}
