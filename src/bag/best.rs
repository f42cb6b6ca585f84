//! The first few elements in an order, of many, in bounded memory.

use crate::Result;
use crate::graph::TaskContext;
use chunkstore_store::serial;
use serde::Serialize;
use std::cmp::Ordering;

/// What compares elements: those that come first are kept.
pub(super) trait Order<X>: Fn(&X, &X) -> Ordering {}
impl<X, F: Fn(&X, &X) -> Ordering> Order<X> for F {}

/// Keeps the first `k` elements in an order, those that came first of equal ones. It holds up to 2k elements: when it has so many, it sorts them and drops the latter half,
/// which takes O(n log k) comparisons for n elements, and few where most of them are refused at once, by the last that is kept.
pub(super) struct Best<'a, X, O> {
    k: usize,
    order: O,
    kept: Vec<(X, u64)>,
    /// Whether the first `k` are in order, and nothing that comes after the last of them is wanted.
    full: bool,
    /// The bytes that are held, and that were claimed for them.
    held: u64,
    claimed: u64,
    task: &'a TaskContext<'a>,
    encoded: Vec<u8>,
}

impl<'a, X, O: Order<X>> Best<'a, X, O> {
    pub(super) fn new(k: usize, order: O, task: &'a TaskContext<'a>) -> Self {
        Best { k, order, kept: Vec::new(), full: false, held: 0, claimed: 0, task, encoded: Vec::new() }
    }

    /// Takes an element, if it is one of the first so far. `heap` is what it holds on the heap: taken to be what it takes encoded.
    pub(super) fn push<T: Serialize>(&mut self, new: X, heap: impl Fn(&X) -> &T) -> Result<()> {
        if self.k == 0 {
            return Ok(());
        }
        if self.full
            && let Some((last, _)) = self.kept.get(self.k - 1)
            && (self.order)(&new, last) != Ordering::Less
        {
            return Ok(());
        }
        self.encoded.clear();
        serial::encode(heap(&new), &mut self.encoded)?;
        let bytes = (2 * size_of::<(X, u64)>() + self.encoded.len()) as u64;
        self.held += bytes;
        if self.held > self.claimed {
            // In steps, so that not every element asks.
            let more = (self.held - self.claimed).max(self.claimed / 2).max(16 << 10);
            self.task.claim(more)?;
            self.claimed += more;
        }
        self.kept.push((new, bytes));
        if self.kept.len() >= self.k.saturating_mul(2) {
            self.cut();
        }
        Ok(())
    }

    /// Those that are first, in order.
    pub(super) fn finish(mut self) -> impl Iterator<Item = X> + use<X, O> {
        self.cut();
        self.kept.into_iter().map(|(item, _)| item)
    }

    fn cut(&mut self) {
        let order = &self.order;
        self.kept.sort_by(|(a, _), (b, _)| order(a, b));
        self.kept.truncate(self.k);
        self.held = self.kept.iter().map(|(_, bytes)| bytes).sum();
        self.full = self.kept.len() == self.k;
    }
}
