//! Giving memory back while others need it: an engine that was told to follows the pressure on its control group.

use crate::exec::Shared;
use chunkstore_store::MemoryPressure;
use parking_lot::{Condvar, Mutex};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the pressure is looked at.
const INTERVAL: Duration = Duration::from_millis(500);

/// Memory is short where tasks of the group wait for it so many percent of the time, or less than this part of its limit is free.
const STALLED: f64 = 10.0;
const SHORT: f64 = 0.05;

/// It is plentiful where they wait less than this, and more than this part is free.
const CALM: f64 = 1.0;
const ROOMY: f64 = 0.15;

/// So many calm looks come before memory is taken again.
const PATIENCE: u32 = 6;

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
    if let Some(wanted) = governor.decide(now, pressure)
        && shared.core.set_memory(wanted).is_err()
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
}

impl Governor {
    fn new(most: u64) -> Self {
        Governor { most, calm: 0 }
    }

    /// The bound to set where it is `now`; none where it stays. Lowered by a tenth at a time, raised by a twentieth of what was named
    /// after three calm seconds.
    fn decide(&mut self, now: u64, pressure: MemoryPressure) -> Option<u64> {
        if pressure.stalled > STALLED || pressure.free < SHORT {
            self.calm = 0;
            return Some(now - now / 10);
        }
        if pressure.stalled > CALM || pressure.free < ROOMY {
            self.calm = 0;
            return None;
        }
        self.calm += 1;
        (self.calm >= PATIENCE && now < self.most).then(|| (now + self.most / 20).min(self.most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_falls_under_pressure_and_rises_when_it_is_calm() {
        let short = MemoryPressure { stalled: 0.0, free: 0.01 };
        let stalled = MemoryPressure { stalled: 40.0, free: 0.5 };
        let between = MemoryPressure { stalled: 5.0, free: 0.5 };
        let calm = MemoryPressure { stalled: 0.0, free: 0.5 };
        let mut governor = Governor::new(1000);
        assert_eq!(governor.decide(1000, short), Some(900));
        assert_eq!(governor.decide(900, stalled), Some(810));
        assert_eq!(governor.decide(810, between), None);
        let looks: Vec<_> = (0..PATIENCE).map(|_| governor.decide(810, calm)).collect();
        assert!(looks[..looks.len() - 1].iter().all(Option::is_none));
        assert_eq!(looks.last(), Some(&Some(860)));
        assert_eq!(governor.decide(980, calm), Some(1000));
        assert_eq!(governor.decide(1000, calm), None);
    }
}
