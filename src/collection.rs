//! What a lazy collection tells the engine: its layer, and how its result is put together.

use crate::Result;
use crate::graph::{LayerRef, Value};

/// A lazy collection, or a lazy sink (a file to be written), that an engine can compute.
pub trait Collection {
    /// What computing it gives.
    type Output;

    /// Prepares a computation: the layer all of whose blocks are to be run, the bytes that the result takes in memory,
    /// and what makes the result out of them in the end.
    ///
    /// # Errors
    /// The first error of the chain that made the collection.
    fn collect(&self) -> Result<Collected<Self::Output>>;
}

impl<C: Collection> Collection for &C {
    type Output = C::Output;

    fn collect(&self) -> Result<Collected<C::Output>> {
        (**self).collect()
    }
}

/// A prepared computation: see [`Collection::collect`].
pub struct Collected<O> {
    /// The layer whose every block is to be run. Its tasks put the blocks into the result and give nothing themselves, unless `keep` is set.
    pub layer: LayerRef,
    /// Whether the values of the layer's blocks are kept for `finish`.
    pub keep: bool,
    /// The bytes that the result takes in memory; they are booked before anything runs.
    pub bytes: u64,
    /// Allocates the result; called once, after `bytes` are booked and before anything runs.
    pub begin: Box<dyn FnOnce() -> Result<()> + Send>,
    /// Takes the result out; called once, after every block has run, and given the values of the blocks where they were kept.
    #[allow(clippy::type_complexity)]
    pub finish: Box<dyn FnOnce(&mut Kept<'_>) -> Result<O> + Send>,
}

/// The values of blocks that were kept for a result: see [`Collected::keep`].
pub struct Kept<'a>(&'a mut dyn KeptValues);

/// Where kept values come from.
pub(crate) trait KeptValues {
    /// The value of the next block.
    fn next(&mut self) -> Result<Value>;

    /// Sets memory aside for what the caller is about to get, until that has been handed over.
    fn set_aside(&mut self, bytes: u64) -> Result<()>;
}

impl<F: FnMut() -> Result<Value>> KeptValues for F {
    fn next(&mut self) -> Result<Value> {
        self()
    }

    fn set_aside(&mut self, _bytes: u64) -> Result<()> {
        Ok(())
    }
}

impl<'a> Kept<'a> {
    /// Values that `next` gives one after the other.
    pub(crate) fn new(next: &'a mut dyn KeptValues) -> Self {
        Kept(next)
    }

    /// Sets `bytes` of memory aside for a result whose size was not known before, until it has been handed over.
    ///
    /// # Errors
    /// Out of memory where there is no room for it.
    pub fn set_aside(&mut self, bytes: u64) -> Result<()> {
        self.0.set_aside(bytes)
    }

    /// The value of the next block, read back if it was spilled.
    ///
    /// # Errors
    /// Whatever reading it meets; invalid where there are no more blocks.
    pub fn value(&mut self) -> Result<Value> {
        self.0.next()
    }
}

/// A collection whose blocks an engine can compute and keep.
pub trait Persist: Sized {
    /// The layer that gives the blocks.
    ///
    /// # Errors
    /// The first error of the chain that made the collection.
    fn layer(&self) -> Result<LayerRef>;

    /// The same collection, with its blocks from `layer`, which has the same number of blocks in the same order.
    fn with_layer(&self, layer: LayerRef) -> Self;
}
