//! Keeping what is sound of a damaged store.
//!
//! ```text
//!   lock -> manifest, or descriptions from the segments -> every frame read -> sound frames copied out of damaged segments
//!        -> new tables, descriptions -> segments synced -> new manifest in the place of the old -> damaged files moved to `lost/`
//! ```
//! Nothing is overwritten: until the new manifest has its name all is as it was, and then the old one and the damaged segments are still there
//! under other names.

use super::beyond::newest_beyond;
use super::damage::Damage;
use super::rebuild::{Rebuilt, describe, newest_descriptions, rebuild};
use super::replay;
use super::survey::Survey;
use crate::catalogue::Index;
use crate::format::{CATALOGUE_NAME, LOST_NAME, MANIFEST_BROKEN_PREFIX, MANIFEST_NAME, SEGMENTS_NAME, TRAILER_BYTES, TRAILER_MAGIC};
use crate::io::{Backend, Open};
use crate::manifest::{Changes, Entry, Manifest};
use crate::saved::{Store, StoreOptions, random_id, take_lock};
use crate::segment::{Commit, SegmentOptions, Segments};
use crate::{Arena, Error, ErrorKind, Result};
use rustc_hash::{FxHashMap, FxHashSet};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The bytes of a part of the state, about.
const PART_BYTES: usize = 1 << 20;

/// What a repair did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Repaired {
    /// Whether anything was changed.
    pub changed: bool,
    /// Whether the manifest was damaged or missing, and made anew from the segments.
    pub manifest_rebuilt: bool,
    /// The datasets that there are now.
    pub datasets: u64,
    /// Their chunks.
    pub chunks: u64,
    /// The frames that were copied out of damaged segments.
    pub copied: u64,
    /// What is gone, by dataset and place.
    pub gone: Vec<Damage>,
    /// The damaged files, where they are now.
    pub moved_aside: Vec<PathBuf>,
}

impl Store {
    /// Keeps what is sound of the damaged store in `folder`, and says what is gone. A manifest that is damaged or missing is made anew from the
    /// descriptions of the datasets in the segments; chunks whose table is damaged are found by their frames, where keys that were
    /// removed or put again since the table before may come back as they were. Damaged files are moved aside, not removed. Nobody
    /// may have the store open for writing. A sound store is left as it is. What repairs found to be gone stays known: reading it is an
    /// error, see [`DatasetInfo::gone`](crate::DatasetInfo::gone).
    ///
    /// # Errors
    /// Locked where the store is open for writing; not found where there is no folder; unsupported where the manifest is of a newer version;
    /// those of reading and writing, after which all is as it was.
    pub fn repair(folder: impl AsRef<Path>) -> Result<Repaired> {
        StoreOptions::default().repair(folder)
    }
}

impl StoreOptions {
    /// As [`Store::repair`].
    ///
    /// # Errors
    /// As for [`Store::repair`].
    pub fn repair(self, folder: impl AsRef<Path>) -> Result<Repaired> {
        let folder = folder.as_ref();
        let folder = std::path::absolute(folder).map_err(|e| Error::io("the path of the store cannot be made absolute", e).at(folder))?;
        Repair::open(&folder, &self)?.run()
    }
}

/// A store that is being repaired.
struct Repair {
    folder: PathBuf,
    backend: Arc<dyn Backend>,
    arena: Arena,
    options: SegmentOptions,
    store_id: u64,
    /// The state, if the manifest can be read; its last commit, and whether it is without a flaw.
    state: Option<(Vec<Entry>, u64, bool)>,
    /// All segments, as they are to be read.
    source: Segments,
    commits: Vec<Commit>,
    _lock: crate::io::Lock,
}

impl Repair {
    fn open(folder: &Path, options: &StoreOptions) -> Result<Self> {
        let (backend, arena) = (options.make_backend(), options.make_arena());
        if backend.list(folder).is_err() {
            return Err(Error::new(ErrorKind::NotFound, "there is no store here").at(folder).hint("name the folder of a store"));
        }
        let segments = folder.join(SEGMENTS_NAME);
        let manifest = folder.join(MANIFEST_NAME);
        if !backend.exists(&manifest)? && backend.list(&segments).unwrap_or_default().is_empty() {
            let error = Error::new(ErrorKind::NotFound, "there is no store here: neither a manifest nor segments").at(folder);
            return Err(error.hint("name the folder of a store"));
        }
        let lock = take_lock(&*backend, folder)?;
        backend.create_folder(&segments)?;
        let read = match backend.exists(&manifest)? {
            true => Some(read_manifest(&*backend, &manifest, &arena)?),
            false => None,
        };
        let mut read = read.flatten();
        if let Some(known) = &read
            && let Some((newest, _)) = newest_beyond(&backend, folder, known.store_id, &arena, &known.commits)?
            && (newest > known.sequence + 1
                || (newest > known.sequence && (options.unfinished || closed_at(options, folder, &arena, known.store_id) > known.sequence)))
        {
            // It has lost its end: the segments know more.
            read = None;
        }
        let options = SegmentOptions {
            segment_bytes: options.segment_bytes,
            quota: options.quota,
            encoding: options.encoding,
            threads: options.threads,
            read_only: true,
            any_header: true,
        };
        let source = Segments::open(Arc::clone(&backend), &segments, 0, &arena, options.clone())?;
        let (state, store_id, commits) = match read {
            Some(Read { entries, store_id, sequence, whole, commits }) => (Some((entries, sequence, whole)), store_id, commits),
            None => {
                let (store_id, commits) = all_segments(&*backend, &source)?;
                (None, store_id, commits)
            }
        };
        source.restore(&commits)?;
        Ok(Repair { folder: folder.to_path_buf(), backend, arena, options, store_id, state, source, commits, _lock: lock })
    }

    fn run(self) -> Result<Repaired> {
        let mut survey = Survey::new(self.arena.ledger())?;
        for commit in &self.commits {
            survey.look(&self.source, commit.segment, commit.len, &mut |_| {})?;
        }
        let manifest_rebuilt = self.state.is_none();
        let (entries, last, whole) = match &self.state {
            Some((entries, last, whole)) => (entries.clone(), *last, *whole),
            None => {
                let (entries, last) = newest_descriptions(&self.source, &survey)?;
                (entries, last, false)
            }
        };
        let damaged: FxHashSet<u64> = survey.damaged().into_iter().collect();
        let mut repaired = Repaired { manifest_rebuilt, ..Repaired::default() };
        let healthy: Vec<Commit> = self.commits.iter().filter(|commit| !damaged.contains(&commit.segment)).copied().collect();
        let options = SegmentOptions { read_only: false, any_header: false, ..self.options.clone() };
        let target = Segments::open(Arc::clone(&self.backend), &self.folder.join(SEGMENTS_NAME), self.store_id, &self.arena, options)?;
        // Nothing is appended to what is there: that would cut what stands behind it.
        let sealed: Vec<Commit> = healthy.iter().filter(|commit| commit.sealed).copied().collect();
        target.restore(&sealed)?;
        let failures = target.failures();
        let (mut after, mut moved) = (Vec::with_capacity(entries.len()), FxHashMap::default());
        for entry in &entries {
            let Rebuilt { entry, gone, changed } = rebuild(&self.source, &target, &mut survey, &damaged, entry, &entries, &mut moved)?;
            repaired.gone.extend(gone);
            repaired.changed |= changed;
            after.push(entry);
        }
        repaired.copied = moved.len() as u64;
        repaired.datasets = after.len() as u64;
        repaired.chunks = after.iter().map(|entry| entry.chunks).sum();
        repaired.changed |= manifest_rebuilt || !damaged.is_empty() || !whole;
        if !repaired.changed {
            return Ok(repaired);
        }
        let sequence = last.saturating_add(1);
        if !damaged.is_empty() || manifest_rebuilt {
            after.iter().try_for_each(|entry| describe(&target, sequence, entry))?;
        }
        let news = target.checkpoint(failures)?.ok_or_else(|| {
            let error = Error::new(ErrorKind::Io, "a segment could not be written; nothing was changed").at(&self.folder);
            error.hint("try again, with the store on another disk")
        })?;
        let mut commits: BTreeMap<u64, Commit> = healthy.iter().map(|commit| (commit.segment, *commit)).collect();
        commits.extend(news.iter().map(|commit| (commit.segment, *commit)));
        if manifest_rebuilt {
            repaired.moved_aside.extend(self.keep_manifest()?);
        }
        let commits: Vec<Commit> = commits.into_values().collect();
        Manifest::create(&self.backend, &self.folder, self.store_id, sequence, state_parts(&commits, &after))
            .map_err(|failure| failure.error)?;
        target.acknowledge(&news);
        // From here on the store is repaired; the rest is for people who look for what is gone.
        self.backend.remove_folder(&self.folder.join(CATALOGUE_NAME)).ok();
        self.move_aside(&damaged, &mut repaired)?;
        Ok(repaired)
    }

    /// Gives a manifest that cannot be read a second name, under which it stays.
    fn keep_manifest(&self) -> Result<Option<PathBuf>> {
        let from = self.folder.join(MANIFEST_NAME);
        if !self.backend.exists(&from)? {
            return Ok(None);
        }
        let mut number = 0u32;
        loop {
            let to = self.folder.join(format!("{MANIFEST_BROKEN_PREFIX}{number}"));
            if !self.backend.exists(&to)? {
                match self.backend.hard_link(&from, &to) {
                    Err(error) if error.kind() == ErrorKind::Unsupported => copy_file(&*self.backend, &from, &to)?,
                    linked => linked?,
                }
                return Ok(Some(to));
            }
            number += 1;
        }
    }

    fn move_aside(&self, damaged: &FxHashSet<u64>, repaired: &mut Repaired) -> Result<()> {
        let lost = self.folder.join(LOST_NAME);
        for segment in damaged {
            let from = self.source.path_of(*segment);
            if let (true, Some(name)) = (self.backend.exists(&from)?, from.file_name()) {
                self.backend.create_folder(&lost)?;
                let to = lost.join(name);
                self.backend.rename(&from, &to)?;
                repaired.moved_aside.push(to);
            }
        }
        if !repaired.moved_aside.is_empty() && self.backend.list(&lost).is_ok() {
            self.backend.sync_folder(&lost)?;
            self.backend.sync_folder(&self.folder.join(SEGMENTS_NAME))?;
        }
        Ok(())
    }
}

/// What a sound manifest says.
struct Read {
    entries: Vec<Entry>,
    store_id: u64,
    sequence: u64,
    whole: bool,
    commits: Vec<Commit>,
}

/// The commit at which the catalogue was closed; 0 where there is none that can be believed.
fn closed_at(options: &StoreOptions, folder: &Path, arena: &Arena, store_id: u64) -> u64 {
    let catalogue = folder.join(CATALOGUE_NAME);
    if !options.catalogue || options.backend.is_some() || !catalogue.exists() {
        return 0;
    }
    Index::on_disk(&catalogue, arena.ledger(), store_id).map_or(0, |index| index.sequence())
}

/// The state of a manifest; nothing where it is damaged.
fn read_manifest(backend: &dyn Backend, path: &Path, arena: &Arena) -> Result<Option<Read>> {
    let read = || -> Result<Read> {
        let file = backend.open(path, Open::Read)?;
        let store_id = crate::manifest::store_id(&*file)?;
        let index = Index::in_memory(arena.ledger(), store_id)?;
        let (scan, commits) = replay(&*file, &index, arena.ledger())?;
        let mut entries = Vec::new();
        index.each("", |entry| {
            entries.push(entry);
            Ok(())
        })?;
        Ok(Read { entries, store_id, sequence: scan.sequence, whole: scan.flaw.is_none(), commits })
    };
    match read() {
        Ok(read) => Ok(Some(read)),
        Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Truncated) => Ok(None),
        Err(error) => Err(error),
    }
}

/// All segments in the folder as far as they are written, and the store that made most of them.
fn all_segments(backend: &dyn Backend, source: &Segments) -> Result<(u64, Vec<Commit>)> {
    let (mut commits, mut stores): (Vec<Commit>, BTreeMap<u64, usize>) = Default::default();
    for segment in source.strays()? {
        let file = backend.open(&source.path_of(segment), Open::Read)?;
        let len = file.len()?;
        // The header is checked when the segment is read; a wrong number here is outvoted by others.
        let mut store = [0; 8];
        if file.read_at(24, &mut store).is_ok() {
            *stores.entry(u64::from_le_bytes(store)).or_insert(0) += 1;
        }
        let mut magic = [0; 8];
        let trailer = len.checked_sub(TRAILER_BYTES as u64).map(|at| file.read_at(at, &mut magic));
        commits.push(Commit { segment, len, sealed: matches!(trailer, Some(Ok(()))) && magic == TRAILER_MAGIC });
    }
    let most = stores.into_iter().max_by_key(|(_, count)| *count).map(|(store, _)| store);
    Ok((most.filter(|store| *store != 0).unwrap_or_else(random_id), commits))
}

fn copy_file(backend: &dyn Backend, from: &Path, to: &Path) -> Result<()> {
    let (from, to) = (backend.open(from, Open::Read)?, backend.open(to, Open::New)?);
    let (len, mut at, mut piece) = (from.len()?, 0, vec![0; 1 << 16]);
    while at < len {
        let n = (len - at).min(piece.len() as u64) as usize;
        let part = piece.get_mut(..n).unwrap_or_default();
        from.read_at(at, part)?;
        to.write_at(at, part)?;
        at += n as u64;
    }
    to.sync()
}

/// The whole state, in parts of about a MiB.
fn state_parts(commits: &[Commit], entries: &[Entry]) -> Vec<Result<Vec<u8>>> {
    let mut parts = vec![Changes { segments: commits.to_vec(), ..Changes::default() }];
    let mut bytes = 0;
    for entry in entries {
        if bytes >= PART_BYTES {
            parts.push(Changes::default());
            bytes = 0;
        }
        bytes += entry.encoded_len();
        if let Some(part) = parts.last_mut() {
            part.puts.push(entry.clone());
        }
    }
    let encode = |part: Changes| {
        let mut out = Vec::new();
        part.encode(&mut out);
        Ok(out)
    };
    parts.into_iter().map(encode).collect()
}
