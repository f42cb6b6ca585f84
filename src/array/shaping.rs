//! Slices, transpositions, new and dropped axes, broadcasting: views, which move no element before a task needs it.

use super::axes::resolve as axis_of;
use super::blockwise::Blockwise;
use super::build::{broadcast_shape, common_grid};
use super::lazy::Raw;
use super::slice::{Slice, resolve};
use super::view::{InputAxis, View};
use super::{Array, Axes, IntoShape};
use crate::{Error, ErrorKind, Result};
use chunkstore_store::Element;
use smallvec::SmallVec;
use std::panic::Location;
use std::sync::Arc;

/// An array of `shape` that sees `raw` through `view`.
pub(super) fn viewed(name: &'static str, raw: &Raw, view: View, shape: &[usize]) -> Result<Raw> {
    if view.is_identity(shape.len()) && shape == raw.chunks.shape() {
        return Ok(raw.clone());
    }
    let grid = common_grid(shape, &[(&raw.chunks, &view)])?;
    let layer = Blockwise::view(name, grid.clone(), raw.dtype, (raw.layer.clone(), raw.chunks.clone()), view);
    Ok(Raw { layer: Arc::new(layer), chunks: grid, dtype: raw.dtype })
}

impl<T: Element> Array<T> {
    #[track_caller]
    fn view(&self, name: &'static str, make: impl FnOnce(&[usize]) -> Result<(View, Vec<usize>)>) -> Self {
        let view = || {
            let raw = self.raw()?;
            let (view, shape) = make(raw.chunks.shape())?;
            viewed(name, raw, view, &shape)
        };
        Array::at(view(), Location::caller())
    }

    /// A part of the array, with NumPy's meaning: see [`crate::s!`]. Only the blocks that hold something of it are ever
    /// made, and files are read only where it is.
    #[track_caller]
    pub fn slice(&self, slices: impl AsRef<[Slice]>) -> Self {
        self.view("getitem", |shape| resolve(slices.as_ref(), shape))
    }

    /// The array with its axes in reverse order.
    #[track_caller]
    pub fn transpose(&self) -> Self {
        self.view("transpose", |shape| Ok(permuted(&(0..shape.len()).rev().collect::<Vec<_>>(), shape)))
    }

    /// The array with its axes in reverse order; short for [`Array::transpose`].
    #[track_caller]
    pub fn t(&self) -> Self {
        self.transpose()
    }

    /// The array with its axes in another order: axis k of the result is axis `axes[k]` of this one.
    ///
    /// ```
    /// use chunkstore::array::Array;
    /// let x = Array::<f32>::zeros([2, 3, 4], 2);
    /// assert_eq!(x.permute([2, 0, 1]).shape()?, [4, 2, 3]);
    /// assert!(x.permute([0, 1]).check().is_err());
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn permute(&self, axes: impl Into<Axes>) -> Self {
        let axes = axes.into();
        self.view("transpose", |shape| {
            let axes = axes.list(shape.len())?;
            if axes.len() != shape.len() {
                return Err(Error::new(ErrorKind::Shape, format!("{} axes cannot be ordered by {axes:?}", shape.len())));
            }
            Ok(permuted(&axes, shape))
        })
    }

    /// The array with two axes changed about.
    #[track_caller]
    pub fn swapaxes(&self, a: i64, b: i64) -> Self {
        self.view("transpose", |shape| {
            let (a, b) = (axis_of(a, shape.len())?, axis_of(b, shape.len())?);
            let mut axes: Vec<usize> = (0..shape.len()).collect();
            axes.swap(a, b);
            Ok(permuted(&axes, shape))
        })
    }

    /// The array with one axis moved to another place.
    #[track_caller]
    pub fn moveaxis(&self, from: i64, to: i64) -> Self {
        self.view("transpose", |shape| {
            let (from, to) = (axis_of(from, shape.len())?, axis_of(to, shape.len())?);
            let mut axes: Vec<usize> = (0..shape.len()).collect();
            let axis = axes.remove(from);
            axes.insert(to, axis);
            Ok(permuted(&axes, shape))
        })
    }

    /// The array with the elements of the given axes in reverse order.
    #[track_caller]
    pub fn flip(&self, axes: impl Into<Axes>) -> Self {
        let axes = axes.into();
        self.view("flip", |shape| {
            let mut view = View::identity(shape.len());
            for ((axis, extent), flip) in view.axes.iter_mut().zip(shape).zip(axes.mask(shape.len())?) {
                if flip {
                    *axis = InputAxis { start: (*extent as i64 - 1).max(0), step: -1, ..*axis };
                }
            }
            Ok((view, shape.to_vec()))
        })
    }

    /// The array with a new axis of extent 1, which is axis `axis` of the result; -1 is the last.
    #[track_caller]
    pub fn expand_dims(&self, axis: i64) -> Self {
        self.view("expand_dims", |shape| {
            let axis = axis_of(axis, shape.len() + 1)?;
            let mut wide = shape.to_vec();
            wide.insert(axis, 1);
            let axes = (0..shape.len()).map(|k| InputAxis { out: Some((k + usize::from(k >= axis)) as u32), start: 0, step: 1 });
            Ok((View { axes: axes.collect() }, wide))
        })
    }

    /// The array without the given axes, which must have extent 1; `..` drops all such axes.
    ///
    /// ```
    /// use chunkstore::array::Array;
    /// let x = Array::<u8>::zeros([1, 3, 1], 3);
    /// assert_eq!(x.squeeze(..).shape()?, [3]);
    /// assert_eq!(x.squeeze(-1).shape()?, [1, 3]);
    /// assert!(x.squeeze(1).check().is_err());
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn squeeze(&self, axes: impl Into<Axes>) -> Self {
        let axes = axes.into();
        self.view("squeeze", |shape| {
            let mut mask = axes.mask(shape.len())?;
            if axes.is_all() {
                mask = shape.iter().map(|extent| *extent == 1).collect();
            }
            let (mut list, mut narrow) = (SmallVec::new(), Vec::new());
            for ((k, extent), drop) in shape.iter().enumerate().zip(&mask) {
                if *drop && *extent != 1 {
                    return Err(Error::new(ErrorKind::Shape, format!("axis {k} has extent {extent} and cannot be dropped")));
                }
                list.push(InputAxis { out: (!drop).then_some(narrow.len() as u32), start: 0, step: i64::from(!drop) });
                if !drop {
                    narrow.push(*extent);
                }
            }
            Ok((View { axes: list }, narrow))
        })
    }

    /// The array repeated along new axes and those of extent 1, to the given shape, as NumPy broadcasts.
    #[track_caller]
    pub fn broadcast_to(&self, shape: impl IntoShape) -> Self {
        let wide = shape.into_shape();
        self.view("broadcast_to", |shape| {
            if shape.len() > wide.len() || broadcast_shape(&[shape, &wide])?.as_slice() != wide {
                return Err(Error::new(ErrorKind::Shape, format!("an array of shape {shape:?} cannot be broadcast to {wide:?}")));
            }
            Ok((View::broadcast(shape, &wide), wide.clone()))
        })
    }
}

/// The view whose axis k is axis `axes[k]`.
pub(super) fn permuted(axes: &[usize], shape: &[usize]) -> (View, Vec<usize>) {
    let place = |k: usize| axes.iter().position(|axis| *axis == k).map(|d| d as u32);
    let view = (0..shape.len()).map(|k| InputAxis { out: place(k), start: 0, step: 1 }).collect();
    (View { axes: view }, axes.iter().filter_map(|axis| shape.get(*axis).copied()).collect())
}
