//! Opening a store, also after a crash.

use super::beyond::newest_beyond;
use crate::catalogue::Index;
use crate::format::{CATALOGUE_NAME, MANIFEST_NAME, SEGMENTS_NAME};
use crate::io::{Backend, BackendFile, Lock, Open};
use crate::manifest::{Changes, Kind, Manifest, Scan, scan, store_id};
use crate::saved::{Inner, StoreOptions, random_id, take_lock};
use crate::segment::{Commit, SegmentOptions, Segments};
use crate::{Arena, Error, ErrorKind, Ledger, Result};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How often a manifest that is being written is read before what looks like damage is believed, and how long is waited in between.
const ATTEMPTS: u32 = 6;
const PAUSE: Duration = Duration::from_millis(5);

/// Opens the store in `folder`. To write, the lock is taken, a store is made where there is none, and what a crash left is put away.
///
/// # Errors
/// As for [`StoreOptions::open`] and [`StoreOptions::open_read_only`].
pub(crate) fn open(folder: &Path, options: &StoreOptions, write: bool) -> Result<Inner> {
    let folder = std::path::absolute(folder).map_err(|e| Error::io("the path of the store cannot be made absolute", e).at(folder))?;
    let (backend, arena) = (options.make_backend(), options.make_arena());
    match write {
        true => open_to_write(&folder, options, backend, arena),
        false => open_to_read(&folder, options, backend, arena),
    }
}

fn open_to_write(folder: &Path, options: &StoreOptions, backend: Arc<dyn Backend>, arena: Arena) -> Result<Inner> {
    backend.create_folder(folder)?;
    let lock = take_lock(&*backend, folder)?;
    let path = folder.join(MANIFEST_NAME);
    if !backend.exists(&path)? {
        make(&backend, folder)?;
    }
    let file = backend.open(&path, Open::Read)?;
    let store_id = store_id(&*file)?;
    let on_disk = || Index::on_disk(&folder.join(CATALOGUE_NAME), arena.ledger(), store_id);
    // A catalogue that cannot be had is no reason not to open the store.
    let index = match options.catalogue && options.backend.is_none() {
        true => on_disk().or_else(|_| Index::in_memory(arena.ledger(), store_id))?,
        false => Index::in_memory(arena.ledger(), store_id)?,
    };
    let closed_at = index.sequence();
    let (index, scan, commits) = match replay_once(&*file, &index, arena.ledger()) {
        Err(error) if index.is_on_disk() && error.at_byte().is_none() => {
            let index = Index::in_memory(arena.ledger(), store_id)?;
            let (scan, commits) = replay(&*file, &index, arena.ledger())?;
            (index, scan, commits)
        }
        other => other.map(|(scan, commits)| (index, scan, commits))?,
    };
    drop(file);
    if closed_at > scan.sequence {
        let message = format!("the manifest ends with commit {}, and the catalogue was closed at commit {closed_at}", scan.sequence);
        return Err(Error::new(ErrorKind::Corrupt, message).at(&path).hint(
            "nothing was changed; put the whole manifest back if you have it, or run `chunkstore repair`, which makes one from what the segments hold; if \
             an older manifest was put back on purpose, remove the folder `catalogue`",
        ));
    }
    if let Some((newest, segment)) = newest_beyond(&backend, folder, store_id, &arena, &commits)?
        && newest > scan.sequence + 1
    {
        let message = format!("the manifest ends with commit {}, and {} tells of commit {newest}", scan.sequence, segment.display());
        return Err(Error::new(ErrorKind::Corrupt, message).at(&path).hint(
            "nothing was changed; put the whole manifest back if you have it, or run `chunkstore repair`, which makes one from what the segments hold",
        ));
    }
    let manifest = Manifest::open(&backend, folder, &scan)?;
    let inner = assemble(folder, options, backend, arena, index, &commits, store_id, Some((manifest, lock)))?;
    put_away(&inner)?;
    Ok(inner)
}

/// Rids the store of what a crash left: the torn end of the manifest, and segments of which nothing was committed.
fn put_away(inner: &Inner) -> Result<()> {
    let Some(manifest) = &inner.manifest else { return Ok(()) };
    let mut manifest = manifest.lock();
    if !manifest.is_sound() {
        // The last record may not have reached the disk, though it can be read; in a new manifest it has.
        match manifest.rotate(inner.state_parts()?, None) {
            Err(failure) if failure.in_doubt || failure.error.kind() != ErrorKind::DiskFull => return Err(failure.error),
            _ => {}
        }
    }
    for stray in inner.segments.strays()? {
        // What was written for another store is left to `gc`: it may be the manifest that is not of this one.
        if inner.segments.store_of(stray)?.is_some_and(|store| store != inner.store_id) {
            continue;
        }
        inner.segments.remove(stray)?;
    }
    for unfinished in inner.segments.unfinished()? {
        inner.backend.remove(&unfinished)?;
    }
    Ok(())
}

fn open_to_read(folder: &Path, options: &StoreOptions, backend: Arc<dyn Backend>, arena: Arena) -> Result<Inner> {
    let (index, scan, commits) = snapshot(&*backend, folder, &arena)?;
    assemble(folder, options, backend, arena, index, &commits, scan.store_id, None)
}

/// Reads the manifest as it is now, without a lock.
///
/// # Errors
/// Not found where there is no store; corrupt where the manifest is damaged, or missing beside segments.
pub(crate) fn snapshot(backend: &dyn Backend, folder: &Path, arena: &Arena) -> Result<(Index, Scan, Vec<Commit>)> {
    let path = folder.join(MANIFEST_NAME);
    let mut attempt = 0;
    loop {
        if !backend.exists(&path)? {
            let segments = folder.join(SEGMENTS_NAME);
            if backend.list(&segments).is_ok_and(|all| !all.is_empty()) {
                return Err(manifest_missing(folder));
            }
            let error = Error::new(ErrorKind::NotFound, "there is no store here").at(folder);
            return Err(error.hint("look for the folder that holds a file `manifest`"));
        }
        let read = backend.open(&path, Open::Read).and_then(|file| {
            let index = Index::in_memory(arena.ledger(), store_id(&*file)?)?;
            let (scan, commits) = replay(&*file, &index, arena.ledger())?;
            Ok((index, scan, commits))
        });
        attempt += 1;
        match read {
            // Who reads while a record is written may see parts of it, and the next.
            Err(error) if attempt < ATTEMPTS && error.kind() != ErrorKind::OutOfMemory => std::thread::sleep(PAUSE * attempt),
            other => return other,
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "the parts of a store, put together in one place")]
fn assemble(
    folder: &Path,
    options: &StoreOptions,
    backend: Arc<dyn Backend>,
    arena: Arena,
    index: Index,
    commits: &[Commit],
    store_id: u64,
    writer: Option<(Manifest, Lock)>,
) -> Result<Inner> {
    let segment_options = SegmentOptions {
        segment_bytes: options.segment_bytes,
        quota: options.quota,
        encoding: options.encoding,
        threads: options.threads,
        read_only: writer.is_none(),
        any_header: false,
    };
    let segments = Segments::open(Arc::clone(&backend), &folder.join(SEGMENTS_NAME), store_id, &arena, segment_options)?;
    segments.restore(commits)?;
    let (manifest, lock) = writer.map_or((None, None), |(manifest, lock)| (Some(manifest.into()), Some(lock)));
    Ok(Inner::new(folder.to_path_buf(), backend, arena, store_id, index, segments, manifest, lock))
}

/// That segments are there, and no manifest.
fn manifest_missing(folder: &Path) -> Error {
    let error = Error::new(ErrorKind::Corrupt, "the manifest of the store is missing, but it has segments").at(folder);
    error.hint("run `chunkstore repair` on the folder: it makes a manifest from what the segments hold")
}

/// Makes a store without datasets in a folder whose lock is held.
fn make(backend: &Arc<dyn Backend>, folder: &Path) -> Result<()> {
    let segments = folder.join(SEGMENTS_NAME);
    backend.create_folder(&segments)?;
    if !backend.list(&segments)?.is_empty() {
        return Err(manifest_missing(folder));
    }
    let mut empty = Vec::new();
    Changes::default().encode(&mut empty);
    Manifest::create(backend, folder, random_id(), 0, [Ok(empty)]).map_err(|failure| failure.error)?;
    if let Some(parent) = folder.parent() {
        backend.sync_folder(parent)?;
    }
    Ok(())
}

/// Brings `index` to the state of the manifest in `file`, and gives the segments that it knows. An index of an older commit of the same
/// manifest gets what came after; any other is made anew.
///
/// # Errors
/// Corrupt, with the byte in the file, where the manifest is damaged; those of the index.
pub(crate) fn replay(file: &dyn BackendFile, index: &Index, ledger: &Ledger) -> Result<(Scan, Vec<Commit>)> {
    let (scan, commits) = replay_once(file, index, ledger)?;
    if index.sequence() <= scan.sequence {
        return Ok((scan, commits));
    }
    // It is ahead: of another history.
    index.clear()?;
    replay_once(file, index, ledger)
}

fn replay_once(file: &dyn BackendFile, index: &Index, ledger: &Ledger) -> Result<(Scan, Vec<Commit>)> {
    let mut segments: BTreeMap<u64, Commit> = BTreeMap::new();
    let mut state: Option<bool> = None;
    let scan = scan(file, ledger, |kind, sequence, payload| {
        let changes = Changes::decode(payload)?;
        segments.extend(changes.segments.iter().map(|commit| (commit.segment, *commit)));
        for segment in &changes.dropped {
            segments.remove(segment);
        }
        let news = match kind {
            Kind::Changes => sequence > index.sequence(),
            Kind::State | Kind::Part => {
                let first = state.is_none();
                let news = *state.get_or_insert(sequence > index.sequence());
                if news && first {
                    index.clear()?;
                }
                news
            }
        };
        if news { index.apply(sequence, &changes).map_err(unplaced) } else { Ok(()) }
    })?;
    Ok((scan, segments.into_values().collect()))
}

/// An error of the index, which is none of the manifest.
fn unplaced(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Corrupt => error.of_kind(ErrorKind::Unusable),
        _ => error,
    }
}
