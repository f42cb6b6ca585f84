//! What users say of chunks, and the automatic choice.

use super::Chunks;
use crate::{Error, ErrorKind, Result};
use chunkstore_store::DType;

/// The most bytes of an automatic block. With whole leading rows the blocks have half of this at least.
const AUTOMATIC: usize = 16 << 20;

/// How one axis is to be cut: see [`crate::chunks!`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AxisChunks {
    /// As large as the bytes of a block allow.
    Auto,
    /// Not at all.
    Whole,
    /// Into chunks of so many elements; the last may be shorter.
    Size(usize),
    /// Into chunks of just these extents.
    Extents(Vec<usize>),
    /// Nonsense, such as -2; it becomes an error where it is used.
    Invalid(i64),
}

macro_rules! axis_from {
    ($($t:ty),*) => { $(
        impl From<$t> for AxisChunks {
            /// A positive number is a size; -1 is the whole axis.
            fn from(size: $t) -> Self {
                match i64::try_from(size) {
                    Ok(-1) => AxisChunks::Whole,
                    Ok(n) if n > 0 => AxisChunks::Size(n as usize),
                    Ok(n) => AxisChunks::Invalid(n),
                    Err(_) => AxisChunks::Whole,
                }
            }
        }
        impl From<$t> for Chunking {
            /// The same size on every axis.
            fn from(size: $t) -> Self {
                Chunking(Spec::Every(AxisChunks::from(size)))
            }
        }
    )* };
}
axis_from!(i32, i64, usize);

impl From<Vec<usize>> for AxisChunks {
    fn from(extents: Vec<usize>) -> Self {
        AxisChunks::Extents(extents)
    }
}

impl<const N: usize> From<[usize; N]> for AxisChunks {
    fn from(extents: [usize; N]) -> Self {
        AxisChunks::Extents(extents.to_vec())
    }
}

/// How an array is to be cut into blocks.
///
/// Whatever takes chunks takes one of these, or what can become one: [`Auto`], a number (the size on every axis),
/// [`crate::chunks!`] (a size for each axis), or the [`Chunks`] of another array.
///
/// ```
/// use chunkstore::array::{Array, Auto, Chunking};
/// use chunkstore::chunks;
/// let sizes = |chunking: Chunking| -> chunkstore::Result<Vec<usize>> {
///     Ok(Array::<f64>::zeros([100, 4096, 1024], chunking).chunks()?.block_shape(0).to_vec())
/// };
/// assert_eq!(sizes(Auto.into())?, [1, 2048, 1024]);
/// assert_eq!(sizes(chunks![-1, auto, 512])?, [100, 40, 512]);
/// assert_eq!(sizes(Chunking::bytes(1 << 20))?, [1, 128, 1024]);
/// assert_eq!(sizes(64.into())?, [64, 64, 64]);
/// # Ok::<(), chunkstore::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Chunking(Spec);

#[derive(Clone, Debug)]
enum Spec {
    Bytes(usize),
    Every(AxisChunks),
    Axes(Vec<AxisChunks>),
    Same(Chunks),
}

/// Automatic chunks: blocks of 8 to 16 MiB that are contiguous in a file in C order where that can be.
#[derive(Clone, Copy, Debug)]
pub struct Auto;

impl From<Auto> for Chunking {
    fn from(_: Auto) -> Self {
        Chunking::bytes(AUTOMATIC)
    }
}

impl From<Auto> for AxisChunks {
    fn from(_: Auto) -> Self {
        AxisChunks::Auto
    }
}

impl From<Chunks> for Chunking {
    fn from(chunks: Chunks) -> Self {
        Chunking(Spec::Same(chunks))
    }
}

impl From<&Chunks> for Chunking {
    fn from(chunks: &Chunks) -> Self {
        Chunking(Spec::Same(chunks.clone()))
    }
}

impl From<Vec<AxisChunks>> for Chunking {
    fn from(axes: Vec<AxisChunks>) -> Self {
        Chunking(Spec::Axes(axes))
    }
}

impl<const N: usize> From<[usize; N]> for Chunking {
    /// A size for each axis.
    fn from(sizes: [usize; N]) -> Self {
        Chunking(Spec::Axes(sizes.iter().map(|size| AxisChunks::from(*size)).collect()))
    }
}

impl Chunking {
    /// Blocks of at most `bytes`, cut on the leading axes first.
    pub fn bytes(bytes: usize) -> Self {
        Chunking(Spec::Bytes(bytes))
    }

    /// The same for an array with its axes in reverse order.
    pub(super) fn reversed(&self) -> Self {
        Chunking(match &self.0 {
            Spec::Axes(axes) => Spec::Axes(axes.iter().rev().cloned().collect()),
            Spec::Same(chunks) => {
                Spec::Axes((0..chunks.ndim()).rev().map(|axis| AxisChunks::Extents(chunks.extents(axis).collect())).collect())
            }
            other => other.clone(),
        })
    }

    /// The chunks of an array of this shape and type.
    ///
    /// # Errors
    /// A shape error where the chunks do not fit the shape.
    pub fn resolve(&self, shape: &[usize], dtype: DType) -> Result<Chunks> {
        let (axes, bytes) = match &self.0 {
            Spec::Same(chunks) if chunks.shape() == shape => return Ok(chunks.clone()),
            Spec::Same(chunks) => {
                let message = format!("chunks of an array of shape {:?} do not fit one of shape {shape:?}", chunks.shape());
                return Err(Error::new(ErrorKind::Shape, message));
            }
            Spec::Bytes(bytes) => (vec![AxisChunks::Auto; shape.len()], *bytes),
            Spec::Every(axis) => (vec![axis.clone(); shape.len()], AUTOMATIC),
            Spec::Axes(axes) if axes.len() == shape.len() => (axes.clone(), AUTOMATIC),
            Spec::Axes(axes) => {
                let message = format!("chunks for {} axes do not fit an array of {} axes", axes.len(), shape.len());
                return Err(Error::new(ErrorKind::Shape, message).hint("give one entry for each axis: a size, -1 for the whole, or auto"));
            }
        };
        let mut extents = vec![Vec::new(); shape.len()];
        let mut largest = dtype.size();
        for ((list, axis), extent) in extents.iter_mut().zip(&axes).zip(shape) {
            *list = match axis {
                AxisChunks::Auto => continue,
                AxisChunks::Whole => vec![*extent],
                AxisChunks::Size(size) => even(*extent, *size),
                AxisChunks::Extents(list) if list.iter().try_fold(0usize, |n, e| n.checked_add(*e)) == Some(*extent) => list.clone(),
                AxisChunks::Extents(list) => {
                    return Err(Error::new(ErrorKind::Shape, format!("chunks {list:?} do not add up to an axis of {extent}")));
                }
                AxisChunks::Invalid(n) => {
                    let error = Error::new(ErrorKind::Shape, format!("{n} is no chunk size"));
                    return Err(error.hint("give a positive size, -1 for the whole axis, or auto"));
                }
            };
            largest = largest.saturating_mul(list.iter().copied().max().unwrap_or(1));
        }
        // Trailing axes stay whole as long as they fit, so that a block is one piece of a file in C order.
        for ((list, axis), extent) in extents.iter_mut().zip(&axes).zip(shape).rev() {
            if *axis == AxisChunks::Auto {
                let fits = (bytes / largest.max(1)).max(1);
                let count = extent.div_ceil(fits).max(1);
                let size = extent.div_ceil(count).max(1);
                *list = even(*extent, size);
                largest = largest.saturating_mul(size);
            }
        }
        Chunks::new(extents)
    }
}

/// Chunks of `size`, and a shorter one at the end.
fn even(extent: usize, size: usize) -> Vec<usize> {
    let mut list = vec![size; extent / size];
    if !extent.is_multiple_of(size) {
        list.push(extent % size);
    }
    list
}

/// How each axis is to be cut: `chunks![auto, 512, -1]`. A number is a size, -1 the whole axis, `auto` the largest
/// size for which a block has at most 16 MiB, and a list (`[100, 50, 50]` or a `Vec`) the extents themselves.
#[macro_export]
macro_rules! chunks {
    (@axes [$($done:expr,)*]) => { $crate::array::Chunking::from(vec![$($done,)*] as Vec<$crate::array::AxisChunks>) };
    (@axes [$($done:expr,)*] auto $(, $($rest:tt)*)?) => {
        $crate::chunks!(@axes [$($done,)* $crate::array::AxisChunks::Auto,] $($($rest)*)?)
    };
    (@axes [$($done:expr,)*] $axis:expr $(, $($rest:tt)*)?) => {
        $crate::chunks!(@axes [$($done,)* $crate::array::AxisChunks::from($axis),] $($($rest)*)?)
    };
    ($($axes:tt)*) => { $crate::chunks!(@axes [] $($axes)*) };
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn resolve(chunking: impl Into<Chunking>, shape: &[usize]) -> Result<Vec<Vec<usize>>> {
        let chunks = chunking.into().resolve(shape, DType::F64)?;
        Ok((0..shape.len()).map(|axis| chunks.extents(axis).collect()).collect())
    }

    #[test]
    fn automatic_chunks_have_8_to_16_mib_and_cut_leading_axes_first() {
        for shape in [vec![16384, 32768], vec![1 << 26], vec![3000, 700, 900], vec![5, 1000, 3_000_000], vec![1000, 9 << 17]] {
            let chunks = Chunking::from(Auto).resolve(&shape, DType::F64).unwrap();
            let bytes = chunks.block_len(0) * 8;
            assert!((8 << 20..=16 << 20).contains(&bytes), "{shape:?}: {bytes}");
            let first = chunks.block_shape(0);
            let cut = first.iter().zip(&shape).position(|(chunk, extent)| chunk < extent).unwrap_or(0);
            assert!(first[..cut].iter().all(|n| *n == 1) || cut == 0);
        }
        assert_eq!(resolve(Auto, &[10, 10]).unwrap(), [[10], [10]]);
        assert_eq!(resolve(Auto, &[]).unwrap(), Vec::<Vec<usize>>::new());
        assert_eq!(resolve(Auto, &[0, 3]).unwrap(), [[0], [3]]);
    }

    #[test]
    fn axes_are_cut_as_said() {
        assert_eq!(resolve(chunks![auto, 2, -1], &[3, 5, 4]).unwrap(), [vec![3], vec![2, 2, 1], vec![4]]);
        assert_eq!(resolve(chunks![[1, 2], vec![5]], &[3, 5]).unwrap(), [vec![1, 2], vec![5]]);
        assert_eq!(resolve(4, &[10]).unwrap(), [[4, 4, 2]]);
        for bad in [chunks![0], chunks![-2], chunks![3, 3], chunks![[4, 5]]] {
            assert_eq!(resolve(bad, &[10]).unwrap_err().kind(), ErrorKind::Shape);
        }
    }
}
