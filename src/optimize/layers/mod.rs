//! From layers to layers of the same values, block for block.

mod common;
mod fuse;
mod push_down;
mod sharing;
mod walk;

pub use common::common_layers;
pub use fuse::fuse_layers;
pub use push_down::push_down_layers;
pub use sharing::share_layers;
