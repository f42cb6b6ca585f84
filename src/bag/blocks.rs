//! Files cut into blocks at the ends of lines, and the layer that reads them.
//!
//! ```text
//! file   |to be or\nnot to be\nthat is\nthe question\n|
//! cuts   |         .   |     .   |        .           |   every so many bytes ..
//! blocks |to be or\nnot to be\n|that is\n|the question\n|   .. moved to the next beginning of a line
//! ```
//! Where lines begin is looked for when the files are opened, in a few KiB behind each cut, so that the size of each block is known before anything runs.

use crate::graph::{Dependency, Key, KeyBuilder, Layer, LayerRef, Operator, Size, Sizes, TaskContext, Value};
use crate::{Error, ErrorKind, Result};
use chunkstore_store::{Buffer, Bytes, Chunk, InputFile, Stamp};
use std::any::Any;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The bytes of a block where nothing else is said: a constant, since it decides how a bag is cut.
pub(crate) const BLOCK: u64 = 16 << 20;

/// What is read at a time when the next beginning of a line is looked for.
const WINDOW: usize = 8 << 10;

/// What ends a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LineEnd {
    /// `\n`, `\r\n`, or `\r` alone.
    Any,
    /// These bytes.
    Bytes(Arc<[u8]>),
}

impl LineEnd {
    /// The first end of a line in `bytes`: where it begins, and how long it is. At the end of `bytes`, `more` says whether the file goes on:
    /// none is found then where more bytes would tell.
    #[inline]
    pub(crate) fn find(&self, bytes: &[u8], more: bool) -> Option<(usize, usize)> {
        match self {
            LineEnd::Any => {
                let at = memchr::memchr2(b'\n', b'\r', bytes)?;
                match bytes.get(at..) {
                    Some([b'\n', ..]) => Some((at, 1)),
                    Some([b'\r', b'\n', ..]) => Some((at, 2)),
                    Some([b'\r']) if more => None,
                    _ => Some((at, 1)),
                }
            }
            LineEnd::Bytes(end) => memchr::memmem::find(bytes, end).map(|at| (at, end.len())),
        }
    }

    /// The bytes of the longest of the lines that have `least` or more; 0 where none has.
    pub(super) fn longest(&self, bytes: &[u8], least: usize) -> usize {
        let (mut begin, mut longest) = (0, 0);
        // A line that long is the only one in some window of that size: the last end in the one from a line's beginning is near its end as a rule.
        while let Some(window) = bytes.get(begin..begin + least) {
            let last = match self {
                LineEnd::Any => memchr::memrchr2(b'\n', b'\r', window).map(|at| at + 1),
                LineEnd::Bytes(end) => memchr::memmem::rfind(window, end).map(|at| at + end.len()),
            };
            begin += last.unwrap_or_else(|| {
                let (line, skip) = self.find(bytes.get(begin..).unwrap_or_default(), false).unwrap_or((bytes.len() - begin, 0));
                longest = longest.max(line);
                line + skip
            });
        }
        longest
    }

    /// How many bytes before a cut the end of a line before it can begin.
    pub(super) fn reach(&self) -> u64 {
        match self {
            // A `\r` alone ends its line just before the cut; with a `\n` behind the cut it ends after it.
            LineEnd::Any => 1,
            LineEnd::Bytes(end) => end.len() as u64,
        }
    }
}

/// A part of a file.
#[derive(Clone, Debug)]
pub(crate) struct Piece {
    /// Which of the files.
    pub(crate) file: u32,
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

/// Files, and the pieces of them that blocks are.
#[derive(Debug)]
pub(crate) struct Blocks {
    files: Vec<Stamp>,
    /// The pieces of each block: one, or several whole files.
    pieces: Vec<Vec<Piece>>,
    key: Key,
}

impl Blocks {
    /// Cuts files into blocks of about so many bytes that begin where lines do. Files that are smaller share a block, up to `together` of them.
    pub(crate) fn cut(paths: &[PathBuf], bytes: u64, together: usize, end: &LineEnd) -> Result<Blocks> {
        Blocks::cut_at(paths, bytes, together, |opened, cut, size, path| {
            line_start(opened, cut, size, end).map_err(|e| unreadable(path, &e))
        })
    }

    /// Cuts files into blocks of about so many bytes that are whole records of `record` bytes. Files that are smaller share a block.
    ///
    /// # Errors
    /// Truncated where a file ends within a record; Invalid where records have no bytes; those of the file system.
    pub(crate) fn cut_records(paths: &[PathBuf], bytes: u64, record: u64) -> Result<Blocks> {
        if record == 0 {
            return Err(Error::new(ErrorKind::Invalid, "records of no bytes").hint("say how many bytes a record has"));
        }
        let blocks = Blocks::cut_at(paths, bytes.max(record) / record * record, usize::MAX, |_, cut, _, _| Ok(cut))?;
        for file in &blocks.files {
            let left = file.size % record;
            if left > 0 {
                let message = format!("the file has {} bytes: {left} are left over after the last record of {record}", file.size);
                return Err(Error::new(ErrorKind::Truncated, message).at(&file.path));
            }
        }
        Ok(blocks)
    }

    /// Cuts files where `next` says: it is given the file, where it would be cut, its size and its path.
    pub(super) fn cut_at(
        paths: &[PathBuf],
        bytes: u64,
        together: usize,
        next: impl Fn(&File, u64, u64, &Path) -> Result<u64>,
    ) -> Result<Blocks> {
        if bytes == 0 {
            return Err(
                Error::new(ErrorKind::Invalid, "blocksize is 0").hint(format!("it is a number of bytes; {BLOCK} where nothing is said"))
            );
        }
        let mut files = Vec::with_capacity(paths.len());
        let mut pieces: Vec<Vec<Piece>> = Vec::new();
        // The bytes of the last block, while further files may join it.
        let mut open: Option<u64> = None;
        for (number, path) in paths.iter().enumerate() {
            let file = number as u32;
            let (stamp, opened) = stamp(path)?;
            let size = stamp.size;
            files.push(stamp);
            // Equal parts, of up to half as much again: no small rest.
            let parts = ((size + bytes / 2) / bytes).max(1);
            if parts == 1 {
                let piece = Piece { file, offset: 0, len: size };
                match (pieces.last_mut(), open) {
                    (Some(block), Some(taken)) if taken + size <= bytes && block.len() < together => {
                        block.push(piece);
                        open = Some(taken + size);
                    }
                    _ => {
                        pieces.push(vec![piece]);
                        open = Some(size);
                    }
                }
                continue;
            }
            open = None;
            let mut offset = 0;
            for cut in (1..parts).map(|i| (u128::from(size) * u128::from(i) / u128::from(parts)) as u64) {
                if cut <= offset {
                    continue;
                }
                let next = next(&opened, cut, size, path)?;
                if next > offset && next < size {
                    pieces.push(vec![Piece { file, offset, len: next - offset }]);
                    offset = next;
                }
            }
            pieces.push(vec![Piece { file, offset, len: size - offset }]);
        }
        Ok(Blocks::new(files, pieces))
    }

    fn new(files: Vec<Stamp>, pieces: Vec<Vec<Piece>>) -> Blocks {
        let mut key = KeyBuilder::new("bag.read_blocks", 1).number(files.len() as u64);
        for file in &files {
            key = key.bytes(file.path.as_os_str().as_encoded_bytes()).number(file.size).bytes(&file.mtime_ns.to_le_bytes());
        }
        for block in &pieces {
            key = key.numbers(block.iter().flat_map(|piece| [piece.file.into(), piece.offset, piece.len]).collect::<Vec<_>>().into_iter());
        }
        Blocks { files, pieces, key: key.finish() }
    }

    pub(crate) fn key(&self) -> Key {
        self.key
    }

    /// The number of blocks.
    pub(crate) fn count(&self) -> u32 {
        self.pieces.len() as u32
    }

    /// The bytes of a block.
    pub(crate) fn bytes(&self, block: u32) -> u64 {
        self.pieces(block).iter().map(|piece| piece.len).sum()
    }

    pub(crate) fn pieces(&self, block: u32) -> &[Piece] {
        self.pieces.get(block as usize).map_or(&[], Vec::as_slice)
    }

    /// The file of a piece.
    pub(crate) fn file(&self, number: u32) -> &Path {
        self.files.get(number as usize).map_or(Path::new(""), |file| &file.path)
    }

    fn read_piece(&self, piece: &Piece, task: &TaskContext<'_>) -> Result<(Buffer, usize)> {
        let missing = || Error::new(ErrorKind::Graph, "a file is missing; this is a defect of the engine");
        let expected = self.files.get(piece.file as usize).ok_or_else(missing)?;
        let file = InputFile::open(&expected.path)?;
        if file.stamp() != expected {
            let message = "the file has changed since it was opened";
            return Err(Error::new(ErrorKind::Corrupt, message).at(&expected.path).hint("open it again once nobody writes to it"));
        }
        let len = usize::try_from(piece.len).map_err(|_| Error::new(ErrorKind::OutOfMemory, "a block is larger than memory"))?;
        Ok(file.read_into(piece.offset, len, task.arena())?)
    }

    /// The bytes of a block.
    pub(crate) fn read(&self, block: u32, task: &TaskContext<'_>) -> Result<Buffer> {
        let cut = || Error::new(ErrorKind::Truncated, "a file ended before its block did");
        match self.pieces(block) {
            [piece] if piece.len > 0 => {
                let (buffer, start) = self.read_piece(piece, task)?;
                buffer.slice(start, piece.len as usize).ok_or_else(cut)
            }
            pieces => {
                let mut all = task.arena().alloc(self.bytes(block) as usize)?;
                let mut at = 0;
                for piece in pieces.iter().filter(|piece| piece.len > 0) {
                    let (buffer, start) = self.read_piece(piece, task)?;
                    let len = piece.len as usize;
                    let (to, from) = (all.get_mut(at..at + len), buffer.get(start..start + len));
                    let (to, from) = to.zip(from).ok_or_else(cut)?;
                    to.copy_from_slice(from);
                    at += len;
                }
                Ok(all.freeze())
            }
        }
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> Error {
    Error::new(ErrorKind::Io, format!("the file cannot be read: {error}")).at(path)
}

/// The file as it is now, and opened to look into it.
pub(crate) fn stamp(path: &Path) -> Result<(Stamp, File)> {
    let refused = |e: std::io::Error| {
        let kind = if e.kind() == std::io::ErrorKind::NotFound { ErrorKind::NotFound } else { ErrorKind::Io };
        Error::new(kind, format!("the file cannot be opened: {e}")).at(path)
    };
    let canonical = path.canonicalize().map_err(refused)?;
    // Looked at first: opening a pipe waits for who writes to it.
    if !canonical.metadata().map_err(refused)?.is_file() {
        return Err(Error::new(ErrorKind::Invalid, "this is not a regular file").at(path).hint("name a file, not a pipe or a device"));
    }
    let file = File::open(&canonical).map_err(refused)?;
    let meta = file.metadata().map_err(refused)?;
    let mtime_ns = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
    Ok((Stamp { path: canonical, size: meta.len(), mtime_ns }, file))
}

/// The first beginning of a line at `cut` or later; the end of the file where there is none.
pub(super) fn line_start(file: &File, cut: u64, size: u64, end: &LineEnd) -> std::io::Result<u64> {
    let mut at = cut.saturating_sub(end.reach());
    let mut window = vec![0; WINDOW];
    let mut kept = 0;
    // `window[..kept]` are the bytes before `at` in which an end may have begun.
    while at < size {
        let room = window.get_mut(kept..).unwrap_or_default();
        let wanted = room.len().min((size - at) as usize);
        let n = match file.read_at(room.get_mut(..wanted).unwrap_or_default(), at) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        at += n as u64;
        let seen = window.get(..kept + n).unwrap_or_default();
        let begin = at - seen.len() as u64;
        let mut from = 0;
        while let Some((found, len)) = end.find(seen.get(from..).unwrap_or_default(), at < size) {
            let next = begin + (from + found + len) as u64;
            if next >= cut {
                return Ok(next);
            }
            from += found + len;
        }
        // A part of an end may stand at the end of the window.
        kept = (end.reach() as usize).min(seen.len());
        let tail = seen.len() - kept;
        window.copy_within(tail..tail + kept, 0);
    }
    Ok(size)
}

/// The layer that reads blocks of files.
pub(crate) struct ReadBlocks(pub(crate) Arc<Blocks>);

impl Layer for ReadBlocks {
    fn key(&self) -> Key {
        self.0.key
    }

    fn name(&self) -> &str {
        "read_blocks"
    }

    fn inputs(&self) -> &[LayerRef] {
        &[]
    }

    fn blocks(&self) -> u32 {
        self.0.count()
    }

    fn dependencies(&self, _block: u32, _out: &mut Vec<Dependency>) {}

    fn sizes(&self, block: u32) -> Sizes {
        let bytes = self.0.bytes(block);
        let scratch = match self.0.pieces(block) {
            [_] => 0,
            // One file at a time is read, and copied.
            pieces => pieces.iter().map(|piece| InputFile::footprint(0, piece.len as usize)).max().unwrap_or(0),
        };
        Sizes { out: Size::Exact(bytes), scratch, load: bytes }
    }

    fn operator(&self) -> Arc<dyn Operator> {
        Arc::new(Read(self.0.clone()))
    }

    fn is_source(&self) -> bool {
        true
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn with_inputs(&self, _inputs: Vec<LayerRef>) -> Option<LayerRef> {
        None
    }
}

/// Reads a block.
struct Read(Arc<Blocks>);

impl Operator for Read {
    fn name(&self) -> &str {
        "read_blocks"
    }

    fn parameters(&self) -> Option<Vec<u8>> {
        None
    }

    fn run(&self, task: &TaskContext<'_>, _inputs: &[Value]) -> Result<Value> {
        Ok(Value::Chunk(Chunk::Bytes(Bytes(self.0.read(task.block(), task)?))))
    }
}
