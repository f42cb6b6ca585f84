//! The event log of a run: what ran, what was spilled and read, and when.

mod event;
mod reader;
mod writer;

pub use event::{Event, EventKind};
pub use reader::{EventLog, read_events};
pub use writer::EventWriter;
