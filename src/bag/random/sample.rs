//! Random elements without replacement.
//!
//! Each element gets 64 random bits, its tag, that follow from the seed, its partition and its number there; the `k` elements of the least tags are the sample, in the order
//! of their tags (a bottom-k sample: Cohen and Kaplan, "Summarizing data using bottom-k sketches", 2007; the reservoir of Efraimidis and Spirakis, "Weighted random
//! sampling with a reservoir", 2006, is this for equal weights).
//!
//! Tags are independent and of one distribution, so every order of the elements by tag is equally likely: so is every set of `k`, and every order of it.
//! Equal tags, of which there is one pair in 2⁶⁴, are the only exception: they come in the order of the elements. The least `k` tags of all are among the least `k` of
//! each part, so a tree merges parts without further chance.

use crate::bag::Bag;
use crate::bag::best::Best;
use crate::bag::counter::{Kind, bits};
use crate::bag::pipeline::Item;
use crate::bag::stream::{BoxStream, FromIter, MORE, Stream};
use crate::bag::tree::Tree;
use crate::graph::KeyBuilder;
use crate::{Error, ErrorKind, Result};
use chunkstore_store::serial::heap_bytes;
use std::panic::Location;
use std::sync::Arc;

/// An element and its tag.
type Tagged<T> = (u64, T);

/// `k` different elements of a bag, each set of them equally likely, in random order: a bag of one partition. Which they are depends on the seed and on how the elements are partitioned only.
/// That the bag has fewer elements is an error.
///
/// ```
/// use chunkstore::{ErrorKind, bag};
/// let x = bag::range(100, 8);
/// let five = bag::random::sample(&x, 5, 42).compute()?;
/// assert_eq!(five.len(), 5);
/// assert_eq!(five, bag::random::sample(&x, 5, 42).compute()?);
/// assert_eq!(bag::random::sample(&x, 101, 42).compute().unwrap_err().kind(), ErrorKind::Invalid);
/// # Ok::<(), chunkstore::Error>(())
/// ```
#[track_caller]
pub fn sample<T: Item>(bag: &Bag<T>, k: usize, seed: u64) -> Bag<T> {
    let line = Location::caller();
    let key = KeyBuilder::new("sample", 1).number(k as u64).number(seed).finish();
    let order = |(a, _): &Tagged<T>, (b, _): &Tagged<T>| a.cmp(b);
    let tree = Tree::<T, Tagged<T>> {
        name: "sample",
        key,
        chunk: Arc::new(move |task, place, mut rows| {
            let (mut best, mut at) = (Best::new(k, order, task), 0);
            rows.each(&mut |item| {
                let tag = bits(seed, Kind::Tag, place.block, at);
                at += 1;
                best.push((tag, item), |(_, item)| heap_bytes(item))?;
                Ok(MORE)
            })?;
            Ok(Box::new(FromIter(best.finish().map(Ok))) as BoxStream<Tagged<T>>)
        }),
        combine: Arc::new(move |task, _, mut rows| {
            let mut best = Best::new(k, order, task);
            rows.each(&mut |tagged| {
                best.push(tagged, |(_, item)| heap_bytes(item))?;
                Ok(MORE)
            })?;
            Ok(Box::new(FromIter(best.finish().map(Ok))) as BoxStream<Tagged<T>>)
        }),
        elements: k,
        line,
    };
    let parameters = (k as u64).to_le_bytes();
    tree.of(bag).plain_step("sample", &parameters, line, move |inner, _| Box::new(Enough { inner, given: 0, k, line }))
}

/// Elements without their tags; an error where they are fewer than were asked for.
struct Enough<T> {
    inner: BoxStream<Tagged<T>>,
    given: usize,
    k: usize,
    line: &'static Location<'static>,
}

impl<T: 'static> Stream<T> for Enough<T> {
    fn next(&mut self) -> Option<Result<T>> {
        match self.inner.next() {
            Some(tagged) => {
                self.given += 1;
                Some(tagged.map(|(_, item)| item))
            }
            None if self.given < self.k => {
                let message = format!("a sample of {} of {} elements", self.k, self.given);
                self.given = self.k;
                Some(Err(Error::new(ErrorKind::Invalid, message).from_line(self.line).hint("`choices` takes elements more than once")))
            }
            None => None,
        }
    }
}
