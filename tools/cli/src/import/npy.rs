//! Reading `.npy`, in either order of axes and bytes, chunk by chunk: the engine's arrays do the work.

use crate::element::{Item, Number, with_dtype};
use crate::failure::{Exit, Failure, Result};
use crate::grid::{Grid, tuple};
use chunkstore::Engine;
use chunkstore::array::{AnyArray, Chunking, Slice};
use chunkstore_store::{Block, Buffer, DType, Shape};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A `.npy` file.
pub(crate) struct Npy {
    path: PathBuf,
    array: AnyArray,
    /// Whether what does not fit the type is rounded or wraps.
    lossy: bool,
    /// The array as it is to be: its type and its chunks.
    pub(crate) grid: Grid,
}

impl Npy {
    /// Opens a file: its elements are to be of type `dtype`, or stay as they are, in those chunks.
    pub(crate) fn open(path: &Path, dtype: Option<DType>, chunks: &Chunking, lossy: bool) -> Result<Npy> {
        if !path.exists() {
            return Err(Failure::new(Exit::NotFound, format!("there is no file {}", path.display())));
        }
        let array = AnyArray::from_npy(path)?;
        let dtype = dtype.unwrap_or(array.dtype());
        let chunks = chunks.resolve(array.shape()?, dtype)?;
        Ok(Npy { path: path.to_path_buf(), array, lossy, grid: Grid { dtype, chunks } })
    }

    /// Reads the file, and gives its chunks in order. `memory` is the bound of the engine that does it.
    pub(crate) fn blocks(&self, memory: u64, mut put: impl FnMut(u64, Block) -> Result) -> Result {
        let engine = Engine::builder().memory(memory).progress(false).build()?;
        let chunks = &self.grid.chunks;
        for number in 0..chunks.blocks() {
            let (start, shape) = (chunks.block_start(number), chunks.block_shape(number));
            let slices: Vec<Slice> = start.iter().zip(&shape).map(|(start, extent)| Slice::from(*start..start + extent)).collect();
            // Read as it is in the file, and looked at element by element, where it may not fit.
            let dtype = if self.lossy { self.grid.dtype } else { self.array.dtype() };
            let buffer = with_dtype!(dtype, T => {
                // Opened anew, so that the blocks that the engine makes are those of the chunk.
                let array = self.array.astype::<T>();
                let part = if slices.is_empty() { array } else { array.slice(&slices) };
                let values: Vec<T> = engine.compute(&part)?.into_iter().collect();
                match dtype == self.grid.dtype {
                    true => Buffer::from_vec(Arc::new(values)),
                    false => self.exact(values, &start, &shape)?,
                }
            });
            let block = Block::new(buffer, 0, self.grid.dtype, Shape::from_slice(&shape));
            let block = block.map_err(|error| Failure::from(error).about(self.path.display()))?;
            put(u64::from(number), block)?;
        }
        Ok(())
    }

    /// The elements of a chunk that begins at `start`, in the type of the grid; a failure where one does not fit.
    fn exact<S: Item>(&self, values: Vec<S>, start: &[usize], shape: &[usize]) -> Result<Buffer> {
        // By way of numbers, so that there is no code for each pair of types.
        with_dtype!(self.grid.dtype, T => {
            let mut out: Vec<T> = Vec::with_capacity(values.len());
            let mut numbers = [Number::Whole(0); 256];
            for part in values.chunks(numbers.len()) {
                numbers.iter_mut().zip(part).for_each(|(number, value)| *number = value.number());
                for number in numbers.iter().take(part.len()) {
                    match T::exact(*number) {
                        Some(value) => out.push(value),
                        None => return Err(self.unfit(values.get(out.len()).copied(), out.len(), start, shape)),
                    }
                }
            }
            Ok(Buffer::from_vec(Arc::new(out)))
        })
    }

    /// That an element does not fit.
    fn unfit<S: Item>(&self, value: Option<S>, number: usize, start: &[usize], shape: &[usize]) -> Failure {
        let (mut rest, mut index) = (number, start.to_vec());
        for (at, extent) in index.iter_mut().zip(shape).rev() {
            *at += rest % extent;
            rest /= extent;
        }
        let value = value.map(|value| crate::element::text(value.scalar())).unwrap_or_default();
        let name = self.grid.dtype.name();
        let message = format!("element {} is {value}, which does not fit {name} [{}]", tuple(&index), self.path.display());
        Failure::new(Exit::No, message).hint("give a wider --dtype, or --lossy to wrap, cut off and round what does not fit")
    }
}
