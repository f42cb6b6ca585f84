//! Arrays in `.npy` files.

use super::collect::{Sink, SinkLayer};
use super::lazy::Raw;
use super::npy::{NpyFile, NpyWriter, Span};
use super::parameters;
use super::portable::{Name, READ_NPY};
use super::shaping::{permuted, viewed};
use super::source::{Part, Place, Reader, Source, Stretch, read};
use super::stamp::FileStamp;
use super::{Array, Auto, Chunking, Chunks};
use crate::graph::{Operator, Size, Sizes, TaskContext};
use crate::{Collected, Collection, Error, ErrorKind, Result};
use chunkstore_store::{Block, DType, Element};
use parking_lot::RwLock;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file of which regions are read, in the order in which it is stored.
struct Npy(NpyFile);

impl<T: Element> Array<T> {
    /// The array in a `.npy` file, in automatic chunks. The header is read and checked now, the data when tasks need them.
    ///
    /// # Errors
    /// Where the file cannot be read, is not whole, or holds elements of another type: [`super::AnyArray::from_npy`] takes
    /// any, and its `astype` converts them.
    #[track_caller]
    pub fn from_npy(path: impl AsRef<Path>) -> Result<Self> {
        Array::from_npy_chunks(path, Auto)
    }

    /// The array in a `.npy` file, cut as said.
    ///
    /// # Errors
    /// As [`Array::from_npy`], and where the chunks do not fit.
    #[track_caller]
    pub fn from_npy_chunks(path: impl AsRef<Path>, chunks: impl Into<Chunking>) -> Result<Self> {
        let line = Location::caller();
        let path = path.as_ref();
        let raw = open(path, &chunks.into()).map_err(|error| error.from_line(line))?;
        if raw.dtype != T::DTYPE {
            let message = format!("the file holds elements of {}, not of {}", raw.dtype, T::DTYPE);
            let hint = format!("open it with AnyArray::from_npy(path)?.astype::<{}>()", std::any::type_name::<T>());
            return Err(Error::new(ErrorKind::Type, message).at(path).from_line(line).hint(hint));
        }
        Ok(Array::at(Ok(raw), line))
    }

    /// The writing of this array to a `.npy` file, byte for byte as NumPy writes it. It happens when it is computed; the
    /// file has its name only once it is whole.
    ///
    /// ```
    /// use chunkstore::{Engine, array::Array};
    /// # let folder = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
    /// # let path = folder.path().join("x.npy");
    /// let engine = Engine::builder().memory("256MiB").build()?;
    /// engine.compute(Array::<f64>::linspace(0.0, 1.0, 1001, 100).to_npy(&path))?;
    /// let x = Array::<f64>::from_npy(&path)?;
    /// assert_eq!(engine.compute(&x.sum(..).item_collection())?, 500.5);
    /// assert_eq!(Array::<i64>::from_npy(&path).unwrap_err().kind(), chunkstore::ErrorKind::Type);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn to_npy(&self, path: impl AsRef<Path>) -> ToNpy<T> {
        ToNpy { array: self.clone(), path: path.as_ref().to_path_buf(), line: Location::caller() }
    }
}

/// The array in a file, of whatever type.
pub(super) fn open(path: &Path, chunking: &Chunking) -> Result<Raw> {
    let file = NpyFile::open(path)?;
    let dtype = file.dtype();
    let shape = file.shape().to_vec();
    let fortran = file.fortran() && shape.len() > 1;
    // A file in Fortran order is one in C order whose axes are reversed. Automatic chunks are those that it can read in
    // one piece; others are what the user names, on the axes as NumPy shows them.
    let chunks = if fortran { chunking.reversed() } else { chunking.clone() }.resolve(&file.storage_shape(), dtype)?;
    let layer = Source::new(Arc::new(Npy(file)), chunks.clone());
    let raw = Raw { layer: Arc::new(layer), chunks, dtype };
    if !fortran {
        return Ok(raw);
    }
    let (view, shape) = permuted(&(0..shape.len()).rev().collect::<Vec<_>>(), raw.chunks.shape());
    viewed("transpose", &raw, view, &shape)
}

fn spans(region: &[Stretch]) -> Vec<Span> {
    region.iter().map(|stretch| (stretch.start, stretch.step as isize, stretch.count)).collect()
}

impl Reader for Npy {
    fn name(&self) -> &'static str {
        "read_npy"
    }

    fn operator(&self) -> Name {
        READ_NPY
    }

    fn place(&self) -> Place {
        Place::File(self.0.stamp().into())
    }

    fn sizes(&self, region: &[Stretch]) -> Sizes {
        let spans = spans(region);
        let out = Size::Exact(self.0.block_bytes(&spans).unwrap_or(0));
        Sizes { out, scratch: self.0.scratch_bytes(&spans).unwrap_or(0), load: self.0.load_bytes(&spans).unwrap_or(0) }
    }

    fn read(&self, task: &TaskContext<'_>, region: &[Stretch]) -> Result<Block> {
        self.0.read_region(&spans(region), task.arena())
    }
}

/// The operator that reads a part of a file, which is opened, and must be in the state that the parameters say.
pub(super) fn decode(bytes: &[u8]) -> Result<Arc<dyn Operator>> {
    let (stamp, part): (FileStamp, Part) = parameters::decode(READ_NPY.0, bytes)?;
    let file = NpyFile::open(stamp.path())?;
    stamp.check(file.stamp())?;
    let extents = file.storage_shape();
    read(Arc::new(Npy(file)), part, &extents)
}

/// A `.npy` file to be written, as a value to compute: see [`Array::to_npy`].
#[derive(Clone, Debug)]
#[must_use = "the file is written when this is computed"]
pub struct ToNpy<T: Element> {
    array: Array<T>,
    path: PathBuf,
    line: &'static Location<'static>,
}

/// The file while it is being written: none before the run begins.
struct Writing {
    grid: Chunks,
    writer: RwLock<Option<NpyWriter>>,
}

impl Sink for Writing {
    fn name(&self) -> &'static str {
        "to_npy"
    }

    fn grid(&self) -> &Chunks {
        &self.grid
    }

    fn scratch(&self, _block: u32) -> u64 {
        0
    }

    fn put(&self, task: &TaskContext<'_>, block: &Block) -> Result<()> {
        let start = self.grid.block_start(task.block());
        match &*self.writer.read() {
            Some(writer) => writer.write_region(&start, block),
            None => Err(Error::new(ErrorKind::Invalid, "a block was written to a file that is not being made")),
        }
    }
}

impl<T: Element> Collection for ToNpy<T> {
    type Output = ();

    fn collect(&self) -> Result<Collected<()>> {
        let raw = self.array.raw()?;
        let writing = Arc::new(Writing { grid: raw.chunks.clone(), writer: RwLock::new(None) });
        let (begin, finish) = (writing.clone(), writing.clone());
        let (path, line, shape, dtype): (PathBuf, _, _, DType) = (self.path.clone(), self.line, raw.chunks.shape().to_vec(), T::DTYPE);
        Ok(Collected {
            layer: Arc::new(SinkLayer::new(writing, raw.layer.clone())),
            keep: false,
            bytes: 0,
            begin: Box::new(move || {
                *begin.writer.write() = Some(NpyWriter::create(path, dtype, &shape).map_err(|error| error.from_line(line))?);
                Ok(())
            }),
            finish: Box::new(move |_| match finish.writer.write().take() {
                Some(writer) => writer.finish().map_err(|error| error.from_line(line)),
                None => Err(Error::new(ErrorKind::Invalid, "a file was finished that was not begun")),
            }),
        })
    }
}
