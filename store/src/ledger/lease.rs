//! What an engine may book, so that the whole process keeps its memory bound.

use super::counter::{Counters, Ledger};
use super::{external_bytes, resident_bytes, trim_heap};
use crate::{Error, ErrorKind, Result};
use parking_lot::Mutex;
use std::sync::Weak;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The ledgers of the engines of this process; one whose last booking has ended drops out.
static LEASES: Mutex<Vec<Weak<Counters>>> = Mutex::new(Vec::new());

/// The least that a lease must leave to be booked.
const LEAST: u64 = 1 << 20;

/// What the bound leaves unused for what nobody books: the allocator's and the kernel's slack.
const MARGIN: u64 = 16 << 20;

/// A ledger whose limit is what the memory bound of an engine leaves.
///
/// For a bound M that is M - max(16 MiB, 5 % of M) - base - external. *Base* is what was resident when the engine
/// opened and is counted nowhere else: the program, its stacks, its heap. *External* are the arrays of the user that
/// are registered at the time ([`External`](crate::External)). Where several engines are open in one process,
/// what one has booked is no part of the base of another, and the process as a whole keeps the sum of their bounds.
///
/// The memory of an array that was resident when the engine opened and is registered only later counts twice,
/// until [`Lease::remeasure`] is called while nothing is booked.
#[derive(Debug)]
pub struct Lease {
    ledger: Ledger,
    memory: AtomicU64,
    base: AtomicU64,
    /// The base when it was last measured by [`Lease::remeasure`].
    settled: AtomicU64,
}

impl Ledger {
    /// Leases memory for an engine that is to keep the whole process within `memory` bytes.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`] where `memory` leaves nothing; the message says how much it takes at least.
    pub fn lease(memory: u64) -> Result<Lease> {
        let mut leases = LEASES.lock();
        leases.retain(|lease| lease.strong_count() > 0);
        let base = trimmed_base(&leases, 0)?;
        let external = external_bytes();
        let limit = limit_of(memory, base, external)?;
        let ledger = Ledger::leased(limit + external);
        leases.push(ledger.counters());
        Ok(Lease { ledger, memory: memory.into(), base: base.into(), settled: base.into() })
    }
}

impl Lease {
    /// The ledger of this lease.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The bound that the whole process keeps.
    pub fn memory(&self) -> u64 {
        self.memory.load(Relaxed)
    }

    /// The limit that the ledger would have with another bound, by what was measured last.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`] where that bound leaves nothing.
    pub fn limit_with(&self, memory: u64) -> Result<u64> {
        limit_of(memory, self.base(), external_bytes())
    }

    /// The least bound with which the ledger's limit would be this, by what was measured last: what [`Lease::limit_with`] undoes.
    pub fn memory_for(&self, limit: u64) -> u64 {
        memory_for(self.base().saturating_add(external_bytes()).saturating_add(limit))
    }

    /// Changes the bound; returns the new limit of the ledger. What is booked stays booked: it is for whoever booked it to give back what is
    /// beyond the limit.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`] where the bound leaves nothing; the lease stays as it was then.
    pub fn set_memory(&self, memory: u64) -> Result<u64> {
        let _leases = LEASES.lock();
        let external = external_bytes();
        let limit = limit_of(memory, self.base(), external)?;
        self.memory.store(memory, Relaxed);
        self.ledger.set_limit(limit + external);
        Ok(limit)
    }

    /// What was resident when it was measured, and is neither booked nor registered.
    pub fn base(&self) -> u64 {
        self.base.load(Relaxed)
    }

    /// What is left unused.
    pub fn margin(&self) -> u64 {
        margin(self.memory())
    }

    /// Measures the base again, for instance before a run starts, and returns the new limit of the ledger.
    ///
    /// A base that has grown is taken over. One that has shrunk is so as far as it is sure while anything is booked: memory that is booked
    /// and not touched yet would look like memory that the program gave back, so that all that is booked is taken to be untouched.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`] where the bound leaves nothing any more; the ledger stays as it was then.
    pub fn remeasure(&self) -> Result<u64> {
        let leases = LEASES.lock();
        let idle = booked(&leases) == 0;
        let now = trimmed_base(&leases, self.base())?;
        let external = external_bytes();
        let most = resident_bytes().saturating_sub(external);
        let base = if idle { now } else { now.max(self.base().min(most)) };
        let limit = limit_of(self.memory(), base, external)?;
        self.settled.store(base, Relaxed);
        self.base.store(base, Relaxed);
        self.ledger.set_limit(limit + external);
        Ok(limit)
    }

    /// Measures the base while work is under way, for which the ledger is to keep a limit of at least `least`; false where that would not be kept, and all
    /// stays as it was.
    ///
    /// A base that has grown is taken over, though what has grown may be memory that tasks hold for the moment. So it shrinks again, though not below what
    /// was measured last without any work, or below what it is where `untouched` of what is booked is not in memory yet. Buffers that are just being filled
    /// are for the caller to count among these, or for the margin.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] where the system does not tell how much memory the process uses.
    pub fn remeasure_under_way(&self, untouched: u64, least: u64) -> Result<bool> {
        let leases = LEASES.lock();
        let now = trimmed_base(&leases, self.base())?;
        let external = external_bytes();
        let surely = self.settled.load(Relaxed).max(now.saturating_add(untouched));
        let base = now.max(self.base().min(surely));
        match limit_of(self.memory(), base, external) {
            Ok(limit) if limit >= least => {
                self.base.store(base, Relaxed);
                self.ledger.set_limit(limit + external);
                Ok(true)
            }
            _ => Ok(false),
        }
    }
}

fn booked(leases: &[Weak<Counters>]) -> u64 {
    leases.iter().filter_map(Weak::upgrade).map(|counters| counters.used()).sum()
}

/// As [`base`]; where that is much more than what was `known`, what the allocator keeps of freed memory is given back first.
fn trimmed_base(leases: &[Weak<Counters>], known: u64) -> Result<u64> {
    let now = base(leases)?;
    if now <= known.saturating_add(MARGIN / 2) {
        return Ok(now);
    }
    trim_heap();
    base(leases)
}

/// What is resident and neither booked in a lease nor registered.
fn base(leases: &[Weak<Counters>]) -> Result<u64> {
    match resident_bytes() {
        0 => Err(Error::new(ErrorKind::Unsupported, "cannot tell how much memory this process uses").hint("mount /proc")),
        resident => Ok(resident.saturating_sub(booked(leases)).saturating_sub(external_bytes())),
    }
}

fn margin(memory: u64) -> u64 {
    MARGIN.max(memory / 20)
}

/// The least bound that leaves `need` bytes beside the margin.
fn memory_for(need: u64) -> u64 {
    need.saturating_add(MARGIN).max(need.saturating_add(need.saturating_sub(1) / 19))
}

fn limit_of(memory: u64, base: u64, external: u64) -> Result<u64> {
    let taken = base.saturating_add(external);
    let limit = memory.saturating_sub(margin(memory)).saturating_sub(taken);
    if limit >= LEAST {
        return Ok(limit);
    }
    let least = memory_for(taken.saturating_add(LEAST));
    let message = format!(
        "a memory bound of {memory} bytes is too small: the process itself takes {base}, arrays of yours {external}, \
         and {} are left unused",
        margin(memory)
    );
    Err(Error::new(ErrorKind::OutOfMemory, message).hint(format!("allow at least {least} bytes")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::External;

    #[test]
    fn the_limit_is_what_the_bound_leaves() {
        let lease = Ledger::lease(1 << 40).unwrap();
        assert!(lease.base() > 0 && lease.base() < 8 << 30);
        assert_eq!(lease.margin(), (1u64 << 40) / 20);
        // Other tests register external memory at the same time.
        let most = (1u64 << 40) - lease.margin() - lease.base();
        assert!(lease.ledger().limit() <= most && lease.ledger().limit() > most - (1 << 34));
        let external = External::register(1 << 36);
        assert!(lease.ledger().limit() <= most - (1 << 36));
        drop(external);
        assert!(lease.ledger().limit() > most - (1 << 36));
        assert!(lease.remeasure().unwrap() <= 1 << 40);
    }

    #[test]
    fn what_the_program_holds_is_seen_while_work_is_under_way() {
        let lease = Ledger::lease(1 << 40).unwrap();
        let (limit, base) = (lease.ledger().limit(), lease.base());
        let held = vec![1u8; 512 << 20];
        assert!(!lease.remeasure_under_way(0, 1 << 40).unwrap() && lease.base() == base, "so much cannot be kept");
        assert!(lease.remeasure_under_way(0, 1 << 30).unwrap());
        // Other tests take and give at the same time.
        assert!(lease.base() > base + (256 << 20) && lease.ledger().limit() < limit, "{} {base}", lease.base());
        drop(held);
        assert!(lease.remeasure_under_way(1 << 39, 1 << 30).unwrap() && lease.base() > base + (256 << 20), "it may be untouched");
        assert!(lease.remeasure_under_way(0, 1 << 30).unwrap());
        assert!(lease.base() < base + (256 << 20), "{} {base}", lease.base());
    }

    #[test]
    fn a_bound_can_be_changed() {
        let lease = Ledger::lease(1 << 40).unwrap();
        let wide = lease.ledger().limit();
        assert!(lease.limit_with(1 << 39).unwrap() < wide && lease.ledger().limit() > 1 << 39);
        lease.set_memory(1 << 39).unwrap();
        assert!(lease.memory() == 1 << 39 && lease.ledger().limit() < 1 << 39);
        assert!(lease.set_memory(1 << 20).is_err());
        assert_eq!(lease.memory(), 1 << 39);
    }

    #[test]
    fn too_small_a_bound_says_how_much_it_takes() {
        let error = Ledger::lease(1 << 20).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
        assert!(error.to_string().contains("at least"), "{error}");
        for (base, external) in [(0, 0), (1 << 20, 0), (1 << 30, 1 << 20), (1 << 40, 1 << 41), (318_767_103, 1)] {
            let text = limit_of(0, base, external).unwrap_err().to_string();
            let least: u64 = text.split("at least ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
            assert!(limit_of(least, base, external).unwrap() >= LEAST);
            assert!(limit_of(least - 1, base, external).is_err());
        }
    }
}
