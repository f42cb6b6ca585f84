//! From a user's graph to a user's graph.

mod common;
mod cull;
mod fuse;
mod inline;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

pub use common::common_subexpressions;
pub(super) use common::registered_subexpressions;
pub use cull::cull;
pub use fuse::{FuseOptions, fuse};
pub(super) use inline::cull_and_inline_constants;
pub use inline::{inline, inline_functions};
