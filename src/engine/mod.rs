//! Engines: a memory bound, threads and a scratch folder, and what computes on them.

mod builder;
mod checkpoint;
mod compute;
mod default;
mod explain;
mod future;
mod future_queue;
mod get;
mod handle;
mod init;
mod memory;
mod roots;
mod several;

pub use builder::{EngineBuilder, Scheduler};
pub(crate) use default::default_engine;
pub use explain::{Explain, LayerForecast, RunReport};
pub use future::{AsCompleted, Future, FutureState, as_completed};
pub use handle::Engine;
pub use init::init;
pub use memory::parse_bytes;
pub use several::{Computable, Finish, Persistable};

#[cfg(test)]
mod tests;
