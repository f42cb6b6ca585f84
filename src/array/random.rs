//! Random arrays whose elements are fixed by seed and position.
//!
//! The element at a position depends on the seed and on the number of that position in C order only: neither chunks
//! nor slices, threads or the memory bound change it. Arrays of equal seed, shape and distribution are equal.

use super::create::{IntoShape, created};
use super::kernel::{BinaryOp, UnaryOp};
use super::lazy::Raw;
use super::{Array, Auto, Chunking};
use chunkstore_store::Scalar;
use smallvec::SmallVec;
use std::panic::Location;

/// A random array in the making: [`Random::seed`] and [`Random::chunks`] change it, [`Random::array`] gives it.
#[derive(Clone, Debug)]
#[must_use]
pub struct Random {
    distribution: Distribution,
    shape: Vec<usize>,
    seed: u64,
    chunks: Chunking,
}

#[derive(Clone, Copy, Debug)]
enum Distribution {
    Uniform { low: f64, high: f64 },
    Normal { mean: f64, deviation: f64 },
}

/// Numbers of equal probability in [0, 1), with 53 random bits.
///
/// ```
/// use chunkstore::array::random;
/// let x = random::random([1000, 1000]).seed(7).chunks(250).array();
/// assert_eq!(x.numblocks()?, [4, 4]);
/// # Ok::<(), chunkstore::Error>(())
/// ```
pub fn random(shape: impl IntoShape) -> Random {
    uniform(0.0, 1.0, shape)
}

/// Numbers of equal probability from `low` up to `high`: `low + (high - low) * u`.
///
/// ```
/// use chunkstore::array::random;
/// let x = random::uniform(-1.0, 1.0, 10_000).seed(1).array();
/// assert!(x.min(..).item()? >= -1.0 && x.max(..).item()? < 1.0);
/// # Ok::<(), chunkstore::Error>(())
/// ```
pub fn uniform(low: f64, high: f64, shape: impl IntoShape) -> Random {
    Random { distribution: Distribution::Uniform { low, high }, shape: shape.into_shape(), seed: 0, chunks: Auto.into() }
}

/// Normally distributed numbers.
///
/// ```
/// use chunkstore::array::random;
/// let x = random::normal(5.0, 2.0, [100, 100]).seed(1).array();
/// assert!((x.mean(..).item()? - 5.0).abs() < 0.1 && (x.std(..).item()? - 2.0).abs() < 0.1);
/// // Neither chunks nor slices change an element.
/// assert_eq!(x.compute()?, random::normal(5.0, 2.0, [100, 100]).seed(1).chunks(30).array().compute()?);
/// # Ok::<(), chunkstore::Error>(())
/// ```
pub fn normal(mean: f64, deviation: f64, shape: impl IntoShape) -> Random {
    Random { distribution: Distribution::Normal { mean, deviation }, shape: shape.into_shape(), seed: 0, chunks: Auto.into() }
}

impl Random {
    /// Another stream of numbers; the seed is 0 where none is given.
    pub fn seed(self, seed: u64) -> Self {
        Random { seed, ..self }
    }

    /// How the array is cut, which does not change its elements.
    pub fn chunks(self, chunks: impl Into<Chunking>) -> Self {
        Random { chunks: chunks.into(), ..self }
    }

    /// The array.
    #[track_caller]
    pub fn array(&self) -> Array<f64> {
        Array::at(self.raw(), Location::caller())
    }

    fn raw(&self) -> crate::Result<Raw> {
        let mut strides: SmallVec<[i64; 4]> = SmallVec::from_elem(1, self.shape.len());
        for k in (1..self.shape.len()).rev() {
            strides[k - 1] = strides[k].wrapping_mul(self.shape[k] as i64);
        }
        let (name, op, steps, factor, add) = match self.distribution {
            Distribution::Uniform { low, high } => ("uniform", UnaryOp::Uniform { seed: self.seed }, 2, high - low, low),
            Distribution::Normal { mean, deviation } => ("normal", UnaryOp::Normal { seed: self.seed }, 6, deviation, mean),
        };
        created(name, steps, &self.shape, &self.chunks, Some((0, strides)), |program, index| {
            let mut value = program.unary(op, index?)?;
            if factor != 1.0 {
                let factor = program.constant(Scalar::F64(factor));
                value = program.binary(BinaryOp::Multiply, factor, value)?;
            }
            if add != 0.0 {
                let add = program.constant(Scalar::F64(add));
                value = program.binary(BinaryOp::Add, value, add)?;
            }
            Some(value)
        })
    }
}
