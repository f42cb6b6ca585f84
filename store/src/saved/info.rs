//! What a dataset is.

use super::gone::Gone;
use super::value::leaves;
use crate::codec::Encode;
use crate::manifest::Entry;
use crate::{DType, Error, ErrorKind, Result, checksum};
use serde_json::{Map, Value, json};

/// What a new dataset is to be: its kind, and what is needed to understand its chunks.
///
/// The kinds that the crates here write are `array`, `bag`, `value`, `chest` and `checkpoint`; others are kept and listed as they are.
#[derive(Debug, Clone, PartialEq)]
pub struct DatasetKind {
    kind: String,
    meta: Value,
}

impl DatasetKind {
    /// Any kind, with any JSON to describe it.
    pub fn new(kind: impl Into<String>, meta: Value) -> Self {
        DatasetKind { kind: kind.into(), meta }
    }

    /// An array of `dtype` and `shape`, in elements, whose axes are divided into `chunks`, the extents along each axis. Chunk number n is
    /// the n-th block in C order (last axis fastest).
    ///
    /// # Errors
    /// Invalid where the chunks of an axis do not add up to its extent.
    pub fn array(dtype: DType, shape: &[usize], chunks: &[Vec<usize>]) -> Result<Self> {
        let sums: Vec<usize> = chunks.iter().map(|axis| axis.iter().fold(0usize, |sum, extent| sum.saturating_add(*extent))).collect();
        if sums != shape {
            return Err(Error::new(ErrorKind::Invalid, format!("chunks that cover {sums:?} do not make up an array of shape {shape:?}")));
        }
        Ok(Self::new("array", json!({ "dtype": dtype.name(), "shape": shape, "chunks": chunks })))
    }

    /// The kind.
    pub fn kind(&self) -> &str {
        &self.kind
    }

    /// What describes it.
    pub fn meta(&self) -> &Value {
        &self.meta
    }
}

/// What a dataset is, and how large.
#[derive(Debug, Clone, PartialEq)]
pub struct DatasetInfo {
    /// The name, parts separated by `/`.
    pub name: String,
    /// A number that stays with the data when they are renamed; a copy has another.
    pub id: u64,
    /// `array`, `bag`, `value`, `chest`, `checkpoint`, or another.
    pub kind: String,
    /// What is needed to understand the chunks. For an array: `dtype` (NumPy's name), `shape`, and `chunks`, the extents along each axis;
    /// for a value: `type`; for a bag: `type` and `partitions`, their number.
    pub meta: Value,
    /// What the user said of it.
    pub attributes: Map<String, Value>,
    /// How many chunks there are; of a chest with the parts of its streams, see [`Dataset::values`](crate::Dataset::values).
    pub chunks: u64,
    /// Their bytes in memory. Where keys were put again or removed, it is what the others would take at the mean ratio.
    pub bytes: u64,
    /// Their bytes on disk, with the headers. What copies share is counted for each.
    pub stored_bytes: u64,
    /// When it was saved first, in seconds since 1970.
    pub created: u64,
    /// A number that changes whenever chunks are put, removed or replaced; see [`Dataset::version`](crate::Dataset::version).
    pub version: u64,
}

impl DatasetInfo {
    pub(crate) fn of(entry: &Entry) -> Result<Self> {
        let broken = |what: &str| Error::new(ErrorKind::Corrupt, format!("the {what} of {:?} are no JSON", entry.name));
        Ok(DatasetInfo {
            name: entry.name.clone(),
            id: entry.id,
            kind: entry.kind.clone(),
            meta: serde_json::from_str(&entry.meta).map_err(|_| broken("metadata"))?,
            attributes: serde_json::from_str(&entry.attributes).map_err(|_| broken("attributes"))?,
            chunks: entry.chunks,
            bytes: entry.bytes,
            stored_bytes: entry.stored,
            created: entry.created,
            version: version(entry),
        })
    }

    /// How many chunks it has when all are there: those of the grid of an array, the one of a value, the partitions of a bag; nothing where it can have any number.
    pub fn chunks_in_all(&self) -> Option<u64> {
        match self.kind.as_str() {
            "array" => {
                let axes = self.chunk_extents()?;
                Some(axes.iter().fold(1u64, |product, axis| product.saturating_mul(axis.len() as u64)))
            }
            "value" => Some(1),
            "bag" => self.meta.get("partitions")?.as_u64(),
            _ => None,
        }
    }

    /// The chunks that repairs found to be damaged, and could not keep. They are counted until the dataset is saved anew, also where they were put
    /// again.
    pub fn gone(&self) -> Gone {
        Gone::in_meta(&self.meta)
    }

    /// The name of the type of a value, or of the elements of a bag.
    pub fn type_name(&self) -> Option<&str> {
        self.meta.get("type")?.as_str()
    }

    /// Whether what was saved as the type that is named can be read as a `T`: the numbers, truth values and characters in both are the same. Names of users' types tell nothing of
    /// what is in them.
    pub fn reads_as<T>(&self) -> bool {
        self.type_name().is_some_and(|name| leaves(name) == leaves(std::any::type_name::<T>()))
    }

    /// The type of the elements of an array.
    pub fn dtype(&self) -> Option<DType> {
        DType::from_name(self.meta.get("dtype")?.as_str()?)
    }

    /// The extents of an array, in elements.
    pub fn shape(&self) -> Option<Vec<usize>> {
        self.meta.get("shape")?.as_array()?.iter().map(number).collect()
    }

    /// The extents of the chunks of an array along each axis, in elements.
    pub fn chunk_extents(&self) -> Option<Vec<Vec<usize>>> {
        let axes = self.meta.get("chunks")?.as_array()?;
        axes.iter().map(|axis| axis.as_array()?.iter().map(number).collect()).collect()
    }
}

/// Of which tables the contents are: each commit that changes them adds one, in a place that no other ever had.
fn version(entry: &Entry) -> u64 {
    let mut bytes = Vec::with_capacity(8 + 24 * entry.tables.len());
    bytes.put_u64(entry.id);
    for place in &entry.tables {
        [place.segment, place.offset, place.len].into_iter().for_each(|number| bytes.put_u64(number));
    }
    checksum(&bytes)
}

fn number(value: &Value) -> Option<usize> {
    usize::try_from(value.as_u64()?).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_an_array_is_comes_back() {
        let kind = DatasetKind::array(DType::F32, &[5, 2], &[vec![3, 2], vec![2]]).unwrap();
        let entry = Entry {
            name: "a".into(),
            id: 1,
            kind: kind.kind().into(),
            meta: kind.meta().to_string(),
            attributes: "{\"unit\":\"K\"}".into(),
            tables: vec![],
            chunks: 2,
            bytes: 40,
            stored: 300,
            created: 9,
        };
        let info = DatasetInfo::of(&entry).unwrap();
        assert_eq!(
            (info.dtype(), info.shape(), info.chunk_extents()),
            (Some(DType::F32), Some(vec![5, 2]), Some(vec![vec![3, 2], vec![2]]))
        );
        assert_eq!((info.attributes["unit"].as_str(), info.chunks_in_all()), (Some("K"), Some(2)));
        assert_eq!(DatasetKind::array(DType::F32, &[5], &[vec![3]]).unwrap_err().kind(), ErrorKind::Invalid);
        assert!(DatasetInfo::of(&Entry { meta: "{".into(), ..entry }).is_err());
    }
}
