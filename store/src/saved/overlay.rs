//! The state as it will be after a commit that is being put together.

use crate::catalogue::Index;
use crate::manifest::{Changes, Entry};
use crate::{Error, ErrorKind, Result};
use std::collections::BTreeMap;

/// What a commit changes of the index: a name, and its dataset afterwards.
#[derive(Debug)]
pub(super) struct Overlay<'a> {
    index: &'a Index,
    changed: BTreeMap<String, Option<Entry>>,
}

impl<'a> Overlay<'a> {
    pub(super) fn new(index: &'a Index) -> Self {
        Overlay { index, changed: BTreeMap::new() }
    }

    /// The dataset of a name.
    pub(super) fn get(&self, name: &str) -> Result<Option<Entry>> {
        match self.changed.get(name) {
            Some(entry) => Ok(entry.clone()),
            None => self.index.by_name(name),
        }
    }

    /// The dataset of a name, which must be there.
    pub(super) fn existing(&self, name: &str) -> Result<Entry> {
        self.get(name)?.ok_or_else(|| not_found(name))
    }

    /// The dataset of a number.
    pub(super) fn by_id(&self, id: u64) -> Result<Option<Entry>> {
        if let Some(entry) = self.changed.values().flatten().find(|entry| entry.id == id) {
            return Ok(Some(entry.clone()));
        }
        // What the index knows may be gone by now, or have another name.
        Ok(self.index.by_id(id)?.filter(|entry| !self.changed.contains_key(&entry.name)))
    }

    /// Refuses a name that is taken.
    pub(super) fn free(&self, name: &str) -> Result<()> {
        match self.get(name)? {
            Some(_) => Err(exists(name)),
            None => Ok(()),
        }
    }

    /// Gives a dataset its name; one that had it loses it.
    pub(super) fn put(&mut self, entry: Entry) {
        self.changed.insert(entry.name.clone(), Some(entry));
    }

    /// Removes a name.
    pub(super) fn remove(&mut self, name: &str) {
        self.changed.insert(name.to_owned(), None);
    }

    /// Calls `visit` with each dataset as it will be.
    pub(super) fn each(&self, mut visit: impl FnMut(&Entry) -> Result<()>) -> Result<()> {
        self.index.each("", |entry| match self.changed.contains_key(&entry.name) {
            true => Ok(()),
            false => visit(&entry),
        })?;
        self.changed.values().flatten().try_for_each(visit)
    }

    /// The datasets that are there no longer: removed, or replaced by another.
    pub(super) fn removed(&self) -> Result<Vec<Entry>> {
        let mut removed = Vec::new();
        for name in self.changed.keys() {
            if let Some(entry) = self.index.by_name(name)?.filter(|entry| !self.puts().any(|put| put.id == entry.id)) {
                removed.push(entry);
            }
        }
        Ok(removed)
    }

    /// The datasets that are new or changed.
    pub(super) fn puts(&self) -> impl Iterator<Item = &Entry> {
        self.changed.values().flatten()
    }

    /// All of it, for the manifest.
    pub(super) fn changes(&self) -> Changes {
        let removed = self.changed.iter().filter(|(_, after)| after.is_none()).map(|(name, _)| name.clone()).collect();
        Changes { puts: self.puts().cloned().collect(), removed, ..Changes::default() }
    }
}

pub(crate) fn not_found(name: &str) -> Error {
    Error::new(ErrorKind::NotFound, format!("there is no dataset {name:?}")).hint("`chunkstore ls` on the folder lists what there is")
}

pub(super) fn exists(name: &str) -> Error {
    let error = Error::new(ErrorKind::Exists, format!("there is a dataset {name:?} already"));
    error.hint("choose another name, or say that it may be replaced")
}
