//! Bags of numbers in order.

use super::lazy::{Bag, counted};
use super::pipeline::Pipeline;
use super::stream::{BoxStream, FromIter};
use crate::Result;
use crate::graph::{Dependency, Key, KeyBuilder, LayerRef, TaskContext, Value};
use std::ops::Range;
use std::panic::Location;
use std::sync::Arc;

/// The numbers from 0 to below `n`, in so many partitions.
///
/// ```
/// use chunkstore::bag;
/// assert_eq!(bag::range(5, 2).compute()?, [0, 1, 2, 3, 4]);
/// # Ok::<(), chunkstore::Error>(())
/// ```
#[track_caller]
pub fn range(n: u64, npartitions: usize) -> Bag<u64> {
    let count = counted("npartitions", npartitions as u64, 1);
    Bag::of(count.map(|count| Arc::new(Numbers { n, count: count.min(n.clamp(1, u32::MAX.into()) as u32) }) as _), Location::caller())
}

/// A cancelled run is noticed after so many numbers.
const LOOK: u64 = 1024;

struct Numbers {
    n: u64,
    count: u32,
}

impl Numbers {
    fn of(&self, partition: u32) -> Range<u64> {
        // The product does not fit into 64 bits.
        let at = |i: u32| (u128::from(self.n) * u128::from(i) / u128::from(self.count.max(1))) as u64;
        at(partition)..at(partition + 1)
    }
}

impl Pipeline<u64> for Numbers {
    fn name(&self) -> &str {
        "range"
    }

    fn key(&self) -> Key {
        KeyBuilder::new("bag.range", 1).number(self.n).number(self.count.into()).finish()
    }

    fn inputs(&self) -> Vec<LayerRef> {
        Vec::new()
    }

    fn partitions(&self) -> u32 {
        self.count
    }

    fn dependencies(&self, _partition: u32, _first: u32, _out: &mut Vec<Dependency>) {}

    fn estimate(&self, partition: u32) -> u64 {
        let range = self.of(partition);
        // Integers are encoded in one byte up to 250, and in 3, 5 or 9 beyond.
        let bytes = match self.n {
            0..=251 => 1,
            252..=0x1_0000 => 3,
            0x1_0001..=0x1_0000_0000 => 5,
            _ => 9,
        };
        (range.end - range.start).saturating_mul(bytes)
    }

    fn whole(&self, partition: u32) -> u64 {
        self.estimate(partition)
    }

    fn open(&self, task: &TaskContext<'_>, partition: u32, _inputs: &[Value]) -> Result<BoxStream<u64>> {
        let cancellation = task.cancellation();
        let look = move |n: u64| if n.is_multiple_of(LOOK) { cancellation.check().map(|()| n) } else { Ok(n) };
        Ok(Box::new(FromIter(self.of(partition).map(look))))
    }

    fn with_inputs(&self, _inputs: &[LayerRef]) -> Option<Arc<dyn Pipeline<u64>>> {
        None
    }

    fn absorb(&self, _input: usize) -> Option<Arc<dyn Pipeline<u64>>> {
        None
    }

    fn is_cheap(&self) -> bool {
        true
    }

    fn is_portable(&self) -> bool {
        true
    }
}
