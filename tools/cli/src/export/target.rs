//! The file that an export goes to: it has its name only once it is whole.

use crate::address::is_store;
use crate::failure::{Exit, Failure, Result};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// A file that is being written, or what takes bytes as they come: standard output, a device, a pipe.
pub(crate) struct Target {
    out: Box<dyn Write>,
    file: Option<Unfinished>,
    /// What it is called, where it is not standard output.
    path: Option<PathBuf>,
}

/// A file under another name until it is whole; it goes if it does not come to that.
struct Unfinished {
    file: File,
    temporary: PathBuf,
    path: PathBuf,
    finished: bool,
}

impl Target {
    /// Standard output where the path is `-`, else a file. One that exists is replaced only where `force`; a device or a pipe is written to as it is.
    pub(crate) fn create(path: &Path, force: bool) -> Result<Target> {
        if path == Path::new("-") {
            return Ok(Target { out: Box::new(BufWriter::with_capacity(64 << 10, io::stdout())), file: None, path: None });
        }
        let failed = |error: &io::Error| {
            Failure::io("the file cannot be made", path, error).hint("name a file in a folder that exists and can be written to")
        };
        if path.is_dir() {
            return Err(Failure::new(Exit::Usage, format!("{} is a folder", path.display())).hint("name a file, or - for standard output"));
        }
        // What a link leads to is meant, not the link.
        let path = &path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        if let Some(store) = store_around(path) {
            let message = format!("{} is in the folder of the store {}, where nothing else belongs", path.display(), store.display());
            return Err(Failure::new(Exit::Usage, message).hint("name a file in another folder"));
        }
        if let Ok(kind) = path.metadata().map(|meta| meta.file_type())
            && !kind.is_file()
        {
            if !kind.is_char_device() && !kind.is_fifo() {
                let message =
                    format!("{} is neither a file nor a device or pipe that bytes can be written to one after the other", path.display());
                return Err(Failure::new(Exit::Usage, message).hint("name a file, or - for standard output"));
            }
            let file = File::options().write(true).open(path).map_err(|error| failed(&error))?;
            return Ok(Target { out: Box::new(BufWriter::with_capacity(64 << 10, file)), file: None, path: Some(path.clone()) });
        }
        if !force && path.exists() {
            return Err(Failure::new(Exit::Exists, format!("{} exists", path.display())).hint("--force replaces it"));
        }
        let name = path.file_name().ok_or_else(|| Failure::new(Exit::Usage, format!("{} names no file", path.display())))?;
        let temporary = path.with_file_name(format!(".{}.{}.part", name.to_string_lossy(), std::process::id()));
        let file = File::create(&temporary).map_err(|error| failed(&error))?;
        let copy = file.try_clone().map_err(|error| failed(&error))?;
        let file = Unfinished { file, temporary, path: path.to_path_buf(), finished: false };
        Ok(Target { out: Box::new(BufWriter::with_capacity(1 << 20, copy)), path: Some(file.path.clone()), file: Some(file) })
    }

    /// Whether it is a file.
    pub(crate) fn is_file(&self) -> bool {
        self.file.is_some()
    }

    /// Where to write.
    pub(crate) fn out(&mut self) -> &mut dyn Write {
        &mut self.out
    }

    /// What an error of writing means.
    pub(crate) fn failure(&self, error: io::Error) -> Failure {
        match &self.path {
            Some(path) => Failure::io("the file cannot be written", path, &error),
            None => error.into(),
        }
    }

    /// Makes the file durable, and gives it its name; the bytes that it has.
    pub(crate) fn finish(mut self) -> Result<u64> {
        self.out.flush().map_err(|error| self.failure(error))?;
        let Some(mut unfinished) = self.file.take() else { return Ok(0) };
        let done = || -> io::Result<u64> {
            unfinished.file.sync_all()?;
            std::fs::rename(&unfinished.temporary, &unfinished.path)?;
            let folder = unfinished.path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            File::open(folder)?.sync_all()?;
            Ok(unfinished.file.metadata()?.len())
        };
        let bytes = done().map_err(|error| Failure::io("the file cannot be finished", &unfinished.path, &error))?;
        unfinished.finished = true;
        Ok(bytes)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.finished {
            // Nothing can be done where this fails; the name tells that the file is of no use.
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

/// The store or the append log in whose folder a path is.
fn store_around(path: &Path) -> Option<PathBuf> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = folder.canonicalize().ok()?;
    folder.ancestors().find(|folder| is_store(folder)).map(Path::to_path_buf)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_its_name_only_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.csv");
        let files = || std::fs::read_dir(folder.path()).unwrap().count();
        let mut target = Target::create(&path, false).unwrap();
        target.out().write_all(b"one").unwrap();
        assert!(!path.exists() && files() == 1);
        drop(target);
        assert_eq!(files(), 0);
        for (text, force) in [("two", false), ("three", true)] {
            let mut target = Target::create(&path, force).unwrap();
            target.out().write_all(text.as_bytes()).unwrap();
            assert_eq!(target.finish().unwrap(), text.len() as u64);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(Target::create(&path, false).err().unwrap().exit(), Exit::Exists);
        assert_eq!(Target::create(folder.path(), true).err().unwrap().exit(), Exit::Usage);
        assert_eq!(Target::create(&folder.path().join("no/x"), true).err().unwrap().exit(), Exit::NotFound);
        assert_eq!(files(), 1);
    }
}
