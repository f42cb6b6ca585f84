//! How bytes stand on disk: as they are, compressed, or shuffled and compressed; and their checksum.
//!
//! What decides and works for all that write chunks is here too: which encoding pays ([`Verdicts`]), and the booked
//! memory in which threads encode and decode ([`Staging`]).

mod checksum;
mod compress;
mod fields;
mod probe;
mod shuffle;
mod staging;
mod staging_pool;
mod verdicts;

pub(crate) use checksum::Running as RunningChecksum;
pub use checksum::checksum;
#[cfg(fuzzing)]
#[doc(hidden)]
pub use checksum::strong_checksums;
pub use compress::{Codec, Encoding};
pub(crate) use fields::{Encode, Fields};
pub(crate) use staging::{STAGING_BYTES, Staging};
pub(crate) use staging_pool::StagingPool;
pub(crate) use verdicts::Verdicts;
