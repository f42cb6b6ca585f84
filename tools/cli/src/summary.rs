//! What a dataset is, in a few words and in JSON.

use crate::failure::Result;
use crate::grid::{Grid, tuple};
use chunkstore_store::DatasetInfo;
use serde_json::{Value, json};

/// The grid of an array; none of another kind.
pub(crate) fn grid_of(info: &DatasetInfo) -> Result<Option<Grid>> {
    if info.kind == "array" { Grid::of(&info.meta).map(Some).map_err(|failure| failure.about(&info.name)) } else { Ok(None) }
}

/// What the values are: `float64 (1000, 500)`, the type of a value, the types of keys and values.
pub(crate) fn content(info: &DatasetInfo) -> String {
    let text = |field: &str| info.meta.get(field).and_then(Value::as_str);
    match info.kind.as_str() {
        "array" => {
            let shape: Option<Vec<u64>> =
                info.meta.get("shape").and_then(Value::as_array).and_then(|shape| shape.iter().map(Value::as_u64).collect());
            format!("{} {}", text("dtype").unwrap_or("?"), shape.map_or("?".into(), |shape| tuple(&shape)))
        }
        "chest" => match (text("key"), text("value")) {
            (Some(key), Some(value)) => format!("{key} -> {value}"),
            _ => String::new(),
        },
        _ => text("type").unwrap_or_default().to_string(),
    }
}

/// The bytes of data for each byte on disk.
pub(crate) fn ratio(bytes: u64, stored: u64) -> Option<f64> {
    (stored > 0).then(|| bytes as f64 / stored as f64)
}

/// The ratio as text.
pub(crate) fn ratio_text(bytes: u64, stored: u64) -> String {
    ratio(bytes, stored).map_or("-".into(), |ratio| if ratio < 99.95 { format!("{ratio:.1}x") } else { format!("{ratio:.0}x") })
}

/// The fields that every listing has.
pub(crate) fn json(info: &DatasetInfo) -> Value {
    json!({
        "name": info.name,
        "kind": info.kind,
        "dtype": info.meta.get("dtype"),
        "shape": info.meta.get("shape"),
        "chunks": info.chunks,
        "bytes": info.bytes,
        "stored_bytes": info.stored_bytes,
        "ratio": ratio(info.bytes, info.stored_bytes).map(rounded),
        "created": info.created,
    })
}

/// A ratio to three digits behind the point.
pub(crate) fn rounded(ratio: f64) -> f64 {
    (ratio * 1000.0).round() / 1000.0
}

/// `1 chunk`, `2 chunks`.
pub(crate) fn plural(count: u64, one: &str) -> String {
    format!("{} {one}{}", crate::units::count(count), if count == 1 { "" } else { "s" })
}
