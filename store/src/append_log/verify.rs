//! Reading everything, and naming what is damaged.

use super::block::{Block, Body, Place};
use super::decode::Expected;
use super::desk::Desk;
use super::files::{data_path, mirror_path};
use super::index::{Cursor, IndexHeader, acknowledgement};
use super::near::Near;
use super::shared::Shared;
use super::tidy::Copy;
use crate::format::{BLOCK_BYTES, LOG_ACK_BYTES, LOG_ALIGN, LOG_BLOCK_MAGIC};
use crate::io::{BackendFile, Open};
use crate::{Error, ErrorKind, Result};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a verification found.
#[derive(Debug, Default)]
pub struct LogVerified {
    /// The blocks on disk that were read.
    pub blocks: u64,
    /// The bytes that they take.
    pub bytes: u64,
    /// What is damaged, each with file and offset.
    pub damage: Vec<Error>,
    /// What may tell of damage, or of a writer that was killed, each with its file: data files that hold more than their index tells of.
    pub warnings: Vec<Error>,
}

impl LogVerified {
    /// Whether nothing is damaged.
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty()
    }
}

fn is_damage(e: &Error) -> bool {
    matches!(e.kind(), ErrorKind::Corrupt | ErrorKind::Truncated | ErrorKind::Unsupported)
}

/// A block on disk, and where it is.
type Placed = (Arc<Block>, Arc<Place>);

/// Reads all blocks on disk, what pads them, and the indexes.
pub(super) fn verify(shared: &Shared) -> Result<LogVerified> {
    let mut verified = LogVerified::default();
    let table = shared.table.lock();
    let blocks: Vec<_> = table.blocks.iter().flatten().filter(|block| !table.is_removed(block.writer)).cloned().collect();
    drop(table);
    let mut files: BTreeMap<(u32, u32), Vec<Placed>> = BTreeMap::new();
    for block in blocks {
        if let Body::Disk(place) = block.body() {
            files.entry((block.writer, place.file)).or_default().push((block, place));
        }
    }
    let mut desk = Desk::new(&shared.arena)?;
    for ((writer, number), mut blocks) in files {
        let (file, id) = shared.data_file(writer, number)?;
        let file = Near::new(file, &shared.arena)?;
        blocks.sort_by_key(|(_, place)| place.offset);
        let ends = blocks.iter().skip(1).map(|(_, place)| place.offset).chain([u64::MAX]).collect::<Vec<_>>();
        for ((block, place), next) in blocks.iter().zip(ends) {
            let (stored, head) = (place.stored as usize, place.head as usize);
            let expected = Expected { file: &file, partition: block.partition, writer: id, offset: place.offset, stored, head };
            let Desk { codec, stretch, .. } = &mut desk;
            let result = expected.decode(None, codec, stretch, &shared.arena).map(|_| ());
            let result = result.and_then(|()| padding(&file, place.offset + u64::from(place.stored), next));
            verified.blocks += 1;
            verified.bytes += u64::from(place.stored);
            match result {
                Err(e) if !is_damage(&e) => return Err(e),
                Err(e) => verified.damage.push(e),
                Ok(()) => {}
            }
        }
    }
    let others: Vec<_> = shared.table.lock().others.iter().map(|(other, _)| (other.header, Arc::clone(&other.index))).collect();
    let mut indexes: Vec<_> = others.iter().map(|(_, index)| Arc::clone(index)).collect();
    for (header, index) in &others {
        known(shared, header, &**index, &mut verified)?;
        if header.mirrored {
            let path = mirror_path(shared.folder(), header.writer);
            match shared.backend.exists(&path)? {
                true => indexes.push(shared.backend.open(&path, Open::Read)?),
                false => verified.warnings.push(Error::new(ErrorKind::Corrupt, "the second copy of an index is missing").at(path)),
            }
        }
    }
    let own =
        shared.writer.lock().as_ref().and_then(|writer| writer.index.as_ref().map(|index| [&index.file, &index.mirror].map(Arc::clone)));
    indexes.extend(own.into_iter().flatten());
    for index in indexes {
        match verify_index(&*index) {
            Err(e) if !is_damage(&e) => return Err(e),
            Err(e) => verified.damage.push(e),
            Ok(()) => {}
        }
    }
    match super::kind::read(&*shared.backend, shared.folder()) {
        Err(e) if !is_damage(&e) => return Err(e),
        Err(e) => verified.damage.push(e),
        Ok(_) => {}
    }
    Ok(verified)
}

/// Warns of data files of a dead writer that are longer than its index tells.
fn known(shared: &Shared, header: &IndexHeader, index: &dyn BackendFile, verified: &mut LogVerified) -> Result<()> {
    let Some(_dead) = shared.backend.lock(index.path())? else { return Ok(()) };
    let Ok(Some(copy)) = Copy::read(&*shared.backend, index.path(), header.writer) else { return Ok(()) };
    for (number, length) in copy.lengths.iter().enumerate() {
        let path = data_path(shared.folder(), header.writer, number as u32);
        if shared.backend.len_of(&path)?.is_some_and(|len| len > *length) {
            let message = "the file is longer than its index tells: its writer was killed, or the index has lost what came last";
            verified.warnings.push(Error::new(ErrorKind::Corrupt, message).at(path).offset(*length));
        }
    }
    Ok(())
}

/// Checks that what follows a block, up to the next one or the end of the page, is 0.
fn padding(file: &dyn BackendFile, end: u64, next: u64) -> Result<()> {
    let next = next.min(end.next_multiple_of(BLOCK_BYTES as u64));
    let Some(between) = next.checked_sub(end) else {
        return Err(Error::new(ErrorKind::Corrupt, "a block begins within the one before it").at(file.path()).offset(next));
    };
    let mut bytes = [0; BLOCK_BYTES];
    let bytes = bytes.get_mut(..between as usize).unwrap_or_default();
    file.read_at(end, bytes)?;
    let Some(at) = bytes.iter().position(|byte| *byte != 0) else { return Ok(()) };
    // A block that was deleted may stand there, or one that is not in the index yet.
    let begin = (end + at as u64) / LOG_ALIGN as u64 * LOG_ALIGN as u64;
    let block = begin.checked_sub(end).and_then(|begin| bytes.get(begin as usize..));
    match block.is_some_and(|bytes| bytes.starts_with(&LOG_BLOCK_MAGIC)) {
        true => Ok(()),
        false => Err(Error::new(ErrorKind::Corrupt, "bytes between blocks are not 0").at(file.path()).offset(end + at as u64)),
    }
}

/// Checks frames and acknowledgements.
fn verify_index(file: &dyn BackendFile) -> Result<()> {
    let mut header = [0; crate::format::LOG_HEADER_BYTES];
    file.read_at(0, &mut header)?;
    super::index::IndexHeader::decode(&header).map_err(|e| e.at(file.path()).offset(0))?;
    let mut cursor = Cursor::start();
    while let Some(payload) = cursor.next(file)? {
        super::index::records(&payload).map_err(|e| e.at(file.path()))?;
        let begin = cursor.end - LOG_ACK_BYTES as u64;
        let mut bytes = [0; LOG_ACK_BYTES];
        let there = file.len()?.saturating_sub(begin).min(LOG_ACK_BYTES as u64) as usize;
        let bytes = bytes.get_mut(..there).unwrap_or_default();
        file.read_at(begin, bytes)?;
        // It is not synced, so that a loss of power may leave its beginning only.
        let expected = acknowledgement(cursor.sequence - 1);
        let same = bytes.iter().zip(&expected).take_while(|(a, b)| a == b).count();
        if bytes.iter().skip(same).any(|byte| *byte != 0) {
            let message = "the acknowledgement of a frame is damaged, which loses nothing";
            return Err(Error::new(ErrorKind::Corrupt, message).at(file.path()).offset(begin));
        }
    }
    Ok(())
}
