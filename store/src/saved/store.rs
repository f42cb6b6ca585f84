//! A store: named datasets in a folder.

use super::commit::Change;
use super::dataset::Dataset;
use super::info::{DatasetInfo, DatasetKind};
use super::inner::{Inner, random_id};
use super::keyed::KeyedWriter;
use super::name::{check_name, literal_prefix};
use super::options::StoreOptions;
use super::stats::StoreStats;
use super::value::leaves;
use super::writer::DatasetWriter;
use crate::manifest::{Entry, now};
use crate::{Error, ErrorKind, Result, recover};
use serde_json::{Map, Value};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// The most bytes of the metadata, and of the attributes, of a dataset, as JSON.
const MOST_JSON: usize = 16 << 20;

/// Named datasets in a folder: saved in whole commits, which survive a crash and a loss of power, written by one process at a time and
/// read by any number beside it. Clones share all; the store stays open, and locked, as long as one of them, or a dataset or writer of it, lives.
///
/// ```
/// use chunkstore_store::{Block, Buffer, Chunk, DType, DatasetKind, Shape, Store};
/// use std::sync::Arc;
/// # let temporary = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
/// # let folder = temporary.path().join("store");
/// let store = Store::open(&folder)?;
/// // An array of two chunks of three elements.
/// let writer = store.create("era5/t2m", DatasetKind::array(DType::F64, &[6], &[vec![3, 3]])?)?;
/// for n in 0..2 {
///     let values = Buffer::from_vec(Arc::new(vec![n as f64; 3]));
///     writer.put(n, &Chunk::Block(Block::new(values, 0, DType::F64, Shape::from_slice(&[3]))?))?;
/// }
/// writer.attribute("unit", "K")?;
/// let saved = writer.commit()?; // From here on it survives a loss of power.
/// assert_eq!((saved.info().chunks, saved.info().bytes), (2, 48));
/// store.save_value("era5/limits", &(180.0, 330.0))?;
///
/// // Another process can read it, also while this one writes.
/// let reader = Store::open_read_only(&folder)?;
/// assert_eq!(reader.names()?, ["era5/limits", "era5/t2m"]);
/// let Some(Chunk::Block(block)) = reader.dataset("era5/t2m")?.chunk(1)? else { unreachable!() };
/// assert_eq!(block.as_slice::<f64>()?, [1.0; 3]);
/// assert_eq!(reader.value::<(f64, f64)>("era5/limits")?, (180.0, 330.0));
/// # Ok::<(), chunkstore_store::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Store(Arc<Inner>);

/// The attributes as JSON.
pub(super) fn encode_attributes(attributes: &Map<String, Value>) -> Result<String> {
    let text = Value::Object(attributes.clone()).to_string();
    if text.len() > MOST_JSON {
        let message = format!("attributes of {} bytes are longer than the most, {MOST_JSON}", text.len());
        return Err(Error::new(ErrorKind::Invalid, message).hint("save long data as a dataset of their own"));
    }
    Ok(text)
}

impl Store {
    /// How a store is to be opened; the options have `open` and `open_read_only`.
    pub fn options() -> StoreOptions {
        StoreOptions::default()
    }

    /// Opens the store in `folder` for writing, with the options as they are; see [`StoreOptions::open`].
    ///
    /// # Errors
    /// As for [`StoreOptions::open`].
    pub fn open(folder: impl AsRef<Path>) -> Result<Store> {
        StoreOptions::default().open(folder)
    }

    /// Opens the store in `folder` to read only; see [`StoreOptions::open_read_only`].
    ///
    /// # Errors
    /// As for [`StoreOptions::open_read_only`].
    pub fn open_read_only(folder: impl AsRef<Path>) -> Result<Store> {
        StoreOptions::default().open_read_only(folder)
    }

    pub(super) fn open_with(folder: &Path, options: StoreOptions, write: bool) -> Result<Store> {
        Ok(Store(Arc::new(recover::open(folder, &options, write)?)))
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.0
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.0.folder
    }

    /// Whether it was opened to read only.
    pub fn is_read_only(&self) -> bool {
        self.0.manifest.is_none()
    }

    /// Looks what was committed since this was opened to read only, or refreshed. True where there is something new. Datasets that are
    /// open stay as they are. A store that is open for writing is always up to date.
    ///
    /// # Errors
    /// As for [`StoreOptions::open_read_only`].
    pub fn refresh(&self) -> Result<bool> {
        let inner = &self.0;
        if inner.manifest.is_some() {
            return Ok(false);
        }
        let _one = inner.refreshing.lock();
        let (index, scan, commits) = recover::snapshot(&*inner.backend, &inner.folder, &inner.arena)?;
        if scan.store_id == inner.store_id && scan.sequence == inner.index.sequence() {
            return Ok(false);
        }
        if scan.store_id != inner.store_id {
            let error = Error::new(ErrorKind::NotFound, "another store has taken the place of the one that was opened").at(&inner.folder);
            return Err(error.hint("open it anew"));
        }
        inner.segments.restore(&commits)?;
        inner.index.replace(index);
        Ok(true)
    }

    /// The names of all datasets, in order.
    ///
    /// # Errors
    /// Those of reading the index.
    pub fn names(&self) -> Result<Vec<String>> {
        self.0.ask(|index| index.names(""))
    }

    /// What the datasets are whose names match `glob`, in order of name. `*` stands for any text without `/`, `**` for any parts, `?` for one
    /// character; an empty glob matches all.
    ///
    /// # Errors
    /// Invalid where the glob is none; those of reading the index.
    pub fn infos(&self, glob: &str) -> Result<Vec<DatasetInfo>> {
        let wrong = |e: glob::PatternError| Error::new(ErrorKind::Invalid, format!("{glob:?} is no glob: {}", e.msg));
        let pattern = if glob.is_empty() { None } else { Some(glob::Pattern::new(glob).map_err(wrong)?) };
        let how = glob::MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: false };
        self.0.ask(|index| {
            let mut infos = Vec::new();
            index.each(literal_prefix(glob), |entry| {
                if pattern.as_ref().is_none_or(|pattern| pattern.matches_with(&entry.name, how)) {
                    infos.push(DatasetInfo::of(&entry)?);
                }
                Ok(())
            })?;
            Ok(infos)
        })
    }

    /// What the dataset of a name is; nothing where there is none.
    ///
    /// # Errors
    /// Those of reading the index.
    pub fn info(&self, name: &str) -> Result<Option<DatasetInfo>> {
        self.0.ask(|index| index.by_name(name))?.map(|entry| DatasetInfo::of(&entry)).transpose()
    }

    /// Opens a dataset.
    ///
    /// # Errors
    /// Not found where nothing has the name, or a snapshot is older than the files; those of reading its tables.
    pub fn dataset(&self, name: &str) -> Result<Dataset> {
        let (entry, tables) = self.0.open_dataset(name)?;
        Dataset::new(Arc::clone(&self.0), &entry, tables)
    }

    /// Begins a new dataset, which is seen once it is committed. A name that is taken by then is an error, unless
    /// [`DatasetWriter::replace`] says otherwise.
    ///
    /// # Errors
    /// Invalid where it cannot be a name; unusable where the store is open to read only.
    pub fn create(&self, name: &str, kind: DatasetKind) -> Result<DatasetWriter> {
        Ok(DatasetWriter::new(self.create_keyed(name, &kind, false)?, Map::new()))
    }

    /// Goes on with a dataset: chunks can be put and removed, and each commit or flush adds them. A dataset has one writer at a time, which
    /// threads can share.
    ///
    /// # Errors
    /// Not found where nothing has the name; locked where it has a writer; unusable where the store is open to read only.
    pub fn update(&self, name: &str) -> Result<DatasetWriter> {
        let attributes = self.info(name)?.map(|info| info.attributes).unwrap_or_default();
        Ok(DatasetWriter::new(KeyedWriter::update(&self.0, name)?, attributes))
    }

    /// As [`Store::create`], by keys.
    pub(crate) fn create_keyed(&self, name: &str, kind: &DatasetKind, replace: bool) -> Result<KeyedWriter> {
        check_name(name)?;
        let meta = kind.meta().to_string();
        if meta.len() + kind.kind().len() > MOST_JSON {
            let message = format!("metadata of {} bytes are longer than the most, {MOST_JSON}", meta.len());
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let entry = Entry {
            name: name.to_owned(),
            id: random_id(),
            kind: kind.kind().to_owned(),
            meta,
            attributes: "{}".to_owned(),
            tables: Vec::new(),
            chunks: 0,
            bytes: 0,
            stored: 0,
            created: now(),
        };
        KeyedWriter::create(&self.0, entry, replace)
    }

    /// As [`Store::update`], by keys; the dataset is made where there is none.
    pub(crate) fn keyed(&self, name: &str, kind: &DatasetKind) -> Result<KeyedWriter> {
        match self.info(name)? {
            Some(info) if info.kind != kind.kind() => {
                let message = format!("{name:?} is of kind {:?}, and not {:?}", info.kind, kind.kind());
                Err(Error::new(ErrorKind::Invalid, message).at(self.folder()))
            }
            Some(info) => {
                let text =
                    |meta: &serde_json::Value, part: &str| meta.get(part).and_then(|name| name.as_str()).unwrap_or_default().to_owned();
                for part in ["key", "value"] {
                    let (was, is) = (text(&info.meta, part), text(kind.meta(), part));
                    if leaves(&was) != leaves(&is) {
                        let message = format!("the {part}s of {name:?} are {was}, and are not to be read as {is}");
                        return Err(Error::new(ErrorKind::Invalid, message)
                            .at(self.folder())
                            .hint("open it with the types that it was made with"));
                    }
                }
                KeyedWriter::update(&self.0, name)
            }
            None => self.create_keyed(name, kind, false),
        }
    }

    /// Removes a dataset. False where nothing has the name. Its room is given back by [`Store::gc`] and [`Store::compact`].
    ///
    /// # Errors
    /// Those of writing.
    pub fn remove(&self, name: &str) -> Result<bool> {
        match self.0.commit_entry(Change::Remove { name: name.to_owned() }) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Gives a dataset another name.
    ///
    /// # Errors
    /// Not found where nothing has the name `from`; exists where `to` is taken; those of writing.
    pub fn rename(&self, from: &str, to: &str) -> Result<()> {
        check_name(to)?;
        self.0.commit_entry(Change::Rename { from: from.to_owned(), to: to.to_owned(), replace: false }).map(|_| ())
    }

    /// Makes a dataset with the chunks of another, without copying them: the two share what is on disk.
    ///
    /// # Errors
    /// As for [`Store::rename`].
    pub fn copy(&self, from: &str, to: &str) -> Result<()> {
        check_name(to)?;
        let change = Change::Copy { from: from.to_owned(), to: to.to_owned(), id: random_id(), replace: false };
        self.0.commit_entry(change).map(|_| ())
    }

    /// Gives a dataset other attributes, in the place of all that it had.
    ///
    /// # Errors
    /// Not found where nothing has the name; Invalid where they are too long; those of writing.
    pub fn set_attributes(&self, name: &str, attributes: Map<String, Value>) -> Result<()> {
        let change = Change::Attributes { name: name.to_owned(), attributes: encode_attributes(&attributes)? };
        self.0.commit_entry(change).map(|_| ())
    }

    /// What it holds, and how its index is kept.
    pub fn stats(&self) -> StoreStats {
        let inner = &self.0;
        StoreStats {
            datasets: inner.index.len(),
            sequence: inner.index.sequence(),
            segments: inner.commits().len() as u64,
            disk_bytes: inner.segments.disk_bytes(),
            catalogue_on_disk: inner.index.is_on_disk(),
            read_only: inner.manifest.is_none() || inner.poisoned.load(Relaxed),
        }
    }
}
