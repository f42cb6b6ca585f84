//! Which files a pattern names.

use crate::{Error, ErrorKind, Result};
use std::path::{Path, PathBuf};

/// What names files: a path, a pattern of names with `*`, `?`, `[..]` and `**`, a folder (all files in it, and in the folders in it, whose names do not begin with a dot), or a list of these. Links to
/// files are followed; `**` and folders do not look behind links to folders, which may lead in a circle.
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
    if text.split('/').any(|part| part == "**") {
        // Paths that are found have no `//` and `/./` in them.
        let plain: PathBuf = Path::new(text).components().collect();
        at_any_depth(&plain, &glob::Pattern::new(&plain.to_string_lossy()).map_err(wrong)?, files)?;
    } else {
        for path in glob::glob(text).map_err(wrong)? {
            let path = path.map_err(|e| Error::new(ErrorKind::Io, format!("a folder cannot be read: {}", e.error())).at(e.path()))?;
            if path.is_file() {
                files.push(path);
            }
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

/// The files of a pattern with `**`, in any order.
fn at_any_depth(path: &Path, pattern: &glob::Pattern, files: &mut Vec<PathBuf>) -> Result<()> {
    let how = glob::MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };
    let is_literal = |part: &std::path::Component<'_>| !part.as_os_str().to_string_lossy().contains(['*', '?', '[']);
    let base: PathBuf = path.components().take_while(is_literal).collect();
    match base.as_os_str().is_empty() || base.is_dir() {
        true => walk(&base, |_| true, |path| pattern.matches_path_with(path, how), files),
        false => Ok(()),
    }
}

/// The files that are `wanted` in a folder and in those in it, in any order, of names that are `seen`. Links to folders are not followed: they may lead in a circle.
fn walk(folder: &Path, seen: impl Fn(&std::ffi::OsStr) -> bool, wanted: impl Fn(&Path) -> bool, files: &mut Vec<PathBuf>) -> Result<()> {
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        // What is found from here on has no `./` before it.
        let here = if folder.as_os_str().is_empty() { Path::new(".") } else { &folder };
        let unreadable = |e: std::io::Error| Error::new(ErrorKind::Io, format!("the folder cannot be read: {e}")).at(here);
        for entry in std::fs::read_dir(here).map_err(unreadable)? {
            let entry = entry.map_err(unreadable)?;
            if !seen(&entry.file_name()) {
                continue;
            }
            let path = folder.join(entry.file_name());
            match entry.file_type().map_err(unreadable)?.is_dir() {
                true => folders.push(path),
                false if wanted(&path) && path.is_file() => files.push(path),
                false => {}
            }
        }
    }
    Ok(())
}

fn in_folder(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let mut found = Vec::new();
    walk(folder, |name| !name.as_encoded_bytes().starts_with(b"."), |_| true, &mut found)?;
    if found.is_empty() {
        return Err(Error::new(ErrorKind::NotFound, "the folder has no files").at(folder));
    }
    found.sort();
    files.append(&mut found);
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for path in ["b.txt", "a.txt", "c.log", ".hidden", "sub/d.txt", "sub/deep/e.txt", ".git/f.txt", "odd[1].txt"] {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        std::fs::create_dir(folder.path().join("empty")).unwrap();
        folder
    }

    #[test]
    fn patterns_folders_and_lists_name_files_in_order() {
        let folder = folder();
        let at = |name: &str| folder.path().join(name);
        let named = |paths: &Vec<PathBuf>| -> Vec<String> {
            let files = files(paths).unwrap();
            files.iter().map(|file| file.strip_prefix(folder.path()).unwrap().to_str().unwrap().to_owned()).collect()
        };
        assert_eq!(named(&vec![at("b.txt"), at("a.txt")]), ["b.txt", "a.txt"], "a list is in its order");
        assert_eq!(named(&vec![at("?.txt")]), ["a.txt", "b.txt"]);
        assert_eq!(named(&vec![at("[bc].*"), at("a.txt")]), ["b.txt", "c.log", "a.txt"]);
        assert_eq!(named(&vec![at("sub/**/*.txt")]), ["sub/d.txt", "sub/deep/e.txt"]);
        assert_eq!(named(&vec![at("**/[de].txt")]), ["sub/d.txt", "sub/deep/e.txt"]);
        // Links that lead in circles.
        for name in ["up", "up2"] {
            std::os::unix::fs::symlink("..", at("sub").join(name)).unwrap();
        }
        assert_eq!(named(&vec![at("**/e.txt")]), ["sub/deep/e.txt"]);
        assert_eq!(named(&vec![at("sub/**")]), ["sub/d.txt", "sub/deep/e.txt"]);
        assert_eq!(named(&vec![at("./sub//**/d.txt")]), ["sub/d.txt"]);
        assert_eq!(files(&vec![at("none/**/d.txt")]).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(named(&vec![at("*")]).iter().filter(|name| name.contains('/')).count(), 0, "folders are no files");
        assert_eq!(named(&vec![at("odd[1].txt")]), ["odd[1].txt"], "a file whose name looks like a pattern is that file");
        assert_eq!(
            named(&vec![folder.path().to_path_buf()]),
            ["a.txt", "b.txt", "c.log", "odd[1].txt", "sub/d.txt", "sub/deep/e.txt"],
            "without what is hidden"
        );
        assert_eq!(named(&vec![at("a.txt"), at("a.txt")]), ["a.txt", "a.txt"], "twice where it is named twice");
    }

    #[test]
    fn what_names_nothing_is_an_error_that_says_what() {
        let folder = folder();
        let kind = |path: &str| files(&folder.path().join(path)).unwrap_err();
        for path in ["*.csv", "none/*", "empty"] {
            assert_eq!(kind(path).kind(), ErrorKind::NotFound, "{path}");
        }
        assert!(kind("*.csv").to_string().contains("*.csv"));
        assert!(kind("empty").path().is_some_and(|path| path.ends_with("empty")));
        assert_eq!(kind("***a").kind(), ErrorKind::Invalid);
        assert_eq!(files(&Vec::<PathBuf>::new()).unwrap_err().kind(), ErrorKind::NotFound);
        // A plain path is looked for when it is opened.
        assert_eq!(files(&folder.path().join("none.txt")).unwrap().len(), 1);
        let error = crate::bag::read_text(folder.path().join("none.txt")).unwrap_err();
        assert_eq!((error.kind(), error.path().is_some_and(|path| path.ends_with("none.txt"))), (ErrorKind::NotFound, true));
    }
}
