//! Bags and delayed values.

use crate::bag::{Bag, BagValue, Broadcast, Item, Joined, decoded, gathered};
use crate::delayed::Delayed;
use crate::graph::{
    Argument, Becomes, Fits, Given, IntoArg, IntoTask, Node, Picked, Program, Size, Sizes, TaskContext, Typed, Value, from_block,
    from_scalar,
};
use crate::{Error, ErrorKind, Result};
use chunkstore_store::{Chunk, RecordsWriter};
use smallvec::SmallVec;
use std::marker::PhantomData;
use std::panic::Location;
use std::sync::Arc;

impl<T: Item + Sync> Bag<T> {
    /// The bag's partitions in order, each as a delayed list of its elements.
    ///
    /// ```
    /// use chunkstore::bag;
    /// let parts = bag::range(10, 3).to_delayed()?;
    /// let last = parts[2].map(|part: Vec<u64>| part.iter().sum::<u64>());
    /// assert_eq!((parts.len(), last.compute()?), (3, 6 + 7 + 8 + 9));
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    ///
    /// # Errors
    /// The first error of the steps that made the bag.
    #[track_caller]
    pub fn to_delayed(&self) -> Result<Vec<Delayed<Vec<T>>>> {
        let (layer, line) = (gathered(self)?, Location::caller());
        Ok((0..layer.blocks()).map(|block| Delayed::of(Node::block(layer.clone(), block, line))).collect())
    }
}

impl<T: Item + Sync> BagValue<T> {
    /// The value as a delayed one.
    ///
    /// ```
    /// use chunkstore::bag;
    /// let half = bag::range(10, 3).sum().to_delayed().map(|sum: u64| sum / 2);
    /// assert_eq!(half.compute()?, 22);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn to_delayed(&self) -> Delayed<T> {
        let line = Location::caller();
        Delayed::of(match decoded(self) {
            Ok(layer) => Node::block(layer, 0, line),
            Err(error) => Node::broken(error, line),
        })
    }

    /// A delayed value as one that bags can take, in [`Bag::map_with`] for one.
    ///
    /// ```
    /// use chunkstore::{bag::BagValue, delayed::delayed};
    /// let six = BagValue::from_delayed(&delayed(|a: i64, b: i64| a * b).call((2, 3)));
    /// assert_eq!(six.apply(|n| n + 1).compute()?, 7);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn from_delayed(value: &Delayed<T>) -> Self {
        BagValue::from_bag(picked(vec![value.node.clone()], Encodes::<T>::one()), Location::caller())
    }
}

/// All elements of a bag, in order, as a list: all of them are in memory together.
impl<T: Item + Sync + Argument + Clone> IntoTask for &Bag<T> {
    fn encode(self, program: &mut Program) {
        fn joined<T>(parts: Vec<Vec<T>>) -> Vec<T> {
            parts.into_iter().flatten().collect()
        }
        match self.to_delayed() {
            Ok(parts) => program.call(
                |program| {
                    parts.encode(program);
                    1
                },
                Typed(joined::<T>, PhantomData),
            ),
            Err(error) => program.literal(Err(error)),
        }
    }
}
impl<T: Item + Sync + Argument + Clone> IntoArg<Vec<T>> for &Bag<T> {}

impl<T: Item + Sync + Argument + Clone> IntoTask for Bag<T> {
    fn encode(self, program: &mut Program) {
        (&self).encode(program);
    }
}
impl<T: Item + Sync + Argument + Clone> IntoArg<Vec<T>> for Bag<T> {}

impl<T: Item + Sync> IntoTask for &BagValue<T> {
    fn encode(self, program: &mut Program) {
        self.to_delayed().encode(program);
    }
}
impl<T: Item + Sync + Fits<U>, U> IntoArg<U> for &BagValue<T> {}

impl<T: Item + Sync> IntoTask for BagValue<T> {
    fn encode(self, program: &mut Program) {
        (&self).encode(program);
    }
}
impl<T: Item + Sync + Fits<U>, U> IntoArg<U> for BagValue<T> {}

impl<T: Item + Sync> Bag<T> {
    /// A bag whose partitions are delayed lists.
    ///
    /// ```
    /// use chunkstore::{bag::Bag, delayed::delayed};
    /// let load = delayed(|part: i64| vec![part; 3]);
    /// let parts: Vec<_> = (0..4i64).map(|part| load.call((part,))).collect();
    /// assert_eq!(Bag::from_delayed(&parts).sum().compute()?, 3 * 6);
    /// # Ok::<(), chunkstore::Error>(())
    /// ```
    #[track_caller]
    pub fn from_delayed(values: &[Delayed<Vec<T>>]) -> Self {
        picked(values.iter().map(|value| value.node.clone()).collect(), Encodes::<T>::list())
    }
}

impl<T: Item + Sync> Broadcast for Delayed<T> {
    type Value = T;

    fn broadcast(&self) -> BagValue<T> {
        BagValue::from_delayed(self)
    }
}

impl<T: Item + Sync> Joined for &Delayed<Vec<T>> {
    type Item = T;

    fn one_partition(self) -> Bag<T> {
        picked(vec![self.node.clone()], Encodes::<T>::list())
    }
}

fn picked<T: Item + Sync>(nodes: Vec<crate::graph::NodeRef>, encodes: Encodes<T>) -> Bag<T> {
    Bag::on(Arc::new(Picked::blocks(nodes, Arc::new(encodes))))
}

/// Values, or lists of them, as partitions.
struct Encodes<T> {
    list: bool,
    item: PhantomData<fn() -> T>,
}

impl<T> Encodes<T> {
    fn one() -> Self {
        Encodes { list: false, item: PhantomData }
    }

    fn list() -> Self {
        Encodes { list: true, item: PhantomData }
    }
}

/// The bytes that a partition is first taken to have.
const GUESS: u64 = 4 << 10;

impl<T: Item + Sync> Becomes for Encodes<T> {
    fn name(&self) -> &str {
        "from_delayed"
    }

    fn position(&self, block: u32) -> SmallVec<[u32; 4]> {
        SmallVec::from_slice(&[block])
    }

    fn bytes(&self, _block: u32) -> u64 {
        GUESS
    }

    fn sizes(&self, _block: u32) -> Sizes {
        Sizes { out: Size::Learned(GUESS), scratch: 128 << 10, load: 0 }
    }

    fn convert(&self, task: &TaskContext<'_>, value: &Value) -> Result<Value> {
        let refused = |error: Error| chunkstore_store::Error::new(chunkstore_store::ErrorKind::OutOfMemory, error.to_string());
        let mut writer = RecordsWriter::new(|len| task.alloc(len).map_err(refused));
        let given = Given::from(value);
        let push_all = |list: &[T], writer: &mut RecordsWriter<_>| list.iter().try_for_each(|item| writer.push(item));
        if !self.list {
            encode_one::<T, _>(given, &mut writer)?;
        } else if let Some(list) = given.object::<Vec<T>>() {
            push_all(list, &mut writer)?;
        } else if let Some(block) = given.value().and_then(Value::block) {
            task.claim(value.nbytes())?;
            let list = from_block::<Vec<T>>(block).ok_or_else(|| wrong::<Vec<T>>(given))?;
            push_all(&list, &mut writer)?;
        } else if let Some(elements) = given.elements() {
            for element in elements {
                encode_one::<T, _>(element, &mut writer)?;
            }
        } else {
            return Err(wrong::<Vec<T>>(given));
        }
        Ok(Value::Chunk(Chunk::Records(writer.finish()?)))
    }

    fn parameters(&self) -> Vec<u8> {
        [&[u8::from(self.list)], std::any::type_name::<T>().as_bytes()].concat()
    }
}

fn encode_one<T: Item + Sync, A>(given: Given<'_>, writer: &mut RecordsWriter<A>) -> Result<()>
where
    A: FnMut(usize) -> chunkstore_store::Result<chunkstore_store::BufferMut>,
{
    if let Some(item) = given.object::<T>() {
        writer.push(item)?;
    } else if let Some(item) = given.scalar().and_then(from_scalar::<T>) {
        writer.push(&item)?;
    } else if let Some(item) = given.value().and_then(Value::block).and_then(from_block::<T>) {
        writer.push(&item)?;
    } else {
        return Err(wrong::<T>(given));
    }
    Ok(())
}

fn wrong<T>(given: Given<'_>) -> Error {
    let message = format!("a delayed value is {}, and {} was asked for", given.describe(), std::any::type_name::<T>());
    Error::new(ErrorKind::Type, message)
}
