//! From graphs to graphs, and from layers to layers, that give the same values for less: pure functions, and the order in which they run.

mod graphs;
mod layers;
mod passes;

pub use graphs::{FuseOptions, common_subexpressions, cull, fuse, inline, inline_functions};
pub(crate) use layers::replace;
pub use layers::{common_layers, fuse_layers, push_down_layers, share_layers};
pub use passes::{optimize, optimize_graph, optimize_within};
