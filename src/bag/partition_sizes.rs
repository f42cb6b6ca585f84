//! Other partitions of the same elements, by their size.

use super::lazy::Bag;
use super::map::is_text;
use super::pipeline::{Item, Upstream};
use super::regroup::Regroup;
use super::split::Split;
use super::stored::store_one;
use super::stream::{BoxStream, MORE};
use super::work::{Act, Work};
use crate::graph::{Key, KeyBuilder, LayerRef, Size, Sizes, TaskContext, Value};
use crate::{Error, ErrorKind, Result};
use chunkstore_store::serial;
use std::panic::Location;
use std::sync::Arc;

impl<T: Item> Bag<T> {
    /// The bytes that the encoded elements of each partition take: a bag of one number a partition. Elements are not stored for it.
    ///
    /// ```
    /// use chunkstore::bag;
    /// assert_eq!(bag::from_sequence([1u8, 2, 3], 2).partition_sizes().compute()?, [1, 2]);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn partition_sizes(&self) -> Bag<u64> {
        let layer = self.upstream().map(|upstream| Arc::new(Work::new(upstream, Arc::new(Measure))) as LayerRef);
        Bag::at(layer, Location::caller())
    }

    /// The same elements in the same order, in partitions of about `bytes` encoded bytes, where the present ones have `sizes`, as [`Bag::partition_sizes`] gives them.
    /// Partitions that have as much or more are cut into parts of equal numbers of elements; what is smaller is put together while it fits.
    ///
    /// ```
    /// use chunkstore::{Engine, bag};
    /// let engine = Engine::builder().memory("256MiB").build()?;
    /// let x = engine.persist(&bag::range(200, 10).filter(|x| *x < 100 || x % 10 == 0))?;
    /// let sizes = engine.compute(&x.partition_sizes())?;
    /// let y = x.repartition_by_sizes(&sizes, 30);
    /// assert!(engine.compute(&y.partition_sizes())?.iter().all(|size| *size <= 30));
    /// assert_eq!(engine.compute(&y)?, engine.compute(&x)?);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn repartition_by_sizes(&self, sizes: &[u64], bytes: u64) -> Bag<T> {
        let line = Location::caller();
        let pipeline = || {
            let layer = self.stored_layer()?.clone();
            if sizes.len() != layer.blocks() as usize || bytes == 0 {
                let message = format!("{} sizes for {} partitions, which are to have {bytes} bytes", sizes.len(), layer.blocks());
                return Err(Error::new(ErrorKind::Invalid, message).hint("give what `partition_sizes` gives, and a byte at least"));
            }
            let (starts, groups) = cut(sizes, bytes);
            let too_many = || Error::new(ErrorKind::Invalid, format!("more than 2^32 partitions of {bytes} bytes"));
            let (starts, groups) = (starts.ok_or_else(too_many)?, groups);
            let parts = match starts.len() == starts.last().map_or(0, |last| *last as usize) + 1 {
                true => Upstream::Stored(layer),
                false => Upstream::Streamed(Arc::new(Split::<T>::new(layer, starts.into())) as _),
            };
            Ok(Arc::new(Regroup::new(parts, groups.into())) as _)
        };
        Bag::of(pipeline(), line)
    }

    /// As [`Bag::repartition_by_sizes`], with sizes that are computed on the default engine before this returns, as Dask does it: whatever makes the elements runs now, and
    /// again when the result is computed. A bag that is persisted first is made once.
    ///
    /// ```
    /// use chunkstore::bag;
    /// let x = bag::range(200, 10).persist()?;
    /// let y = x.repartition_size(70)?;
    /// assert_eq!((y.npartitions()?, y.compute()?.len()), (4, 200));
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    ///
    /// # Errors
    /// Those of computing the sizes.
    #[track_caller]
    pub fn repartition_size(&self, bytes: u64) -> Result<Bag<T>> {
        let sizes = self.partition_sizes().compute()?;
        Ok(self.repartition_by_sizes(&sizes, bytes))
    }
}

/// Where the parts of each partition begin, and where the groups of parts do that are put together; no parts where they are too many to be numbered.
fn cut(sizes: &[u64], bytes: u64) -> (Option<Vec<u32>>, Vec<u32>) {
    let (mut starts, mut groups, mut parts, mut taken) = (vec![0], vec![0], 0u32, 0);
    for size in sizes {
        // As many parts as are each below `bytes`.
        let Some(end) = u32::try_from(size / bytes).ok().and_then(|more| parts.checked_add(more)?.checked_add(1)) else {
            return (None, groups);
        };
        let each = size / u64::from(end - parts);
        for part in parts..end {
            if taken + each > bytes && part > 0 {
                groups.push(part);
                taken = 0;
            }
            taken += each;
        }
        parts = end;
        starts.push(parts);
    }
    groups.push(parts);
    (Some(starts), groups)
}

/// The bytes that elements take encoded.
struct Measure;

impl<T: Item> Act<T> for Measure {
    fn name(&self) -> &str {
        "partition_sizes"
    }

    fn key(&self) -> Key {
        KeyBuilder::new("bag.partition_sizes", 1).finish()
    }

    fn sizes(&self, _partition: u32, _estimate: u64) -> Sizes {
        Sizes { out: Size::Learned(64), scratch: 64 << 10, load: 0 }
    }

    fn run(&self, task: &TaskContext<'_>, mut rows: BoxStream<T>, _extra: &[Value]) -> Result<Value> {
        let (mut bytes, mut encoded) = (0u64, Vec::new());
        let mut measure = |done: chunkstore_store::Result<()>, encoded: &mut Vec<u8>| {
            done?;
            bytes += encoded.len() as u64;
            encoded.clear();
            Ok(MORE)
        };
        match is_text::<T>() {
            true => rows.each_str(&mut |text| measure(serial::encode(text, &mut encoded), &mut encoded))?,
            false => rows.each(&mut |item| measure(serial::encode(&item, &mut encoded), &mut encoded))?,
        };
        store_one(task, &bytes)
    }
}
