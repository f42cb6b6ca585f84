//! The index of what is saved: datasets by name and by number. It is derived from the manifest, and may be deleted at any time.

mod index;
mod memory;
mod on_disk;
mod stamp;
mod tree;

pub(crate) use index::Index;
