//! How often a log that is kept is flushed.

use crate::Result;
use parking_lot::Mutex;
use std::time::{Duration, Instant};

/// What is committed waits for its flush so long at least, and at most, unless flushes are slow.
const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(1);

/// A log is this many times as old as what waits, and spends at most such a part of its time on flushes.
const SHARE: u32 = 20;

/// When a log was flushed.
pub(super) struct Pace {
    begun: Instant,
    /// When the last flush ended, and how long it took.
    last: Mutex<(Instant, Duration)>,
}

impl Pace {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Pace { begun: now, last: Mutex::new((now, Duration::ZERO)) }
    }

    /// Flushes where it is time to. One thread does it for all; the others go on.
    pub(super) fn now_and_then(&self, flush: impl FnOnce() -> Result<()>) -> Result<()> {
        let Some(mut last) = self.last.try_lock() else { return Ok(()) };
        let began = Instant::now();
        let (ended, took) = *last;
        let patience = ((began - self.begun) / SHARE).clamp(SHORT, LONG).max(took * SHARE);
        if began - ended >= patience {
            flush()?;
            *last = (Instant::now(), began.elapsed());
        }
        Ok(())
    }
}
