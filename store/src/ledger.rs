//! The one counter of memory.
//!
//! Everything that this project allocates for data is booked here first, and a booking ends when it is dropped.
//! No other code counts memory.

use crate::{Error, ErrorKind, Result};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A counter of booked bytes with a limit. Clones share the counter.
///
/// ```
/// use chunkstore_store::Ledger;
/// let ledger = Ledger::new(100);
/// let booking = ledger.book(60)?;
/// assert!(ledger.book(60).is_err());
/// drop(booking);
/// assert_eq!((ledger.used(), ledger.peak()), (0, 60));
/// # Ok::<(), chunkstore_store::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Ledger(Arc<Counters>);

#[derive(Debug)]
struct Counters {
    limit: AtomicU64,
    used: AtomicU64,
    peak: AtomicU64,
}

impl Ledger {
    /// A ledger that lets at most `limit` bytes be booked at a time.
    pub fn new(limit: u64) -> Self {
        Ledger(Arc::new(Counters { limit: limit.into(), used: 0.into(), peak: 0.into() }))
    }

    /// The most bytes that can be booked at a time.
    pub fn limit(&self) -> u64 {
        self.0.limit.load(Relaxed)
    }

    /// Changes the limit; what is booked stays booked.
    pub fn set_limit(&self, limit: u64) {
        self.0.limit.store(limit, Relaxed);
    }

    /// The bytes booked now.
    pub fn used(&self) -> u64 {
        self.0.used.load(Relaxed)
    }

    /// The most bytes that were booked at any time since [`Ledger::reset_peak`].
    pub fn peak(&self) -> u64 {
        self.0.peak.load(Relaxed)
    }

    /// Starts the peak anew, at what is booked now.
    pub fn reset_peak(&self) {
        self.0.peak.store(self.used(), Relaxed);
    }

    /// Books `bytes`.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`] where that would pass the limit; nothing is booked then.
    pub fn book(&self, bytes: u64) -> Result<Booking> {
        let limit = self.limit();
        let before = self
            .0
            .used
            .fetch_update(Relaxed, Relaxed, |used| used.checked_add(bytes).filter(|after| *after <= limit))
            .map_err(|used| Error::new(ErrorKind::OutOfMemory, format!("{bytes} bytes do not fit: {used} of {limit} are booked")))?;
        self.0.peak.fetch_max(before + bytes, Relaxed);
        Ok(Booking { ledger: self.clone(), bytes })
    }
}

/// Bytes that are booked in a [`Ledger`] until this is dropped.
#[derive(Debug)]
pub struct Booking {
    ledger: Ledger,
    bytes: u64,
}

impl Booking {
    /// The bytes that this holds.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives back all but `bytes`.
    pub fn shrink(&mut self, bytes: u64) {
        if bytes < self.bytes {
            self.ledger.0.used.fetch_sub(self.bytes - bytes, Relaxed);
            self.bytes = bytes;
        }
    }
}

impl Drop for Booking {
    fn drop(&mut self) {
        self.ledger.0.used.fetch_sub(self.bytes, Relaxed);
    }
}
