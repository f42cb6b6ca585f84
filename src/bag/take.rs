//! The first elements.

use super::lazy::Bag;
use super::pipeline::{Item, Upstream};
use super::regroup::Regroup;
use super::stored::{records, store};
use super::stream::{BoxStream, ENOUGH, Flow, MORE, Stream};
use super::tree::Tree;
use super::value::BagValue;
use super::work::{Act, Work};
use crate::graph::{Key, KeyBuilder, LayerRef, Size, Sizes, TaskContext, Value};
use crate::{Error, ErrorKind, Result};
use chunkstore_store::{Chunk, Records, serial};
use std::panic::Location;
use std::sync::Arc;

impl<T: Item> Bag<T> {
    /// The first `k` elements of the first partition; fewer where it has fewer. Other partitions are not computed, and this one only as far as needed.
    ///
    /// ```
    /// use chunkstore::bag;
    /// let x = bag::range(1000, 10);
    /// assert_eq!(x.take(3).compute()?, [0, 1, 2]);
    /// assert_eq!(x.take(500).compute()?.len(), 100);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn take(&self, k: usize) -> BagValue<Vec<T>> {
        self.take_from(k, 1)
    }

    /// The first `k` elements of the first `npartitions` partitions: a number, or `None` for all. Of each partition as much is computed as has `k` elements.
    ///
    /// ```
    /// use chunkstore::{ErrorKind, bag};
    /// let x = bag::range(1000, 10);
    /// assert_eq!(x.take_from(150, 2).compute()?.len(), 150);
    /// assert_eq!(x.take_from(2000, None).compute()?.len(), 1000);
    /// assert_eq!(x.take_from(1, 11).check().unwrap_err().kind(), ErrorKind::Invalid);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn take_from(&self, k: usize, npartitions: impl Into<Option<usize>>) -> BagValue<Vec<T>> {
        let (line, npartitions) = (Location::caller(), npartitions.into());
        let taken = || {
            let upstream = self.upstream()?;
            let all = upstream.partitions();
            let first = npartitions.unwrap_or(all as usize);
            if first == 0 || first > all as usize {
                let error = Error::new(ErrorKind::Invalid, format!("elements are taken of {first} partitions of {all}"));
                return Err(error.hint("give `None` for all"));
            }
            let first = Regroup::new(upstream, (0..=first as u32).collect());
            let key = KeyBuilder::new("take", 1).number(k as u64).finish();
            let limited = move |inner| Ok(Box::new(Limit { inner, left: k }) as BoxStream<T>);
            let (chunk, combine) =
                (Arc::new(move |_: &TaskContext<'_>, _, rows| limited(rows)), Arc::new(move |_: &TaskContext<'_>, _, rows| limited(rows)));
            let layer = Tree { name: "take", key, chunk, combine, elements: k, line }.over(Upstream::Streamed(Arc::new(first)));
            Ok(Arc::new(Work::new(Upstream::<T>::Stored(layer), Arc::new(Gather))) as LayerRef)
        };
        BagValue::new(Bag::at(taken(), line), "what is taken", line)
    }
}

/// The first elements of a stream.
struct Limit<T> {
    inner: BoxStream<T>,
    left: usize,
}

impl<T: 'static> Stream<T> for Limit<T> {
    fn next(&mut self) -> Option<Result<T>> {
        self.left = self.left.checked_sub(1)?;
        self.inner.next()
    }

    fn each(&mut self, take: &mut dyn FnMut(T) -> Result<Flow>) -> Result<Flow> {
        let Limit { inner, left } = self;
        match *left {
            0 => Ok(MORE),
            _ => limited(left, |wrap| inner.each(&mut |item| wrap(take(item)))),
        }
    }

    fn each_str(&mut self, take: &mut dyn FnMut(&str) -> Result<Flow>) -> Result<Flow> {
        let Limit { inner, left } = self;
        match *left {
            0 => Ok(MORE),
            _ => limited(left, |wrap| inner.each_str(&mut |item| wrap(take(item)))),
        }
    }
}

/// Runs a stream that ends when none are left. That it ends so is not that whoever takes has enough.
fn limited(left: &mut usize, run: impl FnOnce(&mut dyn FnMut(Result<Flow>) -> Result<Flow>) -> Result<Flow>) -> Result<Flow> {
    let mut enough = false;
    run(&mut |flow| {
        enough = flow?.is_break();
        *left -= 1;
        Ok(if enough || *left == 0 { ENOUGH } else { MORE })
    })?;
    Ok(if enough { ENOUGH } else { MORE })
}

/// All elements of a partition as one: a list.
///
/// A list is encoded as its length and its elements, so that these are put behind each other as they are, and are at no time values in memory.
pub(super) struct Gather;

impl<T: Item> Act<T> for Gather {
    fn name(&self) -> &str {
        "gather"
    }

    fn key(&self) -> Key {
        KeyBuilder::new("bag.gather", 1).finish()
    }

    fn sizes(&self, _partition: u32, estimate: u64) -> Sizes {
        Sizes { out: Size::Learned(estimate + 16), scratch: 2 * estimate + (64 << 10), load: 0 }
    }

    fn run(&self, task: &TaskContext<'_>, mut rows: BoxStream<T>, _extra: &[Value]) -> Result<Value> {
        let stored = store(task, &mut *rows)?;
        let elements = records(&stored)?;
        let mut head = Vec::new();
        serial::encode(&elements.count, &mut head)?;
        let mut list = task.alloc(head.len() + elements.data.len())?;
        for (to, from) in list.iter_mut().zip(head.iter().chain(elements.data.iter())) {
            *to = *from;
        }
        Ok(Value::Chunk(Chunk::Records(Records { data: list.freeze(), count: 1 })))
    }
}
