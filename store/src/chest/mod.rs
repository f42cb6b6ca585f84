//! Values that are in memory, on disk, or both; who decides which is a parameter.

mod entry;
mod lru;
mod options;
mod pinned;
mod state;
mod storable;
mod table;
mod work;

pub use entry::{Left, Residence};
pub use lru::Chest;
pub use options::{ChestOptions, ChestStats};
pub use pinned::Pinned;
pub use storable::{ChestKey, Storable};
pub use table::Table;
