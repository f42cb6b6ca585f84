//! Running results, across the partitions in order.
//!
//! ```text
//! elements   | p0 ----> | p1 ----> | p2 ----> |     each partition streams from where the one before ended
//!                  end0 ^    end1 ^
//! ends         p0 -> end0 -> + p1 -> end1 -> ..      a chain of small blocks: the last result of each partition
//! ```
//! The ends follow each other, as the function need not be associative; the partitions between them are then made side by side, and stream on into what comes next.
//! The function is called twice for each element, save those of the last partition.

use super::growth::Growth;
use super::lazy::{Bag, function_key};
use super::pipeline::{Item, Upstream};
use super::regroup::missing;
use super::stored::{records, store, store_one};
use super::stream::{BoxStream, FromIter, MORE, Stream};
use super::with::With;
use crate::Result;
use crate::graph::{Dependency, Key, KeyBuilder, Layer, LayerRef, Op, Operator, Size, Sizes, TaskContext, Value};
use std::any::Any;
use std::panic::Location;
use std::sync::Arc;

/// The next result, of the last one and an element; there is no last one before the first element where no initial one was given.
type Next<T, A> = dyn Fn(Option<A>, T) -> A + Send + Sync;

impl<T: Item> Bag<T> {
    /// The running results of a function over all elements in order: `initial`, then the result after each element. There is one more than there are elements.
    ///
    /// ```
    /// use chunkstore::bag;
    /// let sums = bag::from_sequence([1, 2, 3, 4, 5], 2).accumulate(-1, |sum, x| sum + x);
    /// assert_eq!(sums.compute()?, [-1, 0, 2, 5, 9, 14]);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn accumulate<A, F>(&self, initial: A, binop: F) -> Bag<A>
    where
        A: Item + Clone + Sync,
        F: Fn(A, T) -> A + Send + Sync + 'static,
    {
        let mut encoded = Vec::new();
        let key = function_key("accumulate", &[Op::of(&binop)]);
        let key = match chunkstore_store::serial::encode(&initial, &mut encoded) {
            Ok(()) => KeyBuilder::new("accumulate", 1).input(key).bytes(&encoded).finish(),
            Err(_) => KeyBuilder::new("accumulate", 1).nonce().finish(),
        };
        let first = initial.clone();
        let next = move |last: Option<A>, item| binop(last.unwrap_or_else(|| first.clone()), item);
        running(self, key, Some(initial), Arc::new(next), Location::caller())
    }

    /// As [`Bag::accumulate`] without an initial result: the first element is the first result.
    ///
    /// ```
    /// use chunkstore::bag;
    /// let most = bag::from_sequence([3, 1, 4, 1, 5], 3).accumulate_first(i32::max);
    /// assert_eq!(most.compute()?, [3, 3, 4, 4, 5]);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn accumulate_first<F>(&self, binop: F) -> Bag<T>
    where
        T: Clone + Sync,
        F: Fn(T, T) -> T + Send + Sync + 'static,
    {
        let key = function_key("accumulate_first", &[Op::of(&binop)]);
        let next = move |last: Option<T>, item| match last {
            Some(last) => binop(last, item),
            None => item,
        };
        running(self, key, None, Arc::new(next), Location::caller())
    }
}

fn running<T: Item, A: Item + Clone + Sync>(
    bag: &Bag<T>,
    key: Key,
    initial: Option<A>,
    next: Arc<Next<T, A>>,
    line: &'static Location<'static>,
) -> Bag<A> {
    let pipeline = bag.upstream().map(|upstream| {
        let ends: LayerRef =
            Arc::new(Ends::new(upstream.clone(), Arc::new(End { key, initial: initial.clone(), next: next.clone(), line })));
        let adapt = move |inner, last: Option<A>, partition| {
            let first = initial.clone().filter(|_| partition == 0);
            Ok(Box::new(Running { inner, last: last.or_else(|| first.clone()), first, next: next.clone() }) as _)
        };
        Arc::new(With::new(("accumulate", key), upstream, (ends, |partition| partition.checked_sub(1)), Arc::new(adapt), line)) as _
    });
    Bag::of(pipeline, line)
}

/// Running results of a partition.
struct Running<T, A> {
    inner: BoxStream<T>,
    /// The initial result, while it is to be given.
    first: Option<A>,
    last: Option<A>,
    next: Arc<Next<T, A>>,
}

impl<T: 'static, A: Clone + 'static> Stream<A> for Running<T, A> {
    fn next(&mut self) -> Option<Result<A>> {
        if let Some(first) = self.first.take() {
            return Some(Ok(first));
        }
        Some(self.inner.next()?.map(|item| {
            let next = (self.next)(self.last.take(), item);
            self.last.insert(next).clone()
        }))
    }
}

/// How the last result of a partition is made.
struct End<T, A> {
    key: Key,
    initial: Option<A>,
    next: Arc<Next<T, A>>,
    line: &'static Location<'static>,
}

/// The layer of the last results of partitions, of which each takes the one before.
struct Ends<T, A> {
    inner: Arc<Inner<T, A>>,
    inputs: Vec<LayerRef>,
    key: Key,
}

struct Inner<T, A> {
    upstream: Upstream<T>,
    end: Arc<End<T, A>>,
}

impl<T: Item, A: Item + Clone + Sync> Ends<T, A> {
    fn new(upstream: Upstream<T>, end: Arc<End<T, A>>) -> Self {
        let key = KeyBuilder::new("bag.accumulate_ends", 1).input(end.key).input(upstream.key()).finish();
        Ends { inputs: upstream.inputs(), inner: Arc::new(Inner { upstream, end }), key }
    }
}

impl<T: Item, A: Item + Clone + Sync> Layer for Ends<T, A> {
    fn key(&self) -> Key {
        self.key
    }

    fn name(&self) -> &str {
        "accumulate_ends"
    }

    fn inputs(&self) -> &[LayerRef] {
        &self.inputs
    }

    fn blocks(&self) -> u32 {
        self.inner.upstream.partitions()
    }

    fn dependencies(&self, block: u32, out: &mut Vec<Dependency>) {
        self.inner.upstream.dependencies(block, 0, out);
        let itself = self.inputs.len() as u32;
        out.extend(block.checked_sub(1).map(|block| Dependency { input: itself, block }));
    }

    fn sizes(&self, block: u32) -> Sizes {
        let scratch = (64 << 10) + 2 * size_of::<A>() as u64 + self.inner.upstream.scratch(block);
        Sizes { out: Size::Learned(size_of::<A>() as u64 + 64), scratch, load: 0 }
    }

    fn operator(&self) -> Arc<dyn Operator> {
        self.inner.clone()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn with_inputs(&self, inputs: Vec<LayerRef>) -> Option<LayerRef> {
        Some(Arc::new(Ends::new(self.inner.upstream.with_inputs(&inputs)?, self.inner.end.clone())))
    }

    fn absorb(&self, input: usize) -> Option<LayerRef> {
        Some(Arc::new(Ends::new(self.inner.upstream.absorb(input)?, self.inner.end.clone())))
    }

    fn location(&self) -> Option<&'static Location<'static>> {
        Some(self.inner.end.line)
    }
}

impl<T: Item, A: Item + Clone + Sync> Operator for Inner<T, A> {
    fn name(&self) -> &str {
        "accumulate_ends"
    }

    fn parameters(&self) -> Option<Vec<u8>> {
        None
    }

    fn run(&self, task: &TaskContext<'_>, inputs: &[Value]) -> Result<Value> {
        let Inner { upstream, end } = self;
        let (own, before) = inputs.split_at_checked(upstream.width(task.block())).ok_or_else(missing)?;
        let mut growth = Growth::new(task);
        let mut last: Option<A> = match before.first() {
            Some(before) => {
                let records = records(before)?;
                growth.holds(records.data.len() as u64)?;
                records.clone().into_reader().next()?
            }
            None => end.initial.clone(),
        };
        upstream.open(task, task.block(), own)?.each(&mut |item| {
            growth.takes(&item);
            let next = (end.next)(last.take(), item);
            growth.look(&next)?;
            last = Some(next);
            Ok(MORE)
        })?;
        match last {
            Some(last) => store_one(task, &last),
            None => store(task, &mut FromIter(std::iter::empty::<Result<A>>())),
        }
    }
}
