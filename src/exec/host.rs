//! What an engine takes from the process and the machine that it runs in: given when it is built, so that a test can give its own.

use crate::Result;
use chunkstore_store::io::{Backend, FileBackend};
use chunkstore_store::{Lease, MemoryPressure, memory_pressure};
use std::sync::Arc;
use std::thread::JoinHandle;

/// What a thread is to do.
pub(crate) type Body = Box<dyn FnOnce() + Send>;

/// What an engine takes from the process and the machine.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    /// Measures anew what the process holds beside what is booked, and sets the limit of the lease by that.
    pub(crate) measure: fn(&Lease) -> Result<()>,
    /// The same while runs are under way: see [`Lease::remeasure_under_way`].
    pub(crate) measure_under_way: fn(&Lease, u64, u64) -> Result<bool>,
    /// How short memory is; none where the system does not tell.
    pub(crate) pressure: fn() -> Option<MemoryPressure>,
    /// Starts a thread of a name.
    pub(crate) spawn: fn(String, Body) -> std::io::Result<JoinHandle<()>>,
    /// The file system that the scratch folder is in.
    pub(crate) files: Arc<dyn Backend>,
}

/// The stack of each thread, of which only what is touched counts.
const STACK: usize = 1 << 20;

impl Default for Host {
    /// The process and the machine as they are.
    fn default() -> Self {
        Host {
            measure: |lease| Ok(lease.remeasure().map(|_| ())?),
            measure_under_way: |lease, untouched, least| Ok(lease.remeasure_under_way(untouched, least)?),
            pressure: memory_pressure,
            spawn: |name, body| std::thread::Builder::new().name(name).stack_size(STACK).spawn(body),
            files: Arc::new(FileBackend::new()),
        }
    }
}
