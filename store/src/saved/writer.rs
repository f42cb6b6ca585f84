//! Writing a dataset.

use super::dataset::{Dataset, chunk_key};
use super::keyed::KeyedWriter;
use super::overlay::exists;
use super::store::encode_attributes;
use crate::{Chunk, Error, ErrorKind, Result};
use parking_lot::Mutex;
use serde_json::{Map, Value};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Writes chunks of one dataset, from many threads at once. Nothing of it is seen, or kept if this is dropped, before
/// [`DatasetWriter::commit`] or [`DatasetWriter::flush`].
#[derive(Debug)]
pub struct DatasetWriter {
    keyed: KeyedWriter,
    attributes: Mutex<Map<String, Value>>,
    /// Whether the name was looked at, so that a long write does not end at a name that was taken from the beginning.
    checked: AtomicBool,
}

impl DatasetWriter {
    pub(super) fn new(keyed: KeyedWriter, attributes: Map<String, Value>) -> Self {
        DatasetWriter { keyed, attributes: Mutex::new(attributes), checked: AtomicBool::new(false) }
    }

    /// Whether a dataset that has the name when this is committed is replaced; otherwise that is an error. Off by default.
    pub fn replace(self, replace: bool) -> Self {
        self.keyed.with_new(|_, held| *held = replace);
        self
    }

    /// Puts chunk number `n`, in the place of one that was put under the number before.
    ///
    /// # Errors
    /// Exists where the name is taken; disk full, after which it can be tried again; those of writing.
    pub fn put(&self, n: u64, chunk: &Chunk) -> Result<()> {
        self.put_key(&chunk_key(n), chunk)
    }

    /// Puts a chunk under a key of at most 64 KiB, in the place of one that the key had.
    ///
    /// # Errors
    /// As for [`DatasetWriter::put`]; Invalid where the key is too long.
    pub fn put_key(&self, key: &[u8], chunk: &Chunk) -> Result<()> {
        if !self.checked.swap(true, Relaxed) {
            self.check_name().inspect_err(|_| self.checked.store(false, Relaxed))?;
        }
        self.keyed.put(key, chunk).map(|_| ())
    }

    fn check_name(&self) -> Result<()> {
        let name = self.keyed.with_new(|entry, replace| (!*replace).then(|| entry.name.clone())).flatten();
        let Some(name) = name else { return Ok(()) };
        match self.keyed.inner().ask(|index| index.by_name(&name))? {
            Some(_) => Err(exists(&name)),
            None => Ok(()),
        }
    }

    /// Removes a key. True where it was there.
    ///
    /// # Errors
    /// Those of reading a table; out of memory where there is no room to remember it.
    pub fn remove_key(&self, key: &[u8]) -> Result<bool> {
        self.keyed.remove(key)
    }

    /// The chunk of a key, committed or put since.
    ///
    /// # Errors
    /// As for [`Dataset::chunk`].
    pub fn get(&self, key: &[u8]) -> Result<Option<Chunk>> {
        self.keyed.get(key)
    }

    /// How many chunks there are, committed or put since.
    pub fn len(&self) -> u64 {
        self.keyed.len()
    }

    /// Whether there are no chunks.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sets an attribute; it is saved with the next commit.
    ///
    /// # Errors
    /// Invalid where the attributes would become too long.
    pub fn attribute(&self, name: impl Into<String>, value: impl Into<Value>) -> Result<()> {
        let mut attributes = self.attributes.lock();
        attributes.insert(name.into(), value.into());
        self.keyed.set_attributes(encode_attributes(&attributes)?);
        Ok(())
    }

    /// As [`DatasetWriter::attribute`], of all of them.
    pub(super) fn set_attributes(&self, all: Map<String, Value>) -> Result<()> {
        if all.is_empty() {
            return Ok(());
        }
        self.keyed.set_attributes(encode_attributes(&all)?);
        *self.attributes.lock() = all;
        Ok(())
    }

    /// Saves what was put so far, and goes on: returns once it survives a loss of power. Those who do so at the same time share
    /// one commit.
    ///
    /// # Errors
    /// As for [`DatasetWriter::commit`]; all that was put is still there to be saved, except after a failed sync.
    pub fn flush(&self) -> Result<()> {
        self.keyed.commit().map(|_| ())
    }

    /// Saves what was put, and returns once it survives a loss of power.
    ///
    /// # Errors
    /// Exists where the name is taken and may not be replaced; not found where the dataset was removed meanwhile; disk full;
    /// unusable after a failed sync, when the store must be opened again.
    pub fn commit(self) -> Result<Dataset> {
        let entry = self.keyed.commit()?;
        let inner = self.keyed.inner();
        let (entry, tables) = match entry {
            Some(entry) => {
                let _layout = inner.layout.read();
                let tables = inner.open_tables(&entry.tables)?;
                (entry, tables)
            }
            None => {
                let gone = || Error::new(ErrorKind::NotFound, "the dataset was removed or replaced").at(&inner.folder);
                let _layout = inner.layout.read();
                let entry = inner.ask(|index| index.by_id(self.keyed.id()))?.ok_or_else(gone)?;
                let tables = inner.open_tables(&entry.tables)?;
                (entry, tables)
            }
        };
        Dataset::new(std::sync::Arc::clone(inner), &entry, tables)
    }
}
