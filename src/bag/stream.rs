//! Elements of a partition, one after the other.
//!
//! A chain of steps is a stream around a stream. Elements can be pulled (`next`) or pushed (`each`): pushing costs one call
//! through a pointer for each element and step, and inner loops stay loops. Text can be pushed without a `String` for each.

use crate::graph::Cancellation;
use crate::shuffle::Span;
use crate::{Error, ErrorKind, Result};
use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;

/// Whether more elements are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    /// More elements are wanted.
    More,
    /// No more elements are wanted.
    Enough,
}

impl Flow {
    pub(crate) fn is_break(self) -> bool {
        self == Flow::Enough
    }
}

/// More elements are wanted.
pub(crate) const MORE: Flow = Flow::More;

/// No more elements are wanted.
pub(crate) const ENOUGH: Flow = Flow::Enough;

/// The elements of one partition, in order. After an error there are none.
pub(crate) trait Stream<T: 'static> {
    /// The next element.
    fn next(&mut self) -> Option<Result<T>>;

    /// Gives the elements to `take` until it has enough.
    fn each(&mut self, take: &mut dyn FnMut(T) -> Result<Flow>) -> Result<Flow> {
        while let Some(item) = self.next() {
            if take(item?)?.is_break() {
                return Ok(ENOUGH);
            }
        }
        Ok(MORE)
    }

    /// As [`Stream::each`], for a stream of text: nothing is copied that need not be.
    fn each_str(&mut self, take: &mut dyn FnMut(&str) -> Result<Flow>) -> Result<Flow> {
        self.each(&mut |item| take(as_text(&item)?))
    }

    /// As [`Stream::each_str`], of several elements at a time: a text, and which parts of it they are.
    fn each_spans(&mut self, take: &mut TakeSpans<'_>) -> Result<Flow> {
        self.each_str(&mut |text| match u32::try_from(text.len()) {
            Ok(len) => take(text, &[(0, len)]),
            Err(_) => Err(Error::new(ErrorKind::Unsupported, "an element of 4 GiB of text or more").hint("split it first")),
        })
    }

    /// As [`Stream::each_str`], for who only looks at words: several elements may come as one text, with white space between them.
    fn each_run(&mut self, take: &mut dyn FnMut(&str) -> Result<Flow>) -> Result<Flow> {
        self.each_str(take)
    }
}

/// The text that an element is.
pub(crate) fn as_text<T: Any>(item: &T) -> Result<&str> {
    (item as &dyn Any).downcast_ref::<String>().map(String::as_str).ok_or_else(no_text)
}

#[cold]
pub(crate) fn no_text() -> Error {
    Error::new(ErrorKind::Type, "a stream of other elements was read as text; this is a defect of the engine")
}

/// What texts are given in: a text, and the parts of it that are elements.
pub(crate) type TakeSpans<'a> = dyn FnMut(&str, &[Span]) -> Result<Flow> + 'a;

/// A stream of whatever kind.
pub(crate) type BoxStream<T> = Box<dyn Stream<T>>;

/// A stream of what an iterator gives.
pub(crate) struct FromIter<I>(pub(crate) I);

impl<T: 'static, I: Iterator<Item = Result<T>>> Stream<T> for FromIter<I> {
    fn next(&mut self) -> Option<Result<T>> {
        self.0.next()
    }
}

/// So many elements are given between two looks at whether the run was cancelled.
const LOOK: u32 = 1024;

/// A stream that ends when the run is cancelled.
pub(crate) struct Cancellable<T> {
    inner: BoxStream<T>,
    cancellation: Cancellation,
    left: u32,
}

impl<T> Cancellable<T> {
    pub(crate) fn new(inner: BoxStream<T>, cancellation: Cancellation) -> Self {
        Cancellable { inner, cancellation, left: LOOK }
    }
}

/// Looks at every [`LOOK`]-th call.
#[inline]
fn look(cancellation: &Cancellation, left: &mut u32) -> Result<()> {
    *left -= 1;
    if *left == 0 {
        *left = LOOK;
        cancellation.check()?;
    }
    Ok(())
}

impl<T: 'static> Stream<T> for Cancellable<T> {
    fn next(&mut self) -> Option<Result<T>> {
        match look(&self.cancellation, &mut self.left) {
            Ok(()) => self.inner.next(),
            Err(error) => Some(Err(error)),
        }
    }

    fn each(&mut self, take: &mut dyn FnMut(T) -> Result<Flow>) -> Result<Flow> {
        let Cancellable { inner, cancellation, left } = self;
        inner.each(&mut |item| {
            look(cancellation, left)?;
            take(item)
        })
    }
}

/// The elements of a partition, as functions of the user's take them: an iterator.
///
/// An error of a step before ends it; the task then fails with that error, whatever the function made of the elements so far.
pub struct Rows<T> {
    stream: BoxStream<T>,
    failed: Failed,
}

/// Where the error of a stream is kept while a function of the user's reads it.
#[derive(Clone, Default)]
pub(crate) struct Failed(Rc<RefCell<Option<Error>>>);

impl Failed {
    /// The error, if there was one.
    pub(crate) fn take(&self) -> Result<()> {
        self.0.borrow_mut().take().map_or(Ok(()), Err)
    }

    pub(crate) fn set(&self, error: Error) {
        self.0.borrow_mut().get_or_insert(error);
    }
}

impl<T: 'static> Rows<T> {
    /// The elements of `stream`; what fails is left in the second.
    pub(crate) fn new(stream: BoxStream<T>) -> (Self, Failed) {
        let failed = Failed::default();
        (Rows { stream, failed: failed.clone() }, failed)
    }
}

impl<T: 'static> Iterator for Rows<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        match self.stream.next()? {
            Ok(item) => Some(item),
            Err(error) => {
                self.failed.set(error);
                self.stream = Box::new(FromIter(std::iter::empty()));
                None
            }
        }
    }

    fn fold<B, F: FnMut(B, T) -> B>(mut self, init: B, mut f: F) -> B {
        let mut folded = Some(init);
        let done = self.stream.each(&mut |item| {
            folded = folded.take().map(|so_far| f(so_far, item));
            Ok(MORE)
        });
        if let Err(error) = done {
            self.failed.set(error);
        }
        match folded {
            Some(folded) => folded,
            // Only a panic of `f` takes it out for good, and that does not come here.
            None => unreachable!("a fold lost what it had folded"),
        }
    }
}

impl<T> std::fmt::Debug for Rows<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Rows")
    }
}
