//! What a task runs.

use super::{Keeper, Keeping, KeptLog, Value};
use crate::{Error, ErrorKind, Result};
use chunkstore_store::{Arena, Booking, BufferMut};
use parking_lot::Mutex;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// What a task runs: a pure function of its inputs and of the number of its block.
///
/// An operator is **portable** if it is registered by name and its parameters are bytes; a closure is not.
pub trait Operator: Send + Sync + 'static {
    /// The name under which it is registered and shown.
    fn name(&self) -> &str;

    /// The version of its meaning; equal names and parameters of different versions have different keys.
    fn version(&self) -> u32 {
        1
    }

    /// Its parameters, canonically encoded; `None` for a closure.
    fn parameters(&self) -> Option<Vec<u8>>;

    /// Computes one block. Inputs stand in the order of [`super::Layer::dependencies`].
    ///
    /// # Errors
    /// Whatever the operator meets; the error ends the run.
    fn run(&self, task: &TaskContext<'_>, inputs: &[Value]) -> Result<Value>;

    /// A readable name of the task that makes `block`, where the operator knows a better one than its own.
    fn task_name(&self, block: u32) -> Option<String> {
        let _ = block;
        None
    }
}

/// How often an allocation that has been booked, and finds no memory, looks again, and how long it waits in between.
const PATIENCE: u32 = 2000;
const PAUSE: Duration = Duration::from_micros(100);

/// Takes memory that is booked already. Another thread may still be giving back, outside the lock, what the policy has dropped;
/// that is a matter of less than a millisecond as a rule.
pub(crate) fn patiently<T>(take: impl Fn() -> Result<T>) -> Result<T> {
    for _ in 0..PATIENCE {
        match take() {
            Err(error) if error.kind() == ErrorKind::OutOfMemory => std::thread::sleep(PAUSE),
            taken => return taken,
        }
    }
    take()
}

/// What a running task may use.
pub struct TaskContext<'a> {
    block: u32,
    arena: &'a Arena,
    cancelled: &'a AtomicBool,
    allowance: Option<&'a Allowance<'a>>,
    run: Option<(&'a Arc<AtomicBool>, &'a SpillRoom)>,
    keeper: Option<&'a dyn Keeper>,
}

/// Where on disk a run may put what does not fit in memory.
#[derive(Clone, Debug, Default)]
pub(crate) struct SpillRoom {
    /// The folder, where the user named one.
    pub(crate) folder: Option<PathBuf>,
    /// The most bytes that the user allows there.
    pub(crate) quota: Option<u64>,
}

/// Whether a run has been cancelled, for what outlives a task's context.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cancellation(Option<Arc<AtomicBool>>);

impl Cancellation {
    /// # Errors
    /// Cancelled, if the run has been.
    #[inline]
    pub(crate) fn check(&self) -> Result<()> {
        match &self.0 {
            Some(flag) if flag.load(Relaxed) => Err(Error::new(ErrorKind::Cancelled, "the computation was cancelled")),
            _ => Ok(()),
        }
    }
}

/// How much a task was booked for, and whom it asks for more.
pub(crate) struct Allowance<'a> {
    taken: AtomicU64,
    booked: AtomicU64,
    grow: &'a (dyn Fn(u64) -> bool + Sync),
    refused: AtomicBool,
    /// What is held outside of counted memory, until the task ends.
    claims: Mutex<Vec<Booking>>,
}

impl<'a> Allowance<'a> {
    /// `booked` bytes, and `grow` to ask for so many more: granted at once, or not at all.
    pub(crate) fn new(booked: u64, grow: &'a (dyn Fn(u64) -> bool + Sync)) -> Self {
        Allowance { taken: 0.into(), booked: booked.into(), grow, refused: false.into(), claims: Mutex::default() }
    }

    /// All that the task has asked for, where it was refused some of it.
    pub(crate) fn refused(&self) -> Option<u64> {
        self.refused.load(Relaxed).then(|| self.taken.load(Relaxed))
    }

    fn take(&self, bytes: u64) -> Result<()> {
        let taken = self.taken.fetch_add(bytes, Relaxed).saturating_add(bytes);
        let booked = self.booked.load(Relaxed);
        if taken <= booked {
            return Ok(());
        }
        if !self.refused.load(Relaxed) && (self.grow)(taken - booked) {
            self.booked.fetch_add(taken - booked, Relaxed);
            return Ok(());
        }
        self.refused.store(true, Relaxed);
        Err(Error::new(
            ErrorKind::OutOfMemory,
            format!("{taken} bytes are needed, {booked} were booked, and there is no room for more now"),
        ))
    }
}

impl<'a> TaskContext<'a> {
    /// The context of the task that makes `block`.
    pub fn new(block: u32, arena: &'a Arena, cancelled: &'a AtomicBool) -> Self {
        TaskContext { block, arena, cancelled, allowance: None, run: None, keeper: None }
    }

    /// The same, as a part of a run that `cancelled` ends.
    pub(crate) fn in_run(self, cancelled: &'a Arc<AtomicBool>, room: &'a SpillRoom) -> Self {
        TaskContext { run: Some((cancelled, room)), ..self }
    }

    /// The same, where logs are kept for a run that goes on with this one.
    pub(crate) fn kept_by(self, keeper: Option<&'a dyn Keeper>) -> Self {
        TaskContext { keeper, ..self }
    }

    /// Where a log is kept, if it is.
    pub(crate) fn keep(&self, log: &KeptLog) -> Option<Arc<dyn Keeping>> {
        self.keeper.and_then(|keeper| keeper.keep(log))
    }

    /// Where on disk it may put what does not fit in memory.
    pub(crate) fn room(&self) -> SpillRoom {
        self.run.map(|(_, room)| room.clone()).unwrap_or_default()
    }

    /// Whether the run has been cancelled, for what is looked at after this context is gone.
    pub(crate) fn cancellation(&self) -> Cancellation {
        self.run.map(|(flag, _)| Cancellation(Some(flag.clone()))).unwrap_or_default()
    }

    /// The same, with a limit on what it may take.
    pub(crate) fn limited(self, allowance: &'a Allowance<'a>) -> Self {
        TaskContext { allowance: Some(allowance), ..self }
    }

    /// The same task's context for making another block, of an operator that runs as part of this one.
    pub fn for_block(&self, block: u32) -> TaskContext<'a> {
        TaskContext { block, ..*self }
    }

    /// The number of the block that this task makes.
    pub fn block(&self) -> u32 {
        self.block
    }

    /// A counted buffer of `len` bytes, 64-byte aligned, of any content; outputs and scratch come from here.
    ///
    /// # Errors
    /// Out of memory where more is asked for than the operator stated, and there is no room for it.
    pub fn alloc(&self, len: usize) -> Result<BufferMut> {
        match self.allowance {
            Some(allowance) => {
                allowance.take(Arena::footprint(len))?;
                patiently(|| Ok(self.arena.alloc(len)?))
            }
            None => Ok(self.arena.alloc(len)?),
        }
    }

    /// Asks for `bytes` of counted memory, which the task then takes from [`TaskContext::arena`] itself.
    ///
    /// # Errors
    /// Out of memory where more is asked for than the operator stated, and there is no room for it: the task then runs again with what it asked for.
    pub(crate) fn reserve(&self, bytes: u64) -> Result<()> {
        match self.allowance {
            Some(allowance) if bytes > 0 => allowance.take(bytes),
            _ => Ok(()),
        }
    }

    /// Books `bytes` that the task holds outside of counted memory until it ends, such as a copy that a function of the user's takes.
    ///
    /// # Errors
    /// Out of memory where more is asked for than the operator stated, and there is no room for it: the task then runs again with what it asked for.
    pub(crate) fn claim(&self, bytes: u64) -> Result<()> {
        self.reserve(bytes)?;
        match self.allowance {
            Some(allowance) if bytes > 0 => {
                let booking = patiently(|| Ok(self.arena.ledger().book(bytes)?))?;
                allowance.claims.lock().push(booking);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The bytes that the task was booked for, output and scratch, where it is one of a run.
    pub(crate) fn booked(&self) -> Option<u64> {
        self.allowance.map(|allowance| allowance.booked.load(Relaxed))
    }

    /// Where [`TaskContext::alloc`] takes buffers from.
    pub fn arena(&self) -> &'a Arena {
        self.arena
    }

    /// Whether the run has been cancelled, for tasks that take long.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Relaxed)
    }
}
