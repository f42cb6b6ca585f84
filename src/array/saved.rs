//! Arrays in a store: saved block by block, and opened again.

use super::body::c_strides;
use super::collect::{Sink, SinkLayer};
use super::kernel::copy_strided;
use super::lazy::Raw;
use super::parameters;
use super::portable::{Name, READ_SAVED};
use super::source::{Part, Place, Reader, Source, Stretch, read};
use super::stamp::SavedStamp;
use super::{AnyArray, Array, Chunking, Chunks};
use crate::graph::{Operator, Size, Sizes, TaskContext};
use crate::{Collected, Collection, Error, ErrorKind, Result};
use chunkstore_store::{Block, Chunk, DType, Dataset, DatasetKind, DatasetWriter, Element, Shape, Store};
use parking_lot::RwLock;
use serde_json::{Map, Value};
use smallvec::SmallVec;
use std::panic::Location;
use std::sync::Arc;

/// The kind of a dataset that is an array.
const KIND: &str = "array";

/// A dataset of which regions are read.
struct Saved {
    dataset: Dataset,
    stamp: SavedStamp,
    grid: Chunks,
    dtype: DType,
}

impl Saved {
    fn open(store: &Store, name: &str) -> Result<Saved> {
        let dataset = store.dataset(name)?;
        let info = dataset.info();
        let wrong = |kind, message: String| Error::new(kind, format!("the dataset {name:?} {message}")).at(store.folder());
        if info.kind != KIND {
            let hint = "name an array: `chunkstore ls` shows what there is";
            return Err(wrong(ErrorKind::Type, format!("is of the kind {:?}, not an array", info.kind)).hint(hint));
        }
        let broken = |what: String| wrong(ErrorKind::Corrupt, format!("is described wrongly: {what}"));
        let dtype = info.dtype().ok_or_else(|| broken(format!("there is no element type {}", info.meta["dtype"])))?;
        let (shape, chunks) = info.shape().zip(info.chunk_extents()).ok_or_else(|| broken("shape or chunks are missing".to_string()))?;
        let grid = Chunks::new(chunks).map_err(|error| broken(error.to_string()))?;
        if grid.shape() != shape {
            return Err(broken(format!("chunks of {:?} in all do not make the shape {shape:?}", grid.shape())));
        }
        let stamp = SavedStamp::new(store.folder(), name, info.id, info.version);
        Ok(Saved { dataset, stamp, grid, dtype })
    }

    /// The array, cut as said, or as it was saved.
    fn array(self, chunking: Option<&Chunking>) -> Result<Raw> {
        let chunks = match chunking {
            Some(chunking) => chunking.resolve(self.grid.shape(), self.dtype)?,
            None => self.grid.clone(),
        };
        let dtype = self.dtype;
        Ok(Raw { layer: Arc::new(Source::new(Arc::new(self), chunks.clone())), chunks, dtype })
    }

    /// The chunk that a region is, where it is just that.
    fn whole(&self, region: &[Stretch]) -> Option<u32> {
        let mut position = SmallVec::<[u32; 4]>::new();
        for (axis, stretch) in region.iter().enumerate() {
            if stretch.count == 0 {
                return None;
            }
            let chunk = self.grid.find(axis, stretch.start);
            let starts = self.grid.starts(axis).get(chunk as usize..chunk as usize + 2)?;
            if starts != [stretch.start, stretch.start + stretch.count] || (stretch.step != 1 && stretch.count > 1) {
                return None;
            }
            position.push(chunk);
        }
        Some(self.grid.block_at(&position))
    }

    fn block(&self, number: u32, task: &TaskContext<'_>) -> Result<Block> {
        let shape = self.grid.block_shape(number);
        let broken = |what: String| {
            let error = Error::new(ErrorKind::Corrupt, format!("chunk {number} of the dataset {:?} {what}", self.dataset.info().name));
            error.at(self.stamp.folder()).hint("`chunkstore verify` finds what is damaged, `chunkstore repair` keeps what is sound")
        };
        match self.dataset.chunk_in(u64::from(number), task.arena())? {
            Some(Chunk::Block(block)) if block.dtype() == self.dtype && block.shape() == &shape[..] => Ok(block),
            Some(_) => Err(broken(format!("is no block of {} of shape {shape:?}", self.dtype))),
            None => Err(broken("is missing".to_string())),
        }
    }
}

/// What a region has of one chunk on one axis.
#[derive(Clone, Copy)]
struct Overlap {
    chunk: u32,
    /// The first element, counted from the chunk's first.
    from: usize,
    /// Where it goes in the region.
    into: usize,
    count: usize,
}

/// What a stretch has of each chunk on an axis.
fn overlaps(stretch: &Stretch, starts: &[usize]) -> Vec<Overlap> {
    let Stretch { start, step, count } = *stretch;
    let after = |index: usize| index.saturating_sub(start).div_ceil(step.max(1)).min(count);
    let pairs = starts.windows(2).enumerate();
    let mut all = Vec::new();
    for (chunk, pair) in pairs {
        let (begin, end) = (pair[0], pair[1]);
        let (first, last) = (after(begin), after(end));
        if first < last {
            all.push(Overlap { chunk: chunk as u32, from: start + step * first - begin, into: first, count: last - first });
        }
    }
    all
}

impl Reader for Saved {
    fn name(&self) -> &'static str {
        "read_saved"
    }

    fn operator(&self) -> Name {
        READ_SAVED
    }

    fn place(&self) -> Place {
        Place::Saved(self.stamp.clone())
    }

    fn sizes(&self, region: &[Stretch]) -> Sizes {
        let item = self.dtype.size();
        let out = region.iter().map(|stretch| stretch.count).product::<usize>() * item;
        if let Some(number) = self.whole(region) {
            let bytes = (self.grid.block_len(number) * item) as u64;
            return Sizes { out: Size::Exact(out as u64), scratch: 0, load: bytes };
        }
        // One chunk is in memory at a time, and every chunk that the region touches is read.
        let (mut largest, mut touched) = (item, item);
        for (axis, stretch) in region.iter().enumerate() {
            let starts = self.grid.starts(axis);
            let extents = overlaps(stretch, starts).into_iter().map(|overlap| {
                let at = overlap.chunk as usize;
                starts.get(at + 1).copied().unwrap_or(0) - starts.get(at).copied().unwrap_or(0)
            });
            let (most, sum) = extents.fold((0, 0), |(most, sum), extent| (extent.max(most), sum + extent));
            largest *= most;
            touched *= sum;
        }
        Sizes { out: Size::Exact(out as u64), scratch: largest as u64, load: touched as u64 }
    }

    fn read(&self, task: &TaskContext<'_>, region: &[Stretch]) -> Result<Block> {
        if let Some(number) = self.whole(region) {
            return self.block(number, task);
        }
        let shape: Shape = region.iter().map(|stretch| stretch.count).collect();
        let item = self.dtype.size();
        let mut out = task.alloc(shape.iter().product::<usize>() * item)?;
        let axes: Vec<Vec<Overlap>> = region.iter().enumerate().map(|(axis, stretch)| overlaps(stretch, self.grid.starts(axis))).collect();
        let strides = c_strides(&shape);
        let mut index = vec![0; axes.len()];
        while !shape.contains(&0) {
            if task.is_cancelled() {
                return Err(Error::new(ErrorKind::Cancelled, "the computation was cancelled"));
            }
            let here: SmallVec<[Overlap; 4]> = axes.iter().zip(&index).filter_map(|(axis, at)| axis.get(*at).copied()).collect();
            let position: SmallVec<[u32; 4]> = here.iter().map(|overlap| overlap.chunk).collect();
            let number = self.grid.block_at(&position);
            let block = self.block(number, task)?;
            let inner = c_strides(block.shape());
            let counts: Shape = here.iter().map(|overlap| overlap.count).collect();
            let from = here.iter().zip(&inner).map(|(overlap, stride)| overlap.from * *stride as usize).sum();
            let into = here.iter().zip(&strides).map(|(overlap, stride)| overlap.into * *stride as usize).sum();
            let steps: SmallVec<[isize; 4]> = inner.iter().zip(region).map(|(stride, stretch)| stride * stretch.step as isize).collect();
            copy_strided(item, &counts, block.bytes(), from, &steps, &mut out, into, &strides)?;
            let advanced = (0..axes.len()).rev().any(|k| {
                index[k] = (index[k] + 1) % axes[k].len();
                index[k] > 0
            });
            if !advanced {
                break;
            }
        }
        Ok(Block::new(out.freeze(), 0, self.dtype, shape)?)
    }
}

/// The operator that reads a part of a saved array: the store is opened without its lock, and must still have that dataset.
pub(super) fn decode(bytes: &[u8]) -> Result<Arc<dyn Operator>> {
    let (stamp, part): (SavedStamp, Part) = parameters::decode(READ_SAVED.0, bytes)?;
    let store = Store::open_read_only(stamp.folder())?;
    let saved = Saved::open(&store, stamp.name())?;
    stamp.check(&saved.stamp)?;
    let extents = saved.grid.shape().to_vec();
    read(Arc::new(saved), part, &extents)
}

impl<T: Element> Array<T> {
    /// The array of that name in a store, cut as it was saved. Its blocks are read when tasks need them.
    ///
    /// # Errors
    /// NotFound where there is no such dataset; Type where it is no array or holds elements of another type:
    /// [`AnyArray::open`] takes any, and its `astype` converts them.
    ///
    /// ```
    /// use chunkstore::{Engine, Store, array::Array};
    /// # let folder = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
    /// # let folder = folder.path().join("store");
    /// let store = Store::open(&folder)?;
    /// let engine = Engine::builder().memory("256MiB").build()?;
    /// let x = Array::<f64>::linspace(0.0, 1.0, 1001, 100);
    /// engine.compute(&x.save(&store, "climate/t").attribute("units", "K"))?;
    /// let again = Array::<f64>::open(&store, "climate/t")?;
    /// assert_eq!(engine.compute(&again.sum(..).item_collection())?, 500.5);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn open(store: &Store, name: &str) -> Result<Self> {
        open_typed(store, name, None, Location::caller())
    }

    /// As [`Array::open`], cut in another way. Every chunk that a block touches is read for it.
    ///
    /// # Errors
    /// As [`Array::open`], and where the chunks do not fit.
    #[track_caller]
    pub fn open_chunks(store: &Store, name: &str, chunks: impl Into<Chunking>) -> Result<Self> {
        open_typed(store, name, Some(chunks.into()), Location::caller())
    }

    /// The saving of this array as a dataset of a store. It happens when it is computed: blocks go to the store as they are made,
    /// and the dataset is there once all of them are and the disk has them. It survives `kill -9` and loss of power from then
    /// on; before, the store is as it was.
    #[track_caller]
    pub fn save(&self, store: &Store, name: &str) -> Save<T> {
        Save {
            array: self.clone(),
            store: store.clone(),
            name: name.to_string(),
            attributes: Map::new(),
            replace: false,
            line: Location::caller(),
        }
    }
}

fn open_typed<T: Element>(store: &Store, name: &str, chunks: Option<Chunking>, line: &'static Location<'static>) -> Result<Array<T>> {
    let open = || {
        let saved = Saved::open(store, name)?;
        if saved.dtype != T::DTYPE {
            let message = format!("the dataset {name:?} holds elements of {}, not of {}", saved.dtype, T::DTYPE);
            let hint = format!("open it with AnyArray::open(store, name)?.astype::<{}>()", std::any::type_name::<T>());
            return Err(Error::new(ErrorKind::Type, message).at(store.folder()).hint(hint));
        }
        saved.array(chunks.as_ref())
    };
    Ok(Array::at(Ok(open().map_err(|error: Error| error.from_line(line))?), line))
}

impl AnyArray {
    /// The array of that name in a store, whatever the type of its elements, cut as it was saved.
    ///
    /// # Errors
    /// NotFound where there is no such dataset; Type where it is no array.
    #[track_caller]
    pub fn open(store: &Store, name: &str) -> Result<Self> {
        let line = Location::caller();
        Saved::open(store, name).and_then(|saved| saved.array(None)).map(AnyArray::of).map_err(|error| error.from_line(line))
    }
}

/// An array to be saved in a store, as a value to compute: see [`Array::save`].
#[derive(Clone, Debug)]
#[must_use = "the array is saved when this is computed"]
pub struct Save<T: Element> {
    array: Array<T>,
    store: Store,
    name: String,
    attributes: Map<String, Value>,
    replace: bool,
    line: &'static Location<'static>,
}

impl<T: Element> Save<T> {
    /// Gives the dataset an attribute: a unit, a source, whatever is worth knowing.
    pub fn attribute(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
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
struct Saving {
    grid: Chunks,
    writer: RwLock<Option<DatasetWriter>>,
}

impl Sink for Saving {
    fn name(&self) -> &'static str {
        "save"
    }

    fn grid(&self) -> &Chunks {
        &self.grid
    }

    fn scratch(&self, _block: u32) -> u64 {
        0
    }

    fn put(&self, task: &TaskContext<'_>, block: &Block) -> Result<()> {
        match &*self.writer.read() {
            Some(writer) => Ok(writer.put(u64::from(task.block()), &Chunk::Block(block.clone()))?),
            None => Err(Error::new(ErrorKind::Invalid, "a block was saved in a dataset that is not being made")),
        }
    }
}

impl<T: Element> Collection for Save<T> {
    type Output = ();

    fn collect(&self) -> Result<Collected<()>> {
        let raw = self.array.raw()?;
        let saving = Arc::new(Saving { grid: raw.chunks.clone(), writer: RwLock::new(None) });
        let (begin, finish) = (saving.clone(), saving.clone());
        let (line, save) = (self.line, self.clone());
        let chunks: Vec<Vec<usize>> = (0..raw.chunks.ndim()).map(|axis| raw.chunks.extents(axis).collect()).collect();
        let kind = DatasetKind::array(T::DTYPE, raw.chunks.shape(), &chunks)?;
        Ok(Collected {
            layer: Arc::new(SinkLayer::new(saving, raw.layer.clone())),
            keep: false,
            bytes: 0,
            begin: Box::new(move || {
                let begun = || {
                    let writer = save.store.create(&save.name, kind)?.replace(save.replace);
                    save.attributes.into_iter().try_for_each(|(key, value)| writer.attribute(key, value))?;
                    Ok::<_, chunkstore_store::Error>(writer)
                };
                *begin.writer.write() = Some(begun().map_err(|error| Error::from(error).from_line(line))?);
                Ok(())
            }),
            finish: Box::new(move |_| match finish.writer.write().take() {
                Some(writer) => writer.commit().map(drop).map_err(|error| Error::from(error).from_line(line)),
                None => Err(Error::new(ErrorKind::Invalid, "a dataset was finished that was not begun")),
            }),
        })
    }
}
