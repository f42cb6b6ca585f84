//! Functions whose calls are delayed.

use super::Delayed;
use crate::graph::{Arguments, CallOptions, Fallible, Function, Node, TaskFn, Typed};
use std::fmt::Display;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;

/// A function whose calls are [`Delayed`] values: made by [`delayed()`] and [`try_delayed`]. Clones are cheap.
pub struct DelayedFn<P, R> {
    function: Arc<dyn Function>,
    options: CallOptions,
    types: PhantomData<fn(P) -> R>,
}

impl<P, R> Clone for DelayedFn<P, R> {
    fn clone(&self) -> Self {
        DelayedFn { function: self.function.clone(), options: self.options.clone(), types: PhantomData }
    }
}

impl<P, R> std::fmt::Debug for DelayedFn<P, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "delayed({})", self.options.label.as_deref().unwrap_or(self.function.name()))
    }
}

/// Delays the calls of `function`, which may have up to sixteen parameters, each of them an [`Argument`](crate::graph::Argument): a `Vec` takes a list of any length, a tuple one of values of several types (`list![..]`).
///
/// ```
/// use chunkstore::delayed::delayed;
/// fn add(a: i64, b: i64) -> i64 { a + b }
/// let add = delayed(add);
/// let x = add.call((1, 2));
/// let y = add.call((&x, 10));
/// assert_eq!(y.compute()?, 13);
/// # Ok::<(), chunkstore::Error>(())
/// ```
///
/// What a function cannot take does not compile:
///
/// ```compile_fail
/// use chunkstore::delayed::delayed;
/// fn name(x: i64) -> String { x.to_string() }
/// fn inc(x: i64) -> i64 { x + 1 }
/// let wrong = delayed(inc).call((delayed(name).call((1,)),));
/// ```
pub fn delayed<F: TaskFn<P>, P: 'static>(function: F) -> DelayedFn<P, F::Result> {
    let pure = function.registered().is_some();
    DelayedFn::new(Arc::new(Typed(function, PhantomData)), pure)
}

/// Delays the calls of a `function` that returns a `Result`: an `Ok` is the value of the call, an `Err` ends the computation.
///
/// ```
/// use chunkstore::delayed::try_delayed;
/// fn parse(text: String) -> Result<i64, std::num::ParseIntError> { text.parse() }
/// let parse = try_delayed(parse);
/// assert_eq!(parse.call(("17",)).compute()?, 17);
/// let error = parse.call(("seventeen",)).compute().unwrap_err();
/// assert!(error.to_string().contains("parse: invalid digit"));
/// # Ok::<(), chunkstore::Error>(())
/// ```
pub fn try_delayed<F, P, T, E>(function: F) -> DelayedFn<P, T>
where
    F: TaskFn<P, Result = Result<T, E>>,
    P: 'static,
    T: Send + Sync + 'static,
    E: Display + Send + Sync + 'static,
{
    let pure = function.registered().is_some();
    DelayedFn::new(Arc::new(Fallible(function, PhantomData)), pure)
}

impl<P, R> DelayedFn<P, R> {
    fn new(function: Arc<dyn Function>, pure: bool) -> Self {
        let options = CallOptions { pure, fault: function.fault(), ..CallOptions::default() };
        DelayedFn { function, options, types: PhantomData }
    }

    /// A call with `args`, a tuple with one argument for each parameter. Nothing runs yet.
    #[track_caller]
    pub fn call<A: Arguments<P>>(&self, args: A) -> Delayed<R> {
        let write = |program: &mut crate::graph::Program| args.encode_all(program);
        Delayed::of(Node::call(&self.function, &self.options, write, Location::caller()))
    }

    /// Whether equal calls are one: then a call's key follows from the function and its arguments, so that equal work is done once in a computation
    /// however often it was written down. Otherwise each call is a value of its own, as a closure's always is.
    ///
    /// It is so by default for functions that are registered ([`macro@crate::task`], or by a [`Registry`](crate::graph::Registry)), and can be said of any `fn` and of closures without captures. Arguments are compared by
    /// content where they are numbers, texts, paths, durations, arrays, lists of these, delayed values or arrays; a call with others is a value of its own.
    ///
    /// ```
    /// use chunkstore::delayed::delayed;
    /// fn slow(x: i64) -> i64 { x }
    /// let once = delayed(slow).pure(true);
    /// assert_eq!(once.call((1,)).key(), once.call((1,)).key());
    /// assert_ne!(once.call((1,)).key(), once.call((2,)).key());
    /// assert_ne!(delayed(slow).call((1,)).key(), delayed(slow).call((1,)).key());
    /// ```
    pub fn pure(mut self, pure: bool) -> Self {
        self.options.pure = pure;
        self
    }

    /// Gives the calls another name than the function's: in keys, errors, and the rows of [`Explain`](crate::engine::Explain).
    ///
    /// ```
    /// use chunkstore::delayed::delayed;
    /// let stage = delayed(|x: i64| x + 1).label("stage-1");
    /// assert!(stage.call((1,)).key().starts_with("stage-1-"));
    /// ```
    pub fn label(mut self, label: impl AsRef<str>) -> Self {
        self.options.label = Some(label.as_ref().into());
        self
    }

    /// Runs a call up to so many times more where its function returned an error ([`try_delayed`]); a panic is not tried again.
    pub fn retries(mut self, retries: u32) -> Self {
        self.options.retries = Some(retries);
        self
    }

    /// Runs the calls before those of a lower priority, with what they need, where memory leaves the choice: see
    /// [`Annotations::priority`](crate::Annotations::priority).
    ///
    /// ```
    /// use chunkstore::delayed::{delayed, value};
    /// let first = delayed(|x: i64| x + 1).priority(10).label("first");
    /// let later = delayed(|x: i64| x + 2);
    /// assert_eq!((later.call((1,)) * first.call((1,))).compute()?, 6);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    pub fn priority(mut self, priority: i32) -> Self {
        self.options.priority = Some(priority);
        self
    }
}
