//! Reductions: what a function makes of each partition, and then of these in groups, as a fixed tree.

use super::growth::Growth;
use super::lazy::{Bag, counted, function_key};
use super::pipeline::{Item, Upstream};
use super::regroup::Regroup;
use super::stored::{store, store_one};
use super::stream::{BoxStream, FromIter, MORE, Rows};
use super::value::BagValue;
use super::work::{Act, Work};
use crate::Result;
use crate::graph::{Key, KeyBuilder, LayerRef, Op, Size, Sizes, TaskContext, Value};
use std::panic::Location;
use std::sync::Arc;

/// The partials that become one in a step.
const SPLIT_EVERY: usize = 16;

/// Makes one value of the elements of a partition; none where it has none and there is no value for that.
pub(super) type Reduce<S, A> = dyn Fn(&TaskContext<'_>, BoxStream<S>) -> Result<Option<A>> + Send + Sync;

/// One value of each partition.
struct Reducing<S, A> {
    name: &'static str,
    key: Key,
    reduce: Arc<Reduce<S, A>>,
    line: &'static Location<'static>,
}

impl<S: Item, A: Item> Act<S> for Reducing<S, A> {
    fn name(&self) -> &str {
        self.name
    }

    fn key(&self) -> Key {
        self.key
    }

    fn sizes(&self, _partition: u32, _estimate: u64) -> Sizes {
        Sizes { out: Size::Learned(size_of::<A>() as u64 + 64), scratch: 64 << 10, load: 0 }
    }

    fn run(&self, task: &TaskContext<'_>, rows: BoxStream<S>, _extra: &[Value]) -> Result<Value> {
        match (self.reduce)(task, rows)? {
            Some(value) => store_one(task, &value),
            None => store(task, &mut FromIter(std::iter::empty::<Result<A>>())),
        }
    }

    fn location(&self) -> Option<&'static Location<'static>> {
        Some(self.line)
    }
}

/// A reduction in the making.
pub(super) struct Reduction<S, A> {
    /// The name shown for its tasks.
    pub(super) name: &'static str,
    /// What tells it from others.
    pub(super) key: Key,
    /// What becomes of a partition.
    pub(super) chunk: Arc<Reduce<S, A>>,
    /// What becomes of what became of partitions, in order.
    pub(super) combine: Arc<Reduce<A, A>>,
    /// So many become one in a step.
    pub(super) split_every: usize,
    pub(super) line: &'static Location<'static>,
}

impl<S: Item, A: Item> Reduction<S, A> {
    pub(super) fn new(
        name: &'static str,
        key: Key,
        line: &'static Location<'static>,
        chunk: impl Fn(&TaskContext<'_>, BoxStream<S>) -> Result<Option<A>> + Send + Sync + 'static,
        combine: impl Fn(&TaskContext<'_>, BoxStream<A>) -> Result<Option<A>> + Send + Sync + 'static,
    ) -> Self {
        Reduction { name, key, chunk: Arc::new(chunk), combine: Arc::new(combine), split_every: SPLIT_EVERY, line }
    }

    /// The one value that is made of a bag.
    pub(super) fn of(&self, bag: &Bag<S>) -> Bag<A> {
        let reduced = || {
            let Reduction { name, key, line, .. } = self;
            let chunk = Reducing { name, key: KeyBuilder::new("chunk", 1).input(*key).finish(), reduce: self.chunk.clone(), line };
            let mut layer: LayerRef = Arc::new(Work::new(bag.upstream()?, Arc::new(chunk)));
            let every = counted("split_every", self.split_every.min(u32::MAX as usize) as u64, 2)?;
            let mut first = true;
            while layer.blocks() > 1 || first {
                // A single partial is combined once, so that it goes the same way as several do.
                let key = KeyBuilder::new("combine", 1).input(*key).number(every.into()).finish();
                let combine = Reducing { name, key, reduce: self.combine.clone(), line };
                let grouped = Regroup::every(Upstream::<A>::Stored(layer), every);
                layer = Arc::new(Work::new(Upstream::Streamed(Arc::new(grouped)), Arc::new(combine)));
                first = false;
            }
            Ok(layer)
        };
        Bag::at(reduced(), self.line)
    }
}

impl<T: Item> Bag<T> {
    /// Folds the elements of each partition from `initial` on, then what became of the partitions, in order, by `combine`. `initial` is folded into each partition,
    /// also where it has no elements (Dask leaves those out): let it change nothing.
    ///
    /// ```
    /// use chunkstore::bag;
    /// let longest = bag::from_sequence(["a", "ccc", "bb"].map(String::from), 2);
    /// let longest = longest.fold(0, |most, word| most.max(word.len()), usize::max);
    /// assert_eq!(longest.compute()?, 3);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn fold<A, F, C>(&self, initial: A, binop: F, combine: C) -> BagValue<A>
    where
        A: Item + Clone + Sync,
        F: Fn(A, T) -> A + Send + Sync + 'static,
        C: Fn(A, A) -> A + Send + Sync + 'static,
    {
        let line = Location::caller();
        let mut encoded = Vec::new();
        let key = function_key("fold", &[Op::of(&binop), Op::of(&combine)]);
        let key = match chunkstore_store::serial::encode(&initial, &mut encoded) {
            Ok(()) => KeyBuilder::new("fold", 1).input(key).bytes(&encoded).finish(),
            Err(_) => KeyBuilder::new("fold", 1).nonce().finish(),
        };
        let chunk = move |task: &TaskContext<'_>, rows| folded(task, rows, initial.clone(), &binop).map(Some);
        let combine = move |task: &TaskContext<'_>, rows| merged(task, rows, &combine);
        let reduction = Reduction::new("fold", key, line, chunk, combine);
        BagValue::new(reduction.of(self), "a fold", line)
    }

    /// Makes one element of two, again and again, in order.
    ///
    /// ```
    /// use chunkstore::{ErrorKind, bag};
    /// assert_eq!(bag::range(5, 2).map(|x| x + 1).reduce(|a, b| a * b).compute()?, 120);
    /// let none = bag::range(5, 2).filter(|x| *x > 9).reduce(|a, b| a * b);
    /// assert_eq!(none.compute().unwrap_err().kind(), ErrorKind::Invalid);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn reduce<F: Fn(T, T) -> T + Send + Sync + 'static>(&self, binop: F) -> BagValue<T> {
        let line = Location::caller();
        let (key, binop) = (function_key("reduce", &[Op::of(&binop)]), Arc::new(binop));
        let again = binop.clone();
        let chunk = move |task: &TaskContext<'_>, rows| merged(task, rows, &*binop);
        let reduction = Reduction::new("reduce", key, line, chunk, move |task, rows| merged(task, rows, &*again));
        BagValue::new(reduction.of(self), "a reduction", line)
    }

    /// What `aggregate` makes of what `perpartition` makes of each partition; `split_every` of them (2 at least) at a time, as a tree, so that `aggregate` may be given what it gave before.
    ///
    /// ```
    /// use chunkstore::bag;
    /// let longest = bag::range(100, 10).reduction(8, |rows| rows.count(), |counts| counts.sum::<usize>());
    /// assert_eq!(longest.compute()?, 100);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn reduction<A, P, G>(&self, split_every: usize, perpartition: P, aggregate: G) -> BagValue<A>
    where
        A: Item,
        P: Fn(Rows<T>) -> A + Send + Sync + 'static,
        G: Fn(Rows<A>) -> A + Send + Sync + 'static,
    {
        let line = Location::caller();
        let key = function_key("reduction", &[Op::of(&perpartition), Op::of(&aggregate)]);
        let reduction = Reduction::new("reduction", key, line, through(perpartition), through(aggregate));
        BagValue::new(Reduction { split_every, ..reduction }.of(self), "a reduction", line)
    }
}

/// A function of an iterator as one of a stream.
fn through<S: 'static, A>(
    f: impl Fn(Rows<S>) -> A + Send + Sync + 'static,
) -> impl Fn(&TaskContext<'_>, BoxStream<S>) -> Result<Option<A>> + Send + Sync {
    move |_, stream| {
        let (rows, failed) = Rows::new(stream);
        let made = f(rows);
        failed.take()?;
        Ok(Some(made))
    }
}

/// The elements folded into `folded`.
pub(super) fn folded<S: Item, A: Item>(task: &TaskContext<'_>, mut rows: BoxStream<S>, folded: A, binop: impl Fn(A, S) -> A) -> Result<A> {
    let (mut so_far, mut growth) = (Some(folded), Growth::new(task));
    rows.each(&mut |item| {
        growth.takes(&item);
        so_far = so_far.take().map(|folded| binop(folded, item));
        so_far.as_ref().map_or(Ok(()), |folded| growth.look(folded))?;
        Ok(MORE)
    })?;
    so_far.ok_or_else(|| crate::Error::new(crate::ErrorKind::Invalid, "a fold lost what it had folded; this is a defect of the engine"))
}

/// One of all elements; none where there are none.
pub(super) fn merged<A: Item>(task: &TaskContext<'_>, mut rows: BoxStream<A>, combine: &dyn Fn(A, A) -> A) -> Result<Option<A>> {
    let (mut so_far, mut growth) = (None, Growth::new(task));
    rows.each(&mut |item| {
        // Until they are one, the other is booked for by who gives it.
        growth.takes(&item);
        let folded = match so_far.take() {
            Some(folded) => combine(folded, item),
            None => item,
        };
        growth.look(&folded)?;
        so_far = Some(folded);
        Ok(MORE)
    })?;
    Ok(so_far)
}
