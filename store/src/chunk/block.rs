//! A block of an array: elements in C order in a shared buffer.

#![allow(unsafe_code)]

use crate::{Buffer, DType, Element, Error, ErrorKind, Result};

/// The extent of each axis, in elements.
pub type Shape = smallvec::SmallVec<[usize; 4]>;

/// A block of an array: its elements stand in C order (last axis fastest) in a part of a [`Buffer`].
///
/// A `Block` of [`DType::Bool`] holds only the bytes 0 and 1.
#[derive(Clone, Debug)]
pub struct Block {
    buffer: Buffer,
    offset: usize,
    dtype: DType,
    shape: Shape,
}

impl Block {
    /// The elements of `shape` that begin at byte `offset` of `buffer`.
    ///
    /// # Errors
    /// Invalid where the buffer is too short, the elements are not aligned to their size, or a truth value is
    /// neither 0 nor 1.
    pub fn new(buffer: Buffer, offset: usize, dtype: DType, shape: Shape) -> Result<Self> {
        let elements = shape.iter().try_fold(1usize, |n, extent| n.checked_mul(*extent));
        let end = elements.and_then(|n| n.checked_mul(dtype.size())).and_then(|n| n.checked_add(offset));
        if end.is_none_or(|end| end > buffer.len()) {
            let message = format!("a block of {shape:?} {dtype} at byte {offset} does not fit in a buffer of {} bytes", buffer.len());
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        if !(buffer.as_ptr() as usize + offset).is_multiple_of(dtype.size()) {
            return Err(Error::new(ErrorKind::Invalid, format!("a block of {dtype} at byte {offset} is not aligned")));
        }
        let block = Block { buffer, offset, dtype, shape };
        if dtype == DType::Bool && block.bytes().iter().any(|byte| *byte > 1) {
            return Err(Error::new(ErrorKind::Corrupt, "a truth value is neither 0 nor 1"));
        }
        Ok(block)
    }

    /// The type of the elements.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// The extent of each axis.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of the elements.
    pub fn nbytes(&self) -> usize {
        self.len() * self.dtype.size()
    }

    /// The buffer that holds the elements, and where in it they begin.
    pub fn buffer(&self) -> (&Buffer, usize) {
        (&self.buffer, self.offset)
    }

    /// The elements' bytes.
    pub fn bytes(&self) -> &[u8] {
        self.buffer.get(self.offset..self.offset + self.nbytes()).unwrap_or_default()
    }

    /// The elements, if they are of type `T`.
    ///
    /// # Errors
    /// Invalid where they are of another type.
    pub fn as_slice<T: Element>(&self) -> Result<&[T]> {
        if T::DTYPE != self.dtype {
            return Err(Error::new(ErrorKind::Invalid, format!("a block of {} is not one of {}", self.dtype, T::DTYPE)));
        }
        // SAFETY: `new` checked length, alignment and (for truth values) content; the buffer is immutable.
        Ok(unsafe { std::slice::from_raw_parts(self.bytes().as_ptr().cast(), self.len()) })
    }

    /// The same elements under another shape of the same number of elements.
    ///
    /// # Errors
    /// Invalid where the numbers differ.
    pub fn reshaped(&self, shape: Shape) -> Result<Self> {
        if shape.iter().try_fold(1usize, |n, extent| n.checked_mul(*extent)) != Some(self.len()) {
            return Err(Error::new(ErrorKind::Invalid, format!("{:?} cannot be shaped as {shape:?}", self.shape)));
        }
        Ok(Block { shape, ..self.clone() })
    }
}
