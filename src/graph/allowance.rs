//! How much memory a task may take, and whom it asks for more.

use super::operator::patiently;
use crate::{Error, ErrorKind, Result};
use chunkstore_store::{Booking, Ledger, trim_heap};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU32, AtomicU64,
    Ordering::{Acquire, Relaxed},
    fence,
};

/// Who gives memory to tasks beyond what they were booked for.
pub(crate) trait Grant: Send + Sync + 'static {
    /// Whether a task may have so many bytes more: granted at once, or not at all.
    fn grow(&self, task: u32, more: u64) -> bool;
}

/// How much a task was booked for, how much of it it has taken, and what it holds outside of counted memory.
pub(crate) struct Allowance {
    grant: Arc<dyn Grant>,
    task: AtomicU32,
    taken: AtomicU64,
    booked: AtomicU64,
    refused: AtomicBool,
    claims: Mutex<Claims>,
    /// The bytes of all claims.
    claimed: AtomicU64,
    /// Whether there may be something in `claims`, so that a task without any takes no lock.
    has_claims: AtomicBool,
    ended: AtomicBool,
}

/// What is held outside of counted memory.
#[derive(Default)]
struct Claims {
    bookings: Vec<Booking>,
    /// The bytes of these that nobody holds any more.
    spare: u64,
}

impl Allowance {
    /// For tasks that come one after the other.
    pub(crate) fn new(grant: Arc<dyn Grant>) -> Arc<Self> {
        Arc::new(Allowance {
            grant,
            task: 0.into(),
            taken: 0.into(),
            booked: 0.into(),
            refused: false.into(),
            claims: Mutex::default(),
            claimed: 0.into(),
            has_claims: false.into(),
            ended: true.into(),
        })
    }

    /// Begins a task that was booked for so many bytes.
    pub(crate) fn begin(this: &mut Arc<Self>, task: u32, booked: u64) {
        // Where somebody still holds that of a task before, that one is left to him. There are no weak references that could become one of these meanwhile.
        if Arc::strong_count(this) > 1 {
            *this = Allowance::new(this.grant.clone());
        }
        // What the last holder did comes before what follows.
        fence(Acquire);
        this.task.store(task, Relaxed);
        this.taken.store(0, Relaxed);
        this.booked.store(booked, Relaxed);
        this.refused.store(false, Relaxed);
        this.ended.store(false, Relaxed);
        if this.has_claims.load(Relaxed) {
            this.forget_claims();
        }
    }

    #[cold]
    fn forget_claims(&self) {
        let mut claims = self.claims.lock();
        *claims = Claims::default();
        self.claimed.store(0, Relaxed);
        self.has_claims.store(false, Relaxed);
    }

    /// The bytes that the task has booked outside of counted memory.
    pub(crate) fn claimed(&self) -> u64 {
        self.claimed.load(Relaxed)
    }

    /// Ends the task: what it held outside of counted memory is given back.
    pub(crate) fn end(&self) {
        self.ended.store(true, Relaxed);
        if self.has_claims.load(Relaxed) {
            self.forget_claims();
        }
    }

    /// All that the task has asked for at once, where it was refused some of it.
    pub(crate) fn refused(&self) -> Option<u64> {
        self.refused.load(Relaxed).then(|| self.taken.load(Relaxed).max(self.booked.load(Relaxed)))
    }

    /// What the task was booked for, with what it was granted since.
    pub(super) fn booked(&self) -> u64 {
        self.booked.load(Relaxed)
    }

    pub(super) fn take(&self, bytes: u64) -> Result<()> {
        let taken = self.taken.fetch_add(bytes, Relaxed).saturating_add(bytes);
        let booked = self.booked.load(Relaxed);
        if taken <= booked || self.ended.load(Relaxed) {
            return Ok(());
        }
        if !self.refused.load(Relaxed) && self.grant.grow(self.task.load(Relaxed), taken - booked) {
            self.booked.fetch_add(taken - booked, Relaxed);
            return Ok(());
        }
        self.refused.store(true, Relaxed);
        Err(Error::new(
            ErrorKind::OutOfMemory,
            format!("{taken} bytes are needed, {booked} were booked, and there is no room for more now"),
        ))
    }

    /// Gives back so many bytes of what is held outside of counted memory: the task may take them for something else.
    fn release(&self, mut bytes: u64) {
        let mut claims = self.claims.lock();
        while bytes > 0
            && let Some(booking) = claims.bookings.last_mut()
        {
            let all = booking.bytes();
            let given = all.min(bytes);
            booking.shrink(all - given);
            if given == all {
                claims.bookings.pop();
            }
            self.taken.fetch_sub(given, Relaxed);
            self.claimed.fetch_sub(given, Relaxed);
            bytes -= given;
        }
    }

    /// Books `bytes` that are held outside of counted memory until the task ends.
    pub(super) fn claim(&self, ledger: &Ledger, bytes: u64) -> Result<()> {
        if bytes == 0 {
            return Ok(());
        }
        self.take(bytes)?;
        let booking = patiently(|| Ok(ledger.book(bytes)?))?;
        let mut claims = self.claims.lock();
        if !self.ended.load(Relaxed) {
            claims.bookings.push(booking);
            self.has_claims.store(true, Relaxed);
            self.claimed.fetch_add(bytes, Relaxed);
        }
        Ok(())
    }
}

/// What a task holds outside of counted memory while something of its goes on: elements, and what is made of them.
///
/// It is asked for in steps, so that not every element asks, and given back when the task ends: until then what is no longer held is there to be held again.
pub(crate) struct Holding {
    from: Option<(Arc<Allowance>, Ledger)>,
    held: u64,
    claimed: u64,
}

/// Where so many bytes were held on the heap, it is trimmed when they are free.
pub(crate) const TRIMMED: u64 = 8 << 20;

/// The least that is asked for at a time.
const STEP: u64 = 64 << 10;

impl Holding {
    pub(super) fn new(from: Option<(Arc<Allowance>, Ledger)>) -> Self {
        Holding { from, held: 0, claimed: 0 }
    }

    /// Holds so many bytes more.
    ///
    /// # Errors
    /// Out of memory where there is no room for them: the task then runs again with what it asked for.
    #[inline]
    pub(crate) fn add(&mut self, bytes: u64) -> Result<()> {
        self.held = self.held.saturating_add(bytes);
        if self.held > self.claimed { self.claim() } else { Ok(()) }
    }

    /// Holds so many bytes less.
    #[inline]
    pub(crate) fn sub(&mut self, bytes: u64) {
        self.held = self.held.saturating_sub(bytes);
    }

    /// Holds so many bytes.
    ///
    /// # Errors
    /// As for [`Holding::add`].
    #[inline]
    pub(crate) fn set(&mut self, bytes: u64) -> Result<()> {
        self.held = bytes;
        self.add(0)
    }

    /// Holds nothing any more, and gives back what was asked for: the task may take it for something else.
    pub(crate) fn release(mut self) {
        if let Some((allowance, _)) = &self.from {
            if self.claimed >= TRIMMED {
                trim_heap();
            }
            allowance.release(self.claimed);
            self.claimed = 0;
        }
    }

    /// Goes on to hold what is held until the task ends: by what outlives this.
    pub(crate) fn keep(mut self) {
        self.claimed = 0;
    }

    /// The bytes that are held.
    pub(crate) fn held(&self) -> u64 {
        self.held
    }

    #[cold]
    fn claim(&mut self) -> Result<()> {
        let more = (self.held - self.claimed).max(self.claimed / 8).max(STEP);
        if let Some((allowance, ledger)) = &self.from {
            let spare = {
                let mut claims = allowance.claims.lock();
                let spare = claims.spare.min(more);
                claims.spare -= spare;
                spare
            };
            self.claimed = self.claimed.saturating_add(spare);
            if self.held <= self.claimed {
                return Ok(());
            }
            allowance.claim(ledger, more - spare)?;
            self.claimed = self.claimed.saturating_add(more - spare);
            return Ok(());
        }
        self.claimed = self.claimed.saturating_add(more);
        Ok(())
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        if let Some((allowance, _)) = &self.from {
            let mut claims = allowance.claims.lock();
            claims.spare = claims.spare.saturating_add(self.claimed);
            allowance.has_claims.store(true, Relaxed);
        }
    }
}
