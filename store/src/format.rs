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

/// What the lock file of a store begins with.
pub(crate) const STORE_MAGIC: [u8; 8] = *b"CHNKSTOR";
/// The version of the layout of a store.
pub(crate) const STORE_VERSION: u32 = 1;
/// The bytes of the lock file of a store: magic, version, process id, seconds since 1970.
pub(crate) const STORE_LOCK_BYTES: usize = 24;
/// The lock file of a store.
pub(crate) const STORE_LOCK_NAME: &str = "store.lock";
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
        assert!(PIECE_BYTES.is_multiple_of(BLOCK_BYTES));
    }

    #[test]
    fn what_is_saved_never_changes_without_a_new_version() {
        assert_eq!((&STORE_MAGIC, STORE_VERSION, STORE_LOCK_BYTES, STORE_LOCK_NAME), (b"CHNKSTOR", 1, 24, "store.lock"));
        assert_eq!((&MANIFEST_MAGIC, MANIFEST_VERSION, MANIFEST_HEADER_BYTES), (b"CHNKMANI", 1, 40));
        assert_eq!((MANIFEST_NAME, MANIFEST_NEW_NAME, MANIFEST_BROKEN_PREFIX), ("manifest", "manifest.new", "manifest.broken-"));
        assert_eq!((RECORD_HEADER_BYTES, &ACK_MAGIC, ACK_BYTES, CATALOGUE_NAME), (32, b"CHNKACKN", 24, "catalogue"));
        let [a, b, c, d, ..] = ACK_MAGIC;
        assert!(u32::from_le_bytes([a, b, c, d]) as usize > RECORD_MOST_BYTES, "an acknowledgement is no record");
    }
}
