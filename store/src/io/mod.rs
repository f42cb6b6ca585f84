//! Input and output: one trait, three backends, and the checks of the medium.

mod backend;
mod conformance;
mod crash;
mod faulty;
mod file;
mod free;
mod input;
mod map;
mod medium;
mod memory;
mod staging;
mod writeback;

pub use backend::{Backend, BackendFile, Held, Lock, Open};
pub use conformance::check_backend;
pub use crash::CrashBackend;
pub use faulty::{Fault, FaultyBackend};
pub use file::FileBackend;
pub use free::free_bytes;
pub use input::{InputFile, Stamp};
pub use map::FileMap;
pub use memory::MemoryBackend;
pub use staging::{StagedFile, Staging};
