//! From one collection to another.

mod bag;
mod delayed;
mod maps;
