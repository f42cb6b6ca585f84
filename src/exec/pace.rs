//! How fast tasks go by: helpers are woken only where that pays.

use std::time::{Duration, Instant};

/// Tasks shorter than this are not worth a second worker, which would only fight for the lock.
const LIGHT: Duration = Duration::from_micros(3);

/// Tasks counted between two looks at the clock.
const STRETCH: u64 = 64;

/// The mean time of the last stretch of tasks.
pub(super) struct Pace {
    completed: u64,
    since: Option<Instant>,
    mean: Option<Duration>,
}

impl Pace {
    pub(super) fn new() -> Self {
        Pace { completed: 0, since: None, mean: None }
    }

    /// A task has ended.
    pub(super) fn count(&mut self) {
        self.completed += 1;
        if self.completed.is_multiple_of(STRETCH) {
            let now = Instant::now();
            if let Some(since) = self.since {
                self.mean = Some((now - since) / STRETCH as u32);
            }
            self.since = Some(now);
        }
    }

    /// A run begins on an engine that was idle: what was measured may not hold any more.
    pub(super) fn restart(&mut self) {
        *self = Pace { completed: self.completed, ..Pace::new() };
    }

    /// Tasks that have ended so far.
    pub(super) fn completed(&self) -> u64 {
        self.completed
    }

    /// Whether tasks go by so fast that one worker is best; not known before a stretch has gone by.
    pub(super) fn is_light(&self) -> Option<bool> {
        self.mean.map(|mean| mean < LIGHT)
    }
}
