//! How fast tasks go by: helpers are woken only where that pays.
//!
//! Tasks that are light cost no look at the clock each: a stretch of them is measured as a whole. What is measured so may also be a wait of workers for each other, or for the
//! machine. So where tasks do not seem to be light, each is measured by itself: light ones are known again after one stretch, and given back to one worker.

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
    /// The tasks of this stretch that were measured by themselves, and how long they ran in all.
    measured: u32,
    ran: Duration,
}

impl Pace {
    pub(super) fn new() -> Self {
        Pace { completed: 0, since: None, mean: None, measured: 0, ran: Duration::ZERO }
    }

    /// A task has ended.
    pub(super) fn count(&mut self) {
        self.completed += 1;
        if self.completed.is_multiple_of(STRETCH) {
            let now = Instant::now();
            if self.measured > STRETCH as u32 / 2 {
                // Twice: what is between tasks belongs to them, and who is on the limit is not to change with each stretch.
                self.mean = Some(2 * self.ran / self.measured);
            } else if let Some(since) = self.since {
                self.mean = Some((now - since) / STRETCH as u32);
            }
            self.since = Some(now);
            (self.measured, self.ran) = (0, Duration::ZERO);
        }
    }

    /// A task that was measured by itself ran so long.
    pub(super) fn ran(&mut self, time: Duration) {
        self.measured += 1;
        self.ran += time;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn light_tasks_are_known_again_where_workers_waited_for_each_other() {
        let mut pace = Pace::new();
        // They take long by the clock, but not themselves.
        let slow = |pace: &mut Pace| {
            std::thread::sleep(STRETCH as u32 * LIGHT * 2);
            (0..STRETCH).for_each(|_| pace.count());
        };
        slow(&mut pace);
        assert_eq!(pace.is_light(), None);
        slow(&mut pace);
        assert_eq!(pace.is_light(), Some(false));
        (0..STRETCH).for_each(|_| {
            pace.ran(LIGHT / 10);
            pace.count();
        });
        assert_eq!(pace.is_light(), Some(true));
        slow(&mut pace);
        (0..STRETCH).for_each(|_| {
            pace.ran(LIGHT);
            pace.count();
        });
        assert_eq!(pace.is_light(), Some(false));
    }
}
