//! Lazy chunked arrays of n dimensions.

mod kernel;
mod npy;
