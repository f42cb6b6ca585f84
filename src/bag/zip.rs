//! Bags side by side.

use super::lazy::Bag;
use super::pipeline::{Item, Pipeline, Upstream};
use super::regroup::missing;
use super::stream::{BoxStream, ENOUGH, Flow, MORE, Stream};
use crate::graph::{Dependency, Key, KeyBuilder, LayerRef, TaskContext, Value};
use crate::{Error, ErrorKind, Result};
use std::panic::Location;
use std::sync::Arc;

impl<T: Item> Bag<T> {
    /// The elements of two bags in pairs. Both bags have the same number of partitions, and each pair of partitions the same number of elements: anything else is an error,
    /// where the end of the shorter partition is reached. (Dask's `zip` drops what is left over; its `map` of several bags refuses it.)
    ///
    /// ```
    /// use chunkstore::{ErrorKind, bag};
    /// let numbers = bag::range(4, 2);
    /// assert_eq!(numbers.zip(&numbers.map(|x| x * x)).compute()?, [(0, 0), (1, 1), (2, 4), (3, 9)]);
    /// assert_eq!(numbers.zip(&numbers.filter(|x| *x > 2)).compute().unwrap_err().kind(), ErrorKind::Shape);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn zip<U: Item>(&self, other: &Bag<U>) -> Bag<(T, U)> {
        let line = Location::caller();
        let pipeline = || {
            let (left, right) = (self.upstream()?, other.upstream()?);
            same_partitions([left.partitions(), right.partitions()].into_iter())?;
            Ok(Arc::new(Zip::new(left, right, line)) as Arc<dyn Pipeline<(T, U)>>)
        };
        Bag::of(pipeline(), line)
    }

    /// What a function makes of the elements of two bags, pair by pair, as [`Bag::zip`] pairs them.
    ///
    /// ```
    /// use chunkstore::bag;
    /// let (x, y) = (bag::range(4, 2), bag::range(4, 2).map(|x| x * 10));
    /// assert_eq!(x.map2(&y, |x, y| x + y).compute()?, [0, 11, 22, 33]);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn map2<U: Item, V: Item, F: Fn(T, U) -> V + Send + Sync + 'static>(&self, other: &Bag<U>, f: F) -> Bag<V> {
        self.zip(other).starmap(f)
    }
}

/// The elements of several bags side by side, as [`Bag::zip`] has those of two.
///
/// ```
/// use chunkstore::bag;
/// let x = bag::range(3, 2);
/// let rows = bag::zip(&[&x, &x.map(|x| x + 1), &x.map(|x| x * 2)]);
/// assert_eq!(rows.compute()?, [[0, 1, 0], [1, 2, 2], [2, 3, 4]]);
/// # Ok::<(), chunkstore::Error>(())
/// ```
#[track_caller]
pub fn zip<T: Item>(bags: &[&Bag<T>]) -> Bag<Vec<T>> {
    let line = Location::caller();
    let pipeline = || {
        let upstreams = bags.iter().map(|bag| bag.upstream()).collect::<Result<Vec<_>>>()?;
        if upstreams.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "a zip of no bags"));
        }
        same_partitions(upstreams.iter().map(Upstream::partitions))?;
        Ok(Arc::new(ZipAll::new(upstreams, line)) as Arc<dyn Pipeline<Vec<T>>>)
    };
    Bag::of(pipeline(), line)
}

fn same_partitions(counts: impl Iterator<Item = u32> + Clone) -> Result<()> {
    let first = counts.clone().next();
    match counts.clone().find(|count| Some(*count) != first) {
        None => Ok(()),
        Some(_) => {
            let counts: Vec<String> = counts.map(|count| count.to_string()).collect();
            let message = format!("bags of {} partitions cannot be zipped", counts.join(" and "));
            Err(Error::new(ErrorKind::Shape, message)
                .hint("give them the same partitions: `repartition` does where their elements are as many"))
        }
    }
}

fn uneven(partition: u32, line: &'static Location<'static>) -> Error {
    let message = format!("the partitions number {partition} of bags that are zipped have different numbers of elements");
    Error::new(ErrorKind::Shape, message).from_line(line)
}

/// Two bags side by side.
struct Zip<A, B> {
    left: Upstream<A>,
    right: Upstream<B>,
    key: Key,
    line: &'static Location<'static>,
}

impl<A: Item, B: Item> Zip<A, B> {
    fn new(left: Upstream<A>, right: Upstream<B>, line: &'static Location<'static>) -> Self {
        let key = KeyBuilder::new("bag.zip", 1).input(left.key()).input(right.key()).finish();
        Zip { left, right, key, line }
    }

    fn on(&self, left: Upstream<A>, right: Upstream<B>) -> Option<Arc<dyn Pipeline<(A, B)>>> {
        Some(Arc::new(Zip::new(left, right, self.line)))
    }
}

impl<A: Item, B: Item> Pipeline<(A, B)> for Zip<A, B> {
    fn name(&self) -> &str {
        "zip"
    }

    fn key(&self) -> Key {
        self.key
    }

    fn inputs(&self) -> Vec<LayerRef> {
        let mut inputs = self.left.inputs();
        inputs.extend(self.right.inputs());
        inputs
    }

    fn partitions(&self) -> u32 {
        self.left.partitions()
    }

    fn dependencies(&self, partition: u32, first: u32, out: &mut Vec<Dependency>) {
        self.left.dependencies(partition, first, out);
        self.right.dependencies(partition, first + self.left.inputs().len() as u32, out);
    }

    fn estimate(&self, partition: u32) -> u64 {
        self.left.estimate(partition) + self.right.estimate(partition)
    }

    fn scratch(&self, partition: u32) -> u64 {
        self.left.scratch(partition) + self.right.scratch(partition)
    }

    fn open(&self, task: &TaskContext<'_>, partition: u32, inputs: &[Value]) -> Result<BoxStream<(A, B)>> {
        let (left, right) = inputs.split_at_checked(self.left.width(partition)).ok_or_else(missing)?;
        let (left, right) = (self.left.open(task, partition, left)?, self.right.open(task, partition, right)?);
        Ok(Box::new(Pairs { left, right, partition, line: self.line }))
    }

    fn with_inputs(&self, inputs: &[LayerRef]) -> Option<Arc<dyn Pipeline<(A, B)>>> {
        let (left, right) = inputs.split_at_checked(self.left.inputs().len())?;
        self.on(self.left.with_inputs(left)?, self.right.with_inputs(right)?)
    }

    fn absorb(&self, input: usize) -> Option<Arc<dyn Pipeline<(A, B)>>> {
        match input.checked_sub(self.left.inputs().len()) {
            None => self.on(self.left.absorb(input)?, self.right.clone()),
            Some(input) => self.on(self.left.clone(), self.right.absorb(input)?),
        }
    }

    fn is_cheap(&self) -> bool {
        self.left.is_cheap() && self.right.is_cheap()
    }
}

/// The pairs of a partition.
struct Pairs<A, B> {
    left: BoxStream<A>,
    right: BoxStream<B>,
    partition: u32,
    line: &'static Location<'static>,
}

impl<A: 'static, B: 'static> Stream<(A, B)> for Pairs<A, B> {
    fn next(&mut self) -> Option<Result<(A, B)>> {
        match (self.left.next(), self.right.next()) {
            (None, None) => None,
            (Some(Ok(left)), Some(Ok(right))) => Some(Ok((left, right))),
            (Some(Err(error)), _) | (_, Some(Err(error))) => Some(Err(error)),
            _ => Some(Err(uneven(self.partition, self.line))),
        }
    }

    fn each(&mut self, take: &mut dyn FnMut((A, B)) -> Result<Flow>) -> Result<Flow> {
        let Pairs { left, right, partition, line } = self;
        let flow = left.each(&mut |left| match right.next() {
            Some(right) => take((left, right?)),
            None => Err(uneven(*partition, line)),
        })?;
        match flow.is_break() {
            true => Ok(ENOUGH),
            false => right.next().map_or(Ok(MORE), |right| right.and_then(|_| Err(uneven(*partition, line)))),
        }
    }
}

/// Several bags side by side.
struct ZipAll<T> {
    upstreams: Vec<Upstream<T>>,
    key: Key,
    line: &'static Location<'static>,
}

impl<T: Item> ZipAll<T> {
    fn new(upstreams: Vec<Upstream<T>>, line: &'static Location<'static>) -> Self {
        let keys: Vec<Key> = upstreams.iter().map(Upstream::key).collect();
        ZipAll { key: KeyBuilder::new("bag.zip_all", 1).inputs(keys.into_iter()).finish(), upstreams, line }
    }
}

impl<T: Item> Pipeline<Vec<T>> for ZipAll<T> {
    fn name(&self) -> &str {
        "zip"
    }

    fn key(&self) -> Key {
        self.key
    }

    fn inputs(&self) -> Vec<LayerRef> {
        self.upstreams.iter().flat_map(Upstream::inputs).collect()
    }

    fn partitions(&self) -> u32 {
        self.upstreams.first().map_or(0, Upstream::partitions)
    }

    fn dependencies(&self, partition: u32, first: u32, out: &mut Vec<Dependency>) {
        let mut first = first;
        for upstream in &self.upstreams {
            upstream.dependencies(partition, first, out);
            first += upstream.inputs().len() as u32;
        }
    }

    fn estimate(&self, partition: u32) -> u64 {
        self.upstreams.iter().map(|upstream| upstream.estimate(partition)).sum()
    }

    fn scratch(&self, partition: u32) -> u64 {
        self.upstreams.iter().map(|upstream| upstream.scratch(partition)).sum()
    }

    fn open(&self, task: &TaskContext<'_>, partition: u32, inputs: &[Value]) -> Result<BoxStream<Vec<T>>> {
        let mut rest = inputs;
        let mut streams = Vec::with_capacity(self.upstreams.len());
        for upstream in &self.upstreams {
            let (own, others) = rest.split_at_checked(upstream.width(partition)).ok_or_else(missing)?;
            streams.push(upstream.open(task, partition, own)?);
            rest = others;
        }
        Ok(Box::new(Side { streams, partition, line: self.line }))
    }

    fn with_inputs(&self, inputs: &[LayerRef]) -> Option<Arc<dyn Pipeline<Vec<T>>>> {
        let mut rest = inputs;
        let mut upstreams = Vec::with_capacity(self.upstreams.len());
        for upstream in &self.upstreams {
            let (own, others) = rest.split_at_checked(upstream.inputs().len())?;
            upstreams.push(upstream.with_inputs(own)?);
            rest = others;
        }
        Some(Arc::new(ZipAll::new(upstreams, self.line)))
    }

    fn absorb(&self, input: usize) -> Option<Arc<dyn Pipeline<Vec<T>>>> {
        let (mut upstreams, mut input) = (self.upstreams.clone(), input);
        for upstream in &mut upstreams {
            match input.checked_sub(upstream.inputs().len()) {
                None => {
                    *upstream = upstream.absorb(input)?;
                    return Some(Arc::new(ZipAll::new(upstreams, self.line)));
                }
                Some(rest) => input = rest,
            }
        }
        None
    }

    fn is_cheap(&self) -> bool {
        self.upstreams.iter().all(Upstream::is_cheap)
    }
}

/// The rows of a partition.
struct Side<T> {
    streams: Vec<BoxStream<T>>,
    partition: u32,
    line: &'static Location<'static>,
}

impl<T: 'static> Stream<Vec<T>> for Side<T> {
    fn next(&mut self) -> Option<Result<Vec<T>>> {
        let mut row = Vec::with_capacity(self.streams.len());
        let mut ended = 0;
        for stream in &mut self.streams {
            match stream.next() {
                Some(Ok(item)) => row.push(item),
                Some(Err(error)) => return Some(Err(error)),
                None => ended += 1,
            }
        }
        match (ended, row.is_empty()) {
            (0, _) => Some(Ok(row)),
            (_, true) => None,
            _ => Some(Err(uneven(self.partition, self.line))),
        }
    }
}
