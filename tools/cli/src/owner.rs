//! Who holds a folder: the process that has the lock on a file in it.
//!
//! Taking a lock to see whether it is free could keep its next owner from getting it. So nothing is taken: `/proc/locks` says who has which.

use serde_json::{Value, json};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What a lock file says of its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    /// The process that wrote the file.
    pub(crate) process: u32,
    /// When, in seconds since 1970.
    pub(crate) since: u64,
    /// Whether somebody has the lock.
    pub(crate) alive: bool,
}

impl Owner {
    /// The owner that a lock file names: magic, version, process and time, 24 bytes.
    pub(crate) fn of(lock: &Path) -> Option<Owner> {
        let bytes = std::fs::read(lock).ok()?;
        let (process, since) = (bytes.get(12..16)?.first_chunk()?, bytes.get(16..24)?.first_chunk()?);
        let process = u32::from_le_bytes(*process);
        Some(Owner { process, since: u64::from_le_bytes(*since), alive: is_locked(lock).unwrap_or_else(|| lives(process)) })
    }

    /// All fields.
    pub(crate) fn json(&self) -> Value {
        json!({ "process": self.process, "since": self.since, "alive": self.alive })
    }
}

/// Whether somebody has the lock on a file; nothing where the system does not say.
pub(crate) fn is_locked(path: &Path) -> Option<bool> {
    let (locks, inode) = (std::fs::read_to_string("/proc/locks").ok()?, path.metadata().ok()?.ino().to_string());
    // `1: FLOCK  ADVISORY  WRITE 25446 fe:00:7102504 0 EOF`; who waits has an arrow before the kind. The numbers of the device are not those that the
    // file system tells on btrfs and overlays, so the inode has to do.
    let held = locks.lines().filter(|line| !line.contains("->"));
    Some(held.filter_map(|line| line.split_whitespace().nth(5)).any(|file| file.rsplit(':').next() == Some(&inode)))
}

fn lives(process: u32) -> bool {
    Path::new("/proc").join(process.to_string()).exists()
}

/// A folder of spilled chunks of a running program.
#[derive(Clone, Debug)]
pub(crate) struct ScratchFolder {
    pub(crate) path: PathBuf,
    pub(crate) owner: Option<Owner>,
    /// The bytes of its files, and those that they take on disk.
    pub(crate) bytes: u64,
    pub(crate) disk_bytes: u64,
}

impl ScratchFolder {
    /// Those in a folder, or the folder itself.
    pub(crate) fn find(folder: &Path) -> Vec<ScratchFolder> {
        here_or_below(folder, ScratchFolder::at)
    }

    fn at(path: &Path) -> Option<ScratchFolder> {
        let absolute = std::path::absolute(path).ok()?;
        if !is_scratch_name(absolute.file_name()?.to_str()?) || !path.is_dir() {
            return None;
        }
        let (bytes, disk_bytes) = sizes(path);
        Some(ScratchFolder { path: path.to_path_buf(), owner: Owner::of(&path.join("owner.lock")), bytes, disk_bytes })
    }

    /// What its owner does: `running`, `dead` or `unknown`.
    pub(crate) fn state(&self) -> &'static str {
        match self.owner {
            Some(Owner { alive: true, .. }) => "running",
            Some(_) => "dead",
            None => "unknown",
        }
    }

    /// All fields.
    pub(crate) fn json(&self) -> Value {
        json!({
            "path": self.path, "state": self.state(), "owner": self.owner.map(|owner| owner.json()),
            "bytes": self.bytes, "disk_bytes": self.disk_bytes,
        })
    }
}

/// What a folder is, or what those in it are, in the order of their names.
pub(crate) fn here_or_below<T>(folder: &Path, at: fn(&Path) -> Option<T>) -> Vec<T> {
    if let Some(found) = at(folder) {
        return vec![found];
    }
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.iter().filter_map(|path| at(path)).collect()
}

/// `chunkstore-`, a process, a dash and 16 hexadecimal digits.
fn is_scratch_name(name: &str) -> bool {
    let parts = name.strip_prefix("chunkstore-").and_then(|rest| rest.split_once('-'));
    parts.is_some_and(|(process, random)| {
        process.parse::<u32>().is_ok() && random.len() == 16 && random.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    })
}

/// The bytes of all files below a folder, and those that they take on disk.
pub(crate) fn sizes(folder: &Path) -> (u64, u64) {
    let (mut bytes, mut disk) = (0, 0);
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.metadata() {
            Ok(meta) if meta.is_dir() => {
                let below = sizes(&entry.path());
                (bytes, disk) = (bytes + below.0, disk + below.1);
            }
            Ok(meta) => (bytes, disk) = (bytes + meta.len(), disk + meta.blocks() * 512),
            Err(_) => {}
        }
    }
    (bytes, disk)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use chunkstore_store::{Arena, Ledger, Scratch, ScratchOptions};

    #[test]
    fn scratch_of_the_living_and_the_dead() {
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        assert!(ScratchFolder::find(folder.path()).is_empty());
        let arena = Arena::new(Ledger::new(64 << 20));
        let scratch = Scratch::open(ScratchOptions::new(folder.path()), &arena).unwrap();
        let dead = folder.path().join("chunkstore-1-0123456789abcdef");
        std::fs::create_dir(&dead).unwrap();
        std::fs::write(dead.join("slots-00"), [0; 100]).unwrap();
        std::fs::copy(scratch.folder().join("owner.lock"), dead.join("owner.lock")).unwrap();
        let found = ScratchFolder::find(folder.path());
        let state = |path: &Path| found.iter().find(|found| found.path == path).map(ScratchFolder::state);
        assert_eq!((found.len(), state(scratch.folder()), state(&dead)), (2, Some("running"), Some("dead")));
        assert_eq!(found[0].owner.unwrap().process, std::process::id());
        assert_eq!(ScratchFolder::find(&dead)[0].bytes, 124);
        std::fs::remove_file(dead.join("owner.lock")).unwrap();
        assert_eq!(ScratchFolder::find(&dead)[0].state(), "unknown");
    }
}
