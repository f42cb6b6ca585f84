//! Arrays that are in memory already.

use super::kernel::copy_strided;
use super::lazy::Raw;
use super::portable::Name;
use super::source::{Place, Reader, Source, Stretch, is_contiguous};
use super::{Array, Chunking};
use crate::graph::{Key, KeyBuilder, Size, Sizes, TaskContext};
use crate::{Error, ErrorKind, Result};
use chunkstore_store::{Block, Buffer, DType, Element, Shape};
use ndarray::Dimension;
use smallvec::SmallVec;
use std::panic::Location;
use std::sync::Arc;

/// An array in memory of the user's.
struct Memory {
    buffer: Buffer,
    dtype: DType,
    first: usize,
    strides: SmallVec<[isize; 4]>,
    key: Key,
}

impl<T: Element> Array<T> {
    /// An array of the elements of one in memory, whose memory it takes over. The memory does not count in the bound of
    /// an engine. Blocks that are one piece of it in C order are not copied.
    ///
    /// ```
    /// use chunkstore::array::Array;
    /// let x = Array::from_ndarray(ndarray::arr2(&[[1, 2, 3], [4, 5, 6]]), 2);
    /// assert_eq!(x.shape()?, [2, 3]);
    /// assert_eq!(x.numblocks()?, [1, 2]);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn from_ndarray<D: Dimension>(array: ndarray::Array<T, D>, chunks: impl Into<Chunking>) -> Self {
        let chunks = chunks.into();
        Array::at(from_ndarray(array, &chunks), Location::caller())
    }
}

fn from_ndarray<T: Element, D: Dimension>(array: ndarray::Array<T, D>, chunking: &Chunking) -> Result<Raw> {
    let chunks = chunking.resolve(array.shape(), T::DTYPE)?;
    // A stride below zero would count from the end of memory: such an array is put in order once.
    let array = if array.strides().iter().any(|stride| *stride < 0) { array.as_standard_layout().into_owned() } else { array };
    let strides = SmallVec::from_slice(array.strides());
    let (values, first) = array.into_raw_vec_and_offset();
    let key = KeyBuilder::new("from_ndarray", 1).nonce().finish();
    let buffer = Buffer::from_vec(Arc::new(values));
    let memory = Memory { buffer, dtype: T::DTYPE, first: first.unwrap_or(0), strides, key };
    Ok(Raw { layer: Arc::new(Source::new(Arc::new(memory), chunks.clone())), chunks, dtype: T::DTYPE })
}

impl Reader for Memory {
    fn name(&self) -> &'static str {
        "from_ndarray"
    }

    fn operator(&self) -> Name {
        ("array.from_ndarray", 1)
    }

    fn place(&self) -> Place {
        Place::Memory(self.key)
    }

    fn sizes(&self, region: &[Stretch]) -> Sizes {
        let elements: usize = region.iter().map(|stretch| stretch.count).product();
        // A part that is contiguous is taken as it is: the memory is the user's.
        let copied = if is_contiguous(region, &self.strides) { 0 } else { elements * self.dtype.size() };
        Sizes { out: Size::Exact(copied as u64), scratch: 0, load: 0 }
    }

    fn read(&self, task: &TaskContext<'_>, region: &[Stretch]) -> Result<Block> {
        let shape: Shape = region.iter().map(|stretch| stretch.count).collect();
        let item = self.dtype.size();
        let elements: usize = shape.iter().product();
        if elements == 0 {
            return Ok(Block::new(task.alloc(0)?.freeze(), 0, self.dtype, shape)?);
        }
        let moved = region.iter().zip(&self.strides).map(|(stretch, stride)| stretch.start as isize * stride).sum::<isize>();
        let first = self.first.checked_add_signed(moved).ok_or_else(|| Error::new(ErrorKind::Shape, "a region outside of an array"))?;
        if is_contiguous(region, &self.strides) {
            return Ok(Block::new(self.buffer.clone(), first * item, self.dtype, shape)?);
        }
        let strides: SmallVec<[isize; 4]> =
            region.iter().zip(&self.strides).map(|(stretch, stride)| stretch.step as isize * stride).collect();
        let mut out = task.alloc(elements * item)?;
        copy_strided(item, &shape, &self.buffer, first, &strides, &mut out, 0, &super::body::c_strides(&shape))?;
        Ok(Block::new(out.freeze(), 0, self.dtype, shape)?)
    }
}
