//! Who appends: a task in one of its attempts, or nobody in particular.

use crate::{Error, ErrorKind, Result};

/// What entries belong to. The numbers are on disk; they also order the entries of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(super) enum Kind {
    /// A value that a partition has once; the task is the partition.
    Set = 0,
    /// A task.
    Task = 1,
    /// Nobody: never replaced by others.
    Loose = 2,
}

impl Kind {
    pub(super) fn from_code(code: u8) -> Result<Kind> {
        let kinds = [Kind::Set, Kind::Task, Kind::Loose];
        kinds.get(usize::from(code)).copied().ok_or_else(|| Error::new(ErrorKind::Corrupt, format!("there is no kind of entries {code}")))
    }
}

/// Who appends to an append log: a task, and the how-manieth attempt of it this is.
///
/// What an attempt appends becomes visible when it is committed, all at once. Of the committed attempts of one task the one with
/// the highest number counts, in all partitions; among equal numbers, the one that was committed last. So a task that is
/// repeated replaces itself.
///
/// [`Attempt::none`] is for those who have no tasks: what it appends is visible at once, and replaced by nothing. It also
/// comes from `()`, a task in its first attempt from a number, and any other from a pair of numbers.
///
/// ```
/// use chunkstore_store::Attempt;
/// assert_eq!(Attempt::from(7), Attempt::new(7, 0));
/// assert_eq!(Attempt::from((7, 1)).attempt(), 1);
/// assert_eq!(Attempt::from(()).task(), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Attempt {
    pub(super) kind: Kind,
    pub(super) task: u64,
    pub(super) attempt: u32,
}

impl Attempt {
    /// The attempt number `attempt` of a task.
    pub fn new(task: u64, attempt: u32) -> Self {
        Attempt { kind: Kind::Task, task, attempt }
    }

    /// No task: visible at once, never replaced.
    pub fn none() -> Self {
        Attempt { kind: Kind::Loose, task: 0, attempt: 0 }
    }

    pub(super) fn set(partition: u32) -> Self {
        Attempt { kind: Kind::Set, task: partition.into(), attempt: 0 }
    }

    /// The task, where there is one.
    pub fn task(self) -> Option<u64> {
        (self.kind == Kind::Task).then_some(self.task)
    }

    /// The number of the attempt; 0 where there is no task.
    pub fn attempt(self) -> u32 {
        self.attempt
    }
}

impl Default for Attempt {
    fn default() -> Self {
        Attempt::none()
    }
}

impl From<()> for Attempt {
    fn from((): ()) -> Self {
        Attempt::none()
    }
}

impl From<u64> for Attempt {
    fn from(task: u64) -> Self {
        Attempt::new(task, 0)
    }
}

impl From<(u64, u32)> for Attempt {
    fn from((task, attempt): (u64, u32)) -> Self {
        Attempt::new(task, attempt)
    }
}
