//! Which axes a reduction takes away.

use crate::{Error, ErrorKind, Result};
use smallvec::SmallVec;
use std::ops::RangeFull;

/// The axes that a reduction takes away: `..` (all), one (`0`, `-1`), several (`[0, -1]`), and [`keep`] of these.
///
/// ```
/// use chunkstore::array::{Array, keep};
/// let x = Array::<f64>::ones([4, 5, 6], 2);
/// assert_eq!(x.sum([0, -1]).shape()?, [5]);
/// assert_eq!(x.sum(keep(1)).shape()?, [4, 1, 6]);
/// assert_eq!(x.sum(..).shape()?, [0usize; 0]);
/// # Ok::<(), chunkstore::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Axes {
    which: Option<SmallVec<[i64; 4]>>,
    keep: bool,
}

/// The same axes, which stay with extent 1 (NumPy's `keepdims`).
pub fn keep(axes: impl Into<Axes>) -> Axes {
    Axes { keep: true, ..axes.into() }
}

impl From<RangeFull> for Axes {
    fn from(_: RangeFull) -> Self {
        Axes { which: None, keep: false }
    }
}

macro_rules! axes_from {
    ($($t:ty),*) => { $(
        impl From<$t> for Axes {
            fn from(axis: $t) -> Self {
                Axes::from_iter([axis as i64])
            }
        }
        impl<const N: usize> From<[$t; N]> for Axes {
            fn from(axes: [$t; N]) -> Self {
                axes.iter().map(|axis| *axis as i64).collect()
            }
        }
        impl From<&[$t]> for Axes {
            fn from(axes: &[$t]) -> Self {
                axes.iter().map(|axis| *axis as i64).collect()
            }
        }
        impl From<Vec<$t>> for Axes {
            fn from(axes: Vec<$t>) -> Self {
                axes.iter().map(|axis| *axis as i64).collect()
            }
        }
    )* };
}
axes_from!(i32, i64, isize, usize);

impl FromIterator<i64> for Axes {
    fn from_iter<I: IntoIterator<Item = i64>>(axes: I) -> Self {
        Axes { which: Some(axes.into_iter().collect()), keep: false }
    }
}

impl Axes {
    /// Whether reduced axes stay with extent 1.
    pub(super) fn keeps(&self) -> bool {
        self.keep
    }

    /// For each of `ndim` axes, whether it is one of these.
    pub(super) fn mask(&self, ndim: usize) -> Result<SmallVec<[bool; 4]>> {
        let Some(which) = &self.which else {
            return Ok(SmallVec::from_elem(true, ndim));
        };
        let mut mask = SmallVec::from_elem(false, ndim);
        for axis in which {
            if std::mem::replace(&mut mask[resolve(*axis, ndim)?], true) {
                return Err(Error::new(ErrorKind::Shape, format!("axis {axis} is named twice")));
            }
        }
        Ok(mask)
    }

    /// Whether these are all axes.
    pub(super) fn is_all(&self) -> bool {
        self.which.is_none()
    }

    /// The axes in the order given; all of them for `..`.
    pub(super) fn list(&self, ndim: usize) -> Result<SmallVec<[usize; 4]>> {
        self.mask(ndim)?;
        match &self.which {
            None => Ok((0..ndim).collect()),
            Some(which) => which.iter().map(|axis| resolve(*axis, ndim)).collect(),
        }
    }
}

/// The number of an axis that may be counted from the end.
pub(super) fn resolve(axis: i64, ndim: usize) -> Result<usize> {
    let n = ndim as i64;
    let index = if axis < 0 { axis + n } else { axis };
    if (0..n).contains(&index) {
        return Ok(index as usize);
    }
    Err(Error::new(ErrorKind::Shape, format!("axis {axis} is out of range for an array of {ndim} axes")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn axes_count_from_both_ends_and_only_once() {
        assert_eq!(Axes::from([0, -1]).mask(3).unwrap().as_slice(), [true, false, true]);
        assert_eq!(Axes::from(..).mask(2).unwrap().as_slice(), [true, true]);
        assert!(keep(-2i64).keeps());
        assert!(Axes::from(3).mask(3).is_err());
        assert!(Axes::from([0, -1]).mask(1).is_err());
    }
}
