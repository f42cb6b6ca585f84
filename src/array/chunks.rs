//! How an array is cut into blocks: for each axis, where its chunks begin.

use crate::{Error, ErrorKind, Result};
use chunkstore_store::Shape;
use serde::{Deserialize, Serialize, Serializer};
use smallvec::SmallVec;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// Where a block stands in the grid of blocks, an index for each axis.
pub type Position = SmallVec<[u32; 4]>;

/// How an array is cut into blocks: every axis has its own list of chunk extents, which need not be equal.
///
/// A block is one choice of a chunk on every axis; blocks are numbered in C order (last axis fastest). An axis of
/// extent 0 has one chunk of extent 0. Clones share the lists.
///
/// ```
/// use chunkstore::array::Chunks;
/// let chunks = Chunks::new([vec![3, 3, 1], vec![5]])?;
/// assert_eq!(chunks.shape(), [7, 5]);
/// assert_eq!(chunks.numblocks().as_slice(), [3, 1]);
/// assert_eq!(chunks.block_shape(2).as_slice(), [1, 5]);
/// # Ok::<(), chunkstore::Error>(())
/// ```
#[derive(Clone, Deserialize)]
#[serde(try_from = "Runs")]
pub struct Chunks(Arc<Inner>);

/// What is stored of chunks: for each axis, extents and how often they follow each other.
#[derive(Serialize, Deserialize)]
struct Runs(Vec<Vec<(usize, usize)>>);

struct Inner {
    /// For each axis the begin of each chunk, and the axis's extent at the end.
    starts: Vec<Arc<[usize]>>,
    shape: Shape,
    blocks: u32,
    runs: OnceLock<Runs>,
}

impl PartialEq for Chunks {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.starts == other.0.starts
    }
}

impl Eq for Chunks {}

/// The most chunks on all axes together of what is decoded: a few bytes must not ask for all memory.
const MOST_DECODED: usize = 1 << 24;

impl Serialize for Chunks {
    /// As runs of equal extents, which are found once.
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let runs = self.0.runs.get_or_init(|| Runs((0..self.ndim()).map(|axis| self.runs(axis)).collect()));
        runs.serialize(serializer)
    }
}

impl TryFrom<Runs> for Chunks {
    type Error = Error;
    fn try_from(runs: Runs) -> Result<Self> {
        let total = runs.0.iter().flatten().try_fold(0usize, |n, (_, count)| n.checked_add(*count));
        if total.is_none_or(|n| n > MOST_DECODED) {
            return Err(Error::new(ErrorKind::Invalid, "a list of chunks is too long"));
        }
        Chunks::new(runs.0.iter().map(|axis| axis.iter().flat_map(|(extent, count)| std::iter::repeat_n(*extent, *count)).collect()))
    }
}

impl Chunks {
    /// Chunks of the given extents, a list for each axis. Chunks of extent 0 are left out.
    ///
    /// # Errors
    /// A shape error where there are more than 2^32 blocks, or more elements than can be addressed.
    ///
    /// ```
    /// use chunkstore::array::Chunks;
    /// let chunks = Chunks::new([vec![3, 3, 1], vec![10]])?;
    /// assert_eq!((chunks.shape(), chunks.blocks()), (&[7, 10][..], 3));
    /// // Blocks are numbered in C order.
    /// assert_eq!((chunks.block_start(2)[..] == [6, 0], chunks.block_shape(2)[..] == [1, 10]), (true, true));
    /// assert_eq!(chunks.block_at(&chunks.position(1)), 1);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    pub fn new(extents: impl IntoIterator<Item = Vec<usize>>) -> Result<Self> {
        let starts = extents.into_iter().map(|axis| begins(&axis)).collect::<Result<Vec<_>>>()?;
        Chunks::from_starts(starts)
    }

    /// One block that is the whole array.
    ///
    /// # Errors
    /// A shape error where there are more elements than can be addressed.
    pub fn whole(shape: &[usize]) -> Result<Self> {
        Chunks::new(shape.iter().map(|extent| vec![*extent]))
    }

    pub(super) fn from_starts(starts: Vec<Arc<[usize]>>) -> Result<Self> {
        let shape: Shape = starts.iter().map(|axis| axis.last().copied().unwrap_or(0)).collect();
        let elements = shape.iter().try_fold(1usize, |n, extent| n.checked_mul((*extent).max(1))).filter(|n| *n <= isize::MAX as usize / 8);
        if elements.is_none() {
            return Err(Error::new(ErrorKind::Shape, format!("an array of shape {shape:?} has more elements than can be addressed")));
        }
        let blocks = starts.iter().try_fold(1u32, |n, axis| n.checked_mul(u32::try_from(axis.len() - 1).ok()?));
        let Some(blocks) = blocks.filter(|n| *n < u32::MAX) else {
            let counts: Vec<usize> = starts.iter().map(|axis| axis.len() - 1).collect();
            return Err(Error::new(ErrorKind::Shape, format!("a grid of {counts:?} blocks is too large")).hint("use larger chunks"));
        };
        Ok(Chunks(Arc::new(Inner { starts, shape, blocks, runs: OnceLock::new() })))
    }

    /// The extent of each axis of the array.
    pub fn shape(&self) -> &[usize] {
        &self.0.shape
    }

    /// The number of axes.
    pub fn ndim(&self) -> usize {
        self.0.shape.len()
    }

    /// The number of elements of the array.
    pub fn size(&self) -> usize {
        self.0.shape.iter().product()
    }

    /// The number of blocks.
    pub fn blocks(&self) -> u32 {
        self.0.blocks
    }

    /// The number of chunks on each axis.
    pub fn numblocks(&self) -> Shape {
        self.0.starts.iter().map(|axis| axis.len() - 1).collect()
    }

    /// The extents of the chunks of `axis`; empty where there is no such axis.
    pub fn extents(&self, axis: usize) -> impl Iterator<Item = usize> + '_ {
        self.starts(axis).windows(2).map(|pair| pair[1] - pair[0])
    }

    /// Where the chunks of `axis` begin, and its extent at the end.
    pub fn starts(&self, axis: usize) -> &[usize] {
        self.0.starts.get(axis).map(|starts| &**starts).unwrap_or_default()
    }

    pub(super) fn shared_starts(&self, axis: usize) -> Arc<[usize]> {
        self.0.starts.get(axis).cloned().unwrap_or_else(|| Arc::from([0, 0]))
    }

    /// Where `block` stands in the grid.
    pub fn position(&self, block: u32) -> Position {
        let mut rest = block;
        let mut position: Position = SmallVec::from_elem(0, self.ndim());
        for (at, axis) in position.iter_mut().zip(&self.0.starts).rev() {
            let count = axis.len() as u32 - 1;
            *at = rest % count;
            rest /= count;
        }
        position
    }

    /// The number of the block at `position`.
    pub fn block_at(&self, position: &[u32]) -> u32 {
        position.iter().zip(&self.0.starts).fold(0, |block, (at, axis)| block * (axis.len() as u32 - 1) + at)
    }

    /// The extent of each axis of `block`.
    pub fn block_shape(&self, block: u32) -> Shape {
        let starts = self.0.starts.iter();
        self.position(block).iter().zip(starts).map(|(at, axis)| axis[*at as usize + 1] - axis[*at as usize]).collect()
    }

    /// The element of the array at which `block` begins.
    pub fn block_start(&self, block: u32) -> Shape {
        self.position(block).iter().zip(&self.0.starts).map(|(at, axis)| axis[*at as usize]).collect()
    }

    /// The number of elements of `block`.
    pub fn block_len(&self, block: u32) -> usize {
        self.block_shape(block).iter().product()
    }

    /// The extents of the chunks of `axis`, and how often they follow each other.
    fn runs(&self, axis: usize) -> Vec<(usize, usize)> {
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for extent in self.extents(axis) {
            match runs.last_mut() {
                Some((last, count)) if *last == extent => *count += 1,
                _ => runs.push((extent, 1)),
            }
        }
        runs
    }

    /// The number of the chunk of `axis` that holds element `index`; the last one for an index beyond the end.
    pub(super) fn find(&self, axis: usize, index: usize) -> u32 {
        let starts = self.starts(axis);
        let after = starts.partition_point(|start| *start <= index);
        after.clamp(1, starts.len().max(2) - 1) as u32 - 1
    }
}

fn begins(extents: &[usize]) -> Result<Arc<[usize]>> {
    let mut starts = vec![0usize];
    let mut end = 0usize;
    for extent in extents.iter().filter(|extent| **extent > 0) {
        end = end.checked_add(*extent).ok_or_else(|| Error::new(ErrorKind::Shape, "the chunks of an axis are too long together"))?;
        starts.push(end);
    }
    if starts.len() == 1 {
        starts.push(0);
    }
    Ok(starts.into())
}

/// The chunk boundaries of two lists of one axis together.
pub(super) fn common(a: &Arc<[usize]>, b: &Arc<[usize]>) -> Arc<[usize]> {
    if a == b {
        return a.clone();
    }
    let mut all: Vec<usize> = a.iter().chain(b.iter()).copied().collect();
    all.sort_unstable();
    all.dedup();
    if all.len() == 1 {
        all.push(0);
    }
    all.into()
}

impl fmt::Debug for Chunks {
    /// As Dask prints them, runs of equal extents in short: `((100 x 3, 50), (7))`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let axis = |axis| {
            let run = |(extent, count): &(usize, usize)| if *count == 1 { extent.to_string() } else { format!("{extent} x {count}") };
            format!("({})", self.runs(axis).iter().map(run).collect::<Vec<_>>().join(", "))
        };
        write!(f, "({})", (0..self.ndim()).map(axis).collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_numbered_in_c_order() {
        let chunks = Chunks::new([vec![2, 3], vec![4, 1, 2]]).unwrap();
        assert_eq!(chunks.blocks(), 6);
        assert_eq!(chunks.position(4).as_slice(), [1, 1]);
        assert_eq!(chunks.block_at(&[1, 1]), 4);
        assert_eq!(chunks.block_start(4).as_slice(), [2, 4]);
        assert_eq!(chunks.block_shape(4).as_slice(), [3, 1]);
        assert_eq!((chunks.find(1, 3), chunks.find(1, 4), chunks.find(1, 5), chunks.find(1, 99)), (0, 1, 2, 2));
        assert_eq!(format!("{chunks:?}"), "((2, 3), (4, 1, 2))");
    }

    #[test]
    fn arrays_without_axes_and_without_elements_have_one_block() {
        let scalar = Chunks::new([]).unwrap();
        assert_eq!((scalar.blocks(), scalar.size(), scalar.block_len(0)), (1, 1, 1));
        let empty = Chunks::new([vec![0, 0], vec![3]]).unwrap();
        assert_eq!((empty.blocks(), empty.size()), (1, 0));
        assert_eq!(empty.find(0, 0), 0);
        let starts: Arc<[usize]> = empty.shared_starts(0);
        assert_eq!(&*common(&starts, &starts), [0, 0]);
    }

    #[test]
    fn too_many_blocks_or_elements_are_refused() {
        assert!(Chunks::new([vec![1; 70_000], vec![1; 70_000]]).is_err());
        assert!(Chunks::new([vec![1 << 40], vec![1 << 40]]).is_err());
        assert!(serde_json::from_str::<Chunks>("[[[1,4000000000]]]").is_err());
    }
}
