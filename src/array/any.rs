//! Arrays whose element type is known only when the program runs: at the edges, where files are opened.

use super::build::{Argument, elementwise};
use super::kernel::UnaryOp;
use super::lazy::Raw;
use super::number::Datum;
use super::{Array, Auto, Chunking, Chunks};
use crate::{Error, ErrorKind, Result};
use chunkstore_store::{DType, Element};
use std::panic::Location;
use std::path::Path;

/// An array of elements of some type; [`AnyArray::astype`] or [`AnyArray::typed`] make it one of a known type.
///
/// ```
/// use chunkstore::array::{AnyArray, Array};
/// let any = AnyArray::from(Array::<i16>::ones([4], 2));
/// assert_eq!(any.dtype().name(), "int16");
/// assert!(any.typed::<f64>().is_err());
/// assert_eq!(any.astype::<f64>().shape()?, [4]);
/// # Ok::<(), chunkstore::Error>(())
/// ```
#[derive(Clone)]
pub struct AnyArray {
    raw: Result<Raw>,
    dtype: DType,
}

impl std::fmt::Debug for AnyArray {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.raw {
            Ok(raw) => write!(f, "AnyArray({}, {}, shape {:?})", raw.dtype, raw.layer.name(), raw.chunks.shape()),
            Err(error) => write!(f, "AnyArray(error: {error})"),
        }
    }
}

impl<T: Element> From<Array<T>> for AnyArray {
    fn from(array: Array<T>) -> Self {
        AnyArray { raw: array.raw, dtype: T::DTYPE }
    }
}

impl AnyArray {
    /// The array in a `.npy` file, in automatic chunks, whatever the type of its elements.
    ///
    /// # Errors
    /// Where the file cannot be read or is not whole.
    #[track_caller]
    pub fn from_npy(path: impl AsRef<Path>) -> Result<Self> {
        AnyArray::from_npy_chunks(path, Auto)
    }

    /// The array in a `.npy` file, cut as said, whatever the type of its elements.
    ///
    /// # Errors
    /// As [`AnyArray::from_npy`], and where the chunks do not fit.
    #[track_caller]
    pub fn from_npy_chunks(path: impl AsRef<Path>, chunks: impl Into<Chunking>) -> Result<Self> {
        let line = Location::caller();
        super::file::open(path.as_ref(), &chunks.into()).map(AnyArray::of).map_err(|error| error.from_line(line))
    }

    pub(super) fn of(raw: Raw) -> Self {
        AnyArray { dtype: raw.dtype, raw: Ok(raw) }
    }

    /// The type of the elements.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The extent of each axis.
    ///
    /// # Errors
    /// The first error of the steps that made the array.
    pub fn shape(&self) -> Result<&[usize]> {
        Ok(self.chunks()?.shape())
    }

    /// How the array is cut into blocks.
    ///
    /// # Errors
    /// The first error of the steps that made the array.
    pub fn chunks(&self) -> Result<&Chunks> {
        self.raw.as_ref().map(|raw| &raw.chunks).map_err(Error::clone)
    }

    /// The elements converted to a type, as [`Array::astype`].
    #[track_caller]
    pub fn astype<U: Datum>(&self) -> Array<U> {
        let arguments = [Argument::Array(&self.raw)];
        let raw = match &self.raw {
            Ok(raw) if raw.dtype == U::DTYPE => Ok(raw.clone()),
            _ => elementwise("astype", 1, &arguments, |program, slots| program.unary(UnaryOp::Cast(U::DTYPE), *slots.first()?)),
        };
        Array::at(raw, Location::caller())
    }

    /// The array as one of the type that it has.
    ///
    /// # Errors
    /// A type error where it has another type.
    #[track_caller]
    pub fn typed<U: Element>(&self) -> Result<Array<U>> {
        if self.dtype != U::DTYPE {
            let message = format!("an array of {} is not one of {}", self.dtype, U::DTYPE);
            return Err(Error::new(ErrorKind::Type, message).from_line(Location::caller()).hint("astype converts the elements"));
        }
        Ok(Array::at(self.raw.clone(), Location::caller()))
    }
}
