//! From one collection to another.

mod delayed;
