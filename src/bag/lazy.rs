//! The lazy bag.

use super::pipeline::{Item, Pipeline, Step, Upstream};
use super::stored::encode;
use super::stream::BoxStream;
use super::work::Work;
use crate::graph::{Key, KeyBuilder, LayerRef, Op};
use crate::{Error, ErrorKind, Result};
use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;

/// A lazy collection of elements of one type, in partitions, without an index: lines of text, records, anything that serde can encode.
///
/// Every step gives a new bag and computes nothing. Clones are cheap. A chain of `map`, `filter`, `flat_map` and the like is one pass over each
/// partition, element by element, so that a partition of any size takes constant memory. A step that makes no sense gives a bag that keeps the error, with the
/// line of the program that asked for it: [`Bag::check`] and every computation report it.
///
/// ```
/// use chunkstore::bag;
/// let words = bag::from_sequence(["to be or", "not to be"].map(String::from), 2);
/// let mut counts = words.str().split_whitespace().frequencies().compute()?;
/// counts.sort();
/// assert_eq!(counts, [("be", 2), ("not", 1), ("or", 1), ("to", 2)].map(|(word, n)| (word.to_string(), n)));
/// # Ok::<(), chunkstore::Error>(())
/// ```
pub struct Bag<T: Item> {
    layer: Result<LayerRef>,
    item: PhantomData<fn() -> T>,
}

impl<T: Item> Clone for Bag<T> {
    fn clone(&self) -> Self {
        Bag { layer: self.layer.clone(), item: PhantomData }
    }
}

impl<T: Item> fmt::Debug for Bag<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.layer {
            Ok(layer) => write!(f, "Bag<{}>({}, {} partitions)", std::any::type_name::<T>(), layer.name(), layer.blocks()),
            Err(error) => write!(f, "Bag(error: {error})"),
        }
    }
}

impl<T: Item> Bag<T> {
    /// A bag of the partitions that a layer stores, or of the error that was met, which happened at the given line.
    pub(crate) fn at(layer: Result<LayerRef>, line: &'static Location<'static>) -> Self {
        Bag { layer: layer.map_err(|error| error.from_line(line)), item: PhantomData }
    }

    /// A bag of the partitions that a layer stores.
    pub(crate) fn on(layer: LayerRef) -> Self {
        Bag { layer: Ok(layer), item: PhantomData }
    }

    /// A bag of what a pipeline gives.
    pub(crate) fn of(pipeline: Result<Arc<dyn Pipeline<T>>>, line: &'static Location<'static>) -> Self {
        Bag::at(pipeline.map(Work::stored), line)
    }

    pub(crate) fn stored_layer(&self) -> Result<&LayerRef> {
        self.layer.as_ref().map_err(Error::clone)
    }

    /// What steps over this bag take elements from.
    pub(crate) fn upstream(&self) -> Result<Upstream<T>> {
        self.stored_layer().map(|layer| Upstream::Stored(layer.clone()))
    }

    /// A step over this bag. `op` is the function of the user's that it runs, if there is one.
    pub(crate) fn step<U: Item>(
        &self,
        name: &'static str,
        op: Op,
        line: &'static Location<'static>,
        adapt: impl Fn(BoxStream<T>, u32) -> BoxStream<U> + Send + Sync + 'static,
    ) -> Bag<U> {
        self.step_as(name, op, line, adapt, |step| step)
    }

    /// The same, with something more said of it.
    pub(crate) fn step_as<U: Item>(
        &self,
        name: &'static str,
        op: Op,
        line: &'static Location<'static>,
        adapt: impl Fn(BoxStream<T>, u32) -> BoxStream<U> + Send + Sync + 'static,
        with: fn(Step<T, U>) -> Step<T, U>,
    ) -> Bag<U> {
        let pipeline = self.upstream().map(|upstream| {
            let known = op.is_shared();
            let step = Step::new(name, function_key(name, &[op]), upstream, Arc::new(adapt), Some(line)).known(known);
            Arc::new(with(step)) as Arc<dyn Pipeline<U>>
        });
        Bag::of(pipeline, line)
    }

    /// A step that runs nothing of the user's, and is cheap to do again.
    pub(crate) fn plain_step<U: Item>(
        &self,
        name: &'static str,
        parameters: &[u8],
        line: &'static Location<'static>,
        adapt: impl Fn(BoxStream<T>, u32) -> BoxStream<U> + Send + Sync + 'static,
    ) -> Bag<U> {
        let own = KeyBuilder::new(name, 1).bytes(parameters).text(std::any::type_name::<U>()).finish();
        let pipeline = self.upstream().map(|upstream| {
            let step = Step::new(name, own, upstream, Arc::new(adapt), None).cheap().known(true);
            Arc::new(step) as Arc<dyn Pipeline<U>>
        });
        Bag::of(pipeline, line)
    }

    /// Whether every step up to here makes sense.
    ///
    /// # Errors
    /// The first error of the steps that made the bag, with the line of the program that asked for it.
    pub fn check(&self) -> Result<()> {
        self.stored_layer().map(drop)
    }

    /// The number of partitions.
    ///
    /// # Errors
    /// The first error of the steps that made the bag.
    pub fn npartitions(&self) -> Result<usize> {
        Ok(self.stored_layer()?.blocks() as usize)
    }

    /// The key of the layer that makes the partitions: equal work has equal keys.
    ///
    /// # Errors
    /// The first error of the steps that made the bag.
    pub fn key(&self) -> Result<Key> {
        Ok(self.stored_layer()?.key())
    }

    /// A readable name, as in Dask: `map-1f2e3d4c`.
    ///
    /// # Errors
    /// The first error of the steps that made the bag.
    pub fn name(&self) -> Result<String> {
        let layer = self.stored_layer()?;
        Ok(format!("{}-{:.8}", layer.name(), layer.key().to_string()))
    }
}

/// The key of a step that runs functions of the user's: the same for the same functions, and like no other where one cannot be compared.
pub(crate) fn function_key(name: &str, ops: &[Op]) -> Key {
    let mut key = KeyBuilder::new(name, 1);
    for op in ops {
        key = match op.is_shared() {
            true => op.add_to(key).unwrap_or_else(|| KeyBuilder::new(name, 1).nonce()),
            false => key.nonce(),
        };
    }
    key.finish()
}

/// A bag of the elements of a list, in so many partitions of about the same number of elements. They are encoded now, and stay in memory of the program's.
///
/// ```
/// use chunkstore::bag;
/// let squares = bag::from_sequence(0..10u64, 3).map(|x| x * x);
/// assert_eq!((squares.npartitions()?, squares.sum().compute()?), (3, 285));
/// # Ok::<(), chunkstore::Error>(())
/// ```
#[track_caller]
pub fn from_sequence<T: Item>(items: impl IntoIterator<Item = T>, npartitions: usize) -> Bag<T> {
    let line = Location::caller();
    let partitions = || {
        if npartitions == 0 {
            return Err(Error::new(ErrorKind::Invalid, "a bag of no partitions").hint("ask for one at least"));
        }
        let items: Vec<T> = items.into_iter().collect();
        let (len, count) = (items.len(), npartitions.min(items.len().max(1)));
        let mut items = items.into_iter();
        let sizes = (0..count).map(|i| (i + 1) * len / count - i * len / count);
        let records = sizes.map(|size| encode(items.by_ref().take(size))).collect::<Result<Vec<_>>>()?;
        Ok(Arc::new(super::memory::Memory::new(records)) as LayerRef)
    };
    Bag::at(partitions(), line)
}

/// A number that the user gave and that is `least` at least.
///
/// # Errors
/// Invalid where it is less, or more than 2^32 - 1.
pub(super) fn counted(name: &str, number: u64, least: u32) -> Result<u32> {
    match u32::try_from(number) {
        Ok(number) if number >= least => Ok(number),
        _ => Err(Error::new(ErrorKind::Invalid, format!("{name} is {number}")).hint(format!("it is {least} at least, and less than 2^32"))),
    }
}
