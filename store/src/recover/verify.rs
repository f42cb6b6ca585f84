//! Reading every byte of a store, and naming what is damaged.

use super::beyond::newest_beyond;
use super::damage::Damage;
use super::survey::{MISSING, Survey};
use crate::format::MANIFEST_NAME;
use crate::io::Open;
use crate::manifest::{Entry, scan};
use crate::saved::{Gone, Inner, Store, each_key};
use crate::segment::{FrameKind, Place, Table};
use crate::{Booking, ErrorKind, Result};
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

/// How often a snapshot is taken anew beside a writer before what looks like damage is believed.
const ATTEMPTS: u32 = 20;

/// How often, and how long in between, it is looked whether a commit is under way.
const LOOKS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(20);

/// The most damages that are listed one by one.
const MOST_LISTED: usize = 10_000;

/// What a verification found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// The datasets that were checked.
    pub datasets: u64,
    /// The chunks that they lead to.
    pub chunks: u64,
    /// The segments.
    pub segments: u64,
    /// The bytes that were read.
    pub bytes: u64,
    /// The bytes of sound frames that nothing leads to, and of files that no commit knows: `compact` and `gc` give them back.
    pub unreferenced_bytes: u64,
    /// What is damaged, by dataset and place; the first 10,000.
    pub damaged: Vec<Damage>,
    /// How many damages there are.
    pub damages: u64,
    /// The chunks that were gone before: earlier repairs said so; see [`DatasetInfo::gone`](crate::DatasetInfo::gone).
    pub gone: u64,
    /// What is no damage, but may be the trace of a loss.
    pub warnings: Vec<String>,
}

impl Verified {
    /// Whether all is as it was saved.
    pub fn is_sound(&self) -> bool {
        self.damages == 0
    }

    fn add(&mut self, damage: Damage) {
        self.damages += 1;
        if self.damaged.len() < MOST_LISTED {
            self.damaged.push(damage);
        }
    }
}

impl Store {
    /// Reads every byte of the manifest and the segments, and names what is not as it was saved; `progress` is given the bytes done and
    /// the bytes in all. Damage is no error, but in what this returns. It can run beside writers; of those in other processes, what they
    /// commit meanwhile is not looked at.
    ///
    /// # Errors
    /// Out of memory where the ledger has no room for a note of each frame, or for a chunk; not found where a writer removed files from
    /// under a snapshot: refresh, and verify again.
    pub fn verify(&self, mut progress: impl FnMut(u64, u64)) -> Result<Verified> {
        let mut attempt = 0;
        loop {
            let verified = verify(self.inner(), &mut progress);
            attempt += 1;
            // What a writer removed or moved under a snapshot looks like damage: look again at a newer one.
            let suspicious = verified.as_ref().map_or(true, |verified| !verified.is_sound());
            if !suspicious || attempt == ATTEMPTS || !self.is_read_only() || !newer(self.inner())? {
                return verified;
            }
            self.refresh()?;
        }
    }
}

fn verify(inner: &Arc<Inner>, progress: &mut dyn FnMut(u64, u64)) -> Result<Verified> {
    let mut verified = Verified::default();
    // What is there now stays until the end.
    let (entries, commits, _pinned) = {
        let _layout = inner.layout.read();
        let commits = inner.commits();
        let mut pinned = inner.pins.none();
        commits.iter().for_each(|commit| pinned.add(commit.segment));
        (all_entries(inner)?, commits, pinned)
    };
    let manifest = inner.folder.join(MANIFEST_NAME);
    let file = inner.backend.open(&manifest, Open::Read)?;
    let manifest_bytes = file.len()?;
    let total = manifest_bytes + commits.iter().map(|commit| commit.len).sum::<u64>();
    let mut done = manifest_bytes;
    verify_manifest(inner, &mut verified)?;
    progress(done, total);
    let mut survey = Survey::new(inner.arena.ledger())?;
    for commit in &commits {
        survey.look(&inner.segments, commit.segment, commit.len, &mut |bytes| {
            done += bytes;
            progress(done.min(total), total);
        })?;
    }
    for entry in entries.iter() {
        verify_dataset(inner, entry, &mut survey, &mut verified)?;
        verified.gone += Gone::of(&entry.meta).len();
    }
    let mut live: Vec<u64> = entries.iter().map(|entry| entry.id).collect();
    live.sort_unstable();
    for found in survey.frames.values().flatten() {
        let described = found.is(FrameKind::Dataset) && live.binary_search(&survey.dataset_of(found)).is_ok();
        if found.is_sound() && !found.is_wanted() && !described {
            verified.unreferenced_bytes += found.len();
        }
    }
    let strays = match inner.segments.strays() {
        // Without the folder there are none; what is missing was said.
        Err(_) if inner.segments.folder_is_missing() => Vec::new(),
        strays => strays?,
    };
    for stray in strays {
        verified.unreferenced_bytes += inner.backend.len_of(&inner.segments.path_of(stray))?.unwrap_or(0);
    }
    for flaw in survey.flaws.iter().filter(|flaw| !flaw.claimed) {
        let of = flaw.frame.as_ref().and_then(|(id, _)| entries.iter().find(|entry| entry.id == *id));
        let problem = match of {
            Some(_) => format!("{}, in a frame that is no longer used", flaw.problem),
            None => flaw.problem.clone(),
        };
        verified.add(Damage {
            dataset: of.map(|entry| entry.name.clone()),
            key: None,
            file: flaw.file.clone(),
            offset: flaw.offset,
            problem,
        });
    }
    // First the segments, then the manifest: a writer goes the other way.
    if let Some((newest, file)) = newest_beyond(&inner.backend, &inner.folder, inner.store_id, &inner.arena, &commits)? {
        let last = super::snapshot(&*inner.backend, &inner.folder, &inner.arena)?.1.sequence;
        if newest == last + 1 && !commit_is_under_way(inner, newest)? {
            verified.warnings.push(format!(
                "{} tells of commit {newest}, and the manifest ends with commit {last}: a writer died during that commit, or the manifest has lost its last \
                 record. The next opening for writing removes it; a repair that keeps what is unfinished makes it part of the store",
                file.display()
            ));
        }
        if newest > last + 1 {
            let problem = format!("it tells of commit {newest}, and the manifest ends with commit {last}: the manifest has lost its end");
            verified.add(Damage { dataset: None, key: None, file, offset: 0, problem });
        }
    }
    verified.segments = commits.len() as u64;
    verified.datasets = entries.len() as u64;
    verified.bytes = manifest_bytes + survey.bytes;
    match verified.damaged.iter().find(|damage| matches!(inner.backend.exists(&damage.file), Ok(false))) {
        Some(missing) if inner.manifest.is_none() && newer(inner)? => {
            let error = crate::Error::new(ErrorKind::NotFound, "a writer removed a file while it was to be verified").at(&missing.file);
            Err(error.hint("refresh the store, and verify again"))
        }
        _ => Ok(verified),
    }
}

/// Whether a writer is making commit number `newest`: then it is there soon.
fn commit_is_under_way(inner: &Inner, newest: u64) -> Result<bool> {
    for _ in 0..LOOKS {
        if inner.manifest.is_some() || super::snapshot(&*inner.backend, &inner.folder, &inner.arena)?.1.sequence >= newest {
            return Ok(true);
        }
        std::thread::sleep(PAUSE);
    }
    Ok(false)
}

/// Whether the manifest has gone on since the snapshot.
fn newer(inner: &Inner) -> Result<bool> {
    Ok(super::snapshot(&*inner.backend, &inner.folder, &inner.arena)?.1.sequence != inner.index.sequence())
}

/// Descriptions of datasets, which are booked.
pub(super) struct Entries {
    entries: Vec<Entry>,
    booking: Booking,
}

impl Deref for Entries {
    type Target = [Entry];

    fn deref(&self) -> &[Entry] {
        &self.entries
    }
}

/// All datasets, as of one commit.
pub(super) fn all_entries(inner: &Inner) -> Result<Entries> {
    inner.ask(|index| {
        let mut all = Entries { entries: Vec::new(), booking: inner.arena.ledger().book(0)? };
        index.each("", |entry| {
            all.booking.grow((size_of::<Entry>() + entry.encoded_len()) as u64)?;
            all.entries.push(entry);
            Ok(())
        })?;
        Ok(all)
    })
}

fn verify_manifest(inner: &Inner, verified: &mut Verified) -> Result<()> {
    // No commit is written while the writer itself looks at its manifest.
    let _guard = inner.manifest.as_ref().map(|manifest| manifest.lock());
    let path = inner.folder.join(MANIFEST_NAME);
    let scanned = match &inner.manifest {
        Some(_) => inner.backend.open(&path, Open::Read).and_then(|file| scan(&*file, inner.arena.ledger(), |_, _, _| Ok(()))),
        None => super::snapshot(&*inner.backend, &inner.folder, &inner.arena).map(|(_, scan, _)| scan),
    };
    let damage = |offset, problem| Damage { dataset: None, key: None, file: path.clone(), offset, problem };
    match scanned {
        Ok(scan) => {
            if let Some(offset) = scan.flaw {
                verified.add(damage(offset, "an acknowledgement in the manifest is damaged; nothing is lost by it".to_owned()));
            }
        }
        Err(error) if error.kind() == ErrorKind::OutOfMemory => return Err(error),
        Err(error) => verified.add(damage(error.at_byte().unwrap_or(0), error.problem())),
    }
    Ok(())
}

fn verify_dataset(inner: &Inner, entry: &Entry, survey: &mut Survey, verified: &mut Verified) -> Result<()> {
    let mut tables = Vec::new();
    for place in entry.tables.iter().rev() {
        let sound = survey.want(*place);
        match Table::open(&inner.segments, *place) {
            Ok(table) if sound => tables.push(Arc::new(table)),
            Err(error) if error.kind() == ErrorKind::OutOfMemory => return Err(error),
            opened => {
                let problem = opened.err().map_or_else(|| "a table is damaged".to_owned(), |error| error.problem());
                add_lost(inner, entry, None, *place, problem, survey, verified);
            }
        }
    }
    let walked = each_key(&inner.segments, &tables, |key, place| {
        verified.chunks += 1;
        if !survey.want(place) {
            // They are not gathered first: there can be as many as chunks.
            add_lost(inner, entry, Some(key.to_vec()), place, "the chunk is not there".to_owned(), survey, verified);
        }
        Ok(())
    });
    if let Err(error) = walked {
        let place = entry.tables.first().copied().unwrap_or(Place { segment: 0, offset: 0, len: 0 });
        add_lost(inner, entry, None, place, error.problem(), survey, verified);
    }
    Ok(())
}

fn add_lost(
    inner: &Inner,
    entry: &Entry,
    key: Option<Vec<u8>>,
    place: Place,
    problem: String,
    survey: &mut Survey,
    verified: &mut Verified,
) {
    let (mut offset, mut problem) = (place.offset, problem);
    if survey.is_missing(place.segment) {
        problem = MISSING.to_owned();
        survey.claim_missing(place.segment);
    } else if let Some(flaw) = survey.problem(place) {
        flaw.claimed = true;
        (offset, problem) = (flaw.offset, flaw.problem.clone());
    }
    let file = inner.segments.path_of(place.segment);
    verified.add(Damage { dataset: Some(entry.name.clone()), key, file, offset, problem });
}
