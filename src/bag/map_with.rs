//! A function of each element and of one value for all of them.

use super::lazy::{Bag, function_key};
use super::map::Map;
use super::pipeline::Item;
use super::value::BagValue;
use super::with::With;
use crate::graph::Op;
use std::panic::Location;
use std::sync::Arc;

/// What gives one value to all elements of a bag: a [`BagValue`], or a [`Delayed`](crate::delayed::Delayed) value.
pub trait Broadcast {
    /// The type of the value.
    type Value: Item;

    /// The value.
    #[doc(hidden)]
    fn broadcast(&self) -> BagValue<Self::Value>;
}

impl<V: Item> Broadcast for BagValue<V> {
    type Value = V;

    fn broadcast(&self) -> BagValue<V> {
        self.clone()
    }
}

impl<T: Item> Bag<T> {
    /// What a function makes of each element and of a value that is the same for all: one that is made of a bag, or a delayed one. It is computed once.
    ///
    /// ```
    /// use chunkstore::bag;
    /// let x = bag::from_sequence([1.0, 2.0, 6.0], 2);
    /// assert_eq!(x.map_with(&x.mean(), |x, mean| x - mean).compute()?, [-2.0, -1.0, 3.0]);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn map_with<V: Broadcast, U: Item, F>(&self, value: &V, f: F) -> Bag<U>
    where
        F: Fn(T, &V::Value) -> U + Send + Sync + 'static,
    {
        let (line, value) = (Location::caller(), value.broadcast());
        let (key, f, what) = (function_key("map_with", &[Op::of(&f)]), Arc::new(f), value.missing());
        let pipeline = self.upstream().and_then(|upstream| {
            let side = value.bag().stored_layer()?.clone();
            let adapt = move |inner, value: Option<V::Value>, _| {
                let (f, value) = (f.clone(), value.ok_or_else(|| what.error())?);
                Ok(Box::new(Map { inner, f: move |item| Ok(f(item, &value)) }) as _)
            };
            Ok(Arc::new(With::new(("map_with", key), upstream, (side, |_| Some(0)), Arc::new(adapt), line)) as _)
        });
        Bag::of(pipeline, line)
    }
}
