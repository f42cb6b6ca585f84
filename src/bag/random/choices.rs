//! Random elements with replacement.
//!
//! There are `k` slots, each a reservoir of one element that has nothing to do with the others. In a partition, a slot that holds the `i`-th element next takes the one
//! after ⌊i / u⌋, where u is uniform in (0, 1]: the probability that the next is beyond `m` is that of u <= i / m, which is i / m, as it is when each element `j` is taken with
//! probability 1 / j. So after n elements each is in the slot with probability 1 / n (Li, "Reservoir-sampling algorithms of time complexity O(n(1 + log(N / n)))", 1994),
//! and a slot takes about ln n elements of n.
//!
//! Of two parts of n and m elements, a slot takes the second's element with probability m / (n + m): each element of n + m is in it with probability 1 / (n + m), where
//! the chance is independent of those before. Numbers for partitions, slots, and places in the tree are all different numbers of the generator.

use crate::bag::Bag;
use crate::bag::counter::{Kind, bits2, unit};
use crate::bag::pipeline::Item;
use crate::bag::stream::{BoxStream, FromIter, MORE, Stream};
use crate::bag::tree::Tree;
use crate::graph::{KeyBuilder, TaskContext};
use crate::{Error, ErrorKind, Result};
use chunkstore_store::serial::heap_bytes;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::panic::Location;
use std::sync::Arc;

/// How many elements there were, and what is in the slots.
type Slots<T> = (u64, Vec<T>);

/// `k` elements of a bag, each of which may be any of the bag's with equal probability: a bag of one partition. Which they are depends on the seed and on how the elements are
/// partitioned only. That the bag has no elements is an error.
///
/// ```
/// use chunkstore::bag;
/// let x = bag::range(3, 2);
/// let ten = bag::random::choices(&x, 10, 42).compute()?;
/// assert_eq!((ten.len(), ten.iter().all(|n| *n < 3)), (10, true));
/// assert_eq!(ten, bag::random::choices(&x, 10, 42).compute()?);
/// # Ok::<(), chunkstore::Error>(())
/// ```
#[track_caller]
pub fn choices<T: Item + Clone>(bag: &Bag<T>, k: usize, seed: u64) -> Bag<T> {
    let line = Location::caller();
    if u32::try_from(k).is_err() {
        let error = Error::new(ErrorKind::Invalid, format!("{k} choices")).hint("ask for less than 2^32");
        return Bag::at(bag.check().and(Err(error)), line);
    }
    let key = KeyBuilder::new("choices", 1).number(k as u64).number(seed).finish();
    let tree = Tree::<T, Slots<T>> {
        name: "choices",
        key,
        chunk: Arc::new(move |task, place, rows| Ok(one(chosen(task, place.block, rows, k, seed)?))),
        combine: Arc::new(move |task, place, rows| Ok(one(merged(task, (place.level, place.block), rows, seed)?))),
        elements: k,
        line,
    };
    let parameters = (k as u64).to_le_bytes();
    tree.of(bag).plain_step("choices", &parameters, line, move |inner, _| {
        Box::new(Open { inner: Some(inner), items: Vec::new().into_iter(), k, line })
    })
}

fn one<T: 'static>(slots: Option<T>) -> BoxStream<T> {
    Box::new(FromIter(slots.into_iter().map(Ok)))
}

/// What the slots of a partition hold; none where it has no elements.
fn chosen<T: Item + Clone>(
    task: &TaskContext<'_>,
    partition: u32,
    mut rows: BoxStream<T>,
    k: usize,
    seed: u64,
) -> Result<Option<Slots<T>>> {
    let (mut seen, mut items, mut holding) = (0u64, Vec::new(), task.holding());
    // For each slot the number of the element that it takes next, and how often it has taken one.
    let mut next: BinaryHeap<Reverse<(u64, u32, u32)>> = BinaryHeap::new();
    let after = |at: u64, slot: u32, taken: u32| {
        let random = 1.0 - unit(bits2(seed, Kind::Skip, (partition, slot), taken));
        // Beyond 2^64 there are no elements, and there the conversion stops.
        ((at as f64 / random) as u64).max(at).saturating_add(1)
    };
    rows.each(&mut |item| {
        seen += 1;
        if seen == 1 {
            let each = (size_of::<T>() + size_of::<(u64, u32, u32)>()) as u64 + heap_bytes(&item);
            holding.add((k as u64).saturating_mul(each))?;
            next = (0..k as u32).map(|slot| Reverse((after(1, slot, 0), slot, 1))).collect();
            items = vec![item; k];
            return Ok(MORE);
        }
        while let Some(Reverse((at, slot, taken))) = next.peek().copied().filter(|Reverse((at, ..))| *at == seen) {
            if let Some(held) = items.get_mut(slot as usize) {
                holding.sub(heap_bytes(held));
                holding.add(heap_bytes(&item))?;
                *held = item.clone();
            }
            next.pop();
            next.push(Reverse((after(at, slot, taken), slot, taken + 1)));
        }
        Ok(MORE)
    })?;
    Ok((seen > 0).then_some((seen, items)))
}

/// What the slots of several parts hold together.
fn merged<T: Item + Clone>(
    task: &TaskContext<'_>,
    (level, block): (u32, u32),
    mut parts: BoxStream<Slots<T>>,
    seed: u64,
) -> Result<Option<Slots<T>>> {
    let (mut all, mut part): (Option<Slots<T>>, u32) = (None, 0);
    let mut holding = task.holding();
    parts.each(&mut |(count, items)| {
        // Those that come are booked for by who gives them.
        holding.set(all.as_ref().map_or(0, |(_, held)| heap_bytes(held)))?;
        all = Some(match all.take() {
            None => (count, items),
            Some((before, mut held)) => {
                part += 1;
                let total = before.saturating_add(count);
                for (slot, (held, item)) in held.iter_mut().zip(items).enumerate() {
                    // A group has less than 256 parts, and a tree less than 256 levels.
                    let random = bits2(seed, Kind::Merge, (block, slot as u32), level << 8 | part);
                    if unit(random) * (total as f64) < count as f64 {
                        *held = item;
                    }
                }
                (total, held)
            }
        });
        Ok(MORE)
    })?;
    Ok(all)
}

/// The elements in the slots; an error where there are none and some were asked for.
struct Open<T> {
    inner: Option<BoxStream<Slots<T>>>,
    items: std::vec::IntoIter<T>,
    k: usize,
    line: &'static Location<'static>,
}

impl<T: 'static> Stream<T> for Open<T> {
    fn next(&mut self) -> Option<Result<T>> {
        if let Some(mut inner) = self.inner.take() {
            match inner.next() {
                Some(Ok((_, items))) => self.items = items.into_iter(),
                Some(Err(error)) => return Some(Err(error)),
                None if self.k > 0 => {
                    let message = format!("{} choices of a bag without elements", self.k);
                    return Some(Err(Error::new(ErrorKind::Invalid, message).from_line(self.line)));
                }
                None => {}
            }
        }
        self.items.next().map(Ok)
    }
}
