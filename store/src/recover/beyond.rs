//! Whether the segments know of commits that the manifest does not. No crash does that but for the one that was under way: then the
//! manifest has lost its end, to a file system, a copy that stopped or a person, and what it would have cut or removed are saved data.

use crate::format::SEGMENTS_NAME;
use crate::io::Backend;
use crate::manifest::Description;
use crate::segment::{Commit, FrameKind, Place, SegmentOptions, Segments};
use crate::{Arena, Bytes, Chunk, Result};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The newest commit that frames beyond the committed lengths tell of, and the segment in which one of them stands.
///
/// # Errors
/// Those of listing and reading; out of memory. Frames that are torn or damaged tell nothing.
pub(super) fn newest_beyond(
    backend: &Arc<dyn Backend>,
    folder: &Path,
    store_id: u64,
    arena: &Arena,
    commits: &[Commit],
) -> Result<Option<(u64, PathBuf)>> {
    let committed: BTreeMap<u64, u64> = commits.iter().map(|commit| (commit.segment, commit.len)).collect();
    let in_segments = folder.join(SEGMENTS_NAME);
    if !backend.list(folder)?.contains(&in_segments) {
        return Ok(None);
    }
    let options = SegmentOptions { read_only: true, threads: 1, ..SegmentOptions::default() };
    let segments = Segments::open(Arc::clone(backend), &in_segments, store_id, arena, options)?;
    let mut longer = Vec::new();
    for id in segments.strays()? {
        let from = committed.get(&id).copied().unwrap_or(0);
        let len = backend.len_of(&segments.path_of(id))?.unwrap_or(0);
        if len > from {
            longer.push((from, Commit { segment: id, len, sealed: false }));
        }
    }
    let all: Vec<Commit> = longer.iter().map(|(_, commit)| *commit).collect();
    segments.restore(&all)?;
    let mut newest: Option<(u64, PathBuf)> = None;
    for (from, commit) in longer {
        if from == 0 && segments.store_of(commit.segment)? != Some(store_id) {
            // Linked from another store, or never begun.
            continue;
        }
        let frames = segments.frames_from(commit.segment, from)?;
        for (offset, header) in frames.flatten().filter(|(_, header)| header.kind == FrameKind::Dataset) {
            let place = Place { segment: commit.segment, offset, len: header.frame_len() };
            let Ok(Chunk::Bytes(Bytes(bytes))) = segments.read(place) else { continue };
            let Ok(description) = Description::decode(&bytes) else { continue };
            if newest.as_ref().is_none_or(|(sequence, _)| *sequence < description.sequence) {
                newest = Some((description.sequence, segments.path_of(commit.segment)));
            }
        }
    }
    Ok(newest)
}
