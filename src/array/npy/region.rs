//! Which bytes of a file a region of an array is, and in what order to read them.
//!
//! A region is taken apart into *units*, the longest runs of bytes that stand together both in the file and in the block, which a
//! few axes repeat:
//!
//! ```text
//! file    ....UUUU....UUUU....UUUU...................UUUU....UUUU....UUUU....     two axes, of 2 and 3
//!             |------ a batch: gaps below 64 KiB are read too ------|
//! ```
//!
//! Axes of negative step are turned, so that the units are always visited in the order of the file. Batches are at most [`STAGE`] bytes long and never
//! overlap: no byte is read twice but where two batches share a page.

use super::header::python_tuple;
use crate::{Error, ErrorKind};
use chunkstore_store::Shape;

type Result<T, E = Error> = std::result::Result<T, E>;

/// A range of an axis: its first index, the step to the next (which may be negative), and how many there are.
pub(crate) type Span = (usize, isize, usize);

/// Gaps that are shorter are read along: a seek costs more.
const GAP: usize = 64 << 10;
/// The most bytes of the file in a batch: with the pages around it, it fits in 1 MiB.
pub(super) const STAGE: usize = (1 << 20) - 3 * 4096;
/// The most pieces in a batch, which bounds the memory of the list.
const MOST_PIECES: usize = 1024;

/// A region, taken apart.
#[derive(Debug)]
pub(super) struct Region {
    /// The extent of each axis of the block.
    pub(super) shape: Shape,
    /// The bytes of the block.
    pub(super) bytes: usize,
    /// Where the first unit of the file stands, counted from the first byte of the array.
    base: usize,
    /// Where it goes in the block.
    into: usize,
    /// The bytes of a unit.
    unit: usize,
    /// What repeats the units, from outside in.
    axes: Vec<Axis>,
}

#[derive(Debug, Clone, Copy)]
struct Axis {
    count: usize,
    /// From one to the next in the file.
    file: usize,
    /// From one to the next in the block.
    block: isize,
}

/// Units at equal distances.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece {
    /// Where the first begins in the array's bytes.
    file: usize,
    /// Where it goes in the block.
    into: usize,
    unit: usize,
    count: usize,
    file_step: usize,
    block_step: isize,
}

/// Pieces that are read together.
pub(super) struct Batch<'a> {
    /// The first byte to be read, counted from the first byte of the array.
    pub(super) start: usize,
    /// The bytes to be read.
    pub(super) len: usize,
    pieces: &'a [Piece],
}

impl Region {
    /// The bytes of `spans` of an array of `extents`, in C order, whose elements have `size` bytes.
    ///
    /// # Errors
    /// Shape where the number of axes differs or an index is out of range.
    pub(super) fn new(extents: &[usize], spans: &[Span], size: usize) -> Result<Region> {
        if extents.len() != spans.len() {
            let message = format!("a region of {} axes of an array of shape {}", spans.len(), python_tuple(extents));
            return Err(Error::new(ErrorKind::Shape, message));
        }
        for (axis, (extent, (start, step, count))) in extents.iter().zip(spans).enumerate() {
            let last = (*count as i128 - 1) * *step as i128 + *start as i128;
            let inside = *count == 0 || (*start < *extent && (0..*extent as i128).contains(&last));
            if !inside || (*step == 0 && *count > 1) {
                let message = format!("{count} indices from {start} by {step} are not in axis {axis} of extent {extent}");
                return Err(Error::new(ErrorKind::Shape, message));
            }
        }
        let shape: Shape = spans.iter().map(|span| span.2).collect();
        let bytes = shape.iter().product::<usize>() * size;
        let mut region = Region { shape, bytes, base: 0, into: 0, unit: size, axes: Vec::new() };
        if bytes == 0 {
            region.unit = 0;
            return Ok(region);
        }
        let (mut in_file, mut in_block, mut whole) = (size, size, true);
        for (extent, (start, step, count)) in extents.iter().zip(spans).rev() {
            if whole && (*step == 1 || *count == 1) {
                region.unit *= count;
                region.base += start * in_file;
                whole = count == extent;
            } else if *count == 1 {
                region.base += start * in_file;
            } else {
                whole = false;
                let back = (count - 1) * step.unsigned_abs();
                let (first, block) = if *step > 0 { (*start, in_block as isize) } else { (start - back, -(in_block as isize)) };
                region.base += first * in_file;
                region.into += if *step > 0 { 0 } else { (count - 1) * in_block };
                region.axes.push(Axis { count: *count, file: step.unsigned_abs() * in_file, block });
            }
            in_file *= extent;
            in_block *= count;
        }
        region.axes.reverse();
        Ok(region)
    }

    /// Where the bytes begin in the array, if they stand together and in order.
    pub(super) fn contiguous(&self) -> Option<usize> {
        self.axes.is_empty().then_some(self.base)
    }

    /// The bytes from the first to the last of the region.
    pub(super) fn span(&self) -> usize {
        self.axes.iter().map(|axis| (axis.count - 1) * axis.file).sum::<usize>() + self.unit
    }

    /// Gives the batches in the order of the file.
    pub(super) fn batches(&self, mut take: impl FnMut(Batch<'_>) -> Result<()>) -> Result<()> {
        let mut pending = Pending { start: 0, end: 0, pieces: Vec::new() };
        self.rows(|inner, file, into| row(self.unit, inner, file, into).try_for_each(|piece| pending.push(piece, &mut take)))?;
        pending.flush(&mut take)
    }

    /// Gives the units in the order of the file: where each begins in the array's bytes and in the block, and its length.
    pub(super) fn units<E>(&self, mut take: impl FnMut(usize, usize, usize) -> Result<(), E>) -> Result<(), E> {
        let unit = self.unit;
        self.rows(|inner, file, into| {
            (0..inner.count).try_for_each(|i| take(file + i * inner.file, into.wrapping_add_signed(i as isize * inner.block), unit))
        })
    }

    /// Gives every run of the innermost axis, and where it begins in the array's bytes and in the block.
    fn rows<E>(&self, mut take: impl FnMut(Axis, usize, usize) -> Result<(), E>) -> Result<(), E> {
        let (inner, outer) = match self.axes.split_last() {
            Some((inner, outer)) => (*inner, outer),
            None => (Axis { count: 1, file: self.unit, block: 0 }, &[][..]),
        };
        let mut index = vec![0usize; outer.len()];
        let (mut file, mut into) = (self.base, self.into);
        loop {
            take(inner, file, into)?;
            // The next row: the axes count like an odometer.
            let mut carried = true;
            for (i, axis) in index.iter_mut().zip(outer).rev() {
                *i += 1;
                if *i < axis.count {
                    (file, into) = (file + axis.file, into.wrapping_add_signed(axis.block));
                    carried = false;
                    break;
                }
                *i = 0;
                file -= (axis.count - 1) * axis.file;
                into = into.wrapping_add_signed(-((axis.count - 1) as isize * axis.block));
            }
            if carried {
                return Ok(());
            }
        }
    }
}

/// The pieces of one run of the innermost axis, none of which spans more than [`STAGE`].
fn row(unit: usize, axis: Axis, file: usize, into: usize) -> impl Iterator<Item = Piece> {
    // How many units go together, and into how many parts a long unit is cut.
    let together = if unit > STAGE || axis.file - unit >= GAP { 1 } else { ((STAGE - unit) / axis.file.max(1) + 1).min(axis.count) };
    let part = unit.clamp(1, STAGE);
    (0..axis.count).step_by(together).flat_map(move |i| {
        let count = together.min(axis.count - i);
        let (file, into) = (file + i * axis.file, into.wrapping_add_signed(i as isize * axis.block));
        (0..unit).step_by(part).map(move |at| Piece {
            file: file + at,
            into: into + at,
            unit: part.min(unit - at),
            count,
            file_step: axis.file,
            block_step: axis.block,
        })
    })
}

struct Pending {
    start: usize,
    end: usize,
    pieces: Vec<Piece>,
}

impl Pending {
    fn push(&mut self, piece: Piece, take: &mut impl FnMut(Batch<'_>) -> Result<()>) -> Result<()> {
        let end = piece.file + (piece.count - 1) * piece.file_step + piece.unit;
        if self.pieces.len() == MOST_PIECES || piece.file - self.end.min(piece.file) >= GAP || end - self.start > STAGE {
            self.flush(take)?;
        }
        if self.pieces.is_empty() {
            self.start = piece.file;
        }
        self.end = end;
        self.pieces.push(piece);
        Ok(())
    }

    fn flush(&mut self, take: &mut impl FnMut(Batch<'_>) -> Result<()>) -> Result<()> {
        if !self.pieces.is_empty() {
            take(Batch { start: self.start, len: self.end - self.start, pieces: &self.pieces })?;
            self.pieces.clear();
        }
        Ok(())
    }
}

impl Batch<'_> {
    /// Puts the units out of `read`, the bytes of this batch, into `block`.
    pub(super) fn scatter(&self, read: &[u8], block: &mut [u8]) {
        for piece in self.pieces {
            let from = &read[piece.file - self.start..];
            match piece.unit {
                1 => piece.scatter::<1>(from, block),
                2 => piece.scatter::<2>(from, block),
                4 => piece.scatter::<4>(from, block),
                8 => piece.scatter::<8>(from, block),
                unit => piece.places().for_each(|(at, into)| block[into..into + unit].copy_from_slice(&from[at..at + unit])),
            }
        }
    }
}

impl Piece {
    fn places(self) -> impl Iterator<Item = (usize, usize)> {
        (0..self.count).map(move |i| (i * self.file_step, self.into.wrapping_add_signed(i as isize * self.block_step)))
    }

    fn scatter<const N: usize>(self, from: &[u8], block: &mut [u8]) {
        self.places().for_each(|(at, into)| block[into..into + N].copy_from_slice(&from[at..at + N]));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn extent_and_span() -> impl Strategy<Value = (usize, Span)> {
        (0usize..9, 0usize..9, 1isize..4, any::<bool>(), 0usize..9).prop_map(|(extent, start, step, back, count)| {
            let step = if back { -step } else { step };
            let room = match (start < extent, back) {
                (false, _) => 0,
                (true, false) => (extent - 1 - start) / step.unsigned_abs() + 1,
                (true, true) => start / step.unsigned_abs() + 1,
            };
            (extent, (start, step, count.min(room)))
        })
    }

    proptest! {
        #[test]
        fn gathers_what_indexing_gives(axes in prop::collection::vec(extent_and_span(), 0..4), size in prop::sample::select(&[1usize, 2, 4, 8][..])) {
            let (extents, spans): (Vec<usize>, Vec<Span>) = axes.into_iter().unzip();
            let elements: usize = extents.iter().product();
            let file: Vec<u8> = (0..elements * size).map(|i| (i * 7 + i / 251) as u8).collect();
            let region = Region::new(&extents, &spans, size).unwrap();
            let mut block = vec![0; region.bytes];
            if let Some(base) = region.contiguous() {
                block.copy_from_slice(&file[base..base + region.bytes]);
            } else {
                let mut end = 0;
                region.batches(|batch| {
                    assert!(batch.start >= end && batch.len <= STAGE);
                    end = batch.start + batch.len;
                    batch.scatter(&file[batch.start..end], &mut block);
                    Ok(())
                }).unwrap();
                prop_assert!(region.span() >= end - region.base);
            }
            let mut expected = Vec::new();
            let mut places = vec![0usize];
            for (extent, (start, step, count)) in extents.iter().zip(&spans) {
                places = places.iter().flat_map(|p| (0..*count).map(move |i| p * extent + start.wrapping_add_signed(i as isize * step))).collect();
            }
            places.iter().for_each(|p| expected.extend_from_slice(&file[p * size..(p + 1) * size]));
            prop_assert_eq!(block, expected);
        }
    }

    #[test]
    fn long_runs_are_cut_and_short_gaps_closed() {
        // 3 runs of 2.5 MB out of rows of 5 MB.
        let region = Region::new(&[3, 5_000_000], &[(0, 1, 3), (7, 1, 2_500_000)], 1).unwrap();
        let (mut batches, mut bytes) = (0, 0);
        region
            .batches(|batch| {
                (batches, bytes) = (batches + 1, bytes + batch.len);
                Ok(())
            })
            .unwrap();
        assert_eq!((batches, bytes), (9, 7_500_000));
        // Every other element of a long row, backwards, in pieces of a stage.
        let region = Region::new(&[1 << 20], &[((1 << 20) - 1, -2, 1 << 19)], 8).unwrap();
        let mut bytes = 0;
        region
            .batches(|batch| {
                bytes += batch.len;
                Ok(())
            })
            .unwrap();
        assert!(bytes <= 8 << 20 && bytes > (8 << 20) - 1000);
    }

    #[test]
    fn what_is_out_of_range_is_refused() {
        for spans in [&[(0, 1, 4)][..], &[(3, 1, 1)], &[(1, -1, 3)], &[(0, 0, 2)], &[], &[(0, isize::MAX, 3)], &[(0, 1, usize::MAX)]] {
            assert_eq!(Region::new(&[3], spans, 8).unwrap_err().kind(), ErrorKind::Shape);
        }
        assert_eq!(Region::new(&[3], &[(9, 1, 0)], 8).unwrap().bytes, 0);
    }
}
