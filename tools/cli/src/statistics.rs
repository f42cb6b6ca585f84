//! Least, greatest, mean, and how many elements are no number.

use crate::element::{Item, Number, json, less, number, text, with_dtype};
use chunkstore_store::{Block, Scalar};
use serde_json::{Value, json};

/// What is known of some elements.
#[derive(Clone, Debug, Default)]
pub(crate) struct Statistics {
    /// The elements.
    pub(crate) count: u64,
    /// Those of them that are no number (NaN).
    pub(crate) nulls: u64,
    /// The least and the greatest of the others.
    pub(crate) range: Option<(Scalar, Scalar)>,
    sum: Sum,
}

/// A sum: exact of integers, with the lost digits carried along (Neumaier 1974) of floats.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    exact: i128,
    sum: f64,
    lost: f64,
}

impl Sum {
    fn add(&mut self, value: f64) {
        let sum = self.sum + value;
        if sum.is_finite() {
            self.lost += if self.sum.abs() >= value.abs() { (self.sum - sum) + value } else { (value - sum) + self.sum };
        }
        self.sum = sum;
    }

    fn value(&self) -> f64 {
        self.exact as f64 + if self.sum.is_finite() { self.sum + self.lost } else { self.sum }
    }
}

impl Statistics {
    /// Those of the elements of a block.
    pub(crate) fn of(block: &Block) -> Self {
        let bytes = block.bytes();
        with_dtype!(block.dtype(), T => {
            let mut sum = Sum::default();
            let (mut count, mut nulls, mut range) = (0, 0, None);
            for value in bytes.chunks_exact(block.dtype().size()).map(T::from_bytes) {
                count += 1;
                // Only what is no number differs from itself.
                #[allow(clippy::eq_op)]
                if value != value {
                    nulls += 1;
                    continue;
                }
                range = Some(match range {
                    None => (value, value),
                    Some((low, high)) => (lesser(value, low), greater(value, high)),
                });
                match value.number() {
                    Number::Whole(number) => sum.exact += number,
                    Number::Float(number) => sum.add(number),
                }
            }
            Statistics { count, nulls, range: range.map(|(low, high): (T, T)| (low.scalar(), high.scalar())), sum }
        })
    }

    /// Takes in those of other elements of the same type.
    pub(crate) fn merge(&mut self, other: &Statistics) {
        self.count += other.count;
        self.nulls += other.nulls;
        self.range = match (self.range, other.range) {
            (Some((a, b)), Some((c, d))) => {
                let before = |a, b| less(number(a), number(b));
                Some((if before(c, a) { c } else { a }, if before(b, d) { d } else { b }))
            }
            (one, None) | (None, one) => one,
        };
        self.sum.exact += other.sum.exact;
        self.sum.add(other.sum.sum);
        self.sum.lost += other.sum.lost;
    }

    /// The mean of the elements that are numbers; none where there are none.
    pub(crate) fn mean(&self) -> Option<f64> {
        let numbers = self.count - self.nulls;
        (numbers > 0).then(|| self.sum.value() / numbers as f64)
    }

    /// Least, greatest, mean and nulls as text.
    pub(crate) fn cells(&self) -> [String; 4] {
        let none = || "-".to_string();
        let (low, high) = self.range.map_or((none(), none()), |(low, high)| (text(low), text(high)));
        [low, high, self.mean().map_or_else(none, |mean| format!("{mean:?}")), self.nulls.to_string()]
    }

    /// All fields.
    pub(crate) fn json(&self) -> Value {
        let (low, high) = self.range.map_or((Value::Null, Value::Null), |(low, high)| (json(low), json(high)));
        let mean = self.mean().map_or(Value::Null, |mean| json(Scalar::F64(mean)));
        json!({ "count": self.count, "nulls": self.nulls, "min": low, "max": high, "mean": mean })
    }
}

fn lesser<T: PartialOrd>(a: T, b: T) -> T {
    if a < b { a } else { b }
}

fn greater<T: PartialOrd>(a: T, b: T) -> T {
    if a > b { a } else { b }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use chunkstore_store::{Buffer, Element, Shape};
    use std::sync::Arc;

    fn of<T: Element>(values: &[T]) -> Statistics {
        let block = Block::new(Buffer::from_vec(Arc::new(values.to_vec())), 0, T::DTYPE, Shape::from_slice(&[values.len()]));
        Statistics::of(&block.unwrap())
    }

    #[test]
    fn what_is_no_number_does_not_count() {
        let some = of(&[2.0, f64::NAN, -1.0, 5.0]);
        assert_eq!(some.cells(), ["-1.0", "5.0", "2.0", "1"]);
        assert_eq!(some.json(), serde_json::json!({ "count": 4, "nulls": 1, "min": -1.0, "max": 5.0, "mean": 2.0 }));
        assert_eq!(of(&[f32::NAN]).cells(), ["-", "-", "-", "1"]);
        assert_eq!(of::<i32>(&[]).cells(), ["-", "-", "-", "0"]);
        assert_eq!(of(&[true, false, true, true]).cells(), ["false", "true", "0.75", "0"]);
        assert_eq!(of(&[f64::INFINITY, 1.0]).mean(), Some(f64::INFINITY));
        assert!(of(&[f64::INFINITY, f64::NEG_INFINITY]).mean().unwrap().is_nan());
    }

    #[test]
    fn large_integers_and_cancelling_floats_are_exact() {
        assert_eq!(of(&[u64::MAX, u64::MAX - 2]).cells()[..2], ["18446744073709551613", "18446744073709551615"]);
        assert_eq!(of(&[i64::MAX, -i64::MAX, 6]).mean(), Some(2.0));
        assert_eq!(of(&[1e100, 1.0, -1e100, 1.0]).mean(), Some(0.5));
    }

    #[test]
    fn parts_merge_to_the_whole() {
        let mut all = of(&[1.0, f64::NAN]);
        all.merge(&of(&[-3.0]));
        all.merge(&of::<f64>(&[]));
        all.merge(&of(&[1e100, 8.0, -1e100]));
        assert_eq!(all.cells(), ["-1e100", "1e100", "1.2", "1"]);
        let mut integers = of::<i8>(&[]);
        integers.merge(&of(&[-3i8, 5]));
        assert_eq!(integers.cells(), ["-3", "5", "1.0", "0"]);
    }
}
