//! The folder that a demo works in: it has one living owner, and goes with it.

use chunkstore::store::io::free_bytes;
use chunkstore::{Error, ErrorKind, Result};
use std::fs::File;
use std::path::{Path, PathBuf};

const PREFIX: &str = "chunkstore-demo-";
const LOCK: &str = "owner.lock";

/// A folder that is removed at the end, unless it is kept. A lock on a file in it says that its owner lives.
pub(crate) struct Folder {
    path: PathBuf,
    keep: bool,
    lock: File,
}

impl Folder {
    /// Makes one in `parent`, or in the folder for large temporary files; those that dead processes left there are removed.
    ///
    /// # Errors
    /// Unusable where no folder can be made there.
    pub(crate) fn new(parent: Option<&Path>, keep: bool) -> Result<Self> {
        let parent = parent.map_or_else(large_temporary_files, Path::to_path_buf);
        let refused = |error: std::io::Error| {
            Error::new(ErrorKind::Unusable, format!("the scratch folder cannot be used: {error}"))
                .at(&parent)
                .hint("name a folder on a disk that you may write to: --scratch DIR")
        };
        std::fs::create_dir_all(&parent).map_err(refused)?;
        sweep(&parent);
        let path = parent.join(format!("{PREFIX}{}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(refused)?;
        let lock = File::create(path.join(LOCK)).and_then(|file| file.lock().map(|()| file)).map_err(refused)?;
        Ok(Folder { path, keep, lock })
    }

    /// Looks whether its disk has room for so many bytes, before anything is planned for them.
    ///
    /// # Errors
    /// Disk full where it has not.
    pub(crate) fn check_room(&self, bytes: u64) -> Result<()> {
        let Some(free) = free_bytes(&self.lock).filter(|free| *free < bytes) else { return Ok(()) };
        let message = format!("the data take {bytes} bytes, and {free} are free on the disk");
        Err(Error::new(ErrorKind::DiskFull, message)
            .at(&self.path)
            .hint("name a smaller --size, or a folder on another disk: --scratch DIR"))
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let gone = if self.keep { std::fs::remove_file(self.path.join(LOCK)) } else { std::fs::remove_dir_all(&self.path) };
        if let Err(error) = gone {
            eprintln!("warning: {} is left behind: {error}", self.path.display());
        }
    }
}

/// Removes the folders in `parent` whose owners are dead. What was kept has no lock, and stays.
fn sweep(parent: &Path) {
    let Ok(entries) = std::fs::read_dir(parent) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        let ours = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix(PREFIX));
        if ours.is_some_and(|pid| !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit())) {
            let lock = File::options().write(true).open(path.join(LOCK));
            if lock.is_ok_and(|lock| lock.try_lock().is_ok()) {
                let _ = std::fs::remove_dir_all(&path);
            }
        }
    }
}

/// `TMPDIR`, else `/var/tmp`, which is on disk where `/tmp` is in memory.
fn large_temporary_files() -> PathBuf {
    let on_disk = PathBuf::from("/var/tmp");
    if std::env::var_os("TMPDIR").is_none() && on_disk.is_dir() { on_disk } else { std::env::temp_dir() }
}
