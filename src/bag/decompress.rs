//! The bytes of a file as they were before it was compressed, in constant memory.

use super::compression::{Compression, Decoding};
use crate::{Error, ErrorKind, Result};
use chunkstore_store::{Arena, BufferMut, InputFile};
use std::io::{self, BufRead, Read};

/// The bytes of a file that are read at a time.
const WINDOW: usize = 512 << 10;

/// A file, read from its beginning to its end.
struct Window {
    file: InputFile,
    buffer: BufferMut,
    /// What is in the buffer and has not been taken.
    at: usize,
    end: usize,
    /// How far the file has been read.
    offset: u64,
}

impl Window {
    fn new(file: InputFile, arena: &Arena) -> Result<Self> {
        Ok(Window { buffer: arena.alloc(InputFile::space(0, WINDOW))?, file, at: 0, end: 0, offset: 0 })
    }
}

impl Read for Window {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let n = self.fill_buf()?.read(out)?;
        self.consume(n);
        Ok(n)
    }
}

impl BufRead for Window {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.at == self.end {
            let len = (self.file.size() - self.offset).min(WINDOW as u64) as usize;
            self.at = self.file.read_within(self.offset, len, &mut self.buffer).map_err(io::Error::other)?;
            self.end = self.at + len;
            self.offset += len as u64;
        }
        Ok(self.buffer.get(self.at..self.end).unwrap_or_default())
    }

    fn consume(&mut self, n: usize) {
        self.at = (self.at + n).min(self.end);
    }
}

/// A decoder of one member, that gives back what it reads from.
trait Member: Read + Sized {
    fn begin(window: Window) -> Self;
    fn end(self) -> Window;
    /// Whether zeros may stand between members.
    const PADDED: bool;
}

impl Member for flate2::bufread::GzDecoder<Window> {
    fn begin(window: Window) -> Self {
        flate2::bufread::GzDecoder::new(window)
    }

    fn end(self) -> Window {
        self.into_inner()
    }

    const PADDED: bool = true;
}

impl Member for bzip2::bufread::BzDecoder<Window> {
    fn begin(window: Window) -> Self {
        bzip2::bufread::BzDecoder::new(window)
    }

    fn end(self) -> Window {
        self.into_inner()
    }

    const PADDED: bool = false;
}

/// One member after the other.
struct Members<M>(Option<M>);

impl<M: Member> Read for Members<M> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.0 {
            let n = member.read(out)?;
            if n > 0 || out.is_empty() {
                return Ok(n);
            }
            let Some(mut window) = self.0.take().map(M::end) else { break };
            loop {
                let bytes = window.fill_buf()?;
                let zeros = if M::PADDED { bytes.iter().take_while(|byte| **byte == 0).count() } else { 0 };
                if bytes.is_empty() {
                    return Ok(0);
                }
                if zeros < bytes.len() {
                    window.consume(zeros);
                    break;
                }
                window.consume(zeros);
            }
            self.0 = Some(M::begin(window));
        }
        Ok(0)
    }
}

/// The decoded bytes of a file.
pub(super) struct Decompressed {
    file: InputFile,
    compression: Compression,
    from: Box<dyn Read>,
    decoded: u64,
}

impl Decompressed {
    /// The bytes that it holds, beside what the decoder does.
    pub(super) fn footprint() -> u64 {
        Arena::footprint(InputFile::space(0, WINDOW))
    }

    /// Begins to decode a file.
    ///
    /// # Errors
    /// Out of memory where there is none.
    pub(super) fn open(file: InputFile, compression: Compression, decoding: Decoding, arena: &Arena) -> Result<Self> {
        let window = Window::new(file.clone(), arena)?;
        let no_decoder = |e: &dyn std::fmt::Display| Error::new(ErrorKind::OutOfMemory, format!("a decoder cannot be made: {e}"));
        let from: Box<dyn Read> = match compression {
            Compression::Infer | Compression::None => Box::new(window),
            // A file of no bytes has no members, as in Python.
            Compression::Gzip if file.size() == 0 => Box::new(io::empty()),
            Compression::Gzip => Box::new(Members(Some(<flate2::bufread::GzDecoder<_> as Member>::begin(window)))),
            Compression::Bz2 => Box::new(Members(Some(<bzip2::bufread::BzDecoder<_> as Member>::begin(window)))),
            Compression::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(window).map_err(|e| no_decoder(&e))?;
                decoder.window_log_max(decoding.window.max(1 << 10).ilog2()).map_err(|e| no_decoder(&e))?;
                Box::new(decoder)
            }
            Compression::Xz => {
                let stream = liblzma::stream::Stream::new_stream_decoder(decoding.window, liblzma::stream::CONCATENATED);
                Box::new(liblzma::bufread::XzDecoder::new_stream(window, stream.map_err(|e| no_decoder(&e))?))
            }
        };
        Ok(Decompressed { file, compression, from, decoded: 0 })
    }

    /// The next decoded bytes; none at the end.
    ///
    /// # Errors
    /// Truncated where the file ends before it is whole, Corrupt where it is damaged: both name the file and how much was sound.
    pub(super) fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        loop {
            match self.from.read(out) {
                Ok(n) => {
                    self.decoded += n as u64;
                    return Ok(n);
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.error(e)),
            }
        }
    }

    #[cold]
    fn error(&mut self, error: io::Error) -> Error {
        self.from = Box::new(io::empty());
        let (name, decoded, path) = (self.compression.name(), self.decoded, self.file.path());
        let error = match error.downcast::<chunkstore_store::Error>() {
            Ok(ours) => return ours.into(),
            Err(error) => error,
        };
        let small = error.get_ref().is_some_and(|e| e.downcast_ref() == Some(&liblzma::stream::Error::MemLimit));
        if small || (self.compression == Compression::Zstd && error.to_string().contains("too much memory")) {
            let message = format!("a part of the file needs more memory to be decoded than its beginning, after {decoded} decoded bytes");
            let hint = "compress the file again, all of it in the same way";
            return Error::new(ErrorKind::Unsupported, message).at(path).hint(hint);
        }
        match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                Error::new(ErrorKind::Truncated, format!("the {name} file is not whole: it ends after {decoded} decoded bytes"))
                    .at(path)
                    .hint("get the file again")
            }
            _ => Error::new(ErrorKind::Corrupt, format!("the file is no sound {name} file: {error}, after {decoded} decoded bytes"))
                .at(path)
                .hint("get the file again, or say how it is compressed"),
        }
    }
}
