//! All pairs of elements of two bags.

use super::lazy::Bag;
use super::pipeline::{Item, Pipeline, Upstream};
use super::regroup::missing;
use super::stored::{Stored, records};
use super::stream::{BoxStream, Stream};
use crate::Result;
use crate::graph::{Cancellation, Dependency, Key, KeyBuilder, LayerRef, TaskContext, Value};
use crate::{Error, ErrorKind};
use chunkstore_store::Records;
use std::panic::Location;
use std::sync::Arc;

impl<T: Item + Clone> Bag<T> {
    /// All pairs of an element of this bag and one of another: a partition for each pair of partitions, in which each element of this bag's meets all of the other's in order.
    ///
    /// ```
    /// use chunkstore::bag;
    /// let pairs = bag::range(2, 1).product(&bag::from_sequence(["a", "b"].map(String::from), 1));
    /// assert_eq!(pairs.compute()?, [(0, "a"), (0, "b"), (1, "a"), (1, "b")].map(|(n, s)| (n, s.to_string())));
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn product<U: Item>(&self, other: &Bag<U>) -> Bag<(T, U)> {
        let line = Location::caller();
        let pipeline = || {
            let (left, right) = (self.upstream()?, other.stored_layer()?.clone());
            if left.partitions().checked_mul(right.blocks()).is_none() {
                let message = format!("a product of {} and {} partitions", left.partitions(), right.blocks());
                return Err(Error::new(ErrorKind::Invalid, message).hint("give the bags fewer partitions with `repartition`"));
            }
            Ok(Arc::new(Product::<T, U>::new(left, right)) as Arc<dyn Pipeline<(T, U)>>)
        };
        Bag::of(pipeline(), line)
    }
}

/// The pairs of two bags. The second stays stored: it is read again for each element of the first.
struct Product<T, U> {
    left: Upstream<T>,
    right: LayerRef,
    key: Key,
    item: std::marker::PhantomData<fn() -> U>,
}

impl<T: Item + Clone, U: Item> Product<T, U> {
    fn new(left: Upstream<T>, right: LayerRef) -> Self {
        let key = KeyBuilder::new("bag.product", 1).input(left.key()).input(right.key()).finish();
        Product { left, right, key, item: std::marker::PhantomData }
    }

    fn pair(&self, partition: u32) -> (u32, u32) {
        let across = self.right.blocks().max(1);
        (partition / across, partition % across)
    }
}

impl<T: Item + Clone, U: Item> Pipeline<(T, U)> for Product<T, U> {
    fn name(&self) -> &str {
        "product"
    }

    fn key(&self) -> Key {
        self.key
    }

    fn inputs(&self) -> Vec<LayerRef> {
        let mut inputs = self.left.inputs();
        inputs.push(self.right.clone());
        inputs
    }

    fn partitions(&self) -> u32 {
        self.left.partitions().saturating_mul(self.right.blocks())
    }

    fn dependencies(&self, partition: u32, first: u32, out: &mut Vec<Dependency>) {
        let (left, right) = self.pair(partition);
        self.left.dependencies(left, first, out);
        out.push(Dependency { input: first + self.left.inputs().len() as u32, block: right });
    }

    fn estimate(&self, partition: u32) -> u64 {
        let (left, right) = self.pair(partition);
        let (left, right) = (self.left.estimate(left), self.right.sizes(right).out.bytes());
        // The numbers of elements are not known; were each of 16 bytes, there would be so many of the pairs.
        (left / 16).saturating_mul(right).max(left.saturating_add(right)).min(1 << 30)
    }

    fn scratch(&self, partition: u32) -> u64 {
        self.left.scratch(self.pair(partition).0)
    }

    fn open(&self, task: &TaskContext<'_>, partition: u32, inputs: &[Value]) -> Result<BoxStream<(T, U)>> {
        let (left, _) = self.pair(partition);
        let (right, own) = inputs.split_last().ok_or_else(missing)?;
        let right = records(right)?.clone();
        Ok(Box::new(Pairs { left: self.left.open(task, left, own)?, right, open: None, cancellation: task.cancellation() }))
    }

    fn with_inputs(&self, inputs: &[LayerRef]) -> Option<Arc<dyn Pipeline<(T, U)>>> {
        let (right, left) = inputs.split_last()?;
        Some(Arc::new(Product::<T, U>::new(self.left.with_inputs(left)?, right.clone())))
    }

    fn absorb(&self, input: usize) -> Option<Arc<dyn Pipeline<(T, U)>>> {
        let left = (input < self.left.inputs().len()).then(|| self.left.absorb(input)).flatten()?;
        Some(Arc::new(Product::<T, U>::new(left, self.right.clone())))
    }
}

/// The pairs of a pair of partitions.
struct Pairs<T, U> {
    left: BoxStream<T>,
    right: Records,
    /// The element of the first, and what is left of the second for it.
    open: Option<(T, Stored<U>)>,
    cancellation: Cancellation,
}

impl<T: Clone + 'static, U: Item> Stream<(T, U)> for Pairs<T, U> {
    fn next(&mut self) -> Option<Result<(T, U)>> {
        loop {
            if let Some((left, rest)) = &mut self.open {
                match rest.next() {
                    Some(right) => return Some(right.map(|right| (left.clone(), right))),
                    None => self.open = None,
                }
            }
            match self.left.next()? {
                Ok(left) => self.open = Some((left, Stored::new(self.right.clone(), self.cancellation.clone()))),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
