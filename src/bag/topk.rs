//! The greatest elements.

use super::best::Best;
use super::lazy::{Bag, function_key};
use super::pipeline::Item;
use super::stream::{BoxStream, FromIter, MORE};
use super::tree::{Shrink, Tree};
use crate::graph::{Key, KeyBuilder, Op};
use chunkstore_store::serial::heap_bytes;
use std::cmp::Ordering;
use std::panic::Location;
use std::sync::Arc;

impl<T: Item> Bag<T> {
    /// The `k` greatest elements, the greatest first, and of equal ones those that come first: a bag of one partition. A task holds a quarter more than k elements at most.
    /// What cannot be compared with itself, as NaN, comes last.
    ///
    /// ```
    /// use chunkstore::bag;
    /// assert_eq!(bag::from_sequence([10, 3, 5, 7, 11, 4], 2).topk(2).compute()?, [11, 10]);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn topk(&self, k: usize) -> Bag<T>
    where
        T: PartialOrd,
    {
        let key = KeyBuilder::new("topk", 1).number(k as u64).finish();
        greatest(self, key, k, Location::caller(), |_| (), |(_, a), (_, b)| descending(a, b))
    }

    /// As [`Bag::topk`], by what a function makes of each element.
    ///
    /// ```
    /// use chunkstore::bag;
    /// let words = bag::from_sequence(["to", "be", "or", "not"].map(String::from), 2);
    /// assert_eq!(words.topk_by(2, |word| word.len()).compute()?, ["not", "to"]);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn topk_by<K: PartialOrd + 'static, F: Fn(&T) -> K + Send + Sync + 'static>(&self, k: usize, key: F) -> Bag<T> {
        let own = KeyBuilder::new("topk_by", 1).number(k as u64).input(function_key("topk_by", &[Op::of(&key)])).finish();
        greatest(self, own, k, Location::caller(), key, |(a, _), (b, _)| descending(a, b))
    }
}

fn greatest<T: Item, K: 'static>(
    bag: &Bag<T>,
    key: Key,
    k: usize,
    line: &'static Location<'static>,
    key_of: impl Fn(&T) -> K + Send + Sync + 'static,
    order: fn(&(K, T), &(K, T)) -> Ordering,
) -> Bag<T> {
    let step: Arc<Shrink<T, T>> = Arc::new(move |task, _, mut rows| {
        let mut best = Best::new(k, order, task);
        rows.each(&mut |item| {
            // What a key holds is taken to be no more than what its element does.
            best.push((key_of(&item), item), |(_, item)| heap_bytes(item) * (1 + u64::from(std::mem::needs_drop::<K>())))?;
            Ok(MORE)
        })?;
        Ok(Box::new(FromIter(best.finish().map(|(_, item)| Ok(item)))) as BoxStream<T>)
    });
    Tree { name: "topk", key, chunk: step.clone(), combine: step, elements: k, line }.of(bag)
}

/// The greater first; what cannot be compared with itself last.
fn descending<K: PartialOrd>(a: &K, b: &K) -> Ordering {
    let compares = |x: &K| x.partial_cmp(x).is_some();
    b.partial_cmp(a).unwrap_or_else(|| compares(b).cmp(&compares(a)))
}
