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
        let mut writer = RecordsWriter::new(|len| arena.alloc(len));
        for item in iter {
            writer.push(&item)?;
        }
        writer.finish()
    }

    /// One record of at most `most` bytes; none where it is longer, or cannot be encoded. No more than these bytes are taken of the arena, and as many beside it.
    ///
    /// ```
    /// use chunkstore_store::{Arena, Ledger, Records};
    /// let arena = Arena::new(Ledger::new(1 << 20));
    /// let record = Records::encode_short(&arena, &("one", 1u32), 100)?.expect("it is short");
    /// assert_eq!(record.iter::<(String, u32)>().next().expect("there is one")?.1, 1);
    /// assert!(Records::encode_short(&arena, &"long".repeat(26), 100)?.is_none());
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

    /// The records, decoded one by one, by what holds them: see [`RecordsReader`].
    pub fn into_reader(self) -> RecordsReader {
        RecordsReader { left: self.count, data: self.data, at: 0 }
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

/// Encodes records one after the other into memory that is asked for in pieces.
///
/// ```
/// use chunkstore_store::{Arena, Ledger, RecordsWriter};
/// let arena = Arena::new(Ledger::new(1 << 20));
/// let mut writer = RecordsWriter::new(|len| arena.alloc(len));
/// writer.push(&(1u8, "one"))?;
/// writer.push(&(2u8, "two"))?;
/// assert_eq!(writer.finish()?.count, 2);
/// # Ok::<(), chunkstore_store::Error>(())
/// ```
#[derive(Debug)]
pub struct RecordsWriter<A> {
    alloc: A,
    full: Vec<BufferMut>,
    /// The piece that is being filled, and how far it is.
    open: Option<(BufferMut, usize)>,
    /// One encoded record.
    record: Vec<u8>,
    count: u64,
}

impl<A: FnMut(usize) -> Result<BufferMut>> RecordsWriter<A> {
    /// A writer without records. Memory comes from `alloc`, up to twice the encoded bytes in all.
    pub fn new(alloc: A) -> Self {
        RecordsWriter { alloc, full: Vec::new(), open: None, record: Vec::new(), count: 0 }
    }

    /// How many records it has.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Appends a record.
    ///
    /// # Errors
    /// Those of `alloc`; invalid where the record cannot be encoded. What was appended before is kept, and nothing of this one where it cannot be encoded.
    pub fn push<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<()> {
        let mut record = std::mem::take(&mut self.record);
        record.clear();
        let done = serial::encode(item, &mut record).and_then(|()| self.append(&record));
        self.record = record;
        done?;
        self.count += 1;
        Ok(())
    }

    /// Appends a record that is encoded already, such as one that [`RecordsReader::next_encoded`] gave.
    ///
    /// # Errors
    /// Those of `alloc`.
    pub fn push_encoded(&mut self, record: &[u8]) -> Result<()> {
        self.append(record)?;
        self.count += 1;
        Ok(())
    }

    fn append(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let (piece, used) = match &mut self.open {
                Some(open) => open,
                None => {
                    let len = self.full.last().map_or(FIRST, |last| (2 * last.len()).min(LAST));
                    self.open.insert(((self.alloc)(len)?, 0))
                }
            };
            let room = piece.get_mut(*used..).unwrap_or_default();
            let (now, later) = bytes.split_at(bytes.len().min(room.len()));
            if let Some(room) = room.get_mut(..now.len()) {
                room.copy_from_slice(now);
            }
            *used += now.len();
            bytes = later;
            if *used == piece.len() {
                self.full.extend(self.open.take().map(|(piece, _)| piece));
            }
        }
        Ok(())
    }

    /// All records in one buffer; every piece is given back as soon as it is copied.
    ///
    /// # Errors
    /// Those of `alloc`.
    pub fn finish(self) -> Result<Records> {
        let count = self.count;
        Ok(Records { data: self.join()?, count })
    }

    fn join(self) -> Result<Buffer> {
        let RecordsWriter { mut alloc, mut full, open, .. } = self;
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
        let mut out = alloc(total)?;
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

/// Reads records one after the other, and holds them meanwhile.
///
/// ```
/// use chunkstore_store::{Arena, Ledger, Records};
/// let arena = Arena::new(Ledger::new(1 << 20));
/// let mut reader = Records::encode(&arena, ["one", "two"])?.into_reader();
/// assert_eq!(reader.next_str()?, Some("one"));
/// assert_eq!(reader.next::<String>()?, Some("two".to_string()));
/// assert_eq!(reader.next_str()?, None);
/// # Ok::<(), chunkstore_store::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct RecordsReader {
    data: Buffer,
    at: usize,
    left: u64,
}

impl RecordsReader {
    /// How many records have not been read.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// The next record, decoded; none after the last.
    ///
    /// # Errors
    /// Corrupt where it cannot be decoded, or bytes are left over after the last; there are no more records then.
    #[allow(clippy::should_implement_trait)]
    pub fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>> {
        self.read(|bytes| serial::decode(bytes, usize::MAX)).map(|read| read.map(|(record, _)| record))
    }

    /// The next record, as its encoded bytes; it is decoded as a `T` to find its end.
    ///
    /// # Errors
    /// As for [`RecordsReader::next`].
    pub fn next_encoded<T: DeserializeOwned>(&mut self) -> Result<Option<&[u8]>> {
        let read = self.read(|bytes| serial::decode::<T>(bytes, usize::MAX))?;
        Ok(read.map(|(_, n)| self.data.get(self.at - n..self.at).unwrap_or_default()))
    }

    /// The next record of records that are text, without a copy of it.
    ///
    /// # Errors
    /// As for [`RecordsReader::next`].
    pub fn next_str(&mut self) -> Result<Option<&str>> {
        let RecordsReader { data, at, left } = self;
        let rest = data.get(*at..).unwrap_or_default();
        if *left == 0 {
            return ended(rest, at).map(|()| None);
        }
        match serial::decode_str(rest) {
            Ok((text, n)) => {
                *at += n;
                *left -= 1;
                Ok(Some(text))
            }
            Err(error) => {
                (*at, *left) = (data.len(), 0);
                Err(error)
            }
        }
    }

    fn read<R>(&mut self, decode: impl FnOnce(&[u8]) -> Result<(R, usize)>) -> Result<Option<(R, usize)>> {
        let rest = self.data.get(self.at..).unwrap_or_default();
        if self.left == 0 {
            return ended(rest, &mut self.at).map(|()| None);
        }
        match decode(rest) {
            Ok((record, n)) => {
                self.at += n;
                self.left -= 1;
                Ok(Some((record, n)))
            }
            Err(error) => {
                (self.at, self.left) = (self.data.len(), 0);
                Err(error)
            }
        }
    }
}

/// Nothing is left over after the last record; says so once.
fn ended(rest: &[u8], at: &mut usize) -> Result<()> {
    *at += rest.len();
    match rest.len() {
        0 => Ok(()),
        left => Err(Error::new(ErrorKind::Corrupt, format!("{left} bytes are left over after the last record"))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::Ledger;

    #[test]
    fn a_reader_gives_what_was_written_decoded_encoded_or_as_text() {
        let arena = Arena::new(Ledger::new(1 << 20));
        let words = ["", "one", "été", "a longer word than the others"];
        let records = Records::encode(&arena, words).unwrap();
        let (mut texts, mut again) = (records.clone().into_reader(), RecordsWriter::new(|len| arena.alloc(len)));
        for word in words {
            assert_eq!(texts.next_str().unwrap(), Some(word));
        }
        assert_eq!(texts.next_str().unwrap(), None);
        assert_eq!(texts.left(), 0);
        let mut reader = records.clone().into_reader();
        while let Some(record) = reader.next_encoded::<String>().unwrap() {
            again.push_encoded(record).unwrap();
        }
        assert_eq!(again.count(), 4);
        assert_eq!(&*again.finish().unwrap().data, &*records.data);
        // Too many, too few, and bytes that are no text.
        let mut more = Records { count: 5, ..records.clone() }.into_reader();
        assert_eq!((0..5).filter_map(|_| more.next_str().unwrap_or_default().map(drop)).count(), 4);
        let mut fewer = Records { count: 3, ..records }.into_reader();
        assert!((0..3).all(|_| fewer.next::<String>().unwrap().is_some()));
        assert_eq!(fewer.next::<String>().unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(fewer.next::<String>().unwrap(), None);
        let bad = Records { data: Buffer::from_vec(std::sync::Arc::new(vec![2u8, 0xff, 0xfe])), count: 1 };
        assert_eq!(bad.into_reader().next_str().unwrap_err().kind(), ErrorKind::Corrupt);
    }

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
