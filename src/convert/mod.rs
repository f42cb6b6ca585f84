//! From one collection to another.

mod bag;
mod delayed;

pub use bag::from_delayed as bag_from_delayed;
