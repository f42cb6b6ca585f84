//! A counter of booked bytes with a limit.

use super::external::external_bytes;
use crate::{Error, ErrorKind, Result};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// How often, and how long each time, who would pass the mark waits for others to give back what they are done with.
const PATIENCE: u32 = 400;
const PAUSE: Duration = Duration::from_micros(50);

/// Who holds booked memory that nobody uses, and can give it back.
pub(crate) trait Reclaim: Send + Sync {
    /// Gives back about `bytes`, or what there is; returns how much it was. Called without any lock of the ledger.
    fn reclaim(&self, bytes: u64) -> u64;
}

/// A counter of booked bytes with a limit. Clones share the counter.
///
/// A ledger made by [`Ledger::new`] stands alone; that of an engine comes from [`Ledger::lease`], and its limit
/// shrinks while memory is registered as [`External`](crate::External).
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

/// What is written by every booking stands on a cache line of its own.
#[repr(align(128))]
#[derive(Debug)]
struct Hot {
    used: AtomicU64,
    peak: AtomicU64,
}

pub(super) struct Counters {
    hot: Hot,
    limit: AtomicU64,
    /// What is not to be passed where waiting helps; everything where there is no mark.
    mark: AtomicU64,
    leased: bool,
    reclaimers: Mutex<Vec<Weak<dyn Reclaim>>>,
}

impl std::fmt::Debug for Counters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (used, peak) = (self.hot.used.load(Relaxed), self.hot.peak.load(Relaxed));
        f.debug_struct("Counters").field("limit", &self.limit).field("used", &used).field("peak", &peak).finish()
    }
}

impl Counters {
    pub(super) fn used(&self) -> u64 {
        self.hot.used.load(Relaxed)
    }
}

impl Ledger {
    /// A ledger that lets at most `limit` bytes be booked at a time.
    pub fn new(limit: u64) -> Self {
        Self::with(limit, false)
    }

    /// A ledger whose limit shrinks by what is registered as external.
    pub(super) fn leased(limit: u64) -> Self {
        Self::with(limit, true)
    }

    fn with(limit: u64, leased: bool) -> Self {
        let hot = Hot { used: 0.into(), peak: 0.into() };
        Ledger(Arc::new(Counters { hot, limit: limit.into(), mark: u64::MAX.into(), leased, reclaimers: Mutex::new(Vec::new()) }))
    }

    pub(super) fn counters(&self) -> Weak<Counters> {
        Arc::downgrade(&self.0)
    }

    /// The most bytes that can be booked at a time, now.
    pub fn limit(&self) -> u64 {
        let limit = self.0.limit.load(Relaxed);
        if self.0.leased { limit.saturating_sub(external_bytes()) } else { limit }
    }

    /// Changes the limit; what is booked stays booked. What is registered as external is taken off the limit of a lease.
    pub fn set_limit(&self, limit: u64) {
        self.0.limit.store(limit, Relaxed);
    }

    /// Sets a mark below the limit, or takes it away. What waits to be used again is given back before a booking passes the mark, and who would
    /// pass it waits a little for others to give back what they are done with. Where that does not help the mark is gone, and the limit holds.
    ///
    /// ```
    /// use chunkstore_store::{Arena, Ledger};
    /// let arena = Arena::new(Ledger::new(64 << 20));
    /// arena.ledger().set_mark(Some(6 << 20));
    /// drop(arena.alloc(4 << 20)?);
    /// let other = arena.alloc(3 << 20)?;
    /// assert_eq!((arena.idle(), arena.ledger().peak()), (0, 4 << 20));
    /// # Ok::<(), chunkstore_store::Error>(())
    /// ```
    pub fn set_mark(&self, mark: Option<u64>) {
        self.0.mark.store(mark.unwrap_or(u64::MAX), Relaxed);
    }

    /// The bytes booked now.
    pub fn used(&self) -> u64 {
        self.0.used()
    }

    /// The most bytes that were booked at any time since [`Ledger::reset_peak`].
    pub fn peak(&self) -> u64 {
        self.0.hot.peak.load(Relaxed)
    }

    /// Starts the peak anew, at what is booked now.
    pub fn reset_peak(&self) {
        self.0.hot.peak.store(self.used(), Relaxed);
    }

    /// Books `bytes`. Memory that waits to be used again is given back before this is refused.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`] where that would pass the limit; nothing is booked then.
    pub fn book(&self, bytes: u64) -> Result<Booking> {
        self.try_book(bytes).ok_or_else(|| self.refusal(bytes))
    }

    /// Books `bytes`, or nothing where that would pass the limit; as [`Ledger::book`], without the cost of an error.
    pub fn try_book(&self, bytes: u64) -> Option<Booking> {
        self.add(bytes).then(|| Booking { ledger: self.clone(), bytes })
    }

    /// Registers who can give memory back before a booking is refused.
    pub(crate) fn on_shortage(&self, reclaimer: Weak<dyn Reclaim>) {
        let mut reclaimers = self.0.reclaimers.lock();
        reclaimers.retain(|other| other.strong_count() > 0);
        reclaimers.push(reclaimer);
    }

    fn refusal(&self, bytes: u64) -> Error {
        let message = format!("{bytes} bytes do not fit: {} of {} are booked", self.used(), self.limit());
        Error::new(ErrorKind::OutOfMemory, message).hint("use smaller chunks, or allow more memory")
    }

    fn add(&self, bytes: u64) -> bool {
        self.add_within(bytes, self.limit().min(self.0.mark.load(Relaxed))) || self.add_after_reclaim(bytes)
    }

    fn add_within(&self, bytes: u64, limit: u64) -> bool {
        let hot = &self.0.hot;
        let fits = |used: u64| used.checked_add(bytes).filter(|after| *after <= limit);
        let Ok(before) = hot.used.fetch_update(Relaxed, Relaxed, fits) else { return false };
        if hot.peak.load(Relaxed) < before + bytes {
            hot.peak.fetch_max(before + bytes, Relaxed);
        }
        true
    }

    #[cold]
    fn add_after_reclaim(&self, bytes: u64) -> bool {
        let mark = self.0.mark.load(Relaxed);
        if mark < self.limit() {
            for _ in 0..PATIENCE {
                if self.reclaim_within(bytes, || mark) {
                    return true;
                }
                std::thread::sleep(PAUSE);
            }
            // What is in use is more than was foretold: nobody else is to wait for it.
            let _ = self.0.mark.compare_exchange(mark, u64::MAX, Relaxed, Relaxed);
        }
        self.reclaim_within(bytes, || self.limit())
    }

    fn reclaim_within(&self, bytes: u64, limit: impl Fn() -> u64) -> bool {
        // Others may take what was given back, so go on for as long as there is something.
        loop {
            let (used, limit) = (self.used(), limit());
            let missing = bytes.saturating_sub(limit.saturating_sub(used));
            if bytes > limit || (missing > 0 && self.reclaim(missing) == 0) {
                return self.add_within(bytes, limit);
            }
            if self.add_within(bytes, limit) {
                return true;
            }
        }
    }

    fn reclaim(&self, bytes: u64) -> u64 {
        let reclaimers: Vec<_> = self.0.reclaimers.lock().iter().filter_map(Weak::upgrade).collect();
        let mut back = 0;
        for reclaimer in reclaimers {
            if back >= bytes {
                break;
            }
            back += reclaimer.reclaim(bytes - back);
        }
        back
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
            self.ledger.0.hot.used.fetch_sub(self.bytes - bytes, Relaxed);
            self.bytes = bytes;
        }
    }

    /// Books `more` bytes in addition, at once or not at all.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`] where that would pass the limit; this stays as it was then.
    pub fn grow(&mut self, more: u64) -> Result<()> {
        if !self.ledger.add(more) {
            return Err(self.ledger.refusal(more));
        }
        self.bytes += more;
        Ok(())
    }

    /// Takes up to `bytes` off into a booking of their own.
    pub fn split(&mut self, bytes: u64) -> Booking {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        Booking { ledger: self.ledger.clone(), bytes }
    }

    /// Takes over what another booking of the same ledger holds; one of another ledger ends.
    pub(crate) fn join(&mut self, mut other: Booking) {
        if Arc::ptr_eq(&self.ledger.0, &other.ledger.0) {
            self.bytes += std::mem::take(&mut other.bytes);
        }
    }
}

impl Drop for Booking {
    fn drop(&mut self) {
        self.ledger.0.hot.used.fetch_sub(self.bytes, Relaxed);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn bookings_grow_shrink_and_split() {
        let ledger = Ledger::new(100);
        let mut booking = ledger.book(40).unwrap();
        booking.grow(60).unwrap();
        assert_eq!(booking.grow(1).unwrap_err().kind(), ErrorKind::OutOfMemory);
        assert!(ledger.try_book(1).is_none());
        let part = booking.split(30);
        assert_eq!((booking.bytes(), part.bytes(), ledger.used()), (70, 30, 100));
        booking.shrink(10);
        assert_eq!(ledger.used(), 40);
        drop(part);
        drop(booking);
        assert_eq!((ledger.used(), ledger.peak()), (0, 100));
        ledger.reset_peak();
        assert_eq!(ledger.peak(), 0);
    }

    #[test]
    fn refuses_what_overflows() {
        let ledger = Ledger::new(u64::MAX);
        let _one = ledger.book(1).unwrap();
        assert!(ledger.book(u64::MAX).is_err());
        assert_eq!(ledger.used(), 1);
    }

    struct Holder(Mutex<Vec<Booking>>);

    impl Reclaim for Holder {
        fn reclaim(&self, _: u64) -> u64 {
            self.0.lock().pop().map_or(0, |booking| booking.bytes())
        }
    }

    #[test]
    fn idle_memory_is_given_back_before_a_booking_is_refused() {
        let ledger = Ledger::new(100);
        let holder: Arc<dyn Reclaim> = Arc::new(Holder(Mutex::new((0..5).map(|_| ledger.book(10).unwrap()).collect())));
        ledger.on_shortage(Arc::downgrade(&holder));
        let first = ledger.book(70).unwrap();
        assert_eq!(ledger.used(), 100);
        assert!(ledger.book(101).is_err());
        assert_eq!(ledger.used(), 100, "what can never fit drains nothing");
        drop(first);
        assert!(ledger.book(100).is_ok());
    }

    #[test]
    fn threads_never_pass_the_limit() {
        let ledger = Ledger::new(1000);
        std::thread::scope(|scope| {
            for thread in 1..=4u64 {
                let ledger = ledger.clone();
                scope.spawn(move || {
                    let mut held = Vec::new();
                    for step in 0..5000u64 {
                        held.extend(ledger.try_book(thread * 37 + step % 211));
                        assert!(ledger.used() <= 1000);
                        if step % 3 == 0 {
                            held.clear();
                        }
                    }
                });
            }
        });
        assert_eq!(ledger.used(), 0);
        assert!(ledger.peak() <= 1000);
    }
}
