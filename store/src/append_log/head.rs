//! The head of an entry, and the order of entries in a partition.

use super::attempt::{Attempt, Kind};
use crate::codec::Fields;
use crate::format::LOG_HEAD_BYTES;
use crate::{Error, ErrorKind, Result};

/// What an entry, or a part of one, is apart from its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) attempt: Attempt,
    /// Which time of its writer this attempt is: a number that no other attempt of that writer has.
    pub(super) instance: u64,
    /// The number of the entry in the instance.
    pub(super) seq: u64,
    /// Where in the entry this part begins.
    pub(super) offset: u64,
    /// The bytes of the entry.
    pub(super) total: u64,
    /// The bytes of this part.
    pub(super) len: u32,
    /// The records of the entry in its first part, 0 in the others.
    pub(super) records: u32,
}

/// The place of an entry among those of its writer and partition.
pub(super) type Order = (Kind, u64, u64, u64, u64);

impl Head {
    /// Entries go by task, then by number.
    pub(super) fn order(&self) -> Order {
        (self.attempt.kind, self.attempt.task, self.instance, self.seq, self.offset)
    }

    /// Whether `next` is the part that follows this one.
    pub(super) fn continued_by(&self, next: &Head) -> bool {
        (self.instance, self.seq, self.offset + u64::from(self.len)) == (next.instance, next.seq, next.offset)
    }

    pub(super) fn encode(&self) -> [u8; LOG_HEAD_BYTES] {
        let mut out = [0; LOG_HEAD_BYTES];
        let kind = (self.attempt.kind as u8).to_le_bytes();
        let fields = (self.attempt.task.to_le_bytes().into_iter())
            .chain(self.attempt.attempt.to_le_bytes())
            .chain(kind)
            .chain([0; 3])
            .chain(self.instance.to_le_bytes())
            .chain(self.seq.to_le_bytes())
            .chain(self.offset.to_le_bytes())
            .chain(self.total.to_le_bytes())
            .chain(self.len.to_le_bytes())
            .chain(self.records.to_le_bytes());
        out.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
        out
    }

    pub(super) fn decode(reader: &mut Fields<'_>) -> Result<Head> {
        let (task, attempt) = (reader.u64()?, reader.u32()?);
        let [kind, zeros @ ..] = reader.take::<4>()?;
        let attempt = Attempt { kind: Kind::from_code(kind)?, task, attempt };
        let (instance, seq, offset, total) = (reader.u64()?, reader.u64()?, reader.u64()?, reader.u64()?);
        let head = Head { attempt, instance, seq, offset, total, len: reader.u32()?, records: reader.u32()? };
        let fits = head.offset.checked_add(u64::from(head.len)).is_some_and(|end| end <= head.total);
        match fits && zeros == [0; 3] {
            true => Ok(head),
            false => Err(Error::new(ErrorKind::Corrupt, "the head of an entry contradicts itself")),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn heads_come_back() {
        let head = Head { attempt: Attempt::new(7, 3), instance: 9, seq: 1 << 40, offset: 5, total: 1 << 50, len: 77, records: 2 };
        let bytes = head.encode();
        assert_eq!(Head::decode(&mut Fields(&bytes)).unwrap(), head);
        for cut in 0..bytes.len() {
            Head::decode(&mut Fields(&bytes[..cut])).unwrap_err();
        }
        let longer = Head { offset: u64::MAX, ..head };
        assert_eq!(Head::decode(&mut Fields(&longer.encode())).unwrap_err().kind(), ErrorKind::Corrupt);
    }
}
