//! The index of a writer: a header, then frames, each with all that one flush made known; `FORMAT.md` draws them.

use super::attempt::{Attempt, Kind};
use super::attempts::Commit;
use super::head::Order;
use super::sizes::Counts;
use crate::codec::Fields;
use crate::format::{
    LOG_ACK_BYTES, LOG_ACK_MAGIC, LOG_FRAME_BYTES, LOG_FRAME_MAGIC, LOG_HEADER_BYTES, LOG_MAGIC, LOG_MIRRORED, LOG_VERSION,
};
use crate::io::BackendFile;
use crate::{Error, ErrorKind, Result, checksum};
use std::sync::Arc;

/// What the header of an index says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct IndexHeader {
    pub(super) writer: u64,
    /// Nanoseconds since 1970 when the writer began.
    pub(super) created: u64,
    pub(super) partitions: u32,
    /// How many data files the writer has.
    pub(super) files: u32,
    /// Whether the index has a second copy.
    pub(super) mirrored: bool,
}

/// What a flush makes known.
#[derive(Debug, Clone)]
pub(super) enum Record {
    /// A block is on disk.
    Block(BlockRecord),
    /// An attempt was committed.
    Commit(Commit),
    /// Of a partition, what these writers (their ids) committed up to a number was deleted.
    Delete(u32, Vec<(u64, u64)>),
    /// All blocks of a data file are below this byte.
    Length(u32, u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BlockRecord {
    pub(super) partition: u32,
    pub(super) file: u32,
    pub(super) offset: u64,
    pub(super) stored: u32,
    pub(super) head: u32,
    pub(super) raw: u64,
    pub(super) first: Order,
    pub(super) last: Order,
}

fn put_order(out: &mut Vec<u8>, order: &Order) {
    out.push(order.0 as u8);
    for number in [order.1, order.2, order.3, order.4] {
        out.extend(number.to_le_bytes());
    }
}

fn order(reader: &mut Fields<'_>) -> Result<Order> {
    Ok((Kind::from_code(reader.u8()?)?, reader.u64()?, reader.u64()?, reader.u64()?, reader.u64()?))
}

impl Record {
    /// At least the bytes that it is encoded to.
    fn most_bytes(&self) -> usize {
        match self {
            Record::Block(_) => 120,
            Record::Commit(commit) => 48 + commit.counts.0.len(),
            Record::Delete(_, commits) => 16 + 16 * commits.len(),
            Record::Length(..) => 16,
        }
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Record::Block(block) => {
                out.push(1);
                out.extend(block.partition.to_le_bytes());
                out.extend(block.file.to_le_bytes());
                out.extend(block.offset.to_le_bytes());
                out.extend(block.stored.to_le_bytes());
                out.extend(block.head.to_le_bytes());
                out.extend(block.raw.to_le_bytes());
                put_order(out, &block.first);
                put_order(out, &block.last);
            }
            Record::Commit(commit) => {
                out.push(2);
                out.push(commit.attempt.kind as u8);
                out.extend(commit.attempt.task.to_le_bytes());
                out.extend(commit.attempt.attempt.to_le_bytes());
                out.extend(commit.instance.to_le_bytes());
                out.extend(commit.number.to_le_bytes());
                out.extend(commit.time.to_le_bytes());
                out.extend((commit.counts.0.len() as u32).to_le_bytes());
                out.extend(&*commit.counts.0);
            }
            Record::Delete(partition, commits) => {
                out.push(3);
                out.extend(partition.to_le_bytes());
                out.extend((commits.len() as u32).to_le_bytes());
                for (writer, number) in commits {
                    out.extend(writer.to_le_bytes());
                    out.extend(number.to_le_bytes());
                }
            }
            Record::Length(file, len) => {
                out.push(4);
                out.extend(file.to_le_bytes());
                out.extend(len.to_le_bytes());
            }
        }
    }

    fn decode(reader: &mut Fields<'_>) -> Result<Record> {
        Ok(match reader.u8()? {
            1 => Record::Block(BlockRecord {
                partition: reader.u32()?,
                file: reader.u32()?,
                offset: reader.u64()?,
                stored: reader.u32()?,
                head: reader.u32()?,
                raw: reader.u64()?,
                first: order(reader)?,
                last: order(reader)?,
            }),
            2 => {
                let kind = Kind::from_code(reader.u8()?)?;
                let attempt = Attempt { kind, task: reader.u64()?, attempt: reader.u32()? };
                let (instance, number, time) = (reader.u64()?, reader.u64()?, reader.u64()?);
                let len = reader.u32()? as usize;
                Record::Commit(Commit { attempt, instance, number, time, counts: Counts(reader.bytes(len)?.into()) })
            }
            3 => {
                let (partition, count) = (reader.u32()?, reader.u32()?);
                let commits = (0..count).map(|_| Ok((reader.u64()?, reader.u64()?))).collect::<Result<Vec<_>>>()?;
                Record::Delete(partition, commits)
            }
            4 => Record::Length(reader.u32()?, reader.u64()?),
            other => return Err(Error::new(ErrorKind::Unsupported, format!("there is no record {other} in an index"))),
        })
    }
}

/// All records of a frame.
pub(super) fn records(payload: &[u8]) -> Result<Vec<Record>> {
    let (mut reader, mut out) = (Fields(payload), Vec::new());
    let count = reader.u32()?;
    for _ in 0..count {
        out.push(Record::decode(&mut reader)?);
    }
    // What follows pads the frame.
    match reader.0.len() < 8 && reader.0.iter().all(|byte| *byte == 0) {
        true => Ok(out),
        false => Err(Error::new(ErrorKind::Corrupt, "bytes are left over after the last record of a frame")),
    }
}

impl IndexHeader {
    pub(super) fn encode(&self) -> [u8; LOG_HEADER_BYTES] {
        let mut out = [0; LOG_HEADER_BYTES];
        let fields = (LOG_MAGIC.into_iter())
            .chain(LOG_VERSION.to_le_bytes())
            .chain(self.partitions.to_le_bytes())
            .chain(self.writer.to_le_bytes())
            .chain(self.created.to_le_bytes())
            .chain(self.files.to_le_bytes())
            .chain(if self.mirrored { LOG_MIRRORED } else { 0 }.to_le_bytes());
        out.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
        let (content, sum) = out.split_at_mut(LOG_HEADER_BYTES - 8);
        sum.copy_from_slice(&checksum(content).to_le_bytes());
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<IndexHeader> {
        let mut reader = Fields(bytes);
        let content = reader.bytes(LOG_HEADER_BYTES - 8)?;
        if reader.u64()? != checksum(content) {
            return Err(Error::new(ErrorKind::Corrupt, "the header of an index is damaged"));
        }
        let mut reader = Fields(content);
        let (magic, version) = (reader.take::<8>()?, reader.u32()?);
        if magic != LOG_MAGIC {
            return Err(Error::new(ErrorKind::Corrupt, "it is not the index of an append log"));
        }
        if version != LOG_VERSION {
            return Err(Error::new(
                ErrorKind::Unsupported,
                format!("an append log of version {version}; this program knows {LOG_VERSION}"),
            ));
        }
        let (partitions, writer, created, files) = (reader.u32()?, reader.u64()?, reader.u64()?, reader.u32()?);
        let mirrored = reader.u32()? & LOG_MIRRORED != 0;
        Ok(IndexHeader { writer, created, partitions, files, mirrored })
    }
}

/// The end of an index, for its writer.
#[derive(Debug)]
pub(super) struct IndexWriter {
    pub(super) file: Arc<dyn BackendFile>,
    /// The second copy. What is in the index was written there before.
    pub(super) mirror: Arc<dyn BackendFile>,
    end: u64,
    sequence: u64,
}

impl IndexWriter {
    /// Writes the header to both copies, and returns once it is durable.
    pub(super) fn begin(file: Arc<dyn BackendFile>, mirror: Arc<dyn BackendFile>, header: &IndexHeader) -> Result<Self> {
        for copy in [&mirror, &file] {
            copy.write_at(0, &header.encode())?;
            copy.sync()?;
        }
        Ok(IndexWriter { file, mirror, end: LOG_HEADER_BYTES as u64, sequence: 1 })
    }

    /// The frame of what a flush makes known.
    pub(super) fn frame(&self, records: &[Record], sealed: bool) -> Vec<u8> {
        let mut frame = Vec::with_capacity(LOG_FRAME_BYTES + 16 + records.iter().map(Record::most_bytes).sum::<usize>());
        frame.resize(LOG_FRAME_BYTES, 0);
        frame.extend((records.len() as u32).to_le_bytes());
        records.iter().for_each(|record| record.encode(&mut frame));
        frame.resize(LOG_FRAME_BYTES + (frame.len() - LOG_FRAME_BYTES).next_multiple_of(8), 0);
        let payload = frame.get(LOG_FRAME_BYTES..).unwrap_or_default();
        let (bytes, sum) = (payload.len() as u64, checksum(payload));
        let mut header = LOG_FRAME_MAGIC.to_vec();
        header.extend([u8::from(sealed), 0, 0, 0]);
        header.extend(self.sequence.to_le_bytes());
        header.extend(bytes.to_le_bytes());
        header.extend(sum.to_le_bytes());
        header.extend(checksum(&header).to_le_bytes());
        frame.iter_mut().zip(header).for_each(|(to, from)| *to = from);
        frame
    }

    /// Makes room for a frame. Where the disk is full, the index is as it was.
    pub(super) fn reserve(&self, frame: &[u8]) -> Result<()> {
        let end = self.end + (frame.len() + LOG_ACK_BYTES) as u64;
        self.mirror.allocate(end)?;
        self.file.allocate(end)
    }

    /// Appends a frame, and returns once it is durable. After an error, the index must not be written again.
    pub(super) fn append(&mut self, frame: &[u8]) -> Result<()> {
        self.mirror.write_at(self.end, frame)?;
        // So the second copy tells for certain whether anything was ever committed.
        self.mirror.sync()?;
        self.file.write_at(self.end, frame)?;
        self.file.sync()?;
        let acknowledgement = acknowledgement(self.sequence);
        // What is durable is durable: this only tells damage from a torn write.
        let end = self.end + frame.len() as u64;
        self.file.write_at(end, &acknowledgement).ok();
        self.mirror.write_at(end, &acknowledgement).ok();
        self.end = end + LOG_ACK_BYTES as u64;
        self.sequence += 1;
        Ok(())
    }
}

/// How far an index was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cursor {
    pub(super) end: u64,
    pub(super) sequence: u64,
    pub(super) sealed: bool,
}

impl Cursor {
    pub(super) fn start() -> Self {
        Cursor { end: LOG_HEADER_BYTES as u64, sequence: 1, sealed: false }
    }

    /// The next frame's payload; nothing where there is none, or only a torn one.
    ///
    /// # Errors
    /// Corrupt where there was one that is damaged.
    pub(super) fn next(&mut self, file: &dyn BackendFile) -> Result<Option<Vec<u8>>> {
        let len = file.len()?;
        if len <= self.end {
            return Ok(None);
        }
        match self.frame(file, len)? {
            Some(payload) => Ok(Some(payload)),
            // Its writer may have been in the middle of it.
            None if self.is_acknowledged(file, file.len()?)? => match self.frame(file, file.len()?)? {
                Some(payload) => Ok(Some(payload)),
                None => {
                    let hint = "what was committed by this frame is lost; repeat the tasks that made the log";
                    Err(Error::new(ErrorKind::Corrupt, "a frame of the index is damaged").at(file.path()).offset(self.end).hint(hint))
                }
            },
            None => Ok(None),
        }
    }

    /// The frame at the end, if there is a sound one.
    fn frame(&mut self, file: &dyn BackendFile, len: u64) -> Result<Option<Vec<u8>>> {
        let mut header = [0; LOG_FRAME_BYTES];
        if len - self.end < LOG_FRAME_BYTES as u64 {
            return Ok(None);
        }
        file.read_at(self.end, &mut header)?;
        let Some((flags, sequence, bytes, sum)) = frame_header(&header) else { return Ok(None) };
        let begin = self.end + LOG_FRAME_BYTES as u64;
        if sequence != self.sequence || bytes > len.saturating_sub(begin) || !bytes.is_multiple_of(8) {
            return Ok(None);
        }
        let mut payload = vec![0; bytes as usize];
        file.read_at(begin, &mut payload)?;
        if checksum(&payload) != sum {
            return Ok(None);
        }
        self.end = begin + bytes + LOG_ACK_BYTES as u64;
        self.sequence += 1;
        self.sealed |= flags & 1 == 1;
        Ok(Some(payload))
    }

    /// Whether something stands behind the end that only comes after a frame that was durable.
    fn is_acknowledged(&self, file: &dyn BackendFile, len: u64) -> Result<bool> {
        const STEP: usize = 64 << 10;
        let mut memory = vec![0; STEP + LOG_FRAME_BYTES];
        let mut at = self.end;
        while at < len {
            let bytes = memory.get_mut(..(len - at).min((STEP + LOG_FRAME_BYTES) as u64) as usize).unwrap_or_default();
            file.read_at(at, bytes)?;
            for begin in (0..bytes.len().min(STEP)).step_by(8) {
                let rest = bytes.get(begin..).unwrap_or_default();
                let later = rest.first_chunk().and_then(frame_header).is_some_and(|(_, sequence, ..)| sequence > self.sequence);
                if later || acknowledged(rest).is_some_and(|sequence| sequence >= self.sequence) {
                    return Ok(true);
                }
            }
            at += STEP as u64;
        }
        Ok(false)
    }
}

/// Flags, sequence, length and checksum of the payload, where the header is sound.
fn frame_header(header: &[u8; LOG_FRAME_BYTES]) -> Option<(u8, u64, u64, u64)> {
    let mut reader = Fields(header);
    let content = reader.bytes(LOG_FRAME_BYTES - 8).ok()?;
    if reader.u64().ok()? != checksum(content) {
        return None;
    }
    let mut reader = Fields(content);
    let (magic, [flags, ..]) = (reader.take::<4>().ok()?, reader.take::<4>().ok()?);
    let fields = (flags, reader.u64().ok()?, reader.u64().ok()?, reader.u64().ok()?);
    (magic == LOG_FRAME_MAGIC).then_some(fields)
}

/// What stands behind a frame that is durable.
pub(super) fn acknowledgement(sequence: u64) -> Vec<u8> {
    let mut out = LOG_ACK_MAGIC.to_vec();
    out.extend([0; 4]);
    out.extend(sequence.to_le_bytes());
    out.extend(checksum(&out).to_le_bytes());
    out
}

/// The sequence of the frame that is acknowledged at the beginning of `bytes`.
fn acknowledged(bytes: &[u8]) -> Option<u64> {
    let mut reader = Fields(bytes);
    let content = reader.bytes(LOG_ACK_BYTES - 8).ok()?;
    let sound = reader.u64().ok()? == checksum(content) && content.starts_with(&LOG_ACK_MAGIC);
    sound.then(|| Fields(content.get(8..).unwrap_or_default()).u64().ok()).flatten()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::io::{Backend, MemoryBackend, Open};
    use proptest::prelude::*;
    use std::path::Path;

    fn sample() -> Vec<Record> {
        let order = (Kind::Task, 1, 2, 3, 4);
        let block = BlockRecord { partition: 3, file: 1, offset: 8192, stored: 777, head: 100, raw: 5000, first: order, last: order };
        let commit =
            Commit { attempt: Attempt::new(9, 2), instance: 5, number: 6, time: 7, counts: Counts::pack(vec![(3, Default::default())]) };
        vec![Record::Block(block), Record::Commit(commit), Record::Delete(3, vec![(1, 2), (3, 4)]), Record::Length(1, 12288)]
    }

    fn all(file: &dyn BackendFile) -> Result<Vec<String>> {
        let (mut cursor, mut out) = (Cursor::start(), Vec::new());
        while let Some(payload) = cursor.next(file)? {
            out.extend(records(&payload)?.iter().map(|record| format!("{record:?}")));
        }
        Ok(out)
    }

    fn written() -> (Arc<dyn BackendFile>, Vec<String>) {
        let backend = MemoryBackend::new(1 << 20);
        backend.create_folder(Path::new("/m")).unwrap();
        let file = backend.open(Path::new("/m/index"), Open::Create).unwrap();
        let header = IndexHeader { writer: 1, created: 2, partitions: 3, files: 4, mirrored: true };
        let mirror = backend.open(Path::new("/m/mirror"), Open::Create).unwrap();
        let mut index = IndexWriter::begin(file.clone(), mirror, &header).unwrap();
        let mut bytes = [0; LOG_HEADER_BYTES];
        file.read_at(0, &mut bytes).unwrap();
        assert_eq!(IndexHeader::decode(&bytes).unwrap(), header);
        index.append(&index.frame(&sample(), false)).unwrap();
        index.append(&index.frame(&sample()[..2], true)).unwrap();
        let want = sample().iter().chain(&sample()[..2]).map(|record| format!("{record:?}")).collect();
        (file, want)
    }

    #[test]
    fn frames_come_back_and_every_flip_is_damage() {
        let (file, want) = written();
        assert_eq!(all(&*file).unwrap(), want);
        let len = file.len().unwrap();
        for at in LOG_HEADER_BYTES as u64..len {
            for bit in 0..8 {
                let mut byte = [0];
                file.read_at(at, &mut byte).unwrap();
                file.write_at(at, &[byte[0] ^ 1 << bit]).unwrap();
                match all(&*file) {
                    // An acknowledgement says nothing that the frame does not.
                    Ok(same) => assert_eq!(same, want, "byte {at}"),
                    Err(e) => assert_eq!(e.kind(), ErrorKind::Corrupt, "byte {at}"),
                }
                file.write_at(at, &byte).unwrap();
            }
        }
    }

    #[test]
    fn a_torn_frame_is_as_if_it_had_never_been() {
        let (file, want) = written();
        let len = file.len().unwrap();
        let last = len - LOG_ACK_BYTES as u64;
        for cut in (0..last).rev() {
            file.truncate(cut).unwrap();
            let got = all(&*file).unwrap();
            assert!(got.is_empty() || got == want[..4], "{cut}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_bytes_are_records_or_an_error(mut bytes in prop::collection::vec(prop::sample::select(vec![0u8, 1, 2, 3, 4, 255]), 0..120)) {
            bytes.splice(0..0, [3, 0, 0, 0]);
            let _ = records(&bytes);
            let _ = IndexHeader::decode(&bytes);
        }
    }
}
