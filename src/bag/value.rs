//! One value that is made of a bag.

use super::lazy::Bag;
use super::pipeline::Item;
use crate::graph::LayerRef;
use crate::{Error, ErrorKind};
use std::fmt;
use std::panic::Location;

/// One lazy value that is made of a bag: a count, a sum, the last of a fold. Dask calls it `Item`.
///
/// ```
/// use chunkstore::bag;
/// let total = bag::range(1001, 8).sum();
/// assert_eq!(total.apply(|n| n / 2).compute()?, 250_250);
/// # Ok::<(), chunkstore::Error>(())
/// ```
pub struct BagValue<T: Item> {
    /// A bag of one partition of one element, or of none where there is no value.
    bag: Bag<T>,
    missing: Missing,
}

/// What is said where there is no value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Missing {
    pub(super) what: &'static str,
    /// How few elements these are.
    pub(super) few: &'static str,
    pub(super) line: &'static Location<'static>,
}

impl Missing {
    pub(super) fn error(self) -> Error {
        let message = format!("{} of a bag {}", self.what, self.few);
        Error::new(ErrorKind::Invalid, message).from_line(self.line)
    }
}

impl<T: Item> Clone for BagValue<T> {
    fn clone(&self) -> Self {
        BagValue { bag: self.bag.clone(), missing: self.missing }
    }
}

impl<T: Item> fmt::Debug for BagValue<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BagValue({:?})", self.bag)
    }
}

impl<T: Item> BagValue<T> {
    /// The element of a bag of one partition. Where it has none, the error says `what` has no value.
    pub(super) fn new(bag: Bag<T>, what: &'static str, line: &'static Location<'static>) -> Self {
        BagValue { bag, missing: Missing { what, few: "without elements", line } }
    }

    /// The element of a bag of one partition that a delayed value is.
    pub(crate) fn from_bag(bag: Bag<T>, line: &'static Location<'static>) -> Self {
        BagValue::new(bag, "a delayed value", line)
    }

    /// The same where more than one element is needed: where it has `few`.
    pub(super) fn needs_more_than(mut self, few: &'static str) -> Self {
        self.missing.few = few;
        self
    }

    pub(super) fn bag(&self) -> &Bag<T> {
        &self.bag
    }

    pub(super) fn missing(&self) -> Missing {
        self.missing
    }

    pub(super) fn on(&self, layer: LayerRef) -> Self {
        BagValue { bag: Bag::on(layer), missing: self.missing }
    }

    /// What a function makes of the value.
    ///
    /// ```
    /// use chunkstore::bag;
    /// assert_eq!(bag::range(4, 2).count().apply(|n| n + 1).compute()?, 5);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn apply<U: Item, F: Fn(T) -> U + Send + Sync + 'static>(&self, f: F) -> BagValue<U> {
        BagValue { bag: self.bag.map(f), missing: self.missing }
    }

    /// The bag of one partition that has the value as its element.
    pub fn to_bag(&self) -> Bag<T> {
        self.bag.clone()
    }

    /// Whether every step up to here makes sense.
    ///
    /// # Errors
    /// The first error of the steps that made the value.
    pub fn check(&self) -> crate::Result<()> {
        self.bag.check()
    }
}
