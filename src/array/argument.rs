//! Arrays as arguments of functions in graphs and of delayed functions: the whole value, put together by a task.

use super::collect::Item;
use super::{Array, Chunks};
use crate::graph::{Argument, Fallible, Input, IntoArg, IntoTask, LayerRef, Library, Program};
use crate::{Error, ErrorKind, Persist, Result};
use chunkstore_store::{Block, Element};
use ndarray::Dimension;
use std::marker::PhantomData;
use std::panic::Location;

impl<T: Element> Array<T> {
    /// The layer of one block that has the whole array.
    pub(crate) fn whole_layer(&self) -> Result<LayerRef> {
        self.rechunk(Chunks::whole(self.shape()?)?).layer()
    }

    /// An array whose blocks a layer of another collection gives.
    pub(crate) fn from_layer(made: Result<(LayerRef, Chunks)>, line: &'static Location<'static>) -> Self {
        Array::at(made.map(|(layer, chunks)| super::lazy::Raw { layer, chunks, dtype: T::DTYPE }), line)
    }
}

impl<T: Element> IntoTask for &Array<T> {
    fn encode(self, program: &mut Program) {
        match self.whole_layer() {
            Ok(layer) => program.input(Input::Block(layer, 0)),
            Err(error) => program.literal(Err(error)),
        }
    }
}
impl<T: Element, D: Dimension> IntoArg<ndarray::Array<T, D>> for &Array<T> {}
impl<T: Element> IntoArg<Block> for &Array<T> {}
impl<T: Element> IntoArg<Vec<T>> for &Array<T> {}

impl<T: Element> IntoTask for Array<T> {
    fn encode(self, program: &mut Program) {
        (&self).encode(program);
    }
}
impl<T: Element, D: Dimension> IntoArg<ndarray::Array<T, D>> for Array<T> {}
impl<T: Element> IntoArg<Block> for Array<T> {}
impl<T: Element> IntoArg<Vec<T>> for Array<T> {}

/// A list of arrays, each as a whole.
impl<T: Element> IntoTask for Vec<Array<T>> {
    fn encode(self, program: &mut Program) {
        (&self).encode(program);
    }
}
impl<T: Element, D: Dimension> IntoArg<Vec<ndarray::Array<T, D>>> for Vec<Array<T>> {}
impl<T: Element> IntoArg<Vec<Block>> for Vec<Array<T>> {}
impl<T: Element> IntoArg<Vec<Vec<T>>> for Vec<Array<T>> {}

impl<T: Element> IntoTask for &Vec<Array<T>> {
    fn encode(self, program: &mut Program) {
        program.list(|program| {
            self.iter().for_each(|array| array.encode(program));
            self.len() as u32
        });
    }
}
impl<T: Element, D: Dimension> IntoArg<Vec<ndarray::Array<T, D>>> for &Vec<Array<T>> {}
impl<T: Element> IntoArg<Vec<Block>> for &Vec<Array<T>> {}
impl<T: Element> IntoArg<Vec<Vec<T>>> for &Vec<Array<T>> {}

impl<T: Element + Argument> IntoTask for Item<T> {
    fn encode(self, program: &mut Program) {
        fn item<T: Element>(block: Block) -> Result<T> {
            let element = block.as_slice::<T>()?.first().copied();
            element.ok_or_else(|| Error::new(ErrorKind::Shape, "an array has no element"))
        }
        let write = |program: &mut Program| {
            self.0.encode(program);
            1
        };
        program.call(write, Fallible(Library("item", item::<T>), PhantomData));
    }
}
impl<T: Element + Argument> IntoArg<T> for Item<T> {}
