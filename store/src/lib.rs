//! Memory-bounded, disk-backed chunks: bytes and keys, never tasks.
//!
//! The engine in the crate `chunkstore` is built on this one, and it stands alone too: a [`Ledger`] counts
//! memory, an [`Arena`] hands out counted [`BufferMut`]s, a [`Chunk`] is what can be kept, and the chest keeps
//! chunks within a bound by spilling them to scratch files.

mod append_log;
mod buffer;
mod catalogue;
mod chest;
mod chunk;
mod codec;
mod error;
mod events;
mod format;
pub mod io;
mod ledger;
mod manifest;
mod recover;
mod saved;
mod scratch;
#[allow(dead_code, unused_imports)] // Until the store is built on it.
mod segment;
pub mod serial;
#[cfg(test)]
mod testing;

pub use append_log::{
    AppendLog, Attempt, ByteLog, Gather, LogCompacted, LogEntry, LogOptions, LogRecords, LogRepaired, LogSizes, LogStats, LogVerified,
};
pub use buffer::{Arena, Buffer, BufferMut};
pub use chest::{
    AnyKey, Chest, ChestKey, ChestOptions, ChestReader, ChestStats, EncodeKey, Encoder, IntoBytes, Keys, Left, Pinned, Residence, Storable,
    Table,
};
pub use chunk::{
    Block, Bytes, Chunk, ChunkHeader, ChunkKind, DType, Element, Records, RecordsIter, RecordsReader, RecordsWriter, Scalar, Shape,
};
#[cfg(fuzzing)]
#[doc(hidden)]
pub use codec::strong_checksums;
pub use codec::{Codec, Encoding, checksum};
pub use error::{Error, ErrorKind, Result};
pub use events::{Event, EventKind, EventLog, EventWriter, read_events};
pub use io::{InputFile, Stamp};
pub use ledger::{
    Booking, External, Lease, Ledger, MemoryPressure, external_bytes, memory_limit_of_machine, memory_pressure, peak_resident_bytes,
    resident_bytes, trim_heap,
};
pub use recover::{Collected, Compacted, Damage, Repaired, Verified};
pub use saved::{Dataset, DatasetInfo, DatasetKind, DatasetWriter, Gone, Store, StoreOptions, StoreStats, StoredChunk};
pub use scratch::{Scratch, ScratchOptions, ScratchStats, Slot};
pub use segment::Place;
