//! How bytes stand on disk: as they are, compressed, or shuffled and compressed; and their checksum.

mod checksum;
mod compress;
mod probe;
mod shuffle;

pub use checksum::checksum;
pub use compress::{Codec, Encoding};
