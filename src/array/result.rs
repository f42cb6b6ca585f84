//! The memory of a result, into which tasks on many threads put their blocks.

#![allow(unsafe_code)]

use super::{Chunks, body::c_strides};
use crate::{Error, ErrorKind, Result};
use chunkstore_store::{Block, Element};
use parking_lot::RwLock;
use std::alloc::Layout;
use std::sync::atomic::{AtomicBool, Ordering};

/// The elements of an array that is being put together.
///
/// Blocks of one grid never overlap, so that they are copied without waiting for each other:
/// - `storage`: none before [`Gather::begin`] and after [`Gather::finish`]; blocks are put while it is locked for reading,
///   and taken or given only while it is locked for writing.
/// - `busy[b]`: whether block `b` is being put; the one that set it is the only one that writes the block's elements.
pub(super) struct Gather<T> {
    grid: Chunks,
    storage: RwLock<Option<Storage<T>>>,
    busy: Vec<AtomicBool>,
}

/// Zeroed memory for elements, written through a pointer by those who hold a block's `busy` flag.
struct Storage<T> {
    pointer: *mut T,
    len: usize,
}

// SAFETY: `Storage` owns its elements as a `Vec` does, and `Element` types are `Send` and `Sync`. Writes through a shared
// reference happen only in `Gather::put`, to disjoint elements.
unsafe impl<T: Element> Send for Storage<T> {}
// SAFETY: as above.
unsafe impl<T: Element> Sync for Storage<T> {}

impl<T> Drop for Storage<T> {
    fn drop(&mut self) {
        // SAFETY: `pointer` and `len` come from `Storage::new`, as for `into_vec`; elements need no drop of their own.
        drop(unsafe { Vec::from_raw_parts(self.pointer, self.len, self.len) });
    }
}

impl<T: Element> Storage<T> {
    fn new(len: usize) -> Result<Self> {
        let failed = || Error::new(ErrorKind::OutOfMemory, format!("the system has no memory for a result of {len} elements"));
        let layout = Layout::array::<T>(len).map_err(|_| failed())?;
        if layout.size() == 0 {
            return Ok(Storage { pointer: std::ptr::NonNull::dangling().as_ptr(), len });
        }
        // SAFETY: the layout has a size; all zero bytes are a value of every `Element` (numbers and `bool`).
        let pointer = unsafe { std::alloc::alloc_zeroed(layout) };
        if pointer.is_null() { Err(failed()) } else { Ok(Storage { pointer: pointer.cast(), len }) }
    }

    fn into_vec(self) -> Vec<T> {
        let storage = std::mem::ManuallyDrop::new(self);
        // SAFETY: the memory is of the global allocator with the layout of an array of `len` elements (or dangling where
        // that has no size), all initialised, and is given up here.
        unsafe { Vec::from_raw_parts(storage.pointer, storage.len, storage.len) }
    }
}

impl<T: Element> Gather<T> {
    /// A result cut as said, without memory yet.
    pub(super) fn new(grid: Chunks) -> Self {
        let busy = (0..grid.blocks()).map(|_| AtomicBool::new(false)).collect();
        Gather { grid, storage: RwLock::new(None), busy }
    }

    pub(super) fn grid(&self) -> &Chunks {
        &self.grid
    }

    /// Takes the memory, zeroed.
    pub(super) fn begin(&self) -> Result<()> {
        *self.storage.write() = Some(Storage::new(self.grid.size())?);
        Ok(())
    }

    /// Copies a block to where it belongs.
    pub(super) fn put(&self, number: u32, block: &Block) -> Result<()> {
        let shape = self.grid.block_shape(number);
        let values = block.as_slice::<T>()?;
        if block.shape() != shape.as_slice() {
            let message = format!("block {number} has shape {:?} in place of {shape:?}", block.shape());
            return Err(Error::new(ErrorKind::Shape, message));
        }
        let storage = self.storage.read();
        let (Some(storage), Some(busy)) = (&*storage, self.busy.get(number as usize)) else {
            return Err(Error::new(ErrorKind::Invalid, "a block was put into a result that is not being made"));
        };
        if values.is_empty() {
            return Ok(());
        }
        if busy.swap(true, Ordering::Acquire) {
            return Err(Error::new(ErrorKind::Invalid, format!("block {number} is put into a result twice at a time")));
        }
        // Rows are as long as trailing axes are whole: they are copied one by one.
        let (extents, start) = (self.grid.shape(), self.grid.block_start(number));
        let whole = shape.iter().zip(extents).rev().take_while(|(n, extent)| n == extent).count();
        let outer = shape.len().saturating_sub(whole + 1);
        let row: usize = shape.iter().skip(outer).product();
        let strides = c_strides(extents);
        let mut index: chunkstore_store::Shape = start.iter().take(outer).copied().collect();
        let inner: usize = start.iter().zip(&strides).skip(outer).map(|(at, stride)| at * *stride as usize).sum();
        for from in values.chunks_exact(row.max(1)) {
            let at = index.iter().zip(&strides).map(|(at, stride)| at * *stride as usize).sum::<usize>() + inner;
            debug_assert!(at + row <= storage.len);
            if at + row <= storage.len {
                // SAFETY: the elements are within the storage, and are part of block `number` alone, since blocks of a grid
                // do not overlap; `busy` keeps others from that block, and the lock keeps the storage where it is.
                unsafe { std::ptr::copy_nonoverlapping(from.as_ptr(), storage.pointer.add(at), row) };
            }
            for ((at, begin), extent) in index.iter_mut().zip(&start).zip(&shape).rev() {
                *at += 1;
                if *at < begin + extent {
                    break;
                }
                *at = *begin;
            }
        }
        busy.store(false, Ordering::Release);
        Ok(())
    }

    /// Gives the elements, in C order.
    pub(super) fn finish(&self) -> Result<Vec<T>> {
        let storage = self.storage.write().take();
        storage.map(Storage::into_vec).ok_or_else(|| Error::new(ErrorKind::Invalid, "a result was taken that is not there"))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use chunkstore_store::{Buffer, DType};
    use std::sync::Arc;

    #[test]
    fn blocks_go_where_they_belong_from_many_threads() {
        let grid = Chunks::new([vec![2, 1], vec![3, 2], vec![2, 2]]).unwrap();
        let gather = Gather::<i64>::new(grid.clone());
        assert!(gather.finish().is_err());
        gather.begin().unwrap();
        std::thread::scope(|scope| {
            for number in 0..grid.blocks() {
                let (gather, grid) = (&gather, &grid);
                scope.spawn(move || {
                    let (start, shape) = (grid.block_start(number), grid.block_shape(number));
                    let values = ndarray::ArrayD::from_shape_fn(shape.to_vec(), |i| {
                        (0..3).fold(0, |n, k| n * [3, 5, 4][k] + (start[k] + i[k]) as i64)
                    });
                    let buffer = Buffer::from_vec(Arc::new(values.into_raw_vec_and_offset().0));
                    gather.put(number, &Block::new(buffer, 0, DType::I64, shape).unwrap()).unwrap();
                });
            }
        });
        assert_eq!(gather.finish().unwrap(), (0..60).collect::<Vec<i64>>());
    }

    #[test]
    fn results_without_axes_or_elements() {
        let scalar = Gather::<f32>::new(Chunks::whole(&[]).unwrap());
        scalar.begin().unwrap();
        let block = Block::new(Buffer::from_vec(Arc::new(vec![7f32])), 0, DType::F32, Default::default()).unwrap();
        scalar.put(0, &block).unwrap();
        assert_eq!(scalar.finish().unwrap(), [7.0]);
        let empty = Gather::<f32>::new(Chunks::whole(&[0, 3]).unwrap());
        empty.begin().unwrap();
        assert_eq!(empty.finish().unwrap(), [0f32; 0]);
    }
}
