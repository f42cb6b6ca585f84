//! How far a long command is, on a terminal.

use crate::output::Output;
use crate::units::bytes;
use std::io::{IsTerminal, Write, stderr};
use std::time::{Duration, Instant};

/// A line on standard error that is written over and over; none where that is no terminal.
pub(crate) struct Progress {
    shown: bool,
    what: &'static str,
    next: Instant,
}

/// How often the line changes.
const EVERY: Duration = Duration::from_millis(200);

impl Progress {
    /// A line that begins with what is done.
    pub(crate) fn new(what: &'static str, output: &Output) -> Self {
        Progress { shown: stderr().is_terminal() && !output.is_json(), what, next: Instant::now() + EVERY }
    }

    /// Shows how far it is.
    pub(crate) fn show(&mut self, done: u64, total: u64) {
        if self.shown && Instant::now() >= self.next {
            self.next = Instant::now() + EVERY;
            let percent = 100 * u128::from(done) / u128::from(total.max(1));
            // Nothing depends on it.
            let _ = write!(stderr(), "\r\x1b[K{} {percent} % of {}", self.what, bytes(total));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown {
            let _ = write!(stderr(), "\r\x1b[K");
        }
    }
}
