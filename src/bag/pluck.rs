//! One part of each element, by its name or number.

use super::lazy::{Bag, function_key};
use super::map::Map;
use super::pipeline::{Item, Step};
use crate::graph::{KeyBuilder, Op};
use crate::{Error, ErrorKind};
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasher;
use std::panic::Location;
use std::sync::Arc;

/// What names a part of an element of type `T`: a text for maps and JSON objects, a number for vectors and JSON arrays, and a function for anything else.
pub trait Pluck<T>: Send + Sync + 'static {
    /// The type of the part.
    type Part;

    /// The part; none where the element has none of this name.
    fn pluck(&self, item: T) -> Option<Self::Part>;

    /// The name, for errors; none for a function.
    fn name(&self) -> Option<String>;
}

impl<T, U, F: Fn(T) -> U + Send + Sync + 'static> Pluck<T> for F {
    type Part = U;

    fn pluck(&self, item: T) -> Option<U> {
        Some(self(item))
    }

    fn name(&self) -> Option<String> {
        None
    }
}

impl Pluck<serde_json::Value> for &'static str {
    type Part = serde_json::Value;

    fn pluck(&self, mut item: serde_json::Value) -> Option<serde_json::Value> {
        item.get_mut(*self).map(serde_json::Value::take)
    }

    fn name(&self) -> Option<String> {
        Some(format!("{self:?}"))
    }
}

impl Pluck<serde_json::Value> for usize {
    type Part = serde_json::Value;

    fn pluck(&self, mut item: serde_json::Value) -> Option<serde_json::Value> {
        item.get_mut(*self).map(serde_json::Value::take)
    }

    fn name(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl<V, S: BuildHasher> Pluck<HashMap<String, V, S>> for &'static str {
    type Part = V;

    fn pluck(&self, mut item: HashMap<String, V, S>) -> Option<V> {
        item.remove(*self)
    }

    fn name(&self) -> Option<String> {
        Some(format!("{self:?}"))
    }
}

impl<V> Pluck<BTreeMap<String, V>> for &'static str {
    type Part = V;

    fn pluck(&self, mut item: BTreeMap<String, V>) -> Option<V> {
        item.remove(*self)
    }

    fn name(&self) -> Option<String> {
        Some(format!("{self:?}"))
    }
}

impl<V> Pluck<Vec<V>> for usize {
    type Part = V;

    fn pluck(&self, mut item: Vec<V>) -> Option<V> {
        (*self < item.len()).then(|| item.swap_remove(*self))
    }

    fn name(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl<T: Item> Bag<T> {
    /// The part of each element that `key` names: an entry of a map or of a JSON object by its text, an element of a vector or of a JSON array by its number,
    /// or what a function takes out. That an element has no such part is an error; see [`Bag::pluck_or`].
    ///
    /// ```
    /// use chunkstore::{ErrorKind, bag};
    /// let rows = bag::from_sequence([vec![1, 10], vec![2, 20]], 2);
    /// assert_eq!(rows.pluck(1).compute()?, [10, 20]);
    /// assert_eq!(rows.pluck(|row: Vec<i32>| row.len()).compute()?, [2, 2]);
    /// assert_eq!(rows.pluck(2).compute().unwrap_err().kind(), ErrorKind::NotFound);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn pluck<P: Pluck<T>>(&self, key: P) -> Bag<P::Part>
    where
        P::Part: Item,
    {
        let line = Location::caller();
        self.plucked(key, line, None, move |key, item| {
            key.pluck(item).ok_or_else(|| {
                let name = key.name().unwrap_or_default();
                let error = Error::new(ErrorKind::NotFound, format!("an element has no part {name}")).from_line(line);
                error.hint("`pluck_or` gives such elements another value")
            })
        })
    }

    /// As [`Bag::pluck`], with `default` where an element has no such part.
    ///
    /// ```
    /// use chunkstore::bag;
    /// use std::collections::BTreeMap;
    /// let ages = [("Ada", 36), ("Alan", 41)].map(|(name, age)| BTreeMap::from([(name.to_string(), age)]));
    /// assert_eq!(bag::from_sequence(ages, 1).pluck_or("Ada", 0).compute()?, [36, 0]);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn pluck_or<P: Pluck<T>>(&self, key: P, default: P::Part) -> Bag<P::Part>
    where
        P::Part: Item + Clone + Sync,
    {
        let mut encoded = Vec::new();
        let encoded = chunkstore_store::serial::encode(&default, &mut encoded).is_ok().then_some(encoded);
        self.plucked(key, Location::caller(), Some(encoded), move |key, item| Ok(key.pluck(item).unwrap_or_else(|| default.clone())))
    }

    /// `default` is the encoded default, if there is one; the inner none says that it has no encoding.
    fn plucked<P: Pluck<T>>(
        &self,
        key: P,
        line: &'static Location<'static>,
        default: Option<Option<Vec<u8>>>,
        part: impl Fn(&P, T) -> crate::Result<P::Part> + Send + Sync + 'static,
    ) -> Bag<P::Part>
    where
        P::Part: Item,
    {
        let (part, name) = (Arc::new(part), key.name());
        let types = std::any::type_name::<(T, P)>();
        let (own, known) = match (&name, default) {
            (None, _) => {
                let op = Op::of(&key);
                let known = op.is_shared();
                (function_key("pluck", &[op]), known)
            }
            (Some(_), Some(None)) => (KeyBuilder::new("pluck", 1).nonce().finish(), false),
            (Some(name), Some(Some(default))) => (KeyBuilder::new("pluck_or", 1).text(name).text(types).bytes(&default).finish(), true),
            (Some(name), None) => (KeyBuilder::new("pluck", 1).text(name).text(types).finish(), true),
        };
        let pipeline = self.upstream().map(|upstream| {
            let key = Arc::new(key);
            let adapt = move |inner, _| {
                let (key, part) = (key.clone(), part.clone());
                Box::new(Map { inner, f: move |item| part(&key, item) }) as _
            };
            Arc::new(Step::new("pluck", own, upstream, Arc::new(adapt), Some(line)).known(known)) as _
        });
        Bag::of(pipeline, line)
    }
}
