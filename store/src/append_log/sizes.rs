//! How much a partition holds.

use crate::Result;
use crate::codec::{Encode, Fields};

/// What a partition holds, known without reading it. It counts what a gather would give: committed entries that were
/// neither replaced nor deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogSizes {
    /// The records; in a log of bytes, the entries.
    pub records: u64,
    /// Their bytes, before compression.
    pub bytes: u64,
}

impl LogSizes {
    pub(super) fn add(&mut self, other: LogSizes) {
        self.records = self.records.saturating_add(other.records);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }

    pub(super) fn take(&mut self, other: LogSizes) {
        self.records = self.records.saturating_sub(other.records);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }
}

/// The sizes of some partitions, packed: for each the distance to the one before, records and bytes, as varints.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts(pub(super) std::sync::Arc<[u8]>);

impl Counts {
    pub(super) fn pack(mut all: Vec<(u32, LogSizes)>) -> Self {
        all.sort_unstable_by_key(|(partition, _)| *partition);
        let (mut out, mut before) = (Vec::new(), 0);
        for (partition, sizes) in all {
            out.put_varint(u64::from(partition - before));
            out.put_varint(sizes.records);
            out.put_varint(sizes.bytes);
            before = partition;
        }
        Counts(out.into())
    }

    /// Calls `f` for each partition.
    pub(super) fn each(&self, mut f: impl FnMut(u32, LogSizes)) -> Result<()> {
        let (mut reader, mut partition) = (Fields(&self.0), 0u64);
        while !reader.0.is_empty() {
            partition = partition.saturating_add(reader.varint()?);
            let sizes = LogSizes { records: reader.varint()?, bytes: reader.varint()? };
            f(u32::try_from(partition).unwrap_or(u32::MAX), sizes);
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn counts_come_back(map in proptest::collection::btree_map(any::<u32>(), (any::<u64>(), any::<u64>()), 0..20)) {
            let all: Vec<_> = map.into_iter().map(|(p, (records, bytes))| (p, LogSizes { records, bytes })).collect();
            let mut shuffled = all.clone();
            shuffled.reverse();
            let mut back = Vec::new();
            Counts::pack(shuffled).each(|p, sizes| back.push((p, sizes))).unwrap();
            prop_assert_eq!(back, all);
        }
    }
}
