//! The array operators that another process of the same program can run: each by its name, its version and its parameters.

use super::assemble::Copy;
use super::blockwise::Elementwise;
use super::reduce::{Merge, Reduce};
use crate::Result;
use crate::graph::Registry;

/// The name of an operator, and the version of what its parameters mean.
pub(super) type Name = (&'static str, u32);

// Whoever changes what the parameters or the values of one of these mean raises its version.
pub(super) const ELEMENTWISE: Name = ("array.elementwise", 1);
pub(super) const REDUCE: Name = ("array.reduce", 1);
pub(super) const COMBINE: Name = ("array.combine", 1);
pub(super) const ASSEMBLE: Name = ("array.assemble", 1);
pub(super) const READ_NPY: Name = ("array.read_npy", 1);
pub(super) const READ_SAVED: Name = ("array.read_saved", 1);

/// Registers every array operator that is portable: elementwise operations, creation, random numbers and views; the steps of
/// reductions; the copies that concatenate, stack, rechunk and reshape arrays; the reading of `.npy` files and of saved arrays.
///
/// The operator that [`Registry::decode`] makes of an operator's name, version and parameters gives the same bytes for the
/// same inputs. The reading of a file is of the same file in the same state: its path, size and time of the last write are
/// among the parameters, and are compared when they are decoded. Not portable are the closures of `map_blocks`, arrays in
/// memory, and the places where results go.
///
/// ```
/// use chunkstore::array::{self, Array};
/// use chunkstore::graph::Registry;
/// use chunkstore::Persist;
/// let mut registry = Registry::new();
/// array::operators(&mut registry)?;
/// let sent = Array::<f64>::ones([100], 10).exp().layer()?.operator();
/// let parameters = sent.parameters().unwrap_or_default();
/// let back = registry.decode(sent.name(), sent.version(), &parameters)?;
/// assert_eq!(back.parameters(), Some(parameters));
/// # Ok::<(), chunkstore::Error>(())
/// ```
///
/// # Errors
/// Invalid where one of the names is taken in the version.
pub fn operators(registry: &mut Registry) -> Result<()> {
    registry.register(ELEMENTWISE.0, ELEMENTWISE.1, Elementwise::decode)?;
    registry.register(REDUCE.0, REDUCE.1, Reduce::decode)?;
    registry.register(COMBINE.0, COMBINE.1, Merge::decode)?;
    registry.register(ASSEMBLE.0, ASSEMBLE.1, Copy::decode)?;
    registry.register(READ_NPY.0, READ_NPY.1, super::file::decode)?;
    registry.register(READ_SAVED.0, READ_SAVED.1, super::saved::decode)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
