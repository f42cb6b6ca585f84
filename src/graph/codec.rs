//! How what a registered function returns is kept on disk.

use super::result::into_value;
use super::{Object, TaskContext, Value};
use crate::{Error, ErrorKind, Result};
use chunkstore_store::Records;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::marker::PhantomData;

/// The most bytes of an object's record: longer ones are not kept.
pub(crate) const LONGEST: usize = 1 << 20;

/// Turns objects of one type into records and back.
#[derive(Clone, Copy)]
pub struct Codec {
    encode: fn(&Object, &TaskContext<'_>) -> Result<Option<Records>>,
    decode: fn(&Records, &TaskContext<'_>) -> Result<Value>,
}

impl Codec {
    fn of<T: Serialize + DeserializeOwned + Send + Sync + 'static>() -> Self {
        Codec { encode: encode::<T>, decode: decode::<T> }
    }

    /// The object as a record; none where it is of another type, is too long, or its record does not say all of it.
    ///
    /// # Errors
    /// Out of memory where there is no room for it now.
    pub(crate) fn encode(&self, object: &Object, task: &TaskContext<'_>) -> Result<Option<Records>> {
        (self.encode)(object, task)
    }

    /// The value of a record.
    ///
    /// # Errors
    /// Corrupt where it is no record of one value of the type.
    pub(crate) fn decode(&self, records: &Records, task: &TaskContext<'_>) -> Result<Value> {
        (self.decode)(records, task)
    }
}

fn encode<T: Serialize + DeserializeOwned + Send + Sync + 'static>(object: &Object, task: &TaskContext<'_>) -> Result<Option<Records>> {
    let Some(value) = object.get::<T>() else { return Ok(None) };
    let Some(records) = Records::encode_short(task.arena(), value, LONGEST)? else { return Ok(None) };
    // Some types leave out what they cannot do without (`skip_serializing_if`): what is read back has to be written as the same bytes.
    let Some(Ok(back)) = records.iter::<T>().next() else { return Ok(None) };
    let same = Records::encode_short(task.arena(), &back, LONGEST)?.is_some_and(|again| again.data[..] == records.data[..]);
    Ok(same.then_some(records))
}

fn decode<T: DeserializeOwned + Send + Sync + 'static>(records: &Records, task: &TaskContext<'_>) -> Result<Value> {
    let mut values = records.iter::<T>();
    match (values.next(), values.next()) {
        (Some(Ok(value)), None) => into_value(value, Some(task)),
        (Some(Err(error)), _) => Err(error.into()),
        _ => Err(Error::new(ErrorKind::Corrupt, "a saved value is no record of one value")),
    }
}

/// The type that a function returns. What [`ResultCodec`], [`SerdeCodec`] and [`NoCodec`] give for a reference to it is the codec of that of
/// them whose bounds the type meets, the first that does in this order: method look-up takes the receiver with the most references.
pub struct Returned<R>(PhantomData<fn() -> R>);

impl<R> Returned<R> {
    /// The type.
    pub const fn new() -> Self {
        Returned(PhantomData)
    }
}

impl<R> Default for Returned<R> {
    fn default() -> Self {
        Returned::new()
    }
}

/// For functions that may fail: the codec of what they give if they do not.
pub trait ResultCodec {
    /// The codec.
    fn codec(&self) -> Option<Codec>;
}

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static, E> ResultCodec for &&Returned<std::result::Result<T, E>> {
    fn codec(&self) -> Option<Codec> {
        Some(Codec::of::<T>())
    }
}

/// For types that can be serialised and come back.
pub trait SerdeCodec {
    /// The codec.
    fn codec(&self) -> Option<Codec>;
}

impl<R: Serialize + DeserializeOwned + Send + Sync + 'static> SerdeCodec for &Returned<R> {
    fn codec(&self) -> Option<Codec> {
        Some(Codec::of::<R>())
    }
}

/// For all others.
pub trait NoCodec {
    /// None.
    fn codec(&self) -> Option<Codec> {
        None
    }
}

impl<R> NoCodec for Returned<R> {}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use chunkstore_store::{Arena, Ledger};
    use serde::Deserialize;
    use std::collections::BTreeMap;
    use std::sync::Arc;
    use std::sync::atomic::AtomicBool;

    #[derive(Serialize, Deserialize, PartialEq, Debug)]
    struct Fit {
        weights: Vec<f64>,
        names: BTreeMap<String, u32>,
    }

    /// What cannot come back from a format without names.
    #[derive(Serialize, Deserialize)]
    struct Skips {
        #[serde(skip_serializing_if = "Option::is_none")]
        a: Option<u8>,
        b: u8,
    }

    struct Mine;

    #[test]
    #[expect(clippy::needless_borrow, reason = "the number of references chooses what is tried first")]
    fn what_a_type_can_do_decides() {
        assert!((&&&Returned::<Fit>::new()).codec().is_some());
        assert!((&&&Returned::<Result<Fit>>::new()).codec().is_some());
        assert!((&&&Returned::<Result<Mine>>::new()).codec().is_none());
        assert!((&&&Returned::<Mine>::new()).codec().is_none());
    }

    #[test]
    fn objects_come_back() {
        let (arena, cancelled) = (Arena::new(Ledger::new(1 << 24)), AtomicBool::new(false));
        let task = TaskContext::new(0, &arena, &cancelled);
        let fit = || Fit { weights: vec![f64::NEG_INFINITY, 0.1], names: [("one".to_string(), 1)].into() };
        let codec = Codec::of::<Fit>();
        let records = codec.encode(&Object::new(Arc::new(fit()), 0), &task).unwrap().unwrap();
        let Value::Object(back) = codec.decode(&records, &task).unwrap() else { panic!("no object") };
        assert_eq!(*back.get::<Fit>().unwrap(), fit());
        assert!(codec.encode(&Object::new(Arc::new(1.5f64), 0), &task).unwrap().is_none(), "another type");
        assert_eq!(Codec::of::<(u64, u64)>().decode(&records, &task).unwrap_err().kind(), ErrorKind::Corrupt);
        for skips in [Skips { a: None, b: 0 }, Skips { a: None, b: 1 }, Skips { a: None, b: 7 }] {
            assert!(Codec::of::<Skips>().encode(&Object::new(Arc::new(skips), 0), &task).unwrap().is_none());
        }
    }
}
