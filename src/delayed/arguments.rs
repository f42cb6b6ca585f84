//! Delayed values as arguments, alone and in lists, maps and tuples.

use super::Delayed;
use crate::graph::{Argument, Fits, IntoArg, IntoTask, Object, Program, Typed, Value};
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::marker::PhantomData;
use std::sync::Arc;

impl<T> IntoTask for Delayed<T> {
    fn encode(self, program: &mut Program) {
        program.node(&self.node);
    }
}
impl<T: Fits<U>, U> IntoArg<U> for Delayed<T> {}

impl<T> IntoTask for &Delayed<T> {
    fn encode(self, program: &mut Program) {
        program.node(&self.node);
    }
}
impl<T: Fits<U>, U> IntoArg<U> for &Delayed<T> {}

fn list<T>(values: &[Delayed<T>], program: &mut Program) {
    program.list(|program| {
        values.iter().for_each(|value| program.node(&value.node));
        values.len() as u32
    });
}

impl<T> IntoTask for Vec<Delayed<T>> {
    fn encode(self, program: &mut Program) {
        list(&self, program);
    }
}
impl<T: Fits<U>, U> IntoArg<Vec<U>> for Vec<Delayed<T>> {}

impl<T> IntoTask for &Vec<Delayed<T>> {
    fn encode(self, program: &mut Program) {
        list(self, program);
    }
}
impl<T: Fits<U>, U> IntoArg<Vec<U>> for &Vec<Delayed<T>> {}

impl<T> IntoTask for &[Delayed<T>] {
    fn encode(self, program: &mut Program) {
        list(self, program);
    }
}
impl<T: Fits<U>, U> IntoArg<Vec<U>> for &[Delayed<T>] {}

impl<T, const N: usize> IntoTask for &[Delayed<T>; N] {
    fn encode(self, program: &mut Program) {
        list(self, program);
    }
}
impl<T: Fits<U>, U, const N: usize> IntoArg<Vec<U>> for &[Delayed<T>; N] {}

/// Lists of lists.
impl<T> IntoTask for Vec<Vec<Delayed<T>>> {
    fn encode(self, program: &mut Program) {
        (&self).encode(program);
    }
}
impl<T: Fits<U>, U> IntoArg<Vec<Vec<U>>> for Vec<Vec<Delayed<T>>> {}

impl<T> IntoTask for &Vec<Vec<Delayed<T>>> {
    fn encode(self, program: &mut Program) {
        program.list(|program| {
            self.iter().for_each(|values| list(values, program));
            self.len() as u32
        });
    }
}
impl<T: Fits<U>, U> IntoArg<Vec<Vec<U>>> for &Vec<Vec<Delayed<T>>> {}

/// What may be missing.
impl<T: Argument + Clone> IntoTask for Option<Delayed<T>> {
    fn encode(self, program: &mut Program) {
        match self {
            Some(value) => program.call(
                |program| {
                    program.node(&value.node);
                    1
                },
                Typed(Some::<T>, PhantomData),
            ),
            None => None::<T>.encode(program),
        }
    }
}
impl<T: Argument + Clone> IntoArg<Option<T>> for Option<Delayed<T>> {}

macro_rules! tuples {
    ($(($($t:ident $u:ident $x:ident),*))*) => { $(
        impl<$($t),*> IntoTask for ($(Delayed<$t>,)*) {
            fn encode(self, program: &mut Program) {
                let ($($x,)*) = self;
                program.list(|program| {
                    $(program.node(&$x.node);)*
                    const { 0 $(+ { stringify!($x); 1 })* }
                });
            }
        }
        impl<$($t: Fits<$u>, $u),*> IntoArg<($($u,)*)> for ($(Delayed<$t>,)*) {}
    )* };
}
tuples! {
    (A A1 a, B B1 b)
    (A A1 a, B B1 b, C C1 c)
    (A A1 a, B B1 b, C C1 c, D D1 d)
    (A A1 a, B B1 b, C C1 c, D D1 d, E E1 e)
    (A A1 a, B B1 b, C C1 c, D D1 d, E E1 e, F F1 f)
}

/// Writes a map: its keys as a literal, its values as a list, and a function that puts the two together.
macro_rules! maps {
    ($($map:ident: $($bound:path),*;)*) => { $(
        impl<K, V> IntoTask for $map<K, Delayed<V>>
        where
            K: Clone + Send + Sync + 'static $(+ $bound)*,
            V: Argument + Clone,
        {
            fn encode(self, program: &mut Program) {
                fn map<K: Clone $(+ $bound)*, V>(keys: Arc<Vec<K>>, values: Vec<V>) -> $map<K, V> {
                    keys.iter().cloned().zip(values).collect()
                }
                let (keys, values): (Vec<K>, Vec<Delayed<V>>) = self.into_iter().unzip();
                let bytes = size_of_val(keys.as_slice()) as u64;
                let write = |program: &mut Program| {
                    program.literal(Ok(Value::Object(Object::new(Arc::new(keys), bytes))));
                    list(&values, program);
                    2
                };
                program.call(write, Typed(map::<K, V>, PhantomData));
            }
        }
        impl<K, V> IntoArg<$map<K, V>> for $map<K, Delayed<V>>
        where
            K: Clone + Send + Sync + 'static $(+ $bound)*,
            V: Argument + Clone,
        {
        }
    )* };
}
maps! {
    HashMap: Hash, Eq;
    BTreeMap: Ord;
}
