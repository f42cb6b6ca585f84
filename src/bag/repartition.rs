//! Other partitions of the same elements, by their number.

use super::lazy::Bag;
use super::pipeline::{Item, Upstream};
use super::regroup::Regroup;
use super::split::Split;
use crate::{Error, ErrorKind};
use std::panic::Location;
use std::sync::Arc;

impl<T: Item> Bag<T> {
    /// The same elements in the same order, in so many partitions: fewer are runs of the partitions there are, which stream on without being stored; for more,
    /// each partition is stored and cut into parts of about the same number of elements.
    ///
    /// ```
    /// use chunkstore::bag;
    /// let x = bag::range(10, 4);
    /// for n in [1, 2, 4, 7] {
    ///     let y = x.repartition(n);
    ///     assert_eq!((y.npartitions()?, y.compute()?), (n, (0..10).collect::<Vec<_>>()));
    /// }
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn repartition(&self, npartitions: usize) -> Bag<T> {
        let line = Location::caller();
        let Ok(layer) = self.stored_layer() else { return self.clone() };
        let have = layer.blocks();
        match u32::try_from(npartitions) {
            Ok(wanted) if wanted == have => self.clone(),
            Ok(wanted) if wanted > 0 && have > 0 => {
                let at = |of: u32, i: u32, n: u32| (u64::from(of) * u64::from(i) / u64::from(n)) as u32;
                let pipeline = match wanted < have {
                    true => {
                        let starts = (0..=wanted).map(|i| at(have, i, wanted)).collect();
                        Arc::new(Regroup::new(Upstream::Stored(layer.clone()), starts)) as _
                    }
                    false => Arc::new(Split::<T>::new(layer.clone(), (0..=have).map(|i| at(wanted, i, have)).collect())) as _,
                };
                Bag::of(Ok(pipeline), line)
            }
            _ => {
                let error = Error::new(ErrorKind::Invalid, format!("{have} partitions cannot become {npartitions}"));
                Bag::at(Err(error.hint("ask for one at least, and for less than 2^32")), line)
            }
        }
    }
}
