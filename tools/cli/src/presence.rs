//! Which chunks of a dataset are not there: never saved, or gone with the file that they stood in.

use crate::failure::{Exit, Failure, Result};
use crate::grid::Grid;
use crate::key;
use crate::summary::{grid_of, plural};
use chunkstore_store::Dataset;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The most chunks that an error names.
const NAMED: usize = 10;

/// What is missing of a dataset. The index is looked at, and which files there are; no chunk is read.
#[derive(Debug)]
pub(crate) struct Presence {
    name: String,
    /// The missing chunks, as text, in order.
    chunks: Vec<String>,
    /// The numbers of those of a grid.
    numbers: Vec<u64>,
    /// How many of them a repair could not keep.
    repaired: u64,
    /// The files that are gone.
    files: Vec<PathBuf>,
}

impl Presence {
    /// Looks at a dataset of the store in `folder`.
    pub(crate) fn of(dataset: &Dataset, folder: &Path) -> Result<Presence> {
        let info = dataset.info();
        let grid = grid_of(info)?;
        // Whether the chunks are there, by segment and by number; the keys of those that are not.
        let (mut files, mut there, mut gone) =
            (BTreeMap::new(), vec![false; grid.as_ref().map_or(0, |grid| grid.wanted() as usize)], Vec::new());
        dataset.each(|key, place| {
            let path = || segment(folder, place.segment);
            let (exists, _) = files.entry(place.segment).or_insert_with(|| (path().exists(), path()));
            match key::number(key).and_then(|number| there.get_mut(usize::try_from(number).ok()?)) {
                Some(state) => *state = *exists,
                None if !*exists => gone.push(key.to_vec()),
                None => {}
            }
            Ok(())
        })?;
        gone.sort_unstable();
        let empty = |number: u64| grid.as_ref().is_some_and(|grid: &Grid| u32::try_from(number).is_ok_and(|number| grid.is_empty(number)));
        let numbers: Vec<u64> = (0..).zip(&there).filter(|(number, there)| !**there && !empty(*number)).map(|(number, _)| number).collect();
        let lost = info.gone();
        let repaired =
            if lost.is_empty() { 0 } else { numbers.iter().filter(|number| lost.contains(&number.to_be_bytes())).count() as u64 };
        let chunks = numbers.iter().map(u64::to_string).chain(gone.iter().map(|key| key::text(&info.kind, key))).collect();
        let files = files.into_values().filter(|(exists, _)| !exists).map(|(_, path)| path).collect();
        Ok(Presence { name: info.name.clone(), chunks, numbers, repaired, files })
    }

    /// How many chunks are missing.
    pub(crate) fn missing(&self) -> u64 {
        self.chunks.len() as u64
    }

    /// Whether a chunk of a grid is missing.
    pub(crate) fn is_missing(&self, number: u64) -> bool {
        self.numbers.binary_search(&number).is_ok()
    }

    /// Which chunks are missing, in words; nothing where all are there.
    pub(crate) fn told(&self) -> Option<String> {
        let (named, more) = (self.chunks.get(..NAMED).unwrap_or(&self.chunks), self.chunks.len().saturating_sub(NAMED));
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        let files: Vec<String> = self.files.iter().map(|file| file.display().to_string()).collect();
        let files = if files.is_empty() { String::new() } else { format!("; gone: {}", files.join(", ")) };
        let repaired = match self.repaired {
            0 => String::new(),
            some => format!("; {} a repair could not keep", plural(some, "chunk")),
        };
        let are = if self.chunks.len() == 1 { "is" } else { "are" };
        (!named.is_empty()).then(|| {
            format!("{} of {} {are} missing: {}{more}{repaired}{files}", plural(self.missing(), "chunk"), self.name, named.join(", "))
        })
    }

    /// A failure that names what is missing; nothing where all is there.
    pub(crate) fn failure(&self) -> Option<Failure> {
        let hint = match self.files.is_empty() {
            true => "`chunkstore map` shows which chunks are there",
            false => "put the files back if you have them; `chunkstore repair` keeps what is there",
        };
        self.told().map(|told| Failure::new(Exit::NotFound, told).hint(hint))
    }
}

/// The file of a segment.
fn segment(folder: &Path, number: u64) -> PathBuf {
    folder.join("segments").join(format!("{number:016x}.seg"))
}
