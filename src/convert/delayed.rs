//! Arrays and delayed values.

use crate::array::{Array, Chunks, IntoShape};
use crate::delayed::Delayed;
use crate::graph::{Becomes, Given, Node, Picked, TaskContext, Value};
use crate::{Error, ErrorKind, Persist, Result};
use chunkstore_store::{Block, Element};
use ndarray::ArrayD;
use smallvec::SmallVec;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;

impl<T: Element> Array<T> {
    /// The array's blocks, each as a delayed value, in C order of their places.
    ///
    /// ```
    /// use chunkstore::array::Array;
    /// use ndarray::ArrayD;
    /// let blocks = Array::<i64>::arange(0, 10, 1, 4).to_delayed()?;
    /// let last = blocks[2].map(|block: ArrayD<i64>| block.sum());
    /// assert_eq!((blocks.len(), last.compute()?), (3, 8 + 9));
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    ///
    /// # Errors
    /// The first error of the steps that made the array.
    #[track_caller]
    pub fn to_delayed(&self) -> Result<Vec<Delayed<ArrayD<T>>>> {
        let (layer, line) = (self.layer()?, Location::caller());
        Ok((0..layer.blocks()).map(|block| Delayed::of(Node::block(layer.clone(), block, line))).collect())
    }

    /// The whole array as one delayed value, as a function is given it that is called with the array.
    ///
    /// ```
    /// use chunkstore::array::Array;
    /// use ndarray::ArrayD;
    /// let x = Array::<i64>::arange(0, 10, 1, 4).to_value();
    /// assert_eq!(x.map(|x: ArrayD<i64>| x[[9]]).compute()?, 9);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn to_value(&self) -> Delayed<ArrayD<T>> {
        let line = Location::caller();
        Delayed::of(match self.whole_layer() {
            Ok(layer) => Node::block(layer, 0, line),
            Err(error) => Node::broken(error, line),
        })
    }

    /// An array of one block, which a delayed value is. The value is an array of `shape`, or a vector of as many elements.
    ///
    /// [`concatenate`](crate::array::concatenate) and [`stack`](crate::array::stack) make one of several.
    ///
    /// ```
    /// use chunkstore::{array::{Array, concatenate}, delayed::delayed};
    /// use ndarray::Array2;
    /// let load = delayed(|part: i64| Array2::from_elem((2, 3), part));
    /// let parts: Vec<_> = (0..4i64).map(|part| Array::from_delayed(&load.call((part,)), [2, 3])).collect();
    /// let all = concatenate(&parts.iter().collect::<Vec<_>>(), 0);
    /// assert_eq!((all.shape()?, all.sum(..).item()?), (&[8, 3][..], 36));
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn from_delayed<V: IntoBlock<T>>(value: &Delayed<V>, shape: impl IntoShape) -> Self {
        let chunks = Chunks::whole(&shape.into_shape());
        let layer = chunks.map(|chunks| (picked::<T, V>(vec![value.clone()], &chunks), chunks));
        Array::from_layer(layer, Location::caller())
    }

    /// An array whose blocks delayed values are, in C order of their places. Each value is an array of its block's shape, or a vector of as many elements.
    ///
    /// ```
    /// use chunkstore::array::Array;
    /// let x = Array::<i64>::arange(0, 12, 1, 4).reshape([3, 4]);
    /// let doubled: Vec<_> = x.to_delayed()?.iter().map(|block| block.map(|block: ndarray::ArrayD<i64>| block * 2)).collect();
    /// let y = Array::from_delayed_blocks(&doubled, x.chunks()?.clone());
    /// assert_eq!(y.compute()?, x.compute()? * 2);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn from_delayed_blocks<V: IntoBlock<T>>(values: &[Delayed<V>], chunks: Chunks) -> Self {
        let layer = || {
            if values.len() != chunks.blocks() as usize {
                let message = format!("{} delayed blocks were given for {} chunks", values.len(), chunks.blocks());
                return Err(Error::new(ErrorKind::Shape, message));
            }
            Ok((picked::<T, V>(values.to_vec(), &chunks), chunks.clone()))
        };
        Array::from_layer(layer(), Location::caller())
    }
}

/// What can be a block of an [`Array<T>`](Array): an array or a vector.
pub trait IntoBlock<T>: Send + Sync + 'static {}
impl<T: Element, D: ndarray::Dimension + Send + Sync + 'static> IntoBlock<T> for ndarray::Array<T, D> {}
impl<T: Element> IntoBlock<T> for Vec<T> {}
impl<T: Element> IntoBlock<T> for Block {}

fn picked<T: Element, V>(values: Vec<Delayed<V>>, chunks: &Chunks) -> crate::graph::LayerRef {
    let nodes = values.into_iter().map(|value| value.node).collect();
    Arc::new(Picked::blocks(nodes, Arc::new(Blocks::<T> { chunks: chunks.clone(), element: PhantomData })))
}

/// The grid whose blocks values become.
struct Blocks<T> {
    chunks: Chunks,
    element: PhantomData<fn() -> T>,
}

impl<T: Element> Becomes for Blocks<T> {
    fn name(&self) -> &str {
        "from_delayed"
    }

    fn position(&self, block: u32) -> SmallVec<[u32; 4]> {
        self.chunks.position(block)
    }

    fn bytes(&self, block: u32) -> u64 {
        (self.chunks.block_len(block) * size_of::<T>()) as u64
    }

    fn convert(&self, task: &TaskContext<'_>, value: &Value) -> Result<Value> {
        let shape = self.chunks.block_shape(task.block());
        let wrong = |found: &[usize]| {
            let message = format!("a delayed block has the shape {found:?}, and its array was said to have {:?} there", &shape[..]);
            Err(Error::new(ErrorKind::Shape, message).hint("give `from_delayed` the shape that the function returns"))
        };
        let given = Given::from(value);
        if let Some(block) = value.block() {
            if block.dtype() != T::DTYPE {
                let message = format!("a delayed block has elements of {} in place of {}", block.dtype(), T::DTYPE);
                return Err(Error::new(ErrorKind::Type, message));
            }
            // A large vector is a block of one axis.
            return match block.shape() == &shape[..] || (block.shape().len() == 1 && block.len() == shape.iter().product::<usize>()) {
                true => Ok(block.reshaped(shape)?.into()),
                false => wrong(block.shape()),
            };
        }
        let copied = |elements: &[T]| {
            let mut buffer = task.alloc(std::mem::size_of_val(elements))?;
            buffer.as_slice_mut::<T>().copy_from_slice(elements);
            Ok(Block::new(buffer.freeze(), 0, T::DTYPE, shape.clone())?.into())
        };
        match given.object::<Vec<T>>() {
            Some(elements) if elements.len() == shape.iter().product::<usize>() => copied(elements),
            Some(elements) => wrong(&[elements.len()]),
            None => Err(Error::new(ErrorKind::Type, format!("a delayed block is {}, and no array", given.describe()))),
        }
    }

    fn parameters(&self) -> Vec<u8> {
        let axes = (0..self.chunks.ndim()).flat_map(|axis| self.chunks.starts(axis).iter().copied().chain([usize::MAX]));
        axes.flat_map(|start| (start as u64).to_le_bytes()).chain(T::DTYPE.to_string().into_bytes()).collect()
    }
}
