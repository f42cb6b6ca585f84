//! What leaves the memory of a chest, and what is lent to who holds values; see the picture in `state`.

use super::index::Index;
use super::record;
use super::state::{State, Trash};
use super::unit::{Body, Homes, Pin, Unit};
use std::sync::Arc;

impl State {
    /// Takes the oldest clean unit that nobody uses out of memory.
    pub(super) fn evict_clean(&mut self) -> bool {
        for _ in 0..self.clean.len() {
            let Some((id, tick)) = self.clean.pop_lru() else { break };
            if self.units.get(id).is_some_and(Unit::is_pinned) {
                self.clean.put(id, tick);
                continue;
            }
            self.clean_bytes -= self.units.get(id).map_or(0, |unit| unit.bytes);
            self.evict(id);
            return true;
        }
        false
    }

    /// Sends the values of a clean unit home.
    pub(super) fn evict(&mut self, id: u32) {
        self.used_ahead(id);
        let Some(unit) = self.units.remove(id) else { return };
        let mut overflowed = self.overflowed.take();
        let mut send = |index: &mut Index, hash, offset| {
            if let Some(at) = index.find_where(hash, |loc| loc.memory() == Some((id, offset)))
                && let (Some(loc), Some(home)) = (index.loc(at), unit.home(offset))
            {
                index.set(at, loc.at_home(home));
                self.evicted += 1;
                if let Some(keys) = &mut overflowed {
                    keys.push(index.key(at).into());
                }
            }
        };
        match &unit.body {
            Body::Alone(_) => send(&mut self.index, unit.hash, 0),
            Body::Open(_) => {}
            Body::Pack(buffer) if unit.live > 0 => {
                record::records(buffer, unit.used).for_each(|(offset, record)| send(&mut self.index, record.hash, offset));
            }
            Body::Pack(_) => {}
        }
        self.overflowed = overflowed;
        self.end(unit);
    }

    /// Ends a unit in which no key is found any more, unless it is open or being written.
    pub(super) fn end_if_empty(&mut self, id: u32) {
        let empty = self.units.get(id).is_some_and(|unit| unit.live == 0 && !unit.writing);
        if empty && self.open != Some(id) && self.cache != Some(id) {
            self.unlist(id);
            self.used_ahead(id);
            if let Some(unit) = self.units.remove(id) {
                self.end(unit);
            }
        }
    }

    /// Ends the counting of a unit; while somebody uses it, its bytes count as lent.
    pub(super) fn end(&mut self, unit: Unit) {
        self.held -= unit.bytes;
        if let Homes::Place(place) = &unit.homes
            && let Some(place) = self.places.get_mut(*place)
        {
            place.copy = None;
        }
        if unit.is_pinned() {
            unit.pin.lend(unit.bytes);
        }
        self.trash.push(Trash::Body(unit.body));
    }

    /// Counts reserved bytes as lent.
    pub(super) fn lend(&mut self, bytes: u64) -> Arc<Pin> {
        let pin = Pin::new(&self.lent);
        self.held -= bytes;
        pin.lend(bytes);
        pin
    }

    /// Puts a unit into the list where it belongs.
    pub(super) fn settle(&mut self, id: u32) {
        self.end_if_empty(id);
        let Some(unit) = self.units.get(id).filter(|unit| !unit.writing) else { return };
        let (tick, bytes) = (unit.tick, unit.bytes);
        let list = match unit.is_clean() {
            true => {
                if self.clean.put(id, tick).is_none() {
                    self.clean_bytes += bytes;
                }
                &mut self.clean
            }
            false => {
                self.dirty.put(id, tick);
                &mut self.dirty
            }
        };
        // Written because it was the oldest: it leaves before what was used since.
        if list.peek_lru().is_some_and(|(_, oldest)| tick < *oldest) {
            list.demote(&id);
        }
    }

    pub(super) fn unlist(&mut self, id: u32) {
        if self.clean.pop(&id).is_some() {
            self.clean_bytes -= self.units.get(id).map_or(0, |unit| unit.bytes);
        }
        self.dirty.pop(&id);
    }
}
