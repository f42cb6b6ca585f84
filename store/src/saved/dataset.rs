//! Reading a dataset.

use super::info::DatasetInfo;
use super::inner::{Inner, OpenTables};
use crate::manifest::Entry;
use crate::segment::{FrameHeader, Place, Segments, Table, each_merged};
use crate::{Arena, Chunk, ChunkHeader, Encoding, Error, ErrorKind, Result};
use std::sync::Arc;

/// A dataset as it was saved, open to be read. What it leads to stays, whatever is removed from the store meanwhile by the process that
/// opened it.
///
/// Chunks of arrays and values have numbers, from 0 on; those of other kinds have keys of any bytes. Chunk number n has the key of
/// the 8 bytes of n, the highest first.
#[derive(Debug)]
pub struct Dataset {
    info: DatasetInfo,
    tables: OpenTables,
    inner: Arc<Inner>,
}

/// What a chunk is, and how it is stored, without its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredChunk {
    /// Kind, element type and shape.
    pub header: ChunkHeader,
    /// How the payload is encoded.
    pub encoding: Encoding,
    /// The bytes of the payload as it is stored.
    pub stored_bytes: u64,
    /// Where it stands.
    pub place: Place,
}

impl StoredChunk {
    pub(crate) fn of(header: FrameHeader, place: Place) -> Self {
        StoredChunk { encoding: header.encoding, stored_bytes: header.stored, header: header.chunk, place }
    }
}

/// The key of chunk number `n`.
pub(crate) fn chunk_key(n: u64) -> [u8; 8] {
    n.to_be_bytes()
}

impl Dataset {
    pub(super) fn new(inner: Arc<Inner>, entry: &Entry, tables: OpenTables) -> Result<Self> {
        Ok(Dataset { info: DatasetInfo::of(entry)?, tables, inner })
    }

    /// What it is, and how large.
    pub fn info(&self) -> &DatasetInfo {
        &self.info
    }

    /// A number that changes whenever chunks of the dataset are put, removed or replaced, also by [`Store::update`](crate::Store::update) under the same
    /// name and [id](DatasetInfo::id): equal numbers mean equal contents. It changes too when the store is compacted or repaired and chunks
    /// of the dataset are moved; renaming and other attributes leave it as it is.
    pub fn version(&self) -> u64 {
        self.info.version
    }

    /// Chunk number `n`; nothing where it was never put.
    ///
    /// # Errors
    /// Corrupt where a repair found the chunk to be damaged, and could not keep it ([`DatasetInfo::gone`]).
    /// Corrupt, naming file and place, where the bytes are not those that were written; not found where a snapshot is older than the
    /// files; out of memory where the arena has no room.
    pub fn chunk(&self, n: u64) -> Result<Option<Chunk>> {
        self.get(&chunk_key(n))
    }

    /// The chunk of a key; nothing where it was never put, or removed.
    ///
    /// # Errors
    /// As for [`Dataset::chunk`].
    pub fn get(&self, key: &[u8]) -> Result<Option<Chunk>> {
        self.get_in(key, self.inner.segments.arena())
    }

    /// As [`Dataset::chunk`], into memory of another arena: that of an engine, say.
    ///
    /// # Errors
    /// As for [`Dataset::chunk`].
    pub fn chunk_in(&self, n: u64, arena: &Arena) -> Result<Option<Chunk>> {
        self.get_in(&chunk_key(n), arena)
    }

    /// As [`Dataset::get`], into memory of another arena.
    ///
    /// # Errors
    /// As for [`Dataset::chunk`].
    pub fn get_in(&self, key: &[u8], arena: &Arena) -> Result<Option<Chunk>> {
        let Some(place) = self.place(key)? else { return self.none(key).map(|()| None) };
        let (header, chunk) = self.inner.segments.read_frame_in(place, arena).map_err(|error| self.inner.explain(error))?;
        if *header.key != *key {
            let message = format!("the chunk under another key stands where that of {:?} belongs", self.info.name);
            return Err(Error::new(ErrorKind::Corrupt, message).at(self.inner.segments.path_of(place.segment)).offset(place.offset));
        }
        Ok(Some(chunk))
    }

    /// What chunk number `n` is and how it is stored, without its payload.
    ///
    /// # Errors
    /// As for [`Dataset::chunk`].
    pub fn header(&self, n: u64) -> Result<Option<StoredChunk>> {
        self.header_of(&chunk_key(n))
    }

    /// What the chunk of a key is and how it is stored, without its payload.
    ///
    /// # Errors
    /// As for [`Dataset::chunk`].
    pub fn header_of(&self, key: &[u8]) -> Result<Option<StoredChunk>> {
        let Some(place) = self.place(key)? else { return self.none(key).map(|()| None) };
        let header = self.inner.segments.read_header(place).map_err(|error| self.inner.explain(error))?;
        Ok(Some(StoredChunk::of(header, place)))
    }

    /// Refuses to say of a chunk that is gone that it was never put.
    fn none(&self, key: &[u8]) -> Result<()> {
        if !self.info.gone().tells_of(key, || self.info.chunks_in_all()) {
            return Ok(());
        }
        let what = match key.try_into().map(u64::from_be_bytes) {
            Ok(n) => format!("chunk {n}"),
            Err(_) => format!("the chunk of the key {}", key.escape_ascii()),
        };
        let message = format!("{what} of {:?} is gone: it was damaged, and a repair could not keep it", self.info.name);
        let error = Error::new(ErrorKind::Corrupt, message).at(&self.inner.folder);
        Err(error.hint("save the dataset anew, or put the chunk again; what a repair moved aside is in the folder `lost`"))
    }

    /// How many values there are: of a chest the keys, without the parts of its streams, which are gone through for that; of others the
    /// chunks.
    ///
    /// # Errors
    /// Those of reading tables.
    pub fn values(&self) -> Result<u64> {
        if self.info.kind != "chest" {
            return Ok(self.info.chunks);
        }
        let mut values = 0;
        self.each(|key, _| {
            values += u64::from(!crate::chest::is_part(key));
            Ok(())
        })?;
        Ok(values)
    }

    /// Where the chunk of a key stands.
    ///
    /// # Errors
    /// Those of reading a table.
    pub fn place(&self, key: &[u8]) -> Result<Option<Place>> {
        for table in self.tables.tables.iter().rev() {
            if let Some(found) = table.get(key).map_err(|error| self.inner.explain(error))? {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Gives each key, and where its chunk stands, to `visit`, in no order.
    ///
    /// # Errors
    /// Those of reading tables, and of `visit`.
    pub fn each(&self, visit: impl FnMut(&[u8], Place) -> Result<()>) -> Result<()> {
        let newest_first: Vec<Arc<Table>> = self.tables.tables.iter().rev().cloned().collect();
        each_key(&self.inner.segments, &newest_first, visit)
    }

    /// The keys, in order.
    ///
    /// # Errors
    /// Those of reading tables.
    pub fn keys(&self) -> Result<Vec<Vec<u8>>> {
        let mut keys = Vec::new();
        self.each(|key, _| {
            keys.push(key.to_vec());
            Ok(())
        })?;
        keys.sort_unstable();
        Ok(keys)
    }

    /// The numbers of the chunks that were put, in order; keys of other lengths than 8 are left out.
    ///
    /// # Errors
    /// Those of reading tables.
    pub fn chunk_numbers(&self) -> Result<Vec<u64>> {
        let mut numbers = Vec::new();
        self.each(|key, _| {
            numbers.extend(<[u8; 8]>::try_from(key).map(u64::from_be_bytes));
            Ok(())
        })?;
        numbers.sort_unstable();
        Ok(numbers)
    }
}

/// Gives each key that is in `tables`, the newest first, and is not removed, to `visit`.
pub(crate) fn each_key(segments: &Segments, tables: &[Arc<Table>], visit: impl FnMut(&[u8], Place) -> Result<()>) -> Result<()> {
    let oldest_first: Vec<&Table> = tables.iter().rev().map(|table| &**table).collect();
    each_merged(segments, &oldest_first, visit)
}
