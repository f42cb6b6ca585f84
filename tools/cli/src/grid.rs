//! The grid of chunks of a saved array, as its description says.

use crate::element::dtype_named;
use crate::failure::{Exit, Failure, Result};
use chunkstore::array::Chunks;
use chunkstore_store::DType;
use serde_json::Value;

/// The type of the elements of a saved array, and how it is cut.
#[derive(Clone)]
pub(crate) struct Grid {
    pub(crate) dtype: DType,
    pub(crate) chunks: Chunks,
}

impl Grid {
    /// The grid that the description of a dataset of kind `array` gives.
    pub(crate) fn of(meta: &Value) -> Result<Grid> {
        let wrong = |what: &str| Failure::new(Exit::No, format!("the description of the array is wrong: {what}: {meta}"));
        let dtype = meta.get("dtype").and_then(Value::as_str).and_then(dtype_named).ok_or_else(|| wrong("no known element type"))?;
        let numbers = |value: &Value| -> Option<Vec<usize>> {
            value.as_array()?.iter().map(|n| n.as_u64().and_then(|n| usize::try_from(n).ok())).collect()
        };
        let shape = meta.get("shape").and_then(numbers).ok_or_else(|| wrong("no shape"))?;
        let axes = meta.get("chunks").and_then(Value::as_array);
        let axes: Option<Vec<_>> = axes.and_then(|axes| axes.iter().map(numbers).collect());
        let chunks = Chunks::new(axes.ok_or_else(|| wrong("no chunks"))?).map_err(|error| wrong(&error.to_string()))?;
        if chunks.shape() != shape {
            return Err(wrong("shape and chunks differ"));
        }
        Ok(Grid { dtype, chunks })
    }

    /// The description of an array cut like this.
    pub(crate) fn meta(&self) -> Value {
        let extents: Vec<Vec<usize>> = (0..self.chunks.ndim()).map(|axis| self.chunks.extents(axis).collect()).collect();
        serde_json::json!({ "dtype": self.dtype.name(), "shape": self.chunks.shape(), "chunks": extents })
    }

    /// The bytes of the elements.
    pub(crate) fn bytes(&self) -> u64 {
        self.chunks.size() as u64 * self.dtype.size() as u64
    }

    /// How many chunks the array has when it is whole: none where it has no elements.
    pub(crate) fn wanted(&self) -> u64 {
        u64::from(self.chunks.blocks())
    }

    /// Whether a chunk has no elements, so that nothing is lost where it is missing.
    pub(crate) fn is_empty(&self, block: u32) -> bool {
        self.chunks.block_len(block) == 0
    }

    /// A few words for how each axis is cut: `250, 250, 100` as `250 x 2, 100`.
    pub(crate) fn axis_text(&self, axis: usize) -> String {
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for extent in self.chunks.extents(axis) {
            match runs.last_mut() {
                Some((last, count)) if *last == extent => *count += 1,
                _ => runs.push((extent, 1)),
            }
        }
        let shown = runs.iter().take(6).map(|(extent, count)| if *count == 1 { extent.to_string() } else { format!("{extent} x {count}") });
        let mut text = shown.collect::<Vec<_>>().join(", ");
        if runs.len() > 6 {
            text += ", ...";
        }
        text
    }
}

/// A shape as NumPy writes it: `(3, 4)`, `(3,)`, `()`.
pub(crate) fn tuple<T: ToString>(numbers: &[T]) -> String {
    let numbers: Vec<String> = numbers.iter().map(T::to_string).collect();
    format!("({}{})", numbers.join(", "), if numbers.len() == 1 { "," } else { "" })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_grid_is_what_its_description_says() {
        let meta = json!({ "dtype": "float32", "shape": [700, 10], "chunks": [[250, 250, 100, 100], [10]] });
        let grid = Grid::of(&meta).unwrap();
        assert_eq!((grid.dtype, grid.bytes(), grid.wanted()), (DType::F32, 28_000, 4));
        assert_eq!([grid.axis_text(0), grid.axis_text(1)], ["250 x 2, 100 x 2", "10"]);
        assert_eq!(grid.meta(), meta);
        assert_eq!([tuple(&[3, 4]), tuple(&[3]), tuple::<u8>(&[])], ["(3, 4)", "(3,)", "()"]);
    }

    #[test]
    fn a_description_that_contradicts_itself_is_damage() {
        for meta in [
            json!({}),
            json!({ "dtype": "f", "shape": [], "chunks": [] }),
            json!({ "dtype": "bool", "shape": [2], "chunks": [[3]] }),
            json!({ "dtype": "bool", "shape": [2], "chunks": [[-3]] }),
            json!({ "dtype": "bool", "shape": 2, "chunks": [] }),
        ] {
            assert!(Grid::of(&meta).err().unwrap().is_damage());
        }
    }
}
