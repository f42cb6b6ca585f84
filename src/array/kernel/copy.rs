//! Strided copies in n dimensions.
//!
//! Axes are merged where both sides allow it and ordered by the strides of the destination. If the source runs fastest
//! along another axis than the destination, those two are walked in square blocks: a block is read along the source's
//! axis into a small square, and written from there along the destination's. So each cache line of both sides is
//! touched once, even where the strides are powers of two and all lines compete for one set of the cache.

use crate::{Error, ErrorKind, Result};
use smallvec::SmallVec;

/// The side of the square blocks of a transpose, in items.
const BLOCK: usize = 32;

/// One axis of both views: extent, and strides in items.
#[derive(Clone, Copy, Debug)]
struct Axis {
    extent: usize,
    from: isize,
    to: isize,
}

/// Copies elements of `item` bytes (1, 2, 4, 8 or any other size) between two strided views of one shape. Offsets and
/// strides count items and may be negative or 0; a destination whose elements coincide gets one of their sources.
///
/// # Errors
/// Invalid where the numbers of axes differ or a view leaves its bytes; nothing is written then.
#[expect(clippy::too_many_arguments, reason = "two views of bytes, each with where it starts and its strides")]
pub(crate) fn copy_strided(
    item: usize,
    shape: &[usize],
    src: &[u8],
    src_offset: usize,
    src_strides: &[isize],
    dst: &mut [u8],
    dst_offset: usize,
    dst_strides: &[isize],
) -> Result<()> {
    if src_strides.len() != shape.len() || dst_strides.len() != shape.len() || item == 0 {
        let message =
            format!("a copy of {shape:?} items of {item} bytes was given {} and {} strides", src_strides.len(), dst_strides.len());
        return Err(Error::new(ErrorKind::Invalid, message));
    }
    if shape.contains(&0) {
        return Ok(());
    }
    inside("source", src.len() / item, shape, src_offset, src_strides)?;
    inside("destination", dst.len() / item, shape, dst_offset, dst_strides)?;
    let axes = simplify(shape, src_strides, dst_strides);
    match item {
        1 => walk(&axes, src.as_chunks::<1>().0, src_offset, dst.as_chunks_mut::<1>().0, dst_offset),
        2 => walk(&axes, src.as_chunks::<2>().0, src_offset, dst.as_chunks_mut::<2>().0, dst_offset),
        4 => walk(&axes, src.as_chunks::<4>().0, src_offset, dst.as_chunks_mut::<4>().0, dst_offset),
        8 => walk(&axes, src.as_chunks::<8>().0, src_offset, dst.as_chunks_mut::<8>().0, dst_offset),
        16 => walk(&axes, src.as_chunks::<16>().0, src_offset, dst.as_chunks_mut::<16>().0, dst_offset),
        _ => {
            // Items of other sizes are one more axis of bytes.
            let size = item as isize;
            let mut axes: SmallVec<[Axis; 6]> =
                axes.iter().map(|axis| Axis { extent: axis.extent, from: axis.from * size, to: axis.to * size }).collect();
            axes.push(Axis { extent: item, from: 1, to: 1 });
            walk(&axes, src.as_chunks::<1>().0, src_offset * item, dst.as_chunks_mut::<1>().0, dst_offset * item);
        }
    }
    Ok(())
}

/// Checks that the first and last item that a view reaches are among `items`.
fn inside(what: &str, items: usize, shape: &[usize], offset: usize, strides: &[isize]) -> Result<()> {
    let reach = || {
        let (mut low, mut high) = (isize::try_from(offset).ok()?, isize::try_from(offset).ok()?);
        for (&extent, &stride) in shape.iter().zip(strides) {
            let step = stride.checked_mul(isize::try_from(extent - 1).ok()?)?;
            *(if step < 0 { &mut low } else { &mut high }) = (if step < 0 { low } else { high }).checked_add(step)?;
        }
        Some((low, high))
    };
    match reach() {
        Some((low, high)) if low >= 0 && (high as usize) < items => Ok(()),
        _ => Err(Error::new(
            ErrorKind::Invalid,
            format!("the {what} of a copy, {shape:?} with strides {strides:?} from item {offset} on, leaves its {items} items"),
        )),
    }
}

/// Orders the axes by the destination's strides, outermost first, and merges neighbours.
fn simplify(shape: &[usize], from: &[isize], to: &[isize]) -> SmallVec<[Axis; 6]> {
    let mut axes: SmallVec<[Axis; 6]> = shape
        .iter()
        .zip(from)
        .zip(to)
        .filter(|((extent, _), _)| **extent != 1)
        .map(|((&extent, &from), &to)| Axis { extent, from, to })
        .collect();
    axes.sort_by_key(|axis| std::cmp::Reverse((axis.to.unsigned_abs(), axis.from.unsigned_abs())));
    let mut merged: SmallVec<[Axis; 6]> = SmallVec::new();
    for axis in axes {
        let n = axis.extent as isize;
        match merged.last_mut() {
            Some(outer) if Some(outer.from) == axis.from.checked_mul(n) && Some(outer.to) == axis.to.checked_mul(n) => {
                *outer = Axis { extent: outer.extent * axis.extent, ..axis };
            }
            _ => merged.push(axis),
        }
    }
    merged
}

/// Walks the outer axes, and copies rows or planes.
fn walk<T: Copy>(axes: &[Axis], src: &[T], src_offset: usize, dst: &mut [T], dst_offset: usize) {
    let Some((&inner, outer)) = axes.split_last() else {
        dst[dst_offset] = src[src_offset];
        return;
    };
    // The axis along which the source runs fastest, if it is another one: the two make a plane.
    let fast = outer.iter().enumerate().filter(|(_, axis)| axis.from != 0).min_by_key(|(_, axis)| axis.from.unsigned_abs());
    let plane = fast.filter(|(_, axis)| axis.from.unsigned_abs() < inner.from.unsigned_abs()).map(|(k, axis)| (k, *axis));
    let outer: SmallVec<[Axis; 6]> =
        outer.iter().enumerate().filter(|(k, _)| plane.is_none_or(|(p, _)| p != *k)).map(|(_, axis)| *axis).collect();
    let mut index: SmallVec<[usize; 6]> = smallvec::smallvec![0; outer.len()];
    let (mut from, mut to) = (src_offset as isize, dst_offset as isize);
    loop {
        match plane {
            Some((_, rows)) => copy_plane(rows, inner, src, from, dst, to),
            None => copy_row(inner, src, from, dst, to),
        }
        // The next index, the last axis fastest.
        let mut k = outer.len();
        loop {
            if k == 0 {
                return;
            }
            k -= 1;
            let axis = outer[k];
            index[k] += 1;
            (from, to) = (from + axis.from, to + axis.to);
            if index[k] < axis.extent {
                break;
            }
            index[k] = 0;
            (from, to) = (from - axis.from * axis.extent as isize, to - axis.to * axis.extent as isize);
        }
    }
}

fn copy_row<T: Copy>(axis: Axis, src: &[T], from: isize, dst: &mut [T], to: isize) {
    let n = axis.extent;
    match (axis.from, axis.to) {
        (1, 1) => dst[to as usize..to as usize + n].copy_from_slice(&src[from as usize..from as usize + n]),
        (0, 1) => dst[to as usize..to as usize + n].fill(src[from as usize]),
        (step, 1) => {
            for (k, to) in dst[to as usize..to as usize + n].iter_mut().enumerate() {
                *to = src[(from + k as isize * step) as usize];
            }
        }
        (1, step) => {
            for (k, from) in src[from as usize..from as usize + n].iter().enumerate() {
                dst[(to + k as isize * step) as usize] = *from;
            }
        }
        (step, other) => {
            for k in 0..n as isize {
                dst[(to + k * other) as usize] = src[(from + k * step) as usize];
            }
        }
    }
}

/// Copies a plane in square blocks: `columns` is the axis along which the destination runs fastest, `rows` the source's.
fn copy_plane<T: Copy>(rows: Axis, columns: Axis, src: &[T], from: isize, dst: &mut [T], to: isize) {
    let Some(any) = src.first() else { return };
    let mut square = [[*any; BLOCK]; BLOCK];
    for r0 in (0..rows.extent).step_by(BLOCK) {
        let height = BLOCK.min(rows.extent - r0);
        for c0 in (0..columns.extent).step_by(BLOCK) {
            let width = BLOCK.min(columns.extent - c0);
            let from = from + r0 as isize * rows.from + c0 as isize * columns.from;
            let to = to + r0 as isize * rows.to + c0 as isize * columns.to;
            for (c, line) in square[..width].iter_mut().enumerate() {
                let column = Axis { extent: height, from: rows.from, to: 1 };
                copy_row(column, src, from + c as isize * columns.from, line, 0);
            }
            for r in 0..height {
                let to = to + r as isize * rows.to;
                if columns.to == 1 {
                    for (to, line) in dst[to as usize..to as usize + width].iter_mut().zip(&square) {
                        *to = line[r];
                    }
                } else {
                    for (c, line) in square[..width].iter().enumerate() {
                        dst[(to + c as isize * columns.to) as usize] = line[r];
                    }
                }
            }
        }
    }
}

/// Reverses the bytes of every item of `item` bytes; what remains after the last whole item stays.
pub(crate) fn byteswap(item: usize, bytes: &mut [u8]) {
    match item {
        0 | 1 => {}
        2 => bytes.as_chunks_mut().0.iter_mut().for_each(|b| *b = u16::from_ne_bytes(*b).swap_bytes().to_ne_bytes()),
        4 => bytes.as_chunks_mut().0.iter_mut().for_each(|b| *b = u32::from_ne_bytes(*b).swap_bytes().to_ne_bytes()),
        8 => bytes.as_chunks_mut().0.iter_mut().for_each(|b| *b = u64::from_ne_bytes(*b).swap_bytes().to_ne_bytes()),
        _ => bytes.chunks_exact_mut(item).for_each(<[u8]>::reverse),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Copies item by item.
    fn simple(item: usize, shape: &[usize], src: &[u8], from: (usize, &[isize]), dst: &mut [u8], to: (usize, &[isize])) {
        for flat in 0..shape.iter().product::<usize>() {
            let (mut rest, mut a, mut b) = (flat, from.0 as isize, to.0 as isize);
            for k in (0..shape.len()).rev() {
                let index = (rest % shape[k]) as isize;
                rest /= shape[k];
                (a, b) = (a + index * from.1[k], b + index * to.1[k]);
            }
            let (a, b) = (a as usize * item, b as usize * item);
            dst[b..b + item].copy_from_slice(&src[a..a + item]);
        }
    }

    /// Strides of a dense array whose axes lie in the order given, some running backwards, with gaps; and the offset.
    fn strides(shape: &[usize], order: &[usize], backwards: &[bool], gap: usize) -> (usize, Vec<isize>, usize) {
        let (mut strides, mut stride, mut offset) = (vec![0isize; shape.len()], 1 + gap, 0);
        for &k in order {
            strides[k] = if backwards[k] { -(stride as isize) } else { stride as isize };
            offset += if backwards[k] { stride * (shape[k] - 1) } else { 0 };
            stride *= shape[k];
        }
        (offset, strides, stride)
    }

    proptest! {
        #[test]
        fn as_item_by_item(
            shape in prop::collection::vec(1usize..40, 0..4),
            item in prop::sample::select(vec![1usize, 2, 3, 4, 8, 12, 16]),
            seed in any::<(u64, u64)>(),
            gaps in (0usize..2, 0usize..2),
            repeated in any::<bool>(),
        ) {
            let mut order: Vec<usize> = (0..shape.len()).collect();
            let mut other = order.clone();
            if !order.is_empty() {
                order.rotate_left(seed.0 as usize % shape.len());
                other.rotate_left(seed.1 as usize % shape.len());
                if seed.0 & 64 != 0 { other.reverse(); }
            }
            let flags = |bits: u64| (0..shape.len()).map(|k| bits >> (8 + k) & 1 == 1).collect::<Vec<_>>();
            let (src_offset, mut src_strides, src_len) = strides(&shape, &order, &flags(seed.0), gaps.0);
            let (dst_offset, dst_strides, dst_len) = strides(&shape, &other, &flags(seed.1), gaps.1);
            if repeated && !shape.is_empty() && src_strides[0] > 0 { src_strides[0] = 0; }
            let src: Vec<u8> = (0..src_len * item).map(|k| (k * 7 + k / 251) as u8).collect();
            let (mut got, mut expected) = (vec![0; dst_len * item], vec![0; dst_len * item]);
            copy_strided(item, &shape, &src, src_offset, &src_strides, &mut got, dst_offset, &dst_strides).unwrap();
            simple(item, &shape, &src, (src_offset, &src_strides), &mut expected, (dst_offset, &dst_strides));
            prop_assert!(got == expected);
        }
    }

    #[test]
    fn a_view_that_leaves_its_bytes_is_refused() {
        let src = [1u8; 24];
        let mut dst = [0u8; 24];
        let mut refused = |shape: &[usize], from: (usize, &[isize]), to: (usize, &[isize])| {
            let error = copy_strided(8, shape, &src, from.0, from.1, &mut dst, to.0, to.1).unwrap_err();
            assert_eq!((error.kind(), dst), (ErrorKind::Invalid, [0; 24]));
        };
        refused(&[4], (0, &[1]), (0, &[1]));
        refused(&[2], (2, &[1]), (0, &[1]));
        refused(&[2], (0, &[1]), (0, &[-1]));
        refused(&[3], (0, &[1]), (0, &[isize::MAX]));
        refused(&[2, 2], (0, &[1]), (0, &[1, 1]));
        refused(&[], (3, &[]), (0, &[]));
        assert!(copy_strided(8, &[0, 9], &src, 99, &[1, 1], &mut dst, 99, &[1, 1]).is_ok());
    }

    #[test]
    fn bytes_are_swapped() {
        for item in [1, 2, 4, 8, 16, 3] {
            let mut bytes: Vec<u8> = (0..50).collect();
            byteswap(item, &mut bytes);
            for (k, byte) in bytes.iter().enumerate().take(50 / item * item) {
                assert_eq!(usize::from(*byte), k / item * item + item - 1 - k % item);
            }
            assert!(bytes[50 / item * item..].iter().zip(50 / item * item..).all(|(byte, k)| usize::from(*byte) == k));
        }
    }
}
