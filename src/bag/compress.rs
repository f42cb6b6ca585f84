//! A file that is written, compressed on the way.

use super::compression::Compression;
use crate::graph::TaskContext;
use crate::{Error, Result};
use chunkstore_store::io::StagedFile;
use chunkstore_store::{Arena, BufferMut};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The bytes that are handed over at a time.
const BUFFER: usize = 256 << 10;

/// The level of xz: beyond it each level doubles what the encoder holds, for a few per cent of the size.
const XZ_LEVEL: u32 = 3;

enum Encoder {
    Plain(StagedFile),
    Gzip(flate2::write::GzEncoder<StagedFile>),
    Zstd(zstd::stream::write::Encoder<'static, StagedFile>),
    Bz2(bzip2::write::BzEncoder<StagedFile>),
    Xz(liblzma::write::XzEncoder<StagedFile>),
}

impl Encoder {
    fn new(file: StagedFile, compression: Compression) -> io::Result<Self> {
        Ok(match compression {
            Compression::Infer | Compression::None => Encoder::Plain(file),
            Compression::Gzip => Encoder::Gzip(flate2::write::GzEncoder::new(file, flate2::Compression::default())),
            Compression::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(file, zstd::DEFAULT_COMPRESSION_LEVEL)?;
                encoder.include_checksum(true)?;
                Encoder::Zstd(encoder)
            }
            Compression::Bz2 => Encoder::Bz2(bzip2::write::BzEncoder::new(file, bzip2::Compression::best())),
            Compression::Xz => {
                let stream = liblzma::stream::Stream::new_easy_encoder(XZ_LEVEL, liblzma::stream::Check::Crc64)?;
                Encoder::Xz(liblzma::write::XzEncoder::new_stream(file, stream))
            }
        })
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Encoder::Plain(to) => to.write_all(bytes),
            Encoder::Gzip(to) => to.write_all(bytes),
            Encoder::Zstd(to) => to.write_all(bytes),
            Encoder::Bz2(to) => to.write_all(bytes),
            Encoder::Xz(to) => to.write_all(bytes),
        }
    }

    fn finish(self) -> io::Result<StagedFile> {
        match self {
            Encoder::Plain(file) => Ok(file),
            Encoder::Gzip(to) => to.finish(),
            Encoder::Zstd(to) => to.finish(),
            Encoder::Bz2(to) => to.finish(),
            Encoder::Xz(to) => to.finish(),
        }
    }
}

/// The file of a partition, while it is written.
pub(super) struct Out {
    encoder: Encoder,
    buffer: BufferMut,
    used: usize,
    target: PathBuf,
    failed: Option<io::Error>,
}

impl Out {
    /// The bytes that it holds, at most.
    pub(super) fn footprint(compression: Compression) -> u64 {
        // By the manuals of the formats, at the levels above.
        let encoder = match compression {
            Compression::Infer | Compression::None => 0,
            Compression::Gzip => 1 << 20,
            Compression::Zstd => 8 << 20,
            Compression::Bz2 => 8 << 20,
            Compression::Xz => 33 << 20,
        };
        Arena::footprint(BUFFER) + encoder
    }

    /// Begins to write a file.
    ///
    /// # Errors
    /// Out of memory where there is none.
    pub(super) fn new(task: &TaskContext<'_>, file: StagedFile, compression: Compression) -> Result<Self> {
        let target = file.target().to_path_buf();
        let encoder = Encoder::new(file, compression).map_err(|e| error(e, &target))?;
        Ok(Out { encoder, buffer: task.alloc(BUFFER)?, used: 0, target, failed: None })
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// Disk full or Io where they cannot be written.
    #[inline]
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<()> {
        self.append(bytes).map_err(|e| error(e, &self.target))
    }

    #[inline]
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(room) = self.buffer.get_mut(self.used..self.used + bytes.len()) {
            room.copy_from_slice(bytes);
            self.used += bytes.len();
            return Ok(());
        }
        self.empty()?;
        match self.buffer.get_mut(..bytes.len()) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.used = bytes.len();
                Ok(())
            }
            None => self.encoder.write_all(bytes),
        }
    }

    fn empty(&mut self) -> io::Result<()> {
        let used = std::mem::take(&mut self.used);
        self.encoder.write_all(self.buffer.get(..used).unwrap_or_default())
    }

    /// What became of writing through [`Write`], where `other` says that something failed.
    pub(super) fn failure(&mut self, other: impl FnOnce() -> Error) -> Error {
        match self.failed.take() {
            Some(e) => error(e, &self.target),
            None => other().at(&self.target),
        }
    }

    /// Writes what is left, and makes the file durable.
    ///
    /// # Errors
    /// Disk full or Io.
    pub(super) fn finish(mut self) -> Result<()> {
        self.empty().map_err(|e| error(e, &self.target))?;
        let Out { encoder, target, .. } = self;
        encoder.finish().map_err(|e| error(e, &target))?.finish()?;
        Ok(())
    }
}

impl Write for Out {
    /// Takes all of `bytes`. An error is kept for [`Out::failure`], since not everybody passes it on as it is.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.append(bytes) {
            Ok(()) => Ok(bytes.len()),
            Err(e) => {
                let kind = e.kind();
                self.failed.get_or_insert(e);
                Err(kind.into())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn error(e: io::Error, target: &Path) -> Error {
    let full = matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    let error = Error::from(chunkstore_store::Error::io("the file cannot be written", e)).at(target);
    if full { error.hint("free some room, or name a folder on another disk") } else { error }
}
