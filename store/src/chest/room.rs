//! Making room in memory: what leaves it, who waits, and who is told.

use super::core::{Guard, Shared, is_part};
use super::state::State;
use crate::{Error, ErrorKind, Result};
use parking_lot::MutexGuard;

impl Shared {
    /// Makes room for a key in the index.
    pub(super) fn make_index_room(&self, state: &mut Guard<'_>, hash: u64, key: &[u8]) -> Result<()> {
        loop {
            let more = state.index.growth(hash, key);
            if more == 0 || state.index.find(hash, key).is_some() {
                return Ok(());
            }
            self.make_room(state, more).map_err(|e| match e.kind() {
                ErrorKind::OutOfMemory => {
                    e.hint("the index of the keys has to be in memory, about 40 bytes and the key for each; give the chest more memory")
                }
                _ => e,
            })?;
            let grown = match state.index.growth(hash, key) <= more {
                true => self.patiently(state, |state| state.index.grow(hash, key)),
                false => Ok(()),
            };
            state.held -= more;
            grown?;
        }
    }

    /// Reserves bytes, waiting for writes where clean units are not enough.
    pub(super) fn make_room(&self, state: &mut Guard<'_>, bytes: u64) -> Result<()> {
        state.failed = None;
        loop {
            if state.reserve(bytes) {
                return Ok(());
            }
            if let Some(e) = state.failed.take() {
                return Err(e);
            }
            state.write_for(bytes);
            if state.busy == 0 && !state.has_dirty() {
                // What is still being filled can leave too.
                let before = state.held;
                state.seal_open();
                state.seal_cache();
                if state.reserve(bytes) {
                    return Ok(());
                }
                state.write_for(bytes);
                if state.busy == 0 && state.held == before {
                    let message = format!(
                        "no room for {bytes} bytes: {} of {} bytes are in use, all of them pinned or needed for the index",
                        state.total(),
                        state.memory
                    );
                    return Err(
                        Error::new(ErrorKind::OutOfMemory, message).hint("drop pinned values earlier, or give the chest more memory")
                    );
                }
            }
            if state.busy > 0 {
                self.work.notify_all();
                self.changed.wait(state);
            }
        }
    }

    /// Lets units leave memory until they take at most `bytes`.
    pub(super) fn shrink(&self, bytes: u64) -> Result<()> {
        let mut state = self.state.lock();
        state.failed = None;
        let result = loop {
            while state.held > bytes && state.evict_clean() {}
            if state.held <= bytes {
                break Ok(());
            }
            if let Some(e) = state.failed.take() {
                break Err(e);
            }
            state.seal_open();
            state.seal_cache();
            state.write_for(u64::MAX);
            if state.busy > 0 {
                self.work.notify_all();
                self.changed.wait(&mut state);
            } else if !state.evict_clean() {
                let message = format!("{} bytes cannot leave memory: they are pinned", state.held);
                break Err(Error::new(ErrorKind::OutOfMemory, message).hint("drop pinned values first"));
            }
        };
        self.leave(state);
        result
    }

    /// Writes all that is in memory only, and no more than what is when it begins. Whoever puts something in the place of a value that is
    /// still to be written waits for that meanwhile. `then` is called under the lock when all is written, with what `before` gave, which is
    /// called without it. Calls must not overlap.
    pub(super) fn write_all<T>(&self, before: impl FnOnce() -> T, then: impl FnOnce(&mut State, &T)) -> Result<T> {
        let mut state = self.state.lock();
        let failures = state.failures;
        state.flushing = true;
        state.write_everything();
        self.work.notify_all();
        while state.flush_left > 0 {
            self.changed.wait(&mut state);
        }
        let result = match state.last_failure.take() {
            Some(error) if state.failures > failures => Err(error),
            _ => {
                let given = MutexGuard::unlocked(&mut state, before);
                then(&mut state, &given);
                Ok(given)
            }
        };
        state.flushing = false;
        self.changed.notify_all();
        self.leave(state);
        result
    }

    /// Waits while a flush still has to write what a key stands for.
    pub(super) fn wait_for_flush(&self, state: &mut Guard<'_>, hash: u64, key: &[u8]) {
        while state.is_flushing(hash, key) {
            self.changed.wait(state);
        }
    }

    /// Tries again after others gave memory back that was counted as free already.
    pub(super) fn patiently<T>(&self, state: &mut Guard<'_>, mut attempt: impl FnMut(&mut State) -> Result<T>) -> Result<T> {
        let mut tries = 0;
        loop {
            match attempt(state) {
                Err(e) if e.kind() == ErrorKind::OutOfMemory && tries < 50 => {
                    let trash = std::mem::take(&mut state.trash);
                    MutexGuard::unlocked(state, || {
                        drop(trash);
                        if tries > 2 {
                            std::thread::sleep(std::time::Duration::from_millis(1));
                        }
                    });
                    tries += 1;
                }
                other => return other,
            }
        }
    }

    /// As [`Shared::patiently`], without the lock.
    pub(super) fn retrying<T>(&self, attempt: impl Fn() -> Result<T>) -> Result<T> {
        for _ in 0..50 {
            match attempt() {
                Err(e) if e.kind() == ErrorKind::OutOfMemory => std::thread::sleep(std::time::Duration::from_millis(1)),
                other => return other,
            }
        }
        attempt()
    }

    /// Ends a call: what it left over is dropped once the lock is free, the background told of work, and who wants to
    /// know of keys that left memory.
    pub(super) fn leave(&self, mut state: Guard<'_>) {
        let work = state.look_ahead();
        let trash = std::mem::take(&mut state.trash);
        let overflowed = state.overflowed.as_mut().map(std::mem::take).unwrap_or_default();
        drop(state);
        if work {
            self.work.notify_all();
        }
        drop(trash);
        self.tell_overflow(overflowed);
    }

    pub(super) fn tell_overflow(&self, keys: Vec<Box<[u8]>>) {
        if !keys.is_empty() {
            let hook = self.hooks.lock().on_overflow.clone();
            if let Some(hook) = hook {
                keys.iter().filter(|key| !is_part(key)).for_each(|key| hook(key));
            }
        }
    }
}
