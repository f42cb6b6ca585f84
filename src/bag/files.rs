//! Which files a pattern names.

use crate::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};

/// What names files: a path, a pattern of names with `*`, `?`, `[..]` and `**`, a folder (all files in it, and in the folders in it, whose names do not begin with a dot), or a list of these.
///
/// The files of a pattern and of a folder come in the order of their paths; those of a list in its order.
pub trait Paths {
    /// Appends the patterns.
    #[doc(hidden)]
    fn patterns(&self, out: &mut Vec<PathBuf>);
}

macro_rules! single {
    ($($t:ty),*) => { $(
        impl Paths for $t {
            fn patterns(&self, out: &mut Vec<PathBuf>) {
                out.push(PathBuf::from(self));
            }
        }
    )* };
}
single!(&str, String, &Path, PathBuf, &String, &PathBuf);

macro_rules! lists {
    ($(($($generics:tt)*) $t:ty;)*) => { $(
        impl<$($generics)*> Paths for $t {
            fn patterns(&self, out: &mut Vec<PathBuf>) {
                out.extend(self.iter().map(|path| path.as_ref().to_path_buf()));
            }
        }
    )* };
}
lists! {
    (P: AsRef<Path>) Vec<P>;
    (P: AsRef<Path>) &Vec<P>;
    (P: AsRef<Path>) &[P];
    (P: AsRef<Path>, const N: usize) [P; N];
    (P: AsRef<Path>, const N: usize) &[P; N];
}

/// The files that are named, in order.
///
/// # Errors
/// NotFound where a pattern names none; Invalid where a pattern is not one; those of the file system.
pub(crate) fn files(paths: &impl Paths) -> Result<Vec<PathBuf>> {
    let mut patterns = Vec::new();
    paths.patterns(&mut patterns);
    let mut files = Vec::new();
    for pattern in patterns {
        named(&pattern, &mut files)?;
    }
    match files.is_empty() {
        true => Err(Error::new(ErrorKind::NotFound, "no files are named").hint("name at least one")),
        false => Ok(files),
    }
}

fn named(pattern: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    if pattern.is_dir() {
        return in_folder(pattern, files);
    }
    // A file whose name looks like a pattern is that file.
    let text = pattern.to_str().filter(|text| text.contains(['*', '?', '[']) && !pattern.exists());
    let Some(text) = text else {
        files.push(pattern.to_path_buf());
        return Ok(());
    };
    let wrong = |e: glob::PatternError| Error::new(ErrorKind::Invalid, format!("{text:?} is no pattern of names: {e}"));
    let before = files.len();
    for path in glob::glob(text).map_err(wrong)? {
        let path = path.map_err(|e| Error::new(ErrorKind::Io, format!("a folder cannot be read: {}", e.error())).at(e.path()))?;
        if path.is_file() {
            files.push(path);
        }
    }
    match files.len() == before {
        true => Err(Error::new(ErrorKind::NotFound, format!("no file is named by {text:?}"))),
        false => {
            files.get_mut(before..).unwrap_or_default().sort();
            Ok(())
        }
    }
}

fn in_folder(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let unreadable = |e: std::io::Error| Error::new(ErrorKind::Io, format!("the folder cannot be read: {e}")).at(folder);
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            if entry.file_name().as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let kind = entry.file_type().map_err(unreadable)?;
            match kind.is_dir() {
                true => folders.push(entry.path()),
                false if entry.path().is_file() => found.push(entry.path()),
                false => {}
            }
        }
    }
    if found.is_empty() {
        return Err(Error::new(ErrorKind::NotFound, "the folder has no files").at(folder));
    }
    found.sort();
    files.append(&mut found);
    Ok(())
}
