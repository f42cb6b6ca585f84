//! What a commit changed, as bytes.

use crate::codec::{Encode, Fields};
use crate::segment::{Commit, Place};
use crate::{Error, ErrorKind, Result};

/// A dataset, as the manifest describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) id: u64,
    pub(crate) kind: String,
    /// A JSON value.
    pub(crate) meta: String,
    /// A JSON object.
    pub(crate) attributes: String,
    /// From the oldest to the newest; the newer wins.
    pub(crate) tables: Vec<Place>,
    pub(crate) chunks: u64,
    /// The bytes of the payloads as they are in memory.
    pub(crate) bytes: u64,
    /// The bytes of the frames.
    pub(crate) stored: u64,
    /// Seconds since 1970.
    pub(crate) created: u64,
}

/// What one commit changed, or a part of the whole state.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Changes {
    pub(crate) segments: Vec<Commit>,
    pub(crate) puts: Vec<Entry>,
    /// Applied before `puts`.
    pub(crate) removed: Vec<String>,
    pub(crate) dropped: Vec<u64>,
}

/// The least bytes of an entry, with no texts and tables.
const LEAST_ENTRY: usize = 60;
const TABLE_BYTES: usize = 24;
/// Beyond every length, offset and count: a few of them can be added up in 64 bits.
const MOST: u64 = 1 << 56;

/// A length, offset or count.
fn quantity(from: &mut Fields) -> Result<u64> {
    match from.u64()? {
        number if number <= MOST => Ok(number),
        number => Err(Error::new(ErrorKind::Corrupt, format!("{number} is no length or count"))),
    }
}

impl Entry {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_text(&self.name);
        out.put_u64(self.id);
        out.put_text(&self.kind);
        out.put_text(&self.meta);
        out.put_text(&self.attributes);
        out.put_u32(self.tables.len() as u32);
        for table in &self.tables {
            out.put_u64(table.segment);
            out.put_u64(table.offset);
            out.put_u64(table.len);
        }
        for number in [self.chunks, self.bytes, self.stored, self.created] {
            out.put_u64(number);
        }
    }

    pub(crate) fn decode(from: &mut Fields) -> Result<Entry> {
        let (name, id) = (from.text()?.to_owned(), from.u64()?);
        let (kind, meta, attributes) = (from.text()?.to_owned(), from.text()?.to_owned(), from.text()?.to_owned());
        let tables = from.count(TABLE_BYTES)?;
        let place = |_| Ok(Place { segment: from.u64()?, offset: quantity(from)?, len: quantity(from)? });
        let tables = (0..tables).map(place).collect::<Result<_>>()?;
        let (chunks, bytes, stored, created) = (quantity(from)?, quantity(from)?, quantity(from)?, from.u64()?);
        Ok(Entry { name, id, kind, meta, attributes, tables, chunks, bytes, stored, created })
    }

    /// The bytes that it takes encoded.
    pub(crate) fn encoded_len(&self) -> usize {
        let texts = self.name.len() + self.kind.len() + self.meta.len() + self.attributes.len();
        LEAST_ENTRY + texts + TABLE_BYTES * self.tables.len()
    }
}

impl Changes {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        for count in [self.segments.len(), self.puts.len(), self.removed.len(), self.dropped.len()] {
            out.put_u32(count as u32);
        }
        for segment in &self.segments {
            out.put_u64(segment.segment);
            out.put_u64(segment.len);
            out.put_u64(u64::from(segment.sealed));
        }
        self.puts.iter().for_each(|entry| entry.encode(out));
        self.removed.iter().for_each(|name| out.put_text(name));
        self.dropped.iter().for_each(|id| out.put_u64(*id));
    }

    /// # Errors
    /// Corrupt where these are not the bytes of changes.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Changes> {
        let mut from = Fields(bytes);
        let counts = [from.count(24)?, from.count(LEAST_ENTRY)?, from.count(4)?, from.count(8)?];
        let mut changes = Changes::default();
        for _ in 0..counts[0] {
            let (segment, len, sealed) = (from.u64()?, quantity(&mut from)?, from.u64()?);
            if sealed > 1 {
                return Err(Error::new(ErrorKind::Corrupt, format!("a segment is sealed or not, and not {sealed}")));
            }
            changes.segments.push(Commit { segment, len, sealed: sealed == 1 });
        }
        for _ in 0..counts[1] {
            changes.puts.push(Entry::decode(&mut from)?);
        }
        for _ in 0..counts[2] {
            changes.removed.push(from.text()?.to_owned());
        }
        for _ in 0..counts[3] {
            changes.dropped.push(from.u64()?);
        }
        from.end()?;
        Ok(changes)
    }
}

/// The frame that stands in a segment for every put and removal of a dataset, from which a lost manifest is rebuilt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Description {
    /// That of the commit.
    pub(crate) sequence: u64,
    /// Whether the dataset was removed then.
    pub(crate) removed: bool,
    pub(crate) entry: Entry,
}

impl Description {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(16 + self.entry.encoded_len());
        out.put_u64(self.sequence);
        out.put_u64(u64::from(self.removed));
        self.entry.encode(&mut out);
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Description> {
        let mut from = Fields(bytes);
        let (sequence, removed) = (from.u64()?, from.u64()?);
        if removed > 1 {
            return Err(Error::new(ErrorKind::Corrupt, format!("a dataset is removed or not, and not {removed}")));
        }
        let entry = Entry::decode(&mut from)?;
        from.end()?;
        Ok(Description { sequence, removed: removed == 1, entry })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn entry() -> impl Strategy<Value = Entry> {
        let texts = ("\\PC{0,12}", "[a-z]{0,8}", "\\PC{0,30}", "\\PC{0,30}");
        let tables = prop::collection::vec((any::<u64>(), 0..=MOST, 0..=MOST), 0..4);
        let numbers = (any::<u64>(), 0..=MOST, 0..=MOST, 0..=MOST, any::<u64>());
        (texts, tables, numbers).prop_map(|((name, kind, meta, attributes), tables, (id, chunks, bytes, stored, created))| {
            let tables = tables.into_iter().map(|(segment, offset, len)| Place { segment, offset, len }).collect();
            Entry { name, id, kind, meta, attributes, tables, chunks, bytes, stored, created }
        })
    }

    pub(crate) fn changes() -> impl Strategy<Value = Changes> {
        let segments = prop::collection::vec((any::<u64>(), 0..=MOST, any::<bool>()), 0..3);
        let parts = (
            segments,
            prop::collection::vec(entry(), 0..3),
            prop::collection::vec("\\PC{0,9}", 0..3),
            prop::collection::vec(any::<u64>(), 0..3),
        );
        parts.prop_map(|(segments, puts, removed, dropped)| {
            let segments = segments.into_iter().map(|(segment, len, sealed)| Commit { segment, len, sealed }).collect();
            Changes { segments, puts, removed, dropped }
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn changes_come_back(changes in changes(), cut in any::<prop::sample::Index>()) {
            let mut bytes = Vec::new();
            changes.encode(&mut bytes);
            prop_assert_eq!(Changes::decode(&bytes).unwrap(), changes);
            prop_assert!(Changes::decode(&bytes[..cut.index(bytes.len())]).is_err());
            bytes.push(0);
            prop_assert!(Changes::decode(&bytes).is_err());
        }

        #[test]
        fn descriptions_come_back(entry in entry(), sequence in any::<u64>(), removed in any::<bool>()) {
            let mut encoded = Vec::new();
            entry.encode(&mut encoded);
            prop_assert_eq!(encoded.len(), entry.encoded_len());
            let description = Description { sequence, removed, entry };
            prop_assert_eq!(Description::decode(&description.encode()).unwrap(), description);
        }

        #[test]
        fn any_bytes_are_changes_or_an_error(bytes in prop::collection::vec(prop::sample::select(vec![0u8, 0, 0, 1, 2, 9]), 0..200)) {
            let _ = (Changes::decode(&bytes), Description::decode(&bytes));
        }
    }
}
