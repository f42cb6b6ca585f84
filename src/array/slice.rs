//! Slices with NumPy's meaning: `s![1..100, ..;2, -1]`.

use super::view::{InputAxis, View};
use crate::{Error, ErrorKind, Result};
use smallvec::SmallVec;
use std::ops::{Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};

/// One entry of a slice: see [`crate::s!`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slice {
    /// One element; the axis goes away. Negative numbers count from the end.
    Index(i64),
    /// Elements from `start` up to, but without, `stop`, `step` apart. What is left out is where the axis begins or ends.
    Range {
        /// The first element.
        start: Option<i64>,
        /// The end.
        stop: Option<i64>,
        /// Whether the end itself is taken too.
        inclusive: bool,
        /// The distance, which may be negative: then it runs downwards.
        step: i64,
    },
    /// A new axis of extent 1.
    NewAxis,
    /// All axes that the other entries leave over.
    Ellipsis,
}

/// A new axis of extent 1, as an entry of [`crate::s!`].
#[derive(Clone, Copy, Debug)]
pub struct NewAxis;

/// All axes that the other entries leave over, as an entry of [`crate::s!`].
#[derive(Clone, Copy, Debug)]
pub struct Ellipsis;

impl From<NewAxis> for Slice {
    fn from(_: NewAxis) -> Self {
        Slice::NewAxis
    }
}

impl From<Ellipsis> for Slice {
    fn from(_: Ellipsis) -> Self {
        Slice::Ellipsis
    }
}

impl From<RangeFull> for Slice {
    fn from(_: RangeFull) -> Self {
        Slice::Range { start: None, stop: None, inclusive: false, step: 1 }
    }
}

macro_rules! slice_from {
    ($($t:ty),*) => { $(
        impl From<$t> for Slice {
            fn from(index: $t) -> Self {
                Slice::Index(index as i64)
            }
        }
        impl From<Range<$t>> for Slice {
            fn from(range: Range<$t>) -> Self {
                Slice::Range { start: Some(range.start as i64), stop: Some(range.end as i64), inclusive: false, step: 1 }
            }
        }
        impl From<RangeFrom<$t>> for Slice {
            fn from(range: RangeFrom<$t>) -> Self {
                Slice::Range { start: Some(range.start as i64), stop: None, inclusive: false, step: 1 }
            }
        }
        impl From<RangeTo<$t>> for Slice {
            fn from(range: RangeTo<$t>) -> Self {
                Slice::Range { start: None, stop: Some(range.end as i64), inclusive: false, step: 1 }
            }
        }
        impl From<RangeInclusive<$t>> for Slice {
            fn from(range: RangeInclusive<$t>) -> Self {
                Slice::Range { start: Some(*range.start() as i64), stop: Some(*range.end() as i64), inclusive: true, step: 1 }
            }
        }
        impl From<RangeToInclusive<$t>> for Slice {
            fn from(range: RangeToInclusive<$t>) -> Self {
                Slice::Range { start: None, stop: Some(range.end as i64), inclusive: true, step: 1 }
            }
        }
    )* };
}
slice_from!(i32, i64, isize, usize);

impl Slice {
    /// The same range with another step; anything else is as it was.
    pub fn step_by(self, by: i64) -> Self {
        match self {
            Slice::Range { start, stop, inclusive, .. } => Slice::Range { start, stop, inclusive, step: by },
            other => other,
        }
    }
}

/// A slice of an array, an entry for each axis: `s![1..100, ..;2, -1]`.
///
/// A number takes one element and drops the axis, a range takes the elements from its start up to its end, and
/// `range;step` those `step` apart. As in NumPy, negative numbers count from the end, ranges are cut to the axis, and with
/// a negative step a range runs downwards from its start: `5..2;-1` are the elements 5, 4, 3. `NewAxis` adds an axis,
/// `Ellipsis` stands for all axes that are not named; those after the last entry stay whole.
///
/// ```
/// use chunkstore::{array::Array, s};
/// let x = Array::<f64>::zeros([10, 20, 30], 7);
/// assert_eq!(x.slice(s![1..100, ..;2, -1]).shape()?, [9, 10]);
/// assert_eq!(x.slice(s![5..2;-1, ..]).shape()?, [3, 20, 30]);
/// assert!(x.slice(s![10]).check().is_err());
/// # Ok::<(), chunkstore::Error>(())
/// ```
#[macro_export]
macro_rules! s {
    (@entries [$($done:expr,)*]) => { [$($done,)*] as [$crate::array::Slice; _] };
    (@entries [$($done:expr,)*] $range:expr; $step:expr $(, $($rest:tt)*)?) => {
        $crate::s!(@entries [$($done,)* {
            #[allow(clippy::reversed_empty_ranges)]
            let entry = $crate::array::Slice::from($range).step_by($step as i64);
            entry
        },] $($($rest)*)?)
    };
    (@entries [$($done:expr,)*] $entry:expr $(, $($rest:tt)*)?) => {
        $crate::s!(@entries [$($done,)* {
            #[allow(clippy::reversed_empty_ranges)]
            let entry = $crate::array::Slice::from($entry);
            entry
        },] $($($rest)*)?)
    };
    ($($entries:tt)*) => { $crate::s!(@entries [] $($entries)*) };
}

/// The view that a slice is, and the extents of its axes.
pub(super) fn resolve(entries: &[Slice], shape: &[usize]) -> Result<(View, Vec<usize>)> {
    let named = entries.iter().filter(|entry| matches!(entry, Slice::Index(_) | Slice::Range { .. })).count();
    let ellipses = entries.iter().filter(|entry| **entry == Slice::Ellipsis).count();
    if named > shape.len() || ellipses > 1 {
        let message = format!("a slice with {named} entries and {ellipses} ellipses does not fit an array of {} axes", shape.len());
        return Err(Error::new(ErrorKind::Shape, message));
    }
    let rest = shape.len() - named;
    let (mut axes, mut extents) = (SmallVec::new(), Vec::new());
    let whole = |axes: &mut SmallVec<[InputAxis; 4]>, extents: &mut Vec<usize>| {
        if let Some(extent) = shape.get(axes.len()) {
            axes.push(InputAxis { out: Some(extents.len() as u32), start: 0, step: 1 });
            extents.push(*extent);
        }
    };
    for entry in entries {
        let axis = axes.len();
        let extent = shape.get(axis).copied().unwrap_or(0);
        match *entry {
            Slice::NewAxis => extents.push(1),
            Slice::Ellipsis => (0..rest).for_each(|_| whole(&mut axes, &mut extents)),
            Slice::Index(index) => {
                let n = extent as i64;
                let at = if index < 0 { index + n } else { index };
                if !(0..n).contains(&at) {
                    return Err(Error::new(
                        ErrorKind::Shape,
                        format!("index {index} is out of range for axis {axis}, which has {extent} elements"),
                    ));
                }
                axes.push(InputAxis { out: None, start: at, step: 0 });
            }
            Slice::Range { step: 0, .. } => return Err(Error::new(ErrorKind::Invalid, "the step of a slice is 0")),
            Slice::Range { start, stop, inclusive, step } => {
                let (first, count) = range(extent as i64, start, stop, inclusive, step);
                // A step that leads to no other element means nothing, and may be too large to be multiplied.
                let step = if count > 1 { step } else { step.signum() };
                axes.push(InputAxis { out: Some(extents.len() as u32), start: first, step });
                extents.push(count);
            }
        }
    }
    while axes.len() < shape.len() {
        whole(&mut axes, &mut extents);
    }
    Ok((View { axes }, extents))
}

/// The first element and the count of elements of a range of an axis of `n`.
fn range(n: i64, start: Option<i64>, stop: Option<i64>, inclusive: bool, step: i64) -> (i64, usize) {
    let absolute = |at: i64| if at < 0 { at.saturating_add(n) } else { at };
    let (low, high) = if step > 0 { (0, n) } else { (-1, n - 1) };
    let past = if inclusive { step.signum() } else { 0 };
    let first = start.map_or(if step > 0 { 0 } else { n - 1 }, |at| absolute(at).clamp(low, high));
    let end = stop.map_or(if step > 0 { n } else { -1 }, |at| absolute(at).saturating_add(past).clamp(low, high));
    let distance = if step > 0 { end - first } else { first - end };
    let count = if distance <= 0 { 0 } else { (distance as u64).div_ceil(step.unsigned_abs()) as usize };
    (if count == 0 { 0 } else { first }, count)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn elements(slice: Slice, n: usize) -> Vec<i64> {
        let (view, extents) = resolve(&[slice], &[n]).unwrap();
        (0..extents[0] as i64).map(|i| view.axes[0].start + view.axes[0].step * i).collect()
    }

    #[test]
    fn ranges_mean_what_numpy_means() {
        // Python: list(range(n))[slice]
        assert_eq!(elements(s![5..2;-1][0], 10), [5, 4, 3]);
        assert_eq!(elements(s![..;-3][0], 10), [9, 6, 3, 0]);
        assert_eq!(elements(s![-3..][0], 10), [7, 8, 9]);
        assert_eq!(elements(s![..-8][0], 10), [0, 1]);
        assert_eq!(elements(s![100..;-4][0], 10), [9, 5, 1]);
        assert_eq!(elements(s![..3;-2][0], 10), [9, 7, 5]);
        assert_eq!(elements(s![2..8;4][0], 10), [2, 6]);
        assert_eq!(elements(s![8..2;1][0], 10), [0i64; 0]);
        assert_eq!(elements(s![-100..100;7][0], 10), [0, 7]);
        assert_eq!(elements(s![1..=-1;3][0], 10), [1, 4, 7]);
        assert_eq!(elements(s![3..=0;-1][0], 10), [3, 2, 1, 0]);
        assert_eq!(elements(s![..][0], 0), [0i64; 0]);
    }

    #[test]
    fn entries_stand_for_axes() {
        let (view, extents) = resolve(&s![0, Ellipsis, NewAxis, 1..3], &[4, 5, 6]).unwrap();
        assert_eq!(extents, [5, 1, 2]);
        assert_eq!(view.axes.iter().map(|axis| axis.out).collect::<Vec<_>>(), [None, Some(0), Some(2)]);
        assert_eq!(resolve(&s![4], &[4]).unwrap_err().kind(), ErrorKind::Shape);
        assert_eq!(resolve(&s![-5], &[4]).unwrap_err().kind(), ErrorKind::Shape);
        assert_eq!(resolve(&s![0, 0], &[4]).unwrap_err().kind(), ErrorKind::Shape);
        assert_eq!(resolve(&s![..;0], &[4]).unwrap_err().kind(), ErrorKind::Invalid);
    }
}
