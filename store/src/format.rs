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

/// What the index of a writer of an append log begins with.
pub(crate) const LOG_MAGIC: [u8; 8] = *b"CHNKALOG";
/// What a frame of an index begins with.
pub(crate) const LOG_FRAME_MAGIC: [u8; 4] = *b"CKLF";
/// What the acknowledgement behind a frame begins with.
pub(crate) const LOG_ACK_MAGIC: [u8; 4] = *b"CKLA";
/// What a block of a data file begins with.
pub(crate) const LOG_BLOCK_MAGIC: [u8; 4] = *b"CKLB";
/// The version of the layout of append logs.
pub(crate) const LOG_VERSION: u32 = 1;
/// The bytes of the header of an index.
pub(crate) const LOG_HEADER_BYTES: usize = 64;
/// The bytes of the header of a frame.
pub(crate) const LOG_FRAME_BYTES: usize = 40;
/// The bytes of an acknowledgement.
pub(crate) const LOG_ACK_BYTES: usize = 24;
/// The bytes of the header of a block.
pub(crate) const LOG_BLOCK_HEADER_BYTES: usize = 64;
/// The bytes that tell of a piece in the head of a block.
pub(crate) const LOG_PIECE_ENTRY_BYTES: usize = 16;
/// The bytes of the head of an entry.
pub(crate) const LOG_HEAD_BYTES: usize = 56;
/// The bytes of entries that are encoded and checked together.
pub(crate) const LOG_PIECE_BYTES: usize = 252 << 10;
/// The most bytes of entries in a block: 16 pieces.
pub(crate) const LOG_BLOCK_BYTES: usize = 16 * LOG_PIECE_BYTES;
/// The most entries of a block.
pub(crate) const LOG_BLOCK_HEADS: usize = 8192;
/// The most bytes that are written at once: more than any block takes.
pub(crate) const LOG_STRETCH_BYTES: usize = 5 << 20;
/// The unit of room between blocks of one stretch.
pub(crate) const LOG_ALIGN: usize = 64;
/// What the name of an index ends with, after 16 hexadecimal digits.
pub(crate) const LOG_INDEX_SUFFIX: &str = ".index";
/// What the name of a data file ends with, after 16 hexadecimal digits, a dash and two digits.
pub(crate) const LOG_DATA_SUFFIX: &str = ".data";

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
        let magics = [&LOG_MAGIC[..], &LOG_FRAME_MAGIC, &LOG_ACK_MAGIC, &LOG_BLOCK_MAGIC].concat();
        assert_eq!(magics, b"CHNKALOGCKLFCKLACKLB");
        assert_eq!((LOG_VERSION, LOG_HEADER_BYTES, LOG_FRAME_BYTES, LOG_ACK_BYTES), (1, 64, 40, 24));
        assert_eq!((LOG_BLOCK_HEADER_BYTES, LOG_PIECE_ENTRY_BYTES, LOG_HEAD_BYTES, LOG_ALIGN), (64, 16, 56, 64));
        assert_eq!((LOG_PIECE_BYTES, LOG_BLOCK_BYTES, LOG_BLOCK_HEADS), (258_048, 4_128_768, 8192));
        assert_eq!((LOG_INDEX_SUFFIX, LOG_DATA_SUFFIX), (".index", ".data"));
        let tables = LOG_BLOCK_HEADER_BYTES + 16 * LOG_PIECE_ENTRY_BYTES + LOG_BLOCK_HEADS * LOG_HEAD_BYTES;
        assert!(LOG_BLOCK_BYTES + tables + 2 * BLOCK_BYTES <= LOG_STRETCH_BYTES);
    }
}
