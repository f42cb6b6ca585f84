//! How often each element is there.

use super::lazy::Bag;
use super::map::is_text;
use super::pipeline::Item;
use super::shuffled::{Known, Read, Shuffle, Write};
use super::stream::{BoxStream, MORE, Stream};
use crate::graph::{KeyBuilder, TaskContext, Value};
use crate::shuffle::{CountBatch, Found, Merging, ShuffleLog, Tally, Writing, Written};
use crate::{Error, ErrorKind, Result};
use chunkstore_store::serial;
use std::any::Any;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;

impl<T: Item> Bag<T> {
    /// Each distinct element, and how often it is there. Elements are the same where they are equal as they are encoded: `0.0` and `-0.0` are, all NaN are, and `HashSet`s and `HashMap`s in whatever order. They come back so: a `-0.0` as `0.0`.
    ///
    /// Each partition is counted in a table of limited size, and what the tables hold goes through the append log to where it is summed up: so any number of distinct
    /// elements is counted in bounded memory. The order of the elements is fixed, but says nothing.
    ///
    /// ```
    /// use chunkstore::bag;
    /// let mut counts = bag::from_sequence(["b", "a", "b"].map(String::from), 2).frequencies().compute()?;
    /// counts.sort();
    /// assert_eq!(counts, [("a".to_string(), 1), ("b".to_string(), 2)]);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn frequencies(&self) -> Bag<(T, u64)> {
        let key = KeyBuilder::new("bag.frequencies", 1).text(std::any::type_name::<T>()).finish();
        let (write, read) = (Arc::new(Count), Arc::new(Counted(PhantomData)));
        let (known, line) = (Known::both(true), Location::caller());
        Shuffle { write, read, key, read_key: key, known, npartitions: None, extra: Vec::new(), line }.of(self)
    }
}

/// Counts in cells.
struct Count;

impl Tally for Count {
    type Accs = ();

    #[inline]
    fn merge(&self, (): &mut (), found: Found<'_>, value: &[u8]) -> Result<u64> {
        let count = match value {
            [count] => u64::from(*count),
            _ => count_of(value)?,
        };
        *found.cell += count;
        Ok(0)
    }

    #[inline]
    fn encode(&self, (): &(), cell: u64, out: &mut Vec<u8>) -> Result<()> {
        // As many bytes as it has, little-endian.
        let bytes = cell.to_le_bytes();
        let len = 8 - cell.leading_zeros() as usize / 8;
        out.extend_from_slice(bytes.get(..len.max(1)).unwrap_or_default());
        Ok(())
    }

    fn clear(&self, (): &mut ()) {}

    fn acc_bytes(&self) -> u64 {
        0
    }
}

fn count_of(value: &[u8]) -> Result<u64> {
    let mut bytes = [0; 8];
    match bytes.get_mut(..value.len()) {
        Some(to) => to.copy_from_slice(value),
        None => return Err(Error::new(ErrorKind::Corrupt, "a count in a shuffle is no number")),
    }
    Ok(u64::from_le_bytes(bytes))
}

impl<T: Item> Write<T> for Count {
    fn name(&self) -> &'static str {
        "frequencies_write"
    }

    fn scratch(&self, partitions: u32) -> u64 {
        Writing::bytes(self, partitions)
    }

    fn write(&self, task: &TaskContext<'_>, log: &Arc<ShuffleLog>, mut rows: BoxStream<T>, _extra: &[Value]) -> Result<Written> {
        let mut writing = Writing::new(self, log, task)?;
        let count = |(): &mut (), found: Found<'_>| {
            *found.cell += 1;
            Ok(())
        };
        match is_text::<T>() {
            true => {
                let mut batch = CountBatch::new();
                rows.each_spans(&mut |text, spans| {
                    writing.count_all(text.as_bytes(), spans, &mut batch)?;
                    Ok(MORE)
                })?
            }
            false => {
                let mut key = Vec::new();
                rows.each(&mut |item| {
                    key.clear();
                    serial::encode_key(&item, &mut key)?;
                    writing.add(&key, count)?;
                    Ok(MORE)
                })?
            }
        };
        writing.commit()
    }
}

/// Appends an element as a key: text as it is, anything else encoded.
#[inline]
pub(super) fn encode_key<K: Item>(key: &K, out: &mut Vec<u8>) -> Result<()> {
    match (key as &dyn Any).downcast_ref::<String>() {
        Some(text) => out.extend_from_slice(text.as_bytes()),
        None => serial::encode_key(key, out)?,
    }
    Ok(())
}

/// The element that a key is: text as it is, anything else encoded.
pub(super) fn element<T: Item>(key: &[u8]) -> Result<T> {
    if is_text::<T>() {
        let text = std::str::from_utf8(key).map_err(|_| Error::new(ErrorKind::Corrupt, "text in a shuffle is no UTF-8"))?;
        let mut slot = Some(text.to_owned());
        if let Some(element) = (&mut slot as &mut dyn Any).downcast_mut::<Option<T>>().and_then(Option::take) {
            return Ok(element);
        }
    }
    Ok(serial::decode(key, usize::MAX)?.0)
}

/// Elements and their counts, summed up.
struct Counted<T>(PhantomData<fn() -> T>);

impl<T: Item> Read<(T, u64)> for Counted<T> {
    fn name(&self) -> &'static str {
        "frequencies"
    }

    fn scratch(&self) -> u64 {
        Merging::bytes(&Count)
    }

    fn open(&self, task: &TaskContext<'_>, log: &Arc<ShuffleLog>, partition: u32) -> Result<BoxStream<(T, u64)>> {
        Ok(Box::new(Counts(Merging::new(Arc::new(Count), log, partition, task)?)))
    }
}

struct Counts(Merging<Count>);

impl<T: Item> Stream<(T, u64)> for Counts {
    fn next(&mut self) -> Option<Result<(T, u64)>> {
        self.0.next(|(), key, count| Ok((element(key)?, count))).transpose()
    }
}
