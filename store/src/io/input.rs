//! Reading a user's file into counted memory, past the page cache where the file is not in it.
//!
//! A cgroup is charged for the page cache that its reads fill, so a read must not fill it. Three ways are tried, page
//! aligned superset of the range by page aligned superset:
//!
//! 1. `preadv2(RWF_NOWAIT)` copies what is in the page cache already. Where a page is missing the kernel starts to read ahead,
//!    by as much as was asked for, before it says so; therefore one page is asked for first, and the rest in steps of
//!    256 KiB as long as they are there.
//! 2. After a miss, `O_DIRECT` reads the next 32 MiB of the file's readers into place; then one page is tried again. What is asked
//!    for in vain is read from disk by the kernel after all, and a small read costs the disk as much as a large part of a
//!    chunk: so each further miss doubles what is read before the next try, up to 128 MiB, until a page is there.
//! 3. Where the file system refuses `O_DIRECT`, a plain read does the same and `POSIX_FADV_DONTNEED` drops what it left.

use crate::{Arena, Buffer, BufferMut, Error, ErrorKind, Result};
use rustix::fs::{Advice, OFlags};
use rustix::io::{Errno, ReadWriteFlags};
use std::fs::File;
use std::io::IoSliceMut;
use std::num::NonZeroU64;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// What direct reads are aligned to, in the file and in memory.
const PAGE: usize = 4096;
/// What is asked of the page cache at a time, and the most that a miss makes the kernel read for nothing.
const STEP: usize = 256 << 10;
/// What is read from disk after the first miss before the page cache is asked again, and after many.
const COLD: [u64; 2] = [32 << 20, 128 << 20];
/// What is read from disk at a time: the kernel cuts it into what the disk takes, and hands all of that over at once.
const PIECE: usize = 16 << 20;

/// What all files of this process have read, from disk and from the page cache.
static TOTAL: [AtomicU64; 2] = [AtomicU64::new(0), AtomicU64::new(0)];

/// Which file, and which state of it: two equal stamps mean the same content.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Stamp {
    /// The absolute path, without symbolic links.
    pub path: PathBuf,
    /// The length in bytes.
    pub size: u64,
    /// When it was last written, in nanoseconds since 1970.
    pub mtime_ns: i128,
}

/// A user's file, open for reading. Clones share it, and any number of threads may read at a time.
///
/// ```
/// use chunkstore_store::{Arena, InputFile, Ledger};
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("words");
/// std::fs::write(&path, "to be or not to be")?;
/// let file = InputFile::open(&path)?;
/// let arena = Arena::new(Ledger::new(1 << 20));
/// let (buffer, start) = file.read_into(3, 5, &arena)?;
/// assert_eq!(&buffer[start..start + 5], b"be or");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct InputFile(Arc<Open>);

#[derive(Debug)]
struct Open {
    stamp: Stamp,
    cached: File,
    direct: Option<File>,
    /// Cleared when the file system turns out not to know `RWF_NOWAIT`.
    nowait: AtomicBool,
    /// Cleared when a direct read is refused although opening was not.
    direct_works: AtomicBool,
    /// The bytes that are still to be read directly before the page cache is asked again.
    cold: AtomicU64,
    /// What `cold` is set to at the next miss.
    patience: AtomicU64,
    /// Bytes read from disk and from the page cache.
    read: [AtomicU64; 2],
}

#[derive(Clone, Copy)]
enum Origin {
    Disk = 0,
    Cache = 1,
}

impl InputFile {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// Io where it cannot be opened; Invalid where it is not a regular file (a folder, a pipe, a device).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let refused = |e| Error::io("cannot open the file", e).at(path);
        let canonical = path.canonicalize().map_err(refused)?;
        if !canonical.metadata().map_err(refused)?.is_file() {
            return Err(Error::new(ErrorKind::Invalid, "this is not a regular file").at(path).hint("name a file, not a folder or a pipe"));
        }
        let cached = File::open(&canonical).map_err(refused)?;
        let meta = cached.metadata().map_err(refused)?;
        // Keeps the kernel from reading ahead into the page cache; a refusal only costs time.
        let _ = rustix::fs::fadvise(&cached, 0, None, Advice::Random);
        let direct = std::fs::OpenOptions::new().read(true).custom_flags(OFlags::DIRECT.bits().cast_signed()).open(&canonical).ok();
        let same = |file: &File| file.metadata().is_ok_and(|m| (m.dev(), m.ino()) == (meta.dev(), meta.ino()));
        let stamp = Stamp { path: canonical, size: meta.len(), mtime_ns: mtime_ns(&meta) };
        Ok(InputFile(Arc::new(Open {
            stamp,
            cached,
            direct: direct.filter(same),
            nowait: true.into(),
            direct_works: true.into(),
            cold: 0.into(),
            patience: COLD[0].into(),
            read: Default::default(),
        })))
    }

    /// Path, size and time of the last write, as they were when the file was opened.
    pub fn stamp(&self) -> &Stamp {
        &self.0.stamp
    }

    /// The absolute path.
    pub fn path(&self) -> &Path {
        &self.0.stamp.path
    }

    /// The length in bytes when it was opened.
    pub fn size(&self) -> u64 {
        self.0.stamp.size
    }

    /// The bytes that came from disk, through this file and its clones.
    pub fn disk_bytes(&self) -> u64 {
        self.0.read[Origin::Disk as usize].load(Relaxed)
    }

    /// The bytes that came from the page cache, through this file and its clones.
    pub fn cache_bytes(&self) -> u64 {
        self.0.read[Origin::Cache as usize].load(Relaxed)
    }

    /// The bytes that all input files of this process have read so far: from disk, and from the page cache.
    pub fn total_bytes() -> (u64, u64) {
        (TOTAL[Origin::Disk as usize].load(Relaxed), TOTAL[Origin::Cache as usize].load(Relaxed))
    }

    /// The bytes that [`InputFile::read_into`] books for `len` bytes at `offset`, at most.
    pub fn footprint(offset: u64, len: usize) -> u64 {
        Arena::footprint(Self::space(offset, len))
    }

    /// The bytes of memory that [`InputFile::read_within`] needs for `len` bytes at `offset`: whole pages, and one more to begin
    /// on a page.
    pub fn space(offset: u64, len: usize) -> usize {
        len.saturating_add(within_page(offset)).div_ceil(PAGE).saturating_add(1).saturating_mul(PAGE)
    }

    /// Reads `len` bytes at `offset` into a counted buffer; says where in it they begin. The place has the offset's alignment: bytes
    /// at a multiple of 64 in the file are at a multiple of 64 in memory.
    ///
    /// # Errors
    /// Truncated where the file ends before that, Io where the disk fails, out of memory where the ledger has no room.
    pub fn read_into(&self, offset: u64, len: usize, arena: &Arena) -> Result<(Buffer, usize)> {
        let (buffer, start) = self.read_mut(offset, len, arena)?;
        Ok((buffer.freeze(), start))
    }

    /// As [`InputFile::read_into`], into a buffer that may still be changed.
    ///
    /// # Errors
    /// As [`InputFile::read_into`].
    pub fn read_mut(&self, offset: u64, len: usize, arena: &Arena) -> Result<(BufferMut, usize)> {
        let most = Self::space(offset, len);
        let mut buffer = arena.alloc(most - PAGE)?;
        if !(buffer.as_ptr() as usize).is_multiple_of(PAGE) {
            drop(buffer);
            buffer = arena.alloc(most)?;
        }
        let start = self.read_within(offset, len, &mut buffer)?;
        Ok((buffer, start))
    }

    /// Reads `len` bytes at `offset` into `space`, which holds [`InputFile::space`] bytes; says where in it they begin. What
    /// stands around them is overwritten.
    ///
    /// # Errors
    /// Invalid where `space` is too small, else as [`InputFile::read_into`].
    pub fn read_within(&self, offset: u64, len: usize, space: &mut [u8]) -> Result<usize> {
        if len == 0 {
            return Ok(0);
        }
        let front = within_page(offset);
        let skew = (space.as_ptr() as usize).wrapping_neg() % PAGE;
        let room = space.len();
        let pages = space.get_mut(skew..).filter(|pages| front.checked_add(len).is_some_and(|need| need <= pages.len()));
        let (Some(pages), Some(_)) = (pages, offset.checked_add(len as u64)) else {
            let message = format!("{len} bytes at {offset} cannot be read into {room} bytes");
            return Err(Error::new(ErrorKind::Invalid, message).at(self.path()));
        };
        let whole = (front + len).next_multiple_of(PAGE).min(pages.len());
        let missing = self.fill(offset - front as u64, front + len, &mut pages[..whole])?;
        if let Some(end) = missing {
            return Err(self.truncated(offset, len as u64, end));
        }
        Ok(skew + front)
    }

    /// Reads the bytes at `offset` that fill `out`, through the page cache: for headers and other small things.
    ///
    /// # Errors
    /// As [`InputFile::read_into`].
    pub fn read_exact_at(&self, offset: u64, out: &mut [u8]) -> Result<()> {
        let done = self.read_plain(offset, out)?;
        self.count(Origin::Disk, done);
        if done < out.len() {
            return Err(self.truncated(offset, out.len() as u64, offset + done as u64));
        }
        Ok(())
    }

    /// Checks that the file still has its stamp, so that what was read belongs to it.
    ///
    /// # Errors
    /// Truncated where it has become shorter, Corrupt where it was written to since it was opened.
    pub fn check_unchanged(&self) -> Result<()> {
        let meta = self.0.cached.metadata().map_err(|e| Error::io("cannot look at the file", e).at(self.path()))?;
        if meta.len() < self.size() {
            return Err(self.truncated(0, self.size(), meta.len()));
        }
        if (meta.len(), mtime_ns(&meta)) != (self.size(), self.0.stamp.mtime_ns) {
            let message = "the file was written to after it had been opened";
            return Err(Error::new(ErrorKind::Corrupt, message).at(self.path()).hint("open it again when its writer has finished"));
        }
        Ok(())
    }

    /// Fills at least `need` bytes of `pages` from `base`, which is at a page; gives where the file ends if it is too short.
    fn fill(&self, base: u64, need: usize, pages: &mut [u8]) -> Result<Option<u64>> {
        let (mut done, mut ask) = (0, PAGE);
        while done < need {
            if self.0.cold.load(Relaxed) == 0 {
                let left = &mut pages[done..];
                let want = ask.min(left.len());
                let hit = self.read_cached(base + done as u64, &mut left[..want])?;
                if hit == want || done + hit >= need {
                    (done, ask) = (done + hit, STEP);
                    self.0.patience.store(COLD[0], Relaxed);
                    self.count(Origin::Cache, hit);
                    continue;
                }
                let hit = hit - hit % PAGE;
                self.count(Origin::Cache, hit);
                (done, ask) = (done + hit, PAGE);
                let patience = self.0.patience.load(Relaxed);
                self.0.cold.store(patience, Relaxed);
                self.0.patience.store((2 * patience).min(COLD[1]), Relaxed);
            }
            let left = &mut pages[done..];
            let want = PIECE.min(left.len());
            let got = self.read_uncached(base + done as u64, &mut left[..want])?;
            let _ = self.0.cold.fetch_update(Relaxed, Relaxed, |cold| Some(cold.saturating_sub(got as u64)));
            self.count(Origin::Disk, got);
            done += got;
            if got < want && done < need {
                return Ok(Some(base + done as u64));
            }
        }
        Ok(None)
    }

    /// The bytes at the start of `out` that are in the page cache.
    fn read_cached(&self, offset: u64, out: &mut [u8]) -> Result<usize> {
        if !self.0.nowait.load(Relaxed) {
            return Ok(0);
        }
        let read = || rustix::io::preadv2(&self.0.cached, &mut [IoSliceMut::new(&mut *out)], offset, ReadWriteFlags::NOWAIT);
        match retry(read) {
            Ok(n) => Ok(n),
            Err(Errno::AGAIN) => Ok(0),
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => {
                self.0.nowait.store(false, Relaxed);
                Ok(0)
            }
            Err(e) => Err(self.failed(offset, e.into())),
        }
    }

    /// Reads from disk, leaving nothing in the page cache; gives fewer bytes than asked for only at the end of the file.
    fn read_uncached(&self, offset: u64, out: &mut [u8]) -> Result<usize> {
        let mut done = 0;
        if let Some(direct) = self.0.direct.as_ref().filter(|_| out.len().is_multiple_of(PAGE)) {
            while done < out.len() && done.is_multiple_of(PAGE) && self.0.direct_works.load(Relaxed) {
                let rest = &mut out[done..];
                match retry(|| rustix::io::pread(direct, &mut *rest, offset + done as u64)) {
                    Ok(0) => break,
                    Ok(n) => done += n,
                    Err(Errno::INVAL | Errno::OPNOTSUPP) => self.0.direct_works.store(false, Relaxed),
                    Err(e) => return Err(self.failed(offset + done as u64, e.into())),
                }
            }
        }
        // The end of the file, or no direct reads here: a plain read decides.
        if done < out.len() {
            done += self.read_plain(offset + done as u64, &mut out[done..])?;
        }
        // Drops the page that was asked for first, and what a plain read left. A refusal changes nothing in what was read.
        let _ = rustix::fs::fadvise(&self.0.cached, offset, NonZeroU64::new(out.len() as u64), Advice::DontNeed);
        Ok(done)
    }

    /// Reads until `out` is full or the file ends.
    fn read_plain(&self, offset: u64, out: &mut [u8]) -> Result<usize> {
        let mut done = 0;
        while let Some(rest) = out.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.0.cached.read_at(rest, offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.failed(offset + done as u64, e)),
            }
        }
        Ok(done)
    }

    fn count(&self, origin: Origin, bytes: usize) {
        self.0.read[origin as usize].fetch_add(bytes as u64, Relaxed);
        TOTAL[origin as usize].fetch_add(bytes as u64, Relaxed);
    }

    fn failed(&self, offset: u64, source: std::io::Error) -> Error {
        Error::io("cannot read the file", source).at(self.path()).offset(offset)
    }

    fn truncated(&self, offset: u64, len: u64, end: u64) -> Error {
        let message = format!("the file ends at byte {end}, and {len} bytes from byte {offset} on were to be read");
        Error::new(ErrorKind::Truncated, message).at(self.path()).offset(end).hint("copy or write the file again")
    }
}

/// How far `offset` is into its page.
fn within_page(offset: u64) -> usize {
    (offset % PAGE as u64) as usize
}

fn mtime_ns(meta: &std::fs::Metadata) -> i128 {
    i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec())
}

fn retry(mut read: impl FnMut() -> rustix::io::Result<usize>) -> rustix::io::Result<usize> {
    loop {
        match read() {
            Err(Errno::INTR) => {}
            other => return other,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::Ledger;
    use proptest::prelude::*;

    fn arena() -> Arena {
        Arena::new(Ledger::new(1 << 30))
    }

    fn pattern(len: usize) -> Vec<u8> {
        (0..len).map(|i| (i.wrapping_mul(2_654_435_761) >> 7) as u8).collect()
    }

    fn file(folder: &tempfile::TempDir, bytes: &[u8]) -> InputFile {
        let path = folder.path().join("input");
        std::fs::write(&path, bytes).unwrap();
        InputFile::open(path).unwrap()
    }

    fn drop_from_cache(file: &InputFile) {
        file.0.cached.sync_all().unwrap();
        rustix::fs::fadvise(&file.0.cached, 0, None, Advice::DontNeed).unwrap();
    }

    fn without_direct(file: InputFile) -> InputFile {
        file.0.direct_works.store(false, Relaxed);
        file
    }

    fn without_nowait(file: InputFile) -> InputFile {
        file.0.nowait.store(false, Relaxed);
        file
    }

    #[test]
    fn reads_any_range_by_every_way() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = pattern((9 << 20) + 1234);
        let ways: [fn(InputFile) -> InputFile; 4] = [|f| f, without_direct, without_nowait, |f| without_direct(without_nowait(f))];
        for way in ways {
            let file = way(file(&folder, &bytes));
            for cold in [true, false] {
                for (offset, len) in
                    [(0, 1), (1, 4095), (128, 9 << 20), (4096, 8192), (5000, 300_000), (9 << 20, 1234), (77, 0), (0, bytes.len())]
                {
                    if cold {
                        drop_from_cache(&file);
                    }
                    file.0.cold.store(0, Relaxed);
                    let (buffer, start) = file.read_into(offset as u64, len, &arena()).unwrap();
                    assert!(buffer[start..start + len] == bytes[offset..offset + len], "{offset} {len}");
                    assert!(len == 0 || (buffer.as_ptr() as usize + start) % 64 == offset % 64);
                }
            }
        }
    }

    #[test]
    fn a_cold_read_leaves_nothing_in_the_cache_and_a_warm_one_reads_nothing_from_disk() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = pattern(8 << 20);
        let file = file(&folder, &bytes);
        if file.0.direct.is_none() {
            eprintln!("skipped: no direct reads in {}", folder.path().display());
            return;
        }
        drop_from_cache(&file);
        for pass in 1..=2 {
            file.read_into(0, bytes.len(), &arena()).unwrap();
            assert_eq!(file.disk_bytes() + file.cache_bytes(), pass * (8 << 20));
            // What was asked for in vain may have come in after all, but no more than that.
            assert!(file.cache_bytes() <= (pass - 1) * 4 * STEP as u64, "{} bytes came from the cache", file.cache_bytes());
        }
        std::fs::read(file.path()).unwrap();
        let before = file.disk_bytes();
        file.read_into(0, bytes.len(), &arena()).unwrap();
        // What was read is in the cache now, unless the machine is short of memory.
        assert!(file.disk_bytes() - before <= 8 << 20);
    }

    #[test]
    fn a_file_that_ends_early_is_truncated_and_named() {
        let folder = tempfile::tempdir().unwrap();
        for way in [|f| f, without_direct as fn(InputFile) -> InputFile] {
            let file = way(file(&folder, &pattern(10_000)));
            for (offset, len) in [(9_000, 1_001), (0, 10_001), (10_000, 1), (1 << 40, 8), (0, 5 << 20)] {
                let error = file.read_into(offset, len, &arena()).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Truncated);
                assert_eq!(error.path(), Some(file.path()));
            }
            std::fs::OpenOptions::new().write(true).open(file.path()).unwrap().set_len(5_000).unwrap();
            assert_eq!(file.read_into(0, 10_000, &arena()).unwrap_err().kind(), ErrorKind::Truncated);
            assert_eq!(file.read_exact_at(4_999, &mut [0; 2]).unwrap_err().kind(), ErrorKind::Truncated);
            assert_eq!(file.check_unchanged().unwrap_err().kind(), ErrorKind::Truncated);
        }
        assert_eq!(file(&folder, b"x").read_into(u64::MAX, 2, &arena()).unwrap_err().kind(), ErrorKind::Invalid);
    }

    #[test]
    fn a_sparse_file_beyond_four_gigabytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sparse");
        let writer = File::create(&path).unwrap();
        writer.write_all_at(b"far away", 6 << 30).unwrap();
        let file = InputFile::open(&path).unwrap();
        assert_eq!(file.size(), (6 << 30) + 8);
        let (buffer, start) = file.read_into((6 << 30) - 100_000, 100_008, &arena()).unwrap();
        assert!(buffer[start..start + 100_000].iter().all(|byte| *byte == 0));
        assert_eq!(&buffer[start + 100_000..start + 100_008], b"far away");
    }

    #[test]
    fn a_file_in_memory() {
        let Ok(folder) = tempfile::tempdir_in("/dev/shm") else {
            eprintln!("skipped: no tmpfs at /dev/shm");
            return;
        };
        let bytes = pattern(5_000_001);
        let (buffer, start) = file(&folder, &bytes).read_into(3, 4_999_998, &arena()).unwrap();
        assert!(buffer[start..start + 4_999_998] == bytes[3..]);
    }

    #[test]
    fn a_changed_file_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(&folder, b"one");
        file.check_unchanged().unwrap();
        std::fs::write(file.path(), b"three").unwrap();
        assert_eq!(file.check_unchanged().unwrap_err().kind(), ErrorKind::Corrupt);
        assert_ne!(file.stamp(), InputFile::open(file.path()).unwrap().stamp());
    }

    #[test]
    fn what_is_not_a_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(InputFile::open(folder.path()).unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(InputFile::open("/dev/null").unwrap_err().kind(), ErrorKind::Invalid);
        assert_eq!(InputFile::open(folder.path().join("none")).unwrap_err().kind(), ErrorKind::Io);
    }

    #[test]
    fn a_full_ledger_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(&folder, &pattern(100_000));
        let arena = Arena::new(Ledger::new(50_000));
        assert_eq!(file.read_into(0, 100_000, &arena).unwrap_err().kind(), ErrorKind::OutOfMemory);
        assert_eq!(arena.ledger().used(), 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_space_and_any_range(skew in 0usize..5000, offset in 0usize..70_000, len in 0usize..70_000, extra in 0usize..9000) {
            let folder = tempfile::tempdir().unwrap();
            let bytes = pattern(60_000);
            let file = file(&folder, &bytes);
            let mut space = vec![0; skew + len + extra];
            match file.read_within(offset as u64, len, &mut space[skew..]) {
                Ok(start) => prop_assert!(len == 0 || space[skew + start..skew + start + len] == bytes[offset..offset + len]),
                Err(e) if e.kind() == ErrorKind::Truncated => prop_assert!(offset + len > bytes.len()),
                Err(e) => prop_assert!(e.kind() == ErrorKind::Invalid && skew + len + extra < skew + InputFile::space(offset as u64, len)),
            }
        }
    }
}
