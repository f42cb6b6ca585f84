//! The state of one kept value.
//!
//! ```text
//!             take_for_write            finish_write            drop_resident
//!   Dirty ------------------> Writing --------------> Clean ------------------> OnDisk
//!     ^        fail_write        |                      ^      finish_load        |  take_for_load
//!     +--------------------------+                      +-------- Loading <-------+
//!                                                                    |  fail_load ^
//!                                                                    +------------+
//! ```
//!
//! | state | value in memory | slot on disk | I/O under way |
//! |---|---|---|---|
//! | Dirty | yes | no | no |
//! | Writing | yes | not yet | a write |
//! | Clean | yes | yes | no |
//! | OnDisk | no | yes | no |
//! | Loading | not yet | yes | a load |
//! | Doomed | no | no | one whose result nobody wants any more |
//!
//! A slot, once there, stays until the value is forgotten: a value is written at most once. Nothing here does I/O or
//! drops a value or a slot: what is left over is handed out, to be dropped where no lock is held.

use crate::Slot;
use std::sync::Arc;

/// Where a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Residence {
    /// Nowhere: it was never kept, or is forgotten.
    Absent,
    /// In memory only.
    Dirty,
    /// In memory, and being written.
    Writing,
    /// In memory and on disk.
    Clean,
    /// On disk only.
    OnDisk,
    /// On disk, and being read.
    Loading,
    /// Forgotten while it was being written or read; the end of that is awaited.
    Doomed,
}

impl Residence {
    /// Whether the value can be had without I/O.
    pub fn in_memory(self) -> bool {
        matches!(self, Residence::Dirty | Residence::Writing | Residence::Clean)
    }
}

/// What a transition leaves over: drop it where no lock is held, as memory is unmapped and room on disk freed then.
#[derive(Debug)]
#[must_use = "drop it outside of locks"]
pub struct Left<V> {
    /// A value that is no longer kept in memory.
    pub value: Option<V>,
    /// A slot that is no longer needed.
    pub slot: Option<Arc<Slot>>,
}

impl<V> Left<V> {
    /// Nothing.
    pub(super) fn nothing() -> Self {
        Left { value: None, slot: None }
    }

    /// Whether there is nothing.
    pub fn is_nothing(&self) -> bool {
        self.value.is_none() && self.slot.is_none()
    }
}

/// One kept value.
#[derive(Debug)]
pub(super) enum Entry<V> {
    Dirty(V),
    Writing(V),
    Clean(V, Arc<Slot>),
    OnDisk(Arc<Slot>),
    Loading(Arc<Slot>),
    Doomed,
}

/// What a transition needs: the next state, and what it gives or leaves. `Err` where the state does not allow it.
type Next<V, T> = Result<(Option<Entry<V>>, T), Entry<V>>;

impl<V: Clone> Entry<V> {
    pub(super) fn residence(&self) -> Residence {
        match self {
            Entry::Dirty(_) => Residence::Dirty,
            Entry::Writing(_) => Residence::Writing,
            Entry::Clean(..) => Residence::Clean,
            Entry::OnDisk(_) => Residence::OnDisk,
            Entry::Loading(_) => Residence::Loading,
            Entry::Doomed => Residence::Doomed,
        }
    }

    pub(super) fn value(&self) -> Option<&V> {
        match self {
            Entry::Dirty(value) | Entry::Writing(value) | Entry::Clean(value, _) => Some(value),
            _ => None,
        }
    }

    pub(super) fn slot(&self) -> Option<&Arc<Slot>> {
        match self {
            Entry::Clean(_, slot) | Entry::OnDisk(slot) | Entry::Loading(slot) => Some(slot),
            _ => None,
        }
    }

    pub(super) fn take_for_write(self) -> Next<V, V> {
        match self {
            Entry::Dirty(value) => Ok((Some(Entry::Writing(value.clone())), value)),
            other => Err(other),
        }
    }

    pub(super) fn finish_write(self, slot: Slot) -> (Option<Self>, Left<V>) {
        let slot = Arc::new(slot);
        match self {
            Entry::Writing(value) => (Some(Entry::Clean(value, slot)), Left::nothing()),
            Entry::Doomed => (None, Left { value: None, slot: Some(slot) }),
            other => (Some(other), Left { value: None, slot: Some(slot) }),
        }
    }

    pub(super) fn fail_write(self) -> Option<Self> {
        match self {
            Entry::Writing(value) => Some(Entry::Dirty(value)),
            Entry::Doomed => None,
            other => Some(other),
        }
    }

    pub(super) fn take_for_load(self) -> Next<V, Arc<Slot>> {
        match self {
            Entry::OnDisk(slot) => Ok((Some(Entry::Loading(Arc::clone(&slot))), slot)),
            other => Err(other),
        }
    }

    pub(super) fn finish_load(self, value: V) -> (Option<Self>, Left<V>) {
        match self {
            Entry::Loading(slot) => (Some(Entry::Clean(value, slot)), Left::nothing()),
            Entry::Doomed => (None, Left { value: Some(value), slot: None }),
            other => (Some(other), Left { value: Some(value), slot: None }),
        }
    }

    pub(super) fn fail_load(self) -> Option<Self> {
        match self {
            Entry::Loading(slot) => Some(Entry::OnDisk(slot)),
            Entry::Doomed => None,
            other => Some(other),
        }
    }

    pub(super) fn drop_resident(self) -> Next<V, V> {
        match self {
            Entry::Clean(value, slot) => Ok((Some(Entry::OnDisk(slot)), value)),
            other => Err(other),
        }
    }

    pub(super) fn forget(self) -> (Option<Self>, Left<V>) {
        match self {
            Entry::Dirty(value) => (None, Left { value: Some(value), slot: None }),
            Entry::Writing(value) => (Some(Entry::Doomed), Left { value: Some(value), slot: None }),
            Entry::Clean(value, slot) => (None, Left { value: Some(value), slot: Some(slot) }),
            Entry::OnDisk(slot) => (None, Left { value: None, slot: Some(slot) }),
            Entry::Loading(slot) => (Some(Entry::Doomed), Left { value: None, slot: Some(slot) }),
            Entry::Doomed => (Some(Entry::Doomed), Left::nothing()),
        }
    }
}
