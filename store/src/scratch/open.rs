//! Opening scratch, and what it consists of.

use super::options::ScratchOptions;
use super::owner::{OwnedFolder, sweep};
use super::room::Space;
use super::stats::{Counters, ScratchStats};
use crate::codec::{Staging, StagingPool, Verdicts};
use crate::format::SCRATCH_FILE_PREFIX;
use crate::io::{Backend, FileBackend, Open};
use crate::{Arena, Encoding, Error, ErrorKind, Result};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The most files; several let several threads write at once where the file system locks a file.
const MOST_FILES: usize = 4;

/// Chunks on disk that live no longer than this: a folder of its own with a few files in it.
///
/// All calls can come from several threads at once. Dropping it removes the folder; the folders of processes that
/// were killed are removed when scratch is next opened in the same place. See `FORMAT.md` for what is written.
///
/// ```
/// use chunkstore_store::{Arena, Bytes, Chunk, Ledger, Scratch, ScratchOptions};
/// # let folder = tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap();
/// let arena = Arena::new(Ledger::new(64 << 20));
/// let scratch = Scratch::open(ScratchOptions::new(folder.path()), &arena)?;
/// let mut buffer = arena.alloc(1 << 20)?;
/// buffer.fill(7);
/// let slot = scratch.write(&Chunk::Bytes(Bytes(buffer.freeze())))?;
/// let chunk = scratch.read(&slot)?;
/// assert!(chunk.payload().0.iter().all(|byte| *byte == 7));
/// # Ok::<(), chunkstore_store::Error>(())
/// ```
#[derive(Debug)]
pub struct Scratch {
    pub(super) encoding: Option<Encoding>,
    pub(super) arena: Arena,
    pub(super) space: Arc<Space>,
    pub(super) staging: StagingPool,
    pub(super) verdicts: Verdicts,
    pub(super) counters: Arc<Counters>,
    folder: OwnedFolder,
}

impl Scratch {
    /// Opens scratch on the operating system's files; chunks are read into buffers of `arena`, and the staging
    /// buffers are booked there now.
    ///
    /// # Errors
    /// Invalid where the folder has no name; unusable where it cannot be used: not writable, or on a file system in memory; out
    /// of memory where the ledger has no room for the staging buffers. A folder that was made for this is removed again then.
    pub fn open(options: ScratchOptions, arena: &Arena) -> Result<Self> {
        Self::open_on(Arc::new(FileBackend::new()), options, arena)
    }

    /// As [`Scratch::open`], on another backend.
    ///
    /// # Errors
    /// As for [`Scratch::open`].
    pub fn open_on(backend: Arc<dyn Backend>, options: ScratchOptions, arena: &Arena) -> Result<Self> {
        if options.folder.as_os_str().is_empty() {
            let hint = "name a folder on a disk, such as \"/var/tmp\", or \".\" for the one that the program runs in";
            return Err(Error::new(ErrorKind::Invalid, "the scratch folder has an empty name").hint(hint));
        }
        let parent = std::path::absolute(&options.folder)
            .map_err(|e| Error::io("the scratch folder has no absolute path", e).at(&options.folder))?;
        let staging = (0..options.threads).map(|_| Staging::new(arena)).collect::<Result<Vec<_>>>()?;
        let made = Made { backend: &*backend, folders: backend.create_folder(&parent)? };
        backend.check_folder(&parent)?;
        sweep(&*backend, &parent)?;
        let folder = OwnedFolder::make(&backend, &parent)?;
        let open = |number: usize| backend.open(&folder.path().join(format!("{SCRATCH_FILE_PREFIX}{number:02}")), Open::Create);
        let files = (0..options.threads.min(MOST_FILES)).map(open).collect::<Result<Vec<_>>>()?;
        let space = Arc::new(Space::new(folder.path().to_path_buf(), options.quota, files));
        made.keep();
        Ok(Scratch {
            encoding: options.encoding,
            arena: arena.clone(),
            space,
            staging: StagingPool::new(staging),
            verdicts: Verdicts::new(),
            counters: Arc::default(),
            folder,
        })
    }

    /// The bytes that are booked for each thread when scratch is opened.
    pub fn staging_bytes() -> u64 {
        Staging::bytes()
    }

    /// The folder of its own.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What was done so far, and what there is.
    pub fn stats(&self) -> ScratchStats {
        let (files, held_stored) = self.space.bytes();
        self.counters.stats(files, held_stored)
    }
}

/// Folders that were made for a scratch that is not there yet; dropping this removes them, where nothing else has come to be in them.
struct Made<'a> {
    backend: &'a dyn Backend,
    folders: Vec<PathBuf>,
}

impl Made<'_> {
    /// The scratch is there: the folders stay.
    fn keep(mut self) {
        self.folders.clear();
    }
}

impl Drop for Made<'_> {
    fn drop(&mut self) {
        for folder in self.folders.iter().rev() {
            self.backend.remove_empty_folder(folder).ok();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::write::payload_of;
    use super::*;
    use crate::format::PIECE_BYTES;
    use crate::io::{Fault, FaultyBackend, MemoryBackend};
    use crate::{Block, Buffer, Bytes, Chunk, DType, Ledger, Records, Scalar, Slot};
    use proptest::prelude::*;
    use smallvec::smallvec;

    const MIB: usize = 1 << 20;

    fn arena() -> Arena {
        Arena::new(Ledger::new(256 << 20))
    }

    /// Words that compress (`kind` 0), do not (1), or do so in every second MiB (2).
    fn word(seed: u64, i: usize, kind: u64) -> u64 {
        let random = (seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ i as u64).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        match kind == 1 || (kind == 2 && (i / (MIB / 8)).is_multiple_of(2)) {
            true => random ^ (random >> 29),
            false => seed + random % 100,
        }
    }

    fn bytes(arena: &Arena, len: usize, seed: u64, kind: u64) -> Buffer {
        let mut buffer = arena.alloc(len).unwrap();
        for (i, part) in buffer.chunks_mut(8).enumerate() {
            part.copy_from_slice(&word(seed, i, kind).to_le_bytes()[..part.len()]);
        }
        buffer.freeze()
    }

    fn floats(arena: &Arena, len: usize, seed: u64, kind: u64) -> Chunk {
        let buffer = bytes(arena, len * 8, seed, kind);
        Chunk::Block(Block::new(buffer, 0, DType::U64, smallvec![len]).unwrap())
    }

    fn same(a: &Chunk, b: &Chunk) -> bool {
        let shapes = match (a, b) {
            (Chunk::Block(a), Chunk::Block(b)) => (a.dtype(), a.shape()) == (b.dtype(), b.shape()),
            (Chunk::Records(a), Chunk::Records(b)) => a.count == b.count,
            (Chunk::Bytes(_), Chunk::Bytes(_)) => true,
            _ => false,
        };
        shapes && payload_of(a) == payload_of(b)
    }

    fn in_memory(disk: u64, options: impl Fn(ScratchOptions) -> ScratchOptions) -> (FaultyBackend, Scratch, Arena) {
        let backend = FaultyBackend::new(Arc::new(MemoryBackend::new(disk)));
        let arena = arena();
        let scratch = Scratch::open_on(Arc::new(backend.clone()), options(ScratchOptions::new("/m")), &arena).unwrap();
        (backend, scratch, arena)
    }

    #[test]
    fn every_kind_and_size_comes_back() {
        let folder = crate::testing::folder();
        let arena = arena();
        for encoding in [None, Some(Encoding::Raw), Some(Encoding::Zstd), Some(Encoding::ShuffleZstd)] {
            let scratch = Scratch::open(ScratchOptions::new(folder.path()).encoding(encoding), &arena).unwrap();
            arena.trim();
            let booked = arena.ledger().used();
            for len in [0, 1, 511, 512, 513, PIECE_BYTES / 8, PIECE_BYTES / 8 + 1, 3 * MIB / 8 + 77] {
                for kind in 0..3 {
                    let whole = floats(&arena, len, 3, kind);
                    let Chunk::Block(block) = &whole else { unreachable!() };
                    let part =
                        (len >= 3).then(|| Chunk::Block(Block::new(block.buffer().0.clone(), 8, DType::U64, smallvec![len - 2]).unwrap()));
                    let records = Chunk::Records(Records { data: bytes(&arena, len, 5, kind), count: 9 });
                    let borrowed = Chunk::Bytes(Bytes(Buffer::from_vec(Arc::new(payload_of(&whole).to_vec()))));
                    for chunk in [Some(whole.clone()), part, Some(records), Some(borrowed)].into_iter().flatten() {
                        let slot = scratch.write(&chunk).unwrap();
                        assert_eq!(slot.nbytes(), chunk.nbytes());
                        assert!(same(&scratch.read(&slot).unwrap(), &chunk), "{encoding:?} {len} {kind}");
                        assert!(slot.stored_bytes() <= slot.nbytes().next_multiple_of(4096));
                        if encoding == Some(Encoding::ShuffleZstd) && kind == 0 && len > 4096 {
                            assert!(slot.stored_bytes() < slot.nbytes() / 2);
                        }
                    }
                }
            }
            arena.trim();
            assert_eq!(arena.ledger().used(), booked);
            let stats = scratch.stats();
            assert_eq!((stats.slots, stats.held, stats.held_stored, stats.index), (0, 0, 0, 0));
            assert!(stats.written > 0 && stats.read == stats.written && stats.read_stored == stats.written_stored);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn where_direct_io_is_refused_the_page_cache_serves() {
        let folder = crate::testing::folder();
        let arena = arena();
        for encoding in [Encoding::Raw, Encoding::ShuffleZstd] {
            let options = ScratchOptions::new(folder.path()).encoding(Some(encoding));
            let scratch = Scratch::open_on(Arc::new(FileBackend::buffered()), options, &arena).unwrap();
            let chunks: Vec<Chunk> = (0..3).map(|seed| floats(&arena, 9 * MIB / 8 + 5, seed, 2)).collect();
            let slots: Vec<Slot> = chunks.iter().map(|chunk| scratch.write(chunk).unwrap()).collect();
            for (slot, chunk) in slots.iter().zip(&chunks) {
                assert!(same(&scratch.read(slot).unwrap(), chunk));
            }
        }
    }

    #[test]
    fn a_folder_in_memory_or_that_cannot_be_made_is_refused() {
        for folder in ["/dev/shm", "/proc/version/below"] {
            if Path::new(folder).ancestors().nth(1).is_some_and(Path::exists) {
                let error = Scratch::open(ScratchOptions::new(folder), &arena()).unwrap_err();
                assert_eq!((error.kind(), error.path()), (ErrorKind::Unusable, Some(Path::new(folder))));
                assert!(error.to_string().contains("choose a folder on a disk"), "{error}");
            }
        }
    }

    #[test]
    fn scalars_are_refused() {
        let (_, scratch, _) = in_memory(1 << 30, |o| o);
        assert_eq!(scratch.write(&Chunk::Scalar(Scalar::U8(1))).unwrap_err().kind(), ErrorKind::Invalid);
    }

    #[test]
    fn the_memory_of_a_slot_is_as_documented() {
        let (_, scratch, arena) = in_memory(1 << 30, |o| o);
        let slot = scratch.write(&floats(&arena, 8 * MIB / 8, 1, 1)).unwrap();
        assert!(slot.memory() <= 200 + 8 * 32, "{}", slot.memory());
        assert_eq!(scratch.stats().index, slot.memory());
    }

    #[test]
    fn writing_books_no_memory() {
        let (_, scratch, arena) = in_memory(1 << 30, |o| o.encoding(Some(Encoding::ShuffleZstd)));
        let chunk = floats(&arena, 4 * MIB / 8, 1, 0);
        let used = arena.ledger().used();
        arena.ledger().set_limit(used);
        let slot = scratch.write(&chunk).unwrap();
        assert_eq!(arena.ledger().used(), used);
        assert_eq!(scratch.read(&slot).unwrap_err().kind(), ErrorKind::OutOfMemory);
        drop(chunk);
        scratch.read(&slot).unwrap();
    }

    #[test]
    fn a_full_disk_and_a_full_quota_lose_nothing() {
        for (disk, quota) in [(20 << 20, None), (1 << 40, Some(20 << 20))] {
            let (_, scratch, arena) = in_memory(disk, |o| o.quota(quota).encoding(Some(Encoding::Raw)));
            let chunks: Vec<Chunk> = (0..9).map(|seed| floats(&arena, 3 * MIB / 8, seed, 1)).collect();
            let mut slots = Vec::new();
            let error = loop {
                match scratch.write(&chunks[slots.len()]) {
                    Ok(slot) => slots.push(slot),
                    Err(e) => break e,
                }
            };
            assert_eq!((slots.len(), error.kind()), (6, ErrorKind::DiskFull));
            assert!(error.path().is_some_and(|p| p.starts_with("/m")));
            for (slot, chunk) in slots.iter().zip(&chunks) {
                assert!(same(&scratch.read(slot).unwrap(), chunk));
            }
            slots.swap_remove(2);
            let again = scratch.write(&chunks[8]).unwrap();
            assert!(same(&scratch.read(&again).unwrap(), &chunks[8]));
            assert!(same(&scratch.read(&slots[0]).unwrap(), &chunks[0]));
        }
    }

    #[test]
    fn what_fits_only_compressed_is_compressed() {
        let (_, scratch, arena) = in_memory(1 << 40, |o| o.quota(Some(4 << 20)));
        let chunk = floats(&arena, 8 * MIB / 8, 1, 0);
        let slot = scratch.write(&chunk).unwrap();
        assert_eq!(slot.encoding(), Encoding::ShuffleZstd);
        assert!(same(&scratch.read(&slot).unwrap(), &chunk));
    }

    #[test]
    fn a_changed_byte_is_found_and_named() {
        let folder = crate::testing::folder();
        let arena = arena();
        for encoding in [Encoding::Raw, Encoding::ShuffleZstd] {
            let scratch = Scratch::open(ScratchOptions::new(folder.path()).encoding(Some(encoding)).threads(1), &arena).unwrap();
            let chunk = floats(&arena, 3 * MIB / 8, 7, 0);
            let slot = scratch.write(&chunk).unwrap();
            let path = scratch.folder().join("slots-00");
            let place = u64::from(slot.room.extents()[0].start) * 4096 + slot.stored_bytes() / 2;
            let file = FileBackend::buffered().open(&path, Open::Existing).unwrap();
            let mut byte = [0];
            file.read_at(place, &mut byte).unwrap();
            file.write_at(place, &[byte[0] ^ 1]).unwrap();
            let error = scratch.read(&slot).unwrap_err();
            assert_eq!((error.kind(), error.path()), (ErrorKind::Corrupt, Some(path.as_path())));
            assert!(error.to_string().contains("at byte") && error.to_string().contains("another disk"), "{error}");
            file.write_at(place, &byte).unwrap();
            assert!(same(&scratch.read(&slot).unwrap(), &chunk));
        }
    }

    #[test]
    fn faults_are_errors_and_spoil_nothing_else() {
        for encoding in [Encoding::Raw, Encoding::ShuffleZstd] {
            for fault in [Fault::Io, Fault::DiskFull, Fault::Torn, Fault::FlippedBit] {
                for skip in 0..6 {
                    let (backend, scratch, arena) = in_memory(1 << 30, |o| o.encoding(Some(encoding)));
                    let chunks: Vec<Chunk> = (0..3).map(|seed| floats(&arena, 5 * MIB / 16, seed, 2)).collect();
                    let first = scratch.write(&chunks[0]).unwrap();
                    backend.fail(fault, skip, 1);
                    let second = scratch.write(&chunks[1]);
                    let during = second.as_ref().map(|slot| scratch.read(slot));
                    if let Ok(Ok(read)) = &during {
                        assert!(same(read, &chunks[1]));
                    }
                    backend.heal();
                    let third = scratch.write(&chunks[2]).unwrap();
                    assert!(same(&scratch.read(&first).unwrap(), &chunks[0]));
                    assert!(same(&scratch.read(&third).unwrap(), &chunks[2]));
                    if let Ok(slot) = &second {
                        match scratch.read(slot) {
                            Ok(chunk) => assert!(same(&chunk, &chunks[1])),
                            Err(e) => assert_eq!((e.kind(), fault), (ErrorKind::Corrupt, Fault::FlippedBit)),
                        }
                    }
                    drop((first, second, third));
                    assert_eq!((scratch.stats().slots, scratch.stats().held_stored), (0, 0));
                }
            }
        }
    }

    #[test]
    fn faults_while_opening_leave_nothing() {
        for skip in 0..8 {
            let inner = Arc::new(MemoryBackend::new(1 << 30));
            inner.create_folder(Path::new("/m")).unwrap();
            let backend = FaultyBackend::new(inner.clone());
            backend.fail(Fault::Io, skip, 1);
            let arena = arena();
            drop(Scratch::open_on(Arc::new(backend), ScratchOptions::new("/m"), &arena));
            assert_eq!(inner.list(Path::new("/m")).unwrap(), Vec::<PathBuf>::new(), "{skip}");
            arena.trim();
            assert_eq!(arena.ledger().used(), 0);
        }
    }

    #[test]
    fn folders_that_were_made_for_nothing_are_removed() {
        for skip in 0..6 {
            let inner = Arc::new(MemoryBackend::new(1 << 30));
            inner.create_folder(Path::new("/m/user")).unwrap();
            let backend = FaultyBackend::new(inner.clone());
            backend.fail(Fault::Io, skip, 1);
            let opened = Scratch::open_on(Arc::new(backend), ScratchOptions::new("/m/user/deep/down"), &arena());
            let left = inner.list(Path::new("/m/user")).unwrap();
            assert_eq!(left.is_empty(), opened.is_err(), "{skip}: {left:?}");
        }
        let shm = Path::new("/dev/shm");
        if crate::io::FileBackend::new().check_folder(shm).is_err() && shm.is_dir() {
            let folder = shm.join(format!("chunkstore-refused-{}", std::process::id()));
            let error = Scratch::open(ScratchOptions::new(folder.join("below")), &arena()).unwrap_err();
            assert!(error.kind() == ErrorKind::Unusable && !folder.exists(), "{error}");
        }
    }

    #[test]
    fn a_folder_without_a_name_is_invalid() {
        let error = Scratch::open(ScratchOptions::new(""), &arena()).unwrap_err();
        assert!(error.kind() == ErrorKind::Invalid && error.to_string().contains("name a folder"), "{error}");
    }

    #[test]
    fn a_slot_of_another_scratch_is_refused() {
        let (_, a, arena) = in_memory(1 << 30, |o| o);
        let (_, b, _) = in_memory(1 << 30, |o| o);
        let slot = a.write(&floats(&arena, 10, 1, 1)).unwrap();
        assert_eq!(b.read(&slot).unwrap_err().kind(), ErrorKind::Invalid);
        drop(a);
        drop(slot);
    }

    #[test]
    fn many_threads() {
        let folder = crate::testing::folder();
        let arena = arena();
        let scratch = Scratch::open(ScratchOptions::new(folder.path()).threads(2).quota(Some(64 << 20)), &arena).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..5u64 {
                let (scratch, arena) = (&scratch, &arena);
                scope.spawn(move || {
                    let mut held: Vec<(Slot, Chunk)> = Vec::new();
                    for round in 0..30u64 {
                        let chunk = floats(
                            arena,
                            1 + (round as usize * 7919 + thread as usize * 104_729) % (MIB / 8),
                            thread * 100 + round,
                            round % 3,
                        );
                        held.push((scratch.write_in_group(thread % 2, &chunk).unwrap(), chunk));
                        if held.len() > 4 {
                            let (slot, chunk) = held.remove((round % 4) as usize);
                            assert!(same(&scratch.read(&slot).unwrap(), &chunk));
                        }
                    }
                    for (slot, chunk) in held {
                        assert!(same(&scratch.read(&slot).unwrap(), &chunk));
                    }
                });
            }
        });
        let stats = scratch.stats();
        assert_eq!((stats.slots, stats.held_stored), (0, 0));
        assert!(stats.files <= 64 << 20);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn against_a_model_with_faults(
            ops in proptest::collection::vec((0u8..10, any::<u16>(), 0u64..3), 1..60),
            fault in proptest::option::of((prop_oneof![Just(Fault::Io), Just(Fault::DiskFull), Just(Fault::Torn)], 0u64..60, 1u64..5)),
            encoding in prop_oneof![Just(None), Just(Some(Encoding::Raw)), Just(Some(Encoding::Zstd)), Just(Some(Encoding::ShuffleZstd))],
        ) {
            let (backend, scratch, arena) = in_memory(1 << 30, |o| o.encoding(encoding).quota(Some(8 << 20)));
            if let Some((fault, skip, count)) = fault {
                backend.fail(fault, skip, count);
            }
            let mut held: Vec<(Slot, Chunk)> = Vec::new();
            for (op, n, kind) in ops {
                let pick = n as usize % held.len().max(1);
                match op {
                    0..5 => {
                        let chunk = floats(&arena, n as usize * 3, u64::from(n), kind);
                        if let Ok(slot) = scratch.write(&chunk) {
                            held.push((slot, chunk));
                        }
                    }
                    5..7 if !held.is_empty() => drop(held.swap_remove(pick)),
                    _ => if let Some((slot, chunk)) = held.get(pick) && let Ok(back) = scratch.read(slot) {
                        prop_assert!(same(&back, chunk));
                    },
                }
            }
            backend.heal();
            prop_assert_eq!(scratch.stats().held, held.iter().map(|(slot, _)| slot.nbytes()).sum::<u64>());
            prop_assert_eq!(scratch.stats().held_stored, held.iter().map(|(slot, _)| slot.stored_bytes()).sum::<u64>());
            for (slot, chunk) in &held {
                prop_assert!(same(&scratch.read(slot).unwrap(), chunk));
            }
        }
    }
}
