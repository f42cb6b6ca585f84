//! A fixed number of staging buffers that threads take turns with.

use super::staging::Staging;
use parking_lot::{Condvar, Mutex};

#[derive(Debug)]
pub(crate) struct StagingPool {
    free: Mutex<Vec<Staging>>,
    returned: Condvar,
}

impl StagingPool {
    pub(crate) fn new(all: Vec<Staging>) -> Self {
        StagingPool { free: Mutex::new(all), returned: Condvar::new() }
    }

    /// Runs `work` with one of them, once one is free.
    pub(crate) fn with<R>(&self, work: impl FnOnce(&mut Staging) -> R) -> R {
        let mut lent = Lent { pool: self, staging: None };
        let mut free = self.free.lock();
        let staging = loop {
            match free.pop() {
                Some(staging) => break staging,
                None => self.returned.wait(&mut free),
            }
        };
        drop(free);
        work(lent.staging.insert(staging))
    }
}

/// Gives the staging buffer back, also when the work panics.
struct Lent<'a> {
    pool: &'a StagingPool,
    staging: Option<Staging>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.pool.free.lock().extend(self.staging.take());
        self.pool.returned.notify_one();
    }
}
