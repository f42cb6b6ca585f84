//! Lines of files that cannot be cut into blocks: compressed ones, and those in encodings that have to be decoded from the beginning on. Each file is read
//! once, from its beginning to its end, in constant memory.

use super::blocks::{BLOCK, stamp};
use super::compression::{Compression, Decoding};
use super::decompress::Decompressed;
use super::encoding::{Coding, Transcoder};
use super::lines::{COPIES, Form, LONG, Line, Parse, Parsed, ReadLines};
use super::pipeline::{Item, Pipeline};
use super::regroup::missing;
use super::stream::{BoxStream, ENOUGH, Flow, MORE};
use crate::graph::{Cancellation, Dependency, Key, KeyBuilder, LayerRef, TaskContext, Value};
use crate::{Error, ErrorKind, Result};
use chunkstore_store::{Arena, Booking, BufferMut, InputFile, Stamp};
use std::marker::PhantomData;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The bytes of text that are looked through at a time; a longer line takes more.
const TEXT: usize = 256 << 10;

/// The bytes that are decoded into text at a time, where that is a step of its own.
const RAW: usize = 64 << 10;

/// A cancelled run is noticed after so many lines.
const LOOK: u32 = 1024;

/// A file that is read from its beginning to its end.
#[derive(Clone, Debug)]
pub(super) struct Whole {
    stamp: Stamp,
    pub(super) compression: Compression,
    pub(super) decoding: Decoding,
}

impl Whole {
    /// Looks at a file.
    ///
    /// # Errors
    /// NotFound where it is not there; those of the file system.
    pub(super) fn of(path: &Path, compression: Compression) -> Result<Whole> {
        let (stamp, file) = stamp(path)?;
        let decoding = compression.decoding(&file, stamp.size);
        Ok(Whole { stamp, compression, decoding })
    }

    fn open(&self, arena: &Arena) -> Result<Decompressed> {
        let file = InputFile::open(&self.stamp.path)?;
        if *file.stamp() != self.stamp {
            let message = "the file has changed since it was opened";
            return Err(Error::new(ErrorKind::Corrupt, message).at(&self.stamp.path).hint("open it again once nobody writes to it"));
        }
        Decompressed::open(file, self.compression, self.decoding, arena)
    }
}

/// What the lines of whole files become, so many files a partition.
pub(super) struct FileLines<T, P> {
    files: Arc<[Whole]>,
    together: usize,
    form: Arc<Form>,
    parse: Arc<P>,
    item: PhantomData<fn() -> T>,
}

impl<T: Item, P: Parse<T>> FileLines<T, P> {
    pub(super) fn new(files: Vec<Whole>, together: usize, form: Arc<Form>, parse: Arc<P>) -> Self {
        FileLines { files: files.into(), together: together.max(1), form, parse, item: PhantomData }
    }

    fn of(&self, partition: u32) -> &[Whole] {
        self.files.chunks(self.together).nth(partition as usize).unwrap_or_default()
    }
}

impl<T: Item, P: Parse<T>> Pipeline<T> for FileLines<T, P> {
    fn name(&self) -> &str {
        self.parse.name()
    }

    fn key(&self) -> Key {
        let mut key = KeyBuilder::new("bag.file_lines", 1).input(self.parse.key()).number(self.together as u64);
        for Whole { stamp, compression, .. } in self.files.iter() {
            key = key.bytes(stamp.path.as_os_str().as_encoded_bytes()).number(stamp.size).bytes(&stamp.mtime_ns.to_le_bytes());
            key = key.text(compression.name());
        }
        self.form.add_to(key).finish()
    }

    fn inputs(&self) -> Vec<LayerRef> {
        Vec::new()
    }

    fn partitions(&self) -> u32 {
        self.files.len().div_ceil(self.together) as u32
    }

    fn dependencies(&self, _partition: u32, _first: u32, _out: &mut Vec<Dependency>) {}

    fn estimate(&self, partition: u32) -> u64 {
        // What a step makes of a large file is as a rule much less than all of it; where it is more, the task asks for it.
        self.of(partition).iter().map(|file| file.decoding.decoded).sum::<u64>().min(BLOCK)
    }

    fn whole(&self, partition: u32) -> u64 {
        self.of(partition).iter().map(|file| file.decoding.decoded).fold(0, u64::saturating_add)
    }

    fn scratch(&self, partition: u32) -> u64 {
        let files = self.of(partition);
        let decoder = files.iter().map(|file| file.decoding.memory).max().unwrap_or(0);
        decoder + Decompressed::footprint() + lines_footprint()
    }

    fn open(&self, task: &TaskContext<'_>, partition: u32, _inputs: &[Value]) -> Result<BoxStream<T>> {
        let files = self.files.clone();
        let open = move |file: usize, arena: &Arena| {
            let file = files.get(file).ok_or_else(missing)?;
            Ok((Box::new(file.open(arena)?) as Box<dyn Bytes>, file.stamp.path.clone()))
        };
        let next = partition as usize * self.together;
        let last = self.files.len().min(next + self.together);
        lines_of(task, Box::new(open), next..last, self.form.clone(), self.parse.clone())
    }

    fn with_inputs(&self, _inputs: &[LayerRef]) -> Option<Arc<dyn Pipeline<T>>> {
        None
    }

    fn absorb(&self, _input: usize) -> Option<Arc<dyn Pipeline<T>>> {
        None
    }

    fn is_cheap(&self) -> bool {
        false
    }
}

/// Where bytes come from, one after the other.
pub(super) trait Bytes {
    /// Takes some bytes, at the most so many as there is room for; none at their end.
    fn read(&mut self, out: &mut [u8]) -> Result<usize>;
}

impl Bytes for Decompressed {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        Decompressed::read(self, out)
    }
}

/// Opens the file of a number: its bytes, and its name in errors.
pub(super) type OpenFile = dyn Fn(usize, &Arena) -> Result<(Box<dyn Bytes>, PathBuf)>;

/// The bytes that [`lines_of`] takes.
pub(super) fn lines_footprint() -> u64 {
    Arena::footprint(TEXT) + Arena::footprint(RAW)
}

/// What the lines of files of these numbers become.
pub(super) fn lines_of<T: Item, P: Parse<T>>(
    task: &TaskContext<'_>,
    from: Box<OpenFile>,
    files: Range<usize>,
    form: Arc<Form>,
    parse: Arc<P>,
) -> Result<BoxStream<T>> {
    Ok(Box::new(Parsed::new(LinesOfFiles {
        from,
        files,
        open: None,
        text: task.arena().alloc(TEXT)?,
        beside: task.arena().ledger().book(0)?,
        arena: task.arena().clone(),
        form,
        decoded: Coding::decoded(),
        parse,
        cancellation: task.cancellation(),
        left: 0,
    })))
}

/// A file that is being read.
struct Open {
    text: Text,
    path: PathBuf,
    /// What is in the buffer and was not given yet.
    begin: usize,
    end: usize,
    /// Up to where no end of a line was found.
    seen: usize,
    /// Where the file's text at `begin` stands in it.
    offset: u64,
    /// Whether the file has been read to its end.
    ended: bool,
    /// Whether it has not been looked at how it begins.
    fresh: bool,
}

impl Open {
    /// There is no memory for a line.
    fn too_long(&self, bytes: usize, error: &chunkstore_store::Error) -> Error {
        let message = format!("a line that begins at byte {} of the file has {bytes} bytes or more: {error}", self.offset);
        Error::new(ErrorKind::OutOfMemory, message).at(&self.path)
    }
}

/// Where the text of a file comes from.
enum Text {
    /// Lines are decoded one by one.
    Raw(Box<dyn Bytes>),
    /// All of it is decoded to UTF-8 first.
    Decoded { from: Box<dyn Bytes>, raw: BufferMut, at: usize, end: usize, ended: bool, transcoder: Transcoder },
}

impl Text {
    /// Reads more text. Says how many bytes it is, and whether that was all.
    fn read(&mut self, out: &mut [u8], form: &Form) -> Result<(usize, bool)> {
        match self {
            Text::Raw(from) => from.read(out).map(|n| (n, n == 0)),
            Text::Decoded { from, raw, at, end, ended, transcoder } => loop {
                if *at == *end && !*ended {
                    (*at, *end) = (0, from.read(raw)?);
                    *ended = *end == 0;
                }
                let bytes = raw.get(*at..*end).unwrap_or_default();
                let (taken, written, done) = transcoder.decode(bytes, out, *ended).map_err(|bad| form.coding.error(bad.0, None))?;
                *at += taken;
                if written > 0 || (done && *ended) {
                    return Ok((written, done && *ended));
                }
            },
        }
    }
}

/// The lines of some files.
struct LinesOfFiles<P> {
    from: Box<OpenFile>,
    /// Those that were not opened yet.
    files: Range<usize>,
    open: Option<Open>,
    text: BufferMut,
    /// What is booked for a long line beside it: as an element, and as what the next step makes of that.
    beside: Booking,
    arena: Arena,
    form: Arc<Form>,
    /// How the bytes of lines become text that were decoded before.
    decoded: Coding,
    parse: Arc<P>,
    cancellation: Cancellation,
    /// Lines until it is looked whether the run was cancelled.
    left: u32,
}

impl<P> LinesOfFiles<P> {
    /// Begins with the next file, if there is one.
    fn begin(&mut self) -> Result<bool> {
        let Some(file) = self.files.next() else { return Ok(false) };
        let (from, path) = (self.from)(file, &self.arena)?;
        // What is cut before it is decoded is decoded line by line, here too.
        let transcoder = if self.form.coding.is_cut(&self.form.end) { None } else { self.form.coding.transcoder() };
        let text = match transcoder {
            None => Text::Raw(from),
            Some(transcoder) => Text::Decoded { from, raw: self.arena.alloc(RAW)?, at: 0, end: 0, ended: false, transcoder },
        };
        self.open = Some(Open { text, path, begin: 0, end: 0, seen: 0, offset: 0, ended: false, fresh: true });
        Ok(true)
    }

    /// Gets more of the open file into the buffer.
    fn fill(open: &mut Open, text: &mut BufferMut, arena: &Arena, form: &Form) -> Result<()> {
        let held = open.end - open.begin;
        if open.begin > 0 {
            text.copy_within(open.begin..open.end, 0);
            open.seen -= open.begin;
            (open.begin, open.end) = (0, held);
        }
        if text.len() - held < text.len() / 4 {
            // A line that is about as long as the buffer: the only thing here that takes more memory.
            let longer = text.len().saturating_add(text.len() / 2);
            let mut larger = arena.alloc(longer).map_err(|error| open.too_long(held, &error))?;
            larger.get_mut(..held).unwrap_or_default().copy_from_slice(text.get(..held).unwrap_or_default());
            *text = larger;
        }
        loop {
            let room = text.get_mut(open.end..).unwrap_or_default();
            let (n, ended) = open.text.read(room, form).map_err(|error| match error.path() {
                Some(_) => error,
                None => error.at(&open.path),
            })?;
            open.end += n;
            open.ended = ended;
            if !open.fresh {
                return Ok(());
            }
            if ended || open.end >= 3 {
                let mark = form.coding.mark(text.get(..open.end).unwrap_or_default());
                (open.begin, open.offset, open.seen, open.fresh) = (mark, mark as u64, mark, false);
                return Ok(());
            }
        }
    }
}

impl<P> ReadLines<P> for LinesOfFiles<P> {
    fn lines(&mut self, mut take: impl FnMut(&P, Line<'_>) -> Result<Flow>) -> Result<Flow> {
        loop {
            if self.open.is_none() && !self.begin()? {
                return Ok(MORE);
            }
            let LinesOfFiles { open, text, beside, arena, form, decoded, parse, cancellation, left, .. } = self;
            let Some(now) = open else { continue };
            let Form { end, coding } = &**form;
            let coding = if matches!(now.text, Text::Decoded { .. }) { decoded } else { coding };
            loop {
                if *left == 0 {
                    cancellation.check()?;
                    *left = LOOK;
                }
                let unseen = text.get(now.seen..now.end).unwrap_or_default();
                let (n, skip) = match end.find(unseen, !now.ended) {
                    Some((at, skip)) => (now.seen + at - now.begin, skip),
                    None if !now.ended => {
                        // What may be a part of an end is looked at again.
                        now.seen = now.begin.max(now.end.saturating_sub(end.reach() as usize));
                        *left = 0;
                        Self::fill(now, text, arena, form)?;
                        continue;
                    }
                    None if now.begin == now.end => break,
                    None => (now.end - now.begin, 0),
                };
                *left -= 1;
                if n > LONG {
                    let copies = (COPIES * n as u64).saturating_sub(beside.bytes());
                    beside.grow(copies).map_err(|error| now.too_long(n, &error))?;
                }
                let bytes = text.get(now.begin..now.begin + n).unwrap_or_default();
                let line = Line { bytes, offset: now.offset, path: &now.path, coding, known: None };
                let taken = take(parse, line);
                now.begin += n + skip;
                now.offset += (n + skip) as u64;
                now.seen = now.begin;
                if taken?.is_break() {
                    return Ok(ENOUGH);
                }
            }
            self.open = None;
        }
    }

    fn stop(&mut self) {
        (self.open, self.files) = (None, 0..0);
    }

    fn parse(&self) -> &P {
        &self.parse
    }
}
