//! Lazy arrays.

mod kernel;
