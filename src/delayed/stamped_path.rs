//! Files as arguments: what state they are in.

use crate::graph::StampedPath;
use crate::{Error, ErrorKind, Result};
use chunkstore_store::InputFile;
use std::path::Path;

impl StampedPath {
    /// The file at `path` in the state in which it is now.
    ///
    /// ```
    /// use chunkstore::delayed::{StampedPath, try_delayed};
    /// #[chunkstore::task]
    /// fn words(file: StampedPath) -> Result<u64, String> {
    ///     let path = file.checked().map_err(|error| error.to_string())?;
    ///     let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    ///     Ok(text.split(' ').count() as u64)
    /// }
    /// let folder = tempfile::tempdir()?;
    /// let path = folder.path().join("text");
    /// std::fs::write(&path, "to be or not to be")?;
    /// let words = try_delayed(words);
    /// let before = words.call((StampedPath::of(&path)?,));
    /// assert_eq!(before.compute()?, 6);
    /// std::fs::write(&path, "that is the question")?;
    /// assert!(before.compute().is_err());
    /// let after = words.call((StampedPath::of(&path)?,));
    /// assert_ne!(after.key(), before.key());
    /// assert_eq!(after.compute()?, 4);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Not found where there is no file; whatever opening it meets.
    pub fn of(path: impl AsRef<Path>) -> Result<Self> {
        let stamp = InputFile::open(path.as_ref())?.stamp().clone();
        Ok(StampedPath::new(stamp.path, stamp.size, stamp.mtime_ns))
    }

    /// The path, where the file is still as it was.
    ///
    /// # Errors
    /// Corrupt where it has changed; whatever opening it meets.
    pub fn checked(&self) -> Result<&Path> {
        let found = StampedPath::of(self.path())?;
        if found == *self {
            return Ok(self.path());
        }
        let message = format!(
            "the file has changed since the call was written: it has {} bytes, last written at {} ns, in place of {} bytes at {} ns",
            found.size(),
            found.mtime_ns(),
            self.size(),
            self.mtime_ns()
        );
        Err(Error::new(ErrorKind::Corrupt, message).at(self.path()).hint("take its state anew with `StampedPath::of`"))
    }
}
