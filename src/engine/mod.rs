//! Engines: a memory bound, threads and a scratch folder, and what computes on them.

mod builder;
mod compute;
mod default;
mod engine;
mod explain;
mod get;
mod init;
mod memory;
mod several;

pub use builder::{EngineBuilder, Scheduler};
pub(crate) use default::default_engine;
pub use engine::Engine;
pub use explain::{Explain, LayerForecast, RunReport};
pub use init::init;
pub use memory::parse_bytes;
pub use several::Computable;

#[cfg(test)]
mod tests;
