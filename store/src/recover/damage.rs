//! What is found damaged.

use std::path::PathBuf;

/// Something that is not as it was saved.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// The dataset that lost by it; nothing where none did, or it cannot be told.
    pub dataset: Option<String>,
    /// The key of the chunk; for chunk number n, the 8 bytes of n, the highest first.
    pub key: Option<Vec<u8>>,
    /// The file.
    pub file: PathBuf,
    /// The byte in the file.
    pub offset: u64,
    /// What was found, and what was expected.
    pub problem: String,
}

impl Damage {
    /// The number of the chunk, where its key is that of one.
    pub fn chunk(&self) -> Option<u64> {
        self.key.as_deref().and_then(|key| key.try_into().ok()).map(u64::from_be_bytes)
    }
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.dataset, self.chunk(), &self.key) {
            (Some(dataset), Some(chunk), _) => write!(f, "{dataset}, chunk {chunk}: ")?,
            (Some(dataset), None, Some(key)) => write!(f, "{dataset}, key {}: ", key.escape_ascii())?,
            (Some(dataset), None, None) => write!(f, "{dataset}: ")?,
            (None, ..) => {}
        }
        write!(f, "{} [{} at byte {}]", self.problem, self.file.display(), self.offset)
    }
}
