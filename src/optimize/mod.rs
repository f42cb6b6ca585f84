//! From layers to layers that give the same values for less: the passes, and the order in which they run.

mod common;
mod fuse;
mod passes;
mod push_down;
mod sharing;
mod walk;

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) mod fake;

pub use passes::optimize;
