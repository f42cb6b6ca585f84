//! Steps that take elements one by one.

use super::lazy::Bag;
use super::pipeline::{Item, Step};
use super::stream::{BoxStream, ENOUGH, Flow, MORE, Stream};
use crate::graph::Op;
use crate::{Error, ErrorKind, Result};
use std::any::Any;
use std::fmt::Display;
use std::panic::Location;
use std::sync::Arc;

impl<T: Item> Bag<T> {
    /// Each element as a function makes another of it.
    ///
    /// ```
    /// use chunkstore::bag;
    /// assert_eq!(bag::range(5, 2).map(|x| x * 10).compute()?, [0, 10, 20, 30, 40]);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn map<U: Item, F: Fn(T) -> U + Send + Sync + 'static>(&self, f: F) -> Bag<U> {
        let (op, f) = (Op::of(&f), Arc::new(f));
        self.step("map", op, Location::caller(), move |inner, _| {
            let f = f.clone();
            Box::new(Map { inner, f: move |item| Ok(f(item)) })
        })
    }

    /// As [`Bag::map`], with a function that can fail: its first error ends the computation.
    ///
    /// ```
    /// use chunkstore::{ErrorKind, bag};
    /// let texts = bag::from_sequence(["1", "2", "x"].map(String::from), 1);
    /// let error = texts.try_map(|text| text.parse::<i32>()).compute().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Failed);
    /// assert!(error.to_string().contains("invalid digit"));
    /// ```
    #[track_caller]
    pub fn try_map<U: Item, E: Display, F>(&self, f: F) -> Bag<U>
    where
        F: Fn(T) -> std::result::Result<U, E> + Send + Sync + 'static,
    {
        let line = Location::caller();
        let (op, f) = (Op::of(&f), Arc::new(f));
        self.step("try_map", op, line, move |inner, _| {
            let f = f.clone();
            let f = move |item| f(item).map_err(|e| Error::new(ErrorKind::Failed, e.to_string()).from_line(line));
            Box::new(Map { inner, f })
        })
    }

    /// The elements for which a predicate holds.
    ///
    /// ```
    /// use chunkstore::bag;
    /// assert_eq!(bag::range(10, 3).filter(|x| x % 4 == 0).compute()?, [0, 4, 8]);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn filter<F: Fn(&T) -> bool + Send + Sync + 'static>(&self, predicate: F) -> Bag<T> {
        let (op, predicate) = (Op::of(&predicate), Arc::new(predicate));
        self.step("filter", op, Location::caller(), move |inner, _| Box::new(Filter { inner, keep: predicate.clone() }))
    }

    /// The elements for which a predicate does not hold.
    ///
    /// ```
    /// use chunkstore::bag;
    /// assert_eq!(bag::range(5, 2).remove(|x| x % 2 == 0).compute()?, [1, 3]);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn remove<F: Fn(&T) -> bool + Send + Sync + 'static>(&self, predicate: F) -> Bag<T> {
        let (op, predicate) = (Op::of(&predicate), Arc::new(predicate));
        self.step("remove", op, Location::caller(), move |inner, _| {
            let predicate = predicate.clone();
            Box::new(Filter { inner, keep: Arc::new(move |item: &T| !predicate(item)) })
        })
    }

    /// All elements that a function makes of each.
    ///
    /// ```
    /// use chunkstore::bag;
    /// let words = bag::from_sequence(["to be", "or not"].map(String::from), 1);
    /// let words = words.flat_map(|line| line.split(' ').map(String::from).collect::<Vec<_>>());
    /// assert_eq!(words.compute()?, ["to", "be", "or", "not"]);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn flat_map<U: Item, I, F>(&self, f: F) -> Bag<U>
    where
        I: IntoIterator<Item = U>,
        I::IntoIter: 'static,
        F: Fn(T) -> I + Send + Sync + 'static,
    {
        let (op, f) = (Op::of(&f), Arc::new(f));
        let adapt = move |inner, _| Box::new(FlatMap { inner, f: f.clone(), open: None }) as _;
        self.step_as("flat_map", op, Location::caller(), adapt, Step::expanding)
    }
}

impl<T: Item, I> Bag<I>
where
    I: Item + IntoIterator<Item = T>,
    I::IntoIter: 'static,
{
    /// The elements of the elements.
    ///
    /// ```
    /// use chunkstore::bag;
    /// assert_eq!(bag::from_sequence([vec![1, 2], vec![], vec![3]], 2).flatten().compute()?, [1, 2, 3]);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn flatten(&self) -> Bag<T> {
        self.plain_step("flatten", &[], Location::caller(), |inner, _| Box::new(FlatMap { inner, f: Arc::new(|item: I| item), open: None }))
    }
}

/// Elements through a function.
pub(super) struct Map<S, F> {
    pub(super) inner: BoxStream<S>,
    pub(super) f: F,
}

impl<S: 'static, T: 'static, F: Fn(S) -> Result<T>> Stream<T> for Map<S, F> {
    fn next(&mut self) -> Option<Result<T>> {
        Some(self.inner.next()?.and_then(&self.f))
    }

    fn each(&mut self, take: &mut dyn FnMut(T) -> Result<Flow>) -> Result<Flow> {
        let f = &self.f;
        self.inner.each(&mut |item| take(f(item)?))
    }
}

/// Elements that a predicate keeps.
struct Filter<T, F> {
    inner: BoxStream<T>,
    keep: Arc<F>,
}

impl<T: 'static, F: Fn(&T) -> bool> Stream<T> for Filter<T, F> {
    fn next(&mut self) -> Option<Result<T>> {
        loop {
            match self.inner.next()? {
                Ok(item) if !(self.keep)(&item) => {}
                kept => return Some(kept),
            }
        }
    }

    fn each(&mut self, take: &mut dyn FnMut(T) -> Result<Flow>) -> Result<Flow> {
        let keep = &*self.keep;
        self.inner.each(&mut |item| if keep(&item) { take(item) } else { Ok(MORE) })
    }
}

/// Elements of what a function makes of each element.
struct FlatMap<S, F, I> {
    inner: BoxStream<S>,
    f: Arc<F>,
    open: Option<I>,
}

impl<S: 'static, T: 'static, I, F> Stream<T> for FlatMap<S, F, I::IntoIter>
where
    I: IntoIterator<Item = T>,
    F: Fn(S) -> I,
{
    fn next(&mut self) -> Option<Result<T>> {
        loop {
            if let Some(item) = self.open.as_mut().and_then(Iterator::next) {
                return Some(Ok(item));
            }
            match self.inner.next()? {
                Ok(item) => self.open = Some((self.f)(item).into_iter()),
                Err(error) => return Some(Err(error)),
            }
        }
    }

    fn each(&mut self, take: &mut dyn FnMut(T) -> Result<Flow>) -> Result<Flow> {
        for item in self.open.take().into_iter().flatten() {
            if take(item)?.is_break() {
                return Ok(ENOUGH);
            }
        }
        let f = &*self.f;
        self.inner.each(&mut |item| {
            for item in f(item) {
                if take(item)?.is_break() {
                    return Ok(ENOUGH);
                }
            }
            Ok(MORE)
        })
    }
}

/// Whether a type of element is text.
pub(super) fn is_text<T: Any>() -> bool {
    std::any::TypeId::of::<T>() == std::any::TypeId::of::<String>()
}
