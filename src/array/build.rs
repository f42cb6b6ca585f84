//! How an elementwise operation of arrays and numbers becomes a layer.

use super::blockwise::Blockwise;
use super::body::{Body, Operand};
use super::chunks::common;
use super::kernel::{Operand as Slot, Program, ProgramBuilder};
use super::lazy::Raw;
use super::number::Datum;
use super::view::View;
use super::{Array, Chunks};
use crate::{Error, ErrorKind, Result};
use chunkstore_store::{Element, Scalar};
use smallvec::SmallVec;
use std::panic::Location;
use std::sync::Arc;

/// What can stand beside an array in an elementwise operation: an array of the same type, or a number.
pub trait IntoOperand<T: Element> {
    /// The array, or the number.
    #[doc(hidden)]
    fn into_operand(self) -> ArrayOr<T>;
}

/// An array or a number.
#[doc(hidden)]
pub enum ArrayOr<T: Element> {
    /// An array.
    Array(Array<T>),
    /// A number.
    Number(T),
}

impl<T: Datum> IntoOperand<T> for T {
    fn into_operand(self) -> ArrayOr<T> {
        ArrayOr::Number(self)
    }
}

impl<T: Datum> IntoOperand<T> for Array<T> {
    fn into_operand(self) -> ArrayOr<T> {
        ArrayOr::Array(self)
    }
}

impl<T: Datum> IntoOperand<T> for &Array<T> {
    fn into_operand(self) -> ArrayOr<T> {
        ArrayOr::Array(self.clone())
    }
}

impl<T: Datum> ArrayOr<T> {
    pub(super) fn argument(&self) -> Argument<'_> {
        match self {
            ArrayOr::Array(array) => Argument::Array(&array.raw),
            ArrayOr::Number(number) => Argument::Number(number.scalar()),
        }
    }
}

/// An argument of an elementwise operation, of any type.
pub(super) enum Argument<'a> {
    Array(&'a Result<Raw>),
    Number(Scalar),
}

/// NumPy's shape for arrays of these shapes together.
pub(super) fn broadcast_shape(shapes: &[&[usize]]) -> Result<SmallVec<[usize; 4]>> {
    let ndim = shapes.iter().map(|shape| shape.len()).max().unwrap_or(0);
    let mut out: SmallVec<[usize; 4]> = SmallVec::from_elem(1, ndim);
    for shape in shapes {
        for (wide, extent) in out.iter_mut().rev().zip(shape.iter().rev()) {
            if *wide == 1 {
                *wide = *extent;
            } else if *extent != 1 && *extent != *wide {
                let message = format!("shapes {shapes:?} do not go together");
                return Err(Error::new(ErrorKind::Shape, message).hint("extents, counted from the last axis, must be equal or 1"));
            }
        }
    }
    Ok(out)
}

/// The grid in which every block is within one block of each input.
pub(super) fn common_grid(shape: &[usize], inputs: &[(&Chunks, &View)]) -> Result<Chunks> {
    let mut starts: Vec<Option<Arc<[usize]>>> = vec![None; shape.len()];
    for (chunks, view) in inputs {
        // Equal grids are the rule, and need no lists.
        if let [(first, _), ..] = inputs
            && first.shape() == shape
            && inputs.iter().all(|(chunks, view)| chunks == first && view.is_identity(shape.len()))
        {
            return Ok((*first).clone());
        }
        for (slot, list) in starts.iter_mut().zip(view.boundaries(chunks, shape)) {
            *slot = match (slot.take(), list) {
                (Some(a), Some(b)) => Some(common(&a, &b)),
                (a, b) => a.or(b),
            };
        }
    }
    let axes = starts.into_iter().zip(shape).map(|(starts, extent)| starts.unwrap_or_else(|| Arc::from([0, *extent])));
    Chunks::from_starts(axes.collect())
}

/// The layer of an elementwise operation. `steps` is about what one element costs, in simple operations.
pub(super) fn elementwise(
    name: &'static str,
    steps: u32,
    arguments: &[Argument<'_>],
    build: impl FnOnce(&mut ProgramBuilder, &[Slot]) -> Option<Slot>,
) -> Result<Raw> {
    let mut program = Program::builder();
    let (mut slots, mut raws) = (SmallVec::<[Slot; 3]>::new(), SmallVec::<[&Raw; 3]>::new());
    for argument in arguments {
        slots.push(match argument {
            Argument::Array(raw) => {
                let raw = raw.as_ref().map_err(Error::clone)?;
                raws.push(raw);
                program.input(raw.dtype)
            }
            Argument::Number(scalar) => program.constant(*scalar),
        });
    }
    let shapes: SmallVec<[&[usize]; 3]> = raws.iter().map(|raw| raw.chunks.shape()).collect();
    let shape = broadcast_shape(&shapes)?;
    let views: SmallVec<[View; 3]> = shapes.iter().map(|inner| View::broadcast(inner, &shape)).collect();
    let grid = common_grid(&shape, &raws.iter().map(|raw| &raw.chunks).zip(&views).collect::<SmallVec<[_; 3]>>())?;
    let output = build(&mut program, &slots)
        .ok_or_else(|| Error::new(ErrorKind::Type, format!("{name} is not defined for elements of this type")))?;
    let program = program.finish(output);
    let dtype = program.output();
    let operands = views.into_iter().enumerate().map(|(i, view)| Operand::Blocks { input: i as u32, view }).collect();
    let inputs = raws.iter().map(|raw| (raw.layer.clone(), raw.chunks.clone())).collect();
    let layer = Blockwise::new(name, steps, Body::new(grid.clone(), program, operands, inputs));
    Ok(Raw { layer: Arc::new(layer), chunks: grid, dtype })
}

impl<T: Element> Array<T> {
    /// The array of an elementwise operation.
    pub(super) fn operation(
        name: &'static str,
        steps: u32,
        arguments: &[Argument<'_>],
        line: &'static Location<'static>,
        build: impl FnOnce(&mut ProgramBuilder, &[Slot]) -> Option<Slot>,
    ) -> Self {
        Array::at(elementwise(name, steps, arguments, build), line)
    }
}
