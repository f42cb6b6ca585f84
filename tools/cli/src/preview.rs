//! The first values of a chunk.

use crate::element::{json, scalars, text};
use crate::grid::tuple;
use crate::hex::{dump, hex};
use crate::table::{Side, Table};
use chunkstore_store::{Block, Chunk};
use serde_json::{Value, json};

/// How much of a chunk is shown.
#[derive(Clone, Copy)]
pub(crate) struct Most {
    pub(crate) rows: usize,
    pub(crate) columns: usize,
}

/// The first rows of a block, each with its index in the array: the rows run along the last axis.
struct Rows {
    /// The index of each row on the axes before the last, and its first elements.
    rows: Vec<(Vec<usize>, Vec<chunkstore_store::Scalar>)>,
    /// The index of the first column.
    first: usize,
    /// The rows and the columns that are not shown.
    left: (usize, usize),
}

impl Rows {
    fn of(block: &Block, start: &[usize], most: Most) -> Rows {
        let shape = block.shape();
        let size = block.dtype().size();
        // An array of one axis is shown as a column.
        let (outer, width) = if shape.len() < 2 { (shape, 1) } else { (&shape[..shape.len() - 1], shape[shape.len() - 1]) };
        let count: usize = outer.iter().product();
        let shown = width.min(most.columns);
        let rows = (0..count.min(most.rows)).map(|row| {
            let mut rest = row;
            let mut index: Vec<usize> = outer
                .iter()
                .zip(start)
                .rev()
                .map(|(extent, start)| {
                    let at = rest % extent + start;
                    rest /= extent;
                    at
                })
                .collect();
            index.reverse();
            let bytes = block.bytes().get(row * width * size..(row * width + shown) * size).unwrap_or_default();
            (index, scalars(block.dtype(), bytes))
        });
        let first = if shape.len() < 2 { 0 } else { start.last().copied().unwrap_or(0) };
        Rows { rows: rows.collect(), first, left: (count.saturating_sub(most.rows), width - shown) }
    }
}

/// The lines of text for a chunk that begins at the index `start` of its array.
pub(crate) fn lines(chunk: &Chunk, start: &[usize], most: Most) -> Vec<String> {
    match chunk {
        Chunk::Scalar(scalar) => vec![text(*scalar)],
        Chunk::Block(block) => block_lines(block, start, most),
        Chunk::Bytes(bytes) => dumped(&bytes.0, most),
        Chunk::Records(records) => dumped(&records.data, most),
    }
}

fn block_lines(block: &Block, start: &[usize], most: Most) -> Vec<String> {
    let rows = Rows::of(block, start, most);
    let many = block.shape().len() >= 2;
    let width = rows.rows.first().map_or(0, |row| row.1.len());
    let more = rows.left.1 > 0;
    let mut table = Table::new(std::iter::repeat_n(Side::Right, width + 2));
    if many && width > 0 {
        let heads = (rows.first..rows.first + width).map(|column| column.to_string());
        table.row(std::iter::once(String::new()).chain(heads).chain(more.then(|| "...".into())));
    }
    for (index, values) in &rows.rows {
        let name = if index.len() == 1 { index[0].to_string() } else { tuple(index) };
        let cells = values.iter().map(|value| text(*value));
        table.row(std::iter::once(if index.is_empty() { String::new() } else { name }).chain(cells).chain(more.then(|| "...".into())));
    }
    let mut lines = table.lines();
    if rows.left.0 > 0 {
        lines.push(format!("... {} more rows", rows.left.0));
    }
    lines
}

fn dumped(bytes: &[u8], most: Most) -> Vec<String> {
    let mut lines = dump(bytes, most.rows);
    let shown = (most.rows * 16).min(bytes.len());
    if shown < bytes.len() {
        lines.push(format!("... {} more bytes", bytes.len() - shown));
    }
    lines
}

/// What kind of chunk it is, and how large: `float64 (3, 4)`, `12 records in 300 bytes`.
pub(crate) fn kind(chunk: &Chunk) -> String {
    match chunk {
        Chunk::Scalar(scalar) => format!("one {}", crate::element::dtype_of(*scalar)),
        Chunk::Block(block) => format!("{} {}", block.dtype(), tuple(block.shape())),
        Chunk::Bytes(bytes) => format!("{} bytes", bytes.0.len()),
        Chunk::Records(records) => format!("{} records in {} bytes", records.count, records.data.len()),
    }
}

/// The fields for a chunk: what it is, and its first values.
pub(crate) fn document(chunk: &Chunk, start: &[usize], most: Most) -> Value {
    let bytes = |bytes: &[u8]| hex(bytes.get(..most.rows * 16).unwrap_or(bytes), usize::MAX);
    match chunk {
        Chunk::Scalar(scalar) => json!({ "type": "scalar", "dtype": crate::element::dtype_of(*scalar).name(), "value": json(*scalar) }),
        Chunk::Block(block) => {
            let rows = Rows::of(block, start, most);
            let values = |row: &(Vec<usize>, Vec<_>)| json!({ "index": row.0, "values": row.1.iter().map(|value| json(*value)).collect::<Vec<_>>() });
            json!({
                "type": "block", "dtype": block.dtype().name(), "shape": block.shape(), "rows": rows.rows.iter().map(values).collect::<Vec<_>>(),
                "rows_left": rows.left.0, "columns_left": rows.left.1,
            })
        }
        Chunk::Bytes(content) => json!({ "type": "bytes", "bytes": content.0.len(), "hex": bytes(&content.0) }),
        Chunk::Records(records) => {
            json!({ "type": "records", "records": records.count, "bytes": records.data.len(), "hex": bytes(&records.data) })
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use chunkstore_store::{Buffer, Bytes, DType, Records, Scalar, Shape};
    use std::sync::Arc;

    fn block(shape: &[usize]) -> Chunk {
        let values: Vec<i16> = (0..shape.iter().product::<usize>() as i16).collect();
        Chunk::Block(Block::new(Buffer::from_vec(Arc::new(values)), 0, DType::I16, Shape::from_slice(shape)).unwrap())
    }

    const MOST: Most = Most { rows: 3, columns: 2 };

    #[test]
    fn blocks_are_rows_with_their_index() {
        assert_eq!(lines(&block(&[2, 3]), &[10, 100], MOST), ["    100  101  ...", "10    0    1  ...", "11    3    4  ..."]);
        assert_eq!(lines(&block(&[5]), &[10], MOST), ["10  0", "11  1", "12  2", "... 2 more rows"]);
        assert_eq!(lines(&block(&[2, 2, 1]), &[0, 4, 7], MOST), ["        7", "(0, 4)  0", "(0, 5)  1", "(1, 4)  2", "... 1 more rows"]);
        assert_eq!(lines(&block(&[]), &[], MOST), ["  0"]);
        assert_eq!(lines(&block(&[2, 0]), &[0, 0], MOST).len(), 2);
        let json = document(&block(&[2, 3]), &[10, 100], MOST);
        assert_eq!(json["rows"][1], json!({ "index": [11], "values": [3, 4] }));
        assert_eq!([&json["rows_left"], &json["columns_left"]], [0, 1]);
    }

    #[test]
    fn other_chunks_are_digits() {
        let bytes = Buffer::from_vec(Arc::new(vec![65u8; 50]));
        let chunk = Chunk::Bytes(Bytes(bytes.clone()));
        assert_eq!((lines(&chunk, &[], MOST).len(), kind(&chunk)), (4, "50 bytes".to_string()));
        assert_eq!(lines(&chunk, &[], MOST)[3], "... 2 more bytes");
        let records = Chunk::Records(Records { data: bytes, count: 7 });
        assert_eq!(document(&records, &[], MOST)["records"], 7);
        assert_eq!(lines(&Chunk::Scalar(Scalar::F64(0.5)), &[], MOST), ["0.5"]);
    }
}
