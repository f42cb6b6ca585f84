//! Sums, counts, extremes, means and spreads.

use super::lazy::{Bag, function_key};
use super::number::Number;
use super::pipeline::Item;
use super::reduce::{Reduction, merged};
use super::stream::{BoxStream, ENOUGH, MORE};
use super::value::BagValue;
use crate::graph::{Key, KeyBuilder, Op, TaskContext};
use crate::{Error, ErrorKind, Result};
use serde::{Deserialize, Serialize};
use std::panic::Location;

/// What a variance and a deviation need more of.
const FEW: &str = "that has no more elements than `ddof`";

/// How many, their mean, and the sum of squared distances from it.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Moments {
    count: u64,
    mean: f64,
    spread: f64,
}

impl Moments {
    const NONE: Moments = Moments { count: 0, mean: 0.0, spread: 0.0 };

    /// With one more (Welford, 1962).
    fn with(self, x: f64) -> Moments {
        let count = self.count + 1;
        let distance = x - self.mean;
        let mean = self.mean + distance / count as f64;
        Moments { count, mean, spread: self.spread + distance * (x - mean) }
    }

    /// Two together (Chan, Golub and LeVeque, 1979).
    fn and(self, other: Moments) -> Moments {
        if self.count == 0 || other.count == 0 {
            return if self.count == 0 { other } else { self };
        }
        let count = self.count + other.count;
        let (left, right, all) = (self.count as f64, other.count as f64, count as f64);
        let distance = other.mean - self.mean;
        Moments {
            count,
            mean: self.mean + distance * (right / all),
            spread: self.spread + other.spread + distance * distance * (left * right / all),
        }
    }
}

fn plain_key(name: &str) -> Key {
    KeyBuilder::new(name, 1).finish()
}

/// A function of each element, summed up.
fn tally<T: Item, A: Item + Copy + Sync>(
    bag: &Bag<T>,
    (name, key): (&'static str, Key),
    zero: A,
    line: &'static Location<'static>,
    with: impl Fn(A, T) -> Result<A> + Send + Sync + 'static,
    and: impl Fn(A, A) -> Result<A> + Send + Sync + 'static,
) -> BagValue<A> {
    let chunk = move |_: &TaskContext<'_>, mut rows: BoxStream<T>| {
        let mut tally = zero;
        rows.each(&mut |item| {
            tally = with(tally, item)?;
            Ok(MORE)
        })?;
        Ok(Some(tally))
    };
    let combine = move |_: &TaskContext<'_>, mut rows: BoxStream<A>| {
        let mut tally = zero;
        rows.each(&mut |other| {
            tally = and(tally, other)?;
            Ok(MORE)
        })?;
        Ok(Some(tally))
    };
    BagValue::new(Reduction::new(name, key, line, chunk, combine).of(bag), name, line)
}

impl<T: Item> Bag<T> {
    /// The number of elements.
    ///
    /// ```
    /// use chunkstore::bag;
    /// assert_eq!(bag::range(10, 3).filter(|x| x % 2 == 0).count().compute()?, 5);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn count(&self) -> BagValue<u64> {
        let line = Location::caller();
        let chunk = |_: &TaskContext<'_>, mut rows: BoxStream<T>| {
            let mut count = 0u64;
            match super::map::is_text::<T>() {
                true => rows.each_str(&mut |_| {
                    count += 1;
                    Ok(MORE)
                })?,
                false => rows.each(&mut |_| {
                    count += 1;
                    Ok(MORE)
                })?,
            };
            Ok(Some(count))
        };
        let combine = |task: &TaskContext<'_>, rows| Ok(Some(merged(task, rows, &|a, b| a + b)?.unwrap_or(0)));
        BagValue::new(Reduction::new("count", plain_key("count"), line, chunk, combine).of(self), "a count", line)
    }

    /// The least element; the first of equal ones.
    ///
    /// ```
    /// use chunkstore::{ErrorKind, bag};
    /// let words = bag::from_sequence(["b", "a", "c"].map(String::from), 2);
    /// assert_eq!((words.min().compute()?, words.max().compute()?), ("a".to_string(), "c".to_string()));
    /// assert_eq!(words.filter(|_| false).min().compute().unwrap_err().kind(), ErrorKind::Invalid);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn min(&self) -> BagValue<T>
    where
        T: PartialOrd,
    {
        self.extreme("min", |kept, item| item < kept)
    }

    /// The greatest element; the first of equal ones.
    #[track_caller]
    pub fn max(&self) -> BagValue<T>
    where
        T: PartialOrd,
    {
        self.extreme("max", |kept, item| item > kept)
    }

    #[track_caller]
    fn extreme(&self, name: &'static str, better: fn(&T, &T) -> bool) -> BagValue<T> {
        let line = Location::caller();
        let keep = move |kept: T, item: T| if better(&kept, &item) { item } else { kept };
        let chunk = move |task: &TaskContext<'_>, rows| merged(task, rows, &keep);
        let combine = move |task: &TaskContext<'_>, rows| merged(task, rows, &keep);
        let reduction = Reduction::new(name, plain_key(name), line, chunk, combine);
        BagValue::new(reduction.of(self), name, line)
    }

    /// Whether a predicate holds for any element. A partition is read only as far as the first.
    ///
    /// ```
    /// use chunkstore::bag;
    /// assert!(bag::range(10, 3).any(|x| *x == 7).compute()?);
    /// assert!(!bag::range(10, 3).all(|x| *x == 7).compute()?);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn any<F: Fn(&T) -> bool + Send + Sync + 'static>(&self, predicate: F) -> BagValue<bool> {
        let key = function_key("any", &[Op::of(&predicate)]);
        self.found("any", key, predicate, true)
    }

    /// Whether a predicate holds for all elements. A partition is read only as far as the first for which it does not.
    #[track_caller]
    pub fn all<F: Fn(&T) -> bool + Send + Sync + 'static>(&self, predicate: F) -> BagValue<bool> {
        let key = function_key("all", &[Op::of(&predicate)]);
        self.found("all", key, move |item| !predicate(item), false)
    }

    /// `found` where the predicate holds for some element.
    #[track_caller]
    fn found(&self, name: &'static str, key: Key, decides: impl Fn(&T) -> bool + Send + Sync + 'static, found: bool) -> BagValue<bool> {
        let line = Location::caller();
        let chunk = move |_: &TaskContext<'_>, mut rows: BoxStream<T>| {
            let flow = rows.each(&mut |item| Ok(if decides(&item) { ENOUGH } else { MORE }))?;
            Ok(Some(flow.is_break() == found))
        };
        let combine = move |_: &TaskContext<'_>, mut rows: BoxStream<bool>| {
            let flow = rows.each(&mut |partial| Ok(if partial == found { ENOUGH } else { MORE }))?;
            Ok(Some(flow.is_break() == found))
        };
        BagValue::new(Reduction::new(name, key, line, chunk, combine).of(self), name, line)
    }
}

impl<T: Number> Bag<T> {
    /// The sum: of integers in 64 bits, of others in `f64`. A sum beyond 64 bits is an error.
    ///
    /// ```
    /// use chunkstore::bag;
    /// let bytes = bag::from_sequence([200u8, 100, 50], 2);
    /// assert_eq!(bytes.sum().compute()?, 350u64);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn sum(&self) -> BagValue<T::Sum> {
        fn beyond<S>(sum: Option<S>) -> Result<S> {
            let message = format!("the sum is beyond {}", std::any::type_name::<S>());
            sum.ok_or_else(|| Error::new(ErrorKind::Failed, message).hint("map the elements to f64 or i128 first"))
        }
        let with = |sum, item: T| beyond(T::add(sum, item.to_sum()));
        tally(self, ("sum", plain_key("sum")), T::ZERO, Location::caller(), with, |a, b| beyond(T::add(a, b)))
    }

    /// The mean. That of no elements is an error.
    ///
    /// ```
    /// use chunkstore::bag;
    /// let x = bag::from_sequence([1, 2, 3, 4], 2);
    /// assert_eq!((x.mean().compute()?, x.var(0.0).compute()?, x.std(0.0).compute()?), (2.5, 1.25, 1.25f64.sqrt()));
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn mean(&self) -> BagValue<f64> {
        self.moments("mean", |moments| (moments.count > 0).then_some(moments.mean))
    }

    /// The variance: the sum of squared distances from the mean, over the number of elements less `ddof`: 0 for that of the elements, 1 for an estimate from a sample.
    /// It is an error where there are no more than `ddof` elements.
    #[track_caller]
    pub fn var(&self, ddof: f64) -> BagValue<f64> {
        let var = self.moments("var", move |moments| (moments.count as f64 > ddof).then(|| moments.spread / (moments.count as f64 - ddof)));
        var.needs_more_than(FEW)
    }

    /// The standard deviation: the root of [`Bag::var`].
    #[track_caller]
    pub fn std(&self, ddof: f64) -> BagValue<f64> {
        let std = self
            .moments("std", move |moments| (moments.count as f64 > ddof).then(|| (moments.spread / (moments.count as f64 - ddof)).sqrt()));
        std.needs_more_than(FEW)
    }

    #[track_caller]
    fn moments(&self, what: &'static str, finish: impl Fn(Moments) -> Option<f64> + Send + Sync + 'static) -> BagValue<f64> {
        let line = Location::caller();
        let key = plain_key("moments");
        let moments = tally(self, ("moments", key), Moments::NONE, line, |m, x: T| Ok(m.with(x.to_f64())), |a, b| Ok(a.and(b)));
        let finished = moments.to_bag().flat_map(finish);
        BagValue::new(finished, what, line)
    }
}
