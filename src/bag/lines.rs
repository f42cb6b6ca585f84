//! Lines of blocks of text.

use super::blocks::{Blocks, LineEnd, ReadBlocks};
use super::encoding::Coding;
use super::pipeline::{Item, Pipeline};
use super::regroup::missing;
use super::stream::{BoxStream, ENOUGH, Flow, MORE, Stream, as_text, no_text};
use crate::graph::{Cancellation, Dependency, Key, KeyBuilder, LayerRef, TaskContext, Value};
use crate::{Error, Result};
use chunkstore_store::{Buffer, Chunk};
use std::borrow::Cow;
use std::marker::PhantomData;
use std::path::Path;
use std::sync::Arc;

/// A cancelled run is noticed after so many lines.
const LOOK: u32 = 1024;

/// Lines of so many bytes or more are booked for beside the block that they are in: as an element, and as what the next step makes of that.
pub(super) const LONG: usize = 1 << 20;
pub(super) const COPIES: u64 = 2;

/// About the bytes of lines that are looked at together, where only words count, or for what is no text: they stay in the processor's first cache.
const WINDOW: usize = 16 << 10;

/// A line of a file, without its end.
#[derive(Clone, Copy)]
pub(crate) struct Line<'a> {
    pub(crate) bytes: &'a [u8],
    /// Where it begins in its file.
    pub(crate) offset: u64,
    pub(crate) path: &'a Path,
    pub(super) coding: &'a Coding,
    /// The bytes as text, where it is known already that they are UTF-8.
    pub(super) known: Option<&'a str>,
}

impl<'a> Line<'a> {
    /// The line as text.
    #[inline]
    pub(crate) fn text(self) -> Result<Cow<'a, str>> {
        if let Some(text) = self.known {
            return Ok(Cow::Borrowed(text));
        }
        if self.coding.is_plain() {
            return std::str::from_utf8(self.bytes).map(Cow::Borrowed).map_err(|e| self.invalid(e.valid_up_to()));
        }
        self.coding.decode(self.bytes).map_err(|bad| self.invalid(bad.0))
    }

    #[cold]
    fn invalid(self, at: usize) -> Error {
        self.coding.error(self.offset + at as u64, self.bytes.get(at).copied()).at(self.path)
    }
}

/// What a line becomes.
pub(crate) trait Parse<T>: Send + Sync + 'static {
    /// The name of the step.
    fn name(&self) -> &str;

    /// What tells it from others.
    fn key(&self) -> Key;

    /// The element, or none where the line is to be passed over.
    fn parse(&self, line: Line<'_>) -> Result<Option<T>>;

    /// Whether lines become text.
    fn is_text(&self) -> bool {
        false
    }

    /// The line as text, where that is what it becomes.
    fn text<'a>(&self, line: Line<'a>) -> Option<Result<Cow<'a, str>>> {
        let _ = line;
        None
    }
}

/// Each line as it is.
pub(crate) struct Plain;

impl Parse<String> for Plain {
    fn name(&self) -> &str {
        "read_text"
    }

    fn key(&self) -> Key {
        KeyBuilder::new("bag.read_text", 1).finish()
    }

    fn parse(&self, line: Line<'_>) -> Result<Option<String>> {
        Ok(Some(line.text()?.into_owned()))
    }

    fn is_text(&self) -> bool {
        true
    }

    #[inline]
    fn text<'a>(&self, line: Line<'a>) -> Option<Result<Cow<'a, str>>> {
        Some(line.text())
    }
}

/// Each line with the path of its file.
pub(crate) struct WithPath;

impl Parse<(String, String)> for WithPath {
    fn name(&self) -> &str {
        "read_text"
    }

    fn key(&self) -> Key {
        KeyBuilder::new("bag.read_text_with_path", 1).finish()
    }

    fn parse(&self, line: Line<'_>) -> Result<Option<(String, String)>> {
        Ok(Some((line.text()?.into_owned(), line.path.to_string_lossy().into_owned())))
    }
}

/// What the lines of blocks become.
pub(crate) struct Lines<T, P> {
    blocks: Arc<Blocks>,
    layer: LayerRef,
    form: Arc<Form>,
    parse: Arc<P>,
    item: PhantomData<fn() -> T>,
}

/// What ends the lines of files, and how their bytes become text.
#[derive(Clone, Debug)]
pub(super) struct Form {
    pub(super) end: LineEnd,
    pub(super) coding: Coding,
}

impl Form {
    /// Adds what decides about the elements to a key.
    pub(super) fn add_to(&self, key: KeyBuilder) -> KeyBuilder {
        let key = match &self.end {
            LineEnd::Any => key.number(0),
            LineEnd::Bytes(end) => key.number(1).bytes(end),
        };
        key.text(&self.coding.name).number(self.coding.errors as u64)
    }
}

impl<T: Item, P: Parse<T>> Lines<T, P> {
    pub(super) fn new(blocks: Arc<Blocks>, form: Arc<Form>, parse: Arc<P>) -> Self {
        let layer = Arc::new(ReadBlocks(blocks.clone()));
        Lines { blocks, layer, form, parse, item: PhantomData }
    }
}

impl<T: Item, P: Parse<T>> Pipeline<T> for Lines<T, P> {
    fn name(&self) -> &str {
        self.parse.name()
    }

    fn key(&self) -> Key {
        self.form.add_to(KeyBuilder::new("bag.lines", 1).input(self.parse.key()).input(self.blocks.key())).finish()
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

    fn whole(&self, partition: u32) -> u64 {
        self.blocks.bytes(partition)
    }

    fn open(&self, task: &TaskContext<'_>, partition: u32, inputs: &[Value]) -> Result<BoxStream<T>> {
        let Some(Value::Chunk(Chunk::Bytes(bytes))) = inputs.first() else { return Err(missing()) };
        task.claim(COPIES * self.form.end.longest(&bytes.0, LONG) as u64)?;
        let blocks = self.blocks.clone();
        Ok(Box::new(Parsed::new(BlockLines {
            blocks,
            block: partition,
            bytes: bytes.0.clone(),
            piece: 0,
            before: 0,
            at: 0,
            form: self.form.clone(),
            parse: self.parse.clone(),
            cancellation: task.cancellation(),
            left: 0,
        })))
    }

    fn with_inputs(&self, inputs: &[LayerRef]) -> Option<Arc<dyn Pipeline<T>>> {
        let [layer] = inputs else { return None };
        let Lines { blocks, form, parse, .. } = self;
        Some(Arc::new(Lines { blocks: blocks.clone(), layer: layer.clone(), form: form.clone(), parse: parse.clone(), item: PhantomData }))
    }

    fn absorb(&self, _input: usize) -> Option<Arc<dyn Pipeline<T>>> {
        None
    }

    fn is_cheap(&self) -> bool {
        true
    }

    fn is_portable(&self) -> bool {
        // The key has the state of each file.
        true
    }
}

/// Who reads the lines of a partition, for `P` to parse.
pub(super) trait ReadLines<P> {
    /// Gives the lines to `take` until it has enough.
    fn lines(&mut self, take: impl FnMut(&P, Line<'_>) -> Result<Flow>) -> Result<Flow>;

    /// Many lines at a time, with their ends, where these are white space; none where it does not read them so.
    fn runs(&mut self, take: &mut dyn FnMut(&str) -> Result<Flow>) -> Option<Result<Flow>> {
        let _ = take;
        None
    }

    /// Gives no more lines.
    fn stop(&mut self);

    fn parse(&self) -> &P;
}

/// What the lines of a partition become, one after the other.
pub(super) struct Parsed<R, P> {
    lines: R,
    parse: PhantomData<fn() -> P>,
}

impl<R: ReadLines<P>, P> Parsed<R, P> {
    pub(super) fn new(lines: R) -> Self {
        Parsed { lines, parse: PhantomData }
    }
}

impl<T: Item, P: Parse<T>, R: ReadLines<P>> Stream<T> for Parsed<R, P> {
    fn next(&mut self) -> Option<Result<T>> {
        let mut next = None;
        let done = self.lines.lines(|parse, line| {
            next = parse.parse(line)?;
            Ok(if next.is_some() { ENOUGH } else { MORE })
        });
        match done {
            Ok(_) => next.map(Ok),
            Err(error) => {
                self.lines.stop();
                Some(Err(error))
            }
        }
    }

    fn each(&mut self, take: &mut dyn FnMut(T) -> Result<Flow>) -> Result<Flow> {
        self.lines.lines(|parse, line| match parse.parse(line)? {
            Some(item) => take(item),
            None => Ok(MORE),
        })
    }

    fn each_str(&mut self, take: &mut dyn FnMut(&str) -> Result<Flow>) -> Result<Flow> {
        if !self.lines.parse().is_text() {
            // Text that the lines are parsed to.
            return self.each(&mut |item: T| take(as_text(&item)?));
        }
        self.lines.lines(|parse, line| match parse.text(line) {
            Some(text) => take(&text?),
            None => Err(no_text()),
        })
    }

    fn each_run(&mut self, take: &mut dyn FnMut(&str) -> Result<Flow>) -> Result<Flow> {
        if self.lines.parse().is_text()
            && let Some(done) = self.lines.runs(take)
        {
            return done;
        }
        self.each_str(take)
    }
}

/// The lines of one block.
struct BlockLines<P> {
    blocks: Arc<Blocks>,
    block: u32,
    bytes: Buffer,
    /// The piece of the block that is being read, the bytes of those before it, and how far it is read.
    piece: usize,
    before: usize,
    at: usize,
    form: Arc<Form>,
    parse: Arc<P>,
    cancellation: Cancellation,
    /// Lines until it is looked whether the run was cancelled.
    left: u32,
}

impl<P> ReadLines<P> for BlockLines<P> {
    #[inline]
    fn lines(&mut self, mut take: impl FnMut(&P, Line<'_>) -> Result<Flow>) -> Result<Flow> {
        let BlockLines { blocks, block, bytes, piece, before, at, form, parse, cancellation, left } = self;
        let Form { end, coding } = &**form;
        let pieces = blocks.pieces(*block);
        while let Some(now) = pieces.get(*piece) {
            let len = now.len as usize;
            let all = bytes.get(*before..*before + len).ok_or_else(missing)?;
            let path = blocks.file(now.file);
            if now.offset == 0 && *at == 0 {
                *at = coding.mark(all);
            }
            let mut checked = Checked::new(all, coding.is_plain());
            while *at < len {
                if *left == 0 {
                    cancellation.check()?;
                    *left = LOOK;
                }
                *left -= 1;
                let rest = all.get(*at..).unwrap_or_default();
                let (n, skip) = end.find(rest, false).unwrap_or((rest.len(), 0));
                let known = checked.text(*at, n);
                let line = Line { bytes: rest.get(..n).unwrap_or_default(), offset: now.offset + *at as u64, path, coding, known };
                *at += n + skip;
                if take(parse, line)?.is_break() {
                    return Ok(ENOUGH);
                }
            }
            *before += len;
            *piece += 1;
            *at = 0;
        }
        Ok(MORE)
    }

    fn runs(&mut self, take: &mut dyn FnMut(&str) -> Result<Flow>) -> Option<Result<Flow>> {
        let is_white = self.form.end == LineEnd::Any && self.form.coding.is_plain();
        is_white.then(|| self.windows(take))
    }

    fn stop(&mut self) {
        self.piece = usize::MAX;
    }

    fn parse(&self) -> &P {
        &self.parse
    }
}

/// Text that is looked through for what is no UTF-8 many lines at a time.
struct Checked<'a> {
    all: &'a [u8],
    /// What was looked through last, and where it begins.
    text: &'a str,
    begin: usize,
    state: Check,
}

/// Whether lines are looked through together.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Check {
    Never,
    /// From the second line on: there may be no more than one.
    Soon,
    Now,
}

impl<'a> Checked<'a> {
    fn new(all: &'a [u8], is_plain: bool) -> Self {
        Checked { all, text: "", begin: 0, state: if is_plain { Check::Soon } else { Check::Never } }
    }

    /// The line of `len` bytes that begins at `at`, where it is known to be text.
    #[inline]
    fn text(&mut self, at: usize, len: usize) -> Option<&'a str> {
        if at >= self.begin + self.text.len() {
            match self.state {
                Check::Never => return None,
                Check::Soon => {
                    self.state = Check::Now;
                    return None;
                }
                Check::Now => self.look(at),
            }
        }
        self.text.get(at - self.begin..at - self.begin + len)
    }

    /// Looks through the bytes from `at` on: what is not in order among them, its own line tells.
    #[inline(never)]
    fn look(&mut self, at: usize) {
        let window = self.all.get(at..self.all.len().min(at + WINDOW)).unwrap_or_default();
        self.begin = at;
        self.text = match std::str::from_utf8(window) {
            Ok(text) => text,
            Err(error) => window.get(..error.valid_up_to()).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default(),
        };
    }
}

impl<P> BlockLines<P> {
    /// Windows of many lines.
    fn windows(&mut self, take: &mut dyn FnMut(&str) -> Result<Flow>) -> Result<Flow> {
        let BlockLines { blocks, block, bytes, piece, before, at, form, cancellation, .. } = self;
        let coding = &form.coding;
        let pieces = blocks.pieces(*block);
        while let Some(now) = pieces.get(*piece) {
            let len = now.len as usize;
            let all = bytes.get(*before..*before + len).ok_or_else(missing)?;
            let path = blocks.file(now.file);
            while let Some(rest) = all.get(*at..).filter(|rest| !rest.is_empty()) {
                cancellation.check()?;
                // Up to the last end of a line in the window, or the first behind it.
                let n = match rest.get(..WINDOW) {
                    None => rest.len(),
                    Some(window) => match memchr::memrchr(b'\n', window) {
                        Some(last) => last + 1,
                        None => memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1),
                    },
                };
                let line = Line { bytes: rest.get(..n).unwrap_or_default(), offset: now.offset + *at as u64, path, coding, known: None };
                *at += n;
                if take(&line.text()?)?.is_break() {
                    return Ok(ENOUGH);
                }
            }
            *before += len;
            *piece += 1;
            *at = 0;
        }
        Ok(MORE)
    }
}
