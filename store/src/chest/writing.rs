//! What of a chest is written next, and what becomes of it; see the picture in `state`.

use super::index::hash_of;
use super::record;
use super::saved::{Framed, Saved, home_at};
use super::state::{PLACE_BYTES, Place, State, Trash, Write};
use super::streams::Head;
use super::unit::{Body, Homes};
use crate::{Result, Slot};
use std::sync::Arc;

impl State {
    /// Queues writes that the rules of write-behind ask for; whether there is work for the background.
    pub(super) fn look_ahead(&mut self) -> bool {
        while !self.resting && self.total() > self.memory / 4 * 3 {
            let short = self.clean_bytes + self.writing_bytes < self.memory / 4;
            let due = self.dirty_is_due() && self.writing_bytes < self.memory / 8;
            if !(short || due) || !self.queue_write(true) {
                break;
            }
        }
        !self.writes.is_empty() || !self.ahead.is_empty() || !self.next_packs.is_empty() || self.repack_is_due()
    }

    /// Queues writes of at least `bytes`, whatever the rules say, once all clean units have left that nobody uses.
    pub(super) fn write_for(&mut self, bytes: u64) {
        self.resting = false;
        while self.writing_bytes < bytes && self.queue_write(true) {}
    }

    /// Queues the writes of all that is in memory only, without moving any of it, for a flush that waits for them.
    pub(super) fn write_everything(&mut self) {
        self.resting = false;
        self.seal_open();
        while self.queue_write(false) {}
        for id in 0..self.units.numbers() {
            if let Some(unit) = self.units.get_mut(id).filter(|unit| unit.writing && !unit.flushing) {
                unit.flushing = true;
                self.flush_left += 1;
            }
        }
    }

    /// Whether a flush still has to write, or to note, what a key stands for.
    pub(super) fn is_flushing(&self, hash: u64, key: &[u8]) -> bool {
        if !self.flushing {
            return false;
        }
        let Some(loc) = self.index.find(hash, key).and_then(|at| self.index.loc(at)) else { return false };
        if loc.is_stream() {
            return self.streams.get(key).is_some_and(|stream| !matches!(stream.head, Head::Noted));
        }
        loc.memory().and_then(|(id, _)| self.units.get(id)).is_some_and(|unit| unit.flushing)
    }

    pub(super) fn dirty_is_due(&self) -> bool {
        match (self.dirty.peek_lru(), self.clean.peek_lru()) {
            (Some((_, dirty)), Some((_, clean))) => self.clock - dirty > 2 * (self.clock - clean),
            _ => false,
        }
    }

    /// Queues the write of the oldest dirty unit.
    pub(super) fn queue_write(&mut self, move_few: bool) -> bool {
        let Some((id, _)) = self.dirty.pop_lru() else { return false };
        if move_few && self.repack_in_memory(id) {
            return true;
        }
        if let Some(unit) = self.units.get_mut(id) {
            unit.writing = true;
            self.busy += 1;
            self.writing_bytes += unit.bytes;
            self.writes.push_back(id);
        }
        true
    }

    /// Whether anything can be written.
    pub(super) fn has_dirty(&self) -> bool {
        !self.dirty.is_empty() || !self.writes.is_empty()
    }

    /// Whether units are being written.
    #[cfg(test)]
    pub(super) fn is_writing(&self) -> bool {
        self.writing_bytes > 0
    }

    /// The next unit to be written, if there is one.
    pub(super) fn next_write(&mut self) -> Option<Write> {
        loop {
            let id = self.writes.pop_front()?;
            let Some(unit) = self.units.get(id).filter(|unit| unit.live > 0) else {
                self.end_write(id, Ok(Homes::Nowhere));
                continue;
            };
            let body = match &unit.body {
                Body::Pack(buffer) => Body::Pack(buffer.clone()),
                Body::Alone(chunk) => Body::Alone(chunk.clone()),
                Body::Open(_) => continue,
            };
            let mut values = Vec::new();
            if self.each {
                let mut find = |hash, offset| {
                    if let Some(at) = self.index.find_where(hash, |loc| loc.memory() == Some((id, offset))) {
                        values.push((offset, self.index.key(at).into()));
                    }
                };
                match &unit.body {
                    Body::Pack(buffer) => record::records(buffer, unit.used).for_each(|(offset, record)| find(record.hash, offset)),
                    _ => find(unit.hash, 0),
                }
            }
            return Some(Write { unit: id, body, values });
        }
    }

    /// Ends a write to a slot.
    pub(super) fn end_slot(&mut self, id: u32, slot: Slot) {
        let Some(unit) = self.units.get_mut(id) else { return };
        if unit.live == 0 {
            self.trash.push(Trash::Slot(Arc::new(slot)));
            return self.end_write(id, Ok(Homes::Nowhere));
        }
        let pack = matches!(unit.body, Body::Pack(_));
        let (live, live_bytes) = (unit.live, unit.live_bytes);
        let used = if pack { unit.used as u64 } else { live_bytes };
        let place = Place { slot: Arc::new(slot), pack, used, live, live_bytes, missed: 0, copy: Some(id) };
        self.dead_bytes += used.saturating_sub(live_bytes);
        let place = self.places.insert(place);
        if live_bytes * 2 < used {
            self.sparse.push(place);
        }
        self.end_write(id, Ok(Homes::Place(place)));
    }

    /// Ends a write of values each for itself; `saved` is told which of them are still wanted.
    pub(super) fn end_each(&mut self, id: u32, values: Vec<Framed>, saved: &Saved) {
        let mut homes = Vec::with_capacity(values.len());
        for (offset, key, held) in values {
            let loc = self.index.find(hash_of(&key), &key).and_then(|at| self.index.loc(at));
            let Some(loc) = loc.filter(|loc| loc.memory() == Some((id, offset))) else { continue };
            match loc.is_stream() {
                true => self.head_is_written(&key, held),
                false => self.note(saved, &key, Some(held)),
            }
            homes.push((offset, home_at(held.place)));
        }
        self.end_write(id, Ok(Homes::Each(homes)));
    }

    /// Ends a write.
    pub(super) fn end_write(&mut self, id: u32, result: Result<Homes>) {
        self.busy -= 1;
        let Some(unit) = self.units.get_mut(id) else { return };
        self.writing_bytes -= unit.bytes;
        unit.writing = false;
        if std::mem::take(&mut unit.flushing) {
            self.flush_left -= 1;
        }
        match result {
            Ok(homes) => {
                if let Homes::Place(_) = homes {
                    // What is known of the place was counted with the unit.
                    unit.bytes -= PLACE_BYTES;
                    self.held -= PLACE_BYTES;
                }
                unit.homes = homes;
            }
            Err(e) => {
                self.failures += 1;
                self.last_failure = Some(e.copy());
                self.failed = Some(e);
                self.resting = true;
            }
        }
        self.settle(id);
    }
}
