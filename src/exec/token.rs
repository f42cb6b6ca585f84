//! A handle to one run, by which that run alone is cancelled, before it has begun or while it is under way.

use super::Core;
use crate::policy::RunId;
use crate::{Error, ErrorKind, Result};
use parking_lot::Mutex;
use std::sync::{Arc, Weak};

/// Cancels one computation.
#[derive(Default)]
pub(crate) struct RunToken(Mutex<Token>);

#[derive(Default)]
struct Token {
    cancelled: bool,
    run: Option<(Weak<Core>, RunId)>,
}

impl RunToken {
    /// Ends the run that is under way, or keeps one from beginning.
    pub(crate) fn cancel(&self) {
        let mut token = self.0.lock();
        token.cancelled = true;
        if let Some((core, id)) = &token.run
            && let Some(core) = core.upgrade()
        {
            core.cancel(*id);
        }
    }

    /// The error of what has been cancelled.
    pub(crate) fn check(&self) -> Result<()> {
        match self.0.lock().cancelled {
            true => Err(Error::new(ErrorKind::Cancelled, "the run was cancelled")),
            false => Ok(()),
        }
    }

    /// A run has begun.
    pub(super) fn begun(&self, core: &Arc<Core>, id: RunId) {
        let mut token = self.0.lock();
        token.run = Some((Arc::downgrade(core), id));
        if token.cancelled {
            core.cancel(id);
        }
    }

    /// The run has ended.
    pub(super) fn ended(&self) {
        self.0.lock().run = None;
    }
}
