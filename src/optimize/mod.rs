//! From layers to layers that give the same values for less: the passes, and the order in which they run.

mod common;
mod fuse;
mod passes;
mod push_down;
mod sharing;
mod walk;

pub use passes::optimize;
pub(crate) use walk::replace;
