//! Giving memory back while others need it: an engine that was told to follows the pressure on its control group.

use crate::exec::Shared;
use chunkstore_store::{MemoryPressure, resident_bytes};
use parking_lot::{Condvar, Mutex};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the pressure is looked at.
const INTERVAL: Duration = Duration::from_millis(100);

/// Memory is short where tasks of the group wait for it so many percent of the time, or less than this part of its limit is free.
const STALLED: f64 = 10.0;
const SHORT: f64 = 0.05;

/// It is plentiful where they wait less than this, and more than this part is free.
const CALM: f64 = 1.0;
const ROOMY: f64 = 0.15;

/// So many calm looks come before memory is taken again, and so many looks before more is given back for the same reason.
const PATIENCE: u32 = 30;
const AGAIN: u32 = 5;

/// Of what is free so much, and this part, are left to others, who may take it before the next look.
const LEFT: u64 = 16 << 20;
const LEFT_PART: u64 = 8;

/// Looks at the pressure until it is dropped.
pub(super) struct Pressure {
    over: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

impl Pressure {
    /// Begins to look, for an engine whose bound is `memory`.
    pub(super) fn follow(shared: &Arc<Shared>, memory: u64) -> std::io::Result<Self> {
        let over = Arc::new((Mutex::new(false), Condvar::new()));
        let (seen, weak) = (over.clone(), Arc::downgrade(shared));
        let host = &shared.core.host();
        let (measure, spawn) = (host.pressure, host.spawn);
        let body = move || {
            let mut governor = Governor::new(memory);
            loop {
                {
                    let mut over = seen.0.lock();
                    if !*over {
                        seen.1.wait_for(&mut over, INTERVAL);
                    }
                    if *over {
                        return;
                    }
                }
                let Some(pressure) = measure() else { continue };
                if !look(&weak, &mut governor, pressure) {
                    return;
                }
            }
        };
        let thread = spawn("chunkstore-pressure".to_string(), Box::new(body))?;
        Ok(Pressure { over, thread: Some(thread) })
    }
}

impl Drop for Pressure {
    fn drop(&mut self) {
        *self.over.0.lock() = true;
        self.over.1.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.thread().id() != std::thread::current().id()
        {
            let _ = thread.join();
        }
    }
}

/// One look; whether the engine is still there.
fn look(shared: &Weak<Shared>, governor: &mut Governor, pressure: MemoryPressure) -> bool {
    let Some(shared) = shared.upgrade() else { return false };
    // The user may have set another bound meanwhile.
    governor.most = shared.core.named_memory();
    let now = shared.core.lease.memory();
    if let Some(wanted) = governor.decide(now, resident_bytes(), pressure)
        && shared.core.set_memory(wanted).is_err()
        && (wanted > now || shared.core.set_memory(now - now / 10).is_err())
    {
        // A task under way needs what it has: it is tried again at the next look.
        governor.calm = 0;
    }
    true
}

/// Decides by how much the bound is lowered or raised.
struct Governor {
    /// The bound that the user named, which is never passed.
    most: u64,
    calm: u32,
    /// Looks to come before the bound falls again because memory is short.
    rest: u32,
}

impl Governor {
    fn new(most: u64) -> Self {
        Governor { most, calm: 0, rest: 0 }
    }

    /// The bound to set where it is `now`, and the process has `resident` bytes; none where it stays. It is never more than what the process has and
    /// most of what is free. Lowered by a tenth twice a second while memory is short, raised by a twentieth of what was named after three calm seconds.
    fn decide(&mut self, now: u64, resident: u64, pressure: MemoryPressure) -> Option<u64> {
        let free = pressure.free_bytes;
        let most = resident.saturating_add(free.saturating_sub(LEFT).saturating_sub(free / LEFT_PART)).min(self.most);
        self.rest = self.rest.saturating_sub(1);
        if most < now {
            self.calm = 0;
            return Some(most);
        }
        if pressure.stalled > STALLED || pressure.free < SHORT {
            self.calm = 0;
            if self.rest > 0 {
                return None;
            }
            self.rest = AGAIN;
            return Some(now - now / 10);
        }
        if pressure.stalled > CALM || pressure.free < ROOMY {
            self.calm = 0;
            return None;
        }
        self.calm += 1;
        (self.calm >= PATIENCE && now < most).then(|| (now + self.most / 20).min(most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_falls_under_pressure_and_rises_when_it_is_calm() {
        let pressure = |stalled, free| MemoryPressure { stalled, free, free_bytes: u64::MAX };
        let (short, stalled, between, calm) = (pressure(0.0, 0.01), pressure(40.0, 0.5), pressure(5.0, 0.5), pressure(0.0, 0.5));
        let mut governor = Governor::new(1000);
        assert_eq!(governor.decide(1000, 0, short), Some(900));
        // Twice a second, and it is looked at more often.
        let looks: Vec<_> = (0..AGAIN).map(|_| governor.decide(900, 0, stalled)).collect();
        assert_eq!(looks, [None, None, None, None, Some(810)]);
        assert_eq!(governor.decide(810, 0, between), None);
        let looks: Vec<_> = (0..PATIENCE).map(|_| governor.decide(810, 0, calm)).collect();
        assert!(looks[..looks.len() - 1].iter().all(Option::is_none));
        assert_eq!(looks.last(), Some(&Some(860)));
        assert_eq!(governor.decide(980, 0, calm), Some(1000));
        assert_eq!(governor.decide(1000, 0, calm), None);
    }

    #[test]
    fn the_bound_is_what_the_process_has_and_most_of_what_is_free() {
        const MIB: u64 = 1 << 20;
        let with = |free_bytes| MemoryPressure { stalled: 0.0, free: 0.5, free_bytes };
        let mut governor = Governor::new(330 * MIB);
        assert_eq!(governor.decide(330 * MIB, 30 * MIB, with(400 * MIB)), None);
        // What another takes is not waited for: the bound falls at once, and never below what the process has.
        assert_eq!(governor.decide(330 * MIB, 30 * MIB, with(240 * MIB)), Some(224 * MIB));
        assert_eq!(governor.decide(224 * MIB, 200 * MIB, with(10 * MIB)), Some(200 * MIB));
        // It rises no further than that either.
        let looks: Vec<_> = (0..PATIENCE).map(|_| governor.decide(200 * MIB, 195 * MIB, with(32 * MIB))).collect();
        assert_eq!(looks.last(), Some(&Some(207 * MIB)));
    }
}
