//! How the user says which chunk is meant: its number, or its place in the grid.

use crate::failure::{Exit, Failure, Result};
use crate::grid::{Grid, tuple};

/// A chunk's number in C order, or its index on each axis of the grid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ChunkNumber {
    Number(u64),
    Position(Vec<u32>),
}

impl ChunkNumber {
    /// Reads `7` or `2,0,1`.
    pub(crate) fn parse(text: &str) -> std::result::Result<ChunkNumber, String> {
        let wrong = |_| "write the number of a chunk, such as 7, or its place in the grid, such as 2,0".to_string();
        match text.trim_end_matches(',').split(',').collect::<Vec<_>>().as_slice() {
            [number] if !text.contains(',') => number.trim().parse().map(ChunkNumber::Number).map_err(wrong),
            axes => {
                axes.iter().map(|at| at.trim().parse().map_err(wrong)).collect::<std::result::Result<_, _>>().map(ChunkNumber::Position)
            }
        }
    }

    /// The number, in a grid or without one.
    pub(crate) fn resolve(&self, grid: Option<&Grid>) -> Result<u64> {
        let no_such = |what: String, grid: &Grid| {
            let counts = grid.chunks.numblocks();
            Failure::new(
                Exit::NotFound,
                format!("there is no chunk {what}: the grid has {} chunks, {}", grid.chunks.blocks(), tuple(&counts)),
            )
        };
        match (self, grid) {
            (ChunkNumber::Number(number), Some(grid)) if *number >= u64::from(grid.chunks.blocks()) => {
                Err(no_such(number.to_string(), grid))
            }
            (ChunkNumber::Number(number), _) => Ok(*number),
            (ChunkNumber::Position(position), Some(grid)) => {
                let counts = grid.chunks.numblocks();
                let inside = position.len() == counts.len() && position.iter().zip(&counts).all(|(at, count)| (*at as usize) < *count);
                if inside { Ok(u64::from(grid.chunks.block_at(position))) } else { Err(no_such(tuple(position), grid)) }
            }
            (ChunkNumber::Position(_), None) => {
                Err(Failure::new(Exit::Usage, "this dataset has no grid").hint("name the chunk by its number"))
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use chunkstore::array::Chunks;
    use chunkstore_store::DType;

    #[test]
    fn numbers_and_places() {
        let grid = Grid { dtype: DType::U8, chunks: Chunks::new([vec![2, 2], vec![3, 3, 1]]).unwrap() };
        let resolve = |text: &str| ChunkNumber::parse(text).unwrap().resolve(Some(&grid));
        assert_eq!([resolve("0").unwrap(), resolve("1,2").unwrap(), resolve("5").unwrap()], [0, 5, 5]);
        for text in ["6", "2,0", "0,3", "1,", "0,0,0"] {
            assert_eq!(resolve(text).unwrap_err().exit(), Exit::NotFound, "{text}");
        }
        assert_eq!(ChunkNumber::parse("9").unwrap().resolve(None).unwrap(), 9);
        assert!(ChunkNumber::parse("1,2").unwrap().resolve(None).is_err());
        assert!(ChunkNumber::parse("x").is_err() && ChunkNumber::parse("-1").is_err() && ChunkNumber::parse("1,,2").is_err());
    }
}
