//! The lazy array.

use super::Chunks;
use crate::graph::{Key, LayerRef};
use crate::{Error, Persist, Result};
use chunkstore_store::{DType, Element};
use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;

/// The layer that makes an array's blocks, and what is known of them.
#[derive(Clone)]
pub(super) struct Raw {
    pub(super) layer: LayerRef,
    pub(super) chunks: Chunks,
    pub(super) dtype: DType,
}

/// A lazy n-dimensional array of elements of one type, cut into blocks.
///
/// Every operation gives a new array and computes nothing. Clones are cheap. An operation that makes no sense gives an
/// array that keeps the error, with the line of the program that asked for it: [`Array::check`], [`Array::shape`] and
/// every computation report it.
///
/// ```
/// use chunkstore::array::Array;
/// use chunkstore::s;
/// let x = Array::<f64>::ones([1000, 1000], 100);
/// let y = (&x + 1.0).exp().slice(s![1..100, ..;10]);
/// assert_eq!(y.shape()?, [99, 100]);
/// let wrong = &x + Array::<f64>::ones([7], 7);
/// assert!(wrong.check().unwrap_err().to_string().contains("[1000, 1000]"));
/// # Ok::<(), chunkstore::Error>(())
/// ```
///
/// Arrays of different types do not mix; `astype` says what is meant.
///
/// ```compile_fail
/// use chunkstore::array::Array;
/// let sum = Array::<f32>::ones([3], 3) + Array::<f64>::ones([3], 3);
/// ```
pub struct Array<T: Element> {
    pub(super) raw: Result<Raw>,
    element: PhantomData<fn() -> T>,
}

impl<T: Element> Clone for Array<T> {
    fn clone(&self) -> Self {
        Array { raw: self.raw.clone(), element: PhantomData }
    }
}

impl<T: Element> fmt::Debug for Array<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.raw {
            Ok(raw) => {
                let shape = raw.chunks.shape();
                write!(f, "Array<{}>({}, shape {shape:?}, chunks {:?})", raw.dtype, raw.layer.name(), raw.chunks)
            }
            Err(error) => write!(f, "Array(error: {error})"),
        }
    }
}

impl<T: Element> Array<T> {
    /// An array of what was made for it, or of the error that was met, which happened at the given line.
    pub(super) fn at(raw: Result<Raw>, line: &'static Location<'static>) -> Self {
        let raw = raw.map_err(|error| error.from_line(line)).and_then(|raw| {
            if raw.dtype == T::DTYPE {
                return Ok(raw);
            }
            Err(Error::new(crate::ErrorKind::Type, format!("an array of {} is not one of {}", raw.dtype, T::DTYPE)).from_line(line))
        });
        Array { raw, element: PhantomData }
    }

    pub(super) fn raw(&self) -> Result<&Raw> {
        self.raw.as_ref().map_err(Error::clone)
    }

    /// Whether every step up to here makes sense.
    ///
    /// # Errors
    /// The first error of the steps that made the array, with the line of the program that asked for it.
    pub fn check(&self) -> Result<()> {
        self.raw().map(drop)
    }

    /// The extent of each axis.
    ///
    /// # Errors
    /// The first error of the steps that made the array.
    pub fn shape(&self) -> Result<&[usize]> {
        Ok(self.raw()?.chunks.shape())
    }

    /// How the array is cut into blocks.
    ///
    /// # Errors
    /// The first error of the steps that made the array.
    pub fn chunks(&self) -> Result<&Chunks> {
        Ok(&self.raw()?.chunks)
    }

    /// The number of chunks on each axis.
    ///
    /// # Errors
    /// The first error of the steps that made the array.
    pub fn numblocks(&self) -> Result<Vec<usize>> {
        Ok(self.raw()?.chunks.numblocks().to_vec())
    }

    /// The type of the elements.
    pub fn dtype(&self) -> DType {
        T::DTYPE
    }

    /// The number of axes.
    ///
    /// # Errors
    /// The first error of the steps that made the array.
    pub fn ndim(&self) -> Result<usize> {
        Ok(self.raw()?.chunks.ndim())
    }

    /// The number of elements.
    ///
    /// # Errors
    /// The first error of the steps that made the array.
    pub fn size(&self) -> Result<usize> {
        Ok(self.raw()?.chunks.size())
    }

    /// The bytes of all elements.
    ///
    /// # Errors
    /// The first error of the steps that made the array.
    pub fn nbytes(&self) -> Result<u64> {
        Ok(self.raw()?.chunks.size() as u64 * T::DTYPE.size() as u64)
    }

    /// The key of the layer that makes the blocks: equal work has equal keys.
    ///
    /// # Errors
    /// The first error of the steps that made the array.
    pub fn key(&self) -> Result<Key> {
        Ok(self.raw()?.layer.key())
    }

    /// A readable name, as in Dask: `add-1f2e3d4c`.
    ///
    /// # Errors
    /// The first error of the steps that made the array.
    pub fn name(&self) -> Result<String> {
        let layer = &self.raw()?.layer;
        Ok(format!("{}-{:.8}", layer.name(), layer.key().to_string()))
    }
}

impl<T: Element> Persist for Array<T> {
    fn layer(&self) -> Result<LayerRef> {
        Ok(self.raw()?.layer.clone())
    }

    fn with_layer(&self, layer: LayerRef) -> Self {
        let raw = self.raw.clone().map(|raw| Raw { layer, ..raw });
        Array { raw, element: PhantomData }
    }
}
