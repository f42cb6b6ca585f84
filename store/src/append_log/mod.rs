//! A log of partitions, for shuffles: entries are appended in any order, and gathered partition by partition.

mod append;
mod attempt;
mod attempts;
mod block;
mod bucket;
mod decode;
mod desk;
mod encode;
mod files;
mod flush;
mod gather;
mod head;
mod index;
mod kind;
mod log;
mod options;
mod pace;
mod pool;
mod repair;
mod shared;
mod sizes;
mod stats;
mod tidy;
mod typed;
mod verify;
mod wire;
mod work;

pub use attempt::Attempt;
pub use gather::{Gather, LogEntry};
pub use log::ByteLog;
pub use options::LogOptions;
pub use repair::LogRepaired;
pub use sizes::LogSizes;
pub use stats::LogStats;
pub use typed::{AppendLog, LogRecords};
pub use verify::LogVerified;
