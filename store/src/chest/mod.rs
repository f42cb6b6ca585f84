//! Values that are in memory, on disk, or both; who decides which is a parameter.

mod core;
mod disk;
mod entry;
mod get;
mod index;
mod key;
mod keys;
mod leaving;
mod map;
mod memory;
mod opening;
mod options;
mod pinned;
mod put;
mod reading;
mod record;
mod room;
mod saved;
mod state;
mod storable;
mod stream;
mod streams;
mod table;
mod unit;
mod work;
mod writing;

pub use entry::{Left, Residence};
pub use key::{AnyKey, ChestKey, EncodeKey};
pub use keys::Keys;
pub use map::Chest;
pub use memory::IntoBytes;
pub use options::{ChestOptions, ChestStats};
pub use pinned::Pinned;
pub use storable::{Encoder, Storable};
pub use stream::ChestReader;
pub use table::Table;
