//! Event logs in a folder.

use crate::Result;
use chunkstore_store::EventWriter;
use chunkstore_store::io::{Backend, FileBackend};
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// How many event logs are kept.
const MOST_LOGS: usize = 64;

/// A new event log in a folder, which is made where it is missing. The oldest of more than 64 go.
///
/// # Errors
/// Those of the file system.
pub(super) fn event_log(folder: &Path) -> Result<EventWriter> {
    let backend = Arc::new(FileBackend::new());
    backend.create_folder(folder)?;
    let mut logs = backend.list(folder)?;
    logs.retain(|path| path.extension().is_some_and(|ending| ending == "events"));
    logs.sort();
    for old in logs.iter().take((logs.len() + 1).saturating_sub(MOST_LOGS)) {
        backend.remove(old)?;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok(EventWriter::create(backend, folder, now.as_nanos() as u64)?)
}
