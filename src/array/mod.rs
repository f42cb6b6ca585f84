//! Lazy chunked arrays of n dimensions.

mod npy;
