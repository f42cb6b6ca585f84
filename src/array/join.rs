//! Several arrays as one, and one array cut in another way.

use super::assemble::{Assemble, Layout};
use super::axes::resolve as axis_of;
use super::blockwise::Blockwise;
use super::chunks::common;
use super::lazy::Raw;
use super::source::Source;
use super::view::View;
use super::{Array, Chunking, Chunks};
use crate::graph::LayerRef;
use crate::{Error, ErrorKind, Result};
use chunkstore_store::Element;
use std::panic::Location;
use std::sync::Arc;

/// Arrays one after the other along an axis. Their other axes must have equal extents.
///
/// ```
/// use chunkstore::array::{Array, concatenate};
/// let (a, b) = (Array::<f64>::zeros([2, 3], 2), Array::<f64>::ones([4, 3], 3));
/// assert_eq!(concatenate(&[&a, &b], 0).shape()?, [6, 3]);
/// assert!(concatenate(&[&a, &b], 1).check().is_err());
/// # Ok::<(), chunkstore::Error>(())
/// ```
#[track_caller]
pub fn concatenate<T: Element>(arrays: &[&Array<T>], axis: i64) -> Array<T> {
    let joined = || {
        let parts = arrays.iter().map(|array| Ok((array.raw()?.layer.clone(), array.raw()?.chunks.clone()))).collect::<Result<Vec<_>>>()?;
        let ndim = parts.first().map_or(0, |(_, chunks)| chunks.ndim());
        join("concatenate", T::DTYPE, parts, axis_of(axis, ndim)?)
    };
    Array::at(joined(), Location::caller())
}

/// Arrays of one shape beside each other along a new axis, which is axis `axis` of the result.
///
/// ```
/// use chunkstore::array::{Array, stack};
/// let x = Array::<f64>::zeros([2, 3], 2);
/// assert_eq!(stack(&[&x, &x, &x], -1).shape()?, [2, 3, 3]);
/// # Ok::<(), chunkstore::Error>(())
/// ```
#[track_caller]
pub fn stack<T: Element>(arrays: &[&Array<T>], axis: i64) -> Array<T> {
    let joined = || {
        let ndim = arrays.first().map_or(Ok(0), |array| array.ndim())?;
        let axis = axis_of(axis, ndim + 1)?;
        // The same blocks with an axis of extent 1 more.
        let parts = arrays.iter().map(|array| {
            let raw = array.raw()?;
            let mut starts: Vec<Arc<[usize]>> = (0..raw.chunks.ndim()).map(|k| raw.chunks.shared_starts(k)).collect();
            starts.insert(axis.min(starts.len()), Arc::from([0, 1]));
            Ok((raw.layer.clone(), Chunks::from_starts(starts)?))
        });
        join("stack", T::DTYPE, parts.collect::<Result<_>>()?, axis)
    };
    Array::at(joined(), Location::caller())
}

fn join(name: &'static str, dtype: chunkstore_store::DType, parts: Vec<(LayerRef, Chunks)>, axis: usize) -> Result<Raw> {
    let Some((_, first)) = parts.first() else {
        return Err(Error::new(ErrorKind::Shape, format!("{name} of no arrays")));
    };
    let ndim = first.ndim();
    let mut starts: Vec<Arc<[usize]>> = (0..ndim).map(|k| first.shared_starts(k)).collect();
    let mut along = vec![0usize];
    let (mut layers, mut begins) = (Vec::new(), Vec::new());
    for (layer, chunks) in &parts {
        let fits = |k: usize| k == axis || chunks.shape().get(k) == first.shape().get(k);
        if chunks.ndim() != ndim || !(0..ndim).all(fits) {
            let message = format!("{name} of arrays of shapes {:?} and {:?} along axis {axis}", first.shape(), chunks.shape());
            return Err(Error::new(ErrorKind::Shape, message));
        }
        for (k, starts) in starts.iter_mut().enumerate().filter(|(k, _)| *k != axis) {
            *starts = common(starts, &chunks.shared_starts(k));
        }
        let begin = along.last().copied().unwrap_or(0);
        if chunks.shape().get(axis) != Some(&0) {
            along.extend(chunks.starts(axis).iter().skip(1).map(|start| begin + start));
            layers.push(layer.clone());
            begins.push((chunks.clone(), begin));
        }
    }
    if along.len() == 1 {
        along.push(0);
    }
    if let Some(slot) = starts.get_mut(axis) {
        *slot = along.into();
    }
    let grid = Chunks::from_starts(starts)?;
    let layout = Layout { grid: grid.clone(), dtype, axis, parts: begins, shapes: None };
    Ok(Raw { layer: Arc::new(Assemble::new(name, Arc::new(layout), layers)), chunks: grid, dtype })
}

impl<T: Element> Array<T> {
    /// The array cut in another way. What is read from a file or made from nothing is cut so from the start; else a task
    /// holds all blocks that a new block has something of.
    ///
    /// ```
    /// use chunkstore::{array::Array, chunks};
    /// let x = Array::<f64>::zeros([100, 100], chunks![10, -1]);
    /// assert_eq!(x.rechunk(chunks![-1, 25]).numblocks()?, [1, 4]);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn rechunk(&self, chunks: impl Into<Chunking>) -> Self {
        let chunking = chunks.into();
        let rechunked = || rechunk(self.raw()?, &chunking);
        Array::at(rechunked(), Location::caller())
    }
}

pub(super) fn rechunk(raw: &Raw, chunking: &Chunking) -> Result<Raw> {
    let grid = chunking.resolve(raw.chunks.shape(), raw.dtype)?;
    if grid == raw.chunks {
        return Ok(raw.clone());
    }
    let finer = |k: usize| raw.chunks.starts(k).iter().all(|start| grid.starts(k).binary_search(start).is_ok());
    let any = raw.layer.as_any();
    let layer: LayerRef = if let Some(source) = any.downcast_ref::<Source>() {
        Arc::new(source.recut(grid.clone()))
    } else if let Some(created) = any.downcast_ref::<Blockwise>().and_then(|blockwise| blockwise.recut(&grid)) {
        Arc::new(created)
    } else if (0..grid.ndim()).all(finer) {
        let input = (raw.layer.clone(), raw.chunks.clone());
        Arc::new(Blockwise::view("rechunk", grid.clone(), raw.dtype, input, View::identity(grid.ndim())))
    } else {
        let layout = Layout { grid: grid.clone(), dtype: raw.dtype, axis: 0, parts: vec![(raw.chunks.clone(), 0)], shapes: None };
        Arc::new(Assemble::new("rechunk", Arc::new(layout), vec![raw.layer.clone()]))
    };
    Ok(Raw { layer, chunks: grid, dtype: raw.dtype })
}
