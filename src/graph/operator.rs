//! What a task runs.

use super::allowance::{Allowance, Holding};
use super::spill_room::SpillRoom;
use super::{Keeper, Keeping, KeptLog, Value};
use crate::{Error, ErrorKind, Result};
use chunkstore_store::{Arena, BufferMut};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
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
    allowance: Option<&'a Arc<Allowance>>,
    run: Option<(&'a Arc<AtomicBool>, &'a SpillRoom)>,
    keeper: Option<&'a dyn Keeper>,
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
    pub(crate) fn limited(self, allowance: &'a Arc<Allowance>) -> Self {
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
        self.allowance.map_or(Ok(()), |allowance| allowance.claim(self.arena.ledger(), bytes))
    }

    /// What the task will hold outside of counted memory, by and by. It outlives this context, so that streams can have it.
    pub(crate) fn holding(&self) -> Holding {
        Holding::new(self.allowance.map(|allowance| (allowance.clone(), self.arena.ledger().clone())))
    }

    /// The bytes that the task was booked for, output and scratch, where it is one of a run.
    pub(crate) fn booked(&self) -> Option<u64> {
        self.allowance.map(|allowance| allowance.booked())
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
