//! Bags of the records in Avro files.
//!
//! ```text
//! file   | Obj 1 | metadata: schema, codec .. | sync | count | size | records .. | sync | count | size | records .. | sync |
//!        '---------------- header -----------------'---------- block -----------------'----------- block ----------------'
//! ```
//! Files are cut behind sync markers (Apache Avro 1.12, Object Container Files). A part of a file is read as a file that begins with the header of the
//! whole.

use super::blocks::{BLOCK, Blocks, LineEnd, ReadBlocks};
use super::files::{Paths, files};
use super::lazy::Bag;
use super::pipeline::{Item, Pipeline};
use super::regroup::missing;
use super::stream::{BoxStream, Stream};
use crate::graph::{Cancellation, Dependency, Key, KeyBuilder, LayerRef, TaskContext, Value};
use crate::{Error, ErrorKind, Result};
use apache_avro::error::Details;
use apache_avro::reader::{Reader, ReaderDeser};
use chunkstore_store::{Buffer, Chunk};
use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::marker::PhantomData;
use std::os::unix::fs::FileExt;
use std::panic::Location;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a file begins with.
pub(super) const MAGIC: &[u8] = b"Obj\x01";

/// The bytes of a header that are read first, and at most.
const HEADER: [usize; 2] = [16 << 10, 64 << 20];

/// A cancelled run is noticed after so many records.
const LOOK: u32 = 256;

/// The records in Avro files, each read as a `T` by the names of its fields. Files are cut into blocks of about 16 MiB at sync markers, one a partition; small files share one. Blocks may be
/// compressed by deflate, snappy, zstandard, bzip2 or xz.
///
/// # Errors
/// NotFound where there is no such file; Corrupt or Truncated where one does not begin as an Avro file does; those of the file system. Damage behind that, and records that are no `T`, are found when
/// they are read, by an error that names file and byte.
///
/// ```
/// use chunkstore::{Engine, bag};
/// # let folder = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
/// # let folder = folder.path();
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Reading {
///     station: String,
///     degrees: f64,
/// }
/// let schema = r#"{"type": "record", "name": "Reading", "fields": [
///     {"name": "station", "type": "string"}, {"name": "degrees", "type": "double"}]}"#;
/// let readings = bag::range(10, 2).map(|i| Reading { station: format!("s{i}"), degrees: i as f64 });
/// let engine = Engine::builder().memory("256MiB").build()?;
/// let paths = engine.compute(&readings.to_avro(folder.join("*.avro"), schema))?;
/// let again = bag::read_avro::<Reading>(&paths)?;
/// assert_eq!(engine.compute(&again.map(|reading| reading.degrees).sum())?, 45.0);
/// # Ok::<(), chunkstore::Error>(())
/// ```
#[track_caller]
pub fn read_avro<T: Item>(paths: impl Paths) -> Result<Bag<T>> {
    AvroFiles::new(paths).read()
}

/// Avro files to be read as a bag of their records, and how.
#[derive(Debug, Clone)]
pub struct AvroFiles {
    paths: Result<Vec<PathBuf>>,
    blocksize: u64,
    line: &'static Location<'static>,
}

impl AvroFiles {
    /// The files that are named, with what is usual.
    #[track_caller]
    pub fn new(paths: impl Paths) -> Self {
        AvroFiles { paths: files(&paths), blocksize: BLOCK, line: Location::caller() }
    }

    /// About how many bytes of a file a partition has.
    pub fn blocksize(mut self, bytes: u64) -> Self {
        self.blocksize = bytes;
        self
    }

    /// The bag of records.
    ///
    /// # Errors
    /// As for [`read_avro`].
    pub fn read<T: Item>(self) -> Result<Bag<T>> {
        let line = self.line;
        let opened = || {
            let paths = self.paths?;
            let mut headers: HashMap<PathBuf, Arc<Header>> = HashMap::new();
            for path in &paths {
                let file = super::blocks::stamp(path)?.1;
                headers.insert(path.clone(), Arc::new(Header::read(&file, path)?));
            }
            let cut = |file: &File, cut: u64, size: u64, path: &Path| {
                let header = headers.get(path).ok_or_else(missing)?;
                super::blocks::line_start(file, cut, size, &LineEnd::Bytes(header.sync.into()))
                    .map_err(|e| Error::new(ErrorKind::Io, format!("the file cannot be read: {e}")).at(path))
            };
            let blocks = Arc::new(Blocks::cut_at(&paths, self.blocksize, usize::MAX, cut)?);
            let headers = paths.iter().filter_map(|path| headers.get(path).cloned()).collect();
            let layer = Arc::new(ReadBlocks(blocks.clone()));
            Ok(Arc::new(Avro { blocks, layer, headers, item: PhantomData }) as Arc<dyn Pipeline<T>>)
        };
        Ok(Bag::of(Ok(opened().map_err(|error: Error| error.from_line(line))?), line))
    }
}

/// The beginning of a file.
#[derive(Debug)]
struct Header {
    /// All of it, with the sync marker.
    bytes: Arc<[u8]>,
    sync: [u8; 16],
    /// Whether blocks are compressed.
    compressed: bool,
}

impl Header {
    fn read(file: &File, path: &Path) -> Result<Header> {
        let mut bytes = vec![0; HEADER[0]];
        loop {
            let mut n = 0;
            while n < bytes.len() {
                match file.read_at(bytes.get_mut(n..).unwrap_or_default(), n as u64) {
                    Ok(0) => break,
                    Ok(more) => n += more,
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    Err(e) => return Err(Error::new(ErrorKind::Io, format!("the file cannot be read: {e}")).at(path)),
                }
            }
            let head = bytes.get(..n).unwrap_or_default();
            if !head.starts_with(MAGIC) {
                return Err(Error::new(ErrorKind::Corrupt, "this is no Avro file: it does not begin with `Obj` and a 1").at(path));
            }
            if let Some(header) = Header::parse(head) {
                return Ok(header);
            }
            if n < bytes.len() || n >= HEADER[1] {
                let message = format!("the header of the Avro file does not end within {n} bytes");
                return Err(Error::new(ErrorKind::Truncated, message).at(path));
            }
            bytes.resize(2 * n, 0);
        }
    }

    /// The header at the beginning of `bytes`; none where it does not end there.
    fn parse(bytes: &[u8]) -> Option<Header> {
        let mut rest = bytes.get(MAGIC.len()..)?;
        let mut compressed = false;
        loop {
            let mut entries = long(&mut rest)?;
            if entries == 0 {
                break;
            }
            if entries < 0 {
                // Then the bytes of the entries follow.
                long(&mut rest)?;
                entries = entries.checked_neg()?;
            }
            for _ in 0..entries {
                let key = take(&mut rest)?;
                let value = take(&mut rest)?;
                compressed |= key == b"avro.codec" && value != b"null";
            }
        }
        let (sync, after) = rest.split_at_checked(16)?;
        let header = bytes.get(..bytes.len() - after.len())?;
        Some(Header { bytes: header.into(), sync: sync.try_into().ok()?, compressed })
    }
}

/// The integer at the beginning of `bytes`, which then begin behind it.
fn long(bytes: &mut &[u8]) -> Option<i64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return Some((number >> 1) as i64 ^ -((number & 1) as i64));
        }
    }
    None
}

/// Bytes behind their length.
fn take<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = usize::try_from(long(bytes)?).ok()?;
    let (taken, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(taken)
}

struct Avro<T> {
    blocks: Arc<Blocks>,
    layer: LayerRef,
    /// Of each file.
    headers: Arc<[Arc<Header>]>,
    item: PhantomData<fn() -> T>,
}

impl<T: Item> Pipeline<T> for Avro<T> {
    fn name(&self) -> &str {
        "read_avro"
    }

    fn key(&self) -> Key {
        KeyBuilder::new("bag.read_avro", 1).text(std::any::type_name::<T>()).input(self.blocks.key()).finish()
    }

    fn inputs(&self) -> Vec<LayerRef> {
        vec![self.layer.clone()]
    }

    fn partitions(&self) -> u32 {
        self.blocks.count()
    }

    fn dependencies(&self, partition: u32, first: u32, out: &mut Vec<Dependency>) {
        out.push(Dependency { input: first, block: partition });
    }

    fn estimate(&self, partition: u32) -> u64 {
        self.blocks.bytes(partition)
    }

    fn scratch(&self, _partition: u32) -> u64 {
        1 << 20
    }

    fn open(&self, task: &TaskContext<'_>, partition: u32, inputs: &[Value]) -> Result<BoxStream<T>> {
        let Some(Value::Chunk(Chunk::Bytes(bytes))) = inputs.first() else { return Err(missing()) };
        let (mut parts, mut before, mut largest) = (VecDeque::new(), 0, 0);
        for piece in self.blocks.pieces(partition) {
            let header = self.headers.get(piece.file as usize).ok_or_else(missing)?;
            let path = self.blocks.file(piece.file);
            let end = before + piece.len as usize;
            let begin = if piece.offset == 0 { before + header.bytes.len().min(piece.len as usize) } else { before };
            let part = Slice { bytes: bytes.0.clone(), at: begin, end };
            let offset = piece.offset + (begin - before) as u64;
            let (marks, most) = marks(part.rest(), offset, header).map_err(|error| error.at(path))?;
            // What a block of records is when it is decoded is not known before.
            largest = largest.max(if header.compressed { most.saturating_mul(8) } else { most });
            parts.push_back(Part { path: path.to_path_buf(), header: header.clone(), part, marks });
            before = end;
        }
        task.claim((largest as u64).saturating_sub(1 << 19))?;
        Ok(Box::new(Records { parts, open: None, cancellation: task.cancellation(), left: 0 }))
    }

    fn with_inputs(&self, inputs: &[LayerRef]) -> Option<Arc<dyn Pipeline<T>>> {
        let [layer] = inputs else { return None };
        let Avro { blocks, headers, .. } = self;
        Some(Arc::new(Avro { blocks: blocks.clone(), layer: layer.clone(), headers: headers.clone(), item: PhantomData }))
    }

    fn absorb(&self, _input: usize) -> Option<Arc<dyn Pipeline<T>>> {
        None
    }
}

/// Where the blocks of a part of a file begin in the file, and how many records there are up to the end of each; and the bytes of the largest.
///
/// # Errors
/// Truncated where a block does not end, Corrupt where no sync marker is behind it.
fn marks(bytes: &[u8], offset: u64, header: &Header) -> Result<(Vec<(u64, u64)>, usize)> {
    let (mut rest, mut marks, mut records, mut largest) = (bytes, Vec::new(), 0u64, 0);
    while !rest.is_empty() {
        let at = offset + (bytes.len() - rest.len()) as u64;
        let cut = || Error::new(ErrorKind::Truncated, format!("the file ends within the block of records at byte {at}"));
        let wrong = |what: &str| Error::new(ErrorKind::Corrupt, format!("the block of records at byte {at} of the file {what}"));
        let count = long(&mut rest).ok_or_else(cut)?;
        let len = long(&mut rest).ok_or_else(cut)?;
        let (Ok(count), Ok(len)) = (u64::try_from(count), usize::try_from(len)) else {
            return Err(wrong("says that it has fewer than no records or bytes"));
        };
        let (_, after) = rest.split_at_checked(len).ok_or_else(cut)?;
        let (sync, after) = after.split_at_checked(16).ok_or_else(cut)?;
        if sync != header.sync {
            return Err(wrong("does not end with the marker of the file"));
        }
        records = records.checked_add(count).ok_or_else(|| wrong("has too many records"))?;
        marks.push((at, records));
        largest = largest.max(len);
        rest = after;
    }
    Ok((marks, largest))
}

/// A part of a block, read from its beginning to its end.
struct Slice {
    bytes: Buffer,
    at: usize,
    end: usize,
}

impl Slice {
    fn rest(&self) -> &[u8] {
        self.bytes.get(self.at..self.end).unwrap_or_default()
    }
}

impl Read for Slice {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.rest().read(out)?;
        self.at += n;
        Ok(n)
    }
}

/// A part of a file that is to be read.
struct Part {
    path: PathBuf,
    header: Arc<Header>,
    part: Slice,
    marks: Vec<(u64, u64)>,
}

/// The header of a file, and a part of it behind.
type Block = io::Chain<Cursor<Arc<[u8]>>, Slice>;

/// A part of a file that is being read.
struct Open<T> {
    path: PathBuf,
    records: ReaderDeser<'static, Block, T>,
    marks: Vec<(u64, u64)>,
    done: u64,
}

/// The records of parts of files, one after the other.
struct Records<T> {
    parts: VecDeque<Part>,
    open: Option<Open<T>>,
    cancellation: Cancellation,
    /// Records until it is looked whether the run was cancelled.
    left: u32,
}

impl<T: Item> Records<T> {
    fn step(&mut self) -> Result<Option<T>> {
        if self.left == 0 {
            self.cancellation.check()?;
            self.left = LOOK;
        }
        self.left -= 1;
        loop {
            if let Some(open) = &mut self.open {
                match open.records.next() {
                    Some(Ok(record)) => {
                        open.done += 1;
                        return Ok(Some(record));
                    }
                    Some(Err(error)) => return Err(wrong::<T>(open, error)),
                    // A block of no records ends the reader before its time.
                    None if open.marks.last().is_some_and(|(_, records)| open.done < *records) => return Err(missing().at(&open.path)),
                    None => self.open = None,
                }
            }
            let Some(Part { path, header, part, marks }) = self.parts.pop_front() else { return Ok(None) };
            let reader = Reader::new(Cursor::new(header.bytes.clone()).chain(part));
            let unreadable = |e| Error::new(ErrorKind::Corrupt, format!("the header of the Avro file cannot be read: {e}")).at(&path);
            let records = reader.map_err(unreadable)?.into_deser_iter();
            self.open = Some(Open { path, records, marks, done: 0 });
        }
    }
}

/// That a record cannot be read.
#[cold]
fn wrong<T>(open: &Open<T>, error: apache_avro::Error) -> Error {
    let block = open.marks.partition_point(|(_, records)| *records <= open.done);
    let (at, before) =
        open.marks.get(block).map_or((0, 0), |(at, _)| (*at, block.checked_sub(1).map_or(0, |i| open.marks.get(i).map_or(0, |m| m.1))));
    let place = format!("record {} of the block at byte {at} of the file", open.done - before);
    let error = match error.details() {
        Details::DeserializeValue(_) | Details::DeserializeSchemaAware { .. } | Details::DeserializeIdentifier(_) => {
            let message = format!("{place} is no {}: {error}", std::any::type_name::<T>());
            let hint =
                "a struct has the name and the fields of the record in the file's schema: `#[serde(rename = \"Name\")]` gives it another";
            Error::new(ErrorKind::Type, message).hint(hint)
        }
        _ => Error::new(ErrorKind::Corrupt, format!("{place} cannot be read: {error}")),
    };
    error.at(&open.path)
}

impl<T: Item> Stream<T> for Records<T> {
    fn next(&mut self) -> Option<Result<T>> {
        let next = self.step().transpose();
        if let Some(Err(_)) = &next {
            (self.parts, self.open) = (VecDeque::new(), None);
        }
        next
    }
}
