//! Where a store is, and what in it is meant: one path for both.

use crate::failure::{Exit, Failure, Result};
use std::path::{Path, PathBuf};

/// A store, and perhaps a dataset or a group of datasets in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) store: PathBuf,
    /// The name of a dataset or the beginning of names; none where the store itself is meant.
    pub(crate) name: Option<String>,
}

/// Whether a folder is a store.
pub(crate) fn is_store(folder: &Path) -> bool {
    let there = |name: &str| folder.join(name).is_file();
    there("manifest") || there("store.lock")
}

impl Address {
    /// The address of something in a store that exists: the longest part of the path that is a store, and the rest.
    pub(crate) fn find(text: &str) -> Result<Address> {
        if let Some((store, name)) = marked(text) {
            let store = PathBuf::from(store);
            return if is_store(&store) { Ok(Address { store, name }) } else { Err(no_store(text)) };
        }
        let text = text.trim_end_matches('/');
        let text = if text.is_empty() { "/" } else { text };
        if is_store(Path::new(text)) {
            return Ok(Address { store: text.into(), name: None });
        }
        let cuts = text.rmatch_indices('/').map(|(at, _)| at);
        for at in cuts {
            let (store, name) = (if at == 0 { "/" } else { &text[..at] }, &text[at + 1..]);
            if is_store(Path::new(store)) {
                return Ok(Address { store: store.into(), name: Some(name.into()) });
            }
        }
        let below = Path::new(text).is_relative() && is_store(Path::new("."));
        match below && text != "." {
            true => Ok(Address { store: ".".into(), name: Some(text.trim_start_matches("./").into()) }),
            false => Err(no_store(text)),
        }
    }

    /// The address of a dataset to be made. Where `create`, the store need not exist: the name is then what follows two slashes,
    /// or the last part of the path.
    pub(crate) fn target(text: &str, create: bool) -> Result<Address> {
        let address = match Address::find(text) {
            Err(_) if create => {
                let (store, name) = match marked(text) {
                    Some((store, name)) => (store, name),
                    None => match text.trim_end_matches('/').rsplit_once('/') {
                        Some((store, name)) => (if store.is_empty() { "/" } else { store }, Some(name.to_string())),
                        None => {
                            return Err(
                                Failure::new(Exit::Usage, format!("{text} names no dataset in a store")).hint("write it as STORE/NAME")
                            );
                        }
                    },
                };
                Address { store: store.into(), name }
            }
            Err(failure) if failure.exit() == Exit::NotFound => return Err(failure.hint("with --create the store is made")),
            other => other?,
        };
        match address.name {
            Some(_) => Ok(address),
            None => Err(Failure::new(Exit::Usage, format!("{text} is a store, and a dataset is needed"))
                .hint(format!("write it as {}/NAME", text.trim_end_matches('/')))),
        }
    }

    /// The address of a dataset in a store that exists.
    pub(crate) fn dataset(text: &str) -> Result<(PathBuf, String)> {
        let address = Address::find(text)?;
        match address.name {
            Some(name) => Ok((address.store, name)),
            None => Err(Failure::new(Exit::Usage, format!("{text} is a store, and a dataset is needed"))
                .hint(format!("write it as {0}/NAME; `chunkstore ls {0}` lists the names", text.trim_end_matches('/')))),
        }
    }

    /// The address of a store, without a dataset.
    pub(crate) fn store(text: &str) -> Result<PathBuf> {
        let address = Address::find(text)?;
        match address.name {
            None => Ok(address.store),
            Some(name) => Err(Failure::new(Exit::Usage, format!("this command is for a whole store, not for {name} in it"))
                .hint(format!("name the store: {}", address.store.display()))),
        }
    }
}

/// The two sides of the first two slashes that do not begin the path.
fn marked(text: &str) -> Option<(&str, Option<String>)> {
    let at = text.get(1..)?.find("//")? + 1;
    let name = text[at..].trim_matches('/');
    Some((&text[..at], (!name.is_empty()).then(|| name.to_string())))
}

fn no_store(text: &str) -> Failure {
    let path = Path::new(text);
    let what = match path.exists() {
        true if path.is_dir() => "this folder is no store, nor is one above it",
        true => "this is a file, and no folder above it is a store",
        false => "there is no store here, nor in a folder above",
    };
    Failure::new(Exit::NotFound, format!("{what} [{text}]"))
        .hint("a store is a folder with a file `manifest`; name one, or a dataset in one as STORE/NAME")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_part_that_is_a_store_is_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_str().unwrap();
        std::fs::create_dir_all(folder.path().join("a/b/segments")).unwrap();
        std::fs::write(folder.path().join("a/manifest"), "").unwrap();
        let find = |text: &str| {
            Address::find(&format!("{root}/{text}"))
                .map(|address| (address.store.strip_prefix(root).unwrap().to_str().unwrap().to_string(), address.name))
        };
        let some = |name: &str| Some(name.to_string());
        assert_eq!(find("a").unwrap(), ("a".into(), None));
        assert_eq!(find("a/").unwrap(), ("a".into(), None));
        assert_eq!(find("a/x/y").unwrap(), ("a".into(), some("x/y")));
        assert_eq!(find("a//x/y/").unwrap(), ("a".into(), some("x/y")));
        assert_eq!(find("a/b/segments").unwrap(), ("a".into(), some("b/segments")));
        // A store in a folder of a store hides what has its name; two slashes tell them apart.
        std::fs::write(folder.path().join("a/b/store.lock"), "").unwrap();
        assert_eq!(find("a/b/segments").unwrap(), ("a/b".into(), some("segments")));
        assert_eq!(find("a//b/segments").unwrap(), ("a".into(), some("b/segments")));
        for text in ["", "x", "x/y", "x//a", "c/a"] {
            assert_eq!(find(text).unwrap_err().exit(), Exit::NotFound, "{text}");
        }
    }

    #[test]
    fn a_store_is_made_only_where_that_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_str().unwrap();
        let target =
            |text: &str, create| Address::target(&format!("{root}/{text}"), create).map(|address| (address.store, address.name.unwrap()));
        assert_eq!(target("s/x", false).unwrap_err().exit(), Exit::NotFound);
        assert_eq!(target("s/x", true).unwrap(), (folder.path().join("s"), "x".into()));
        assert_eq!(target("s//x/y", true).unwrap(), (folder.path().join("s"), "x/y".into()));
        std::fs::create_dir(folder.path().join("s")).unwrap();
        std::fs::write(folder.path().join("s/manifest"), "").unwrap();
        assert_eq!(target("s/x/y", true).unwrap(), (folder.path().join("s"), "x/y".into()));
        assert_eq!(target("s", true).unwrap_err().exit(), Exit::Usage);
        assert_eq!(Address::target("x", true).unwrap_err().exit(), Exit::Usage);
        assert_eq!(Address::store(&format!("{root}/s/x")).unwrap_err().exit(), Exit::Usage);
        assert_eq!(Address::dataset(&format!("{root}/s")).unwrap_err().exit(), Exit::Usage);
    }
}
