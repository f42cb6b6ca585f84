//! Opening stores, and finding datasets in them.

use crate::address::Address;
use crate::failure::{Exit, Failure, Result};
use crate::grid::Grid;
use crate::owner::Owner;
use crate::summary::{grid_of, plural};
use chunkstore_store::Arena;
use chunkstore_store::{Dataset, DatasetInfo, Store};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

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

/// The process that writes to a store, if one does.
pub(crate) fn writer(folder: &Path) -> Option<Owner> {
    Owner::of(&folder.join("store.lock")).filter(|owner| owner.alive)
}

/// What `gc` would remove.
#[derive(Debug, Default)]
pub(crate) struct Garbage {
    pub(crate) files: Vec<PathBuf>,
    pub(crate) bytes: u64,
    /// The files that are left out, as the process that writes to the store has made or changed them, and may commit them yet.
    pub(crate) left_out: u64,
    pub(crate) writer: Option<Owner>,
}

impl Garbage {
    /// Looks for it, beside a writer or without one.
    pub(crate) fn of(store: &Store) -> Result<Garbage> {
        // Who writes is asked before and after: what a writer made that ended meanwhile is left out, too.
        let before = writer(store.folder());
        let found = store.gc(true)?;
        let mut garbage = Garbage { writer: writer(store.folder()).or(before), ..Garbage::default() };
        for file in found.files {
            let Ok(meta) = file.metadata() else { continue };
            let changed = u64::try_from(meta.ctime()).unwrap_or(0);
            if garbage.writer.is_some_and(|owner| changed >= owner.since) {
                garbage.left_out += 1;
                continue;
            }
            garbage.bytes += meta.len();
            garbage.files.push(file);
        }
        Ok(garbage)
    }

    /// That files are left out, if some are.
    pub(crate) fn told(&self) -> Option<String> {
        let owner = self.writer.filter(|_| self.left_out > 0)?;
        let what = plural(self.left_out, "file");
        Some(format!("left out: {what} that process {}, which writes to the store, has made or changed", owner.process))
    }
}

/// A dataset of a store; where there is none, what there is instead.
pub(crate) fn dataset(store: &Store, name: &str) -> Result<Dataset> {
    store.dataset(name).map_err(|error| match (Failure::from(error), store.info(name)) {
        (failure, Ok(None)) if failure.exit() == Exit::NotFound => nothing(store, name),
        (failure, Ok(Some(info))) if failure.is_gone() => failure
            .about(format!("none of the {} of {name} can be found, as the file with their index is gone", plural(info.chunks, "chunk"))),
        (failure, _) => failure,
    })
}

/// The dataset that an address names, opened to read, and the folder of its store.
pub(crate) fn dataset_at(address: &str, arena: &Arena) -> Result<(Dataset, PathBuf)> {
    let (folder, name) = Address::dataset(address)?;
    Ok((dataset(&to_read(&folder, arena)?, &name)?, folder))
}

/// The array that an address names, its grid, and the folder of its store; `what` is what only arrays have.
pub(crate) fn array_at(address: &str, arena: &Arena, what: &str) -> Result<(Dataset, Grid, PathBuf)> {
    let (dataset, folder) = dataset_at(address, arena)?;
    let info = dataset.info();
    match grid_of(info)? {
        Some(grid) => Ok((dataset, grid, folder)),
        None => Err(Failure::new(Exit::Usage, format!("{} is of kind {}, and only arrays {what}", info.name, info.kind))),
    }
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
