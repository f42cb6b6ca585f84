//! WHO runs and what stays in memory: one pure state machine, fed by events, that answers with actions.
//!
//! Every driver (`sync`, `threads`, ...) and the [`simulate`] function feed the same machine, so that a forecast is
//! the policy itself. It holds sizes, not data, and does no input or output.

mod admit;
mod batch;
mod bitset;
mod course;
#[cfg(test)]
mod dice;
mod evict;
mod intake;
mod look;
mod machine;
mod run;
mod simulator;
mod transfer;

pub(crate) use batch::{Batch, Class};
pub(crate) use course::{Course, Within};
pub use evict::Eviction;
pub(crate) use machine::{Action, Finished, Policy};
pub(crate) use run::{Ended, Kept, RunId};
pub(crate) use simulator::{Forecast, Setup, Spare, simulate};
