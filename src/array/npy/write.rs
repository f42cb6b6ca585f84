//! Writing a `.npy` file block by block.

use super::header::{Header, python_tuple};
use super::region::{Region, Span};
use super::writeback;
use crate::{Error, ErrorKind, Result};
use chunkstore_store::io::free_bytes;
use chunkstore_store::{Block, DType, Shape};
use rustix::fs::{Advice, FallocateFlags, FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// The most bytes of a block that are written before they are sent to disk. Two of these are in the page cache at a time for each writing thread.
const WINDOW: usize = 1 << 20;

/// How the names of files end that have not got their own yet. One whose lock can be taken has lost its writer.
const SUFFIX: &str = ".chunkstore-tmp";

/// A `.npy` file that is being written, in C order and native byte order, byte for byte as `numpy.save` writes it.
///
/// It is written beside its target under a name that ends in `.chunkstore-tmp`, and takes the target's name in [`NpyWriter::finish`]: who opens the target sees the old
/// file or the whole new one. Dropped before that, it leaves nothing behind. Any number of threads may write at a time.
#[derive(Debug)]
pub(crate) struct NpyWriter {
    file: File,
    temporary: PathBuf,
    target: PathBuf,
    dtype: DType,
    shape: Shape,
    /// Where the data begin.
    data: u64,
    /// The bytes of data that have been written.
    written: AtomicU64,
    /// Set by the first failed write: the file is not trusted again.
    failed: AtomicBool,
    /// Set when the file has its name.
    finished: AtomicBool,
}

impl NpyWriter {
    /// Creates the file, and takes the room for all of it on disk.
    ///
    /// # Errors
    /// Disk full where there is not that much room, Unusable where the folder is missing or not writable, Invalid where `path` names no
    /// file, Io else.
    pub(crate) fn create(path: impl AsRef<Path>, dtype: DType, shape: &[usize]) -> Result<NpyWriter> {
        let path = path.as_ref();
        // As NumPy does, follows a symbolic link instead of replacing it.
        let target = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        let Some(name) = target.file_name().filter(|_| !target.exists() || target.is_file()) else {
            return Err(Error::new(ErrorKind::Invalid, "this is not the name of a regular file").at(path));
        };
        let header = Header::write(dtype, shape);
        let bytes = shape.iter().try_fold(dtype.size() as u64, |bytes, n| bytes.checked_mul(*n as u64));
        let Some(size) = bytes.and_then(|bytes| bytes.checked_add(header.len() as u64)).filter(|size| i64::try_from(*size).is_ok()) else {
            return Err(Error::new(ErrorKind::Invalid, format!("no file can hold {dtype} of shape {}", python_tuple(shape))).at(path));
        };
        let (file, temporary) = create_beside(&target, name)?;
        let (shape, data) = (shape.into(), header.len() as u64);
        // From here on, dropping it removes the file.
        let writer =
            NpyWriter { file, temporary, target, dtype, shape, data, written: 0.into(), failed: false.into(), finished: false.into() };
        writer.allocate(size)?;
        writer.file.write_all_at(&header, 0).map_err(|e| writer.error("cannot write the header", e))?;
        Ok(writer)
    }

    /// The type of the elements.
    pub(crate) fn dtype(&self) -> DType {
        self.dtype
    }

    /// The extents of the whole array.
    pub(crate) fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Writes `block` at `starts`, its first index on each axis. Each element is to be written once.
    ///
    /// # Errors
    /// Shape or Type where the block does not belong there; Disk full or Io where it cannot be written, after which the file cannot be finished.
    pub(crate) fn write_region(&self, starts: &[usize], block: &Block) -> Result<()> {
        if block.dtype() != self.dtype {
            let message = format!("a block of {} does not belong in a file of {}", block.dtype(), self.dtype);
            return Err(Error::new(ErrorKind::Type, message).at(&self.target));
        }
        if starts.len() != block.shape().len() {
            let message = format!("a block of shape {} is not placed by {} indices", python_tuple(block.shape()), starts.len());
            return Err(Error::new(ErrorKind::Shape, message).at(&self.target));
        }
        let spans: Vec<Span> = starts.iter().zip(block.shape()).map(|(start, count)| (*start, 1, *count)).collect();
        let region = Region::new(&self.shape, &spans, self.dtype.size()).map_err(|e| e.at(&self.target))?;
        self.usable()?;
        self.write(&region, block.bytes()).map_err(|e| self.error("cannot write a block", e))?;
        self.written.fetch_add(region.bytes as u64, Relaxed);
        Ok(())
    }

    /// Makes the file durable and gives it its name.
    ///
    /// # Errors
    /// Invalid where elements have not been written or a write has failed before; Disk full or Io where the file cannot be made durable.
    pub(crate) fn finish(&self) -> Result<()> {
        self.usable()?;
        let total = self.shape.iter().product::<usize>() as u64 * self.dtype.size() as u64;
        let written = self.written.load(Relaxed);
        if written < total {
            let message = format!("{written} of {total} bytes have been written: some blocks are missing");
            return Err(Error::new(ErrorKind::Invalid, message).at(&self.target));
        }
        self.file.sync_all().map_err(|e| self.error("cannot make the file durable", e))?;
        let _ = rustix::fs::fadvise(&self.file, 0, None, Advice::DontNeed);
        std::fs::rename(&self.temporary, &self.target).map_err(|e| self.error("cannot give the file its name", e))?;
        self.finished.store(true, Relaxed);
        sync_folder(&self.target).map_err(|e| self.error("cannot make the file's name durable", e))
    }

    /// Takes the room for `size` bytes.
    fn allocate(&self, size: u64) -> Result<()> {
        // Asked first, because some file systems fill the disk before they find out.
        if let Some(free) = free_bytes(&self.file).filter(|free| *free < size) {
            let message = format!("the file takes {size} bytes, and {free} are free on its disk");
            return Err(Error::new(ErrorKind::DiskFull, message).at(&self.target).hint("free some room, or name a file on another disk"));
        }
        loop {
            match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, size) {
                Ok(()) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(Errno::OPNOTSUPP | Errno::NOSYS) => {
                    return self.file.set_len(size).map_err(|e| self.error("cannot make room for the file", e));
                }
                Err(e) => return Err(self.error("cannot make room for the file", e.into())),
            }
        }
    }

    /// Writes the runs of a block, sending each window to disk while the next is copied.
    fn write(&self, region: &Region, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let mut sent: Option<(u64, u64)> = None;
        let mut window = (u64::MAX, 0, 0);
        let mut send = |(start, end): (u64, u64)| -> io::Result<()> {
            writeback::start(&self.file, start, end - start)?;
            match sent.replace((start, end)) {
                Some((start, end)) => writeback::finish(&self.file, start, end - start),
                None => Ok(()),
            }
        };
        region.units(|file, into, len| {
            for at in (0..len).step_by(WINDOW) {
                let part = &bytes[into + at..into + len.min(at + WINDOW)];
                let start = self.data + (file + at) as u64;
                self.file.write_all_at(part, start)?;
                window = (window.0.min(start), start + part.len() as u64, window.2 + part.len());
                if window.2 >= WINDOW {
                    send((window.0, window.1))?;
                    window = (u64::MAX, 0, 0);
                }
            }
            Ok::<(), io::Error>(())
        })?;
        if window.2 > 0 {
            send((window.0, window.1))?;
        }
        match sent {
            Some((start, end)) => writeback::finish(&self.file, start, end - start),
            None => Ok(()),
        }
    }

    fn usable(&self) -> Result<()> {
        let message = match (self.failed.load(Relaxed), self.finished.load(Relaxed)) {
            (true, _) => "an earlier write to this file failed: it is not trusted again",
            (_, true) => "the file is finished",
            _ => return Ok(()),
        };
        Err(Error::new(ErrorKind::Invalid, message).at(&self.target))
    }

    /// Names the target, and poisons the file.
    fn error(&self, what: &str, source: io::Error) -> Error {
        self.failed.store(true, Relaxed);
        chunkstore_store::Error::io(what, source).at(&self.target).into()
    }
}

impl Drop for NpyWriter {
    fn drop(&mut self) {
        if !self.finished.load(Relaxed) {
            // Nothing can be done where this fails; the name tells that the file is of no use.
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

/// A new file in the folder of `target`.
fn create_beside(target: &Path, name: &std::ffi::OsStr) -> Result<(File, PathBuf)> {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    sweep_beside(target);
    loop {
        let mut unique = name.to_os_string();
        unique.push(format!(".{}-{}{SUFFIX}", std::process::id(), NUMBER.fetch_add(1, Relaxed)));
        let temporary = target.with_file_name(unique);
        match OpenOptions::new().write(true).create_new(true).open(&temporary) {
            Ok(file) => {
                // Held until the file is closed: it tells others that this one has an owner.
                // Where somebody sweeps the folder at this very moment it may be gone already, and another is made.
                let owned = flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
                let there = |file: &File| Some(file.metadata().ok()?.ino() == std::fs::metadata(&temporary).ok()?.ino());
                if owned && there(&file) == Some(true) {
                    return Ok((file, temporary));
                }
            }
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => {
                let message = format!("cannot create a file in this folder: {e}");
                return Err(Error::new(ErrorKind::Unusable, message)
                    .at(target)
                    .hint("name a file in a folder that exists and can be written to"));
            }
            Err(e) => return Err(chunkstore_store::Error::io("cannot create the file", e).at(target).into()),
        }
    }
}

/// Removes what writers that were killed have left in the folder of `target`.
fn sweep_beside(target: &Path) {
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if !entry.file_name().as_encoded_bytes().ends_with(SUFFIX.as_bytes()) {
            continue;
        }
        let Ok(file) = File::open(entry.path()) else { continue };
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok() {
            // What cannot be removed is not in the way.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Makes the name of `file` durable.
fn sync_folder(file: &Path) -> io::Result<()> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::array::npy::NpyFile;
    use chunkstore_store::{Arena, Buffer, Ledger};
    use std::sync::Arc;

    fn arena() -> Arena {
        Arena::new(Ledger::new(1 << 30))
    }

    fn block(values: Vec<f64>, shape: &[usize]) -> Block {
        Block::new(Buffer::from_vec(Arc::new(values)), 0, DType::F64, shape.into()).unwrap()
    }

    fn names(folder: &tempfile::TempDir) -> Vec<String> {
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn what_a_killed_writer_left_is_swept_and_what_another_writes_is_not() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(format!("x.npy.1-0{SUFFIX}")), "left").unwrap();
        std::fs::write(folder.path().join("mine.tmp"), "kept").unwrap();
        let first = NpyWriter::create(folder.path().join("x.npy"), DType::F64, &[2]).unwrap();
        let second = NpyWriter::create(folder.path().join("x.npy"), DType::F64, &[2]).unwrap();
        assert_eq!(names(&folder).len(), 3, "{:?}", names(&folder));
        for writer in [&first, &second] {
            writer.write_region(&[0], &block(vec![1.0, 2.0], &[2])).unwrap();
            writer.finish().unwrap();
        }
        assert_eq!(names(&folder).len(), 2, "{:?}", names(&folder));
    }

    #[test]
    fn writes_the_same_bytes_as_numpy() {
        let folder = tempfile::tempdir().unwrap();
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/npy");
        let index: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(golden.join("index.json")).unwrap()).unwrap();
        let mut same = 0;
        for entry in index["good"].as_array().unwrap().iter().filter(|entry| entry["as_numpy_writes"] == true) {
            let name = entry["file"].as_str().unwrap();
            let npy = NpyFile::open(golden.join(name)).unwrap();
            let spans: Vec<Span> = npy.shape().iter().map(|n| (0, 1, *n)).collect();
            let block = npy.read_region(&spans, &arena()).unwrap();
            let path = folder.path().join(name);
            let writer = NpyWriter::create(&path, npy.dtype(), npy.shape()).unwrap();
            writer.write_region(&vec![0; npy.shape().len()], &block).unwrap();
            writer.finish().unwrap();
            assert!(std::fs::read(&path).unwrap() == std::fs::read(golden.join(name)).unwrap(), "{name}");
            same += 1;
        }
        assert!(same >= 11 * 4, "{same}");
    }

    #[test]
    fn blocks_from_many_threads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npy");
        std::fs::write(&path, "what was there before").unwrap();
        let shape = [300, 1700];
        let writer = NpyWriter::create(&path, DType::F64, &shape).unwrap();
        std::thread::scope(|scope| {
            for worker in 0..4 {
                let writer = &writer;
                scope.spawn(move || {
                    for (i, j) in (0..3).flat_map(|i| (0..4).map(move |j| (i * 100, j * 500))).skip(worker).step_by(4) {
                        let columns = 500.min(1700 - j);
                        let values = (0..100).flat_map(|r| (0..columns).map(move |c| ((i + r) * 1700 + j + c) as f64)).collect();
                        writer.write_region(&[i, j], &block(values, &[100, columns])).unwrap();
                    }
                });
            }
        });
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "what was there before");
        writer.finish().unwrap();
        assert_eq!(writer.finish().unwrap_err().kind(), ErrorKind::Invalid);
        drop(writer);
        assert_eq!(names(&folder), ["x.npy"]);
        let read = NpyFile::open(&path).unwrap().read_region(&[(0, 1, 300), (0, 1, 1700)], &arena()).unwrap();
        assert!(read.as_slice::<f64>().unwrap().iter().enumerate().all(|(i, x)| *x == i as f64));
    }

    #[test]
    fn a_large_block_goes_through_several_windows() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npy");
        let n = 5 * WINDOW / 8 + 77;
        let writer = NpyWriter::create(&path, DType::F64, &[n]).unwrap();
        writer.write_region(&[0], &block((0..n).map(|i| i as f64).collect(), &[n])).unwrap();
        writer.finish().unwrap();
        let read = NpyFile::open(&path).unwrap().read_region(&[(0, 1, n)], &arena()).unwrap();
        assert!(read.as_slice::<f64>().unwrap().iter().enumerate().all(|(i, x)| *x == i as f64));
    }

    #[test]
    fn an_unfinished_file_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npy");
        let writer = NpyWriter::create(&path, DType::F64, &[4]).unwrap();
        writer.write_region(&[0], &block(vec![1.0, 2.0], &[2])).unwrap();
        assert_eq!(names(&folder).len(), 1);
        assert_eq!(writer.finish().unwrap_err().kind(), ErrorKind::Invalid);
        drop(writer);
        assert!(names(&folder).is_empty());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npy");
        let full = NpyWriter::create(&path, DType::F64, &[1 << 58]).unwrap_err();
        assert_eq!(full.kind(), ErrorKind::DiskFull, "{full}");
        assert_eq!(NpyWriter::create(&path, DType::F64, &[1 << 62]).unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(NpyWriter::create(folder.path(), DType::F64, &[1]).unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(NpyWriter::create(folder.path().join("none/x.npy"), DType::F64, &[1]).unwrap_err().kind(), ErrorKind::Unusable);
        let other = NpyWriter::create(&path, DType::F32, &[2, 2]).unwrap();
        assert_eq!(other.write_region(&[0, 0], &block(vec![1.0], &[1, 1])).unwrap_err().kind(), ErrorKind::Type);
        let writer = NpyWriter::create(&path, DType::F64, &[2, 2]).unwrap();
        assert_eq!(writer.write_region(&[1, 1], &block(vec![1.0, 2.0], &[1, 2])).unwrap_err().kind(), ErrorKind::Shape);
        assert_eq!(writer.write_region(&[1], &block(vec![1.0, 2.0], &[1, 2])).unwrap_err().kind(), ErrorKind::Shape);
        drop((writer, other));
        assert!(names(&folder).is_empty());
    }
}
