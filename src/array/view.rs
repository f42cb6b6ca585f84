//! Affine views: which element of an input each element of an output is.
//!
//! Slices, transpositions, new axes and broadcasting are all of one form: the index on an input axis is
//! `start + step * (index on one output axis)`. Composing two views gives a view, which is why a slice can move
//! through a chain of operations, down to what the chain begins with.

use super::Chunks;
use super::chunks::common;
use serde::{Deserialize, Serialize};
use smallvec::SmallVec;
use std::sync::Arc;

/// Where the index on one axis of an input comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct InputAxis {
    /// The output axis; none where the index is always `start`.
    pub(super) out: Option<u32>,
    /// The index for output index 0.
    pub(super) start: i64,
    /// What one more on the output axis adds.
    pub(super) step: i64,
}

/// Which element of an input each element of an output is: an entry for each axis of the input.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct View {
    pub(super) axes: SmallVec<[InputAxis; 4]>,
}

impl View {
    /// Every element is itself.
    pub(super) fn identity(ndim: usize) -> Self {
        View { axes: (0..ndim).map(|axis| InputAxis { out: Some(axis as u32), start: 0, step: 1 }).collect() }
    }

    /// NumPy's broadcasting of an input of `shape` to an output of `ndim` axes: axes stand at the right, and those of
    /// extent 1 repeat.
    pub(super) fn broadcast(shape: &[usize], out: &[usize]) -> Self {
        let skip = out.len() - shape.len();
        let axes = shape.iter().enumerate().map(|(axis, extent)| match out.get(axis + skip) {
            Some(wide) if *extent == *wide => InputAxis { out: Some((axis + skip) as u32), start: 0, step: 1 },
            _ => InputAxis { out: None, start: 0, step: 0 },
        });
        View { axes: axes.collect() }
    }

    /// Whether every element is itself.
    pub(super) fn is_identity(&self, out_ndim: usize) -> bool {
        self.axes.len() == out_ndim
            && self.axes.iter().enumerate().all(|(k, axis)| axis.out == Some(k as u32) && axis.start == 0 && axis.step == 1)
    }

    /// The view of `inner`'s input that `inner`, seen through this view, is.
    pub(super) fn compose(&self, inner: &View) -> View {
        let axes = inner.axes.iter().map(|below| match below.out.and_then(|middle| self.axes.get(middle as usize)) {
            Some(above) => InputAxis { out: above.out, start: below.start + below.step * above.start, step: below.step * above.step },
            None => *below,
        });
        View { axes: axes.map(|axis| InputAxis { step: if axis.out.is_none() { 0 } else { axis.step }, ..axis }).collect() }
    }

    /// The same for an index that is an affine function of the inner coordinates.
    pub(super) fn compose_index(&self, offset: i64, strides: &[i64], out_ndim: usize) -> (i64, SmallVec<[i64; 4]>) {
        let (mut first, mut out) = (offset, SmallVec::<[i64; 4]>::from_elem(0, out_ndim));
        for (stride, above) in strides.iter().zip(&self.axes) {
            first = first.wrapping_add(stride.wrapping_mul(above.start));
            if let Some(slot) = above.out.and_then(|axis| out.get_mut(axis as usize)) {
                *slot = slot.wrapping_add(stride.wrapping_mul(above.step));
            }
        }
        (first, out)
    }

    /// Whether an output axis of more than one element does not move the input: the input repeats along it.
    pub(super) fn repeats(&self, out_shape: &[usize]) -> bool {
        let used = |d: usize| self.axes.iter().any(|axis| axis.out == Some(d as u32));
        out_shape.iter().enumerate().any(|(d, extent)| *extent > 1 && !used(d))
    }

    /// The chunk boundaries on each output axis for which every output block is within one block of the input.
    /// Output axes on which the input does not move have none.
    pub(super) fn boundaries(&self, input: &Chunks, out_shape: &[usize]) -> Vec<Option<Arc<[usize]>>> {
        let mut result: Vec<Option<Arc<[usize]>>> = vec![None; out_shape.len()];
        for (k, axis) in self.axes.iter().enumerate() {
            let Some((d, extent)) = axis.out.and_then(|d| Some((d as usize, *out_shape.get(d as usize)?))) else { continue };
            let starts = if axis.start == 0 && axis.step == 1 && input.shape().get(k) == Some(&extent) {
                input.shared_starts(k)
            } else {
                through(input.starts(k), axis, extent)
            };
            if let Some(slot) = result.get_mut(d) {
                *slot = Some(match slot.take() {
                    Some(other) => common(&other, &starts),
                    None => starts,
                });
            }
        }
        result
    }

    /// The window of the input that an output block is, which must be within one block of the input.
    pub(super) fn window(&self, grid: &Chunks, block: u32, input: &Chunks) -> Window {
        let (begin, shape) = (grid.block_start(block), grid.block_shape(block));
        let mut position = super::chunks::Position::new();
        let mut first = SmallVec::new();
        for (k, axis) in self.axes.iter().enumerate() {
            let (at, count) = match axis.out.map(|d| d as usize) {
                Some(d) => (axis.start + axis.step * begin[d] as i64, shape[d]),
                None => (axis.start, 1),
            };
            let low = at.min(at + axis.step * (count as i64 - 1)).max(0);
            let chunk = input.find(k, low as usize);
            first.push(at - input.starts(k).get(chunk as usize).copied().unwrap_or(0) as i64);
            position.push(chunk);
        }
        Window { block: input.block_at(&position), first }
    }
}

/// Chunk boundaries of an input axis, seen through a view of `extent` elements of it.
fn through(starts: &[usize], axis: &InputAxis, extent: usize) -> Arc<[usize]> {
    let mut out = vec![0];
    let inner = starts.get(1..starts.len().saturating_sub(1)).unwrap_or_default();
    let distance = axis.step.unsigned_abs().max(1);
    // The output index at which a boundary is crossed: the first element on its far side.
    let crossing = |boundary: usize| {
        let ahead = if axis.step > 0 { boundary as i64 - axis.start } else { axis.start - (boundary as i64 - 1) };
        if ahead <= 0 { 0 } else { (ahead as u64).div_ceil(distance) as usize }
    };
    let mut add = |boundary: usize| {
        let at = crossing(boundary);
        if at > out.last().copied().unwrap_or(0) && at < extent {
            out.push(at);
        }
    };
    if axis.step > 0 {
        // Only the boundaries within the view: a small slice of a large grid is cheap to make.
        let from = inner.partition_point(|boundary| (*boundary as i64) <= axis.start);
        let last = axis.start + axis.step * (extent as i64 - 1);
        let to = inner.partition_point(|boundary| (*boundary as i64) <= last);
        inner.get(from..to.max(from)).unwrap_or_default().iter().for_each(|boundary| add(*boundary));
    } else {
        inner.iter().rev().for_each(|boundary| add(*boundary));
    }
    out.push(extent);
    out.into()
}

/// A window of one block of an input.
pub(super) struct Window {
    /// The number of the block.
    pub(super) block: u32,
    /// Where in the block the first element is, on each axis.
    pub(super) first: SmallVec<[i64; 4]>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::array::slice::resolve;
    use crate::s;

    #[test]
    fn blocks_of_a_slice_are_within_blocks_of_the_input() {
        let input = Chunks::new([vec![3, 4, 3]]).unwrap();
        let boundaries = |slice: &[crate::array::Slice]| {
            let (view, shape) = resolve(slice, &[10]).unwrap();
            view.boundaries(&input, &shape)[0].clone().unwrap().to_vec()
        };
        assert_eq!(boundaries(&s![1..9]), [0, 2, 6, 8]);
        assert_eq!(boundaries(&s![..;3]), [0, 1, 3, 4]); // 0 | 3 6 | 9
        assert_eq!(boundaries(&s![..;-1]), [0, 3, 7, 10]);
        assert_eq!(boundaries(&s![8..1;-2]), [0, 1, 3, 4]); // 8 | 6 4 | 2
        assert_eq!(boundaries(&s![4..6]), [0, 2]);
        assert_eq!(boundaries(&s![4..4]), [0, 0]);
        assert_eq!(boundaries(&s![8..9;-1]), [0, 0]);
    }

    #[test]
    fn views_compose() {
        let (outer, _) = resolve(&s![5..1;-2, ..], &[6, 4]).unwrap();
        let (inner, _) = resolve(&s![2.., .., 3], &[8, 4, 9]).unwrap();
        let both = outer.compose(&inner);
        let starts: Vec<_> = both.axes.iter().map(|axis| (axis.out, axis.start, axis.step)).collect();
        assert_eq!(starts, [(Some(0), 7, -2), (Some(1), 0, 1), (None, 3, 0)]);
        assert_eq!(outer.compose_index(1, &[4, 1], 2), (21, SmallVec::from_slice(&[-8, 1])));
    }
}
