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
/// The ending of the second copy of an index of a log.
pub(crate) const LOG_MIRROR_SUFFIX: &str = ".mirror";
/// The ending of what was the index of a writer whose files are being removed.
pub(crate) const LOG_GONE_SUFFIX: &str = ".gone";
/// The ending of files that a repair has set aside.
pub(crate) const LOG_ASIDE_SUFFIX: &str = ".aside";
/// The file that is locked while a log is compacted.
pub(crate) const LOG_COMPACT_NAME: &str = "compact.lock";
/// In the header of an index: it has a second copy.
pub(crate) const LOG_MIRRORED: u32 = 1;
/// The file in the folder of a log that names the type of its records.
pub(crate) const LOG_RECORDS_NAME: &str = "records.type";
/// What it begins with.
pub(crate) const LOG_RECORDS_MAGIC: [u8; 8] = *b"CHNKLTYP";
/// Its version.
pub(crate) const LOG_RECORDS_VERSION: u32 = 1;

/// What the lock file of a store begins with.
pub(crate) const STORE_MAGIC: [u8; 8] = *b"CHNKSTOR";
/// The version of the layout of a store.
pub(crate) const STORE_VERSION: u32 = 1;
/// The bytes of the lock file of a store: magic, version, process id, seconds since 1970.
pub(crate) const STORE_LOCK_BYTES: usize = 24;
/// The lock file of a store.
pub(crate) const STORE_LOCK_NAME: &str = "store.lock";
/// The folder of the segments in a store.
pub(crate) const SEGMENTS_NAME: &str = "segments";
/// The folder of the catalogue in a store.
pub(crate) const CATALOGUE_NAME: &str = "catalogue";

/// What a manifest begins with.
pub(crate) const MANIFEST_MAGIC: [u8; 8] = *b"CHNKMANI";
/// The version of the manifest.
pub(crate) const MANIFEST_VERSION: u32 = 1;
/// The manifest of a store.
pub(crate) const MANIFEST_NAME: &str = "manifest";
/// A manifest that is being written, to take the place of the other.
pub(crate) const MANIFEST_NEW_NAME: &str = "manifest.new";
/// What the name of a manifest that was moved aside by a repair begins with; a number follows.
pub(crate) const MANIFEST_BROKEN_PREFIX: &str = "manifest.broken-";
/// The folder into which a repair moves damaged segments.
pub(crate) const LOST_NAME: &str = "lost";
/// The bytes of the header of a manifest.
pub(crate) const MANIFEST_HEADER_BYTES: usize = 40;
/// The bytes of the header of a record.
pub(crate) const RECORD_HEADER_BYTES: usize = 32;
/// The longest payload of a record: less than what the magic number of an acknowledgement would be as a length.
pub(crate) const RECORD_MOST_BYTES: usize = 1 << 30;
/// What an acknowledgement begins with.
pub(crate) const ACK_MAGIC: [u8; 8] = *b"CHNKACKN";
/// The bytes of an acknowledgement.
pub(crate) const ACK_BYTES: usize = 24;

/// What a segment begins with.
pub(crate) const SEGMENT_MAGIC: [u8; 8] = *b"CHNKSEGM";
/// The version of segments.
pub(crate) const SEGMENT_VERSION: u32 = 1;
/// The bytes of the header of a segment, without the zeros up to a block.
pub(crate) const SEGMENT_HEADER_BYTES: usize = 48;
/// What the name of a segment ends with; 16 hexadecimal digits stand before it.
pub(crate) const SEGMENT_SUFFIX: &str = ".seg";
/// What a frame begins with.
pub(crate) const FRAME_MAGIC: [u8; 4] = *b"CKFR";
/// The version of frames.
pub(crate) const FRAME_VERSION: u8 = 1;
/// The bytes of the header of a frame, before the key.
pub(crate) const FRAME_HEADER_BYTES: usize = 64;
/// What small frames, and payloads in them, are aligned to.
pub(crate) const FRAME_ALIGN: usize = 8;
/// A payload of at least so many stored bytes is in a large frame, which is made of whole blocks.
pub(crate) const LARGE_BYTES: usize = 64 << 10;
/// The most bytes of a key.
pub(crate) const KEY_MOST: usize = 64 << 10;
/// The bytes for each frame in a footer.
pub(crate) const FOOTER_ENTRY_BYTES: usize = 32;
/// What the last bytes of a sealed segment begin with.
pub(crate) const TRAILER_MAGIC: [u8; 8] = *b"CHNKFOOT";
/// The last bytes of a sealed segment: magic, place and length of the footer, checksum.
pub(crate) const TRAILER_BYTES: usize = 32;
/// The bytes of a table before the segment ids.
pub(crate) const TABLE_HEADER_BYTES: usize = 16;
/// The bytes for each key in a table.
pub(crate) const TABLE_ENTRY_BYTES: usize = 40;
/// The segment of a key that was removed.
pub(crate) const TABLE_REMOVED: u32 = u32::MAX;
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
        assert_eq!((&SEGMENT_MAGIC, SEGMENT_VERSION, SEGMENT_HEADER_BYTES, SEGMENT_SUFFIX), (b"CHNKSEGM", 1, 48, ".seg"));
        assert_eq!((&FRAME_MAGIC, FRAME_VERSION, FRAME_HEADER_BYTES, FRAME_ALIGN), (b"CKFR", 1, 64, 8));
        assert_eq!((LARGE_BYTES, KEY_MOST), (65_536, 65_536));
        assert_eq!((FOOTER_ENTRY_BYTES, &TRAILER_MAGIC, TRAILER_BYTES), (32, b"CHNKFOOT", 32));
        assert_eq!((TABLE_HEADER_BYTES, TABLE_ENTRY_BYTES, TABLE_REMOVED), (16, 40, 0xffff_ffff));
        assert_eq!((&EVENTS_MAGIC, EVENTS_VERSION), (b"CHNKEVNT", 1));
        assert_eq!((EVENTS_HEADER_BYTES, EVENTS_BLOCK_HEADER_BYTES), (40, 24));
        assert!(PIECE_BYTES.is_multiple_of(BLOCK_BYTES));
        let magics = [&LOG_MAGIC[..], &LOG_FRAME_MAGIC, &LOG_ACK_MAGIC, &LOG_BLOCK_MAGIC].concat();
        assert_eq!(magics, b"CHNKALOGCKLFCKLACKLB");
        assert_eq!((LOG_VERSION, LOG_HEADER_BYTES, LOG_FRAME_BYTES, LOG_ACK_BYTES), (1, 64, 40, 24));
        assert_eq!((LOG_BLOCK_HEADER_BYTES, LOG_PIECE_ENTRY_BYTES, LOG_HEAD_BYTES, LOG_ALIGN), (64, 16, 56, 64));
        assert_eq!((LOG_PIECE_BYTES, LOG_BLOCK_BYTES, LOG_BLOCK_HEADS), (258_048, 4_128_768, 8192));
        assert_eq!((LOG_INDEX_SUFFIX, LOG_DATA_SUFFIX), (".index", ".data"));
        assert_eq!((LOG_RECORDS_NAME, &LOG_RECORDS_MAGIC, LOG_RECORDS_VERSION), ("records.type", b"CHNKLTYP", 1));
        let tables = LOG_BLOCK_HEADER_BYTES + 16 * LOG_PIECE_ENTRY_BYTES + LOG_BLOCK_HEADS * LOG_HEAD_BYTES;
        assert!(LOG_BLOCK_BYTES + tables + 2 * BLOCK_BYTES <= LOG_STRETCH_BYTES);
    }

    #[test]
    fn what_is_saved_never_changes_without_a_new_version() {
        assert_eq!((&STORE_MAGIC, STORE_VERSION, STORE_LOCK_BYTES, STORE_LOCK_NAME), (b"CHNKSTOR", 1, 24, "store.lock"));
        assert_eq!((&MANIFEST_MAGIC, MANIFEST_VERSION, MANIFEST_HEADER_BYTES), (b"CHNKMANI", 1, 40));
        assert_eq!((MANIFEST_NAME, MANIFEST_NEW_NAME, MANIFEST_BROKEN_PREFIX), ("manifest", "manifest.new", "manifest.broken-"));
        assert_eq!((RECORD_HEADER_BYTES, &ACK_MAGIC, ACK_BYTES), (32, b"CHNKACKN", 24));
        assert_eq!((SEGMENTS_NAME, CATALOGUE_NAME, LOST_NAME), ("segments", "catalogue", "lost"));
        let [a, b, c, d, ..] = ACK_MAGIC;
        assert!(u32::from_le_bytes([a, b, c, d]) as usize > RECORD_MOST_BYTES, "an acknowledgement is no record");
    }
}
