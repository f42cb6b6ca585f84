//! Reading `.npy`, in either order of axes and bytes, chunk by chunk: the engine's arrays do the work.

use crate::element::with_dtype;
use crate::failure::{Exit, Failure, Result};
use crate::grid::Grid;
use chunkstore::Engine;
use chunkstore::array::{AnyArray, Chunking, Slice};
use chunkstore_store::{Block, Buffer, DType, Shape};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A `.npy` file.
pub(crate) struct Npy {
    path: PathBuf,
    array: AnyArray,
    /// The array as it is to be: its type and its chunks.
    pub(crate) grid: Grid,
}

impl Npy {
    /// Opens a file: its elements are to be of type `dtype`, or stay as they are, in those chunks.
    pub(crate) fn open(path: &Path, dtype: Option<DType>, chunks: &Chunking) -> Result<Npy> {
        if !path.exists() {
            return Err(Failure::new(Exit::NotFound, format!("there is no file {}", path.display())));
        }
        let array = AnyArray::from_npy(path)?;
        let dtype = dtype.unwrap_or(array.dtype());
        let chunks = chunks.resolve(array.shape()?, dtype)?;
        Ok(Npy { path: path.to_path_buf(), array, grid: Grid { dtype, chunks } })
    }

    /// Reads the file, and gives its chunks in order. `memory` is the bound of the engine that does it.
    pub(crate) fn blocks(&self, memory: u64, mut put: impl FnMut(u64, Block) -> Result) -> Result {
        let engine = Engine::builder().memory(memory).progress(false).build()?;
        let chunks = &self.grid.chunks;
        for number in 0..chunks.blocks() {
            let (start, shape) = (chunks.block_start(number), chunks.block_shape(number));
            let slices: Vec<Slice> = start.iter().zip(&shape).map(|(start, extent)| Slice::from(*start..start + extent)).collect();
            let buffer = with_dtype!(self.grid.dtype, T => {
                // Opened anew, so that the blocks that the engine makes are those of the chunk.
                let array = self.array.astype::<T>();
                let part = if slices.is_empty() { array } else { array.slice(&slices) };
                let values: Vec<T> = engine.compute(&part)?.into_iter().collect();
                Buffer::from_vec(Arc::new(values))
            });
            let block = Block::new(buffer, 0, self.grid.dtype, Shape::from_slice(&shape));
            let block = block.map_err(|error| Failure::from(error).about(self.path.display()))?;
            put(u64::from(number), block)?;
        }
        Ok(())
    }
}
