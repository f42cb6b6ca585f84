//! Arithmetic of delayed values.

use super::{Delayed, DelayedFn, delayed};
use crate::graph::{Argument, Fits, IntoArg, Library, TaskFn};
use std::any::TypeId;
use std::fmt::Display;
use std::ops::{Add, Div, Mul, Neg, Rem, Sub};

impl<T> Delayed<T> {
    /// What a function of one parameter gives for the value.
    ///
    /// ```
    /// use chunkstore::delayed::value;
    /// let length = value("seventeen").map(|text: String| text.len());
    /// assert_eq!(length.compute()?, 9);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn map<U: 'static, F: TaskFn<(U,)>>(&self, function: F) -> Delayed<F::Result>
    where
        T: Fits<U>,
    {
        delayed(function).call((self,))
    }

    /// As [`Delayed::map`], with a function that returns a `Result`, whose error ends the computation.
    #[track_caller]
    pub fn try_map<U: 'static, F, R, E>(&self, function: F) -> Delayed<R>
    where
        T: Fits<U>,
        F: TaskFn<(U,), Result = Result<R, E>>,
        R: Send + Sync + 'static,
        E: Display + Send + Sync + 'static,
    {
        super::try_delayed(function).call((self,))
    }
}

/// An operator of values of type `T`. Of numbers it is known again in another process; what one of a type of the user's does is known to the user's program only.
fn arithmetic<T: 'static, F: TaskFn<P>, P: 'static>(name: &'static str, function: F) -> DelayedFn<P, F::Result> {
    macro_rules! is_number {
        ($($t:ty)*) => { [$(TypeId::of::<$t>()),*].contains(&TypeId::of::<T>()) };
    }
    match is_number!(i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize f32 f64) {
        true => delayed(Library(name, function)).pure(true),
        false => delayed(function).pure(true),
    }
}

macro_rules! operators {
    ($($trait:ident $method:ident;)*) => {
        mod functions {
            $(pub(super) fn $method<T: std::ops::$trait<Output = T>>(a: T, b: T) -> T {
                std::ops::$trait::$method(a, b)
            })*
            pub(super) fn neg<T: std::ops::Neg<Output = T>>(a: T) -> T {
                -a
            }
        }
        $(
            impl<T: $trait<Output = T> + Argument, R: IntoArg<T>> $trait<R> for Delayed<T> {
                type Output = Delayed<T>;
                #[track_caller]
                fn $method(self, other: R) -> Delayed<T> {
                    arithmetic::<T, _, _>(stringify!($method), functions::$method::<T>).call((self, other))
                }
            }

            impl<T: $trait<Output = T> + Argument, R: IntoArg<T>> $trait<R> for &Delayed<T> {
                type Output = Delayed<T>;
                #[track_caller]
                fn $method(self, other: R) -> Delayed<T> {
                    arithmetic::<T, _, _>(stringify!($method), functions::$method::<T>).call((self, other))
                }
            }
            left!($trait $method: i8 i16 i32 i64 i128 isize u8 u16 u32 u64 u128 usize f32 f64);
        )*
    };
}

macro_rules! left {
    ($trait:ident $method:ident: $($t:ty)*) => { $(
        impl $trait<Delayed<$t>> for $t {
            type Output = Delayed<$t>;
            #[track_caller]
            fn $method(self, other: Delayed<$t>) -> Delayed<$t> {
                arithmetic::<$t, _, _>(stringify!($method), functions::$method::<$t>).call((self, other))
            }
        }

        impl $trait<&Delayed<$t>> for $t {
            type Output = Delayed<$t>;
            #[track_caller]
            fn $method(self, other: &Delayed<$t>) -> Delayed<$t> {
                arithmetic::<$t, _, _>(stringify!($method), functions::$method::<$t>).call((self, other))
            }
        }
    )* };
}

operators! {
    Add add;
    Sub sub;
    Mul mul;
    Div div;
    Rem rem;
}

impl<T: Neg<Output = T> + Argument> Neg for Delayed<T> {
    type Output = Delayed<T>;
    #[track_caller]
    fn neg(self) -> Delayed<T> {
        arithmetic::<T, _, _>("neg", functions::neg::<T>).call((self,))
    }
}

impl<T: Neg<Output = T> + Argument> Neg for &Delayed<T> {
    type Output = Delayed<T>;
    #[track_caller]
    fn neg(self) -> Delayed<T> {
        arithmetic::<T, _, _>("neg", functions::neg::<T>).call((self,))
    }
}
