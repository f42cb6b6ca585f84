//! Delayed values taken apart: the elements of lists, and of tuples.

use super::{Delayed, try_delayed};
use crate::graph::{Argument, Given, Library, Value, list_element, list_len};
use crate::{Error, ErrorKind};

fn missing(index: u64, len: Option<usize>) -> Error {
    let message = match len {
        Some(len) => format!("there is no element {index} of the right type in a list of {len}"),
        None => "the value is no list".into(),
    };
    Error::new(ErrorKind::Type, message)
}

/// One element of a list, of which no more is copied.
fn element<T: Argument + Clone>(list: Value, index: u64) -> Result<T, Error> {
    list_element::<T>(&list, index as usize).ok_or_else(|| missing(index, list_len::<T>(&list)))
}

/// One of just so many elements of a list.
fn part<T: Argument + Clone>(list: Value, index: u64, count: u64) -> Result<T, Error> {
    match list_len::<T>(&list) {
        Some(len) if len as u64 != count => {
            Err(Error::new(ErrorKind::Invalid, format!("a list of {len} elements was to be taken apart into {count}")))
        }
        _ => element(list, index),
    }
}

/// Anything, as a value of no known type.
fn any<T>(value: &Delayed<T>) -> Delayed<Value> {
    Delayed::of(value.node.clone())
}

impl<T: Argument + Clone> Delayed<Vec<T>> {
    /// One element of the list. Where there is none, the computation ends with an error.
    ///
    /// ```
    /// use chunkstore::delayed::value;
    /// let list = value(vec![1.5, 2.5]);
    /// assert_eq!(list.get(1).compute()?, 2.5);
    /// assert!(list.get(2).compute().unwrap_err().to_string().contains("a list of 2"));
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn get(&self, index: usize) -> Delayed<T> {
        try_delayed(Library("element", element::<T>)).pure(true).call((any(self), index as u64))
    }

    /// The elements of a list of `count`, each on its own. A list of another length ends the computation with an error.
    ///
    /// ```
    /// use chunkstore::delayed::delayed;
    /// let parts = delayed(|n: i64| vec![n, n + 1, n + 2]).call((5,)).nout(3);
    /// assert_eq!((&parts[0] * &parts[2]).compute()?, 35);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn nout(&self, count: usize) -> Vec<Delayed<T>> {
        let (part, all) = (try_delayed(Library("part", part::<T>)).pure(true), any(self));
        let mut parts = Vec::with_capacity(count);
        for index in 0..count {
            parts.push(part.call((&all, index as u64, count as u64)));
        }
        parts
    }
}

macro_rules! split {
    ($(($all:ty: $($t:ident $n:tt),*))*) => { $(
        impl<$($t: Argument + Clone),*> Delayed<$all> {
            /// The elements of the tuple, each on its own.
            ///
            /// ```
            /// use chunkstore::delayed::delayed;
            /// let (quotient, rest) = delayed(|a: i64, b: i64| (a / b, a % b)).call((17, 5)).split();
            /// assert_eq!((quotient * 5 + rest).compute()?, 17);
            /// # Ok::<(), chunkstore::Error>(())
            /// ```
            #[track_caller]
            pub fn split(&self) -> ($(Delayed<$t>,)*) {
                let all = any(self);
                ($({
                    let take = |tuple: Value| {
                        let given = Given::from(&tuple);
                        let taken = match given.elements() {
                            Some(mut elements) => elements.nth($n).and_then($t::take),
                            None => given.object::<$all>().map(|tuple| tuple.$n.clone()),
                        };
                        taken.ok_or_else(|| missing($n, None))
                    };
                    try_delayed(Library(concat!("part-", stringify!($n)), take)).label(concat!("part-", stringify!($n))).pure(true).call((&all,))
                },)*)
            }
        }
    )* };
}
split! {
    ((A, B): A 0, B 1)
    ((A, B, C): A 0, B 1, C 2)
    ((A, B, C, D): A 0, B 1, C 2, D 3)
    ((A, B, C, D, E): A 0, B 1, C 2, D 3, E 4)
    ((A, B, C, D, E, F): A 0, B 1, C 2, D 3, E 4, F 5)
}
