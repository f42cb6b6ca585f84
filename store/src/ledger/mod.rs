//! The one counter of memory, and what the bound of an engine leaves for it.
//!
//! Everything that this project allocates for data is booked here first, and a booking ends when it is dropped.
//! No other code counts memory.

mod counter;
mod external;
mod heap;
mod lease;
mod machine;
mod pressure;

pub(crate) use counter::Reclaim;
pub use counter::{Booking, Ledger};
pub use external::{External, external_bytes};
pub use heap::trim_heap;
pub use lease::Lease;
pub use machine::{memory_limit_of_machine, peak_resident_bytes, resident_bytes};
pub use pressure::{MemoryPressure, memory_pressure};
