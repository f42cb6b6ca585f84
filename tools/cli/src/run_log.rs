//! Finding and reading the event log of a run.

use crate::failure::{Exit, Failure, Result};
use chunkstore::report::History;
use chunkstore_store::io::FileBackend;
use chunkstore_store::{EventLog, read_events};
use std::path::{Path, PathBuf};

/// Reads the log that `address` names: a file that ends in `.events`, or a folder that holds some, or a checkpoint folder, of which the newest log
/// is taken.
pub(crate) fn read(address: &str) -> Result<(PathBuf, EventLog)> {
    let path = Path::new(address);
    let path = if path.is_dir() { newest(path)? } else { path.to_path_buf() };
    if !path.exists() {
        let failure = Failure::new(Exit::NotFound, format!("there is no {}", path.display()));
        return Err(failure.hint("name a checkpoint folder, or a log that ends in .events"));
    }
    let absolute = std::path::absolute(&path).unwrap_or_else(|_| path.clone());
    let log = read_events(&FileBackend::new(), &absolute)?;
    Ok((path, log))
}

/// The history of the run that `address` names.
pub(crate) fn history(address: &str) -> Result<(PathBuf, History)> {
    let (path, log) = read(address)?;
    Ok((path, History::of(&log)))
}

/// The newest log in a folder, or in its folder `events`.
fn newest(folder: &Path) -> Result<PathBuf> {
    let within = folder.join("events");
    let within = if within.is_dir() { within } else { folder.to_path_buf() };
    let entries = std::fs::read_dir(&within).map_err(|error| Failure::io("the folder cannot be read", &within, &error))?;
    let logs = entries.filter_map(|entry| Some(entry.ok()?.path()));
    // The names are numbers of one length that grow with time.
    let newest = logs.filter(|path| path.extension().is_some_and(|ending| ending == "events")).max();
    newest.ok_or_else(|| {
        Failure::new(Exit::NotFound, format!("there is no event log in {}", within.display()))
            .hint("runs are recorded by engines that are built with `checkpoint(folder)` or `events(folder)`")
    })
}

/// Writes a picture to a file that must not be there, unless it may be replaced.
pub(crate) fn write(path: &Path, text: &str, force: bool) -> Result {
    let mut options = std::fs::OpenOptions::new();
    let options = options.write(true).truncate(true);
    let options = if force { options.create(true) } else { options.create_new(true) };
    let written = options.open(path).and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()));
    written.map_err(|error| Failure::io("the picture cannot be written", path, &error).hint("--force replaces a file"))
}
