//! Bags in a store: saved partition by partition, and opened again.

use super::lazy::Bag;
use super::pipeline::Item;
use super::stored::records;
use crate::graph::{Dependency, Key, KeyBuilder, Layer, LayerRef, Operator, Size, Sizes, TaskContext, Value};
use crate::{Collected, Collection, Error, ErrorKind, Result};
use chunkstore_store::{Chunk, Dataset, DatasetKind, DatasetWriter, Store};
use parking_lot::RwLock;
use serde_json::{Map, json};
use std::any::Any;
use std::fmt;
use std::panic::Location;
use std::sync::Arc;

/// The kind of a dataset that is a bag.
const KIND: &str = "bag";

impl<T: Item> Bag<T> {
    /// The saving of this bag as a dataset of a store. It happens when it is computed: partitions go to the store as they are made, encoded as they are kept,
    /// and the dataset is there once all of them are and the disk has them. Before, the store is as it was.
    ///
    /// ```
    /// use chunkstore::{Engine, Store, bag};
    /// use chunkstore::bag::Bag;
    /// # let folder = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
    /// # let folder = folder.path().join("store");
    /// let store = Store::open(&folder)?;
    /// let engine = Engine::builder().memory("256MiB").build()?;
    /// let words = bag::from_sequence(["to", "be", "or"].map(String::from), 2);
    /// engine.compute(&words.save(&store, "words").attribute("source", "Hamlet"))?;
    /// let again = Bag::<String>::open(&store, "words")?;
    /// assert_eq!((again.npartitions()?, engine.compute(&again.count())?), (2, 3));
    /// assert!(Bag::<u64>::open(&store, "words").is_err());
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn save(&self, store: &Store, name: &str) -> SaveBag<T> {
        SaveBag {
            bag: self.clone(),
            store: store.clone(),
            name: name.to_string(),
            attributes: Map::new(),
            replace: false,
            line: Location::caller(),
        }
    }

    /// The bag of that name in a store, in the partitions in which it was saved. They are read when tasks need them.
    ///
    /// # Errors
    /// NotFound where there is no such dataset; Type where it is no bag, or one of other elements: the names of types of the user's may differ, the
    /// numbers, truth values and texts in them may not.
    #[track_caller]
    pub fn open(store: &Store, name: &str) -> Result<Bag<T>> {
        let line = Location::caller();
        let opened = ReadSaved::open::<T>(store, name).map_err(|error| error.from_line(line))?;
        Ok(Bag::at(Ok(Arc::new(opened)), line))
    }
}

/// A bag to be saved in a store, as a value to compute: see [`Bag::save`].
#[must_use = "the bag is saved when this is computed"]
pub struct SaveBag<T: Item> {
    bag: Bag<T>,
    store: Store,
    name: String,
    attributes: Map<String, serde_json::Value>,
    replace: bool,
    line: &'static Location<'static>,
}

impl<T: Item> Clone for SaveBag<T> {
    fn clone(&self) -> Self {
        SaveBag {
            bag: self.bag.clone(),
            store: self.store.clone(),
            name: self.name.clone(),
            attributes: self.attributes.clone(),
            replace: self.replace,
            line: self.line,
        }
    }
}

impl<T: Item> fmt::Debug for SaveBag<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SaveBag").field("bag", &self.bag).field("name", &self.name).finish_non_exhaustive()
    }
}

impl<T: Item> SaveBag<T> {
    /// Gives the dataset an attribute: a source, a date, whatever is worth knowing.
    pub fn attribute(mut self, key: impl Into<String>, value: impl Into<serde_json::Value>) -> Self {
        self.attributes.insert(key.into(), value.into());
        self
    }

    /// Replaces a dataset that has the name already, in one step; else that is an error.
    pub fn replace(mut self) -> Self {
        self.replace = true;
        self
    }
}

/// The dataset while it is being written: none before the run begins.
type Writing = Arc<RwLock<Option<DatasetWriter>>>;

impl<T: Item> Collection for SaveBag<T> {
    type Output = ();

    fn collect(&self) -> Result<Collected<()>> {
        let layer = self.bag.stored_layer()?.clone();
        let meta = json!({ "type": std::any::type_name::<T>(), "partitions": layer.blocks() });
        let writing = Writing::default();
        let (begin, finish) = (writing.clone(), writing.clone());
        let (line, save) = (self.line, self.clone());
        Ok(Collected {
            // What is put into one place is not there in another: no two of these are the same.
            layer: Arc::new(PutLayer { writing, key: KeyBuilder::new("bag.save", 1).nonce().finish(), inputs: [layer] }),
            keep: false,
            bytes: 0,
            begin: Box::new(move || {
                let begun = || {
                    let writer = save.store.create(&save.name, DatasetKind::new(KIND, meta))?.replace(save.replace);
                    save.attributes.into_iter().try_for_each(|(key, value)| writer.attribute(key, value))?;
                    Ok::<_, chunkstore_store::Error>(writer)
                };
                *begin.write() = Some(begun().map_err(|error| Error::from(error).from_line(line))?);
                Ok(())
            }),
            finish: Box::new(move |_| match finish.write().take() {
                Some(writer) => writer.commit().map(drop).map_err(|error| Error::from(error).from_line(line)),
                None => Err(Error::new(ErrorKind::Invalid, "a dataset was finished that was not begun")),
            }),
        })
    }
}

/// The layer whose tasks put partitions into a dataset and give nothing.
struct PutLayer {
    writing: Writing,
    key: Key,
    inputs: [LayerRef; 1],
}

impl Layer for PutLayer {
    fn key(&self) -> Key {
        self.key
    }

    fn name(&self) -> &str {
        "save"
    }

    fn inputs(&self) -> &[LayerRef] {
        &self.inputs
    }

    fn blocks(&self) -> u32 {
        let [input] = &self.inputs;
        input.blocks()
    }

    fn dependencies(&self, block: u32, out: &mut Vec<Dependency>) {
        out.push(Dependency { input: 0, block });
    }

    fn sizes(&self, _block: u32) -> Sizes {
        Sizes { out: Size::Exact(0), scratch: 0, load: 0 }
    }

    fn operator(&self) -> Arc<dyn Operator> {
        Arc::new(Put(self.writing.clone()))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn with_inputs(&self, inputs: Vec<LayerRef>) -> Option<LayerRef> {
        let inputs = <[LayerRef; 1]>::try_from(inputs).ok()?;
        Some(Arc::new(PutLayer { writing: self.writing.clone(), key: self.key, inputs }))
    }
}

struct Put(Writing);

impl Operator for Put {
    fn name(&self) -> &str {
        "save"
    }

    fn parameters(&self) -> Option<Vec<u8>> {
        None
    }

    fn run(&self, task: &TaskContext<'_>, inputs: &[Value]) -> Result<Value> {
        let input = inputs.first().ok_or_else(|| Error::new(ErrorKind::Graph, "a task was run without its input"))?;
        match &*self.0.read() {
            Some(writer) => writer.put(task.block().into(), &Chunk::Records(records(input)?.clone()))?,
            None => return Err(Error::new(ErrorKind::Invalid, "a partition was saved in a dataset that is not being made")),
        }
        Ok(Value::None)
    }
}

/// The layer that reads the partitions of a dataset.
struct ReadSaved {
    read: Arc<Read>,
    /// The bytes of each partition.
    bytes: Vec<u64>,
    key: Key,
}

struct Read {
    dataset: Dataset,
    store: Store,
}

impl ReadSaved {
    fn open<T: Item>(store: &Store, name: &str) -> Result<ReadSaved> {
        let dataset = store.dataset(name)?;
        let info = dataset.info();
        let wrong = |kind, message: String| Error::new(kind, format!("the dataset {name:?} {message}")).at(store.folder());
        if info.kind != KIND {
            let hint = "name a bag: `chunkstore ls` shows what there is";
            return Err(wrong(ErrorKind::Type, format!("is of the kind {:?}, not a bag", info.kind)).hint(hint));
        }
        let broken = |what: &str| wrong(ErrorKind::Corrupt, format!("is described wrongly: {what}"));
        let saved = info.type_name().ok_or_else(|| broken("its elements have no type"))?;
        if !info.reads_as::<T>() {
            let message = format!("holds elements of {saved}, not of {}", std::any::type_name::<T>());
            return Err(wrong(ErrorKind::Type, message).hint("open it with the type that it was saved with"));
        }
        let count = info.meta.get("partitions").and_then(|n| n.as_u64()).and_then(|n| u32::try_from(n).ok());
        let count = count.ok_or_else(|| broken("its number of partitions is missing"))?;
        let mut bytes = Vec::with_capacity(count as usize);
        for partition in 0..u64::from(count) {
            // One that is missing or damaged is an error of the task that reads it, if there is one.
            bytes.push(dataset.header(partition).ok().flatten().map_or(0, |stored| stored.header.payload_len()));
        }
        let key = KeyBuilder::new("bag.read_saved", 1).bytes(store.folder().as_os_str().as_encoded_bytes()).text(name);
        let key = key.number(info.id).number(info.version).finish();
        Ok(ReadSaved { read: Arc::new(Read { dataset, store: store.clone() }), bytes, key })
    }
}

fn missing(dataset: &Dataset, store: &Store, partition: u64) -> Error {
    let message = format!("partition {partition} of the dataset {:?} is missing", dataset.info().name);
    let hint = "`chunkstore verify` finds what is damaged, `chunkstore repair` keeps what is sound";
    Error::new(ErrorKind::Corrupt, message).at(store.folder()).hint(hint)
}

impl Layer for ReadSaved {
    fn key(&self) -> Key {
        self.key
    }

    fn name(&self) -> &str {
        "read_saved"
    }

    fn inputs(&self) -> &[LayerRef] {
        &[]
    }

    fn blocks(&self) -> u32 {
        self.bytes.len() as u32
    }

    fn dependencies(&self, _block: u32, _out: &mut Vec<Dependency>) {}

    fn sizes(&self, block: u32) -> Sizes {
        let bytes = self.bytes.get(block as usize).copied().unwrap_or(0);
        Sizes { out: Size::Exact(bytes), scratch: 0, load: bytes }
    }

    fn operator(&self) -> Arc<dyn Operator> {
        self.read.clone()
    }

    fn is_source(&self) -> bool {
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn with_inputs(&self, _inputs: Vec<LayerRef>) -> Option<LayerRef> {
        None
    }
}

impl Operator for Read {
    fn name(&self) -> &str {
        "read_saved"
    }

    fn parameters(&self) -> Option<Vec<u8>> {
        None
    }

    fn run(&self, task: &TaskContext<'_>, _inputs: &[Value]) -> Result<Value> {
        let partition = u64::from(task.block());
        match self.dataset.chunk_in(partition, task.arena())? {
            Some(chunk @ Chunk::Records(_)) => Ok(Value::Chunk(chunk)),
            Some(_) => {
                let message = format!("partition {partition} of the dataset {:?} is no records", self.dataset.info().name);
                Err(Error::new(ErrorKind::Corrupt, message).at(self.store.folder()))
            }
            None => Err(missing(&self.dataset, &self.store, partition)),
        }
    }
}
