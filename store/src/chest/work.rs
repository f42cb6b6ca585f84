//! What the background threads of a chest do: write what will leave memory, and read what will be asked for.

use super::entry::Residence;
use super::lru::Shared;
use super::storable::{ChestKey, Storable};
use crate::{Error, ErrorKind, Result};
use parking_lot::MutexGuard;

/// Writes and reads until the chest closes.
pub(super) fn run<K: ChestKey, V: Storable>(chest: &Shared<K, V>) {
    let mut state = chest.state.lock();
    loop {
        if state.closing {
            return;
        }
        if let Some((id, value)) = state.next_write() {
            let result = match state.table.residence(id) {
                Residence::Writing => MutexGuard::unlocked(&mut state, || write(chest, value)),
                _ => Err(Error::new(ErrorKind::Invalid, "the value was forgotten")),
            };
            state.end_write(id, result);
        } else if let Some((id, slot)) = state.next_ahead() {
            let trash = std::mem::take(&mut state.trash);
            let value = MutexGuard::unlocked(&mut state, || {
                drop(trash);
                // An error comes again, and is reported, when the value is asked for.
                let value = chest.scratch.read(&slot).and_then(V::from_chunk);
                drop(slot);
                value.ok()
            });
            state.end_load(id, value);
        } else {
            chest.work.wait(&mut state);
            continue;
        }
        state.look_ahead();
        chest.changed.notify_all();
        let trash = std::mem::take(&mut state.trash);
        if !trash.is_empty() {
            MutexGuard::unlocked(&mut state, || drop(trash));
        }
    }
}

fn write<K: ChestKey, V: Storable>(chest: &Shared<K, V>, value: V) -> Result<crate::Slot> {
    match value.to_chunk() {
        Some(chunk) => {
            drop(value);
            chest.scratch.write(&chunk)
        }
        None => Err(Error::new(ErrorKind::Invalid, "the value has no form for the disk")),
    }
}
