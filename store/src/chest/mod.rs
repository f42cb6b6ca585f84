//! Values that are in memory, on disk, or both; who decides which is a parameter.

mod core;
mod disk;
mod entry;
mod get;
mod index;
mod key;
mod map;
mod memory;
mod options;
mod pinned;
mod put;
mod record;
mod room;
mod saved;
mod state;
mod storable;
mod stream;
mod table;
mod unit;
mod work;

pub use entry::{Left, Residence};
pub use key::{AnyKey, ChestKey, EncodeKey};
pub use map::{Chest, Keys};
pub use memory::IntoBytes;
pub use options::{ChestOptions, ChestStats};
pub use pinned::Pinned;
pub use storable::{Encoder, Storable};
pub use stream::ChestReader;
pub use table::Table;
