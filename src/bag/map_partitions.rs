//! A function of whole partitions.

use super::lazy::Bag;
use super::pipeline::{Item, Step};
use super::stream::{BoxStream, ENOUGH, Failed, Flow, MORE, Rows, Stream};
use crate::graph::Op;
use crate::{Error, ErrorKind, Result};
use std::fmt::Display;
use std::panic::Location;
use std::sync::Arc;

impl<T: Item> Bag<T> {
    /// What a function makes of the elements of each partition. It takes an iterator and gives one, so that elements stream through it one by one where it lets them.
    ///
    /// An error of a step before ends its iterator and the task: whatever the function makes of the elements until then, the computation ends with that error.
    ///
    /// ```
    /// use chunkstore::bag;
    /// let pairs = bag::range(6, 2).map_partitions(|rows| rows.scan(0, |sum, x| { *sum += x; Some(*sum) }));
    /// assert_eq!(pairs.compute()?, [0, 1, 3, 3, 7, 12]);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn map_partitions<U: Item, I, F>(&self, f: F) -> Bag<U>
    where
        I: IntoIterator<Item = U>,
        I::IntoIter: 'static,
        F: Fn(Rows<T>) -> I + Send + Sync + 'static,
    {
        let (op, f) = (Op::of(&f), Arc::new(f));
        let adapt = move |inner, _| {
            let f = f.clone();
            Box::new(Partition::Ready(inner, move |rows| Ok(f(rows).into_iter()))) as _
        };
        self.step_as("map_partitions", op, Location::caller(), adapt, Step::expanding)
    }

    /// As [`Bag::map_partitions`], with a function that can fail: its first error ends the computation.
    ///
    /// ```
    /// use chunkstore::{ErrorKind, bag};
    /// let sorted = bag::range(6, 2).try_map_partitions(|rows| match rows.collect::<Vec<_>>() {
    ///     rows if rows.contains(&5) => Err("five"),
    ///     rows => Ok(rows),
    /// });
    /// let error = sorted.compute().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Failed);
    /// assert!(error.to_string().contains("five"));
    /// ```
    #[track_caller]
    pub fn try_map_partitions<U: Item, I, E: Display, F>(&self, f: F) -> Bag<U>
    where
        I: IntoIterator<Item = U>,
        I::IntoIter: 'static,
        F: Fn(Rows<T>) -> std::result::Result<I, E> + Send + Sync + 'static,
    {
        let line = Location::caller();
        let (op, f) = (Op::of(&f), Arc::new(f));
        let adapt = move |inner, _| {
            let f = f.clone();
            let refused = move |e: E| Error::new(ErrorKind::Failed, e.to_string()).from_line(line);
            Box::new(Partition::Ready(inner, move |rows| f(rows).map(I::into_iter).map_err(refused))) as _
        };
        self.step_as("try_map_partitions", op, line, adapt, Step::expanding)
    }
}

/// A partition through a function, which is called when the first element is asked for: where partitions are read one after the other,
/// the functions that collect them do not all hold theirs.
enum Partition<T, F, I> {
    Ready(BoxStream<T>, F),
    Open(I, Failed),
    Done,
}

impl<T: 'static, I, F: Fn(Rows<T>) -> Result<I>> Partition<T, F, I> {
    /// What the function gave, and where errors of the steps before are left.
    fn open(&mut self) -> Result<Option<(&mut I, &Failed)>> {
        if let Partition::Ready(..) = self
            && let Partition::Ready(inner, f) = std::mem::replace(self, Partition::Done)
        {
            let (rows, failed) = Rows::new(inner);
            let made = f(rows);
            // What the steps before met comes first: the function may have failed for want of elements.
            failed.take()?;
            *self = Partition::Open(made?, failed);
        }
        Ok(match self {
            Partition::Open(items, failed) => Some((items, &*failed)),
            _ => None,
        })
    }

    fn step<U>(&mut self) -> Result<Option<U>>
    where
        I: Iterator<Item = U>,
    {
        let Some((items, failed)) = self.open()? else { return Ok(None) };
        let item = items.next();
        failed.take()?;
        Ok(item)
    }
}

impl<T: 'static, U: 'static, I: Iterator<Item = U> + 'static, F: Fn(Rows<T>) -> Result<I>> Stream<U> for Partition<T, F, I> {
    fn next(&mut self) -> Option<Result<U>> {
        let item = self.step().transpose();
        if !matches!(item, Some(Ok(_))) {
            *self = Partition::Done;
        }
        item
    }

    fn each(&mut self, take: &mut dyn FnMut(U) -> Result<Flow>) -> Result<Flow> {
        while let Some(item) = self.step()? {
            if take(item)?.is_break() {
                return Ok(ENOUGH);
            }
        }
        *self = Partition::Done;
        Ok(MORE)
    }
}
