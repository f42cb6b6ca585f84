//! Opening stores, and finding datasets in them.

use crate::address::Address;
use crate::failure::{Exit, Failure, Result};
use chunkstore_store::Arena;
use chunkstore_store::{Dataset, DatasetInfo, Store};
use std::path::Path;

/// Opens a store to read, which takes no lock.
pub(crate) fn to_read(folder: &Path, arena: &Arena) -> Result<Store> {
    whole(folder)?;
    Ok(Store::options().arena(arena.clone()).threads(1).open_read_only(folder)?)
}

/// Opens a store to write, for which its lock is taken.
pub(crate) fn to_write(folder: &Path, arena: &Arena) -> Result<Store> {
    whole(folder)?;
    Ok(Store::options().arena(arena.clone()).open(folder)?)
}

/// That a folder with segments has a manifest, too: without one it is no new store, but a damaged one.
fn whole(folder: &Path) -> Result {
    if folder.join("segments").is_dir() && !folder.join("manifest").exists() {
        let failure = Failure::new(Exit::No, format!("the store has lost its manifest [{}]", folder.join("manifest").display()));
        return Err(failure.hint(format!("`chunkstore repair {}` makes it anew from the segments", folder.display())));
    }
    Ok(())
}

/// A dataset of a store; where there is none, what there is instead.
pub(crate) fn dataset(store: &Store, name: &str) -> Result<Dataset> {
    store.dataset(name).map_err(|error| match Failure::from(error) {
        failure if failure.exit() == Exit::NotFound => nothing(store, name),
        failure => failure,
    })
}

/// The dataset that an address names, opened to read.
pub(crate) fn dataset_at(address: &str, arena: &Arena) -> Result<Dataset> {
    let (folder, name) = Address::dataset(address)?;
    dataset(&to_read(&folder, arena)?, &name)
}

/// Whether a name is a pattern.
pub(crate) fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?', '['])
}

/// The datasets that are meant: all, those of a pattern, or that of a name and those below it.
pub(crate) fn select(store: &Store, name: Option<&str>) -> Result<Vec<DatasetInfo>> {
    let mut found = match name {
        None => store.infos("")?,
        Some(pattern) if is_pattern(pattern) => store.infos(pattern)?,
        Some(name) => {
            let below = format!("{name}/");
            store.infos("")?.into_iter().filter(|info| info.name == name || info.name.starts_with(&below)).collect()
        }
    };
    match name {
        Some(name) if found.is_empty() => Err(nothing(store, name)),
        _ => {
            found.sort_by(|a, b| crate::tree::by_parts(&a.name, &b.name));
            Ok(found)
        }
    }
}

/// That nothing has that name, with names that are like it.
fn nothing(store: &Store, name: &str) -> Failure {
    let names = store.names().unwrap_or_default();
    let last = name.rsplit('/').next().unwrap_or(name).to_lowercase();
    let alike = |other: &&String| {
        let other = other.to_lowercase();
        other.starts_with(&format!("{}/", name.to_lowercase()))
            || other.split('/').any(|part| part.starts_with(&last) || last.starts_with(part))
    };
    let alike: Vec<&str> = names.iter().filter(alike).take(3).map(String::as_str).collect();
    let folder = store.folder().display();
    let failure = Failure::new(Exit::NotFound, format!("there is no dataset {name} in {folder}"));
    match alike.as_slice() {
        [] => failure.hint(format!("`chunkstore ls {folder}` lists the {} that there are", names.len())),
        alike => failure.hint(format!("there is {}", alike.join(", "))),
    }
}
