//! What the background threads of a chest do: write what will leave memory, read what will be asked for, and repack.

use super::core::{Guard, Shared};
use super::disk::Written;
use super::index::{Home, hash_of};
use parking_lot::MutexGuard;
use std::sync::Arc;

/// Writes and reads until the chest closes.
pub(super) fn run(chest: &Shared) {
    let mut state = chest.state.lock();
    loop {
        if state.closing {
            return;
        }
        if !(write(chest, &mut state) || read_next_pack(chest, &mut state) || read_ahead(chest, &mut state) || repack(chest, &mut state)) {
            chest.work.wait(&mut state);
            continue;
        }
        state.look_ahead();
        chest.changed.notify_all();
        let trash = std::mem::take(&mut state.trash);
        let overflowed = state.overflowed.as_mut().map(std::mem::take).unwrap_or_default();
        if !trash.is_empty() || !overflowed.is_empty() {
            MutexGuard::unlocked(&mut state, || {
                drop(trash);
                chest.tell_overflow(overflowed);
            });
        }
    }
}

/// Writes one unit, if any is to be written.
fn write(chest: &Shared, state: &mut Guard<'_>) -> bool {
    let before = state.busy;
    let Some(write) = state.next_write() else {
        // Units that nobody wants any more are not written, which who waits has to know.
        return state.busy != before;
    };
    let id = write.unit;
    let written = MutexGuard::unlocked(state, || chest.disk.write(write));
    match written {
        Ok(Written::Slot(slot)) => state.end_slot(id, slot),
        Ok(Written::Each(values)) => {
            if let Some(saved) = chest.disk.saved() {
                state.end_each(id, values, saved);
            }
        }
        Err(e) => state.end_write(id, Err(e)),
    }
    chest.changed.notify_all();
    if let Some(saved) = chest.disk.saved().filter(|saved| saved.has_notes()) {
        // An error comes again, and is reported, when the chest is flushed.
        MutexGuard::unlocked(state, || saved.tell_if_free()).ok();
    }
    true
}

/// Reads a pack that follows one that was read.
fn read_next_pack(chest: &Shared, state: &mut Guard<'_>) -> bool {
    let Some((place, slot, used)) = state.next_pack() else { return false };
    state.prefetched += 1;
    // An error comes again, and is reported, when a value is asked for.
    chest.load_pack(state, place, &slot, used, true).ok();
    true
}

/// Reads one value that is wanted, if there is room without waiting.
fn read_ahead(chest: &Shared, state: &mut Guard<'_>) -> bool {
    loop {
        let Some(key) = state.ahead.front().cloned() else { return false };
        let hash = hash_of(&key);
        let found = state.index.find(hash, &key).and_then(|at| state.index.loc(at)).filter(|_| state.wanted.contains(&key));
        let Some((loc, home)) = found.filter(|loc| !loc.is_stream()).and_then(|loc| Some((loc, loc.home()?))) else {
            state.ahead.pop_front();
            state.wanted.remove(&key);
            continue;
        };
        let pack = if loc.is_alone() { home } else { Home { place: home.place, offset: 0 } };
        let cost = if loc.is_alone() { super::core::cost_alone(loc.bytes()) } else { state.pack_cost() };
        if state.loading.contains(&pack) || state.ahead_enough(cost) {
            return false;
        }
        state.ahead.pop_front();
        state.wanted.remove(&key);
        state.prefetched += 1;
        chest.read_wanted(state, hash, &key, loc, home);
        return true;
    }
}

/// Repacks a pack on disk less than half of which is alive.
fn repack(chest: &Shared, state: &mut Guard<'_>) -> bool {
    let Some((place, slot, used)) = state.next_sparse() else { return false };
    let pack = Home { place, offset: 0 };
    state.loading.insert(pack);
    state.busy += 1;
    let read = MutexGuard::unlocked(state, || chest.disk.read_pack(&slot));
    state.busy -= 1;
    state.loading.remove(&pack);
    let same = state.places.get(place).is_some_and(|here| Arc::ptr_eq(&here.slot, &slot));
    if let Ok(buffer) = read
        && same
    {
        state.repack(place, &buffer, used);
    }
    drop(slot);
    state.held -= state.pack_cost();
    true
}
