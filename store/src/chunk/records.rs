//! Records of one type, kept encoded.

use crate::{Arena, Buffer, BufferMut, Error, ErrorKind, Result, serial};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::marker::PhantomData;

/// Records of one type, encoded once by the crate's one serialiser, and counted.
///
/// ```
/// use chunkstore_store::{Arena, Ledger, Records};
/// let arena = Arena::new(Ledger::new(1 << 20));
/// let records = Records::encode(&arena, [("one", 1u32), ("two", 2)])?;
/// let back: Vec<(String, u32)> = records.iter().collect::<Result<_, _>>()?;
/// assert_eq!(back[1], ("two".to_string(), 2));
/// # Ok::<(), chunkstore_store::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Records {
    /// The encoded records, one after the other.
    pub data: Buffer,
    /// How many there are.
    pub count: u64,
}

/// The first piece that is filled; each further one is twice as long, up to [`LAST`].
const FIRST: usize = 64 << 10;

/// The longest piece.
const LAST: usize = 4 << 20;

impl Records {
    /// Encodes the records of `iter` into memory of `arena`. While this runs, it takes up to twice the encoded bytes, and
    /// one encoded record beside the arena.
    ///
    /// # Errors
    /// Out of memory where the arena has no room; invalid where a record cannot be encoded.
    pub fn encode<T: Serialize>(arena: &Arena, iter: impl IntoIterator<Item = T>) -> Result<Records> {
        let (mut pieces, mut record, mut count) = (Pieces { arena, full: Vec::new(), open: None }, Vec::new(), 0);
        for item in iter {
            record.clear();
            serial::encode(&item, &mut record)?;
            pieces.append(&record)?;
            count += 1;
        }
        Ok(Records { data: pieces.join()?, count })
    }

    /// One record of at most `most` bytes; none where it is longer, or cannot be encoded. No more than these bytes are taken of the arena, and as many beside it.
    ///
    /// ```
    /// use chunkstore_store::{Arena, Ledger, Records};
    /// let arena = Arena::new(Ledger::new(1 << 20));
    /// let record = Records::encode_short(&arena, &("one", 1u32), 100)?.expect("it is short");
    /// assert_eq!(record.iter::<(String, u32)>().next().expect("there is one")?.1, 1);
    /// assert!(Records::encode_short(&arena, &[0u8; 101], 100)?.is_none());
    /// # Ok::<(), chunkstore_store::Error>(())
    /// ```
    ///
    /// # Errors
    /// Out of memory where the arena has no room.
    pub fn encode_short<T: Serialize>(arena: &Arena, item: &T, most: usize) -> Result<Option<Records>> {
        let mut short = Short { bytes: Vec::new(), most };
        if serial::encode_into(item, &mut short).is_err() {
            return Ok(None);
        }
        let mut data = arena.alloc(short.bytes.len())?;
        data.copy_from_slice(&short.bytes);
        Ok(Some(Records { data: data.freeze(), count: 1 }))
    }

    /// The records, decoded one by one. The first that cannot be decoded, and bytes that are left over, end this with
    /// an error.
    pub fn iter<T: DeserializeOwned>(&self) -> RecordsIter<'_, T> {
        RecordsIter { left: &self.data, count: self.count, record: PhantomData }
    }
}

/// Bytes that are written as long as they are not more than `most`.
struct Short {
    bytes: Vec<u8>,
    most: usize,
}

impl std::io::Write for Short {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.most {
            return Err(std::io::Error::other("a record is longer than it may be"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Encoded bytes whose number is not known yet.
struct Pieces<'a> {
    arena: &'a Arena,
    full: Vec<BufferMut>,
    /// The piece that is being filled, and how far it is.
    open: Option<(BufferMut, usize)>,
}

impl Pieces<'_> {
    fn append(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let (piece, used) = match &mut self.open {
                Some(open) => open,
                None => {
                    let len = self.full.last().map_or(FIRST, |last| (2 * last.len()).min(LAST));
                    self.open.insert((self.arena.alloc(len)?, 0))
                }
            };
            let room = piece.get_mut(*used..).unwrap_or_default();
            let (now, later) = bytes.split_at(bytes.len().min(room.len()));
            room.iter_mut().zip(now).for_each(|(to, from)| *to = *from);
            *used += now.len();
            bytes = later;
            if *used == piece.len() {
                self.full.extend(self.open.take().map(|(piece, _)| piece));
            }
        }
        Ok(())
    }

    /// All in one buffer; every piece is given back as soon as it is copied.
    fn join(self) -> Result<Buffer> {
        let Pieces { arena, mut full, open } = self;
        full.extend(open.map(|(mut piece, used)| {
            piece.truncate(used);
            piece
        }));
        let total = full.iter().map(|piece| piece.len()).sum();
        // A part of a slab cannot be cut, so what is much shorter is copied, too.
        if let [only] = full.as_slice()
            && Arena::footprint(only.len()) == Arena::footprint(FIRST)
        {
            return Ok(full.swap_remove(0).freeze());
        }
        let mut out = arena.alloc(total)?;
        let mut rest: &mut [u8] = &mut out;
        for piece in full {
            let Some((now, later)) = rest.split_at_mut_checked(piece.len()) else { break };
            now.copy_from_slice(&piece);
            rest = later;
        }
        Ok(out.freeze())
    }
}

/// The records of [`Records::iter`].
#[derive(Debug)]
pub struct RecordsIter<'a, T> {
    left: &'a [u8],
    count: u64,
    record: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Iterator for RecordsIter<'_, T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Result<T>> {
        if self.count == 0 {
            let left = std::mem::take(&mut self.left).len();
            return (left > 0).then(|| Err(Error::new(ErrorKind::Corrupt, format!("{left} bytes are left over after the last record"))));
        }
        match serial::decode(self.left, usize::MAX) {
            Ok((record, n)) => {
                self.left = self.left.get(n..).unwrap_or_default();
                self.count -= 1;
                Some(Ok(record))
            }
            Err(error) => {
                (self.left, self.count) = (&[], 0);
                Some(Err(error))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // The count may be damaged, so it must not make anybody reserve memory for it.
        let likely = usize::try_from(self.count).unwrap_or(usize::MAX).min(self.left.len());
        (likely.min(self.left.len() / 2), None)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::Ledger;

    #[test]
    fn any_number_of_records_comes_back() {
        let arena = Arena::new(Ledger::new(1 << 28));
        for n in [0u64, 1, 10, 20_000, 300_000] {
            let records = Records::encode(&arena, (0..n).map(|i| (i, format!("record {i}")))).unwrap();
            assert_eq!(records.count, n);
            let used = arena.ledger().used() - arena.idle() - arena.slack();
            assert_eq!(used, Arena::footprint(records.data.len()), "no more is kept than it takes");
            let mut back = 0;
            for (i, item) in records.iter::<(u64, String)>().enumerate() {
                assert_eq!(item.unwrap(), (i as u64, format!("record {i}")));
                back += 1;
            }
            assert_eq!(back, n);
        }
        arena.trim();
        assert_eq!(arena.ledger().used(), 0);
    }

    #[test]
    fn a_long_record_spans_pieces_and_too_much_is_refused() {
        let arena = Arena::new(Ledger::new(2 << 20));
        let long = vec![7u8; 700_000];
        let records = Records::encode(&arena, [&long]).unwrap();
        assert_eq!(records.iter::<Vec<u8>>().next().unwrap().unwrap(), long);
        drop(records);
        assert_eq!(Records::encode(&arena, [&long, &long, &long]).unwrap_err().kind(), ErrorKind::OutOfMemory);
        arena.trim();
        assert_eq!(arena.ledger().used(), 0);
    }

    #[test]
    fn damage_is_an_error_and_then_the_end() {
        let arena = Arena::new(Ledger::new(1 << 20));
        let good = Records::encode(&arena, (0..100u64).map(|i| i.to_string())).unwrap();
        let fewer = Records { count: 99, ..good.clone() };
        let more = Records { count: u64::MAX, ..good.clone() };
        for (records, n) in [(fewer, 99), (more, 100)] {
            let items: Vec<_> = records.iter::<String>().collect();
            assert_eq!(items.len(), n + 1);
            assert!(items[..n].iter().all(|item| item.is_ok()));
            assert_eq!(items[n].as_ref().unwrap_err().kind(), ErrorKind::Corrupt);
        }
        assert!(good.iter::<(u64, u64, u64, Vec<String>)>().any(|item| item.is_err()));
    }
}
