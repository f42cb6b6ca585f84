//! Committing, flushing, sealing, deleting.
//!
//! A flush makes known, in one frame of the index, what was committed when it began:
//!
//! ```text
//! take the commits -> write all buckets, wait -> sync data files -> index: blocks, commits, deletions -> sync it -> success
//! ```
//! What fails before the index is written changes nothing: the commits wait for the next flush.

use super::attempt::{Attempt, Kind};
use super::block::{Block, Body, Place};
use super::files::{Other, Writer, data_path};
use super::index::{BlockRecord, Record};
use super::shared::{Shared, Table};
use super::work::Patience;
use crate::io::Open;
use crate::{Error, ErrorKind, Result};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// The most blocks that one frame of an index tells of.
const FRAME_BLOCKS: usize = 4096;

/// So often a log that is compacted meanwhile is looked at again.
const REFRESHES: usize = 20;

impl Shared {
    pub(super) fn commit(&self, attempt: Attempt) -> Result<()> {
        self.check_writable()?;
        let (writer, kept) = (self.writer_id()?, self.is_kept());
        let mut table = self.table.lock();
        if attempt.kind == Kind::Loose {
            return Ok(());
        }
        table.account()?;
        let open = match table.open.remove(&attempt) {
            Some(open) => open,
            None if table.attempts.is_committed(attempt) => return Ok(()),
            // An attempt without entries replaces the one before, too.
            None => table.empty_instance(),
        };
        table.commit(attempt, open, writer, kept)
    }

    pub(super) fn abort(&self, attempt: Attempt) {
        let mut table = self.table.lock();
        if attempt.kind != Kind::Loose
            && let Some(open) = table.open.remove(&attempt)
        {
            table.attempts.die((0, open.instance));
        }
    }

    pub(super) fn flush(&self, seal: bool) -> Result<()> {
        let _flushing = self.flushing.lock();
        self.check_writable()?;
        let (writer, kept) = (self.writer_id()?, self.is_kept());
        let mut table = self.table.lock();
        table.account()?;
        if seal {
            let mut open: Vec<_> = table.open.keys().copied().filter(|attempt| attempt.kind != Kind::Loose).collect();
            open.sort_unstable_by_key(|attempt| (attempt.kind, attempt.task, attempt.attempt));
            for attempt in open {
                if let Some(open) = table.open.remove(&attempt) {
                    table.commit(attempt, open, writer, kept)?;
                }
            }
            table.sealed = true;
        }
        if seal && !kept {
            return Ok(());
        }
        table.commit_loose(writer, kept)?;
        let news = std::mem::take(&mut table.news);
        drop(table);
        let result = self.write_all().and_then(|()| match kept {
            true => self.write_index(&news, seal),
            false => Ok(()),
        });
        if result.is_err() {
            let mut table = self.table.lock();
            let later = std::mem::replace(&mut table.news, news);
            table.news.extend(later);
            // What was not made known is not sealed: it can be tried again.
            table.sealed &= !seal;
        }
        result
    }

    /// Writes what is in memory, and waits until it is on disk.
    fn write_all(&self) -> Result<()> {
        let mut waiting = Vec::new();
        for (partition, bucket) in self.buckets.iter().enumerate() {
            let mut bucket = bucket.lock();
            self.close(partition as u32, &mut bucket);
            // All blocks in memory are in the bucket, or on their way already.
            if let Some(blocks) = self.table.lock().blocks.get(partition) {
                waiting.extend(blocks.iter().filter(|block| block.writer == 0 && block.is_in_memory()).cloned());
            }
            let mut work = self.work.lock();
            while let Some(block) = bucket.next_closed() {
                work.push(block);
            }
            drop(work);
            self.weigh(partition as u32, &bucket);
        }
        self.todo.notify_all();
        let mut patience = Patience::new(self);
        while let Some(block) = waiting.last() {
            match block.is_gone() || !block.is_in_memory() {
                true => {
                    waiting.pop();
                }
                false => patience.wait_for_write(self)?,
            }
        }
        Ok(())
    }

    /// Makes known what is on disk and committed.
    fn write_index(&self, news: &[Record], seal: bool) -> Result<()> {
        let mut writer = self.writer()?;
        let Some(writer) = writer.as_mut() else { return Ok(()) };
        let (blocks, lengths) = {
            let mut table = self.table.lock();
            (std::mem::take(&mut table.unindexed), table.lengths.clone())
        };
        if blocks.iter().all(|block| block.is_gone()) && news.is_empty() && !seal {
            return Ok(());
        }
        let mut rest = blocks.as_slice();
        // Blocks mean nothing without commits: of many, most are made known before, so that no frame is long.
        while let (now, later) = rest.split_at(rest.len().min(FRAME_BLOCKS))
            && !later.is_empty()
        {
            self.write_frame(writer, now, &[], (&lengths, false)).inspect_err(|_| self.table.lock().unindexed.extend_from_slice(rest))?;
            rest = later;
        }
        self.write_frame(writer, rest, news, (&lengths, seal)).inspect_err(|_| self.table.lock().unindexed.extend_from_slice(rest))?;
        if seal {
            // Room that was reserved and not needed; to keep it does no harm.
            for (file, len) in writer.data.iter().zip(lengths) {
                file.truncate(len).ok();
            }
        }
        Ok(())
    }

    /// Writes one frame of the index.
    fn write_frame(&self, writer: &mut Writer, blocks: &[Arc<Block>], news: &[Record], (lengths, seal): (&[u64], bool)) -> Result<()> {
        let known = blocks.iter().filter(|block| !block.is_gone());
        let records: Vec<_> = (known.filter_map(|block| match block.body() {
            Body::Memory(_) => None,
            Body::Disk(place) => Some(Record::Block(BlockRecord {
                partition: block.partition,
                file: place.file,
                offset: place.offset,
                stored: place.stored,
                head: place.head,
                raw: block.raw,
                first: block.first,
                last: block.last,
            })),
        }))
        .chain(news.iter().cloned())
        .chain(lengths.iter().enumerate().map(|(file, len)| Record::Length(file as u32, *len)))
        .collect();
        let Some(index) = writer.index.as_mut() else { return Ok(()) };
        let frame = index.frame(&records, seal);
        let written = match index.reserve(&frame) {
            Err(e) if e.kind() == ErrorKind::DiskFull => Err((e, false)),
            Err(e) => Err((e, true)),
            Ok(()) => {
                let synced = writer.data.iter().try_for_each(|file| file.sync());
                synced.and_then(|()| index.append(&frame)).map_err(|e| (e, true))
            }
        };
        written.map_err(|(e, broken)| {
            self.broken.store(broken, Relaxed);
            match broken && e.kind() == ErrorKind::DiskFull {
                // It cannot be tried again, as a full disk otherwise can.
                true => Error::new(ErrorKind::Io, e.to_string()).hint("open the log again: all that was flushed before is there"),
                false => e,
            }
        })?;
        // The index names their room, so that it is never used for anything else.
        let rooms = blocks.iter().filter_map(|block| match block.body() {
            Body::Disk(place) => place.room.clone(),
            Body::Memory(_) => None,
        });
        for room in rooms {
            // The blocks of a stretch share one.
            if !writer.named.last().is_some_and(|last| Arc::ptr_eq(last, &room)) {
                writer.named.push(room);
            }
        }
        Ok(())
    }

    pub(super) fn delete(&self, partition: u32) -> Result<()> {
        self.check_writable()?;
        let (writer, kept) = (self.writer_id()?, self.is_kept());
        let mut bucket = self.bucket(partition)?;
        self.close(partition, &mut bucket);
        let mut table = self.table.lock();
        table.commit_loose(writer, kept)?;
        let mut covered = vec![(0, table.last_number())];
        covered.extend(table.others.iter().enumerate().map(|(number, (_, last))| (number as u32 + 1, *last)));
        table.attempts.cover(partition, &covered);
        if let Some(total) = table.attempts.totals.get_mut(partition as usize) {
            *total = Default::default();
        }
        table.version += 1;
        // What is not committed stays, and may become visible later.
        if !table.open.values().any(|open| open.counts.contains_key(&partition))
            && let Some(blocks) = table.blocks.get_mut(partition as usize)
        {
            let before = blocks.len();
            blocks.retain(|block| {
                if block.writer == 0 {
                    block.forget();
                }
                block.writer != 0
            });
            let gone = before - blocks.len();
            table.block_count = table.block_count.saturating_sub(gone as u64);
        }
        if kept {
            let ids = std::iter::once(writer).chain(table.others.iter().map(|(other, _)| other.header.writer));
            let record = Record::Delete(partition, ids.zip(covered).map(|(id, (_, number))| (id, number)).collect());
            table.news.push(record);
        }
        drop(table);
        bucket.sweep();
        self.weigh(partition, &bucket);
        Ok(())
    }

    pub(super) fn clear(&self) -> Result<()> {
        let open: Vec<_> = self.table.lock().open.keys().copied().collect();
        open.into_iter().for_each(|attempt| self.abort(attempt));
        (0..self.partitions).try_for_each(|partition| self.delete(partition))
    }

    /// Takes in what other writers have made known. Whether there was anything.
    pub(super) fn refresh(&self) -> Result<bool> {
        if !self.is_kept() {
            return Ok(false);
        }
        let own = self.writer.lock().as_ref().map(|writer| writer.header.writer);
        let mut changed = false;
        for _ in 0..REFRESHES {
            let mut table = self.table.lock();
            let whole = self.find_writers(&mut table, own)?;
            changed |= self.read_news(&mut table, own)?;
            // Where files were removed meanwhile, what was in them is in others now.
            let counts = match table.others.iter().any(|(other, _)| other.missing.is_some()) {
                true => table.attempts.writers_that_count()?,
                false => Default::default(),
            };
            let numbered = (1u32..).zip(&table.others);
            let missing = numbered.filter(|(number, _)| counts.contains(number)).find_map(|(_, (other, _))| other.missing.as_ref());
            match missing {
                None if whole => return Ok(changed),
                Some(e) if whole => return Err(Error::new(e.kind(), e.to_string()).at(e.path().unwrap_or(self.folder()))),
                _ => {}
            }
        }
        Ok(changed)
    }

    /// Looks for writers that are not known yet. Whether none went while they were looked for.
    fn find_writers(&self, table: &mut Table, own: Option<u64>) -> Result<bool> {
        let mut all = super::files::writers(&*self.backend, self.folder())?;
        let mut whole = true;
        all.retain(|(id, _)| Some(*id) != own);
        for (id, path) in all {
            if table.others.iter().any(|(other, _)| other.header.writer == id) {
                continue;
            }
            let other = match Other::open(&*self.backend, &path, id) {
                Ok(Some(other)) => other,
                Ok(None) => continue,
                // One that was dead and made nothing known was removed meanwhile, or it was compacted.
                Err(_) if !self.backend.exists(&path)? => {
                    whole = false;
                    continue;
                }
                Err(e) => return Err(e),
            };
            if other.header.partitions != self.partitions {
                let message = format!("the log has {} partitions, not {}", other.header.partitions, self.partitions);
                return Err(Error::new(ErrorKind::Invalid, message).at(path).hint("open it with the number that it was made with"));
            }
            table.others.push((other, 0));
            let number = table.others.len() as u32;
            let unknown = std::mem::take(&mut table.unknown);
            let (now, later): (Vec<_>, Vec<_>) = unknown.into_iter().partition(|((of, _), _)| *of == id);
            table.unknown.extend(later);
            now.into_iter().for_each(|((_, partition), until)| table.attempts.cover(partition, &[(number, until)]));
        }
        Ok(whole)
    }

    /// Removes the data files of dead writers of which nothing counts.
    pub(super) fn reclaim(&self) -> Result<()> {
        let table = self.table.lock();
        let with_data = |other: &Other| !other.data.is_empty() && other.cursor.sequence > 1;
        if !table.others.iter().any(|(other, _)| with_data(other)) {
            return Ok(());
        }
        let counts = table.attempts.writers_that_count()?;
        let idle = (1u32..).zip(&table.others).filter(|(number, (other, _))| !counts.contains(number) && with_data(other));
        let idle: Vec<_> = idle.map(|(_, (other, _))| (other.header, other.index.path().to_path_buf())).collect();
        if idle.is_empty() {
            return Ok(());
        }
        // What says that it does not count is not lost any more.
        for (other, _) in &table.others {
            self.backend.open(other.index.path(), Open::Existing)?.sync()?;
        }
        drop(table);
        for (header, path) in idle {
            if let Some(_lock) = self.backend.lock(&path)? {
                for number in 0..header.files {
                    self.backend.remove(&data_path(self.folder(), header.writer, number)).ok();
                }
            }
        }
        Ok(())
    }

    /// Takes in what the writers that are known have made known.
    fn read_news(&self, table: &mut Table, own: Option<u64>) -> Result<bool> {
        let mut others = std::mem::take(&mut table.others);
        let (mut changed, mut deleted) = (false, false);
        let result = self.take_news(table, &mut others, own, (&mut changed, &mut deleted));
        table.others = others;
        if deleted {
            let open = table.open_visible();
            table.attempts.recount(&open)?;
        }
        table.version += u64::from(changed);
        table.account()?;
        result.map(|()| changed)
    }

    /// Says whether there was anything, and whether anything was deleted.
    fn take_news(
        &self,
        table: &mut Table,
        others: &mut [(Other, u64)],
        own: Option<u64>,
        (changed, deleted): (&mut bool, &mut bool),
    ) -> Result<()> {
        let ids: Vec<_> = others.iter().map(|(other, _)| other.header.writer).collect();
        for (number, (other, last)) in others.iter_mut().enumerate() {
            let (writer, id) = (number as u32 + 1, other.header.writer);
            while let Some(news) = other.news(&*self.backend, self.folder())? {
                *changed = true;
                for record in news {
                    match record {
                        Record::Block(block) => {
                            self.check_partition(block.partition)?;
                            let (file, offset, stored, head) = (block.file, block.offset, block.stored, block.head);
                            let place = Place { file, offset, stored, head, room: None };
                            let block = Block::on_disk(block.partition, writer, block.first, block.last, block.raw, place);
                            if let Some(blocks) = table.blocks.get_mut(block.partition as usize) {
                                blocks.push(Arc::new(block));
                                table.block_count += 1;
                            }
                        }
                        Record::Commit(commit) => {
                            *last = commit.number.max(*last);
                            // What is committed here from now on comes later, whatever the clocks say.
                            table.last_time = table.last_time.max(commit.time);
                            table.attempts.commit((writer, id), &commit, false)?;
                        }
                        Record::Delete(partition, commits) => {
                            *deleted = true;
                            let number = |id: u64| match Some(id) == own {
                                true => Some(0),
                                false => ids.iter().position(|other| *other == id).map(|at| at as u32 + 1),
                            };
                            for (id, last) in commits {
                                match number(id) {
                                    Some(writer) => table.attempts.cover(partition, &[(writer, last)]),
                                    // Its index may be read later than the one that deletes.
                                    None => {
                                        let until = table.unknown.entry((id, partition)).or_default();
                                        *until = last.max(*until);
                                    }
                                }
                            }
                        }
                        Record::Length(..) => {}
                    }
                }
            }
        }
        Ok(())
    }
}
