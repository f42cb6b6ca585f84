//! Values that are computed when they are wanted.

use crate::graph::{Argument, IntoTask, Node, NodeRef};
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;

/// A value of type `T` that is computed when it is wanted: a call of a function, or what is made from others. Clones are cheap and are the same value.
///
/// Values that need each other may form a chain of any length.
pub struct Delayed<T> {
    pub(crate) node: NodeRef,
    value: PhantomData<fn() -> T>,
}

impl<T> Clone for Delayed<T> {
    fn clone(&self) -> Self {
        Delayed::of(self.node.clone())
    }
}

impl<T> std::fmt::Debug for Delayed<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Delayed({})", self.node.short_name())
    }
}

impl<T> Delayed<T> {
    /// The value of a task.
    pub(crate) fn of(node: NodeRef) -> Self {
        Delayed { node, value: PhantomData }
    }

    /// The key: a name and the digits of what tells it from others, `add-1f2e3d4c...`, or the name that was chosen.
    ///
    /// It names the value in [`Delayed::graph`].
    pub fn key(&self) -> String {
        self.node.graph_key().to_string()
    }

    /// The same value under a name of its own, which is its key in graphs and errors. It is a task of its own: what is computed of both is computed twice.
    ///
    /// ```
    /// use chunkstore::{Engine, delayed::delayed};
    /// fn add(a: i64, b: i64) -> i64 { a + b }
    /// let x = delayed(add).call((1, 2)).named("x");
    /// let y = delayed(add).call((&x, 2)).named("y");
    /// assert_eq!(y.graph()?.to_string(), "{'x': (add, 1, 2),\n 'y': (add, 'x', 2)}");
    /// let engine = Engine::builder().memory("256MiB").build()?;
    /// assert_eq!(engine.get::<i64>(&y.graph()?, "y")?, 5);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    pub fn named(&self, name: impl AsRef<str>) -> Self {
        Delayed::of(self.node.named(name.as_ref()))
    }

    /// The same value, shared where it is asked for instead of copied: for values of types that cannot be copied, or should not be.
    ///
    /// ```
    /// use chunkstore::delayed::delayed;
    /// struct Model { weights: Vec<f64> }
    /// let model = delayed(|| Model { weights: vec![0.5; 3] }).call(());
    /// assert_eq!(model.shared().compute()?.weights.len(), 3);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    pub fn shared(&self) -> Delayed<Arc<T>> {
        Delayed::of(self.node.clone())
    }
}

/// What [`value`] takes: a plain value, a delayed one, or a list, map or tuple of delayed ones.
pub trait IntoDelayed: IntoTask {
    /// The type of the value.
    type Value;
}

impl<T: Argument> IntoDelayed for T {
    type Value = T;
}
impl IntoDelayed for &str {
    type Value = String;
}
impl<T> IntoDelayed for Delayed<T> {
    type Value = T;
}
impl<T> IntoDelayed for &Delayed<T> {
    type Value = T;
}
impl<T> IntoDelayed for Vec<Delayed<T>> {
    type Value = Vec<T>;
}
impl<T> IntoDelayed for &[Delayed<T>] {
    type Value = Vec<T>;
}
impl<T, const N: usize> IntoDelayed for [Delayed<T>; N] {
    type Value = Vec<T>;
}
impl<K, V> IntoDelayed for HashMap<K, Delayed<V>>
where
    K: Clone + Hash + Eq + Send + Sync + 'static,
    V: Argument + Clone,
{
    type Value = HashMap<K, V>;
}
impl<K, V> IntoDelayed for BTreeMap<K, Delayed<V>>
where
    K: Clone + Ord + Send + Sync + 'static,
    V: Argument + Clone,
{
    type Value = BTreeMap<K, V>;
}

macro_rules! tuples {
    ($(($($t:ident)*))*) => { $(
        impl<$($t),*> IntoDelayed for ($(Delayed<$t>,)*) {
            type Value = ($($t,)*);
        }
    )* };
}
tuples!((A B)(A B C)(A B C D)(A B C D E)(A B C D E F));

/// A value as a delayed one. What is in a list, a map or a tuple may be delayed itself; then the value is made when all of it is there.
///
/// A plain value is held by what uses it, in the user's memory: it is neither copied nor booked.
///
/// ```
/// use chunkstore::delayed::{delayed, value};
/// use std::collections::HashMap;
/// let five = value(5i64);
/// let both = value(vec![five.clone(), &five + 1]);
/// assert_eq!(both.compute()?, [5, 6]);
/// let by_name = value(HashMap::from([("five", five.clone()), ("ten", five * 2)]));
/// assert_eq!(by_name.compute()?["ten"], 10);
/// # Ok::<(), chunkstore::Error>(())
/// ```
#[track_caller]
pub fn value<A: IntoDelayed>(value: A) -> Delayed<A::Value> {
    Delayed::of(Node::expression(|program| value.encode(program), Location::caller()))
}
