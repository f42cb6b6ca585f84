//! Writing the events of a run.

use super::event::Event;
use crate::format::{EVENTS_BLOCK_HEADER_BYTES, EVENTS_HEADER_BYTES, EVENTS_MAGIC, EVENTS_VERSION};
use crate::io::{Backend, BackendFile, Open};
use crate::{Booking, Ledger, Result, checksum};
use parking_lot::Mutex;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The bytes of events that are written together.
const BLOCK: usize = 64 << 10;

/// Events wait so long at the most until others are written with them.
const WAIT_NS: u64 = 100_000_000;

/// What a block of an event log holds; the numbers are on disk and never change.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum BlockKind {
    Events = 1,
    Description = 2,
}

/// Writes the event log of one run. Any number of threads may record at a time; what was recorded in the last tenth of a second, or 64 KiB, may
/// be lost if the process is killed.
///
/// ```
/// use chunkstore_store::{Event, EventKind, EventWriter, io::FileBackend, read_events};
/// use std::sync::Arc;
/// let folder = tempfile::tempdir()?;
/// let backend = Arc::new(FileBackend::new());
/// let log = EventWriter::create(backend.clone(), folder.path(), 7)?;
/// log.describe(&serde_json::json!({ "layers": ["read_npy", "sum"] }))?;
/// log.record(Event { at_ns: log.now_ns(), kind: EventKind::Started, worker: 0, layer: 1, block: 3, bytes: 0 });
/// let path = log.finish(&serde_json::json!({ "ended": "done" }))?;
/// let read = read_events(backend.as_ref(), &path)?;
/// assert_eq!((read.events.len(), read.descriptions.len(), read.whole), (1, 2, true));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct EventWriter {
    path: PathBuf,
    file: Arc<dyn BackendFile>,
    began: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    events: Vec<u8>,
    end: u64,
    /// When events were written last, in nanoseconds since the beginning.
    written_ns: u64,
    /// Set by the first failed write: nothing more is written then. A run does not fail for its log.
    failed: bool,
    booking: Option<Booking>,
}

impl EventWriter {
    /// Makes the log of the run `run` in `folder`.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn create(backend: Arc<dyn Backend>, folder: &Path, run: u64) -> Result<EventWriter> {
        backend.create_folder(folder)?;
        let path = folder.join(format!("{run:016x}.events"));
        let file = backend.open(&path, Open::Create)?;
        file.truncate(0)?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut header = Vec::with_capacity(EVENTS_HEADER_BYTES);
        header.extend(EVENTS_MAGIC);
        header.extend(EVENTS_VERSION.to_le_bytes());
        header.extend(std::process::id().to_le_bytes());
        header.extend(run.to_le_bytes());
        header.extend((since.as_nanos() as u64).to_le_bytes());
        header.extend(checksum(&header).to_le_bytes());
        file.write_at(0, &header)?;
        let state = State { events: Vec::with_capacity(BLOCK), end: header.len() as u64, written_ns: 0, failed: false, booking: None };
        Ok(EventWriter { path, file, began: Instant::now(), state: Mutex::new(state) })
    }

    /// Books the memory of the log, 64 KiB of events that are not written yet, in `ledger` as long as the log is open.
    ///
    /// # Errors
    /// Out of memory.
    pub fn booked(self, ledger: &Ledger) -> Result<EventWriter> {
        let booking = ledger.book(BLOCK as u64)?;
        self.state.lock().booking = Some(booking);
        Ok(self)
    }

    /// Nanoseconds since the log was made.
    pub fn now_ns(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    /// Records an event. Where the log cannot be written, events are lost and [`EventWriter::finish`] says so.
    pub fn record(&self, event: Event) {
        let mut state = self.state.lock();
        event.encode(&mut state.events);
        let old = event.at_ns.saturating_sub(state.written_ns) > WAIT_NS;
        if state.events.len() >= BLOCK || old {
            state.written_ns = event.at_ns;
            self.write_events(&mut state).ok();
        }
    }

    /// Writes what the run is: its layers by number, its bound, whatever a reader wants to know. Several descriptions are kept in their order.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn describe(&self, description: &serde_json::Value) -> Result<()> {
        let mut state = self.state.lock();
        self.write_events(&mut state)?;
        self.write(&mut state, BlockKind::Description, description.to_string().as_bytes())
    }

    /// Writes what is left and a last description, such as how the run ended; gives the path of the log.
    ///
    /// # Errors
    /// Those of the file system, also of writes before.
    pub fn finish(self, description: &serde_json::Value) -> Result<PathBuf> {
        self.describe(description)?;
        Ok(self.path.clone())
    }

    fn write_events(&self, state: &mut State) -> Result<()> {
        if state.events.is_empty() {
            return Ok(());
        }
        let events = std::mem::take(&mut state.events);
        let result = self.write(state, BlockKind::Events, &events);
        state.events = events;
        state.events.clear();
        result
    }

    fn write(&self, state: &mut State, kind: BlockKind, payload: &[u8]) -> Result<()> {
        if state.failed {
            let message = "the event log could not be written before, and is not whole";
            return Err(crate::Error::new(crate::ErrorKind::Io, message).at(&self.path));
        }
        let mut block = Vec::with_capacity(EVENTS_BLOCK_HEADER_BYTES + payload.len());
        block.extend((kind as u32).to_le_bytes());
        block.extend((payload.len() as u32).to_le_bytes());
        block.extend(checksum(payload).to_le_bytes());
        block.extend(checksum(&block).to_le_bytes());
        block.extend_from_slice(payload);
        let result = self.file.write_at(state.end, &block);
        match result {
            Ok(()) => state.end += block.len() as u64,
            Err(_) => state.failed = true,
        }
        result
    }
}
