//! Helpers of unit tests.

#![allow(clippy::unwrap_used)]

/// A folder on the disk that holds the test binary, which is seldom a tmpfs; it is removed with its handle.
pub(crate) fn folder() -> tempfile::TempDir {
    let binary = std::env::current_exe().unwrap();
    tempfile::tempdir_in(binary.parent().unwrap()).unwrap()
}
