//! Magic numbers, versions and sizes of what is written to disk; `FORMAT.md` explains them.

/// What a lock file of a scratch folder begins with.
pub(crate) const SCRATCH_MAGIC: [u8; 8] = *b"CHNKSCRT";
/// The version of the layout of scratch files.
pub(crate) const SCRATCH_VERSION: u32 = 1;
/// The bytes of a lock file: magic, version, process id, seconds since 1970.
pub(crate) const SCRATCH_LOCK_BYTES: usize = 24;
/// What the name of a scratch folder begins with; the process id, a dash and 16 hexadecimal digits follow.
pub(crate) const SCRATCH_PREFIX: &str = "chunkstore-";
/// The lock file in a scratch folder.
pub(crate) const SCRATCH_LOCK_NAME: &str = "owner.lock";
/// What the name of a scratch file begins with; its number in two digits follows.
pub(crate) const SCRATCH_FILE_PREFIX: &str = "slots-";
/// The unit of room in a scratch file, and the alignment of direct I/O.
pub(crate) const BLOCK_BYTES: usize = 4096;
/// The bytes of the payload that are encoded and checked together.
pub(crate) const PIECE_BYTES: usize = 512 * 1024;

/// What an event log begins with.
pub(crate) const EVENTS_MAGIC: [u8; 8] = *b"CHNKEVNT";
/// The version of event logs.
pub(crate) const EVENTS_VERSION: u32 = 1;
/// The bytes of the header of an event log: magic, version, process id, run, nanoseconds since 1970, checksum.
pub(crate) const EVENTS_HEADER_BYTES: usize = 40;
/// The bytes before each block of an event log: what it is, its length, the checksum of its payload, and of these.
pub(crate) const EVENTS_BLOCK_HEADER_BYTES: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_disk_never_changes_without_a_new_version() {
        assert_eq!(&SCRATCH_MAGIC, b"CHNKSCRT");
        assert_eq!(SCRATCH_VERSION, 1);
        assert_eq!(SCRATCH_LOCK_BYTES, 24);
        assert_eq!((SCRATCH_PREFIX, SCRATCH_LOCK_NAME, SCRATCH_FILE_PREFIX), ("chunkstore-", "owner.lock", "slots-"));
        assert_eq!((BLOCK_BYTES, PIECE_BYTES), (4096, 524_288));
        assert_eq!((&EVENTS_MAGIC, EVENTS_VERSION), (b"CHNKEVNT", 1));
        assert_eq!((EVENTS_HEADER_BYTES, EVENTS_BLOCK_HEADER_BYTES), (40, 24));
        assert!(PIECE_BYTES.is_multiple_of(BLOCK_BYTES));
    }
}
