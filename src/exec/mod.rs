//! Drivers that obey the policy: `sync` runs everything on the calling thread, `threads` on it and on helpers.

mod callback;
mod core;
mod held;
mod host;
mod io;
mod pace;
mod planning;
mod record;
mod run;
mod shared;
mod spill;
mod taken;
mod token;
mod worker;

pub(crate) use self::core::{Core, Settings};
pub(crate) use callback::Callbacks;
pub use callback::{Callback, RunInfo, TaskInfo};
pub(crate) use held::{Held, HeldLayer};
pub(crate) use host::Host;
pub(crate) use planning::{Lowered, Prepared, lower_optimised, optimised, settle_held};
pub(crate) use record::{Recording, Sink};
pub(crate) use run::{Facts, Plan, Progressed, Rewrite};
pub(crate) use shared::{Executed, Shared};
pub(crate) use spill::SpillArea;
pub(crate) use taken::Taken;
pub(crate) use token::RunToken;
