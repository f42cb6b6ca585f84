//! Data of any size of which the answers are known.
//!
//! Element `i` in C order is `FIRST + STEP * k(i)` with `k(i) = FACTOR * i mod PERIOD`. `FACTOR` is odd and `PERIOD` a power of
//! two, so that every `PERIOD` elements hold each `k` below it once, in no visible order. Of the numbers 0 to p - 1, p even, the
//! mean is (p - 1) / 2, the variance (p^2 - 1) / 12, and the mean distance from the mean p / 4. In a column, `i` moves on by
//! `COLUMNS` from row to row: every `PERIOD / COLUMNS` rows hold each `k` that is congruent to `FACTOR * c` modulo `COLUMNS` once.

use chunkstore::array::{Array, Chunking};
use chunkstore::chunks;

/// The columns of the data.
pub(crate) const COLUMNS: usize = 4096;
/// The rows of a block, which are 8 MiB.
const BLOCK_ROWS: usize = 256;

const PERIOD: i64 = 1 << 20;
const FACTOR: i64 = 489_905;
const FIRST: f64 = 1.0;
const STEP: f64 = 0.001;

/// The data of one demo.
#[derive(Clone, Copy)]
pub(crate) struct Dataset {
    /// Its rows, a multiple of 256.
    pub(crate) rows: usize,
}

impl Dataset {
    /// Data of about `bytes`, a multiple of 8 MiB.
    pub(crate) fn of(bytes: u64) -> Self {
        let block = (BLOCK_ROWS * COLUMNS * 8) as u64;
        Dataset { rows: bytes.div_ceil(block).max(1) as usize * BLOCK_ROWS }
    }

    /// The bytes of its elements.
    pub(crate) fn bytes(self) -> u64 {
        (self.rows * COLUMNS * 8) as u64
    }

    /// How it is cut: into blocks of whole rows.
    pub(crate) fn chunks() -> Chunking {
        chunks![BLOCK_ROWS, -1]
    }

    /// The data, to be made when they are asked for.
    pub(crate) fn array(self) -> Array<f64> {
        let row = Array::<i64>::arange(0, self.rows as i64, 1, BLOCK_ROWS).expand_dims(1);
        let column = Array::<i64>::arange(0, COLUMNS as i64, 1, COLUMNS).expand_dims(0);
        let k = ((row * COLUMNS as i64 + column) * FACTOR) & (PERIOD - 1);
        k.astype::<f64>() * STEP + FIRST
    }

    /// The sum over all elements of the distance from the mean in standard deviations.
    pub(crate) fn sum_of_distances(self) -> f64 {
        let p = PERIOD as f64;
        (self.rows * COLUMNS) as f64 * (p / 4.0) / ((p * p - 1.0) / 12.0).sqrt()
    }

    /// The mean of a column.
    pub(crate) fn column_mean(column: usize) -> f64 {
        let columns = COLUMNS as i64;
        let least = column as i64 * FACTOR % columns;
        FIRST + STEP * (least as f64 + (PERIOD - columns) as f64 / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{COLUMNS, Dataset, FACTOR, FIRST, PERIOD, STEP};

    #[test]
    fn closed_forms_agree_with_the_elements() {
        let data = Dataset::of(1);
        assert_eq!((data.rows, Dataset::of(8 << 20).rows, Dataset::of((8 << 20) + 1).rows), (256, 256, 512));
        let value = |i: usize| FIRST + STEP * (i as i64 * FACTOR % PERIOD) as f64;
        let n = data.rows * COLUMNS;
        let mean = (0..n).map(value).sum::<f64>() / n as f64;
        let std = ((0..n).map(|i| (value(i) - mean).powi(2)).sum::<f64>() / n as f64).sqrt();
        let sum: f64 = (0..n).map(|i| ((value(i) - mean) / std).abs()).sum();
        assert!((sum / data.sum_of_distances() - 1.0).abs() < 1e-9, "{sum}");
        for c in [0, 1, 77, COLUMNS - 1] {
            let mean = (0..data.rows).map(|r| value(r * COLUMNS + c)).sum::<f64>() / data.rows as f64;
            assert!((mean / Dataset::column_mean(c) - 1.0).abs() < 1e-12, "column {c}: {mean}");
        }
    }
}
