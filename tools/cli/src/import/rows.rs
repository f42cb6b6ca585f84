//! Rows that come in order, cut into the chunks of a grid.

use crate::failure::{Exit, Failure, Result};
use crate::grid::Grid;
use crate::region::{Region, copy_shared};
use crate::slabs::blocks_of;
use chunkstore_store::{Arena, Block, Shape};

/// Gathers rows, which are the elements of an index of the first axis, until a row of chunks is whole.
pub(crate) struct Rows<'a> {
    grid: &'a Grid,
    arena: &'a Arena,
    /// The bytes of a row.
    row: usize,
    /// The rows of the row of chunks that is gathered, and where it begins.
    gathered: Vec<u8>,
    begin: usize,
    /// The most that may be gathered.
    room: usize,
}

impl<'a> Rows<'a> {
    /// Rows of an array of that grid; `room` is the bytes that the largest row of chunks may have.
    pub(crate) fn new(grid: &'a Grid, arena: &'a Arena, room: usize) -> Result<Rows<'a>> {
        let shape = grid.chunks.shape();
        let row = shape.iter().skip(1).product::<usize>() * grid.dtype.size();
        let most = grid.chunks.extents(0).max().unwrap_or(1);
        if most.saturating_mul(row) > room {
            let message = format!("a row of chunks has {most} rows of {row} bytes, more than half of the memory");
            let rows = (room / row.max(1)).max(1);
            return Err(Failure::new(Exit::Failed, message)
                .hint(format!("take fewer rows in a chunk, at most {rows} (--chunks), or more --memory")));
        }
        Ok(Rows { grid, arena, row, gathered: Vec::new(), begin: 0, room })
    }

    /// Takes in a row, and gives the chunks that are whole then.
    pub(crate) fn push(&mut self, row: &[u8], mut put: impl FnMut(u64, Block) -> Result) -> Result {
        let shape = self.grid.chunks.shape();
        if row.len() != self.row {
            return Err(Failure::new(Exit::Failed, "the file changed while it was read"));
        }
        debug_assert!(self.gathered.len() <= self.room);
        self.gathered.extend_from_slice(row);
        let rows = self.gathered.len().checked_div(self.row).unwrap_or(0);
        let end = self.begin + rows;
        if shape.is_empty() || (rows > 0 && self.grid.chunks.starts(0).binary_search(&end).is_ok()) {
            let (mut start, mut extent) = (vec![0; shape.len()], shape.to_vec());
            if let (Some(start), Some(extent)) = (start.first_mut(), extent.first_mut()) {
                (*start, *extent) = (self.begin, rows);
            }
            let gathered = Region { start: &start, shape: &extent };
            for number in blocks_of(self.grid, gathered) {
                put(u64::from(number), block(self.grid, self.arena, number, gathered, &self.gathered)?)?;
            }
            self.begin = end;
            self.gathered.clear();
        }
        Ok(())
    }

    /// Ends it: whether all rows have come.
    pub(crate) fn end(self) -> Result {
        let rows = self.grid.chunks.shape().first().copied().unwrap_or(self.begin);
        let whole = self.row == 0 || self.begin == rows;
        if whole {
            Ok(())
        } else {
            Err(Failure::new(Exit::Failed, format!("the file changed while it was read: {} of {rows} rows came", self.begin)))
        }
    }
}

/// The chunk of that number, of elements of a box that has them all.
pub(crate) fn block(grid: &Grid, arena: &Arena, number: u32, source: Region<'_>, from: &[u8]) -> Result<Block> {
    let (start, shape) = (grid.chunks.block_start(number), grid.chunks.block_shape(number));
    let mut buffer = arena.alloc(grid.chunks.block_len(number) * grid.dtype.size())?;
    copy_shared(grid.dtype.size(), source, from, Region { start: &start, shape: &shape }, &mut buffer);
    Ok(Block::new(buffer.freeze(), 0, grid.dtype, Shape::from_slice(&shape))?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::slabs::in_slabs;
    use chunkstore::array::Chunks;
    use chunkstore_store::{DType, Ledger};
    use std::collections::BTreeMap;

    #[test]
    fn what_is_cut_into_chunks_comes_back_from_them() {
        let arena = Arena::new(Ledger::new(1 << 20));
        for axes in [vec![vec![3, 4]], vec![vec![2, 3], vec![4, 1, 2]], vec![vec![1, 2], vec![2, 1], vec![3, 3, 1]]] {
            let grid = Grid { dtype: DType::U16, chunks: Chunks::new(axes).unwrap() };
            let bytes: Vec<u8> = (0..grid.chunks.size() as u16).flat_map(u16::to_le_bytes).collect();
            let row = bytes.len() / grid.chunks.shape()[0];
            let mut rows = Rows::new(&grid, &arena, 1 << 10).unwrap();
            let mut chunks = BTreeMap::new();
            for row in bytes.chunks(row) {
                rows.push(row, |number, block| {
                    assert!(chunks.insert(number as u32, block).is_none());
                    Ok(())
                })
                .unwrap();
            }
            rows.end().unwrap();
            assert_eq!(chunks.len(), grid.chunks.blocks() as usize);
            let mut back = Vec::new();
            in_slabs(
                &grid,
                20,
                |number| Ok(chunks[&number].clone()),
                |_, _, bytes| {
                    back.extend_from_slice(bytes);
                    Ok(())
                },
            )
            .unwrap();
            assert_eq!(back, bytes);
            let mut cut = Rows::new(&grid, &arena, 1 << 10).unwrap();
            cut.push(&bytes[..row], |_, _| Ok(())).unwrap();
            assert!(cut.push(&bytes[..row - 1], |_, _| Ok(())).is_err());
            assert!(cut.end().is_err());
            assert!(Rows::new(&grid, &arena, row).err().unwrap().to_string().contains("--chunks"));
        }
    }
}
