//! Plain values: one dataset each.

use super::info::DatasetKind;
use super::store::Store;
use crate::{Chunk, Error, ErrorKind, Records, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

/// The kind of the dataset of a value.
const KIND: &str = "value";

/// The numbers, truth values and characters in the name of a type, in order: what is read as other ones would be silently wrong. Names of users' types
/// tell nothing of what is in them.
pub(crate) fn leaves(type_name: &str) -> Vec<&str> {
    const LEAVES: [&str; 16] =
        ["i8", "i16", "i32", "i64", "i128", "isize", "u8", "u16", "u32", "u64", "u128", "usize", "f32", "f64", "bool", "char"];
    type_name.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| LEAVES.contains(word)).collect()
}

impl Store {
    /// Saves a value under a name, in the place of a value that had it, and returns once it survives a loss of power.
    ///
    /// # Errors
    /// Exists where the name is that of a dataset of another kind; Invalid where the value cannot be encoded; those of writing.
    pub fn save_value<T: Serialize + ?Sized>(&self, name: &str, value: &T) -> Result<()> {
        self.save_value_with(name, value, Map::new())
    }

    /// As [`Store::save_value`], with attributes: a unit, a source, whatever is worth knowing. Value and attributes are saved in one step.
    ///
    /// # Errors
    /// As for [`Store::save_value`]; Invalid where the attributes are too long.
    ///
    /// ```
    /// use chunkstore_store::Store;
    /// # let temporary = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
    /// let store = Store::open(temporary.path().join("store"))?;
    /// store.save_value_with("limit", &273.15, [("unit".to_string(), "K".into())].into_iter().collect())?;
    /// assert_eq!((store.value::<f64>("limit")?, &store.info("limit")?.unwrap().attributes["unit"]), (273.15, &"K".into()));
    /// # Ok::<(), chunkstore_store::Error>(())
    /// ```
    pub fn save_value_with<T: Serialize + ?Sized>(&self, name: &str, value: &T, attributes: Map<String, Value>) -> Result<()> {
        let records = Records::encode(&self.inner().arena, [value])?;
        let old = self.info(name)?;
        let kind = DatasetKind::new(KIND, json!({ "type": std::any::type_name::<T>() }));
        let writer = self.create(name, kind)?.replace(old.is_some_and(|old| old.kind == KIND));
        writer.put(0, &Chunk::Records(records))?;
        writer.set_attributes(attributes)?;
        writer.commit().map(|_| ())
    }

    /// A value that was saved.
    ///
    /// # Errors
    /// Not found where nothing has the name; Invalid where it is not a value; corrupt where it is damaged, or of another type.
    pub fn value<T: DeserializeOwned>(&self, name: &str) -> Result<T> {
        let dataset = self.dataset(name)?;
        let other = |what: &str| Error::new(ErrorKind::Invalid, format!("{name:?} is {what}, and not a value")).at(self.folder());
        if dataset.info().kind != KIND {
            return Err(other(&format!("of kind {:?}", dataset.info().kind)));
        }
        let Some(Chunk::Records(records)) = dataset.chunk(0)? else { return Err(other("without records")) };
        let type_name = dataset.info().meta.get("type").and_then(|name| name.as_str()).unwrap_or("unknown").to_owned();
        if leaves(&type_name) != leaves(std::any::type_name::<T>()) {
            let message = format!("{name:?} was saved as {type_name}, and cannot be read as {}", std::any::type_name::<T>());
            return Err(Error::new(ErrorKind::Invalid, message).at(self.folder()).hint("read it as the type that was saved"));
        }
        let (mut values, not_this) = (records.iter::<T>(), || {
            let message = format!("{name:?} was saved as {type_name}, and cannot be read as {}", std::any::type_name::<T>());
            Error::new(ErrorKind::Corrupt, message).at(self.folder()).hint("read it as the type that was saved")
        });
        match (values.next(), values.next()) {
            (Some(Ok(value)), None) => Ok(value),
            _ => Err(not_this()),
        }
    }
}
