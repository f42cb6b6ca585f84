//! Engines: a memory bound, threads and a scratch folder, and what computes on them.

mod build;
mod builder;
mod cache;
mod checkpoint;
mod compute;
mod curve;
mod default;
mod event_log;
mod explain;
mod future;
mod future_queue;
mod get;
mod handle;
mod init;
mod learned;
mod memory;
mod pressure;
mod rates;
mod roots;
mod several;
mod visualize;
mod watch;

pub use crate::exec::{Callback, RunInfo, TaskInfo};
#[doc(hidden)]
pub use build::build_of;
pub use builder::{EngineBuilder, Scheduler};
pub use curve::CurvePoint;
pub(crate) use default::default_engine;
pub use explain::{Explain, LayerForecast, RunReport};
pub use future::{AsCompleted, Future, FutureState, as_completed};
pub use handle::Engine;
pub use init::init;
pub use memory::parse_bytes;
pub use several::{Computable, Finish, Persistable};
pub use visualize::visualize;
pub use watch::Recording;

#[cfg(test)]
mod tests;
