//! What of a chest is read as a whole, and which packs are packed anew; see the picture in `state`.

use super::index::{Home, Loc};
use super::record;
use super::state::State;
use super::unit::{Body, Slab, Unit};
use crate::{Buffer, Slot};
use std::sync::Arc;

/// Reads of a pack that come within so many misses make it worth reading as a whole.
const SOON: u64 = 32;

impl State {
    /// Counts a miss of a value in a pack on disk; whether the pack is worth reading as a whole.
    pub(super) fn missed(&mut self, place: u32) -> bool {
        self.misses += 1;
        let (misses, last) = (self.misses, self.last_pack);
        let Some(here) = self.places.get_mut(place) else { return false };
        let soon = here.missed > 0 && misses - here.missed <= SOON;
        here.missed = misses;
        // The pack behind the one that was read as a whole before: values are got in the order in which they were put.
        let follows = last != u32::MAX && place == last.wrapping_add(1);
        if soon || follows {
            self.last_pack = place;
            if follows {
                self.next_packs.clear();
                self.next_packs.extend([place + 1, place + 2]);
            }
            return true;
        }
        !crate::Scratch::has_parts(&here.slot)
    }

    /// Whether so much was read ahead that was not used yet that no more should be.
    pub(super) fn ahead_enough(&self, bytes: u64) -> bool {
        let enough = self.ahead_bytes > 0 && self.ahead_bytes + bytes > self.memory / 4;
        enough || self.total() + bytes > self.memory + self.clean_bytes
    }

    /// The next pack to be read because it follows one that was.
    pub(super) fn next_pack(&mut self) -> Option<(u32, Arc<Slot>, usize)> {
        loop {
            let id = self.next_packs.pop_front()?;
            let Some(place) = self.places.get(id).filter(|place| place.copy.is_none()) else { continue };
            if !place.pack || self.loading.contains(&Home { place: id, offset: 0 }) {
                continue;
            }
            let (slot, used, cost) = (Arc::clone(&place.slot), place.used as usize, self.pack_cost());
            if self.ahead_enough(cost) || !self.reserve(cost) {
                return None;
            }
            self.last_pack = id;
            return Some((id, slot, used));
        }
    }

    pub(super) fn repack_is_due(&self) -> bool {
        let (all, one) = (self.places.len() as u64 * self.pack as u64, self.pack as u64);
        !self.sparse.is_empty() && self.dead_bytes > (all / 4).max(4 * one)
    }

    /// The next place on disk that is worth repacking, for which a pack's bytes are reserved.
    pub(super) fn next_sparse(&mut self) -> Option<(u32, Arc<Slot>, usize)> {
        while self.repack_is_due() {
            let cost = self.pack_cost();
            if self.total() + 2 * cost > self.memory + self.clean_bytes || !self.reserve(cost) {
                return None;
            }
            let id = self.sparse.pop()?;
            let free = !self.loading.contains(&Home { place: id, offset: 0 });
            match self.places.get(id).filter(|place| free && place.pack && place.live_bytes * 2 < place.used) {
                Some(place) => return Some((id, Arc::clone(&place.slot), place.used as usize)),
                None => self.held -= cost,
            }
        }
        None
    }

    /// Puts the values whose home is a pack on disk, which was read, into the open pack; their home is forgotten.
    pub(super) fn repack(&mut self, place: u32, buffer: &Buffer, used: usize) {
        self.move_live(buffer, used, |units, loc, offset| {
            let home = match loc.memory() {
                Some((id, offset)) => units.get(id).and_then(|unit| unit.home(offset)),
                None => loc.home(),
            };
            home == Some(Home { place, offset })
        });
    }

    /// Puts the values of a pack into the open pack, as far as there is room, where that is worth it; whether none is left.
    pub(super) fn repack_in_memory(&mut self, id: u32) -> bool {
        let Some(unit) = self.units.get(id).filter(|unit| unit.live_bytes * 2 < unit.used as u64) else { return false };
        let (Body::Pack(buffer), used) = (&unit.body, unit.used) else { return false };
        let buffer = buffer.clone();
        self.move_live(&buffer, used, |_, loc, offset| loc.memory() == Some((id, offset)))
    }

    /// Puts records of a pack whose place is as wanted into the open pack; whether there was room for all.
    pub(super) fn move_live(&mut self, buffer: &Buffer, used: usize, wanted: impl Fn(&Slab<Unit>, Loc, u32) -> bool) -> bool {
        for (offset, record) in record::records(buffer, used) {
            let find = |state: &Self| {
                let at = state.index.find_where(record.hash, |loc| wanted(&state.units, loc, offset))?;
                Some((at, state.index.loc(at)?))
            };
            let draft = record.draft();
            if find(self).is_none() {
                continue;
            }
            if !self.open_has_room(draft.len()) {
                let cost = self.pack_cost();
                if !self.reserve(cost) {
                    return false;
                }
                if self.open_pack().is_err() {
                    self.held -= cost;
                    return false;
                }
            }
            // Making room may have sent the value home.
            let Some((at, old)) = find(self) else { continue };
            let Some((id, offset)) = self.append(record.hash, &draft, draft.check()).and_then(Loc::memory) else { return false };
            self.index.set(at, old.moved(id, offset));
            self.forget(old);
            self.repacked += 1;
        }
        true
    }
}
