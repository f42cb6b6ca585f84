//! Aligned, counted memory.
//!
//! ```text
//!   alloc(len) -- 0 bytes ------------> nothing
//!              -- below 128 KiB ------> a part of a slab of its size class    slabs come from the pool, too
//!              -- 128 KiB and more ---> a mapping of its own <--> pool (LRU) <--> the system
//! ```
//! A mapping is booked in the ledger from map to unmap, also while it waits in the pool.

mod arena;
mod mapping;
mod pool;
mod shared;
mod slab;
mod unique;

pub use arena::Arena;
pub use shared::Buffer;
pub use unique::BufferMut;
