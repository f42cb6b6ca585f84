//! The first few elements in an order, of many, in bounded memory.

use crate::Result;
use crate::graph::{Holding, TaskContext};
use std::cmp::Ordering;

/// What compares elements: those that come first are kept.
pub(super) trait Order<X>: Fn(&X, &X) -> Ordering {}
impl<X, F: Fn(&X, &X) -> Ordering> Order<X> for F {}

/// Beside a quarter of the elements that are kept, so many more are held.
const FEW: usize = 64;

/// Keeps the first `k` elements in an order, those that came first of equal ones. It holds a quarter more than k elements: when it has so many, it sorts them and drops the last,
/// which takes O(n log k) comparisons for n elements, as the first k are in order already, and few where most of them are refused at once, by the last that is kept.
pub(super) struct Best<X, O> {
    k: usize,
    order: O,
    kept: Vec<(X, u64)>,
    /// Whether the first `k` are in order, and nothing that comes after the last of them is wanted.
    full: bool,
    holding: Holding,
}

impl<X, O: Order<X>> Best<X, O> {
    pub(super) fn new(k: usize, order: O, task: &TaskContext<'_>) -> Self {
        Best { k, order, kept: Vec::new(), full: false, holding: task.holding() }
    }

    /// Takes an element, if it is one of the first so far. `heap` is what it holds on the heap.
    pub(super) fn push(&mut self, new: X, heap: impl Fn(&X) -> u64) -> Result<()> {
        if self.k == 0 {
            return Ok(());
        }
        if self.full
            && let Some((last, _)) = self.kept.get(self.k - 1)
            && (self.order)(&new, last) != Ordering::Less
        {
            return Ok(());
        }
        let bytes = 2 * size_of::<(X, u64)>() as u64 + heap(&new);
        self.holding.add(bytes)?;
        self.kept.push((new, bytes));
        if self.kept.len() >= self.k.saturating_add(self.k / 4).saturating_add(FEW) {
            self.cut();
        }
        Ok(())
    }

    /// Those that are first, in order.
    pub(super) fn finish(mut self) -> impl Iterator<Item = X> + use<X, O> {
        self.cut();
        // They live on in what is given.
        self.holding.keep();
        self.kept.into_iter().map(|(item, _)| item)
    }

    fn cut(&mut self) {
        let order = &self.order;
        self.kept.sort_by(|(a, _), (b, _)| order(a, b));
        self.kept.truncate(self.k);
        self.holding.sub(self.holding.held() - self.kept.iter().map(|(_, bytes)| bytes).sum::<u64>());
        self.full = self.kept.len() == self.k;
    }
}
