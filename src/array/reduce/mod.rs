//! Reductions over axes, as fixed trees.
//!
//! ```text
//!   block   block   block  ...  block      Partial: one task a block, which computes its input on the way
//!     p       p       p           p
//!      \______|______/ ...       /         Combine: groups that follow each other, of a size that the shapes decide
//!             c ________________c
//!                    |                     the last Combine also makes the result
//!                  result
//! ```
//! The tree depends on the chunks alone, so that the bits of a result do too.

mod combine;
mod methods;
mod partial;

pub(super) use combine::Merge;
pub(super) use partial::Reduce;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
