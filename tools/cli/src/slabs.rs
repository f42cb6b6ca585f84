//! An array in C order, slab by slab, within a bound.
//!
//! ```text
//!   slab 0 |############|############|     a slab: as many whole rows of one row of chunks as fit in its share of memory
//!   slab 1 |############|############|
//!          +------------+------------+
//!   slab 2 |            |            |     chunks are read when a slab needs them; the last ones that were read stay, as far as they fit
//! ```
//! Where not even one row fits, a slab is a part of a row. Each slab follows the one before it in the array's C order, so that writing them one
//! after the other writes the array.

use crate::failure::Result;
use crate::grid::Grid;
use crate::region::{Region, copy_shared};
use chunkstore_store::{Block, ErrorKind};
use std::collections::VecDeque;

/// Gives the array to `each` in C order: the index of the first element of a slab, its shape, and its bytes. `room` is the bytes of the largest slab, and as much
/// is kept of chunks that were read; `read` gives a chunk.
pub(crate) fn in_slabs(
    grid: &Grid,
    room: usize,
    read: impl FnMut(u32) -> chunkstore_store::Result<Block>,
    mut each: impl FnMut(&[usize], &[usize], &[u8]) -> Result,
) -> Result {
    let (shape, size) = (grid.chunks.shape(), grid.dtype.size());
    if shape.contains(&0) {
        return Ok(());
    }
    let mut kept = Kept { blocks: VecDeque::new(), bytes: 0, room: room as u64, read };
    if shape.is_empty() {
        return each(&[], &[], kept.block(0)?.bytes());
    }
    // The bytes of one index of each axis, and the first axis of which one fits.
    let rows: Vec<usize> = (0..shape.len()).map(|axis| shape[axis + 1..].iter().product::<usize>() * size).collect();
    let axis = rows.iter().position(|bytes| *bytes <= room).unwrap_or(shape.len() - 1);
    let most = (room / rows[axis]).max(1);
    let (mut start, mut extent, mut bytes) = (vec![0; shape.len()], vec![1; shape.len()], Vec::new());
    extent[axis + 1..].copy_from_slice(&shape[axis + 1..]);
    loop {
        let ends = grid.chunks.starts(axis);
        let end = ends.get(ends.partition_point(|end| *end <= start[axis])).copied().unwrap_or(shape[axis]);
        extent[axis] = (end - start[axis]).min(most);
        bytes.resize(extent[axis] * rows[axis], 0);
        let slab = Region { start: &start, shape: &extent };
        for block in blocks_of(grid, slab) {
            let (begin, whole) = (grid.chunks.block_start(block), grid.chunks.block_shape(block));
            let source = Region { start: &begin, shape: &whole };
            copy_shared(size, source, kept.block(block)?.bytes(), slab, &mut bytes);
        }
        each(&start, &extent, &bytes)?;
        start[axis] += extent[axis];
        if start[axis] < shape[axis] {
            continue;
        }
        start[axis] = 0;
        let Some(next) = (0..axis).rev().find(|at| start[*at] + 1 < shape[*at]) else { return Ok(()) };
        start[next] += 1;
        start[next + 1..axis].fill(0);
    }
}

/// The chunks that have elements of a box, in order.
pub(crate) fn blocks_of(grid: &Grid, region: Region<'_>) -> Vec<u32> {
    let mut blocks = vec![Vec::new()];
    for (axis, (start, extent)) in region.start.iter().zip(region.shape).enumerate() {
        let starts = grid.chunks.starts(axis);
        let first = starts.partition_point(|begin| begin <= start).saturating_sub(1);
        let end = starts.partition_point(|begin| *begin < start + extent).min(starts.len() - 1);
        let all = std::mem::take(&mut blocks);
        blocks = all.into_iter().flat_map(|position| (first..end).map(move |at| [position.as_slice(), &[at as u32]].concat())).collect();
    }
    blocks.iter().map(|position| grid.chunks.block_at(position)).collect()
}

/// The chunks that were read last.
struct Kept<F> {
    blocks: VecDeque<(u32, Block)>,
    bytes: u64,
    room: u64,
    read: F,
}

impl<F: FnMut(u32) -> chunkstore_store::Result<Block>> Kept<F> {
    fn block(&mut self, number: u32) -> Result<Block> {
        if let Some((_, block)) = self.blocks.iter().find(|(kept, _)| *kept == number) {
            return Ok(block.clone());
        }
        let block = match (self.read)(number) {
            // What is kept may be what is in the way.
            Err(error) if error.kind() == ErrorKind::OutOfMemory && !self.blocks.is_empty() => {
                self.blocks.clear();
                self.bytes = 0;
                (self.read)(number)?
            }
            other => other?,
        };
        self.bytes += block.nbytes() as u64;
        self.blocks.push_back((number, block.clone()));
        while self.bytes > self.room
            && let Some((_, old)) = self.blocks.pop_front()
        {
            self.bytes -= old.nbytes() as u64;
        }
        Ok(block)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use chunkstore::array::Chunks;
    use chunkstore_store::{Buffer, DType, Error, Shape};
    use std::sync::Arc;

    /// The elements of a chunk, each its number in C order.
    fn block(grid: &Grid, number: u32) -> Block {
        let (start, shape) = (grid.chunks.block_start(number), grid.chunks.block_shape(number));
        let whole = grid.chunks.shape();
        let all: Vec<u32> = (0..whole.iter().product::<usize>() as u32).collect();
        let bytes: Vec<u8> = all.iter().flat_map(|n| n.to_le_bytes()).collect();
        let mut out = vec![0; shape.iter().product::<usize>() * 4];
        let zeros = vec![0; whole.len()];
        copy_shared(4, Region { start: &zeros, shape: whole }, &bytes, Region { start: &start, shape: &shape }, &mut out);
        let numbers: Vec<u32> = out.chunks(4).map(|b| u32::from_le_bytes(b.try_into().unwrap())).collect();
        Block::new(Buffer::from_vec(Arc::new(numbers)), 0, DType::U32, Shape::from_slice(&shape)).unwrap()
    }

    #[test]
    fn slabs_follow_each_other_in_c_order_whatever_room_there_is() {
        for axes in
            [vec![], vec![vec![3, 4]], vec![vec![2, 3], vec![4, 1, 2]], vec![vec![1, 2], vec![2, 1], vec![3, 3, 1]], vec![vec![0], vec![2]]]
        {
            let grid = Grid { dtype: DType::U32, chunks: Chunks::new(axes).unwrap() };
            for room in [1, 4, 11, 28, 60, 1000] {
                let (mut next, mut refuse) = (0u32, true);
                let read = |number| {
                    // Every second read finds no memory until what is kept is given back.
                    refuse = !refuse;
                    if refuse && room > 28 { Err(Error::new(ErrorKind::OutOfMemory, "full")) } else { Ok(block(&grid, number)) }
                };
                let result = in_slabs(&grid, room, read, |_, shape, bytes| {
                    assert_eq!(bytes.len(), shape.iter().product::<usize>() * 4);
                    assert!(bytes.len() <= room.max(4));
                    for number in bytes.chunks(4) {
                        assert_eq!(number, next.to_le_bytes());
                        next += 1;
                    }
                    Ok(())
                });
                // With nothing kept there is nothing to give back, and the refusal stands.
                if let Err(failure) = result {
                    assert!(failure.to_string().contains("full"));
                    continue;
                }
                assert_eq!(next as usize, grid.chunks.size());
            }
        }
    }

    #[test]
    fn a_chunk_is_read_once_where_its_row_fits() {
        let grid = Grid { dtype: DType::U32, chunks: Chunks::new([vec![4, 4], vec![5, 5]]).unwrap() };
        let mut reads = Vec::new();
        in_slabs(
            &grid,
            160,
            |n| {
                reads.push(n);
                Ok(block(&grid, n))
            },
            |_, _, _| Ok(()),
        )
        .unwrap();
        assert_eq!(reads, [0, 1, 2, 3]);
        reads.clear();
        // Half of a row of chunks: its chunks are read for each part, as nothing more is to be kept.
        in_slabs(
            &grid,
            80,
            |n| {
                reads.push(n);
                Ok(block(&grid, n))
            },
            |_, _, _| Ok(()),
        )
        .unwrap();
        assert_eq!(reads, [0, 1, 0, 1, 2, 3, 2, 3]);
    }
}
