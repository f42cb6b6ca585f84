//! The same elements, in C order, under another shape.
//!
//! Where an axis is cut, those before it in single indices and those after it not at all, the blocks of an array are
//! runs of its elements in C order. So cut, an array is a list, and any two such lists of equal length differ only in
//! where they are cut.

use super::assemble::{Assemble, Layout};
use super::join::rechunk;
use super::lazy::Raw;
use super::{Array, Chunking, Chunks, IntoShape};
use crate::{Error, ErrorKind, Result};
use chunkstore_store::Element;
use std::panic::Location;
use std::sync::Arc;

impl<T: Element> Array<T> {
    /// The elements in C order under another shape of as many elements. The result is cut on its leading axes, into blocks
    /// about as large as this array's; where the array is cut on others, it is first cut anew.
    ///
    /// ```
    /// use chunkstore::array::{Array, Auto};
    /// let x = Array::arange(0, 12, 1, Auto);
    /// assert_eq!(x.reshape([3, 4]).shape()?, [3, 4]);
    /// assert!(x.reshape([5, 2]).check().is_err());
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn reshape(&self, shape: impl IntoShape) -> Self {
        let reshaped = || reshape(self.raw()?, &shape.into_shape());
        Array::at(reshaped(), Location::caller())
    }

    /// The elements in C order on one axis.
    #[track_caller]
    pub fn ravel(&self) -> Self {
        let reshaped = || {
            let raw = self.raw()?;
            reshape(raw, &[raw.chunks.size()])
        };
        Array::at(reshaped(), Location::caller())
    }
}

fn reshape(raw: &Raw, shape: &[usize]) -> Result<Raw> {
    let from = raw.chunks.shape();
    let elements = shape.iter().try_fold(1usize, |n, extent| n.checked_mul(*extent));
    if elements != Some(raw.chunks.size()) {
        let message =
            format!("an array of shape {from:?} cannot be shaped as {shape:?}: {} elements are not {elements:?}", raw.chunks.size());
        return Err(Error::new(ErrorKind::Shape, message));
    }
    if from == shape {
        return Ok(raw.clone());
    }
    let largest: usize = (0..raw.chunks.ndim()).map(|axis| raw.chunks.extents(axis).max().unwrap_or(1)).product();
    let chunking = Chunking::bytes(largest.max(1) * raw.dtype.size());
    let listed = if is_list(&raw.chunks) { raw.clone() } else { rechunk(raw, &chunking)? };
    // No elements are one block, as in their list.
    let shapes = if elements == Some(0) { Chunks::whole(shape)? } else { chunking.resolve(shape, raw.dtype)? };
    let layout =
        Layout { grid: list(&shapes)?, dtype: raw.dtype, axis: 0, parts: vec![(list(&listed.chunks)?, 0)], shapes: Some(shapes.clone()) };
    Ok(Raw { layer: Arc::new(Assemble::new("reshape", Arc::new(layout), vec![listed.layer])), chunks: shapes, dtype: raw.dtype })
}

/// Whether blocks, in their order, are runs of the elements in C order.
fn is_list(chunks: &Chunks) -> bool {
    let cut = (0..chunks.ndim()).rposition(|axis| chunks.starts(axis).len() > 2).unwrap_or(0);
    (0..cut).all(|axis| chunks.extents(axis).all(|extent| extent <= 1))
}

/// The lengths of the blocks of such an array.
fn list(chunks: &Chunks) -> Result<Chunks> {
    Chunks::new([(0..chunks.blocks()).map(|block| chunks.block_len(block)).collect()])
}
